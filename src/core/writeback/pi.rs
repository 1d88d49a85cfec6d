// SPDX-License-Identifier: GPL-2.0

//! The controller that sets the writeback rate. C: `__update_writeback_rate` in `writeback.c`.
//!
//! Every few seconds it compares the dirty sectors of a device with a target (the device's share of
//! a percentage of the cache) and sets the rate to the sum of a proportional and an integral term.
//! When much of the cache is in use by few dirty sectors, the proportional term is replaced by one
//! that grows with the fragmentation.
//!
//! For every input in range the results are those of C. Out of range C truncates to 32 bits and may
//! divide by zero; here all arithmetic is 64-bit and saturates, and the rate lies in
//! `1..=i32::MAX`. What this driver does beyond C is in [`super::control`].

use crate::arith::{
    clock_diff,
    div_toward_zero,
    mul_div, //
};
use crate::num::{
    i64_from_u64_sat,
    u32_from_u64_sat, //
};

/// In use above which the fragmentation counts, in percent of the buckets.
const FRAGMENT_LOW: u32 = 50;
/// In use above which the middle gain applies.
const FRAGMENT_MID: u32 = 57;
/// In use above which the high gain applies.
const FRAGMENT_HIGH: u32 = 64;
/// Sectors of dirty buckets per dirty sector that are not yet called fragmented.
const FRAGMENT_MIN: i64 = 3;

/// Bits of the share of a device in the target: 1 << 14 is the whole.
const SHARE_SHIFT: u32 = 14;

/// The highest rate, in sectors per second, unless the minimum is set higher.
pub const RATE_MAX: u32 = 1_000_000_000;

/// The slack within which a writeback thread counts as keeping up.
const ON_TIME_NS: u64 = 1_000_000;

/// What one step looks at. Sectors have 512 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PiInput {
    /// Buckets of the cache.
    pub nbuckets: u64,
    /// Sectors of a bucket.
    pub bucket_sectors: u32,
    /// Dirty sectors of flash-only volumes in the cache.
    pub flash_dirty: u64,
    /// Sectors of the backing device (the whole disk).
    pub bdev_sectors: u64,
    /// Sectors of all backing devices of the set.
    pub cached_dev_sectors: u64,
    /// `writeback_percent`.
    pub percent: u32,
    /// Dirty sectors of the device.
    pub dirty: i64,
    /// Buckets that gc counted as available.
    pub avail_buckets: u64,
    /// Buckets in use, percent.
    pub in_use: u32,
    /// `writeback_consider_fragment`.
    pub consider_fragment: bool,
    /// `writeback_rate_update_seconds`.
    pub update_seconds: u32,
    /// `writeback_rate_p_term_inverse`; 0 counts as 1.
    pub p_inverse: u32,
    /// `writeback_rate_i_term_inverse`; 0 counts as 1.
    pub i_inverse: u32,
    /// `writeback_rate_fp_term_low`.
    pub fp_low: u32,
    /// `writeback_rate_fp_term_mid`.
    pub fp_mid: u32,
    /// `writeback_rate_fp_term_high`.
    pub fp_high: u32,
    /// `writeback_rate_minimum`, sectors per second; it wins over [`RATE_MAX`].
    pub minimum: u32,
    /// The clock, nanoseconds.
    pub now_ns: u64,
    /// When the rate limiter allows the next writeback, on the same clock.
    pub next_ns: u64,
    /// The rate until now.
    pub old_rate: u32,
}

/// What the controller remembers between steps.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PiState {
    /// Sum of the errors, in sectors times seconds.
    pub integral: i64,
}

/// The result of one step, in sectors and sectors per second.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PiOutput {
    /// The new rate, never 0.
    pub rate: u32,
    /// Dirty sectors aimed at.
    pub target: u64,
    /// Dirty sectors seen.
    pub dirty: i64,
    /// How far above the target.
    pub error: i64,
    /// The proportional term.
    pub proportional: i64,
    /// The integral term.
    pub integral_scaled: i64,
    /// New rate less old rate.
    pub change: i64,
}

