// SPDX-License-Identifier: GPL-2.0

//! The controller of the writeback rate as a whole: which law is in force, and what all laws share.
//!
//! | law | rate |
//! |---|---|
//! | [`Law::Pi`] | C's: [`super::pi`] |
//! | [`Law::Adaptive`] | inflow, and what is above the target besides: [`super::adaptive`] |
//! | [`Law::Latency`] | as much as requests to the backing device can bear: [`super::latency`] |
//!
//! Beyond C, for C's law too:
//!
//! * `writeback_rate_maximum` bounds the rate. The minimum wins over it, as it does over
//!   [`pi::RATE_MAX`].
//! * The integral never gets further than the maximum needs, and a change of
//!   `writeback_rate_i_term_inverse` keeps its part of the rate as it is.
//! * The tail: when the cache is fragmented, C writes back `dirty / buckets * gain` sectors per second, which
//!   is 0 as soon as there are fewer dirty sectors than buckets; the rest then goes at the minimum, for
//!   days. Here a fragmented cache gets at least so much that a sector per bucket is gone in
//!   [`TAIL_SECONDS`].
//!
//! C: `__update_writeback_rate` in `writeback.c`.

use super::{
    adaptive::{
        self,
        Adaptive, //
    },
    inflow::{
        Flows,
        Sample, //
    },
    latency::{
        self,
        Latency,
        Waits, //
    },
    pi::{
        self,
        PiInput,
        PiOutput,
        PiState,
        RATE_MAX, //
    },
};
use crate::{
    arith::div_ceil,
    num::{
        i64_from_u64_sat,
        u32_from_u64_sat, //
    },
};

/// In which time the last sector of every bucket of a fragmented cache is written back.
pub const TAIL_SECONDS: i64 = 600;

/// Periods of C's law in which a device without requests becomes idle.
const IDLE_PERIODS: u32 = 6;

/// Steps of the other laws in a period of C's law.
const STEPS: u32 = 5;

/// What sets the rate (`writeback_controller`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Law {
    /// C's.
    #[default]
    Pi,
    /// With the measured inflow fed forward.
    Adaptive,
    /// By the latency of the backing device.
    Latency,
}

impl Law {
    /// The law with this number in [`crate::text::CONTROLLERS`]; an unknown one is C's.
    pub fn from_index(index: u32) -> Self {
        match index {
            1 => Self::Adaptive,
            2 => Self::Latency,
            _ => Self::Pi,
        }
    }

    /// Its word in `writeback_controller`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pi => "pi",
            Self::Adaptive => "adaptive",
            Self::Latency => "latency",
        }
    }

    /// Seconds between two steps with this `writeback_rate_update_seconds`. C's law has one step in that time,
    /// the others five.
    pub fn period(self, update_seconds: u32) -> u32 {
        match self {
            Self::Pi => update_seconds,
            Self::Adaptive | Self::Latency => per(update_seconds, STEPS).max(1),
        }
    }

    /// Steps without a request after which a device is idle: 30 seconds by default, as in C with one
    /// device.
    pub fn idle_steps(self, update_seconds: u32) -> u32 {
        let period = self.period(update_seconds).max(1);
        let seconds = update_seconds.max(1).saturating_mul(IDLE_PERIODS);
        per(seconds, period)
    }
}

impl Law {
    /// Whether the writeback thread, after a scan of the whole device, goes on before `writeback_delay` is over.
    ///
    /// C's law has no say in that: with few but large dirty extents a device may then stand still for
    /// half of the time, whatever its rate is.
    pub fn cuts_delay(self, dirty: i64, target: i64) -> bool {
        match self {
            Self::Pi => false,
            Self::Adaptive => dirty > target.saturating_sub(target / 16),
            Self::Latency => dirty > 0,
        }
    }
}

