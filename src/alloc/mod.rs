// SPDX-License-Identifier: GPL-2.0

//! Bucket allocation.
//!
//! C: `alloc.c`. A bucket goes round like this:
//!
//! ```text
//!   in use --(gc: nothing dirty, no metadata)--> reclaimable
//!   reclaimable --(allocator thread: generation + 1)--> free_inc      every pointer into it is stale now
//!   free_inc --(priorities and generations durable)--> free lists     only now it may be overwritten
//!   free lists --(bucket_alloc)--> pinned by its new owner --(key in the btree)--> in use
//! ```
//!
//! The step in the middle is what makes reuse safe: if the new generation were not durable, then
//! after a crash old pointers would be valid again and lead to somebody else's data. C's thread
//! goes on without it when the write of the priorities cannot get its buckets; ours does not.
//!
//! Locks: `lists` (a leaf lock, see `docs/locks.md`; the bucket table needs none). It is never held across
//! I/O, and for long scans, once the set runs, only in steps.

mod aging;
mod gc;
mod invalidate;
mod lists;
mod order;
mod thread;

use crate::{
    buckets::{
        BucketPin,
        Mark, //
    },
    cache_set::CacheSet,
    flag::{
        Flag,
        Num, //
    },
};
use aging::Aging;
use bcache_core::{
    alloc::prio::{
        BTREE_PRIO,
        INITIAL_PRIO, //
    },
    geometry::Geometry,
    num::{
        u64_from_usize,
        BucketNr, //
    }, //
};
use bcache_kernel::{
    kthread::Thread,
    wait::WaitQueue, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use lists::Lists;

/// What a bucket is wanted for; each has buckets set aside (C: `enum alloc_reserve`). Priorities are not among them: nobody but
/// [`CacheSet::prio_buckets_alloc`] can name their list, and that does not wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reserve {
    /// Btree nodes and the uuids.
    Btree,
    /// Data moved by gc.
    MovingGc,
    /// Data.
    None,
}

/// Below this many free btree buckets (of at least 31) no new keys are journaled.
const BTREE_LOW: u32 = 8;

/// The allocator of a cache set.
#[pin_data]
pub(crate) struct Allocator {
    #[pin]
    lists: Mutex<Lists>,
    /// The allocator thread sleeps here.
    #[pin]
    work: WaitQueue,
    /// Who needs a bucket sleeps here.
    #[pin]
    freed: WaitQueue,
    #[pin]
    thread: Mutex<Option<Thread>>,
    /// The thread found too little to reuse: only gc can help.
    needs_gc: Flag,
    /// Copy of `Lists::marks_valid` for those who only want to know.
    marks_valid: Flag,
    /// Generations must be durable before buckets are handed out (superblock flag SYNC).
    sync: Flag,
    /// Buckets that hold nothing or clean data.
    avail: Num,
    /// Tasks waiting for a bucket.
    waiters: Num,
    /// Length of the list for btree nodes.
    btree_free: Num,
    aging: Aging,
}

impl Allocator {
    /// An allocator without buckets: [`CacheSet::gc_marks_initial`] finds them.
    ///
    /// # Errors
    ///
    /// `EPERM` if the device is too small, `ENOMEM`.
    pub(crate) fn new(geo: &Geometry) -> impl PinInit<Self, Error> {
        let geo = *geo;
        try_pin_init!(Self {
            lists <- new_mutex!(Lists::new(&geo)?, "Allocator::lists"),
            work <- WaitQueue::new(),
            freed <- WaitQueue::new(),
            thread <- new_mutex!(None, "Allocator::thread"),
            needs_gc: Flag::new(false),
            marks_valid: Flag::new(false),
            sync: Flag::new(false),
            avail: Num::new(0),
            waiters: Num::new(0),
            btree_free: Num::new(0),
            aging: Aging::new(&geo),
        }? Error)
    }

    /// From now on buckets are handed out only after their generations are durable.
    pub(crate) fn set_sync(&self) {
        self.sync.set();
    }
}

/// Buckets.
impl CacheSet {
    /// Gives a bucket of its own to the caller, pinned. It is marked as metadata (`Btree`, `Prio`)
    /// or as holding clean data. The caller keeps the pin until a key on its way to the btree
    /// (or the parent of the node) accounts for the bucket.
    ///
    /// With `wait` the call sleeps for the allocator thread, which may need the journal and gc:
    /// hold no lock that either needs (see `journal/mod.rs`).
    ///
    /// # Errors
    ///
    /// `ENOSPC` if there is none and `wait` is not set, `EIO` once the set is dead.
    pub(crate) fn bucket_alloc(&self, r: Reserve, wait: bool) -> Result<BucketPin> {
        if let Some(pin) = self.try_bucket_alloc(r)? {
            return Ok(pin);
        }
        if !wait {
            self.wake_allocator();
            return Err(ENOSPC);
        }
        let mut got = Err(EIO);
        self.alloc.waiters.add(1);
        self.wake_allocator();
        self.alloc
            .freed
            .wait_until(|| match self.try_bucket_alloc(r) {
                Ok(None) => false,
                Ok(Some(pin)) => {
                    got = Ok(pin);
                    true
                }
                Err(e) => {
                    got = Err(e);
                    true
                }
            });
        self.alloc.waiters.add(1u32.wrapping_neg());
        got
    }

    /// As [`Self::bucket_alloc`] without waiting: `Ok(None)` if there is none.
    fn try_bucket_alloc(&self, r: Reserve) -> Result<Option<BucketPin>> {
        if self.io_disabled() {
            return Err(EIO);
        }
        let mut lists = self.alloc.lists.lock();
        let Some(nr) = lists.pop(r) else {
            return Ok(None);
        };
        self.alloc.btree_free.put(lists.btree_len());
        let pin = self.hand_out(&mut lists, nr, r);
        drop(lists);
        self.wake_allocator();
        Ok(Some(pin))
    }

