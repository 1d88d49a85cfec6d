// SPDX-License-Identifier: GPL-2.0

//! The dirty keys that background writeback works on.
//!
//! C: `bch_refill_keybuf`, `bch_keybuf_check_overlapping`, `bch_keybuf_next` in `btree.c`.
//!
//! The keys are sorted and do not overlap. A key is idle until its data is read; then it is busy until that is on the disk,
//! and written until its clean twin is in the index. Writers that overlap take idle keys out, and write to the cache if they
//! meet a busy one: the disk is about to get older data. A large key is kept in pieces that fit one bio.
//!
//! A key that is done with leaves its place empty; the places close up before the next scan. New keys are taken in while
//! others are busy: the disk need not wait for the scan.

use crate::flag::Num64;
use bcache_core::key::Key;
use kernel::{
    new_spinlock,
    prelude::*,
    sync::SpinLock, //
};

/// Keys that a scan finds at most, as in C (`KEYBUF_NR`).
const SCAN_KEYS: usize = 500;
/// Keys at a time: those of a scan, and those of earlier ones that are on their way still.
pub(super) const KEYBUF_KEYS: usize = 2048;
/// Sectors of one bio with 256 single pages.
const MAX_SECTORS: u64 = 256 * 8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Busy,
    /// On the disk, perhaps in its volatile cache only.
    Written,
    /// Done with, or taken out.
    Gone,
}

/// One key.
#[derive(Clone, Copy)]
struct Entry {
    key: Key,
    state: State,
}

/// The keys in their order.
struct List {
    entries: KVVec<Entry>,
    /// There is no idle key before this place.
    next: usize,
    /// Keys that are not gone.
    live: usize,
    /// Keys that this scan found.
    found: usize,
    /// A key was left out since the scan began, because one in the list overlaps it.
    left_out: bool,
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
    list: SpinLock<List>,
    /// First and behind-last sector of the list; changes only under the exclusive writeback lock.
    start: Num64,
    end: Num64,
}

impl Keybuf {
    /// An empty list. May sleep.
    pub(super) fn new() -> Result<impl PinInit<Self>> {
        let list = List {
            entries: KVVec::with_capacity(KEYBUF_KEYS, GFP_KERNEL)?,
            next: 0,
            live: 0,
            found: 0,
            left_out: false,
        };
        Ok(pin_init!(Self {
            list <- new_spinlock!(list, "Keybuf::list"),
            start: Num64::new(u64::MAX),
            end: Num64::new(0),
        }))
    }

    /// Offers a dirty key. Exclusive writeback lock held.
    pub(super) fn offer(&self, key: &Key) -> Offered {
        let mut list = self.list.lock();
        let mut at = key.start();
        while at < key.end() {
            let piece = key.piece(at, at.saturating_add(MAX_SECTORS));
            if !list.insert(&piece) {
                return Offered::Full(at);
            }
            self.start.put(self.start.get().min(piece.start()));
            self.end.put(self.end.get().max(piece.end()));
            at = piece.end();
        }
        if list.is_full() {
            Offered::Full(at)
        } else {
            Offered::Taken
        }
    }

    /// A scan begins: forgets the keys that are gone. Exclusive writeback lock held.
    pub(super) fn begin_scan(&self) {
        let mut list = self.list.lock();
        list.close_up();
        let first = list.entries.first().map_or(u64::MAX, |e| e.key.start());
        self.start.put(first);
        let end = list.entries.last().map_or(0, |e| e.key.end());
        self.end.put(end);
    }

    /// Whether the scan met no dirty key, neither new nor on its way.
    pub(super) fn found_nothing(&self) -> bool {
        let list = self.list.lock();
        list.live == 0 && !list.left_out
    }

    /// True if there is no room.
    pub(super) fn is_full(&self) -> bool {
        self.list.lock().is_full()
    }

    /// Whether a scan can find all that it may.
    pub(super) fn is_roomy(&self) -> bool {
        self.list.lock().live <= KEYBUF_KEYS - SCAN_KEYS
    }