/// What one step looks at.
#[derive(Clone, Copy, Default, Debug)]
pub struct Input {
    /// The law.
    pub law: Law,
    /// What C's law looks at; the others use parts of it.
    pub pi: PiInput,
    /// `writeback_rate_maximum`, sectors per second.
    pub maximum: u32,
    /// Sectors that writeback has made clean so far; may wrap.
    pub cleaned: u64,
    /// How long requests took in the backing device since the last step.
    pub waits: Waits,
    /// `writeback_latency_target_us`.
    pub latency_target_us: u32,
}

/// `a / b` rounded up; a `b` of 0 counts as 1.
fn per(a: u32, b: u32) -> u32 {
    u32_from_u64_sat(div_ceil(u64::from(a), u64::from(b)))
}

/// What decided a rate.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Reason {
    /// The terms of the law.
    #[default]
    Terms,
    /// The sum of the terms is below the minimum.
    Minimum,
    /// The sum of the terms is above the maximum.
    Maximum,
    /// A fragmented cache, by C's term.
    Fragment,
    /// A fragmented cache, and C's term would be too small for the tail.
    Tail,
    /// Nothing becomes dirty, and the adaptive law drains the device.
    Drain,
    /// The device is idle, the rate at its maximum. Not the result of a step.
    Idle,
}

impl Reason {
    /// A word for logs and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Terms => "terms",
            Self::Minimum => "minimum",
            Self::Maximum => "maximum",
            Self::Fragment => "fragment",
            Self::Tail => "tail",
            Self::Drain => "drain",
            Self::Idle => "idle",
        }
    }
}

/// The result of one step.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Step {
    /// Rate and terms; the rate is the sum of the two terms within its limits.
    pub out: PiOutput,
    /// What decided the rate.
    pub reason: Reason,
    /// Sectors that become dirty in a second.
    pub inflow: i64,
    /// Latency that [`Law::Latency`] saw, in microseconds.
    pub latency_us: u64,
}

impl Step {
    /// No step.
    pub const NONE: Self = Self {
        out: PiOutput {
            rate: 0,
            target: 0,
            dirty: 0,
            error: 0,
            proportional: 0,
            integral_scaled: 0,
            change: 0,
        },
        reason: Reason::Terms,
        inflow: 0,
        latency_us: 0,
    };
}

/// What the controller remembers between steps. Made anew for each attachment, so nothing of an
/// earlier one has an effect.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Control {
    law: Law,
    pi: PiState,
    /// The `writeback_rate_i_term_inverse` that the integral was built with; 0 = none yet.
    i_inverse: u32,
    flows: Flows,
    adaptive: Adaptive,
    latency: Latency,
}

impl Control {
    /// Sum of the errors of C's law, in sectors times seconds.
    pub fn integral(&self) -> i64 {
        self.pi.integral
    }

    /// One step. Pure arithmetic, any context.
    pub fn step(&mut self, input: &Input) -> Step {
        let elapsed = self.flows.observe(Sample {
            now_ns: input.pi.now_ns,
            dirty: input.pi.dirty,
            cleaned: input.cleaned,
        });
        if self.law != input.law {
            self.switch(input);
        }
        let (out, reason) = match input.law {
            Law::Pi => (self.step_pi(input), Reason::Terms),
            Law::Adaptive => self.step_adaptive(input, elapsed),
            Law::Latency => (self.step_latency(input), Reason::Terms),
        };
        self.within_limits(input, out, reason)
    }

    /// The target has changed between two steps: the rate that follows from the new one at once. What has been summed up stays
    /// as it is, so that it makes no difference how often somebody asks. `None` if the law does not look at the target, or has
    /// not made a step yet. Pure arithmetic, any context.
    pub fn reaim(&self, input: &Input) -> Option<Step> {
        if self.law != input.law {
            return None;
        }
        let mut trial = *self;
        let (out, reason) = match input.law {
            Law::Pi => (trial.aim_pi(input), Reason::Terms),
            Law::Adaptive => trial.step_adaptive(input, None),
            Law::Latency => return None,
        };
        Some(trial.within_limits(input, out, reason))
    }

