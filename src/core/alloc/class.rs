// SPDX-License-Identifier: GPL-2.0

//! How much a bucket is worth keeping, in a few hundred steps.
//!
//! C: `bucket_prio` of `alloc.c`, which compares to the last bit.

use super::prio::{
    lru_key,
    BTREE_PRIO,
    INITIAL_PRIO, //
};
use crate::num::low_u16;

/// A doubling of the key is cut into `1 << STEP_BITS` classes.
const STEP_BITS: u32 = 3;
/// Keys from here on share the last class: a full bucket of 2^16 sectors, 2^24 rounds old.
const KEY_BITS: u32 = 40;
/// Rounds of aging after which a [`Scale`] is old. Until then priorities count up to 32768 + 8192 + 4096, an eighth of which
/// is less than 8192 rounds, a quarter of the time that a priority takes to become 0.
const OLD_AFTER: u32 = 8192;
/// Classes there are, with [`Class::WAITING`].
pub const CLASSES: usize = 305;

/// What a bucket is filed under. A smaller one loses its content earlier; two keys in the same class
/// differ by less than an eighth of the smaller one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Class(u16);

impl Class {
    /// Buckets without live data.
    pub const FIRST: Self = Self(0);
    /// The last one: no bucket that can lose its content now, but one that perhaps soon can.
    pub const WAITING: Self = Self(304);

    /// That of a key of `lru_key`. Below [`Self::WAITING`].
    #[inline]
    pub fn of(key: u64) -> Self {
        let key = key.min((1 << KEY_BITS) - 1);
        // The position of the highest bit, as far as it is above the bits that are kept.
        let shift = key.checked_ilog2().unwrap_or(0).saturating_sub(STEP_BITS);
        let octave = u64::from(shift) << STEP_BITS;
        Self(low_u16(octave.saturating_add(key.wrapping_shr(shift))))
    }

    /// Its place in a table of [`CLASSES`].
    #[inline]
    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The next one, if there is one.
    #[inline]
    pub(super) fn next(self) -> Option<Self> {
        (self < Self::WAITING).then(|| Self(self.0.saturating_add(1)))
    }
}

/// What keys are counted from for a while, so that those computed at different times can be compared.
/// C takes the lowest priority of the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scale {
    /// The lowest priority of a bucket with data when it was made.
    min_prio: u16,
    /// Rounds of aging by then; wraps.
    rounds: u32,
}

impl Scale {
    /// A scale made after `rounds` of aging with `min_prio` as the lowest priority.
    pub fn new(min_prio: u16, rounds: u32) -> Self {
        Self {
            min_prio: min_prio.min(INITIAL_PRIO),
            rounds,
        }
    }

    /// The lowest priority there is, if it was `so_far` among other buckets and one more has `prio`. Those that are 0 do not
    /// count: most are those of buckets without data.
    #[inline]
    pub fn lowest(so_far: u16, prio: u16) -> u16 {
        match prio {
            0 => so_far,
            _ => so_far.min(prio),
        }
    }

    /// Whether there should be a new scale, after `rounds` of aging. On an old one all keys are high, and fall into a few
    /// classes. (The count wraps: for that, nobody must ask while 4 million times the size of the cache is read and
    /// written, and the worst is a poor order.)
    pub fn is_old(&self, rounds: u32) -> bool {
        rounds.wrapping_sub(self.rounds) >= OLD_AFTER
    }

    /// What a priority would be if it had not aged since the scale was made.
    #[inline]
    fn at_begin(&self, prio: u16, rounds: u32) -> u32 {
        match prio {
            // It has aged as much as it can.
            0 => 0,
            _ => u32::from(prio).saturating_add(rounds.wrapping_sub(self.rounds)),
        }
    }

    /// C's key of a bucket that has this priority after `rounds` of aging, but for the time that the
    /// lowest priority is taken from. Aging alone does not change it until the priority becomes 0: then the key falls to the
    /// lowest that there is for as many sectors.
    #[inline]
    pub fn key(&self, prio: u16, rounds: u32, sectors_used: u32) -> u64 {
        lru_key(self.at_begin(prio, rounds), self.min_prio, sectors_used)
    }

    /// The class of that key.
    #[inline]
    pub fn class(&self, prio: u16, rounds: u32, sectors_used: u32) -> Class {
        Class::of(self.key(prio, rounds, sectors_used))
    }

