// SPDX-License-Identifier: GPL-2.0

//! The rate of background writeback: its controller, its limiter, and full speed while the set is idle.
//!
//! C: `update_writeback_rate`, `__update_writeback_rate`, `set_at_max_writeback_rate`, `writeback_delay` in
//! `writeback.c`. The arithmetic is [`bcache_core::writeback`].

use crate::{
    attach::Attachment,
    flag::{Num, Num64}, //
};
use bcache_core::{
    text::RateDebug,
    writeback::{
        idle::{Idle, MaxGate, MAX_RATE, QUIT_RATE},
        pi::{self, PiInput, PiState},
        rate::RateLimiter, //
    }, //
};
use bcache_kernel::atomic::KWord;
use bcache_kernel::time;
use kernel::{
    sync::atomic::{Atomic, Relaxed}, //
};

/// Rate before the first step of the controller, in sectors per second.
const FIRST_RATE: u32 = 1024;
/// Rounds that the controller skips at most because the writeback lock is taken.
const MAX_SKIPS: u32 = 15;
/// Percent of the buckets in use from which on a gc is asked for after writeback.
const GC_AFTER_PERCENT: u32 = 50;

/// Idle detection of a set.
pub(crate) struct SetIdle(Idle<KWord>);

impl SetIdle {
    /// Not idle.
    pub(crate) const fn new() -> Self {
        Self(Idle::new(KWord::new(0), KWord::new(0)))
    }
}

/// Rate, limiter and what the controller shows of itself. Any context; numbers without ordering.
pub(crate) struct Rate {
    /// Sectors per second, never 0.
    rate: Num,
    /// When the next writeback may start, in nanoseconds of the local clock; the thread writes it.
    next_ns: Num64,
    /// Only the controller writes what follows.
    integral: Atomic<i64>,
    proportional: Atomic<i64>,
    integral_scaled: Atomic<i64>,
    change: Atomic<i64>,
    target: Num64,
    skips: Num,
}

impl Rate {
    /// The rate of a device that was just registered. It outlives an attachment, as in C.
    pub(crate) const fn new() -> Self {
        Self {
            rate: Num::new(FIRST_RATE),
            next_ns: Num64::new(0),
            integral: Atomic::new(0),
            proportional: Atomic::new(0),
            integral_scaled: Atomic::new(0),
            change: Atomic::new(0),
            target: Num64::new(0),
            skips: Num::new(0),
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

    /// A new attachment begins: what the controller summed up for the one before means nothing for it (C keeps it).
    pub(super) fn forget_errors(&self) {
        self.integral.store(0, Relaxed);
        self.skips.put(0);
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

    /// Full speed: the controller's terms do not count.
    fn raise(&self) {
        self.set(MAX_RATE);
        self.proportional.store(0, Relaxed);
        self.integral_scaled.store(0, Relaxed);
        self.change.store(0, Relaxed);
    }
}

impl Attachment {
    /// A request came: ends full speed, if that was the state of the set. Process context.
    pub(crate) fn note_io(&self) {
        if self.set.idle.0.note_io() {
            self.set.for_each_device(|att| att.dev.rate.set(QUIT_RATE));
        }
    }

    /// One round of the controller; false if there shall be no further one. Worker.
    pub(super) fn update_rate(&self) -> bool {
        if self.set.io_disabled() {
            return false;
        }
        let wanted = self.wb.has_dirty.get() && self.dev.tun.writeback_percent.get() != 0;
        if wanted && !self.idle_maximum() {
            self.step_if_lock();
        }
        !self.set.io_disabled()
    }

    /// Whether the set is idle, so that the rate is at its maximum.
    fn idle_maximum(&self) -> bool {
        let gate = MaxGate {
            enabled: self.set.tun.idle_max_writeback_rate.get(),
            gc_mark_valid: self.set.gc_mark_valid(),
            attached: self.set.attached_dev_nr.get(),
        };
        self.set.idle.0.set_at_max(&gate, || self.dev.rate.raise())
    }

    /// A step of the controller, with the writeback lock held shared; it is skipped some times rather than wait for the
    /// lock.
    fn step_if_lock(&self) {
        let rate = &self.dev.rate;
        let _pass = match self.wb.lock.try_enter() {
            Some(pass) => pass,
            None => {
                let skips = rate.skips.add(1).saturating_add(1);
                if skips <= MAX_SKIPS {
                    return;
                }
                let pass = self.wb.lock.enter();
                rate.skips.put(0);
                pass
            }
        };
        self.step();
        let tun = &self.set.tun;
        if tun.gc_after_writeback.get() == 1 && self.set.in_use_percent() >= GC_AFTER_PERCENT {
            tun.gc_after_writeback.put(3);
        }
    }

    fn step(&self) {
        let rate = &self.dev.rate;
        let input = self.controller_input();
        let mut state = PiState {
            integral: rate.integral.load(Relaxed),
        };
        let out = pi::step(&mut state, &input);
        rate.integral.store(state.integral, Relaxed);
        rate.proportional.store(out.proportional, Relaxed);
        rate.integral_scaled.store(out.integral_scaled, Relaxed);
        rate.change.store(out.change, Relaxed);
        rate.target.put(out.target);
        rate.set(out.rate);
    }

    fn controller_input(&self) -> PiInput {
        let (set, tun) = (&self.set, &self.dev.tun);
        PiInput {
            nbuckets: u64::from(set.geo.nbuckets()),
            bucket_sectors: set.geo.bucket_sectors(),
            flash_dirty: 0,
            bdev_sectors: self.dev.bdev.nr_sectors(),
            cached_dev_sectors: set.cached_dev_sectors.get(),
            percent: tun.writeback_percent.get(),
            dirty: self.wb.stripes.total(),
            avail_buckets: u64::from(set.avail_buckets()),
            in_use: set.in_use_percent(),
            consider_fragment: tun.writeback_consider_fragment.get(),
            update_seconds: tun.writeback_rate_update_seconds.get(),
            p_inverse: tun.writeback_rate_p_term_inverse.get(),
            i_inverse: tun.writeback_rate_i_term_inverse.get(),
            fp_low: tun.writeback_rate_fp_term_low.get(),
            fp_mid: tun.writeback_rate_fp_term_mid.get(),
            fp_high: tun.writeback_rate_fp_term_high.get(),
            minimum: tun.writeback_rate_minimum.get(),
            now_ns: time::local_clock_ns(),
            next_ns: self.dev.rate.next_ns.get(),
            old_rate: self.dev.rate.get(),
        }
    }

    /// Jiffies until the rate is to be worked out again.
    pub(super) fn update_period(&self) -> u64 {
        let seconds = self.dev.tun.writeback_rate_update_seconds.get();
        u64::from(seconds).saturating_mul(u64::from(time::HZ))
    }

    /// How long the writeback thread has to wait after `done` sectors, in jiffies.
    pub(super) fn writeback_delay(&self, done: u64) -> u64 {
        if self.detaching.get() || self.dev.tun.writeback_percent.get() == 0 {
            return 0;
        }
        self.dev.rate.delay(done)
    }
}