/// How many dirty sectors the device may have (C: `__calc_target_rate`).
///
/// A device of no known share (C would divide by zero if the sum of all sectors is 0) gets the
/// smallest.
pub fn target(input: &PiInput) -> u64 {
    let bucket = u64::from(input.bucket_sectors);
    let cache = input
        .nbuckets
        .saturating_mul(bucket)
        .saturating_sub(input.flash_dirty);
    let share = input
        .bdev_sectors
        .saturating_mul(1 << SHARE_SHIFT)
        .checked_div(input.cached_dev_sectors)
        .map_or(1, |s| u32_from_u64_sat(s).max(1));
    mul_div(mul_div(cache, input.percent, 100), share, 1 << SHARE_SHIFT)
}

/// The gain of the fragmentation term, or `None` while there is nothing to consider.
fn fragment_gain(input: &PiInput) -> Option<i64> {
    let (gain, above) = match input.in_use {
        0..=FRAGMENT_LOW => return None,
        in_use @ ..=FRAGMENT_MID => (input.fp_low, in_use.saturating_sub(FRAGMENT_LOW)),
        in_use @ ..=FRAGMENT_HIGH => (input.fp_mid, in_use.saturating_sub(FRAGMENT_MID)),
        in_use => (input.fp_high, in_use.saturating_sub(FRAGMENT_HIGH)),
    };
    Some(i64::from(gain).saturating_mul(i64::from(above)))
}

/// The proportional term that the fragmentation asks for, if the cache is fragmented.
///
/// `None` also if no bucket is in use, where C would divide by zero.
pub(super) fn fragment_term(input: &PiInput) -> Option<i64> {
    let buckets = fragmented_buckets(input)?;
    let per_bucket = input.dirty.checked_div(buckets)?;
    Some(per_bucket.saturating_mul(fragment_gain(input)?))
}

/// The buckets in use if the cache is fragmented: much of it is in use by few dirty sectors.
pub(super) fn fragmented_buckets(input: &PiInput) -> Option<i64> {
    if !input.consider_fragment || input.dirty <= 0 || input.in_use <= FRAGMENT_LOW {
        return None;
    }
    let buckets = i64_from_u64_sat(input.nbuckets.saturating_sub(input.avail_buckets));
    let used = buckets.saturating_mul(i64::from(input.bucket_sectors));
    let fragment = used.checked_div(input.dirty)?;
    (fragment > FRAGMENT_MIN).then_some(buckets)
}

/// Whether the writeback thread is on schedule, so that a larger integral would have an effect.
pub(super) fn keeping_up(input: &PiInput) -> bool {
    clock_diff(input.now_ns, input.next_ns.wrapping_add(ON_TIME_NS)) < 0
}

/// `a / b` toward zero; 0 counts as 1.
fn div(a: i64, b: u32) -> i64 {
    div_toward_zero(a, b)
}

/// One step of the controller. Pure arithmetic, any context.
pub fn step(state: &mut PiState, input: &PiInput) -> PiOutput {
    let target = target(input);
    let error = input.dirty.saturating_sub(i64_from_u64_sat(target));

    let mut proportional = div(error, input.p_inverse);
    if let Some(term) = fragment_term(input) {
        proportional = proportional.max(term);
    }

    // The integral shrinks only while it is positive, and grows only while the thread keeps up: it
    // is not wound up where it has no effect.
    if (error < 0 && state.integral > 0) || (error > 0 && keeping_up(input)) {
        let grown = error.saturating_mul(i64::from(input.update_seconds));
        state.integral = state.integral.saturating_add(grown);
    }
    let integral_scaled = div(state.integral, input.i_inverse);

    let rate = clamp_rate(
        proportional.saturating_add(integral_scaled),
        input.minimum,
        RATE_MAX,
    );
    PiOutput {
        rate,
        target,
        dirty: input.dirty,
        error,
        proportional,
        integral_scaled,
        change: i64::from(rate).saturating_sub(i64::from(input.old_rate)),
    }
}

/// Forces a sum of terms into the legal rates. The minimum is at least 1 and at most `i32::MAX`,
/// and wins over the maximum.
pub(super) fn clamp_rate(sum: i64, minimum: u32, maximum: u32) -> u32 {
    let lo = i64::from(minimum).clamp(1, i64::from(i32::MAX));
    let rate = sum.min(i64::from(maximum.min(RATE_MAX))).max(lo);
    // In 1..=i32::MAX by the clamps above.
    u32::try_from(rate).unwrap_or(1)
}

