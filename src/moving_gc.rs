// SPDX-License-Identifier: GPL-2.0

//! Moving gc: data of sparsely used buckets goes to fewer buckets. Off by default
//! (`copy_gc_enabled`).
//!
//! C: `movinggc.c`. It runs in the gc thread after each complete gc, whose marks tell how much of
//! each bucket is in use. C has up to 64 moves in flight; here they follow each other, in pieces
//! that fit one buffer.
//!
//! A move copies the data, then replaces exactly the key that was read: what a writer changed
//! meanwhile stays as the writer wants it. The copy is written with FUA. The old bucket is reused
//! only after another gc, which writes the leaf, and with dirty data after the journal has forgotten
//! it, too ([`Moved`]); with the copy durable before its key, dirty data survives a crash at any moment.

use crate::{
    alloc::Reserve,
    btree::Wait,
    buckets::{
        BucketPin,
        Mark, //
    },
    cache_set::CacheSet,
    moved::Moved, //
};
use bcache_core::{
    alloc::{
        heap::Smallest,
        sort::heapsort, //
    },
    key::{
        Key,
        Pos, //
    },
    num::{
        usize_from_u32,
        BucketNr, //
    }, //
};
use bcache_kernel::{
    block::{
        Opf,
        Status, //
    },
    dma::DmaBuf,
    kthread::should_stop,
    time::cond_resched, //
};
use kernel::prelude::*;

/// Buckets that one run empties at most.
const MOST_BUCKETS: usize = 1024;
/// Keys that are looked up at a time.
const BATCH: usize = 64;
/// Sectors that are copied at a time.
const PIECE: u32 = 256;
/// Tells the moved data apart from that of writers (any number no task has).
const WRITE_POINT: u32 = u32::MAX;

/// A bucket that may be emptied: what it holds and its number.
type Candidate = (u32, BucketNr);

/// Why a run ends early: no space, a stop, a dead set.
struct Enough;

/// The buckets to be emptied.
struct Chosen<'a> {
    /// By number; the first of each is 0.
    buckets: &'a [Candidate],
    /// A pin for each that data was moved from.
    emptied: KVec<Option<BucketPin>>,
}

impl<'a> Chosen<'a> {
    fn new(buckets: &'a [Candidate]) -> Result<Self> {
        let mut emptied = KVec::with_capacity(buckets.len(), GFP_NOWAIT)?;
        for _ in buckets {
            emptied.push_within_capacity(None).map_err(|_| ENOMEM)?;
        }
        Ok(Self { buckets, emptied })
    }

    /// The place of a bucket, if it is to be emptied.
    fn place(&self, b: BucketNr) -> Option<usize> {
        self.buckets.binary_search(&(0, b)).ok()
    }

    /// A key of the bucket that `pin` holds is moved.
    fn note_moved(&mut self, pin: &BucketPin) {
        let place = self.place(pin.nr());
        if let Some(slot) = place.and_then(|i| self.emptied.get_mut(i)) {
            slot.get_or_insert_with(|| pin.clone());
        }
    }
}

impl CacheSet {
    /// A whole run. May sleep long; gc thread only.
    pub(crate) fn moving_gc(&self, moved: &mut Moved) {
        if !self.tun.copy_gc_enabled.get() {
            return;
        }
        // Without memory there is simply no run. Who waits for a bucket waits for this thread: it must not wait for memory
        // in turn.
        let Ok(mut slots) = KVec::from_elem((0, BucketNr(0)), MOST_BUCKETS, GFP_NOWAIT) else {
            return;
        };
        let Some(mut buf) = DmaBuf::try_new(usize_from_u32(PIECE).saturating_mul(512)) else {
            return;
        };
        let buckets = self.choose_buckets(&mut slots);
        if buckets.is_empty() || moved.reserve(buckets.len()).is_err() {
            return;
        }
        let Ok(mut chosen) = Chosen::new(buckets) else {
            return;
        };
        // It ends when it ends.
        let _ = self.move_keys(&mut chosen, &mut buf);
        moved.hold(self, chosen.emptied.into_iter().flatten());
    }