    /// A step of these terms: what all laws share.
    fn within_limits(&self, input: &Input, mut out: PiOutput, mut reason: Reason) -> Step {
        if input.law != Law::Latency {
            if let Some((least, why)) = fragment(&input.pi).filter(|f| f.0 >= out.proportional) {
                out.proportional = least;
                reason = why;
            }
        }
        let sum = out.proportional.saturating_add(out.integral_scaled);
        out.rate = pi::clamp_rate(sum, input.pi.minimum, input.maximum);
        out.change = i64::from(out.rate).saturating_sub(i64::from(input.pi.old_rate));
        if i64::from(out.rate) != sum {
            reason = if sum < i64::from(out.rate) {
                Reason::Minimum
            } else {
                Reason::Maximum
            };
        }
        Step {
            out,
            reason,
            inflow: self.flows.inflow(),
            latency_us: self.latency.seen_us(),
        }
    }

    /// Another law is in force: it starts from the rate of the last.
    fn switch(&mut self, input: &Input) {
        self.law = input.law;
        self.pi = PiState::default();
        self.adaptive = Adaptive::default();
        self.latency = Latency::starting_at(input.pi.old_rate);
    }

    /// The integral with the `writeback_rate_i_term_inverse` of now, which is returned.
    fn rescale(&mut self, input: &Input) -> u32 {
        let inverse = input.pi.i_inverse.max(1);
        if self.i_inverse != inverse {
            self.pi.integral = rescaled(self.pi.integral, self.i_inverse, inverse);
            self.i_inverse = inverse;
        }
        inverse
    }

    /// C's law without a step of its integral.
    fn aim_pi(&mut self, input: &Input) -> PiOutput {
        let inverse = i64::from(self.rescale(input));
        let integral = self.pi.integral;
        let mut out = pi::step(&mut self.pi, &input.pi);
        out.integral_scaled = integral.checked_div(inverse).unwrap_or(0);
        out
    }

    fn step_pi(&mut self, input: &Input) -> PiOutput {
        let inverse = self.rescale(input);
        let mut out = pi::step(&mut self.pi, &input.pi);
        let most = i64::from(inverse).saturating_mul(i64::from(input.maximum.min(RATE_MAX)));
        let bounded = self.pi.integral.min(most).max(most.saturating_neg());
        if bounded != self.pi.integral {
            self.pi.integral = bounded;
            out.integral_scaled = bounded.checked_div(i64::from(inverse)).unwrap_or(0);
        }
        out
    }

    fn step_adaptive(&mut self, input: &Input, elapsed: Option<i64>) -> (PiOutput, Reason) {
        let target = pi::target(&input.pi);
        let dirty = input.pi.dirty;
        let terms = self.adaptive.step(&adaptive::Facts {
            dirty,
            target: i64_from_u64_sat(target),
            flows: &self.flows,
            elapsed_ms: elapsed.unwrap_or(0),
            period: i64::from(input.law.period(input.pi.update_seconds)),
            keeping_up: pi::keeping_up(&input.pi),
        });
        let reason = if terms.drain {
            Reason::Drain
        } else {
            Reason::Terms
        };
        let out = terms_of(input, target, terms.proportional, terms.feed);
        (out, reason)
    }

    fn step_latency(&mut self, input: &Input) -> PiOutput {
        let (before, change) = self.latency.step(&latency::Facts {
            waits: input.waits,
            target_us: input.latency_target_us,
            outflow: self.flows.outflow(),
            minimum: input.pi.minimum,
            maximum: input.maximum,
        });
        terms_of(input, pi::target(&input.pi), change, before)
    }
}

/// An output with these terms; rate and change are still open.
fn terms_of(input: &Input, target: u64, proportional: i64, integral_scaled: i64) -> PiOutput {
    PiOutput {
        target,
        dirty: input.pi.dirty,
        error: input.pi.dirty.saturating_sub(i64_from_u64_sat(target)),
        proportional,
        integral_scaled,
        ..PiOutput::default()
    }
}

/// The least proportional term while the cache is fragmented: C's, or that of the tail.
fn fragment(input: &PiInput) -> Option<(i64, Reason)> {
    let buckets = pi::fragmented_buckets(input)?;
    let more = i64::from(buckets % TAIL_SECONDS != 0);
    let tail = (buckets / TAIL_SECONDS).saturating_add(more);
    match pi::fragment_term(input) {
        Some(term) if term >= tail => Some((term, Reason::Fragment)),
        _ => Some((tail, Reason::Tail)),
    }
}

