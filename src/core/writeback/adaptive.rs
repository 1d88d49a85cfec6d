// SPDX-License-Identifier: GPL-2.0

//! The law of `writeback_controller` = `adaptive`: as much is written back as becomes dirty, and what
//! is above the target besides.
//!
//! ```text
//! rate = inflow + trim + (dirty - target) / t
//! trim = sum of (dirty - target) * dt / (6 t t),   at most half of the inflow
//! ```
//!
//! `t` is ten periods of the controller (10 s by default). The error then falls by a factor of e in
//! each `t`, whatever the inflow is; C's law first has to wind up its integral to the inflow, by an
//! error that lasts. The trim makes up for a thread that gets less done than the rate allows; it moves
//! near the target only, so it is not wound up while dirty data is far from it.
//!
//! Once nothing has become dirty for a while the target is nothing to keep: the device drains, so
//! that a target's worth takes ten minutes. C's law would hold it dirty for as long as there are
//! reads.

use super::inflow::Flows;

/// `t` in periods.
const T_PERIODS: i64 = 10;
/// The trim acts this many times slower than the error itself.
const TRIM_SLOWER: i64 = 6;
/// Periods without new dirty data after which the device drains.
const QUIET_PERIODS: i64 = 30;
/// Seconds in which a target's worth drains.
const DRAIN_SECONDS: i64 = 600;

/// What one step looks at. Sectors, sectors per second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) dirty: i64,
    pub(super) target: i64,
    pub(super) flows: &'a Flows,
    /// Since the last step, milliseconds.
    pub(super) elapsed_ms: i64,
    /// The period of the controller, seconds.
    pub(super) period: i64,
    /// The writeback thread is on schedule: a higher rate would have an effect.
    pub(super) keeping_up: bool,
}

/// What the law remembers.
///
/// A step looks at it as the step before left it, and changes it for the next one. So what has been summed up is the
/// same for any amount of dirty data that a step may see, and more of it never lowers the rate.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Adaptive {
    /// Sum of the errors near the target, in sectors times milliseconds.
    trim: i64,
    /// Nothing has become dirty for so long that the device drains.
    quiet: bool,
}

/// The two terms of the rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Terms {
    /// What the distance from the target asks for.
    pub(super) proportional: i64,
    /// Inflow and trim.
    pub(super) feed: i64,
    /// Nothing becomes dirty: the device drains.
    pub(super) drain: bool,
}

impl Adaptive {
    pub(super) fn step(&mut self, facts: &Facts<'_>) -> Terms {
        let t = facts.period.max(1).saturating_mul(T_PERIODS);
        let error = facts.dirty.saturating_sub(facts.target);
        let proportional = error.checked_div(t).unwrap_or(error);
        let inflow = facts.flows.inflow();
        let trim = Trim::new(t, inflow / 2);
        let feed = inflow.saturating_add(trim.part_of_rate(self.trim));
        let drain = self.quiet;
        self.remember(facts, error, &trim);
        let least = (facts.target / DRAIN_SECONDS).max(1);
        Terms {
            proportional: if drain {
                proportional.max(least)
            } else {
                proportional
            },
            feed,
            drain,
        }
    }

    /// What the next step is to know.
    fn remember(&mut self, facts: &Facts<'_>, error: i64, trim: &Trim) {
        let quiet_ms = facts.period.saturating_mul(QUIET_PERIODS * 1000);
        self.quiet = facts.flows.idle_ms() >= quiet_ms;
        let near = error.saturating_abs() <= facts.target / 4;
        if self.quiet {
            self.trim = 0;
        } else if near && (error < 0 || facts.keeping_up) {
            let grown = error.saturating_mul(facts.elapsed_ms);
            self.trim = self.trim.saturating_add(grown);
        }
        self.trim = trim.bounded(self.trim);
    }
}

/// How a sum of errors becomes a part of the rate.
struct Trim {
    /// `6 t t`, in seconds times milliseconds.
    divisor: i64,
    /// The furthest sum that has an effect.
    most: i64,
}

