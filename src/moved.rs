// SPDX-License-Identifier: GPL-2.0

//! Buckets that moving gc has emptied, and that nobody may have yet.
//!
//! C: none; there a bucket is free as soon as the next gc finds nothing in it.
//!
//! A move changes the index, not the journal. The key that it replaced may still be in an entry that a replay would read:
//! it would take the place of the new key again, and if its bucket were reused by then the data, which is nowhere else,
//! would be lost. (If it is clean by now, but the entry has it as dirty, what the bucket has then would be written to the disk.) So the bucket stays pinned until a durable entry says that no entry of that time is needed any more.

use crate::{
    buckets::BucketPin,
    cache_set::CacheSet, //
};
use kernel::prelude::*;

/// A bucket, and the newest entry of the journal that may have a key of it.
struct Held {
    seq: u64,
    _pin: BucketPin,
}

/// The buckets. Belongs to the gc thread.
pub(crate) struct Moved {
    held: KVec<Held>,
}

impl Moved {
    /// No buckets.
    pub(crate) fn new() -> Self {
        Self { held: KVec::new() }
    }

    /// Gives up those that no replay can need any more. Before a gc, which frees what nobody pins. May sleep, for an entry
    /// of the journal: as all metadata it needs no bucket.
    pub(crate) fn release(&mut self, c: &CacheSet) {
        // An entry of now knows what is needed now.
        if self.held.is_empty() || c.journal.meta(c, true).is_err() {
            return;
        }
        let needed = c.journal.needed_from();
        self.held.retain(|held| held.seq >= needed);
    }

    /// Makes room for `count` more.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn reserve(&mut self, count: usize) -> Result {
        self.held.reserve(count, GFP_NOWAIT)?;
        Ok(())
    }

    /// Holds buckets whose keys were moved just now; there is room for them. May sleep.
    pub(crate) fn hold(&mut self, c: &CacheSet, pins: impl Iterator<Item = BucketPin>) {
        let seq = c.journal.last_seq();
        for pin in pins {
            // Room was made before anything was moved.
            let _ = self.held.push_within_capacity(Held { seq, _pin: pin });
        }
    }
}
