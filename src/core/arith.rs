// SPDX-License-Identifier: GPL-2.0

//! Arithmetic that saturates instead of failing, and clocks that wrap.
//!
//! The controller and the statistics work on numbers that come from disks and from sysfs; none of
//! them may overflow. Where a value does not fit, the nearest value that does is the right answer.

/// The distance `a - b` of two points on a clock that may wrap (`time_before64` and friends).
pub(crate) fn clock_diff(a: u64, b: u64) -> i64 {
    i64::from_ne_bytes(a.wrapping_sub(b).to_ne_bytes())
}

/// Defines a `mul_div` for numbers of one width and factors of half of it: the one for 64 bits is
/// used, those of small widths are tried with all inputs.
macro_rules! define_mul_div {
    ($(#[$doc:meta])* $name:ident, $wide:ty, $half:ty) => {
        $(#[$doc])*
        pub(crate) fn $name(a: $wide, b: $half, d: $half) -> $wide {
            let (b, d) = (<$wide>::from(b), <$wide>::from(d.max(1)));
            let whole = (a / d).saturating_mul(b);
            // Both factors have half of the bits.
            let rest = (a % d).saturating_mul(b) / d;
            whole.saturating_add(rest)
        }
    };
}

define_mul_div! {
    /// `floor(a * b / d)`, exact as long as the result fits 64 bits, saturating beyond.
    ///
    /// A `d` of 0 counts as 1: callers pass divisors that are never 0 and are spared the impossible
    /// case.
    mul_div, u64, u32
}

/// Defines a division of a signed number by an unsigned one of half the width, likewise.
macro_rules! define_div_toward_zero {
    ($(#[$doc:meta])* $name:ident, $wide:ty, $half:ty) => {
        $(#[$doc])*
        pub(crate) fn $name(a: $wide, b: $half) -> $wide {
            a.checked_div(<$wide>::from(b.max(1))).unwrap_or(a)
        }
    };
}

define_div_toward_zero! {
    /// `a / b` toward zero; a `b` of 0 counts as 1.
    div_toward_zero, i64, u32
}

/// `a / b` rounded up, without the panics of the operators; a `b` of 0 counts as 1.
pub(crate) fn div_ceil(a: u64, b: u64) -> u64 {
    match (a.checked_div(b), a.checked_rem(b)) {
        (Some(q), Some(0)) => q,
        (Some(q), _) => q.saturating_add(1),
        _ => a,
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_arith))]
mod tests {
    use super::*;

    #[test]
    fn mul_div_saturates() {
        assert_eq!(mul_div(u64::MAX, 3, 2), u64::MAX);
        assert_eq!(mul_div(5, 1, 0), 5);
        assert_eq!(mul_div(u64::MAX, 3, 3), u64::MAX);
        assert_eq!(mul_div((1 << 40) + 1, 100, 100), (1 << 40) + 1);
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

/// Against wider arithmetic, which the kernel lacks, and of more inputs than an emulated machine has time for.
#[cfg(all(test, not(miri)))]
mod exact {
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
    }

    define_mul_div!(mul_div_8, u8, u8);
    define_mul_div!(mul_div_16, u16, u8);
    define_div_toward_zero!(div_toward_zero_16, i16, u8);

    /// All inputs of 8 bits, with factors of 4.
    #[test]
    fn mul_div_of_8_bits() {
        for a in 0..=u8::MAX {
            for b in 0..16u8 {
                for d in 0..16u8 {
                    let exact = u32::from(a) * u32::from(b) / u32::from(d.max(1));
                    assert_eq!(u32::from(mul_div_8(a, b, d)), exact.min(255), "{a} {b} {d}");
                }
            }
        }
    }

    /// All factors of 8 bits; every 13th number of 16 bits, and all near the ends.
    #[test]
    fn mul_div_of_16_bits() {
        let ends = (0..300).chain(65_200..=u16::MAX);
        for a in ends.chain((300..65_200).step_by(13)) {
            for b in 0..=u8::MAX {
                for d in 0..=u8::MAX {
                    let exact = u32::from(a) * u32::from(b) / u32::from(d.max(1));
                    assert_eq!(u32::from(mul_div_16(a, b, d)), exact.min(65_535));
                }
            }
        }
    }

    /// All inputs of 16 and 8 bits.
    #[test]
    fn division_of_16_bits() {
        for a in i16::MIN..=i16::MAX {
            for b in 0..=u8::MAX {
                let exact = i32::from(a) / i32::from(b.max(1));
                assert_eq!(i32::from(div_toward_zero_16(a, b)), exact);
            }
        }
    }

    /// All numbers of 8 bits, and those up to the largest.
    #[test]
    fn rounding_up_of_8_bits() {
        for a in (0..=255).chain(u64::MAX - 255..=u64::MAX) {
            for b in (0..=255).chain(u64::MAX - 255..=u64::MAX) {
                let (wide, by) = (u128::from(a), u128::from(b.max(1)));
                let exact = (wide + by - 1) / by;
                assert_eq!(u128::from(div_ceil(a, b)), exact, "{a} {b}");
            }
        }
    }

    /// All distances of 9 bits, and the largest, from all points near the ends of a clock.
    #[test]
    fn distances_of_9_bits() {
        let far = [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX];
        for from in (0..=255).chain(u64::MAX - 255..=u64::MAX) {
            for by in (-256..=255).chain(far) {
                assert_eq!(clock_diff(from.wrapping_add_signed(by), from), by);
            }
        }
    }
}
