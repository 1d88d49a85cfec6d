// SPDX-License-Identifier: GPL-2.0

//! The law of `writeback_controller` = `latency`: writes back as fast as requests of users to the
//! backing device can bear.
//!
//! ```text
//! rate = rate * (1 + (target latency - latency) / (4 * target latency)),   the factor in [1/2, 5/4]
//! ```
//!
//! `latency` is the mean time that reads and writes of users spent in the backing device since the
//! last step, smoothed with that before if that was better. Where it equals the target the rate stays. Nobody
//! waiting is as good as no latency at all.
//!
//! A disk has no middle between idle and overloaded, so the way up is slow where it was too much before: an eighth as
//! fast from three quarters of the rate at which the law last had to turn back, to a quarter above it.
//!
//! The rate stays below four times what is really written, so that it does not run away while
//! something else limits writeback, and has no long way back when requests come.
//!
//! The amount of dirty data has no part in it.

/// A rate from which on the law starts to grow, in sectors per second (256 KiB).
const START: i64 = 512;
/// How many times the measured outflow the rate may be.
const HEADROOM: i64 = 4;

/// How long requests of users took in the backing device.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Waits {
    /// Requests that ended since the last step.
    pub count: u32,
    /// The sum of their times, in microseconds.
    pub sum_us: u64,
}

impl Waits {
    /// What these sums, which may wrap, have more than those before.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            count: self.count.wrapping_sub(before.count),
            sum_us: self.sum_us.wrapping_sub(before.sum_us),
        }
    }

    /// The time between two points of a clock of wrapping microseconds; 0 if it seems to go backwards, as the
    /// clocks of two processors may.
    pub fn took_us(begin: u32, end: u32) -> u64 {
        let took = end.wrapping_sub(begin);
        if took > i32::MAX.unsigned_abs() {
            0
        } else {
            u64::from(took)
        }
    }
}

/// What one step looks at, in sectors per second and microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) waits: Waits,
    pub(super) target_us: u32,
    pub(super) outflow: i64,
    pub(super) minimum: u32,
    pub(super) maximum: u32,
}

/// What the law remembers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Latency {
    rate: i64,
    /// The rate that was too much last.
    limit: i64,
    /// The last step lowered the rate.
    falling: bool,
    smoothed_us: Option<u64>,
}

impl Latency {
    /// Takes over from another law.
    pub(super) fn starting_at(rate: u32) -> Self {
        Self {
            rate: i64::from(rate),
            limit: i64::MAX,
            falling: false,
            smoothed_us: None,
        }
    }

    /// The latency that the last step saw, in microseconds; 0 if nobody waited.
    pub(super) fn seen_us(&self) -> u64 {
        self.smoothed_us.unwrap_or(0)
    }

    /// Gives the rate before and the change.
    pub(super) fn step(&mut self, facts: &Facts) -> (i64, i64) {
        let target = i64::from(facts.target_us.max(1));
        let mean = facts.waits.sum_us.checked_div(u64::from(facts.waits.count));
        self.smoothed_us = mean.map(|new| match self.smoothed_us {
            Some(old) if old < new => old.saturating_add(new) / 2,
            _ => new,
        });
        let seen = i64::try_from(self.seen_us()).unwrap_or(i64::MAX);
        let before = self.rate;
        let change = self.change(target.saturating_sub(seen), target);
        if change < 0 && !self.falling {
            self.limit = before;
        }
        self.falling = change < 0;
        let least = i64::from(facts.minimum).max(1);
        let most = facts
            .outflow
            .saturating_mul(HEADROOM)
            .max(START)
            .min(i64::from(facts.maximum))
            .max(least);
        self.rate = before.saturating_add(change).min(most).max(least);
        if self.rate.saturating_sub(self.limit) > self.limit / 4 {
            self.limit = i64::MAX;
        }
        (before, self.rate.saturating_sub(before))
    }

    /// How far the rate is to be moved, if so much of the target latency is spare.
    fn change(&self, spare: i64, target: i64) -> i64 {
        let spare = spare.min(target).max(target.saturating_mul(-2));
        // Below 2^31 times below 2^33, by at least 4.
        let change = self
            .rate
            .saturating_mul(spare)
            .checked_div(target.saturating_mul(4))
            .unwrap_or(0);
        let near = self.rate >= self.limit.saturating_sub(self.limit / 4);
        match spare {
            1.. if near => (change / 8).max(1),
            // A small rate, too, has to get away from where it is.
            1.. => change.max(1),
            _ => change,
        }
    }
}
