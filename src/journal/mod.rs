// SPDX-License-Identifier: GPL-2.0

//! The journal: keys of leaf nodes become durable here first.
//!
//! C: `journal.c`. A key is added to the open entry, then inserted into its leaf in memory. The
//! entry is written after `journal_delay_ms`, when it is full, or when somebody needs it durable;
//! the leaf may be written much later. Until it is, a [`JournalPin`] held by the leaf keeps the
//! entry in the journal; after a crash the entries still pinned are inserted again. An entry also
//! names the root of the btree, the bucket of the uuids and the first bucket of the priorities,
//! which is how a change of any of these takes effect.
//!
//! One thread (`bcache_journal`) writes, one entry at a time, with PREFLUSH and FUA: PREFLUSH makes
//! all data durable that was written before its keys were added, and all metadata an entry leads
//! to.
//!
//! # Who waits for whom
//!
//! The order of the locks is in `docs/locks.md`.
//!
//! | who | holds | waits for |
//! |---|---|---|
//! | insert of a key, before [`Journal::add`] | writeback lock (shared), pins of data buckets | free btree buckets, room in the open entry |
//! | insert, after it | a journal pin | structure mutex, leaf locks, a btree bucket (for a split) |
//! | split, change of the root | structure mutex | disk, journal *meta* entry |
//! | write of a leaf | `Leaf::io` | disk |
//! | change of the table of devices ([`CacheSet::uuid_write`]) | register lock, the buffer of the table | a btree bucket, disk, journal *meta* entry |
//! | allocator thread | - | gc; [`CacheSet::prio_write`]: disk, journal *meta* entry |
//! | gc | structure mutex | disk, journal *meta* entry; never for a bucket |
//! | gc | one leaf's locks | disk |
//! | journal thread | - | disk; room in the journal: writes of leaves (`btree_flush_oldest`), inserts that hold pins |
//! | batch of writes (`request/insert.rs`), until its keys are in the journal | what all its writes hold | as an insert before [`Journal::add`]; never for a write of a user |
//! | flush, write that begins or ends durable | writeback lock (shared), pins of data buckets (parked, ended by the journal thread) | journal thread |
//!
//! The only way round would be: insert with a pin (of the oldest entry) -> bucket -> allocator ->
//! meta entry -> journal thread -> room -> that insert. It is cut twice:
//!
//! 1. Meta entries are urgent: they may use what the journal keeps in reserve for them ([`bcache_core::journal::room`]), so
//!    that they do not wait for pins. One write of the priorities yields a whole `free_inc` of buckets, and btree buckets
//!    are refilled before any for data.
//! 2. [`Journal::add`] lets nobody begin while btree buckets are short, so that few inserts can
//!    need one afterwards.
//!
//! The same holds with "gc" or "root" in place of "bucket": both wait for meta entries only. Writes
//! of leaves wait for nothing but the disk: who holds a leaf lock never waits for journal, bucket
//! or structure mutex. Every wait also ends when the set dies ([`CacheSet::io_disabled`]), with
//! `EIO`.
//!
//! # What a torn or lost write can do
//!
//! An entry counts if its checksum is right, so a torn one is as if never written; its buckets and
//! nodes are not reused before it is durable. A journal bucket is overwritten only when all its
//! entries are below the `last_seq` of a *durable* entry: even if that write is torn, replay finds
//! all it needs.

mod entry;
mod keys;
mod pin;
mod replay;
mod scan;
mod writer;

pub(crate) use pin::JournalPin;
pub(crate) use replay::Replay;

use crate::cache_set::CacheSet;
use bcache_core::{
    geometry::Geometry,
    key::Key,
    num::{
        usize_from_u32,
        BucketNr, //
    },
    sync::Word, //
};
use bcache_kernel::{
    atomic::KWord,
    kthread::Thread,
    time, //
};
use entry::State;
use kernel::{
    alloc::KVVec,
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex,
        MutexGuard, //
    }, //
};
use pin::{
    PinRing,
    Signal, //
};

/// The journal of a cache set.
#[pin_data]
pub(crate) struct Journal {
    #[pin]
    state: Mutex<State>,
    /// The newest entry on the device, for those who have no lock. Changed before [`CacheSet::end_durable`] looks who waits
    /// for it.
    durable: KWord,
    signal: Arc<Signal>,
    #[pin]
    thread: Mutex<Option<Thread>>,
}

impl Journal {
    /// A journal without buckets; [`Self::set_layout`] and [`Self::open`] follow.
    pub(crate) fn new(geo: &Geometry) -> impl PinInit<Self, Error> {
        let geo = *geo;
        try_pin_init!(Self {
            state <- new_mutex!(State::new(&geo)?, "Journal::state"),
            durable: KWord::new(0),
            signal: Arc::pin_init(Signal::new(), GFP_KERNEL)?,
            thread <- new_mutex!(None, "Journal::thread"),
        }? Error)
    }

