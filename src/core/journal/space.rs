// SPDX-License-Identifier: GPL-2.0

//! The ring of journal buckets: where the next entry goes and what may be overwritten.
//!
//! C: `free_journal_buckets`, `journal_reclaim` in `journal.c`. C may overwrite a bucket as soon as
//! its entries are not needed according to memory; if the write that does so is torn by a power
//! cut, the newest entry on the device may still ask for what was in the bucket. The caller here
//! reclaims up to the `last_seq` of the newest *durable* entry, see [`Space::reclaim`].

use core::ops::DerefMut;

/// Blocks in reserve, where a bucket has fewer, or there are two only.
const LEAST_RESERVE: usize = 8;
/// Blocks for others, where half a bucket has fewer, from which on it is time to give up older entries.
const LOW: usize = 4;

/// The ring. `S` is a slice of the highest sequence number in each bucket (0: none).
///
/// Buckets behind `cur` up to (not including) `last` are free; all of them if both are equal.
///
/// Invariant: `cur` and `last` are below the number of buckets unless that is 0.
pub struct Space<S> {
    seqs: S,
    cur: usize,
    last: usize,
    blocks_free: usize,
    blocks: usize,
    /// Blocks for entries that cannot wait, in the current bucket and the free ones.
    reserve: usize,
    /// The newest entry of the scan, and the block behind it.
    newest: (u64, usize),
}

impl<S: DerefMut<Target = [u64]>> Space<S> {
    /// A ring of buckets of `blocks` blocks each, all free; the first entry goes to the second
    /// bucket, as in C.
    pub fn new(seqs: S, blocks: usize) -> Self {
        Self {
            seqs,
            cur: 0,
            last: 0,
            blocks_free: 0,
            blocks,
            reserve: 0,
            newest: (0, blocks),
        }
    }

    /// Goes on behind what a scan found: in the bucket with the highest number, behind the newest entry. All others are
    /// needed. (C goes on in the next bucket, which is one too few if the replay itself needs room.)
    pub fn after_scan(&mut self) {
        let newest = (0..self.seqs.len()).max_by_key(|i| self.seqs.get(*i));
        self.cur = newest.unwrap_or(0);
        self.last = self.next(self.cur);
        let (seq, end) = self.newest;
        self.blocks_free = match self.seqs.get(self.cur) {
            Some(highest) if *highest == seq => self.blocks.saturating_sub(end),
            _ => 0,
        };
    }

    /// Sets the highest sequence number of a bucket.
    pub fn set_seq(&mut self, bucket: usize, seq: u64) {
        if let Some(slot) = self.seqs.get_mut(bucket) {
            *slot = seq;
        }
    }

    /// Notes that a bucket has an entry `seq`. Behind its newest entries lie some of the round before.
    pub fn raise_seq(&mut self, bucket: usize, seq: u64) {
        if let Some(slot) = self.seqs.get_mut(bucket) {
            *slot = seq.max(*slot);
        }
    }

    /// Notes that an entry `seq` ends before block `end` of its bucket.
    pub fn found(&mut self, bucket: usize, seq: u64, end: usize) {
        self.raise_seq(bucket, seq);
        if seq > self.newest.0 {
            self.newest = (seq, end);
        }
    }

    /// Keeps a bucket, but at least [`LEAST_RESERVE`] blocks, for entries that cannot wait; of a ring of two buckets less
    /// than one, and never more than half of what a lap has beside the current bucket.
    pub fn keep_reserve(&mut self) {
        let others = self.seqs.len().saturating_sub(1);
        let bucket = if others > 1 { self.blocks } else { 0 };
        let most = others.saturating_mul(self.blocks) / 2;
        self.reserve = bucket.max(LEAST_RESERVE).min(most);
    }

    /// Number of buckets.
    pub fn buckets(&self) -> usize {
        self.seqs.len()
    }

    fn next(&self, i: usize) -> usize {
        let i = i.saturating_add(1);
        if i >= self.seqs.len() {
            0
        } else {
            i
        }
    }

    /// Blocks left in the current bucket.
    pub fn blocks_free(&self) -> usize {
        self.blocks_free
    }

