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
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Adaptive {
    /// Sum of the errors near the target, in sectors times milliseconds.
    trim: i64,
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
        let quiet_ms = facts.period.saturating_mul(QUIET_PERIODS * 1000);
        if facts.flows.idle_ms() >= quiet_ms {
            self.trim = 0;
            let drain = (facts.target / DRAIN_SECONDS).max(1);
            return Terms {
                proportional: proportional.max(drain),
                feed: 0,
                drain: true,
            };
        }
        let inflow = facts.flows.inflow();
        let trim = self.trim(facts, error, t, inflow / 2);
        Terms {
            proportional,
            feed: inflow.saturating_add(trim),
            drain: false,
        }
    }

    /// Moves the trim by the error of the last period; gives its part of the rate, within `±limit`.
    fn trim(&mut self, facts: &Facts<'_>, error: i64, t: i64, limit: i64) -> i64 {
        let near = error.saturating_abs() <= facts.target / 4;
        if near && (error < 0 || facts.keeping_up) {
            let grown = error.saturating_mul(facts.elapsed_ms);
            self.trim = self.trim.saturating_add(grown);
        }
        let divisor = t.saturating_mul(t).saturating_mul(TRIM_SLOWER * 1000);
        let most = limit.saturating_mul(divisor);
        self.trim = self.trim.min(most).max(most.saturating_neg());
        self.trim.checked_div(divisor).unwrap_or(0)
    }
}