    /// A writer is about to change `start..end`: takes idle keys of the range out, and says whether there is a busy
    /// one. The caller holds the writeback lock shared.
    pub(crate) fn check_overlapping(&self, start: u64, end: u64) -> bool {
        // The range does not change while the caller has the lock.
        if end <= self.start.get() || start >= self.end.get() {
            return false;
        }
        let mut list = self.list.lock();
        let mut at = list.place_of(start);
        let mut busy = false;
        while let Some(entry) = list.entries.get(at).filter(|e| e.key.start() < end) {
            match entry.state {
                State::Busy => busy = true,
                State::Idle => list.end(at),
                State::Written | State::Gone => {}
            }
            at = at.saturating_add(1);
        }
        busy
    }

    /// Shows `f` all keys; it must not sleep. For gc: their buckets hold data that is still to be read.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&Key)) {
        for entry in self.list.lock().entries.iter() {
            if entry.state != State::Gone {
                f(&entry.key);
            }
        }
    }

    /// The first idle key, which becomes busy; with `after`, only if it goes on exactly there.
    pub(super) fn next(&self, after: Option<u64>) -> Option<Key> {
        let mut list = self.list.lock();
        let from = list.next;
        let rest = list.entries.get(from..)?;
        let skip = rest.iter().position(|e| e.state == State::Idle);
        list.next = from.saturating_add(skip.unwrap_or(rest.len()));
        let next = list.next;
        let entry = list.entries.get_mut(next)?;
        if after.is_some_and(|end| end != entry.key.start()) {
            return None;
        }
        entry.state = State::Busy;
        Some(entry.key)
    }

    /// The disk has the data of a busy key. Any context that may take the lock.
    pub(super) fn written(&self, key: &Key) {
        let mut list = self.list.lock();
        let at = list.place_of(key.start());
        if let Some(entry) = list.entries.get_mut(at) {
            if entry.key == *key && entry.state == State::Busy {
                entry.state = State::Written;
            }
        }
    }

    /// A busy or written key is done with, in whichever way.
    pub(super) fn remove(&self, key: &Key) {
        let mut list = self.list.lock();
        let at = list.place_of(key.start());
        if list.entries.get(at).is_some_and(|e| e.key == *key) {
            list.end(at);
        }
    }

    /// Takes all idle keys out.
    pub(super) fn drop_idle(&self) {
        let mut list = self.list.lock();
        for at in 0..list.entries.len() {
            if list.entries.get(at).is_some_and(|e| e.state == State::Idle) {
                list.end(at);
            }
        }
    }
}

impl List {
    fn is_full(&self) -> bool {
        self.found >= SCAN_KEYS || self.entries.len() >= KEYBUF_KEYS
    }

    /// Where the first key lies that ends behind a sector.
    fn place_of(&self, sector: u64) -> usize {
        self.entries.partition_point(|e| e.key.end() <= sector)
    }

    /// The key at a place is done with.
    fn end(&mut self, at: usize) {
        let Some(entry) = self.entries.get_mut(at) else {
            return;
        };
        if entry.state != State::Gone {
            entry.state = State::Gone;
            self.live = self.live.saturating_sub(1);
        }
    }

    /// Before a scan.
    fn close_up(&mut self) {
        self.entries.retain(|e| e.state != State::Gone);
        self.next = 0;
        self.found = 0;
        self.left_out = false;
    }

    /// Puts a key in its place; false if there is no room. A key that overlaps one in the list is left out: its turn
    /// comes with a later scan.
    fn insert(&mut self, key: &Key) -> bool {
        if self.is_full() {
            return false;
        }
        let at = self.place_of(key.start());
        if let Some(entry) = self.entries.get(at) {
            if entry.key.start() < key.end() {
                self.left_out = true;
                return true;
            }
        }
        let entry = Entry {
            key: *key,
            state: State::Idle,
        };
        if self.entries.insert_within_capacity(at, entry).is_err() {
            return false;
        }
        self.next = self.next.min(at);
        self.live = self.live.saturating_add(1);
        self.found = self.found.saturating_add(1);
        true
    }
}
