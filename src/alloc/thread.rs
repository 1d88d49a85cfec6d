// SPDX-License-Identifier: GPL-2.0

//! The allocator thread: invalidate, make durable, hand out.
//!
//! C: `bch_allocator_thread` in `alloc.c`.

use super::lists::{
    ring,
    sizes,
    Ring, //
};
use crate::{
    buckets::Mark,
    cache_set::CacheSet, //
};
use bcache_core::num::BucketNr;
use bcache_kernel::memalloc;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// What only the thread itself touches.
pub(super) struct Worker {
    pub(super) c: Arc<CacheSet>,
    /// Buckets invalidated in memory whose new generation is not durable yet; each has one pin.
    pub(super) inc: Ring,
    /// Where the fifo policy goes on.
    pub(super) fifo_next: BucketNr,
}

impl Worker {
    /// Allocates all the thread needs, so that it never has to.
    pub(super) fn new(c: &Arc<CacheSet>) -> Result<Self> {
        let s = sizes(&c.geo)?;
        Ok(Self {
            c: c.clone(),
            inc: ring(s.free_inc)?,
            fifo_next: BucketNr(0),
        })
    }

    /// The thread function.
    pub(super) fn run(mut self) {
        let _noio = memalloc::noio();
        while self.hand_out() && self.fill() && self.persist() {}
    }

    /// Sleeps until `cond`; false if the thread has to end.
    fn wait(&self, mut cond: impl FnMut() -> bool) -> bool {
        let c = &self.c;
        c.alloc.work.wait_until_or_stop(|| {
            c.buckets.settle();
            c.io_disabled() || cond()
        }) && !c.io_disabled()
    }

    /// Moves `free_inc` to the free lists as room appears there.
    fn hand_out(&mut self) -> bool {
        while let Some(nr) = self.inc.pop() {
            let c = self.c.clone();
            let pushed = self.wait(|| {
                let mut lists = c.alloc.lists.lock();
                let pushed = lists.push(BucketNr(nr));
                c.alloc.btree_free.put(lists.btree_len());
                pushed
            });
            if !pushed {
                return false;
            }
            c.alloc.freed.wake_all();
        }
        true
    }

    /// Fills `free_inc`, waiting for gc when nothing more can be reused.
    fn fill(&mut self) -> bool {
        loop {
            let c = self.c.clone();
            if !self.wait(|| !c.needs_gc()) {
                return false;
            }
            self.invalidate();
            // Before there is anything on the device to protect, a few buckets are as good as many.
            if self.inc.is_full() || !c.alloc.sync.get() {
                return true;
            }
        }
    }

    /// Makes the new generations durable.
    fn persist(&mut self) -> bool {
        let c = self.c.clone();
        while c.alloc.sync.get() {
            match c.prio_write() {
                Ok(()) => return true,
                Err(_) if c.io_disabled() => return false,
                Err(_) => {}
            }
            // Too few buckets set aside for the priorities; see below.
            if !self.lend_empty_to_prio() {
                c.alloc.needs_gc.set();
                c.wake_gc();
            }
            if !self.wait(|| !c.needs_gc()) {
                return false;
            }
        }
        true
    }

    /// Buckets that were empty according to gc may be overwritten without a durable generation,
    /// once all that emptied them is durable: nothing on the device leads to them. They help
    /// the write of the priorities out when its own reserve is short (which only an unlucky
    /// crash can cause). What was taken while gc ran has the mark of a full bucket. True if
    /// some were found.
    fn lend_empty_to_prio(&mut self) -> bool {
        if self.c.journal.meta(&self.c, true).is_err() {
            return false;
        }
        let mut lent = false;
        for _ in 0..self.inc.len() {
            let Some(nr) = self.inc.pop() else { break };
            let b = BucketNr(nr);
            let empty = self.c.buckets.mark(b) == Mark::Free && self.c.buckets.sectors_used(b) == 0;
            let mut lists = self.c.alloc.lists.lock();
            if empty && lists.push_prio(b) {
                lent = true;
            } else if self.inc.push(nr).is_err() {
                self.c.buckets.unpin(b);
            }
        }
        lent
    }
}
