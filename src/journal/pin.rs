// SPDX-License-Identifier: GPL-2.0

//! Pins on journal entries: an entry is needed until the last one is gone.
//!
//! C: `journal.pin`, a fifo of `atomic_t`. The bookkeeping is `bcache_core::journal::pins`.

use bcache_core::journal::pins::{
    Pins,
    Unpinned, //
};
use bcache_kernel::{
    atomic::KWord,
    wait::WaitQueue,
    zeroed, //
};
use kernel::{
    alloc::KVVec,
    prelude::*,
    sync::Arc, //
};

/// Entries that may be needed at a time (C: 20000, rounded up to the size of its fifo).
const MAX_ENTRIES: usize = 32767;

/// Where the journal's thread and its customers sleep.
#[pin_data]
pub(super) struct Signal {
    /// The thread: there is something to write, somebody waits for room, or an old entry lost its last pin.
    #[pin]
    pub(super) work: WaitQueue,
    /// Customers: an entry became durable, a new one was opened, or there is room.
    #[pin]
    pub(super) progress: WaitQueue,
}

impl Signal {
    /// Nobody sleeps.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            work <- WaitQueue::new(),
            progress <- WaitQueue::new(),
        })
    }
}

/// The counters of all entries that may be needed. `open` and `reclaim` need the journal mutex.
pub(super) struct PinRing {
    pins: Pins<KVVec<KWord>, KWord>,
    signal: Arc<Signal>,
}

impl PinRing {
    /// A ring whose one entry is `first`, pinned once.
    pub(super) fn new(first: u64, signal: Arc<Signal>) -> Result<Self> {
        let slots = zeroed::table(MAX_ENTRIES)?;
        let pins = Pins::new(slots, KWord::new(0), KWord::new(0), first).ok_or(EINVAL)?;
        Ok(Self { pins, signal })
    }

    /// Opens the next entry, pinned once; gives its number, or `None` if the ring is full.
    pub(super) fn open(&self) -> Option<u64> {
        self.pins.open()
    }

    /// Drops entries without pins from the old end; gives the oldest one left (C: `last_seq`).
    pub(super) fn reclaim(&self) -> u64 {
        self.pins.reclaim()
    }

    /// Takes back the pin that [`Self::open`] made.
    pub(super) fn unpin(&self, seq: u64) {
        if self.pins.unpin(seq) == Unpinned::LastOfOldest {
            self.signal.work.wake_all();
        }
    }

    /// Entries in the ring.
    pub(super) fn in_use(&self) -> u64 {
        self.pins.in_use()
    }

    /// How many more fit.
    pub(super) fn free(&self) -> u64 {
        self.pins.free()
    }
}

/// A claim on a journal entry: while it lives the entry is replayed after a crash. Held from
/// [`Journal::add`](super::Journal::add) on, and by each leaf until all keys of the entry in it are
/// on the device. Any context.
pub(crate) struct JournalPin {
    ring: Arc<PinRing>,
    seq: u64,
}

impl JournalPin {
    /// Makes a value of a pin that is already counted.
    pub(super) fn adopt(ring: &Arc<PinRing>, seq: u64) -> Self {
        Self {
            ring: ring.clone(),
            seq,
        }
    }

    /// Pins an entry that is pinned already.
    pub(super) fn new(ring: &Arc<PinRing>, seq: u64) -> Option<Self> {
        ring.pins.pin(seq).then(|| Self::adopt(ring, seq))
    }

    /// Number of the entry.
    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }
}

impl Clone for JournalPin {
    fn clone(&self) -> Self {
        // Cannot fail: `self` pins the entry.
        let _pinned = self.ring.pins.pin(self.seq);
        Self::adopt(&self.ring, self.seq)
    }
}

impl Drop for JournalPin {
    fn drop(&mut self) {
        self.ring.unpin(self.seq);
    }
}