    /// Leaves the rest of the current bucket unused.
    pub fn skip_rest(&mut self) {
        self.blocks_free = 0;
    }

    /// Buckets that may be written to after the current one.
    pub fn free_buckets(&self) -> usize {
        let ahead = if self.cur >= self.last {
            self.seqs.len().saturating_add(self.last)
        } else {
            self.last
        };
        ahead.saturating_sub(self.cur).saturating_sub(1)
    }

    /// Whether [`Self::reclaim`] with this limit would free a bucket.
    pub fn would_reclaim(&self, limit: u64) -> bool {
        self.last != self.cur && self.oldest_needed() < limit
    }

    /// Frees the oldest buckets all of whose entries are below `limit`.
    pub fn reclaim(&mut self, limit: u64) {
        while self.would_reclaim(limit) {
            self.last = self.next(self.last);
        }
    }

    /// The highest sequence number in the oldest bucket that is not free.
    pub fn oldest_needed(&self) -> u64 {
        self.seqs.get(self.last).copied().unwrap_or(0)
    }

    /// Blocks that may be written to from now on in other buckets than the current one.
    fn blocks_behind(&self) -> usize {
        self.free_buckets().saturating_mul(self.blocks)
    }

    /// Blocks of the current bucket that an entry may have; `urgent`: also of those in reserve.
    pub fn left_here(&self, urgent: bool) -> usize {
        let all = self.blocks_behind().saturating_add(self.blocks_free);
        self.blocks_free.min(all.saturating_sub(self.kept(urgent)))
    }

    /// Blocks that an entry may have in the next bucket.
    pub fn left_next(&self, urgent: bool) -> usize {
        let all = self.blocks_behind();
        self.blocks.min(all.saturating_sub(self.kept(urgent)))
    }

    /// Whether little is left for entries that are not urgent: less than half a bucket, or some blocks.
    pub fn is_low(&self) -> bool {
        let all = self.blocks_behind().saturating_add(self.blocks_free);
        all.saturating_sub(self.reserve) < LOW.max(self.blocks / 2)
    }

    /// Blocks that an entry which is not urgent may ever have.
    pub fn most(&self) -> usize {
        let others = self.seqs.len().saturating_sub(1);
        let all = others.saturating_mul(self.blocks);
        self.blocks.min(all.saturating_sub(self.reserve))
    }

    /// Blocks that are not for this entry.
    fn kept(&self, urgent: bool) -> usize {
        if urgent {
            0
        } else {
            self.reserve
        }
    }

    /// Place of the bucket that is written to.
    pub fn current(&self) -> usize {
        self.cur
    }

    /// Goes to the next bucket if it is free.
    pub fn advance(&mut self) -> bool {
        if self.free_buckets() == 0 {
            return false;
        }
        self.cur = self.next(self.cur);
        self.set_seq(self.cur, 0);
        self.blocks_free = self.blocks;
        true
    }

    /// Takes `blocks` of the current bucket for entry `seq`; gives bucket and first block, or
    /// `None` if they do not fit.
    pub fn take(&mut self, blocks: usize, seq: u64) -> Option<(usize, usize)> {
        let left = self.blocks_free.checked_sub(blocks)?;
        let at = self.blocks.checked_sub(self.blocks_free)?;
        self.blocks_free = left;
        self.set_seq(self.cur, seq);
        Some((self.cur, at))
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_space))]
mod tests {
    use super::*;

    #[test]
    fn fresh_ring_starts_in_the_second_bucket() {
        let mut ring = [0; 4];
        let mut s = Space::new(&mut ring[..], 8);
        assert_eq!(s.free_buckets(), 3);
        assert!(s.take(1, 1).is_none());
        assert!(s.advance());
        assert_eq!(s.take(2, 1), Some((1, 0)));
        assert_eq!(s.take(6, 2), Some((1, 2)));
        assert!(s.take(1, 3).is_none());
    }

