// SPDX-License-Identifier: GPL-2.0

//! The rate of background writeback and its limiter.
//!
//! C: `writeback_rate` of `struct cached_dev`, `writeback_delay` in `writeback.c`. The arithmetic is
//! [`bcache_core::writeback::rate`]; who sets the rate is in [`super::control`].

use crate::{
    attach::Attachment,
    flag::{Num, Num64}, //
};
use bcache_core::{
    text::RateDebug,
    writeback::{
        pi::PiOutput,
        rate::RateLimiter, //
    }, //
};
use bcache_kernel::{
    atomic::{
        Atomic,
        Relaxed, //
    },
    time, //
};

/// Rate before the first step of the controller, in sectors per second.
const FIRST_RATE: u32 = 1024;

/// Rate, limiter and what the controller shows of itself. Any context; numbers without ordering.
pub(crate) struct Rate {
    /// Sectors per second, never 0.
    rate: Num,
    /// When the next writeback may start, in nanoseconds of the local clock; the thread writes it.
    next_ns: Num64,
    /// Only the controller writes what follows.
    proportional: Atomic<i64>,
    integral_scaled: Atomic<i64>,
    change: Atomic<i64>,
    target: Num64,
}

impl Rate {
    /// The rate of a device that was just registered. It outlives an attachment, as in C.
    pub(crate) const fn new() -> Self {
        Self {
            rate: Num::new(FIRST_RATE),
            next_ns: Num64::new(0),
            proportional: Atomic::new(0),
            integral_scaled: Atomic::new(0),
            change: Atomic::new(0),
            target: Num64::new(0),
        }
    }

    /// Sectors per second.
    pub(crate) fn get(&self) -> u32 {
        self.rate.get()
    }

    /// Sets the rate until the controller's next step (sysfs, idle detection).
    pub(crate) fn set(&self, rate: u32) {
        self.rate.put(rate.max(1));
    }

    /// Forgets being early or late. The writeback thread.
    pub(super) fn reset(&self) {
        self.next_ns.put(time::local_clock_ns());
    }

    /// Accounts for `done` sectors; gives the jiffies to wait. The writeback thread.
    pub(super) fn delay(&self, done: u64) -> u64 {
        let mut limiter = RateLimiter {
            next_ns: self.next_ns.get(),
        };
        let jiffies = limiter.next_delay(time::local_clock_ns(), self.get(), done, time::HZ);
        self.next_ns.put(limiter.next_ns);
        u64::from(jiffies)
    }

    /// What `writeback_rate_debug` shows of a device with so many dirty sectors.
    pub(super) fn debug(&self, running: bool, dirty: i64) -> RateDebug {
        let limiter = RateLimiter {
            next_ns: self.next_ns.get(),
        };
        RateDebug {
            running,
            rate: i64::from(self.get()),
            dirty,
            target: i64::try_from(self.target.get()).unwrap_or(i64::MAX),
            proportional: self.proportional.load(Relaxed),
            integral: self.integral_scaled.load(Relaxed),
            change: self.change.load(Relaxed),
            next_io_ms: limiter.next_io_ms(time::local_clock_ns()),
        }
    }

    /// Full speed: the controller's terms do not count. The controller.
    pub(super) fn raise(&self, rate: u32) {
        self.set(rate);
        self.proportional.store(0, Relaxed);
        self.integral_scaled.store(0, Relaxed);
        self.change.store(0, Relaxed);
    }

    /// The result of a step is in force. The controller.
    pub(super) fn show(&self, out: &PiOutput) {
        self.proportional.store(out.proportional, Relaxed);
        self.integral_scaled.store(out.integral_scaled, Relaxed);
        self.change.store(out.change, Relaxed);
        self.target.put(out.target);
        self.set(out.rate);
    }

    /// When the next writeback may start, in nanoseconds of the local clock.
    pub(super) fn next_ns(&self) -> u64 {
        self.next_ns.get()
    }

    /// Dirty sectors that the last step aimed at.
    pub(super) fn target(&self) -> i64 {
        i64::try_from(self.target.get()).unwrap_or(i64::MAX)
    }
}

impl Attachment {
    /// How long the writeback thread has to wait after `done` sectors, in jiffies.
    pub(super) fn writeback_delay(&self, done: u64) -> u64 {
        if self.detaching.get() || self.dev.tun.writeback_percent.get() == 0 {
            return 0;
        }
        self.dev.rate.delay(done)
    }
}
