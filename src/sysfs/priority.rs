// SPDX-License-Identifier: GPL-2.0

//! `priority_stats` of a cache device: how the buckets are used. C: `SHOW(__bch_cache)` in `sysfs.c`.

use crate::{
    buckets::Mark,
    cache_set::CacheSet, //
};
use bcache_core::{
    alloc::quantiles::{MarkCounts, PriorityStats},
    num::BucketNr, //
};
use kernel::{
    alloc::flags::GFP_KERNEL,
    prelude::*, //
};

impl CacheSet {
    /// Looks at all usable buckets. May sleep, takes time in proportion to their number.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn priority_stats(&self) -> Result<PriorityStats> {
        let nbuckets = self.geo.nbuckets();
        let first = self.geo.first_bucket().0;
        let mut prios: VVec<u16> = VVec::with_capacity(usize::try_from(nbuckets)?, GFP_KERNEL)?;
        let mut marks = MarkCounts {
            unused: 0,
            clean: 0,
            dirty: 0,
            metadata: 0,
        };
        for nr in (first..nbuckets).map(BucketNr) {
            prios.push(self.buckets.prio(nr), GFP_KERNEL)?;
            let used = u64::from(self.buckets.sectors_used(nr) == 0);
            marks.unused = marks.unused.saturating_add(used);
            let count = match self.buckets.mark(nr) {
                Mark::Reclaimable => &mut marks.clean,
                Mark::Dirty => &mut marks.dirty,
                Mark::Metadata => &mut marks.metadata,
                Mark::Free => continue,
            };
            *count = count.saturating_add(1);
        }
        Ok(PriorityStats::compute(
            &mut prios,
            &marks,
            u64::from(nbuckets),
            self.geo.bucket_sectors(),
        ))
    }
}
