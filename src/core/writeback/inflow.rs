// SPDX-License-Identifier: GPL-2.0

//! How fast data of a device becomes dirty, and how fast it is written back.
//!
//! C: none, its controller looks at the amount of dirty data alone. Nothing is counted on the way of a
//! request for this: what became dirty is the change of the amount plus what writeback took away.

use crate::{
    arith::clock_diff,
    num::i64_from_u64_sat, //
};

/// Shortest time that a speed can be told from, in milliseconds.
const SHORT_MS: i64 = 100;
/// Longest time over which an average says something about the present, in milliseconds.
const LONG_MS: i64 = 120_000;

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sample {
    /// The clock, nanoseconds.
    pub now_ns: u64,
    /// Dirty sectors.
    pub dirty: i64,
    /// Sectors that writeback has made clean so far; may wrap.
    pub cleaned: u64,
}

/// The flows of one device in sectors per second, smoothed: half of each value is the newest.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Flows {
    last: Option<Sample>,
    inflow: i64,
    outflow: i64,
    idle_ms: i64,
}

impl Flows {
    /// Sectors that become dirty in a second, less those that are discarded; never negative.
    pub fn inflow(&self) -> i64 {
        self.inflow
    }

    /// Sectors written back in a second.
    pub fn outflow(&self) -> i64 {
        self.outflow
    }

    /// For how long nothing has become dirty, in milliseconds.
    pub fn idle_ms(&self) -> i64 {
        self.idle_ms
    }

    /// Flows as some samples would have left them.
    #[cfg(test)]
    pub(super) fn of(inflow: i64, idle_ms: i64) -> Self {
        Self {
            inflow,
            idle_ms,
            ..Self::default()
        }
    }

    /// Takes a sample; gives the milliseconds since the one before, or `None` if that is no time from
    /// which a speed can be told.
    pub fn observe(&mut self, sample: Sample) -> Option<i64> {
        let Some(last) = self.last else {
            self.last = Some(sample);
            return None;
        };
        let ms = clock_diff(sample.now_ns, last.now_ns) / 1_000_000;
        if (0..SHORT_MS).contains(&ms) {
            return None;
        }
        self.last = Some(sample);
        if !(SHORT_MS..=LONG_MS).contains(&ms) {
            *self = Self {
                last: self.last,
                ..Self::default()
            };
            return None;
        }
        let cleaned = i64_from_u64_sat(sample.cleaned.wrapping_sub(last.cleaned));
        let dirtied = sample
            .dirty
            .saturating_sub(last.dirty)
            .saturating_add(cleaned)
            .max(0);
        self.idle_ms = if dirtied == 0 {
            self.idle_ms.saturating_add(ms)
        } else {
            0
        };
        self.inflow = smooth(self.inflow, per_second(dirtied, ms));
        self.outflow = smooth(self.outflow, per_second(cleaned, ms));
        Some(ms)
    }
}

fn per_second(sectors: i64, ms: i64) -> i64 {
    sectors.saturating_mul(1000).checked_div(ms).unwrap_or(0)
}

/// The middle of two numbers that are not negative, down to 0 in the end.
fn smooth(old: i64, new: i64) -> i64 {
    old.saturating_add(new) / 2
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_inflow))]
mod tests {
    use super::*;

    fn at(seconds: u64, dirty: i64, cleaned: u64) -> Sample {
        Sample {
            now_ns: seconds.wrapping_mul(1_000_000_000),
            dirty,
            cleaned,
        }
    }

    #[test]
    fn tells_in_from_out() {
        let mut f = Flows::default();
        assert_eq!(f.observe(at(5, 1000, 77)), None);
        // 2048 more are dirty although 2000 were cleaned.
        assert_eq!(f.observe(at(7, 3048, 2077)), Some(2000));
        assert_eq!((f.inflow(), f.outflow()), (1012, 500));
        assert_eq!(f.observe(at(8, 2048, 3077)), Some(1000));
        assert_eq!((f.inflow(), f.outflow(), f.idle_ms()), (506, 750, 1000));
        // Discarded data is no negative inflow.
        assert_eq!(f.observe(at(9, 0, 3077)), Some(1000));
        assert_eq!((f.inflow(), f.outflow(), f.idle_ms()), (253, 375, 2000));
        for i in 10..30 {
            f.observe(at(i, 0, 3077));
        }
        assert_eq!((f.inflow(), f.outflow(), f.idle_ms()), (0, 0, 22_000));
    }

    #[test]
    fn odd_clocks() {
        let mut f = Flows::default();
        f.observe(at(5, 0, 0));
        f.observe(at(6, 100, 0));
        // Too soon: the next sample counts from the one before.
        let soon = Sample {
            now_ns: 6_050_000_000,
            ..at(0, 1 << 40, 0)
        };
        assert_eq!(f.observe(soon), None);
        assert_eq!(f.inflow(), 50);
        // After a long time, or a step back, it starts anew.
        assert_eq!(f.observe(at(600, 1 << 40, 0)), None);
        assert_eq!((f.inflow(), f.idle_ms()), (0, 0));
        f.observe(at(601, i64::MIN, 0));
        f.observe(at(602, i64::MAX, u64::MAX));
        assert_eq!(f.inflow(), i64::MAX / 1000 / 2);
        assert_eq!(f.observe(at(601, 0, 0)), None);
        assert_eq!(f.inflow(), 0);
    }
}
