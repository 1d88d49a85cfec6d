// SPDX-License-Identifier: GPL-2.0

//! Hits, misses and bypassed sectors of a device or a set, over several windows of time.
//!
//! C: `stats.c`. Events are counted without a lock; every 13.6 seconds a delayed task folds them into the windows
//! (the arithmetic is [`bcache_core::stats`]).

use crate::attach::Attachment;
use bcache_core::stats::{
    self,
    Collector,
    Period,
    Window, //
};
use bcache_kernel::atomic::KWord;
use bcache_kernel::{
    delayed::DelayedTask,
    time, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex}, //
};

/// What the events and the task share.
#[pin_data]
struct Inner {
    collector: Collector<KWord>,
    #[pin]
    windows: Mutex<stats::Accounting>,
}

/// The statistics of one device or set. Dropping them stops the task; may sleep.
pub(crate) struct Accounting {
    inner: Arc<Inner>,
    _task: DelayedTask,
}

impl Accounting {
    /// Statistics that start at zero. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        let inner = Arc::pin_init(
            pin_init!(Inner {
                collector: Collector::new(|| KWord::new(0)),
                windows <- new_mutex!(stats::Accounting::default(), "Accounting::windows"),
            }),
            GFP_KERNEL,
        )?;
        let period = stats::tick_jiffies(time::HZ);
        let shared = inner.clone();
        let task = DelayedTask::new(move |rearm| {
            let new = shared.collector.take();
            shared.windows.lock().tick(&new);
            rearm.arm(period);
        })?;
        task.arm(period);
        Ok(Self { inner, _task: task })
    }

    /// Counts a read: whether the cache had all of it, and whether it went past the cache. Any context.
    pub(crate) fn mark(&self, hit: bool, bypass: bool) {
        self.inner.collector.mark(hit, bypass);
    }

    /// Counts a fill that met a write. Any context.
    pub(crate) fn collision(&self) {
        self.inner.collector.collision();
    }

    /// Counts sectors that went past the cache. Any context.
    pub(crate) fn bypassed(&self, sectors: u64) {
        self.inner.collector.bypassed(sectors);
    }

    /// The numbers of one window, as of the last tick. May sleep.
    pub(crate) fn window(&self, period: Period) -> Window {
        *self.inner.windows.lock().window(period)
    }

    /// Zeroes the window without end (`clear_stats`). May sleep.
    pub(crate) fn clear_total(&self) {
        self.inner.windows.lock().clear_total();
    }
}

/// Events count for the device and for its set.
impl Attachment {
    /// A read is over.
    pub(crate) fn mark_read(&self, hit: bool, bypass: bool) {
        self.dev.stats.mark(hit, bypass);
        self.set.stats.mark(hit, bypass);
    }

    /// A fill met a write.
    pub(crate) fn mark_collision(&self) {
        self.dev.stats.collision();
        self.set.stats.collision();
    }

    /// A request went past the cache.
    pub(crate) fn mark_bypassed(&self, sectors: u64) {
        self.dev.stats.bypassed(sectors);
        self.set.stats.bypassed(sectors);
    }
}
