// SPDX-License-Identifier: GPL-2.0

//! Which journal entries are still needed. C: the `journal.pin` fifo of `journal.c`.
//!
//! Every open entry has a count: one while it is the current entry, one per insert that waits for
//! it, and one per dirty node of the index that holds keys of it. The oldest entry with a count is
//! `last_seq` of the next entry written: everything before it may be overwritten on disk.
//!
//! Counts live in a ring indexed by sequence number. Pinning and unpinning are lock-free; opening
//! and reclaiming are done by the holder of the journal lock.

use crate::{
    num::{
        u64_from_usize,
        usize_from_u64_sat, //
    },
    sync::{
        update,
        Fault,
        Word, //
    },
};
use core::ops::Deref;

/// What [`Pins::unpin`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unpinned {
    /// Others still need the entry.
    Still,
    /// Nobody does, but older entries are needed.
    Last,
    /// Nobody does, and it was the oldest: [`Pins::reclaim`] will free something.
    LastOfOldest,
}

/// The open entries. Invariant: `oldest <= newest`, and both lie less than a ring apart.
pub struct Pins<S, W> {
    /// Counts, by sequence number modulo the length.
    slots: S,
    /// Oldest open entry.
    oldest: W,
    /// The current entry.
    newest: W,
}

impl<W: Word, S: Deref<Target = [W]>> Pins<S, W> {
    /// One open entry, the current one, with a count of 1: that of the newest entry found on disk,
    /// or 0.
    ///
    /// `slots` has at least two words, all 0; `oldest` and `newest` hold `seq`.
    /// `None` if there are fewer than two words.
    pub fn new(slots: S, oldest: W, newest: W, seq: u64) -> Option<Self> {
        if slots.len() < 2 {
            return None;
        }
        let pins = Self {
            slots,
            oldest,
            newest,
        };
        pins.oldest.swap(seq);
        pins.newest.swap(seq);
        pins.slot(seq)?.swap(1);
        Some(pins)
    }

    fn slot(&self, seq: u64) -> Option<&W> {
        let at = seq.checked_rem(u64_from_usize(self.slots.len()))?;
        self.slots.get(usize_from_u64_sat(at))
    }

    /// The slot of an open entry.
    fn open_slot(&self, seq: u64) -> Option<&W> {
        if seq < self.oldest() || seq > self.newest() {
            return None;
        }
        self.slot(seq)
    }

    /// The oldest open entry: `last_seq` of the entry written next. Any context.
    pub fn oldest(&self) -> u64 {
        self.oldest.load()
    }

    /// The current entry. Any context.
    pub fn newest(&self) -> u64 {
        self.newest.load()
    }

    /// Open entries (C: `active_journal_entries`). Any context.
    pub fn in_use(&self) -> u64 {
        let span = self.newest().saturating_sub(self.oldest());
        span.saturating_add(1)
    }

    /// Entries that may still be opened. Journal lock held.
    pub fn free(&self) -> u64 {
        u64_from_usize(self.slots.len()).saturating_sub(self.in_use())
    }

    /// Begins the next entry, with a count of 1 as the current one; the caller
    /// [unpins](Pins::unpin) the entry before it, which is current no more. Journal lock held.
    ///
    /// `None` if the ring is full: old entries have to be reclaimed first.
    pub fn open(&self) -> Option<u64> {
        if self.free() == 0 {
            return None;
        }
        let seq = self.newest().checked_add(1)?;
        // Its last user was `reclaim`, so nobody else looks at the slot yet.
        self.slot(seq)?.swap(1);
        self.newest.swap(seq);
        Some(seq)
    }

    /// Counts one more user of an entry that has one: the current entry under the journal lock, or
    /// any entry that the caller has pinned already. Any context.
    ///
    /// False if the entry is not open or has no user.
    pub fn pin(&self, seq: u64) -> bool {
        let any = W::FAULT == Fault::PinsUnneeded;
        self.open_slot(seq).is_some_and(|slot| {
            update(slot, |n| n.checked_add(u64::from(any || n > 0))).is_some_and(|n| any || n > 0)
        })
    }

    /// Gives back one count. Any context.
    pub fn unpin(&self, seq: u64) -> Unpinned {
        let Some(slot) = self.open_slot(seq) else {
            return Unpinned::Still;
        };
        let before = if W::FAULT == Fault::UnpinInTwoSteps {
            let n = slot.load();
            slot.swap(n.saturating_sub(1));
            Some(n)
        } else {
            update(slot, |n| n.checked_sub(1))
        };
        match before {
            Some(1) if seq == self.oldest() => Unpinned::LastOfOldest,
            Some(1) => Unpinned::Last,
            _ => Unpinned::Still,
        }
    }

    /// Drops the oldest entries nobody needs, but never the current one; gives the oldest one left.
    /// Journal lock held.
    pub fn reclaim(&self) -> u64 {
        let newest = self.newest();
        let mut oldest = self.oldest();
        let unneeded = |n: &W| W::FAULT == Fault::ReclaimsPinned || n.load() == 0;
        while oldest < newest && self.slot(oldest).is_some_and(unneeded) {
            oldest = oldest.saturating_add(1);
            // Stored before the next count is looked at: whoever gives back the last count of that
            // entry later sees that it is the oldest, and says so.
            if W::FAULT != Fault::OldestStoredLate {
                self.oldest.swap(oldest);
            }
        }
        if W::FAULT == Fault::OldestStoredLate {
            self.oldest.swap(oldest);
        }
        oldest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;
    use std::vec::Vec;

    fn pins(n: usize, seq: u64) -> Option<Pins<Vec<AtomicU64>, AtomicU64>> {
        let slots = (0..n).map(|_| AtomicU64::new(0)).collect();
        Pins::new(slots, AtomicU64::new(0), AtomicU64::new(0), seq)
    }

    #[test]
    fn life_of_entries() {
        assert!(pins(1, 0).is_none());
        let p = pins(3, 7).unwrap();
        assert_eq!((p.oldest(), p.newest(), p.in_use(), p.free()), (7, 7, 1, 2));
        assert!(p.pin(7) && !p.pin(6) && !p.pin(8));
        assert_eq!(p.open(), Some(8));
        assert_eq!(p.unpin(7), Unpinned::Still);
        assert_eq!(p.open(), Some(9));
        assert_eq!(p.unpin(8), Unpinned::Last);
        assert_eq!(p.open(), None);
        assert_eq!(p.reclaim(), 7);
        assert_eq!(p.unpin(7), Unpinned::LastOfOldest);
        // Gone entries cannot be pinned, nor unpinned below 0.
        assert!(!p.pin(7));
        assert_eq!(p.unpin(7), Unpinned::Still);
        // The current entry stays although nobody needs it.
        assert_eq!(p.unpin(9), Unpinned::Last);
        assert_eq!(p.reclaim(), 9);
        assert_eq!((p.in_use(), p.free()), (1, 2));
        assert_eq!(p.open(), Some(10));
        assert_eq!(p.reclaim(), 10);
    }

    #[test]
    fn end_of_numbers() {
        let p = pins(4, u64::MAX).unwrap();
        assert_eq!(p.open(), None);
        assert!(p.pin(u64::MAX));
    }
}
