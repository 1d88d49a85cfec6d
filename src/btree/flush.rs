// SPDX-License-Identifier: GPL-2.0

//! Writing what is pending in leaves: in time, when the journal needs room, and at the end.
//!
//! C: `btree_node_write_work` in `btree.c` (a delayed work per node), `btree_flush_write` in
//! `journal.c`. Here one thread per set does it: leaves whose pending set is large are queued for
//! it, and every few seconds it looks for old ones.

use super::leaf::{
    Leaf,
    NO_PIN, //
};
use crate::{
    cache_set::CacheSet,
    flag::Num, //
};
use bcache_kernel::{
    kthread::{
        should_stop,
        Thread, //
    },
    memalloc::noio,
    time::{
        self,
        msecs_to_jiffies, //
    },
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

/// Leaves that can wait in the queue; one more is written by who would queue it.
const QUEUE: usize = 256;
/// Milliseconds after which pending keys are written (C: 30 seconds).
const MAX_AGE_MS: u32 = 30_000;
/// Milliseconds between looks for old ones.
const LOOK_MS: u32 = 5_000;

/// The thread that writes leaves, and its queue.
#[pin_data]
pub(super) struct Flusher {
    #[pin]
    queue: Mutex<KVec<Arc<Leaf>>>,
    /// Length of the queue, to be read without the mutex.
    queued: Num,
    #[pin]
    wait: WaitQueue,
    #[pin]
    thread: Mutex<Option<Thread>>,
}

impl Flusher {
    pub(super) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            queue <- new_mutex!(KVec::with_capacity(QUEUE, GFP_KERNEL)?, "Flusher::queue"),
            queued: Num::new(0),
            wait <- WaitQueue::new(),
            thread <- new_mutex!(None, "Flusher::thread"),
        }? Error)
    }

    fn next(&self) -> Option<Arc<Leaf>> {
        let leaf = self.queue.lock().pop()?;
        self.queued.add(1u32.wrapping_neg());
        Some(leaf)
    }
}

impl CacheSet {
    /// Lets the flusher write a leaf soon. If its queue is full the caller does it. May sleep.
    pub(super) fn queue_leaf(&self, leaf: &Arc<Leaf>) {
        let flusher = &self.btree.flusher;
        if !leaf.queue() {
            return;
        }
        let mut queue = flusher.queue.lock();
        let fits = queue.len() < QUEUE && queue.push_within_capacity(leaf.clone()).is_ok();
        drop(queue);
        if fits {
            flusher.queued.add(1);
            flusher.wait.wake_all();
        } else {
            // An error shows in the state of the set.
            let _ = self.leaf_write(leaf);
        }
    }

    /// As [`CacheSet::queue_leaf`], if that is possible without waiting. Any task with interrupts on.
    pub(super) fn try_queue_leaf(&self, leaf: &Arc<Leaf>) {
        let flusher = &self.btree.flusher;
        let Some(mut queue) = flusher.queue.try_lock() else {
            return;
        };
        if queue.len() >= QUEUE || !leaf.queue() {
            return;
        }
        // There is room for `QUEUE` leaves.
        if queue.push_within_capacity(leaf.clone()).is_ok() {
            drop(queue);
            flusher.queued.add(1);
            flusher.wait.wake_all();
        }
    }

    /// Starts the flusher and lets memory reclaim take clean leaves.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EINTR`.
    pub(super) fn btree_start(self: &Arc<Self>) -> Result {
        let set = self.clone();
        let thread = Thread::spawn(c"bcache_btree", move || set.flush_thread())?;
        *self.btree.flusher.thread.lock() = Some(thread);
        self.shrinker_start()
    }

    /// Stops the flusher and the shrinker. May sleep.
    pub(crate) fn btree_stop(&self) {
        self.shrinker_stop();
        let thread = self.btree.flusher.thread.lock().take();
        drop(thread);
        while self.btree.flusher.next().is_some() {}
    }

    fn flush_thread(&self) {
        let _noio = noio();
        let flusher = &self.btree.flusher;
        let mut looked = time::jiffies();
        while !should_stop() && !self.io_disabled() {
            let work = || flusher.queued.get() != 0 || self.io_disabled();
            flusher
                .wait
                .wait_until_or_stop_timeout(work, msecs_to_jiffies(LOOK_MS));
            while let Some(leaf) = flusher.next() {
                if self.leaf_write(&leaf).is_err() {
                    return;
                }
            }
            let now = time::jiffies();
            if now.saturating_sub(looked) >= msecs_to_jiffies(LOOK_MS) {
                looked = now;
                self.btree.chunks.top_up();
                let old = now.saturating_sub(msecs_to_jiffies(MAX_AGE_MS));
                let flushed =
                    self.flush_leaves(|leaf| leaf.dirty_since().is_some_and(|t| t <= old));
                if flushed.is_err() {
                    return;
                }
            }
        }
    }

    /// Writes all leaves that `which` tells.
    fn flush_leaves(&self, which: impl Fn(&Leaf) -> bool) -> Result {
        let Some(index) = self.btree.index() else {
            return Ok(());
        };
        for leaf in index.iter() {
            if which(leaf) {
                self.leaf_write(leaf)?;
            }
        }
        Ok(())
    }

    /// Writes the leaves that hold journal entries up to `seq`, so that these can be reclaimed.
    /// Takes no locks but those of the leaves. May sleep.
    pub(crate) fn btree_flush_oldest(&self, seq: u64) {
        self.count.flush_write.add(1);
        // What an error leads to is up to the journal's own look at the state of the set.
        let pins = |leaf: &Leaf| leaf.pin_seq() != NO_PIN && leaf.pin_seq() <= seq;
        let _ = self.flush_leaves(pins);
    }

    /// Writes everything that is pending. May sleep.
    ///
    /// # Errors
    ///
    /// `EIO` if the set is dead.
    pub(crate) fn btree_flush_all(&self) -> Result {
        self.flush_leaves(|leaf| leaf.dirty_since().is_some())
    }
}
