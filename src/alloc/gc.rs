// SPDX-License-Identifier: GPL-2.0

//! The bucket side of gc: marks are reset, set by the walk over the btree, and made valid.
//!
//! C: `btree_gc_start`, `bch_btree_gc_finish`, `bch_initial_gc_finish`, `__bch_btree_mark_key`,
//! `bch_initial_mark_key` in `btree.c`.
//!
//! # Why a bucket with dirty data is never reused while its mark is being rebuilt
//!
//! 1. [`CacheSet::gc_marks_begin`] notes for each bucket whether it could be reused just now, under
//!    the allocator mutex and while the marks are valid. The allocator, under the same mutex, takes
//!    the note away from each bucket it invalidates; from then on the bucket is pinned until it is
//!    in the btree.
//! 2. Still under the mutex the marks become invalid. From here on the allocator takes noted
//!    buckets only.
//! 3. Only then marks are reset, of unpinned buckets. A noted bucket had clean data at most, and
//!    nobody writes into it without having allocated it, which step 1 excludes.
//! 4. A dirty key that is inserted behind the walk lies in a bucket that was pinned at step 3 (its
//!    mark stayed) or was allocated after it (its mark is new). One inserted before it is seen by
//!    the walk.

use super::{lists::Lists, order::SHELVES};
use crate::{
    buckets::{
        Mark,
        Target, //
    },
    cache_set::CacheSet, //
};
use bcache_core::{
    alloc::{
        class::Scale,
        prio::INITIAL_PRIO, //
    },
    key::{
        Key,
        Pos, //
    }, //
};
use core::ops::Range;

/// Buckets per hold of the allocator mutex in a scan of all.
const STEP: usize = 1024;

impl CacheSet {
    /// Calls `f` for every item, under the allocator mutex, which is let go after each `step`.
    fn each_locked<T>(
        &self,
        mut items: impl Iterator<Item = T>,
        step: usize,
        mut f: impl FnMut(&mut Lists, T),
    ) {
        loop {
            let mut lists = self.alloc.lists.lock();
            for _ in 0..step {
                let Some(item) = items.next() else { return };
                f(&mut lists, item);
            }
        }
    }

    /// Calls `f` with the numbers of all buckets, some at a time, under the allocator mutex, which is let go in between.
    fn each_step_locked(&self, mut f: impl FnMut(Range<usize>)) {
        self.each_locked(self.buckets.steps(STEP), 1, |_, numbers| f(numbers));
    }

    /// How many buckets can be reused, and the lowest priority of a bucket.
    fn survey(&self) -> (u32, u16) {
        let (mut avail, mut lowest) = (0u32, INITIAL_PRIO);
        self.each_step_locked(|numbers| {
            for (prio, mark, pinned) in self.buckets.overview(numbers) {
                lowest = Scale::lowest(lowest, prio);
                let reusable = matches!(mark, Mark::Free | Mark::Reclaimable) && !pinned;
                avail = avail.saturating_add(u32::from(reusable));
            }
        });
        (avail, lowest)
    }

    /// gc begins: forgets the marks of all buckets that nobody pins. May sleep.
    pub(crate) fn gc_marks_begin(&self) {
        if !self.gc_mark_valid() {
            return;
        }
        self.each_step_locked(|numbers| self.buckets.gc_note(numbers));
        let mut lists = self.alloc.lists.lock();
        lists.marks_valid = false;
        self.alloc.marks_valid.clear();
        drop(lists);
        self.each_step_locked(|numbers| self.buckets.gc_forget(numbers));
    }

    /// The walk is over: marks what no key leads to (uuids, priorities, journal), counts and lets
    /// the allocator use the marks. May sleep.
    ///
    /// The walk has written each leaf, so that of the journal from before it only those entries are
    /// needed that inserts still pin. The next one says so durably: keys that were written back or
    /// moved since, which is in no journal, must not come back in a replay after their buckets were
    /// reused. (C forgets this.) Those in a pinned entry can: what was written back is then stale,
    /// and its data on the backing device; buckets of moved dirty data wait longer, see `moved`.
    pub(crate) fn gc_marks_finish(&self) {
        if self.journal.meta(self, true).is_err() {
            // The set is dead.
            return;
        }
        self.uuid_mark_bucket();
        self.prio_mark_buckets();
        for b in self.journal.bucket_numbers() {
            self.buckets.mark_metadata(b);
        }
        let mut lists = self.alloc.lists.lock();
        lists.marks_valid = true;
        self.alloc.marks_valid.set();
        drop(lists);

        let (avail, min_prio) = self.survey();
        self.alloc.avail.put(avail);
        self.file_all(min_prio);
        self.alloc.needs_gc.clear();
        self.wake_allocator();
    }

