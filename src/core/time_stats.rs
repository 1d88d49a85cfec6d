// SPDX-License-Identifier: GPL-2.0

//! How often something happens and how long it takes. C: `bch_time_stats_update` in `util.c`,
//! `sysfs_print_time_stats` in `util.h`.

use crate::arith::clock_diff;

/// Nanoseconds of a second, for the getters of [`TimeStats`].
pub const SEC: u64 = 1_000_000_000;
/// Nanoseconds of a millisecond.
pub const MS: u64 = 1_000_000;
/// Nanoseconds of a microsecond.
pub const US: u64 = 1_000;

/// Bits behind the point of the averages.
const SHIFT: u32 = 8;
/// Weight of the averages.
const WEIGHT: u64 = 8;

/// Statistics of one kind of event, in nanoseconds of the local clock; the caller locks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TimeStats {
    max_duration: u64,
    /// Averages are shifted left by [`SHIFT`].
    average_duration: u64,
    average_frequency: u64,
    /// When the last event ended; 0 = never.
    last: u64,
}

/// The average `old` with `value` averaged in.
fn ewma(old: u64, value: u64) -> u64 {
    old.saturating_mul(WEIGHT.wrapping_sub(1))
        .saturating_add(value.saturating_mul(1 << SHIFT))
        / WEIGHT
}

/// The time from `from` to `to`, 0 if it is negative.
fn since(to: u64, from: u64) -> u64 {
    u64::try_from(clock_diff(to, from)).unwrap_or(0)
}

impl TimeStats {
    /// No events yet.
    pub const fn new() -> Self {
        Self {
            max_duration: 0,
            average_duration: 0,
            average_frequency: 0,
            last: 0,
        }
    }

    /// Notes an event from `start_ns` until now.
    pub fn update(&mut self, now_ns: u64, start_ns: u64) {
        let duration = since(now_ns, start_ns);
        self.max_duration = self.max_duration.max(duration);
        if self.last == 0 {
            self.average_duration = duration.saturating_mul(1 << SHIFT);
        } else {
            let gap = since(now_ns, self.last);
            self.average_duration = ewma(self.average_duration, duration);
            self.average_frequency = match self.average_frequency {
                0 => gap.saturating_mul(1 << SHIFT),
                old => ewma(old, gap),
            };
        }
        self.last = now_ns.max(1);
    }

    /// Average time between two events, in `unit` nanoseconds.
    pub fn average_frequency(&self, unit: u64) -> u64 {
        (self.average_frequency >> SHIFT) / unit.max(1)
    }

    /// Average duration, in `unit` nanoseconds.
    pub fn average_duration(&self, unit: u64) -> u64 {
        (self.average_duration >> SHIFT) / unit.max(1)
    }

    /// Longest duration, in `unit` nanoseconds.
    pub fn max_duration(&self, unit: u64) -> u64 {
        self.max_duration / unit.max(1)
    }

    /// Time since the last event, in `unit` nanoseconds; -1 if there was none.
    pub fn last(&self, now_ns: u64, unit: u64) -> i64 {
        if self.last == 0 {
            return -1;
        }
        let unit = i64::try_from(unit.max(1)).unwrap_or(i64::MAX);
        clock_diff(now_ns, self.last).checked_div(unit).unwrap_or(0)
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_time_stats))]
mod tests {
    use super::*;

    #[test]
    fn averages() {
        let mut t = TimeStats::new();
        assert_eq!(t.last(5, SEC), -1);
        t.update(10 * SEC, 9 * SEC);
        assert_eq!((t.average_duration(MS), t.max_duration(MS)), (1000, 1000));
        assert_eq!(t.average_frequency(SEC), 0);
        t.update(18 * SEC, 18 * SEC);
        assert_eq!((t.average_duration(MS), t.average_frequency(SEC)), (875, 8));
        t.update(34 * SEC, 30 * SEC);
        assert_eq!(
            (t.average_duration(MS), t.average_frequency(SEC)),
            (1265, 9)
        );
        assert_eq!(t.max_duration(SEC), 4);
        assert_eq!(t.last(40 * SEC, SEC), 6);
        assert_eq!(t.last(30 * SEC, SEC), -4);
        // A start after the end, an event at time 0, units of 0.
        let mut t = TimeStats::new();
        t.update(0, 7);
        assert_eq!((t.last(1, 0), t.max_duration(0)), (0, 0));
        t.update(u64::MAX / 2, 0);
        t.update(u64::MAX - 5, 0);
        assert!(t.average_duration(SEC) > 0);
    }
}