    /// Says how many buckets the journal has (they follow the first bucket of the device) and which
    /// number the device has in its set.
    pub(crate) fn set_layout(&self, buckets: u32, dev: u16) -> Result {
        let seqs = KVVec::from_elem(0u64, usize_from_u32(buckets), GFP_KERNEL)?;
        let mut st = self.state.lock();
        st.room = State::room(&st.geo, seqs);
        st.dev = dev;
        Ok(())
    }

    /// Scan: the bucket `i` has an entry `seq`.
    fn scan_found(&self, i: u32, seq: u64) {
        let mut st = self.state.lock();
        st.room.space_mut().raise_seq(usize_from_u32(i), seq);
    }

    /// Scan: the bucket `i` has an entry `seq` that ends at this byte.
    fn scan_read(&self, i: u32, seq: u64, end: usize) {
        let mut st = self.state.lock();
        let end = end.div_ceil(st.geo.block_bytes().max(1));
        st.room.space_mut().found(usize_from_u32(i), seq, end);
    }

    /// Scan: all buckets have been looked at.
    fn scan_done(&self) {
        self.state.lock().room.space_mut().after_scan();
    }

    /// Opens the entry `next`; from now on a part of the ring is kept for meta entries (C: `bch_journal_space_reserve`).
    /// Entries from `first` on (to be replayed) are pinned once each; the caller gets at these pins with
    /// [`Self::replay_pin`].
    pub(crate) fn open(&self, first: u64, next: u64) -> Result {
        let ring = Arc::new(PinRing::new(first, self.signal.clone())?, GFP_KERNEL)?;
        for _ in first..next {
            ring.open().ok_or(EIO)?;
        }
        let mut st = self.state.lock();
        st.seq = next;
        st.durable = next.wrapping_sub(1);
        self.durable.swap(st.durable);
        st.room.replays_from(first);
        st.room.space_mut().keep_reserve();
        st.ring = Some(ring);
        Ok(())
    }

    /// The pin that [`Self::open`] made for an entry to be replayed; to be taken once.
    pub(crate) fn replay_pin(&self, seq: u64) -> Option<JournalPin> {
        let st = self.state.lock();
        Some(JournalPin::adopt(st.ring.as_ref()?, seq))
    }

    /// Adds keys to the open entry and pins it. May sleep: for free btree buckets and for room.
    /// Hold no lock of the btree and no other journal pin.
    ///
    /// # Errors
    ///
    /// `EIO` once the set is dead; `EINVAL` if the keys can never fit or the journal is not open.
    pub(crate) fn add(&self, c: &CacheSet, keys: &[Key]) -> Result<JournalPin> {
        c.btree_reserve_wait()?;
        let words: usize = keys.iter().map(Key::words).sum();
        loop {
            let mut st = self.state.lock();
            if let Some(pin) = self.add_to(&mut st, keys, words)? {
                return Ok(pin);
            }
            st.room.ask(words);
            drop(st);
            self.signal.work.wake_all();
            self.signal
                .progress
                .wait_until(|| c.io_disabled() || self.may_try(words));
            if c.io_disabled() {
                return Err(EIO);
            }
        }
    }

    /// Whether who waits for room for so many words is to try again: it is there, or was given to another.
    fn may_try(&self, words: usize) -> bool {
        let st = self.state.lock();
        st.has_room(words) || !st.room.is_short(words)
    }

    /// As [`Journal::add`], if that is possible without waiting. Any task with interrupts on.
    pub(crate) fn try_add(&self, c: &CacheSet, keys: &[Key]) -> Option<JournalPin> {
        if !c.btree_reserve_ok() || c.io_disabled() {
            return None;
        }
        let words: usize = keys.iter().map(Key::words).sum();
        let mut st = self.state.try_lock()?;
        self.add_to(&mut st, keys, words).ok()?
    }

    /// Adds keys of `words` words in all to the open entry, which starts its clock; `None` if there is no room.
    fn add_to(&self, st: &mut State, keys: &[Key], words: usize) -> Result<Option<JournalPin>> {
        let pin = st.add(keys, words)?;
        if pin.is_some() && words != 0 && st.since.is_none() {
            st.since = Some(time::jiffies());
            self.signal.work.wake_all();
        }
        Ok(pin)
    }

