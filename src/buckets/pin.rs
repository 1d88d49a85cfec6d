// SPDX-License-Identifier: GPL-2.0

//! Claims on buckets. C: `pin` of `struct bucket` in `bcache.h`.

use super::{
    word::StateCell,
    Table, //
};
use bcache_core::{
    alloc::age::Epoch,
    key::Ptr,
    num::BucketNr, //
};
use kernel::sync::Arc;

/// A claim on a bucket: while it lives neither gc nor the allocator touches the bucket. Any
/// context.
pub(crate) struct BucketPin {
    /// `None` only in a pin that was turned into a number by [`BucketPin::into_nr`].
    table: Option<Arc<Table>>,
    nr: BucketNr,
}

impl BucketPin {
    pub(super) fn new(table: &Arc<Table>, nr: BucketNr) -> Self {
        Self {
            table: Some(table.clone()),
            nr,
        }
    }

    fn state(&self) -> Option<(StateCell<'_>, Epoch)> {
        let table = self.table.as_ref()?;
        Some((table.state(self.nr)?, table.now()))
    }

    /// Gives up the value but not the claim; [`BucketTable::adopt`] makes a value of it again.
    pub(crate) fn into_nr(mut self) -> BucketNr {
        self.table = None;
        self.nr
    }

    /// The bucket.
    pub(crate) fn nr(&self) -> BucketNr {
        self.nr
    }

    /// A pointer to its first sector, of its current generation.
    pub(crate) fn ptr(&self) -> Ptr {
        let Some(table) = self.table.as_ref() else {
            return Ptr(0);
        };
        let gen = self.state().map_or(0, |(s, _)| s.get().gen());
        Ptr::new(table.dev, table.geo.bucket_start(self.nr), gen)
    }
}

impl Clone for BucketPin {
    fn clone(&self) -> Self {
        if let Some((state, now)) = self.state() {
            state.update(|s| Some(s.pinned(now)));
        }
        Self {
            table: self.table.clone(),
            nr: self.nr,
        }
    }
}

impl Drop for BucketPin {
    fn drop(&mut self) {
        if let Some((state, now)) = self.state() {
            state.update(|s| Some(s.unpinned(now)));
        }
    }
}