    /// Files all buckets by keys that count from now, before a search whose order would be coarse otherwise: many requests
    /// can pass without a gc. That many pay for it. Allocator thread. May sleep.
    pub(super) fn file_all_if_due(&self) {
        if self.alloc.lists.lock().order.is_old(&self.buckets) {
            let (_, lowest) = self.survey();
            self.file_all(lowest);
        }
    }

    /// Files all buckets, the lowest priority being `min_prio`, as the marks and priorities of now demand, while gc runs as those demand that it has left. Those
    /// that are not reached yet stay where they are.
    ///
    /// gc and the allocator thread may do this at the same time: who begins last files all by the scale that stays.
    fn file_all(&self, min_prio: u16) {
        let mut lists = self.alloc.lists.lock();
        lists.order.begin(min_prio, &self.buckets);
        let shelves = lists.order.all();
        drop(lists);
        self.each_locked(shelves, SHELVES, |lists, s| lists.file(s, &self.buckets));
    }

    /// Start-up: all keys are marked. Finishes as a gc does and fills the reserves of priorities
    /// and btree with empty buckets, without which the allocator could not begin: it needs
    /// buckets to make generations durable. Nothing on the device, journal included, leads to
    /// an empty bucket, so that its old generation may come back after a crash.
    pub(crate) fn gc_marks_initial(&self) {
        self.gc_marks_finish();
        let mut lists = self.alloc.lists.lock();
        for b in self.buckets.all() {
            if self.buckets.mark(b) != Mark::Free {
                continue;
            }
            let Some(pin) = self.buckets.invalidate(b, true) else {
                continue;
            };
            let nr = pin.into_nr();
            if !lists.push_prio(nr) && !lists.push_btree(nr) {
                self.buckets.unpin(nr);
                break;
            }
        }
        self.alloc.btree_free.put(lists.btree_len());
    }

    /// Marks the bucket that a key of a node of `level` leads to. Gives how stale the pointer is, `None` for a key that
    /// leads nowhere.
    ///
    /// A valid pointer that contradicts the mark is corruption and kills the set.
    #[inline(always)]
    pub(crate) fn mark_key(&self, level: u16, k: &Key) -> Option<u8> {
        let target = self.buckets.target(k.ptr()?)?;
        // That of a freed node leads nowhere.
        if k.pos() == Pos::MIN {
            return None;
        }
        Some(match target.see() {
            0 => self.mark_target(level, k, target),
            stale => stale,
        })
    }

    /// The key leads to data or a node.
    #[inline]
    fn mark_target(&self, level: u16, k: &Key, target: Target<'_>) -> u8 {
        let mark = match (level, k.dirty()) {
            (1.., _) => Mark::Metadata,
            (0, true) => Mark::Dirty,
            (0, false) => Mark::Reclaimable,
        };
        if target.add_mark(mark, k.size()) {
            return 0;
        }
        self.contradiction(level, target)
    }

    /// A key contradicts the mark, unless the bucket was given away since the look at its generation. Gives how stale the
    /// key is.
    #[cold]
    fn contradiction(&self, level: u16, target: Target<'_>) -> u8 {
        let stale = target.stale();
        if stale == 0 {
            let was = target.mark();
            self.set_error(format_args!(
                "inconsistent ptrs: mark = {was:?}, level = {level}"
            ));
        }
        stale
    }

    /// As [`Self::mark_key`] at start-up, when keys may know of newer generations than the
    /// priorities: a node freed after they were written (then the key tells of that), or a
    /// bucket that was empty and needed no durable one.
    #[inline(always)]
    pub(crate) fn initial_mark_key(&self, level: u16, k: &Key) {
        if let Some(target) = k.ptr().and_then(|p| self.buckets.target(p)) {
            self.initial_mark(level, k, target);
        }
    }

    /// The same for a key that leads to `target`.
    #[inline(always)]
    pub(crate) fn initial_mark(&self, level: u16, k: &Key, target: Target<'_>) {
        if k.pos() == Pos::MIN {
            target.raise_gen();
        } else if target.learn(level > 0) == 0 {
            self.mark_target(level, k, target);
        }
    }
}
