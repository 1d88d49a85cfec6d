// SPDX-License-Identifier: GPL-2.0

//! What the controller of the writeback rate knows of one attachment, and its steps.
//!
//! C: `update_writeback_rate`, `__update_writeback_rate`, `set_at_max_writeback_rate` in `writeback.c`. The laws are
//! [`bcache_core::writeback::control`].

use super::waits::ForegroundWaits;
use crate::{
    attach::Attachment,
    flag::{Num, Num64}, //
};
use bcache_core::{
    gc::pace,
    writeback::{
        control::{Control, Input, Law, Reason, Step},
        idle::{Idle, MaxGate, Round, MAX_RATE, QUIT_RATE},
        latency::Waits,
        pi::PiInput,
        record::{self, Record, Records}, //
    }, //
};
use bcache_kernel::{
    atomic::KWord,
    new_irq_spin,
    spin::IrqSpin,
    time, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
};

/// Rounds that the controller skips at most because the writeback lock is taken.
const MAX_SKIPS: u32 = 15;

/// The controller of one attachment. It begins anew with each: no integral is left over.
#[pin_data]
pub(crate) struct Controller {
    /// Idle detection of the device.
    idle: Idle<KWord>,
    /// Sectors that writeback has made clean. The thread adds.
    cleaned: Num64,
    /// Rounds that were skipped because the writeback lock was taken.
    skips: Num,
    /// How long requests take in the backing device, for the law that looks at it.
    pub(crate) waits: ForegroundWaits,
    /// Taken by the steps, which are one after the other.
    #[pin]
    state: Mutex<State>,
    /// The last steps, for debugfs.
    #[pin]
    records: IrqSpin<Records>,
}

/// What is carried from one step to the next.
struct State {
    control: Control,
    /// The sums of `waits` at the last step.
    waits: Waits,
}

impl Controller {
    /// Of a device that is just being attached.
    pub(super) fn new() -> impl PinInit<Self> {
        let state = State {
            control: Control::default(),
            waits: Waits::default(),
        };
        pin_init!(Self {
            idle: Idle::new(KWord::new(0), KWord::new(0)),
            cleaned: Num64::new(0),
            skips: Num::new(0),
            waits: ForegroundWaits::new(),
            state <- new_mutex!(state, "Controller::state"),
            records <- new_irq_spin!(Records::new(), c"bcache controller records"),
        })
    }

    /// The last steps; see [`StepsText`]. Any context.
    pub(crate) fn steps(&self) -> StepsText<'_> {
        StepsText(self)
    }

    fn record(&self, law: Law, step: Step) {
        let ms = time::local_clock_ns() / 1_000_000;
        self.records.lock().push(Record { ms, law, step });
    }

    /// Writeback has made so many sectors clean. The writeback thread.
    pub(super) fn note_cleaned(&self, sectors: u32) {
        self.cleaned.add(u64::from(sectors));
    }
}

/// Prints the last steps, the oldest first, one a line after a line that names the values.
pub(crate) struct StepsText<'a>(&'a Controller);

impl core::fmt::Display for StepsText<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(record::HEADER)?;
        let end = self.0.records.lock().count();
        for n in end.saturating_sub(record::KEPT)..end {
            // One at a time: nothing is printed with the lock held.
            let row = self.0.records.lock().get(n).copied();
            if let Some(row) = row {
                write!(f, "{n},{row}")?;
            }
        }
        Ok(())
    }
}

impl Attachment {
    /// The law of the controller. Any context.
    pub(crate) fn law(&self) -> Law {
        Law::from_index(self.dev.tun.writeback_controller.get())
    }

