// SPDX-License-Identifier: GPL-2.0

//! Which buckets lose their content: least recently used, first in first out, or any.
//!
//! C: `invalidate_buckets_lru`, `_fifo`, `_random` in `alloc.c`. The search runs without a lock, on
//! what the bucket table says at the moment; only the invalidation itself is done under the
//! allocator mutex and checks again, so that a search of a large cache holds up no allocation.

use super::thread::Worker;
use bcache_core::{
    alloc::{
        heap::Smallest,
        prio::{
            lru_key,
            BTREE_PRIO, //
        }, //
    },
    num::{
        low_u32,
        BucketNr, //
    },
    ondisk::superblock::Replacement, //
};
use bcache_kernel::random;

impl Worker {
    /// Fills `free_inc` by the policy of the superblock; asks for gc if that is not possible.
    pub(super) fn invalidate(&mut self) {
        match self.c.sb.with(|sb| sb.replacement()) {
            Replacement::Fifo => self.invalidate_fifo(),
            Replacement::Random => self.invalidate_random(),
            Replacement::Lru => self.invalidate_lru(),
        }
        if !self.inc.is_full() {
            self.c.alloc.needs_gc.set();
            self.c.wake_gc();
        }
    }

    /// Invalidates one bucket if that is (still) allowed.
    fn take(&mut self, nr: BucketNr) {
        let lists = self.c.alloc.lists.lock();
        let pin = self.c.buckets.invalidate(nr, lists.marks_valid);
        drop(lists);
        let Some(pin) = pin else { return };
        let nr = pin.into_nr();
        if self.inc.push(nr.0).is_err() {
            // Not reached: callers look first. The bucket is lost to the cache until the next start
            // at worst.
            self.c.buckets.unpin(nr);
        }
    }

    /// Those with the smallest product of age and live data.
    fn invalidate_lru(&mut self) {
        let c = self.c.clone();
        let valid = c.gc_mark_valid();
        let ages = |prio: &u16| *prio != 0 && *prio != BTREE_PRIO;
        let prios = c.buckets.all().map(|b| c.buckets.prio(b));
        let min_prio = prios.filter(ages).min().unwrap_or(u16::MAX);
        let mut heap = core::mem::take(&mut self.heap);
        let mut smallest = Smallest::new(&mut heap);
        for b in c.buckets.all() {
            if c.buckets.can_invalidate(b, valid) {
                let key = lru_key(c.buckets.prio(b), min_prio, c.buckets.sectors_used(b));
                smallest.offer((key, b.0));
            }
        }
        // The best ones last, since the first ones become priorities: these are soon free, hence
        // best, again, and if one bucket went round like that its generation would wrap.
        let best = smallest.into_ascending();
        let (now, spare) = best
            .split_at_checked(self.inc.free())
            .unwrap_or((best, &[]));
        for (_, nr) in Iterator::chain(now.iter().rev(), spare) {
            if self.inc.is_full() {
                break;
            }
            self.take(BucketNr(*nr));
        }
        self.heap = heap;
    }

    /// Round and round through the device.
    fn invalidate_fifo(&mut self) {
        let (first, n) = (self.c.geo.first_bucket().0, self.c.geo.nbuckets());
        for _ in 0..n {
            if self.inc.is_full() {
                return;
            }
            if self.fifo_next < first || self.fifo_next >= n {
                self.fifo_next = first;
            }
            let nr = BucketNr(self.fifo_next);
            self.fifo_next = self.fifo_next.saturating_add(1);
            self.take_if_possible(nr);
        }
    }

    /// As chance has it, with half as many attempts as there are buckets.
    fn invalidate_random(&mut self) {
        let (first, n) = (self.c.geo.first_bucket().0, self.c.geo.nbuckets());
        let span = n.saturating_sub(first).max(1);
        for _ in 0..n / 2 {
            if self.inc.is_full() {
                return;
            }
            let off = low_u32(random::u64()).checked_rem(span).unwrap_or(0);
            self.take_if_possible(BucketNr(first.saturating_add(off)));
        }
    }

    /// Looks without the lock first.
    fn take_if_possible(&mut self, nr: BucketNr) {
        let valid = self.c.gc_mark_valid();
        if self.c.buckets.can_invalidate(nr, valid) {
            self.take(nr);
        }
    }
}
