// SPDX-License-Identifier: GPL-2.0

//! Garbage collection: when it runs, and its thread.
//!
//! C: `bch_gc_thread`, `bch_btree_gc` in `btree.c`. What a run does is in [`super::gc_walk`]; the
//! bucket side in [`crate::alloc`].

use crate::{
    cache_set::CacheSet,
    flag::Flag,
    moved::Moved, //
};
use bcache_core::{
    geometry::Geometry,
    num, //
};
use bcache_kernel::{
    atomic::{
        Atomic,
        Relaxed, //
    },
    kthread::Thread,
    memalloc::noio,
    wait::WaitQueue, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};

/// Share of the cache that is written between two runs (C: 16).
const RUNS_PER_CACHE: i64 = 16;

/// What a complete run found.
#[derive(Clone, Copy, Default)]
pub(crate) struct GcStats {
    /// Nodes of the tree.
    pub(crate) nodes: u64,
    /// Bytes of their valid keys on disk.
    pub(crate) key_bytes: u64,
    /// Valid keys of extents.
    pub(crate) nkeys: u64,
    /// Bytes of cached data they lead to.
    pub(crate) data: u64,
}

/// The gc thread and what wakes it.
#[pin_data]
pub(crate) struct Gc {
    /// Sectors to be written until the next run; negative: run. 64 bit, so that large caches do not
    /// overflow it.
    sectors_left: Atomic<i64>,
    /// Somebody wants a run.
    forced: Flag,
    period: i64,
    #[pin]
    pub(super) wait: WaitQueue,
    #[pin]
    thread: Mutex<Option<Thread>>,
    #[pin]
    stats: Mutex<GcStats>,
}

impl Gc {
    pub(super) fn new(geo: &Geometry) -> impl PinInit<Self> {
        let sectors = i64::from(geo.nbuckets()).saturating_mul(i64::from(geo.bucket_sectors()));
        let period = sectors / RUNS_PER_CACHE;
        pin_init!(Self {
            sectors_left: Atomic::new(period),
            forced: Flag::new(false),
            period,
            wait <- WaitQueue::new(),
            thread <- new_mutex!(None, "Gc::thread"),
            stats <- new_mutex!(GcStats::default(), "Gc::stats"),
        })
    }

    /// What the last run found. May sleep.
    pub(crate) fn stats(&self) -> GcStats {
        *self.stats.lock()
    }

    /// Nodes of the tree as of the last run (sysfs `btree_nodes`). May sleep.
    pub(crate) fn nodes(&self) -> u64 {
        self.stats().nodes
    }

    /// Stores what a run found.
    pub(super) fn set_stats(&self, stats: GcStats) {
        *self.stats.lock() = stats;
    }

    /// The start-up check counted the nodes below the root.
    pub(super) fn seed(&self, nodes: usize) {
        self.stats.lock().nodes = num::u64_from_usize(nodes);
    }

    /// A run begins: who wants one from now on wants another one.
    pub(super) fn begin(&self) {
        self.forced.clear();
        self.restart_count();
    }

    /// Starts to count anew.
    pub(super) fn restart_count(&self) {
        self.sectors_left.store(self.period, Relaxed);
    }
}

impl CacheSet {
    /// `sectors` of data went to the cache: enough of them cause a run. Any context.
    pub(crate) fn gc_account(&self, sectors: u32) {
        let sectors = i64::from(sectors);
        let before = self.btree.gc.sectors_left.fetch_sub(sectors, Relaxed);
        if before >= 0 && before < sectors {
            self.wake_gc();
        }
    }

    /// Lets the gc thread see whether it has to run. Any context.
    pub(crate) fn wake_gc(&self) {
        self.btree.gc.wait.wake_all();
    }

    /// Makes gc run. Any context.
    pub(crate) fn force_wake_gc(&self) {
        self.btree.gc.forced.set();
        self.wake_gc();
    }

    fn gc_should_run(&self) -> bool {
        let gc = &self.btree.gc;
        self.needs_gc() || gc.forced.get() || gc.sectors_left.load(Relaxed) < 0
    }

    /// Starts the gc thread.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EINTR`.
    fn gc_start(self: &Arc<Self>) -> Result {
        let set = self.clone();
        let thread = Thread::spawn(c"bcache_gc", move || set.gc_thread())?;
        *self.btree.gc.thread.lock() = Some(thread);
        Ok(())
    }

    /// Starts the threads of the btree: flusher and gc.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EINTR`; what was started is stopped with the set.
    pub(crate) fn btree_start_threads(self: &Arc<Self>) -> Result {
        self.btree_start()?;
        self.gc_start()
    }

    /// Stops the gc thread; a run under way is given up. May sleep.
    pub(crate) fn gc_stop(&self) {
        let thread = self.btree.gc.thread.lock().take();
        drop(thread);
    }

    fn gc_thread(&self) {
        let _noio = noio();
        let mut moved = Moved::new();
        loop {
            let due = || self.io_disabled() || self.gc_should_run();
            if !self.btree.gc.wait.wait_until_or_stop(due) || self.io_disabled() {
                return;
            }
            moved.release(self);
            // If it failed the thread was asked to stop or the set is dead: the loop looks which.
            if self.gc_run().is_ok() {
                self.moving_gc(&mut moved);
            }
        }
    }

    /// Share of the nodes' space that valid keys take, in percent (sysfs `btree_used_percent`).
    pub(crate) fn btree_used_percent(&self) -> u64 {
        let stats = self.btree.gc.stats();
        let node = u64::from(self.geo.btree_node_sectors()).saturating_mul(512);
        let space = stats.nodes.max(1).saturating_mul(node);
        let keys = stats.key_bytes.saturating_mul(100);
        keys.checked_div(space).unwrap_or(0)
    }

    /// Data per key (sysfs `average_key_size`).
    pub(crate) fn btree_average_key_bytes(&self) -> u64 {
        let stats = self.btree.gc.stats();
        stats.data.checked_div(stats.nkeys).unwrap_or(0)
    }

    /// Forgets what the last run found (sysfs `clear_stats`).
    pub(crate) fn gc_clear_stats(&self) {
        self.btree.gc.set_stats(GcStats::default());
    }
}
