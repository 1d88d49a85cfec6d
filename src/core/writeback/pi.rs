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