/// An integral whose part of the rate is with `new` what it was with `old` (0 = there was none).
fn rescaled(integral: i64, old: u32, new: u32) -> i64 {
    let (old, new) = (i64::from(old), i64::from(new));
    let scaled = |v: i64| v.saturating_mul(new);
    match (integral.checked_div(old), integral.checked_rem(old)) {
        // Inverses from 2^31 on may saturate here, which then costs a part of a sector per second.
        (Some(whole), Some(rest)) => {
            scaled(whole).saturating_add(scaled(rest).checked_div(old).unwrap_or(0))
        }
        _ => integral,
    }
}

/// As [`super::pi`] has it: all small numbers, and all combinations of those near the ends of their types.
#[cfg(all(test, not(miri)))]
mod exact {
    use super::*;

    fn sat(v: i128) -> i64 {
        v.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    fn rescales(integral: i64, old: u32, new: u32) {
        let got = rescaled(integral, old, new);
        let (wide, by) = (i128::from(integral), i128::from(new));
        let Some(rest) = wide.checked_rem(old.into()) else {
            return assert_eq!(got, integral);
        };
        let want = sat(wide * by / i128::from(old));
        if (rest * by).abs() <= i64::MAX.into() {
            assert_eq!(got, want, "{integral} {old} {new}");
        } else {
            // Less than a sector per second of the rate.
            let off = (i128::from(got) - i128::from(want)).abs();
            assert!(off < by, "{integral} {old} {new}");
        }
    }

    #[test]
    fn integral_with_another_inverse() {
        for integral in -300..300 {
            for old in 0..=127 {
                for new in 0..=127 {
                    rescales(integral, old, new);
                }
            }
        }
        let ends = [
            0,
            1,
            2,
            3,
            10_000,
            1 << 31,
            (1 << 31) + 1,
            u32::MAX - 1,
            u32::MAX,
        ];
        for bits in 0..64 {
            for near in -2..3 {
                for integral in [1i64 << bits, !(1i64 << bits)] {
                    for old in ends {
                        for new in ends {
                            rescales(integral.saturating_add(near), old, new);
                        }
                    }
                }
            }
        }
    }

    /// The tail of `nbuckets` less those available, with a gain of 0 or of 1.
    fn tails(nbuckets: u64, avail_buckets: u64, dirty: i64, fp_low: u32) {
        let input = PiInput {
            nbuckets,
            avail_buckets,
            bucket_sectors: 1000,
            dirty,
            in_use: 51,
            consider_fragment: true,
            fp_low,
            ..PiInput::default()
        };
        let buckets = i128::from(nbuckets) - i128::from(avail_buckets);
        let buckets = buckets.clamp(0, i64::MAX.into());
        let used = (buckets * 1000).min(i64::MAX.into());
        let want = (dirty > 0 && used / i128::from(dirty) > 3).then(|| {
            let term = i128::from(dirty) / buckets * i128::from(fp_low);
            let tail = (buckets + 599) / 600;
            if term >= tail {
                (sat(term), Reason::Fragment)
            } else {
                (sat(tail), Reason::Tail)
            }
        });
        assert_eq!(fragment(&input), want, "{input:?}");
    }

    #[test]
    fn tail_of_so_many_buckets() {
        for nbuckets in 0..5000 {
            for dirty in -1..=255 {
                tails(nbuckets, 3, dirty, (nbuckets % 2) as u32);
            }
        }
        let ends = |bits: u32| (0..3).map(move |near| ((1u64 << bits) - 1).wrapping_add(near));
        for nbuckets in (0..64).flat_map(ends) {
            for avail_buckets in (0..64).flat_map(ends) {
                for dirty in (0..63).flat_map(ends) {
                    tails(nbuckets, avail_buckets, dirty as i64, 1);
                }
            }
        }
    }
}