    /// Writes the open entry soon, also if nothing was added to it, and even if only reserved space
    /// is left; with `wait` until it is durable. Does nothing while a new cache is being made.
    /// Not with a leaf lock held.
    ///
    /// # Errors
    ///
    /// `EIO` once the set is dead.
    pub(crate) fn meta(&self, c: &CacheSet, wait: bool) -> Result {
        let mut st = self.state.lock();
        if st.ring.is_none() {
            return Ok(());
        }
        st.room.want_urgently();
        let seq = st.seq;
        drop(st);
        self.signal.work.wake_all();
        if wait {
            return self.wait_durable(c, seq);
        }
        Ok(())
    }

    /// Sees to it that the entry `seq`, all before it, and all data with them become durable soon. Gives the entry to wait
    /// for; `None` if they are durable. May sleep; not with a leaf lock held.
    pub(crate) fn start_flush(&self, seq: u64) -> Option<u64> {
        self.flush_from(self.state.lock(), seq)
    }

    /// As [`Journal::start_flush`]. Any task with interrupts on.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if somebody has the journal's lock.
    pub(crate) fn try_start_flush(&self, seq: u64) -> Result<Option<u64>> {
        let st = self.state.try_lock().ok_or(EAGAIN)?;
        Ok(self.flush_from(st, seq))
    }

    /// What both do.
    fn flush_from(&self, mut st: MutexGuard<'_, State>, seq: u64) -> Option<u64> {
        let mut target = seq.min(st.seq);
        if target == st.seq {
            if st.is_empty() {
                // All that was ever added is in earlier entries.
                target = target.wrapping_sub(1);
            } else {
                st.room.want();
            }
        }
        if st.durable >= target {
            return None;
        }
        drop(st);
        self.signal.work.wake_all();
        Some(target)
    }

    /// The newest entry that has something in it: all keys that were ever added are in it or in earlier ones. May sleep.
    pub(crate) fn last_seq(&self) -> u64 {
        let st = self.state.lock();
        if st.is_empty() {
            st.seq.wrapping_sub(1)
        } else {
            st.seq
        }
    }

    /// The first entry that a replay would read, should the machine stop now. May sleep.
    pub(crate) fn needed_from(&self) -> u64 {
        self.state.lock().room.needed_from()
    }

    /// The newest entry that is durable. Any context.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load()
    }

    fn wait_durable(&self, c: &CacheSet, seq: u64) -> Result {
        let mut durable = false;
        self.signal.progress.wait_until(|| {
            durable = self.state.lock().durable >= seq;
            durable || c.io_disabled()
        });
        if durable {
            Ok(())
        } else {
            Err(EIO)
        }
    }

    /// Names the root in all entries written from now on; durable after [`Self::meta`].
    pub(crate) fn set_root(&self, key: Key, level: u16) {
        let mut st = self.state.lock();
        st.heads.root = key;
        st.heads.level = level;
    }

    /// Names the bucket of the uuids in all entries written from now on.
    pub(crate) fn set_uuid_bucket(&self, key: Key) {
        self.state.lock().heads.uuid_bucket = key;
    }

    /// Names the first bucket of the priorities in all entries written from now on.
    pub(crate) fn set_prio_bucket(&self, bucket: u64) {
        self.state.lock().heads.prio_bucket = bucket;
    }

    /// Entries that may still be needed.
    pub(crate) fn active_entries(&self) -> u64 {
        let st = self.state.lock();
        st.ring.as_ref().map_or(0, |ring| ring.in_use())
    }

    /// The buckets of the journal.
    pub(crate) fn bucket_numbers(&self) -> impl Iterator<Item = BucketNr> {
        let st = self.state.lock();
        let first = st.geo.first_bucket().0;
        let n = u32::try_from(st.room.space().buckets()).unwrap_or(0);
        (first..first.saturating_add(n)).map(BucketNr)
    }

    /// Wakes everybody who waits in this file: the set is dead or stops. Any context.
    pub(crate) fn wake_all(&self) {
        self.signal.work.wake_all();
        self.signal.progress.wake_all();
    }
}

impl CacheSet {
    /// Starts the thread that writes the journal.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EINTR`.
    pub(crate) fn journal_start(self: &Arc<Self>) -> Result {
        let writer = writer::Writer::new(self)?;
        let thread = Thread::spawn(c"bcache_journal", move || writer.run())?;
        *self.journal.thread.lock() = Some(thread);
        Ok(())
    }

    /// Writes what is left and stops the thread. Nobody may add keys any more.
    pub(crate) fn journal_stop(&self) {
        let thread = self.journal.thread.lock().take();
        if thread.is_some() && !self.io_disabled() {
            // An entry of its own: all leaves are written, so it says that no older one is needed. Replaced keys
            // are in no entry; a replay would undo them (and make written-back data dirty again).
            if self.journal.meta(self, true).is_err() {
                pr_err!("could not write the last journal entry\n");
            }
        }
        self.journal.wake_all();
        drop(thread);
    }
}
