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
    new_irq_spin,
    spin::IrqSpin,
    time, //
};
use kernel::prelude::*;

/// Rate before the first step of the controller, in sectors per second.
const FIRST_RATE: u32 = 1024;

/// What the controller shows of its last step.
#[derive(Clone, Copy, Default)]
struct Terms {
    proportional: i64,
    integral_scaled: i64,
    change: i64,
    /// Dirty sectors that it aims at.
    target: i64,
}

/// Rate, limiter and what the controller shows of itself. Any context; numbers without ordering.
#[pin_data]
pub(crate) struct Rate {
    /// Sectors per second, never 0.
    rate: Num,
    /// When the next writeback may start, in nanoseconds of the local clock; the thread writes it.
    next_ns: Num64,
    /// One value, so that nobody sees numbers of two steps beside each other (C's file can mix them). The rate of a step is
    /// set with the lock held. A leaf lock (`docs/locks.md`).
    #[pin]
    terms: IrqSpin<Terms>,
}

impl Rate {
    /// The rate of a device that was just registered. It outlives an attachment, as in C.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            rate: Num::new(FIRST_RATE),
            next_ns: Num64::new(0),
            terms <- new_irq_spin!(Terms::default(), c"bcache rate"),
        })
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
        let (terms, rate) = {
            let terms = self.terms.lock();
            (*terms, self.get())
        };
        RateDebug {
            running,
            rate: i64::from(rate),
            dirty,
            target: terms.target,
            proportional: terms.proportional,
            integral: terms.integral_scaled,
            change: terms.change,
            next_io_ms: limiter.next_io_ms(time::local_clock_ns()),
        }
    }

    /// Full speed: the controller's terms do not count. The controller.
    pub(super) fn raise(&self, rate: u32) {
        let mut terms = self.terms.lock();
        *terms = Terms {
            target: terms.target,
            ..Terms::default()
        };
        self.set(rate);
    }

    /// The result of a step is in force. The controller.
    pub(super) fn show(&self, out: &PiOutput) {
        let mut terms = self.terms.lock();
        *terms = Terms {
            proportional: out.proportional,
            integral_scaled: out.integral_scaled,
            change: out.change,
            target: i64::try_from(out.target).unwrap_or(i64::MAX),
        };
        self.set(out.rate);
    }

    /// When the next writeback may start, in nanoseconds of the local clock.
    pub(super) fn next_ns(&self) -> u64 {
        self.next_ns.get()
    }

    /// Dirty sectors that the last step aimed at.
    pub(super) fn target(&self) -> i64 {
        self.terms.lock().target
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