    /// Marks a bucket from a free list for its new use.
    fn hand_out(&self, lists: &mut Lists, nr: BucketNr, r: Reserve) -> BucketPin {
        let (mark, prio) = match r {
            Reserve::Btree => (Mark::Metadata, BTREE_PRIO),
            Reserve::MovingGc | Reserve::None => (Mark::Reclaimable, INITIAL_PRIO),
        };
        self.buckets.set_mark(nr, mark, self.geo.bucket_sectors());
        self.buckets.set_prio(nr, prio);
        if mark == Mark::Reclaimable {
            lists.order.given_out(nr, &self.buckets);
        }
        let avail = self.alloc.avail.get();
        self.alloc.avail.put(avail.saturating_sub(1));
        self.buckets.adopt(nr)
    }

    /// Takes all buckets of one complete write of the priorities at once, or none. `pins` has room for `n`, and gets
    /// them.
    pub(crate) fn prio_buckets_alloc(&self, n: usize, pins: &mut KVec<BucketPin>) -> Result {
        if self.io_disabled() {
            return Err(EIO);
        }
        let mut lists = self.alloc.lists.lock();
        if lists.prio_len() < n {
            return Err(ENOSPC);
        }
        for _ in 0..n {
            let nr = lists.pop_prio().ok_or(ENOSPC)?;
            // Metadata, as the nodes of the index.
            pins.push(self.hand_out(&mut lists, nr, Reserve::Btree), GFP_KERNEL)?;
        }
        Ok(())
    }

    /// Nothing is in the bucket any more. Its generation stays; its priority is that of unused ones, by which it is known
    /// as empty while gc runs.
    pub(crate) fn bucket_free(&self, b: BucketNr) {
        let mut lists = self.alloc.lists.lock();
        self.buckets.set_mark(b, Mark::Free, 0);
        self.buckets.set_prio(b, 0);
        lists.order.emptied(b);
        let avail = self.alloc.avail.get();
        self.alloc
            .avail
            .put(avail.saturating_add(1).min(self.geo.nbuckets()));
        drop(lists);
    }

    /// Frees the bucket of a btree node to which nothing on the device leads any more, and makes
    /// pointers to it stale. Gives the new generation.
    pub(crate) fn bucket_retire(&self, b: BucketNr) -> u8 {
        let gen = self.buckets.inc_gen(b);
        self.bucket_free(b);
        gen
    }

    /// Whether a split would find its buckets now.
    pub(crate) fn btree_reserve_ok(&self) -> bool {
        self.alloc.btree_free.get() >= BTREE_LOW
    }

    /// Sleeps until [`Self::btree_reserve_ok`]. What comes next may need a split while it pins the
    /// journal.
    ///
    /// # Errors
    ///
    /// `EIO` once the set is dead.
    pub(crate) fn btree_reserve_wait(&self) -> Result {
        if !self.btree_reserve_ok() {
            self.alloc.waiters.add(1);
            self.wake_allocator();
            self.alloc
                .freed
                .wait_until(|| self.btree_reserve_ok() || self.io_disabled());
            self.alloc.waiters.add(1u32.wrapping_neg());
        }
        if self.io_disabled() {
            return Err(EIO);
        }
        Ok(())
    }

    /// Share of the buckets that hold dirty data or metadata or were allocated since the last gc,
    /// 0..=100.
    pub(crate) fn in_use_percent(&self) -> u32 {
        let n = u64::from(self.geo.nbuckets());
        let used = n.saturating_sub(u64::from(self.avail_buckets()));
        let percent = used.saturating_mul(100).checked_div(n).unwrap_or(0);
        u32::try_from(percent).unwrap_or(100)
    }

    /// Buckets that could be had now or by invalidating clean data.
    pub(crate) fn avail_buckets(&self) -> u32 {
        self.alloc.avail.get()
    }

    /// Free buckets that only moving gc may take.
    pub(crate) fn moving_reserve(&self) -> u64 {
        u64_from_usize(self.alloc.lists.lock().len(Reserve::MovingGc))
    }

    /// Whether the marks of the buckets are those of a complete gc.
    pub(crate) fn gc_mark_valid(&self) -> bool {
        self.alloc.marks_valid.get()
    }

    /// Whether the allocator waits for gc.
    pub(crate) fn needs_gc(&self) -> bool {
        self.alloc.needs_gc.get()
    }

    /// Tasks that sleep because there is no free bucket.
    pub(crate) fn bucket_waiters(&self) -> u32 {
        self.alloc.waiters.get()
    }

    /// Lets the allocator thread look for work. Any context.
    pub(crate) fn wake_allocator(&self) {
        self.alloc.work.wake_all();
    }

    /// Wakes everybody who waits in this file: the set is dead or stops. Any context.
    pub(crate) fn alloc_wake_all(&self) {
        self.alloc.work.wake_all();
        self.alloc.freed.wake_all();
    }

    /// Starts the allocator thread.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EINTR`.
    pub(crate) fn allocator_start(self: &Arc<Self>) -> Result {
        let worker = thread::Worker::new(self)?;
        let thread = Thread::spawn(c"bcache_allocator", move || worker.run())?;
        *self.alloc.thread.lock() = Some(thread);
        Ok(())
    }

    /// Stops the allocator thread and waits for its end. Nobody may need a bucket any more.
    pub(crate) fn allocator_stop(&self) {
        let thread = self.alloc.thread.lock().take();
        self.alloc_wake_all();
        drop(thread);
    }
}
