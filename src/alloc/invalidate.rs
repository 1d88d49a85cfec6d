// SPDX-License-Identifier: GPL-2.0

//! Which buckets lose their content: least recently used, first in first out, or any.
//!
//! C: `invalidate_buckets_lru`, `_fifo`, `_random` in `alloc.c`. All of it happens in steps under the
//! allocator mutex, each of about a thousand buckets at most, so that a search holds up no
//! allocation; and no policy looks at all buckets to find a few (see `order`).

use super::thread::Worker;
use bcache_core::{
    alloc::{
        search::Step,
        shelves::{
            ShelfNr,
            SHELF, //
        }, //
    },
    num::{
        low_u32,
        u32_from_usize_sat,
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

    /// Invalidates one bucket if that is allowed.
    fn take(&mut self, nr: BucketNr) {
        let mut lists = self.c.alloc.lists.lock();
        let pin = lists.invalidate(nr, &self.c.buckets);
        drop(lists);
        let Some(pin) = pin else { return };
        let nr = pin.into_nr();
        if self.inc.push(nr.0).is_err() {
            // Not reached: callers look first. The bucket is lost to the cache until the next gc at worst.
            self.c.buckets.unpin(nr);
        }
    }

    /// Those with the smallest product of age and live data.
    fn invalidate_lru(&mut self) {
        let c = self.c.clone();
        c.file_all_if_due();
        let mut search = c.alloc.lists.lock().search();
        loop {
            let mut lists = c.alloc.lists.lock();
            let step = lists.search_on(&mut search, &c.buckets, &mut self.inc);
            drop(lists);
            if step != Step::Looked {
                return;
            }
        }
    }

    /// Round and round through the device, past the shelves where nothing can be had.
    fn invalidate_fifo(&mut self) {
        let (first, n) = (self.c.geo.first_bucket(), self.c.geo.nbuckets());
        let mut left = n;
        while left != 0 && !self.inc.is_full() {
            if self.fifo_next < first || self.fifo_next.0 >= n {
                self.fifo_next = first;
            }
            let from = self.fifo_next;
            let (at, filed) = self.c.alloc.lists.lock().next_filed(from);
            self.fifo_next = at;
            if filed {
                self.take_from_shelf(at, n);
            }
            left = left.saturating_sub(self.fifo_next.0.saturating_sub(from.0));
        }
    }

    /// Takes what it can from the shelf of `at`, from that bucket on.
    fn take_from_shelf(&mut self, at: BucketNr, n: u32) {
        let shelf = ShelfNr::of(at);
        for nr in at.0..shelf.end().0.min(n) {
            if self.inc.is_full() {
                return;
            }
            self.fifo_next = BucketNr(nr.saturating_add(1));
            self.take_if_possible(BucketNr(nr));
        }
        self.c.alloc.lists.lock().file(shelf, &self.c.buckets);
    }

    /// As chance has it, with 16 attempts for each bucket that is wanted, or half as many as there are
    /// buckets if that is less. What is missing then is a small part of the cache, and looked for.
    fn invalidate_random(&mut self) {
        let (first, n) = (self.c.geo.first_bucket().0, self.c.geo.nbuckets());
        let span = n.saturating_sub(first).max(1);
        let attempts = u32_from_usize_sat(self.inc.free()).saturating_mul(SHELF);
        for _ in 0..attempts.min(n / 2) {
            if self.inc.is_full() {
                return;
            }
            let off = low_u32(random::u64()).checked_rem(span).unwrap_or(0);
            self.take_if_possible(BucketNr(first.saturating_add(off)));
        }
        let by_chance = self.inc.len();
        self.invalidate_lru();
        // Those put themselves in front. Best ones last (see `View::take`): what chance found becomes priorities.
        for _ in by_chance..self.inc.len() {
            self.first_to_last();
        }
    }

    /// The bucket that would be handed out next is the last one now.
    fn first_to_last(&mut self) {
        let Some(nr) = self.inc.pop() else { return };
        if self.inc.push(nr).is_err() {
            // Not reached: it had room.
            self.c.buckets.unpin(BucketNr(nr));
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
