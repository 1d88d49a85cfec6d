// SPDX-License-Identifier: GPL-2.0

//! `__update_writeback_rate` of C bcache in C's integer widths, written down independently of
//! `bcache_core`.

use bcache_core::writeback::pi::{PiInput, PiOutput};

/// `v` as another type, or `None` where C would lose bits.
fn fit<A: Copy, B: TryFrom<A>>(v: A) -> Option<B> {
    B::try_from(v).ok()
}

/// `div_s64`: the divisor is an s32.
fn div_s64(a: i64, b: i64) -> Option<i64> {
    a.checked_div(i64::from(fit::<i64, i32>(b)?))
}

/// `__calc_target_rate`, line by line in the types of C; `None` where one of them overflows or a
/// divisor is 0.
fn target_in_c(i: &PiInput) -> Option<u64> {
    let nbuckets_times_size = i.nbuckets.checked_mul(u64::from(i.bucket_sectors))?;
    let cache_sectors: u64 = nbuckets_times_size.checked_sub(i.flash_dirty)?;
    let shifted = u64::try_from(u128::from(i.bdev_sectors) << 14).ok()?;
    let mut bdev_share: u32 = fit(shifted.checked_div(i.cached_dev_sectors)?)?;
    let cache_dirty_target: u64 = cache_sectors.checked_mul(u64::from(i.percent))? / 100;
    if bdev_share < 1 {
        bdev_share = 1;
    }
    Some(cache_dirty_target.checked_mul(u64::from(bdev_share))? >> 14)
}

/// `__update_writeback_rate` likewise: the step, and the new integral.
pub fn in_c(i: &PiInput, integral: &mut i64) -> Option<PiOutput> {
    let target: i64 = fit(target_in_c(i)?)?;
    let dirty = i.dirty;
    let error = dirty.checked_sub(target)?;
    let mut proportional_scaled = div_s64(error, i64::from(i.p_inverse))?;
    // size_t arithmetic, assigned to an int64_t.
    let dirty_buckets: i64 = fit(i.nbuckets.checked_sub(i.avail_buckets)?)?;
    if i.consider_fragment && i.in_use > 50 && dirty > 0 {
        let used = dirty_buckets.checked_mul(i64::from(i.bucket_sectors))?;
        let fragment = div_s64(used, dirty)?;
        let fp_term = if i.in_use <= 57 {
            i64::from(i.fp_low).checked_mul(i64::from(i.in_use - 50))?
        } else if i.in_use <= 64 {
            i64::from(i.fp_mid).checked_mul(i64::from(i.in_use - 57))?
        } else {
            i64::from(i.fp_high).checked_mul(i64::from(i.in_use - 64))?
        };
        let fps = div_s64(dirty, dirty_buckets)?.checked_mul(fp_term)?;
        if fragment > 3 && fps > proportional_scaled {
            proportional_scaled = fps;
        }
    }
    // time_before64(now, next + NSEC_PER_MSEC)
    let before = (i.now_ns.wrapping_sub(i.next_ns.wrapping_add(1_000_000)) as i64) < 0;
    if (error < 0 && *integral > 0) || (error > 0 && before) {
        *integral = integral.checked_add(error.checked_mul(i64::from(i.update_seconds))?)?;
    }
    let integral_scaled = div_s64(*integral, i64::from(i.i_inverse))?;
    let sum: i32 = fit(proportional_scaled.checked_add(integral_scaled)?)?;
    let (lo, hi): (i32, i32) = (fit(i.minimum)?, 1_000_000_000);
    if lo < 1 {
        // sysfs refuses 0.
        return None;
    }
    let new_rate = if sum >= hi {
        hi
    } else if sum <= lo {
        lo
    } else {
        sum
    };
    let change: i32 = fit(i64::from(new_rate) - i64::from(i.old_rate))?;
    Some(PiOutput {
        rate: new_rate as u32,
        target: target as u64,
        dirty,
        error,
        proportional: proportional_scaled,
        integral_scaled,
        change: i64::from(change),
    })
}
