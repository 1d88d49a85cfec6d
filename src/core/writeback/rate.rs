// SPDX-License-Identifier: GPL-2.0

//! The limiter that spreads writeback over time. C: `bch_next_delay` in `util.c`.

use crate::{
    arith::clock_diff,
    num::u32_from_u64_sat, //
};
use core::num::{
    NonZeroU32,
    NonZeroU64, //
};

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;
/// How far ahead the next writeback may be planned, so that a higher rate is noticed soon.
const AHEAD: u64 = SECOND * 5 / 2;
/// How far behind the thread may fall before the backlog is forgotten.
const BEHIND: u64 = SECOND * 2;
/// More than any delay that matters, small enough that the comparisons of the clock stay
/// unambiguous.
const FAR: u64 = 1 << 61;

/// When the next writeback of a device is due. Used by the writeback thread alone; others read a
/// copy of `next_ns`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RateLimiter {
    /// Nanoseconds of the local clock.
    pub next_ns: u64,
}

impl RateLimiter {
    /// A limiter that is due at time 0.
    pub const fn new() -> Self {
        Self { next_ns: 0 }
    }

    /// Forgets all debts: due now.
    pub fn reset(&mut self, now_ns: u64) {
        self.next_ns = now_ns;
    }

    /// Accounts for `done` sectors and gives the jiffies (of `hz` a second) to sleep before the
    /// next ones.
    ///
    /// A rate of 0 counts as 1. A delay below one jiffy is not slept but stays accounted for. At
    /// most 2.5 seconds.
    pub fn next_delay(&mut self, now_ns: u64, rate: u32, done: u64, hz: u32) -> u32 {
        let rate = NonZeroU64::from(NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN));
        // floor(done * SECOND / rate) without overflow: the rest is below 2^32 * SECOND.
        let seconds = (done / rate).saturating_mul(SECOND);
        let rest = (done % rate).saturating_mul(SECOND) / rate;
        let cost = seconds.saturating_add(rest).min(FAR);

        let next = self.next_ns.wrapping_add(cost);
        let ahead = now_ns.wrapping_add(AHEAD);
        let behind = now_ns.wrapping_sub(BEHIND);
        self.next_ns = if clock_diff(ahead, next) < 0 {
            ahead
        } else if clock_diff(behind, next) > 0 {
            behind
        } else {
            next
        };

        let wait = u64::try_from(clock_diff(self.next_ns, now_ns)).unwrap_or(0);
        let jiffy = SECOND.checked_div(u64::from(hz)).unwrap_or(SECOND);
        u32_from_u64_sat(wait.checked_div(jiffy).unwrap_or(wait))
    }

    /// Milliseconds until the next writeback, negative when overdue (`next io` of
    /// `writeback_rate_debug`).
    pub fn next_io_ms(&self, now_ns: u64) -> i64 {
        clock_diff(self.next_ns, now_ns) / 1_000_000
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_rate))]
mod tests {
    use super::*;

    /// Some time on the clock, so that "5 seconds late" is not negative.
    const NOW: u64 = 1_000_000_000_000;

    #[test]
    fn vectors() {
        // (next - now, rate, done, hz) -> (next' - now, jiffies)
        for (late, rate, done, hz, next, delay) in [
            (0, 8, 8, 250, 1_000_000_000, 250),
            (0, 1024, 1024, 250, 1_000_000_000, 250),
            (0, 8, 1024, 250, 2_500_000_000, 625),
            (-5_000_000_000, 1024, 0, 250, -2_000_000_000, 0),
            (-1_000_000_000, 1024, 1024, 250, 0, 0),
            (-1_000_000_000, 1024, 2048, 250, 1_000_000_000, 250),
            (0, 1_000_000, 1000, 250, 1_000_000, 0),
            (0, 1_000_000, 1500, 1000, 1_500_000, 1),
            (0, 2147483647, 5000, 250, 2328, 0),
        ] {
            let mut limiter = RateLimiter {
                next_ns: NOW.wrapping_add_signed(late),
            };
            assert_eq!(limiter.next_delay(NOW, rate, done, hz), delay);
            assert_eq!(clock_diff(limiter.next_ns, NOW), next);
        }
    }

    #[test]
    fn hazards() {
        // C divides by zero at rate 0.
        let mut limiter = RateLimiter::new();
        limiter.reset(NOW);
        assert_eq!(limiter.next_delay(NOW, 0, 1, 250), 250);
        // C's product wraps.
        limiter.reset(NOW);
        assert_eq!(limiter.next_delay(NOW, 1, u64::MAX, 250), 625);
        limiter.reset(NOW);
        assert_eq!(limiter.next_delay(NOW, u32::MAX, u64::MAX, 0), 2);
        // Time around 0 wraps and stays well ordered.
        limiter.next_ns = u64::MAX;
        assert_eq!(limiter.next_delay(5, 1024, 1024, 250), 249);
        assert_eq!(limiter.next_io_ms(5), 999);
        limiter.reset(10);
        assert_eq!(limiter.next_io_ms(3_707_000_010), -3707);
    }
}