/// A few rows of the vectors in `tests/model`, which also run in the kernel.
#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_pi))]
mod tests {
    use super::*;

    const NOW: u64 = 1 << 50;

    /// 200 GiB of cache of which 10 percent may be dirty, one device, the thread keeps up.
    const INPUT: PiInput = PiInput {
        nbuckets: 204_800,
        bucket_sectors: 1024,
        flash_dirty: 0,
        bdev_sectors: 1_000_000_000,
        cached_dev_sectors: 1_000_000_000,
        percent: 10,
        dirty: 30_000_000,
        avail_buckets: 180_000,
        in_use: 12,
        consider_fragment: true,
        update_seconds: 5,
        p_inverse: 40,
        i_inverse: 10_000,
        fp_low: 1,
        fp_mid: 10,
        fp_high: 1000,
        minimum: 8,
        now_ns: NOW,
        next_ns: NOW + 5_000_000,
        old_rate: 1024,
    };

    fn rate(change: impl FnOnce(&mut PiInput)) -> (i64, u32) {
        let mut input = INPUT;
        change(&mut input);
        let out = step(&mut PiState::default(), &input);
        (out.proportional, out.rate)
    }

    #[test]
    fn as_in_c() {
        let mut state = PiState::default();
        let out = step(&mut state, &INPUT);
        assert_eq!((out.target, out.error), (20_971_520, 9_028_480));
        assert_eq!((out.proportional, state.integral), (225_712, 45_142_400));
        assert_eq!((out.rate, out.change), (230_226, 229_202));
        assert_eq!(rate(|i| i.next_ns = NOW - 10_000_000), (225_712, 225_712));
        assert_eq!(rate(|i| i.dirty = 1_000_000), (-499_288, 8));
        let fragmented = |i: &mut PiInput| {
            (i.dirty, i.avail_buckets, i.in_use) = (10_000_000, 61_440, 70);
        };
        assert_eq!(rate(fragmented), (414_000, 414_000));
    }

    #[test]
    fn where_c_wraps() {
        // C: the divisor becomes -1, and the rate 19971520.
        let small = |i: &mut PiInput| (i.dirty, i.p_inverse) = (1_000_000, u32::MAX);
        assert_eq!(rate(small), (0, 8));
        // C: nearly 2^32.
        let minimum = |i: &mut PiInput| (i.dirty, i.minimum) = (1_000_000, 3_000_000_000);
        assert_eq!(rate(minimum).1, 0x7fff_ffff);
        // Divisors of 0, no sectors at all.
        let zeros = |i: &mut PiInput| {
            (i.p_inverse, i.i_inverse, i.cached_dev_sectors, i.nbuckets) = (0, 0, 0, 0);
        };
        assert_eq!(rate(zeros), (30_000_000, 180_000_000));
        let most = |i: &mut PiInput| (i.dirty, i.p_inverse) = (i64::MAX, 1);
        assert_eq!(rate(most).1, RATE_MAX);
    }
}

/// All small numbers, and all combinations of those near the ends of their types, against wider arithmetic; on the host
/// only, as the one of `crate::arith`.
#[cfg(all(test, not(miri)))]
mod exact {
    use super::*;

    /// The ends of signed numbers of any width that matters.
    const SIGNED: [i64; 17] = [
        i64::MIN,
        i64::MIN + 1,
        i64::MIN / 2,
        -(1 << 32),
        -(1 << 31) - 1,
        -1_000_000_001,
        -2,
        -1,
        0,
        1,
        2,
        1_000_000_001,
        (1 << 31) - 1,
        1 << 32,
        i64::MAX / 2,
        i64::MAX - 1,
        i64::MAX,
    ];
    const U64: [u64; 12] = [
        0,
        1,
        2,
        101,
        1 << 14,
        u32::MAX as u64,
        1 << 32,
        1 << 50,
        i64::MAX as u64,
        1 << 63,
        u64::MAX - 1,
        u64::MAX,
    ];
    const U32: [u32; 9] = [
        0,
        1,
        2,
        100,
        999_999_999,
        1_000_000_000,
        i32::MAX as u32,
        1 << 31,
        u32::MAX,
    ];

