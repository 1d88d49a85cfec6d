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
            Some(old) if old < new => old.midpoint(new),
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

/// What a step is to keep to, for all small numbers, and for all combinations of those near the ends of their types.
#[cfg(all(test, not(miri)))]
mod exact {
    use super::*;

    fn keeps_to(state: Latency, facts: &Facts) {
        let mut after = state;
        let (before, change) = after.step(facts);
        let context = (state, facts, after);
        assert_eq!((before, before + change), (state.rate, after.rate));
        // The limits; the minimum wins.
        let least = i64::from(facts.minimum).max(1);
        let most = i128::from(facts.outflow) * 4;
        let most = most.clamp(512, i64::from(facts.maximum).max(512).into());
        let most = (most as i64).min(facts.maximum.into()).max(least);
        assert!((least..=most).contains(&after.rate), "{context:?}");
        // The direction, and how far; a part of a sector less is none.
        let (seen, target) = (
            i128::from(after.seen_us()),
            i128::from(facts.target_us.max(1)),
        );
        let (rate, old) = (i128::from(after.rate), i128::from(before));
        if after.rate > least && after.rate < most {
            let too_long = (seen - target).min(2 * target);
            let falls = old * too_long >= 4 * target;
            assert_eq!(
                (rate < old, rate > old),
                (falls, seen < target),
                "{context:?}"
            );
            assert!(rate - old <= (old / 4).max(1), "{context:?}");
            assert!(old - rate <= old / 2, "{context:?}");
        }
        // Nobody waiting is no latency; worse than before counts half.
        match facts.waits.sum_us.checked_div(facts.waits.count.into()) {
            None => assert_eq!(after.seen_us(), 0, "{context:?}"),
            Some(mean) => {
                let least = mean.min(state.smoothed_us.unwrap_or(mean));
                assert!((least..=mean).contains(&after.seen_us()), "{context:?}");
                assert!(2 * (seen + 1) > i128::from(mean), "{context:?}");
            }
        }
    }

    fn all(state: Latency, waits: Waits, target_us: u32, outflow: i64) {
        for (minimum, maximum) in [
            (0, 0),
            (1, 40),
            (8, u32::MAX),
            (u32::MAX, 7),
            (512, 1 << 31),
        ] {
            keeps_to(
                state,
                &Facts {
                    waits,
                    target_us,
                    outflow,
                    minimum,
                    maximum,
                },
            );
        }
    }

    #[test]
    fn small_numbers() {
        for rate in 1..=64 {
            for limit in (0..=64).step_by(7).chain([i64::MAX]) {
                for smoothed_us in (0..=12).map(Some).chain([None]) {
                    for count in 0..=2 {
                        for sum_us in 0..=24 {
                            for target_us in 0..=6 {
                                let state = Latency {
                                    rate,
                                    limit,
                                    falling: rate % 2 == 0,
                                    smoothed_us,
                                };
                                all(state, Waits { count, sum_us }, target_us, 3);
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn ends_of_numbers() {
        const U32: [u32; 6] = [0, 1, 20_000, i32::MAX as u32, 1 << 31, u32::MAX];
        const U64: [u64; 6] = [0, 1, 19_999, 1 << 40, u64::MAX - 1, u64::MAX];
        for rate in U32.map(|v| i64::from(v.max(1))) {
            for limit in [0, 1, 700, i64::MAX - 1, i64::MAX] {
                for smoothed_us in U64.into_iter().map(Some).chain([None]) {
                    for count in U32 {
                        for sum_us in U64 {
                            for target_us in U32 {
                                for outflow in [0, 1, 1 << 31, 1 << 62, i64::MAX] {
                                    let state = Latency {
                                        rate,
                                        limit,
                                        falling: false,
                                        smoothed_us,
                                    };
                                    all(state, Waits { count, sum_us }, target_us, outflow);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