    /// The least used buckets whose data fits into the reserve of moving gc, by number.
    fn choose_buckets<'a>(&self, slots: &'a mut [Candidate]) -> &'a [Candidate] {
        let whole = self.geo.bucket_sectors();
        let mut smallest = Smallest::new(slots);
        for b in self.buckets.all() {
            let sectors = self.buckets.sectors_used(b);
            let metadata = self.buckets.mark(b) == Mark::Metadata;
            if !metadata && sectors != 0 && sectors < whole && !self.buckets.pinned(b) {
                smallest.offer((sectors, b));
            }
        }
        let found = smallest.into_ascending();
        let mut room = u64::from(whole).saturating_mul(self.moving_reserve());
        let fit = found.iter().take_while(|(sectors, _)| {
            let sectors = u64::from(*sectors);
            let fits = sectors <= room;
            room = room.saturating_sub(sectors);
            fits
        });
        let fit = fit.count();
        let chosen = found.get_mut(..fit).unwrap_or_default();
        // From here on only the numbers count: they are to be searched.
        for c in chosen.iter_mut() {
            c.0 = 0;
        }
        heapsort(chosen);
        chosen
    }

    /// Moves all keys that lead into the chosen buckets.
    fn move_keys(&self, chosen: &mut Chosen<'_>, buf: &mut DmaBuf) -> Result<(), Enough> {
        let mut keys = KVec::with_capacity(BATCH, GFP_NOWAIT).map_err(|_| Enough)?;
        let mut pos = Pos::MIN;
        while pos < Pos::MAX {
            keys.clear();
            self.btree_lookup(pos, Pos::MAX, false, &mut |k| {
                if self.leads_to(k, chosen) {
                    // The vector has room for the batch.
                    let _ = keys.push_within_capacity(*k);
                }
                keys.len() < BATCH
            })
            .map_err(|_| Enough)?;
            for k in &keys {
                self.move_key(k, chosen, buf)?;
                cond_resched();
            }
            match keys.last() {
                Some(last) if keys.len() >= BATCH => pos = last.pos(),
                _ => break,
            }
        }
        Ok(())
    }

    /// Whether a valid key leads into one of the buckets.
    fn leads_to(&self, k: &Key, chosen: &Chosen<'_>) -> bool {
        let Some(ptr) = k.ptr() else { return false };
        let Some(b) = self.buckets.bucket_of(ptr) else {
            return false;
        };
        self.buckets.ptr_stale(ptr) == 0 && chosen.place(b).is_some()
    }

    /// Moves the data of one key, in pieces.
    fn move_key(&self, k: &Key, chosen: &mut Chosen<'_>, buf: &mut DmaBuf) -> Result<(), Enough> {
        let mut rest = *k;
        while rest.size() != 0 {
            if self.io_disabled() || self.flags.stopping.get() || should_stop() {
                return Err(Enough);
            }
            let piece = rest.piece(rest.start(), rest.start().saturating_add(u64::from(PIECE)));
            let moved = self.move_piece(&piece, chosen, buf)?;
            if moved == 0 {
                // Unreadable, or gone meanwhile.
                return Ok(());
            }
            rest.cut_front(rest.start().saturating_add(u64::from(moved)));
        }
        Ok(())
    }

    /// Copies the start of `k`, as far as there is contiguous space; gives the sectors done.
    fn move_piece(
        &self,
        k: &Key,
        chosen: &mut Chosen<'_>,
        buf: &mut DmaBuf,
    ) -> Result<u32, Enough> {
        let Some(ptr) = k.ptr() else { return Ok(0) };
        // The pin keeps the old data where it is while it is read.
        let Some(old) = self.buckets.pin_valid(ptr) else {
            return Ok(0);
        };
        let extent = self
            .alloc_sectors(
                k.size(),
                k.inode(),
                k.start(),
                WRITE_POINT,
                Reserve::MovingGc,
                false,
            )
            .map_err(|_| Enough)?;
        let bytes = usize_from_u32(extent.sectors).saturating_mul(512);
        let read = self.bdev.read_sync(ptr.sector(), buf, 0..bytes, Opf::READ);
        if self.failed(read, "reading data to move") {
            return Ok(0);
        }
        if k.dirty() {
            self.buckets.mark_dirty(extent.pin.nr());
        }
        // Of clean data, too: an entry of the journal may have the key, from when it was dirty.
        chosen.note_moved(&old);
        let opf = Opf::WRITE | Opf::FUA;
        let wrote = self
            .bdev
            .write_sync(extent.ptr.sector(), buf, 0..bytes, opf);
        if self.failed(wrote, "writing data to cache") {
            return Ok(0);
        }
        let (inode, start) = (k.inode(), k.start());
        let new = Key::extent(inode, start, extent.sectors, k.dirty(), Some(extent.ptr));
        // Sectors that were changed meanwhile are left alone.
        // A bucket for a split, which only the next gc may give, is not waited for: that is this thread's.
        self.btree_replace(&new, k, Wait::AllButBuckets)
            .map_err(|_| Enough)?;
        Ok(extent.sectors)
    }

    /// Counts the outcome of an I/O; true if it failed.
    fn failed(&self, done: Result<(), Status>, what: &str) -> bool {
        let status = done.err().unwrap_or(Status::OK);
        self.count_io_error(status, what);
        !status.is_ok()
    }
}
