// SPDX-License-Identifier: GPL-2.0

//! How long btree operations take, for sysfs (C: `struct time_stats` in `util.h`).

use bcache_core::time_stats::TimeStats;
use bcache_kernel::time::local_clock_ns;
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
};

/// Duration and frequency of one kind of operation.
#[pin_data]
pub(crate) struct Timed {
    #[pin]
    stats: Mutex<TimeStats>,
}

impl Timed {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            stats <- new_mutex!(TimeStats::new(), "Timed::stats"),
        })
    }

    /// One operation, begun at `start` (of `local_clock_ns`), is over. May sleep.
    pub(crate) fn add_since(&self, start: u64) {
        self.stats.lock().update(local_clock_ns(), start);
    }

    /// Runs `f` on the numbers. May sleep.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&TimeStats) -> R) -> R {
        f(&self.stats.lock())
    }
}

/// The operations that are timed.
#[pin_data]
pub(crate) struct Times {
    /// Complete runs of gc.
    #[pin]
    pub(crate) gc: Timed,
    /// Splits and compactions of a full leaf.
    #[pin]
    pub(crate) split: Timed,
    /// Distributing the keys of old leaves to new ones (C: sorting).
    #[pin]
    pub(crate) sort: Timed,
    /// Reading a leaf.
    #[pin]
    pub(crate) read: Timed,
}

impl Times {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            gc <- Timed::new(),
            split <- Timed::new(),
            sort <- Timed::new(),
            read <- Timed::new(),
        })
    }
}
