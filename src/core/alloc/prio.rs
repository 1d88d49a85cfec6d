// SPDX-License-Identifier: GPL-2.0

//! Priorities, generations and reserves of buckets. C: `alloc.c`, `bcache.h`, `cache_alloc` in
//! `super.c`.

use crate::num::{
    i64_from_u64_sat,
    u32_from_u64_sat,
    usize_from_u64_sat, //
};

/// Priority of a bucket that has just been used.
pub const INITIAL_PRIO: u16 = 32768;
/// Priority of a bucket of the index; never aged.
pub const BTREE_PRIO: u16 = 0xffff;
/// Generations that a bucket may be ahead of the last gc before it can be reused no more.
pub const GC_GEN_MAX: u8 = 96;
/// Most reserve buckets for the index (the number of journal buckets).
const MAX_BTREE_RESERVE: u64 = 256;

/// How many generations `a` is ahead of `b`; 0 if it is behind. A distance above 128 counts as
/// behind.
pub const fn gen_after(a: u8, b: u8) -> u8 {
    match a.wrapping_sub(b) {
        ahead @ 0..=128 => ahead,
        _ => 0,
    }
}

/// How many generations a bucket has gone through since gc last looked at the keys that point to
/// it.
pub const fn gen_distance(gen: u8, last_gc: u8) -> u8 {
    gen.wrapping_sub(last_gc)
}

/// Whether a bucket may get a new generation: beyond 96 without gc, a stale pointer could look
/// valid again.
pub const fn can_inc_gen(gen: u8, last_gc: u8) -> bool {
    gen_distance(gen, last_gc) < GC_GEN_MAX
}

/// By this the `lru` policy compares buckets; the smallest is reused first.
///
/// The priority counts from `min_prio`, the lowest of any bucket, and is raised by an eighth of the
/// range (at least by 1: in a new cache, too, the unused buckets are the first), so that it can be
/// multiplied with the sectors in use.
#[inline]
pub fn lru_key(prio: u32, min_prio: u16, sectors_used: u32) -> u64 {
    let above = u64::from(prio.saturating_sub(u32::from(min_prio)));
    let base = u64::from(INITIAL_PRIO.saturating_sub(min_prio) / 8).max(1);
    above
        .saturating_add(base)
        .saturating_mul(u64::from(sectors_used))
}

/// The priority after one round of aging, `None` if the bucket does not age: unused, of the index,
/// or pinned.
pub const fn age(prio: u16, pinned: bool) -> Option<u16> {
    if pinned || prio == BTREE_PRIO {
        return None;
    }
    prio.checked_sub(1)
}

/// Sectors of cached I/O between two rounds of aging.
pub fn rescale_period(nbuckets: u64, bucket_sectors: u32) -> u64 {
    nbuckets.saturating_mul(u64::from(bucket_sectors)) / 1024
}

/// How many rounds of aging are due when `left` sectors are left until the next one, and what is left
/// then. C makes one per call, and falls behind if that is less than the I/O asks for.
pub fn rounds_due(left: i64, period: i64) -> (u32, i64) {
    let behind = left.min(0).unsigned_abs();
    let period = period.max(1);
    let rounds = behind.div_ceil(period.unsigned_abs());
    let ahead = i64_from_u64_sat(rounds.saturating_mul(period.unsigned_abs()));
    (u32_from_u64_sat(rounds), left.saturating_add(ahead))
}

/// Percent of the buckets in use.
pub fn in_use_percent(nbuckets: u64, available: u64) -> u32 {
    let used = nbuckets.saturating_sub(available);
    let percent = used.saturating_mul(100).checked_div(nbuckets);
    percent.map_or(0, |p| u32::try_from(p).unwrap_or(100))
}