    /// A request came: ends full speed, if that was the state of the device. Process context.
    pub(crate) fn note_io(&self) {
        if self.wb.control.idle.note_io() {
            self.dev.rate.set(QUIT_RATE);
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

    /// Whether the device is idle, so that the rate is at its maximum.
    fn idle_maximum(&self) -> bool {
        let tun = &self.dev.tun;
        let gate = MaxGate {
            enabled: self.set.tun.idle_max_writeback_rate.get(),
            gc_mark_valid: self.set.gc_mark_valid(),
            steps: self
                .law()
                .idle_steps(tun.writeback_rate_update_seconds.get()),
        };
        let minimum = tun.writeback_rate_minimum.get();
        let most = tun.writeback_rate_maximum.get().max(minimum).min(MAX_RATE);
        let control = &self.wb.control;
        let round = control.idle.set_at_max(&gate, || {
            self.dev.rate.raise(most);
            self.record_idle(most);
        });
        if round == Round::Ended {
            self.dev.rate.set(QUIT_RATE);
        }
        round == Round::Idle
    }

    /// Notes the beginning of an idle time.
    fn record_idle(&self, rate: u32) {
        let control = &self.wb.control;
        let last = control.records.lock().last().map(|r| r.step.reason);
        if last != Some(Reason::Idle) {
            let mut step = Step {
                reason: Reason::Idle,
                ..Step::NONE
            };
            step.out.rate = rate;
            step.out.dirty = self.wb.stripes.total();
            control.record(self.law(), step);
        }
    }

    /// A step of the controller, with the writeback lock held shared; it is skipped some times rather than wait for the
    /// lock.
    fn step_if_lock(&self) {
        let skipped = &self.wb.control.skips;
        let _pass = match self.wb.lock.try_enter() {
            Some(pass) => {
                skipped.put(0);
                pass
            }
            None => {
                let skips = skipped.add(1).saturating_add(1);
                if skips <= MAX_SKIPS {
                    return;
                }
                let pass = self.wb.lock.enter();
                skipped.put(0);
                pass
            }
        };
        self.step();
        let in_use = self.set.in_use_percent();
        let flags = &self.set.tun.gc_after_writeback;
        flags.change(|flags| pace::after_writeback(flags, in_use));
    }

    fn step(&self) {
        let mut state = self.wb.control.state.lock();
        let sums = self.wb.control.waits.sums();
        let input = self.controller_input(sums.since(&state.waits));
        state.waits = sums;
        let step = state.control.step(&input);
        self.dev.rate.show(&step.out);
        self.wb.control.record(input.law, step);
    }

    /// The share of the cache that may be dirty has become another: the rate follows at once. Only the rate: steps come when
    /// they would have come. C: nothing, until the next update. Process context.
    pub(super) fn reaim_rate(&self) {
        let control = &self.wb.control;
        let wanted = self.wb.has_dirty.get() && self.dev.tun.writeback_percent.get() != 0;
        if !wanted || self.set.io_disabled() || control.idle.at_max() {
            return;
        }
        let state = control.state.lock();
        let input = self.controller_input(Waits::default());
        if let Some(step) = state.control.reaim(&input) {
            self.dev.rate.show(&step.out);
            control.record(input.law, step);
        }
    }

    fn controller_input(&self, waits: Waits) -> Input {
        let (set, tun) = (&self.set, &self.dev.tun);
        let pi = PiInput {
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
            next_ns: self.dev.rate.next_ns(),
            old_rate: self.dev.rate.get(),
        };
        Input {
            law: self.law(),
            pi,
            maximum: tun.writeback_rate_maximum.get(),
            cleaned: self.wb.control.cleaned.get(),
            waits,
            latency_target_us: tun.writeback_latency_target_us.get(),
        }
    }

    /// Jiffies until the rate is to be worked out again.
    pub(super) fn update_period(&self) -> u64 {
        let seconds = self.dev.tun.writeback_rate_update_seconds.get();
        let period = self.law().period(seconds);
        u64::from(period).saturating_mul(u64::from(time::HZ))
    }

    /// Whether the controller wants writeback to go on before `writeback_delay` is over. Any context.
    pub(super) fn cuts_delay(&self) -> bool {
        self.law()
            .cuts_delay(self.wb.stripes.total(), self.dev.rate.target())
    }

    /// A new maximum: it bounds the rate at once. Any context.
    pub(crate) fn bound_rate(&self, maximum: u32) {
        let most = maximum.max(self.dev.tun.writeback_rate_minimum.get());
        if self.dev.rate.get() > most {
            self.dev.rate.set(most);
        }
    }
}