impl Trim {
    /// For `t` seconds, and a part of the rate within `±limit`.
    fn new(t: i64, limit: i64) -> Self {
        let divisor = t.saturating_mul(t).saturating_mul(TRIM_SLOWER * 1000);
        Self {
            divisor,
            most: limit.saturating_mul(divisor),
        }
    }

    fn bounded(&self, sum: i64) -> i64 {
        sum.min(self.most).max(self.most.saturating_neg())
    }

    fn part_of_rate(&self, sum: i64) -> i64 {
        self.bounded(sum).checked_div(self.divisor).unwrap_or(0)
    }
}

/// As [`super::pi`] has it: all small numbers, and all combinations of those near the ends of their types.
#[cfg(all(test, not(miri)))]
mod exact {
    use super::*;

    fn sat(v: i128) -> i64 {
        v.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    /// A step by exact arithmetic, each result of it limited to 64 bits.
    fn exact(state: Adaptive, facts: &Facts<'_>) -> (Terms, Adaptive) {
        let wide = |v: i64| i128::from(v);
        let (target, inflow) = (wide(facts.target), wide(facts.flows.inflow()));
        let error = wide(sat(wide(facts.dirty) - target));
        let t = wide(sat(wide(facts.period.max(1)) * 10));
        let divisor = wide(sat(wide(sat(t * t)) * 6000));
        let most = wide(sat(inflow / 2 * divisor));
        let trim = wide(state.trim).clamp(-most, most) / divisor;
        let drain = target / 600;
        let terms = Terms {
            proportional: if state.quiet {
                sat((error / t).max(drain).max(1))
            } else {
                sat(error / t)
            },
            feed: sat(inflow + trim),
            drain: state.quiet,
        };
        let quiet = wide(facts.flows.idle_ms()) >= wide(sat(wide(facts.period) * 30_000));
        let moves = error.abs() <= target / 4 && (error < 0 || facts.keeping_up);
        let sum = match (quiet, moves) {
            (true, _) => 0,
            (_, true) => sat(wide(state.trim) + wide(sat(error * wide(facts.elapsed_ms)))),
            _ => state.trim,
        };
        let trim = sat(wide(sum).clamp(-most, most));
        (terms, Adaptive { trim, quiet })
    }

    fn compare(state: Adaptive, facts: &Facts<'_>) {
        let mut after = state;
        let terms = after.step(facts);
        assert_eq!((terms, after), exact(state, facts), "{state:?} {facts:?}");
    }

    /// With both values of what is true or false.
    fn all(trim: i64, dirty: i64, target: i64, flows: &Flows, elapsed_ms: i64, period: i64) {
        for bits in 0..4 {
            let facts = Facts {
                dirty,
                target,
                flows,
                elapsed_ms,
                period,
                keeping_up: bits & 1 != 0,
            };
            let quiet = bits & 2 != 0;
            compare(Adaptive { trim, quiet }, &facts);
        }
    }

    #[test]
    fn small_numbers() {
        // A part of the rate that is trimmed by 1 takes 600,000.
        for trim in (-15..=15).map(|n| n * 200_000) {
            for inflow in 0..=5 {
                for idle_ms in [0, 29_999, 30_000] {
                    let flows = Flows::of(inflow, idle_ms);
                    for target in 0..=32 {
                        for error in -20..=20 {
                            for elapsed_ms in [0, 1, 1000] {
                                all(trim, target + error, target, &flows, elapsed_ms, 1);
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn ends_of_numbers() {
        const ENDS: [i64; 9] = [
            0,
            1,
            7,
            1200,
            1 << 31,
            1 << 40,
            1 << 62,
            i64::MAX - 1,
            i64::MAX,
        ];
        for trim in ENDS.into_iter().chain(ENDS.map(|v| -v)) {
            for dirty in ENDS.into_iter().chain([i64::MIN, -5, -(1 << 40)]) {
                for target in ENDS {
                    for inflow in ENDS {
                        for idle_ms in [0, i64::MAX] {
                            let flows = Flows::of(inflow, idle_ms);
                            for elapsed_ms in [0, 1000, 120_000] {
                                for period in [1, 2, 1 << 32] {
                                    all(trim, dirty, target, &flows, elapsed_ms, period);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
