// SPDX-License-Identifier: GPL-2.0

//! When the priorities are lowered. C: `bch_rescale_priorities` in `alloc.c`.

use crate::cache_set::CacheSet;
use bcache_core::{
    alloc::prio::{
        rescale_period,
        rounds_due, //
    },
    geometry::Geometry,
    num::usize_from_u32, //
};
use bcache_kernel::atomic::{
    Atomic,
    Relaxed, //
};
use kernel::cpu::CpuId;

/// Processors count apart from each other, with as many counters.
const COUNTERS: usize = 16;
/// The part of a period that each may hold back; together an eighth.
const BATCHES: i64 = 128;

/// A counter in a cache line of its own.
#[repr(align(64))]
struct Counter(Atomic<i64>);

/// Sectors of I/O until the next round of aging.
pub(super) struct Aging {
    /// Sectors that `left` does not know of yet.
    counters: [Counter; COUNTERS],
    /// At so many a counter is emptied.
    batch: i64,
    /// Sectors until the next round; negative: that is due.
    left: Atomic<i64>,
    period: i64,
}

impl Aging {
    /// Nothing was read or written yet.
    pub(super) fn new(geo: &Geometry) -> Self {
        let period = rescale_period(u64::from(geo.nbuckets()), geo.bucket_sectors());
        let period = i64::try_from(period).unwrap_or(i64::MAX).max(1);
        Self {
            counters: core::array::from_fn(|_| Counter(Atomic::new(0))),
            batch: period / BATCHES,
            left: Atomic::new(period),
            period,
        }
    }

    /// Accounts `sectors`; gives the number of rounds that are due now.
    fn account(&self, mut sectors: i64) -> u32 {
        if sectors < self.batch {
            let cpu = usize_from_u32(CpuId::current().as_u32()) % COUNTERS;
            let Some(Counter(counter)) = self.counters.get(cpu) else {
                return 0;
            };
            if counter.fetch_add(sectors, Relaxed).saturating_add(sectors) < self.batch {
                return 0;
            }
            sectors = counter.xchg(0, Relaxed);
        }
        let mut left = self
            .left
            .fetch_sub(sectors, Relaxed)
            .saturating_sub(sectors);
        loop {
            let (rounds, new) = rounds_due(left, self.period);
            if rounds == 0 {
                return 0;
            }
            match self.left.cmpxchg(left, new, Relaxed) {
                Ok(_) => return rounds,
                Err(now) => left = now,
            }
        }
    }
}

impl CacheSet {
    /// Accounts `sectors` of I/O through the cache; after enough of them the priorities of all
    /// buckets are lowered. Any context.
    pub(crate) fn rescale_priorities(&self, sectors: u32) {
        let rounds = self.alloc.aging.account(i64::from(sectors));
        if rounds != 0 && self.buckets.age(rounds) {
            // It settles the old ones.
            self.wake_allocator();
        }
    }
}
