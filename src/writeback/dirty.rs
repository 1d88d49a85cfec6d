// SPDX-License-Identifier: GPL-2.0

//! How much of a device is dirty, in total and by stripe.
//!
//! C: `bcache_dev_sectors_dirty_add`, `bcache_dev_stripe_dirty` in `writeback.c` and `writeback.h`. The counters
//! have 64 bits: a completely dirty stripe of 1 TiB overflows those of C.

use bcache_core::writeback::stripes::Stripes;
use bcache_kernel::{
    atomic::{
        Atomic,
        Relaxed, //
    },
    block::Bdev,
    zeroed, //
};
use kernel::{alloc::KVVec, prelude::*};

/// The dirty sectors of one device. All methods but `new`: any context, no lock.
pub(crate) struct DirtyMap {
    stripes: Stripes,
    counts: KVVec<Atomic<i64>>,
    total: Atomic<i64>,
}

impl DirtyMap {
    /// Counters for a device of `capacity` sectors, all zero. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the device cannot be divided, `ENOMEM`.
    pub(super) fn new(bdev: &Bdev, capacity: u64) -> Result<Self> {
        let stripes = Stripes::derive(capacity, bdev.io_opt()).map_err(|e| {
            pr_err!(
                "nr_stripes too large or invalid: {} (start sector beyond end of disk?)\n",
                e.0
            );
            EINVAL
        })?;
        let len = usize::try_from(stripes.count()).map_err(|_| EINVAL)?;
        Ok(Self {
            stripes,
            counts: zeroed::table(len)?,
            total: Atomic::new(0),
        })
    }

    /// How the device is divided.
    pub(crate) fn stripes(&self) -> &Stripes {
        &self.stripes
    }

    /// Dirty sectors of the whole device.
    pub(crate) fn total(&self) -> i64 {
        self.total.load(Relaxed)
    }

    /// Adds `sectors` (may be negative) from sector `start` on.
    pub(super) fn add(&self, start: u64, sectors: i64) {
        let sign = sectors.signum();
        for piece in self.stripes.pieces(start, sectors.unsigned_abs()) {
            let n = i64::try_from(piece.sectors).unwrap_or(i64::MAX);
            let n = n.wrapping_mul(sign);
            if let Some(count) = self.count(piece.stripe) {
                count.add(n, Relaxed);
                self.total.add(n, Relaxed);
            }
        }
    }

    /// True if a stripe that the range touches has dirty sectors.
    pub(crate) fn any_dirty(&self, start: u64, sectors: u32) -> bool {
        self.stripes
            .pieces(start, u64::from(sectors))
            .any(|p| self.dirty_in(p.stripe) != 0)
    }

    /// The next run of stripes that are dirty all over, at or after stripe `from`: first one, and the one behind.
    pub(super) fn next_full(&self, from: u32) -> Option<(u32, u32)> {
        self.stripes.next_run(from, |s| self.is_full(s))
    }

    fn is_full(&self, stripe: u32) -> bool {
        self.stripes.is_full(self.dirty_in(stripe))
    }

    fn dirty_in(&self, stripe: u32) -> i64 {
        self.count(stripe).map_or(0, |c| c.load(Relaxed))
    }

    fn count(&self, stripe: u32) -> Option<&Atomic<i64>> {
        self.counts.get(usize::try_from(stripe).ok()?)
    }
}