    #[test]
    fn reserve_is_for_urgent_entries() {
        let mut ring = [0; 4];
        let mut s = Space::new(&mut ring[..], 8);
        s.keep_reserve();
        assert_eq!((s.left_here(true), s.left_next(false)), (0, 8));
        for seq in 1..=2 {
            assert!(s.advance());
            assert_eq!((s.left_here(false), s.left_here(true)), (8, 8));
            assert!(s.take(8, seq).is_some());
        }
        assert_eq!((s.left_next(false), s.left_next(true)), (0, 8));
        assert!(s.advance());
        assert!(s.take(3, 3).is_some());
        assert_eq!((s.left_here(false), s.left_here(true)), (0, 5));
        assert!(!s.would_reclaim(0));
        // The bucket at `last` was never written: it counts as done.
        assert!(s.would_reclaim(1));
        s.reclaim(1);
        assert_eq!((s.free_buckets(), s.oldest_needed()), (1, 1));
        assert_eq!((s.left_here(false), s.left_next(false)), (5, 0));
        s.reclaim(3);
        assert_eq!((s.free_buckets(), s.left_next(false)), (3, 8));
    }

    #[test]
    fn reserve_of_small_rings() {
        for (buckets, blocks, reserve) in [
            (4, 128, 128),
            (2, 128, 8),
            (2, 8, 4),
            (2, 1, 0),
            (3, 8, 8),
            (64, 1, 8),
            (8, 2, 7),
            (1, 8, 0),
            (0, 8, 0),
        ] {
            let mut ring = [0; 64];
            let mut s = Space::new(&mut ring[..buckets], blocks);
            s.keep_reserve();
            assert_eq!((buckets, blocks, s.reserve), (buckets, blocks, reserve));
        }
    }

    #[test]
    fn after_a_scan_everything_is_needed() {
        let mut ring = [9, 12, 3, 6];
        let mut s = Space::new(&mut ring[..], 4);
        s.after_scan();
        assert_eq!(s.free_buckets(), 0);
        s.reclaim(7);
        assert_eq!(s.free_buckets(), 2);
        assert!(s.advance());
        assert_eq!(s.take(4, 13), Some((2, 0)));
    }

    #[test]
    fn entries_of_the_round_before_do_not_hide_the_newest() {
        let mut ring = [0; 3];
        let mut s = Space::new(&mut ring[..], 4);
        for (bucket, seq) in [(0, 12), (1, 17), (1, 9), (2, 7)] {
            s.raise_seq(bucket, seq);
        }
        s.after_scan();
        s.reclaim(14);
        // Bucket 1 is the newest and full; 2 is free, then 0.
        assert_eq!(s.free_buckets(), 2);
        assert!(s.advance());
        assert_eq!(s.take(1, 18), Some((2, 0)));
    }

    #[test]
    fn goes_on_behind_the_newest_entry() {
        let mut ring = [0; 3];
        let mut s = Space::new(&mut ring[..], 4);
        for (bucket, seq, end) in [
            (0, 5, 2),
            (0, 6, 4),
            (1, 7, 1),
            (1, 8, 3),
            (1, 4, 4),
            (2, 3, 4),
        ] {
            s.found(bucket, seq, end);
        }
        s.after_scan();
        // There is no other free bucket, and this one has a block.
        assert_eq!((s.free_buckets(), s.blocks_free()), (0, 1));
        s.reclaim(1);
        assert_eq!(s.take(1, 9), Some((1, 3)));
        assert_eq!(s.take(1, 10), None);
    }

    #[test]
    fn never_overwrites_what_is_needed() {
        // One block per bucket, entries are needed until `seq - 2`.
        let mut ring = [0; 5];
        let mut s = Space::new(&mut ring[..], 1);
        s.keep_reserve();
        let mut on_disk = [0u64; 5];
        for seq in 1u64..200 {
            let needed = seq.saturating_sub(2);
            s.reclaim(needed);
            assert!(s.advance());
            let (b, _) = s.take(1, seq).unwrap();
            assert!(on_disk[b] < needed || on_disk[b] == 0);
            on_disk[b] = seq;
        }
    }

    #[test]
    fn empty_ring_does_nothing() {
        let mut ring = [];
        let mut s = Space::new(&mut ring[..], 4);
        s.after_scan();
        s.keep_reserve();
        assert!(!s.advance());
        assert!(s.take(1, 1).is_none());
    }
}