    /// The class of a bucket that can be reused while nobody knows how much is in it, for which `bucket_sectors` stand in:
    /// then only recency counts. What has no priority, or still that of a node that is gone, is empty, or older than all
    /// others.
    #[inline]
    pub fn class_in_gc(&self, prio: u16, rounds: u32, bucket_sectors: u32) -> Class {
        match prio {
            0 | BTREE_PRIO => Class::FIRST,
            _ => self.class(prio, rounds, bucket_sectors),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eighth() {
        let mut seed = 3u64;
        let mut last = (0u64, Class::FIRST);
        for _ in 0..200_000 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
            let key = (seed >> 24) >> (seed % 40);
            let class = Class::of(key);
            let (low, high) = if key < last.0 {
                ((key, class), last)
            } else {
                (last, (key, class))
            };
            assert!(low.1 <= high.1 && high.1 < Class::WAITING);
            if low.1 == high.1 {
                assert!(high.0 - low.0 < low.0.div_ceil(8).max(1));
            }
            last = (key, class);
        }
        for key in 0..16 {
            assert_eq!(Class::of(key).index(), key as usize);
        }
        assert_eq!(Class::of(u64::MAX).next(), Some(Class::WAITING));
        assert_eq!(Class::WAITING.next(), None);
        assert_eq!(Class::WAITING.index() + 1, CLASSES);
    }

    #[test]
    fn aging_changes_no_key() {
        let scale = Scale::new(20_000, u32::MAX - 5);
        let rounds = |n: u32| (u32::MAX - 5).wrapping_add(n);
        for (prio, age) in [(20_000u16, 700u16), (32_768, 9), (25_000, 24_999)] {
            let then = scale.key(prio, rounds(0), 77);
            assert_eq!(then, scale.key(prio - age, rounds(age.into()), 77));
            assert_eq!(then, lru_key(prio.into(), 20_000, 77));
        }
    }

    #[test]
    fn by_recency_in_gc() {
        let scale = Scale::new(500, 7);
        let class = |prio| scale.class_in_gc(prio, 1007, 1024);
        // A bucket whose node is gone is worth as little as one that was never used.
        for empty in [0, BTREE_PRIO] {
            assert_eq!(class(empty), Class::FIRST);
        }
        // All of them were used before the scale was made.
        let prios = [1, 7000, 15_000, 23_000, 31_000];
        for pair in prios.windows(2) {
            assert!(Class::FIRST < class(pair[0]) && class(pair[0]) < class(pair[1]));
        }
    }

    /// As long as a scale is not old it tells a bucket from one that was used a quarter of a life later; without an end to
    /// that it would not.
    #[test]
    fn tells_young_from_old() {
        let start = u32::MAX - 4000;
        for min_prio in [1, 500, 16_384, 32_000, INITIAL_PRIO] {
            let scale = Scale::new(min_prio, start);
            let differ = |prio: u16, passed: u32| {
                let class = |prio| scale.class(prio, start.wrapping_add(passed), 1024);
                class(prio - 8192) < class(prio)
            };
            for passed in 0..OLD_AFTER {
                assert!(!scale.is_old(start.wrapping_add(passed)));
                // What was the lowest, or was used since: there is nothing older.
                for prio in [INITIAL_PRIO, 28_000, 20_000, 8193] {
                    let was = u32::from(prio - 8192) + passed;
                    assert!(was < min_prio.into() || differ(prio, passed));
                }
            }
            assert!(!differ(INITIAL_PRIO, (1 << 20) + (1 << 16)));
            for passed in [OLD_AFTER, 70_000, 1 << 31] {
                assert!(scale.is_old(start.wrapping_add(passed)));
            }
        }
    }

    #[test]
    fn aged_to_nothing() {
        let scale = Scale::new(9, 100);
        let lowest = lru_key(0, 9, 64);
        assert_eq!(scale.key(1, 300, 64), lru_key(201, 9, 64));
        assert_eq!(scale.key(0, 301, 64), lowest);
        let prios = [0, 700, 0, 9, 0xffff];
        let low = |prios: &[u16]| prios.iter().copied().fold(INITIAL_PRIO, Scale::lowest);
        assert_eq!((low(&prios), low(&[0, 0xffff])), (9, INITIAL_PRIO));
    }

    #[test]
    fn unused_ones_first_in_a_new_cache() {
        let scale = Scale::new(u16::MAX, 0);
        assert_eq!(scale.class(0, 0, 0), Class::FIRST);
        assert!(scale.class(INITIAL_PRIO, 0, 1) > Class::FIRST);
    }
}
