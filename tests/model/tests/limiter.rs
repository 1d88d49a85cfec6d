// SPDX-License-Identifier: GPL-2.0

//! The rate limiter against `bch_next_delay` in C's integer widths.

use bcache_core::writeback::rate::RateLimiter;
use model::Rng;

const SECOND: u64 = 1_000_000_000;

/// `bch_next_delay`; `None` where the product or the comparison overflows, or the rate is 0.
fn in_c(next: &mut u64, now: u64, rate: u32, done: u64, hz: u64) -> Option<u64> {
    let before = |a: u64, b: u64| (a.wrapping_sub(b) as i64) < 0;
    let cost = done.checked_mul(SECOND)?.checked_div(u64::from(rate))?;
    if cost > 1 << 61 {
        // 73 years: C's comparison of times would turn around.
        return None;
    }
    *next = next.wrapping_add(cost);
    let ahead = now + SECOND * 5 / 2;
    if before(ahead, *next) {
        *next = ahead;
    }
    let behind = now.wrapping_sub(SECOND * 2);
    if before(*next, behind) {
        *next = behind;
    }
    Some(if before(now, *next) {
        (*next - now) / (SECOND / hz)
    } else {
        0
    })
}

#[test]
fn equals_c_in_range() {
    let mut r = Rng::new(0x11e7);
    let mut compared = 0u32;
    for _ in 0..200_000 {
        let now = (1 << 41) + r.below(1 << 60);
        let far = r.edgy(1 << 41);
        let next = if r.below(2) == 0 {
            now + far
        } else {
            now - far
        };
        let (rate, done) = (r.edgy(u64::from(u32::MAX)) as u32, r.edgy(1 << 34));
        let hz = [100, 250, 300, 1000][r.below(4) as usize];
        let mut c_next = next;
        let Some(delay) = in_c(&mut c_next, now, rate, done, hz) else {
            continue;
        };
        let mut limiter = RateLimiter { next_ns: next };
        assert_eq!(
            u64::from(limiter.next_delay(now, rate, done, hz as u32)),
            delay
        );
        assert_eq!(limiter.next_ns, c_next);
        compared += 1;
    }
    assert!(compared > 100_000, "{compared}");
}

/// Written at a rate, sectors take the time that the rate says, however they are divided.
#[test]
fn keeps_the_rate() {
    let mut r = Rng::new(1);
    for rate in [8u32, 1000, 1 << 20, 1_000_000_000] {
        let (mut now, mut limiter) = (SECOND, RateLimiter::new());
        limiter.reset(now);
        let mut total = 0;
        for _ in 0..5000 {
            // At most 2 s of work at a time, so that nothing is capped.
            let done = 1 + r.below((2 * u64::from(rate)).min(5000));
            total += done;
            now += 4_000_000 * u64::from(limiter.next_delay(now, rate, done, 250));
        }
        let ideal = total as u128 * SECOND as u128 / rate as u128;
        let took = u128::from(now - SECOND);
        // Up to one jiffy of debt and one nanosecond of rounding per step.
        assert!(
            took <= ideal && took + 4_000_000 + 5000 >= ideal,
            "{rate}: {took} {ideal}"
        );
    }
}

#[test]
fn wild_inputs() {
    let mut r = Rng::new(0xfeed);
    for _ in 0..100_000 {
        let (next, now) = (r.edgy(u64::MAX), r.edgy(u64::MAX));
        let hz = 1 + r.edgy(9999) as u32;
        let mut limiter = RateLimiter { next_ns: next };
        let delay = limiter.next_delay(now, r.edgy(u64::from(u32::MAX)) as u32, r.next(), hz);
        // At most 2.5 s.
        assert!(u64::from(delay) * (SECOND / u64::from(hz)) <= SECOND * 5 / 2);
        limiter.next_io_ms(now);
    }
}