    fn sat(v: i128) -> i64 {
        v.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    fn usat(v: u128) -> u64 {
        v.min(u64::MAX.into()) as u64
    }

    fn clamps(sum: i64, minimum: u32, maximum: u32) {
        let sum = i128::from(sum);
        let highest = i128::from(maximum).min(1_000_000_000);
        let lowest = i128::from(minimum).clamp(1, (1 << 31) - 1);
        let want = if sum < lowest || highest < lowest {
            lowest
        } else if sum > highest {
            highest
        } else {
            sum
        };
        let rate = clamp_rate(sum as i64, minimum, maximum);
        assert_eq!(i128::from(rate), want, "{sum} {minimum} {maximum}");
    }

    #[test]
    fn limits_of_a_rate() {
        for sum in -300..300 {
            for minimum in 0..=127 {
                for maximum in 0..=127 {
                    clamps(sum, minimum, maximum);
                }
            }
        }
        for sum in SIGNED {
            for minimum in U32 {
                for maximum in U32 {
                    clamps(sum, minimum, maximum);
                }
            }
        }
    }

    fn shares(i: &PiInput) {
        let cache = usat(u128::from(i.nbuckets) * u128::from(i.bucket_sectors));
        let cache = u128::from(cache.saturating_sub(i.flash_dirty));
        let part = u128::from(usat(cache * u128::from(i.percent) / 100));
        // Of 2^14; where nothing is known as little as there is.
        let share = match u128::from(i.cached_dev_sectors) {
            0 => 1,
            all => u128::from(usat(u128::from(i.bdev_sectors) << 14)) / all,
        };
        let share = share.clamp(1, u32::MAX.into());
        assert_eq!(target(i), usat(part * share >> 14), "{i:?}");
    }

    /// The share of the device in the target.
    #[test]
    fn share_of_a_device() {
        for bdev_sectors in 0..=255 {
            for cached_dev_sectors in 0..=255 {
                for percent in [0, 1, 7, 40, 99, 100, 255] {
                    for nbuckets in [0, 1, 3, 100, 255] {
                        shares(&PiInput {
                            nbuckets,
                            bucket_sectors: 128,
                            flash_dirty: 77,
                            bdev_sectors,
                            cached_dev_sectors,
                            percent,
                            ..PiInput::default()
                        });
                    }
                }
            }
        }
        for nbuckets in U64 {
            for bucket_sectors in U32 {
                for flash_dirty in U64 {
                    for bdev_sectors in U64 {
                        for cached_dev_sectors in U64 {
                            for percent in U32 {
                                shares(&PiInput {
                                    nbuckets,
                                    bucket_sectors,
                                    flash_dirty,
                                    bdev_sectors,
                                    cached_dev_sectors,
                                    percent,
                                    ..PiInput::default()
                                });
                            }
                        }
                    }
                }
            }
        }
    }

    fn fragments(i: &PiInput) {
        let dirty = i128::from(i.dirty);
        let buckets = i128::from(i.nbuckets) - i128::from(i.avail_buckets);
        let buckets = buckets.clamp(0, i64::MAX.into());
        let used = i128::from(sat(buckets * i128::from(i.bucket_sectors)));
        let counts = i.consider_fragment && i.in_use > 50 && dirty > 0 && used / dirty > 3;
        let in_use = i128::from(i.in_use);
        let gain = match i.in_use {
            0..=57 => i128::from(i.fp_low) * (in_use - 50),
            58..=64 => i128::from(i.fp_mid) * (in_use - 57),
            _ => i128::from(i.fp_high) * (in_use - 64),
        };
        let gain = i128::from(sat(gain));
        let term = counts.then(|| sat(dirty / buckets * gain));
        assert_eq!(fragment_term(i), term, "{i:?}");
        assert_eq!(fragmented_buckets(i), counts.then_some(sat(buckets)));
    }

    /// The fragmentation, its quotient and its gains.
    #[test]
    fn fragmentation() {
        let usual = PiInput {
            in_use: 51,
            consider_fragment: true,
            fp_low: 3,
            fp_mid: 70,
            fp_high: 1009,
            ..PiInput::default()
        };
        for dirty in -3..=255 {
            for nbuckets in 0..=255 {
                for bucket_sectors in 0..=17 {
                    fragments(&PiInput {
                        dirty,
                        nbuckets,
                        bucket_sectors,
                        avail_buckets: 5,
                        ..usual
                    });
                }
            }
        }
        // All percentages, and what is none.
        for in_use in (0..=255).chain(U32) {
            for gain in (0..=255).chain(U32) {
                for consider_fragment in [false, true] {
                    fragments(&PiInput {
                        in_use,
                        consider_fragment,
                        fp_low: gain,
                        fp_mid: gain / 2,
                        fp_high: gain / 3,
                        dirty: 1_000_000,
                        nbuckets: 1000,
                        bucket_sectors: 8000,
                        ..usual
                    });
                }
            }
        }
        for dirty in SIGNED {
            for nbuckets in U64 {
                for avail_buckets in U64 {
                    for bucket_sectors in U32 {
                        for in_use in [51, 57, 58, 64, 65, 100, u32::MAX] {
                            for gain in U32 {
                                fragments(&PiInput {
                                    dirty,
                                    nbuckets,
                                    avail_buckets,
                                    bucket_sectors,
                                    in_use,
                                    fp_low: gain,
                                    fp_mid: gain,
                                    fp_high: gain,
                                    ..usual
                                });
                            }
                        }
                    }
                }
            }
        }
    }

    /// A step without fragmentation towards a target of so many sectors.
    fn sums(i: &PiInput, wanted: u64, integral: i64) {
        let (dirty, seconds) = (i128::from(i.dirty), i128::from(i.update_seconds));
        let error = sat(dirty - i128::from(wanted).min(i64::MAX.into()));
        let proportional = i128::from(error) / i128::from(i.p_inverse.max(1));
        let moves = if error < 0 {
            integral > 0
        } else {
            error > 0 && i.next_ns == i.now_ns
        };
        let grown = sat(i128::from(error) * seconds);
        let after = match moves {
            true => sat(i128::from(integral) + i128::from(grown)),
            false => integral,
        };
        let scaled = i128::from(after) / i128::from(i.i_inverse.max(1));
        let lowest = i128::from(i.minimum).clamp(1, (1 << 31) - 1);
        let rate = (proportional + scaled).min(1_000_000_000).max(lowest);
        let want = PiOutput {
            rate: rate as u32,
            target: wanted,
            dirty: i.dirty,
            error,
            proportional: sat(proportional),
            integral_scaled: sat(scaled),
            change: sat(rate - i128::from(i.old_rate)),
        };
        let mut state = PiState { integral };
        assert_eq!(step(&mut state, i), want, "{i:?} {integral}");
        assert_eq!(state.integral, after, "{i:?} {integral}");
    }

    /// An input whose target is `wanted`: all of a cache that is one device's.
    fn towards(wanted: u64) -> PiInput {
        PiInput {
            nbuckets: wanted,
            bucket_sectors: 1,
            bdev_sectors: 1,
            cached_dev_sectors: 1,
            percent: 100,
            ..PiInput::default()
        }
    }

    /// Error, integral and the sum of the terms.
    #[test]
    fn sums_of_terms() {
        const LATE: u64 = 1 << 40;
        for dirty in -128..=127 {
            for integral in -128..=127 {
                for wanted in [0, 1, 5, 100, 255] {
                    for update_seconds in [0, 1, 3, 255] {
                        for (p_inverse, i_inverse, now_ns) in [(0, 1, 0), (3, 7, 0), (1, 0, LATE)] {
                            let input = PiInput {
                                dirty,
                                update_seconds,
                                p_inverse,
                                i_inverse,
                                now_ns,
                                old_rate: 13,
                                ..towards(wanted)
                            };
                            sums(&input, wanted, integral);
                        }
                    }
                }
            }
        }
        for dirty in SIGNED {
            for integral in SIGNED {
                for wanted in U64 {
                    for update_seconds in U32 {
                        for (p_inverse, i_inverse) in [(0, 0), (1, u32::MAX), (1 << 31, 1), (2, 3)]
                        {
                            for (now_ns, minimum, old_rate) in
                                [(0, 0, 0), (0, u32::MAX, u32::MAX), (LATE, 1 << 31, 1)]
                            {
                                let input = PiInput {
                                    dirty,
                                    update_seconds,
                                    p_inverse,
                                    i_inverse,
                                    now_ns,
                                    minimum,
                                    old_rate,
                                    ..towards(wanted)
                                };
                                sums(&input, wanted, integral);
                            }
                        }
                    }
                }
            }
        }
    }
}