/// Sizes of the queues of an allocator, in buckets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReserveSizes {
    /// For nodes of the index.
    pub btree: usize,
    /// For priorities and generations.
    pub prio: usize,
    /// For copying gc.
    pub moving_gc: usize,
    /// For everything else.
    pub none: usize,
    /// Invalidated and not yet written down.
    pub free_inc: usize,
}

impl ReserveSizes {
    /// The sizes of C. `None` for a cache that is too small (C: EPERM, "ca->sb.nbuckets is too
    /// small").
    pub fn derive(nbuckets: u64, prio_buckets: u32) -> Option<Self> {
        let free = nbuckets.checked_next_power_of_two()? >> 10;
        if free == 0 {
            return None;
        }
        let btree = (nbuckets >> 7).clamp(32, MAX_BTREE_RESERVE);
        Some(Self {
            btree: queue_size(btree)?,
            prio: usize_from_u64_sat(u64::from(prio_buckets)),
            moving_gc: queue_size(free)?,
            none: queue_size(free)?,
            free_inc: queue_size(free.checked_mul(4)?)?,
        })
    }
}

/// C's `init_fifo` makes a queue of more than 4 one smaller than a power of two.
fn queue_size(wanted: u64) -> Option<usize> {
    let size = if wanted > 4 {
        wanted.checked_next_power_of_two()?.saturating_sub(1)
    } else {
        wanted
    };
    usize::try_from(size).ok()
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_prio))]
mod tests {
    use super::*;

    #[test]
    fn generations() {
        assert_eq!(gen_after(5, 3), 2);
        assert_eq!(gen_after(3, 5), 0);
        assert_eq!(gen_after(1, 255), 2);
        assert_eq!(gen_after(128, 0), 128);
        assert_eq!(gen_after(129, 0), 0);
        assert!(can_inc_gen(95, 0) && !can_inc_gen(96, 0) && can_inc_gen(2, 250));
    }

    #[test]
    fn lru_as_in_c() {
        // C, in unsigned int: (prio - min + (INITIAL - min) / 8) * used.
        assert_eq!(lru_key(100, 50, 10), (50 + 32718 / 8) * 10);
        assert_eq!(lru_key(BTREE_PRIO.into(), 0, 8191), (65535 + 4096) * 8191);
        // All of the same age: 0 in C, whatever they hold.
        assert_eq!(lru_key(32768, 32768, 1024), 1024);
        // Below the minimum: C wraps.
        assert_eq!(lru_key(0, 8, 2), (32760 / 8) * 2);
    }

    #[test]
    fn ages() {
        assert_eq!(age(1, false), Some(0));
        assert_eq!(age(0, false), None);
        assert_eq!(age(BTREE_PRIO, false), None);
        assert_eq!(age(7, true), None);
        assert_eq!(rescale_period(204800, 1024), 204800);
        assert_eq!(rounds_due(0, 9), (0, 0));
        assert_eq!(rounds_due(17, 9), (0, 17));
        assert_eq!(rounds_due(-1, 9), (1, 8));
        assert_eq!(rounds_due(-9, 9), (1, 0));
        assert_eq!(rounds_due(-28, 9), (4, 8));
        assert_eq!(rounds_due(-3, 0), (3, 0));
        assert_eq!(rounds_due(i64::MIN, 1), (u32::MAX, -1));
        assert_eq!(in_use_percent(1000, 875), 12);
        assert_eq!(in_use_percent(0, 0), 0);
        assert_eq!(in_use_percent(5, 9), 0);
    }

    #[test]
    fn reserves() {
        assert_eq!(ReserveSizes::derive(512, 1), None);
        assert_eq!(
            ReserveSizes::derive(513, 3),
            Some(ReserveSizes {
                btree: 31,
                prio: 3,
                moving_gc: 1,
                none: 1,
                free_inc: 4,
            })
        );
        let big = ReserveSizes::derive(1 << 20, 1).unwrap();
        assert_eq!((big.btree, big.none, big.free_inc), (255, 1023, 4095));
    }
}
