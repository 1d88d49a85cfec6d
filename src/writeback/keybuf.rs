// SPDX-License-Identifier: GPL-2.0

//! The dirty keys that background writeback works on.
//!
//! C: `bch_refill_keybuf`, `bch_keybuf_check_overlapping`, `bch_keybuf_next` in `btree.c`.
//!
//! The keys are sorted and do not overlap. A key is idle until its data is read; then it is busy until its
//! clean twin is in the index. Writers that overlap take idle keys out, and write to the cache if they meet
//! a busy one. A large key is kept in pieces that fit one bio.

use crate::flag::Num64;
use bcache_core::key::Key;
use kernel::{
    new_spinlock,
    prelude::*,
    sync::SpinLock, //
};

/// Keys at a time (C: `KEYBUF_NR`).
pub(super) const KEYBUF_KEYS: usize = 500;
/// Sectors of one bio with 256 single pages.
const MAX_SECTORS: u64 = 256 * 8;

/// One key.
#[derive(Clone, Copy)]
struct Entry {
    key: Key,
    busy: bool,
}

/// What became of a key offered to the list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    /// All of it is there (or was).
    Taken,
    /// The list is full; it goes up to this sector.
    Full(u64),
}

/// The list of keys of one device. The lock is held for one step; the range is readable without.
#[pin_data]
pub(crate) struct Keybuf {
    #[pin]
    entries: SpinLock<KVec<Entry>>,
    /// First and behind-last sector of the list; changes only under the exclusive writeback lock.
    start: Num64,
    end: Num64,
}

impl Keybuf {
    /// An empty list. May sleep.
    pub(super) fn new() -> Result<impl PinInit<Self>> {
        let entries = KVec::with_capacity(KEYBUF_KEYS, GFP_KERNEL)?;
        Ok(pin_init!(Self {
            entries <- new_spinlock!(entries, "Keybuf::entries"),
            start: Num64::new(u64::MAX),
            end: Num64::new(0),
        }))
    }

    /// Offers a dirty key. Exclusive writeback lock held.
    pub(super) fn offer(&self, key: &Key) -> Offered {
        let mut entries = self.entries.lock();
        let mut at = key.start();
        while at < key.end() {
            let piece = key.piece(at, at.saturating_add(MAX_SECTORS));
            if !insert(&mut entries, &piece) {
                return Offered::Full(at);
            }
            self.start.put(self.start.get().min(piece.start()));
            self.end.put(self.end.get().max(piece.end()));
            at = piece.end();
        }
        if entries.len() >= KEYBUF_KEYS {
            Offered::Full(at)
        } else {
            Offered::Taken
        }
    }

    /// Forgets the range of keys that are gone. Exclusive writeback lock held, before a refill.
    pub(super) fn reset_range(&self) {
        let entries = self.entries.lock();
        self.start
            .put(entries.first().map_or(u64::MAX, |e| e.key.start()));
        self.end.put(entries.last().map_or(0, |e| e.key.end()));
    }

    /// True if there is no key.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.lock().is_empty()
    }

    /// True if there is no room.
    pub(super) fn is_full(&self) -> bool {
        self.entries.lock().len() >= KEYBUF_KEYS
    }

    /// A writer is about to change `start..end`: takes idle keys of the range out, and says whether there is a busy
    /// one. The caller holds the writeback lock shared.
    pub(crate) fn check_overlapping(&self, start: u64, end: u64) -> bool {
        // The range does not change while the caller has the lock.
        if end <= self.start.get() || start >= self.end.get() {
            return false;
        }
        let mut entries = self.entries.lock();
        let mut at = entries.partition_point(|e| e.key.end() <= start);
        let mut busy = false;
        while let Some(entry) = entries.get(at) {
            if entry.key.start() >= end {
                break;
            }
            if entry.busy {
                busy = true;
                at = at.saturating_add(1);
            } else if entries.remove(at).is_err() {
                break;
            }
        }
        busy
    }

    /// Shows `f` all keys; it must not sleep. For gc: their buckets hold data that is still to be read.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Key)) {
        for entry in self.entries.lock().iter() {
            f(&entry.key);
        }
    }

    /// The first idle key, which becomes busy; with `after`, only if it goes on exactly there.
    pub(super) fn next(&self, after: Option<u64>) -> Option<Key> {
        let mut entries = self.entries.lock();
        let entry = entries.iter_mut().find(|e| !e.busy)?;
        if after.is_some_and(|end| end != entry.key.start()) {
            return None;
        }
        entry.busy = true;
        Some(entry.key)
    }

    /// A busy key is done with, in whichever way.
    pub(super) fn remove(&self, key: &Key) {
        let mut entries = self.entries.lock();
        let at = entries.partition_point(|e| e.key.end() <= key.start());
        if entries.get(at).is_some_and(|e| e.key == *key) {
            // The place was just looked up.
            let _ = entries.remove(at);
        }
    }

    /// Takes all idle keys out.
    pub(super) fn drop_idle(&self) {
        self.entries.lock().retain(|e| e.busy);
    }
}

/// Puts a key in its place; false if there is no room. A key that overlaps one in the list is left out: its turn
/// comes with the next scan.
fn insert(entries: &mut KVec<Entry>, key: &Key) -> bool {
    if entries.len() >= KEYBUF_KEYS {
        return false;
    }
    let at = entries.partition_point(|e| e.key.end() <= key.start());
    if entries.get(at).is_some_and(|e| e.key.start() < key.end()) {
        return true;
    }
    let entry = Entry {
        key: *key,
        busy: false,
    };
    entries.insert_within_capacity(at, entry).is_ok()
}
