// SPDX-License-Identifier: GPL-2.0

//! Arithmetic that saturates instead of failing, and clocks that wrap.
//!
//! The controller and the statistics work on numbers that come from disks and from sysfs; none of
//! them may overflow. Where a value does not fit, the nearest value that does is the right answer.

/// The distance `a - b` of two points on a clock that may wrap (`time_before64` and friends).
pub(crate) fn clock_diff(a: u64, b: u64) -> i64 {
    i64::from_ne_bytes(a.wrapping_sub(b).to_ne_bytes())
}

/// `floor(a * b / d)`, exact as long as the result fits 64 bits and `b` and `d` fit 32, saturating
/// beyond.
///
/// A `d` of 0 counts as 1: callers pass divisors that are never 0 and are spared the impossible
/// case.
pub(crate) fn mul_div(a: u64, b: u32, d: u32) -> u64 {
    let (b, d) = (u64::from(b), u64::from(d.max(1)));
    let whole = (a / d).saturating_mul(b);
    // Both factors are below 2^32.
    let rest = (a % d).saturating_mul(b) / d;
    whole.saturating_add(rest)
}

/// `a / b` rounded up, without the panics of the operators; a `b` of 0 counts as 1.
pub(crate) fn div_ceil(a: u64, b: u64) -> u64 {
    match (a.checked_div(b), a.checked_rem(b)) {
        (Some(q), Some(0)) => q,
        (Some(q), _) => q.saturating_add(1),
        _ => a,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mul_div_is_exact() {
        for a in [0, 1, 99, 100, 101, 1 << 40, u64::MAX / 3] {
            for b in [0, 1, 2, 3] {
                for d in [1, 7, 100, 16384, u32::MAX] {
                    let exact = u128::from(a) * u128::from(b) / u128::from(d);
                    assert_eq!(u128::from(mul_div(a, b, d)), exact);
                }
            }
        }
        assert_eq!(mul_div(u64::MAX, 3, 2), u64::MAX);
        assert_eq!(mul_div(5, 1, 0), 5);
    }

    #[test]
    fn rounds_up() {
        assert_eq!(div_ceil(0, 3), 0);
        assert_eq!((div_ceil(3, 3), div_ceil(4, 3)), (1, 2));
        assert_eq!((div_ceil(u64::MAX, 1), div_ceil(7, 0)), (u64::MAX, 7));
    }

    #[test]
    fn clocks_wrap() {
        assert_eq!(clock_diff(5, 7), -2);
        assert_eq!(clock_diff(1, u64::MAX), 2);
    }
}
