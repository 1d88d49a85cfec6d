// SPDX-License-Identifier: GPL-2.0

//! Priorities that age by themselves.
//!
//! C: `bch_rescale_priorities` in `alloc.c` lowers the priority of each bucket by one in every
//! round. Here a round is one step of an [`Epoch`] that all buckets share: what is kept of a bucket
//! is not its priority but the epoch in which that will have become 0, so that a round costs nothing
//! per bucket. What does not age (pinned, unused or of the index) keeps its priority as it is.

use super::prio::BTREE_PRIO;
use crate::num::{
    low_u16,
    low_u32,
    u64_from_u16,
    u64_from_u32, //
};

/// Rounds are counted modulo this.
const CYCLE: u32 = 1 << 23;
const MASK: u32 = CYCLE - 1;
/// The highest priority that ages.
const MOST: u32 = 0xfffe;
/// Rounds between two walks that settle the buckets whose priority has become 0.
pub const WALK_AFTER: u32 = 1 << 21;
/// Rounds without such a walk after which there is no aging any more.
const STOP_AFTER: u32 = 1 << 22;

// Until the walk after the next one a priority of 0 stays below those that are higher. The rest is room for a task that
// read the epoch long ago.
const _: () = assert!(STOP_AFTER + MOST < CYCLE - (1 << 21));

/// How many rounds of aging there were, modulo a power of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Epoch(u32);

impl Epoch {
    /// After `rounds` (which may have wrapped) rounds.
    #[inline]
    pub const fn new(rounds: u32) -> Self {
        Self(rounds & MASK)
    }
}

/// Whether buckets of priority 0 must be settled (see [`Stamp::settled`]): there were `rounds`
/// rounds, and `walked` of them when the last complete walk that did it began. Both may wrap.
#[inline]
pub const fn walk_due(rounds: u32, walked: u32) -> bool {
    rounds.wrapping_sub(walked) >= WALK_AFTER
}

/// How many of `due` rounds may follow. Fewer only if the walk is long overdue.
#[inline]
pub const fn rounds_allowed(due: u32, rounds: u32, walked: u32) -> u32 {
    if rounds.wrapping_sub(walked) >= STOP_AFTER {
        return 0;
    }
    // More would change nothing.
    if due > MOST {
        MOST
    } else {
        due
    }
}

/// A priority in 24 bits.
///
/// # Invariants
///
/// Either bit 23 is not set and the low 16 bits are a priority that does not age; or it is, and the
/// low 23 bits are the epoch in which the priority becomes (or became) 0. So zeros are an unused bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp(u32);

impl Stamp {
    /// Bits that one takes.
    pub const BITS: u32 = 24;
    const AGING: u32 = CYCLE;

    /// From its bits.
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        Self(low_u32(bits) & (Self::AGING | MASK))
    }

    /// Its bits.
    #[inline]
    pub const fn bits(self) -> u64 {
        u64_from_u32(self.0)
    }

    /// A priority that does not age.
    #[inline]
    pub const fn fixed(prio: u16) -> Self {
        Self(low_u32(u64_from_u16(prio)))
    }

    /// A priority that ages from now on, unless it is that of an unused bucket or of the index.
    #[inline]
    pub const fn aging(prio: u16, now: Epoch) -> Self {
        if prio == 0 || prio == BTREE_PRIO {
            return Self::fixed(prio);
        }
        let end = now.0.wrapping_add(low_u32(u64_from_u16(prio)));
        Self(Self::AGING | (end & MASK))
    }

    /// The priority now.
    #[inline]
    pub const fn prio(self, now: Epoch) -> u16 {
        let left = self.0.wrapping_sub(now.0) & MASK;
        if self.0 & Self::AGING == 0 {
            low_u16(self.bits())
        } else if left > MOST {
            0
        } else {
            low_u16(u64_from_u32(left))
        }
    }

    /// The same priority in the form that stays right for good if it is 0.
    #[inline]
    pub const fn settled(self, now: Epoch) -> Self {
        if self.prio(now) == 0 {
            Self::fixed(0)
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alloc::prio::{
        age,
        INITIAL_PRIO, //
    };

    /// All priorities, after as many rounds as there can be between two walks, from epochs around
    /// the wrap.
    #[test]
    fn a_round_lowers_each_priority_by_one() {
        for start in [0, 1, CYCLE / 2, CYCLE - 40_000, CYCLE - 1, u32::MAX - 5] {
            for prio in 0..=u16::MAX {
                let stamp = Stamp::aging(prio, Epoch::new(start));
                let at = |rounds: u32| stamp.prio(Epoch::new(start.wrapping_add(rounds)));
                let fixed = prio == BTREE_PRIO;
                let want = |rounds: u32| {
                    if fixed {
                        return prio;
                    }
                    prio.saturating_sub(u16::try_from(rounds).unwrap_or(u16::MAX))
                };
                let (end, last) = (u32::from(prio), STOP_AFTER + (1 << 20));
                for rounds in [0, 1, end / 2, end.saturating_sub(1), end, end + 1, last] {
                    assert_eq!(at(rounds), want(rounds), "{start} {prio} {rounds}");
                }
            }
        }
    }

    #[test]
    fn every_round_up_to_the_last() {
        for prio in [1, 77, INITIAL_PRIO, 0xfffe] {
            let stamp = Stamp::aging(prio, Epoch::new(CYCLE - 3));
            let mut want = prio;
            for rounds in 0..STOP_AFTER + (1 << 21) {
                let now = Epoch::new((CYCLE - 3).wrapping_add(rounds));
                assert_eq!(stamp.prio(now), want);
                want = age(want, false).unwrap_or(want);
            }
        }
    }

    #[test]
    fn fixed_ones_never_age() {
        for prio in 0..=u16::MAX {
            let stamp = Stamp::fixed(prio);
            for now in [0, 1, CYCLE / 2, CYCLE - 1] {
                assert_eq!(stamp.prio(Epoch::new(now)), prio);
                assert_eq!(Stamp::from_bits(stamp.bits()), stamp);
            }
        }
        assert_eq!(Stamp::aging(0, Epoch::new(5)), Stamp::fixed(0));
        assert_eq!(
            Stamp::aging(BTREE_PRIO, Epoch::new(5)),
            Stamp::fixed(BTREE_PRIO)
        );
    }

    /// Buckets as C would age them, over several cycles of the epoch with as few walks as are
    /// allowed.
    #[test]
    fn equals_a_walk_per_round() {
        let mut seed = 11u32;
        let mut next = || {
            seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
            seed >> 8
        };
        let mut rounds = u32::MAX - 3 * STOP_AFTER;
        let mut walked = rounds;
        let mut model = [0u16; 64];
        let mut stamps = [Stamp::fixed(0); 64];
        for _ in 0..20_000 {
            let due = next() % 8192;
            let allowed = rounds_allowed(due, rounds, walked);
            rounds = rounds.wrapping_add(allowed);
            for m in &mut model {
                if *m != BTREE_PRIO {
                    *m = m.saturating_sub(u16::try_from(allowed).unwrap());
                }
            }
            let now = Epoch::new(rounds);
            let at = usize::try_from(next() % 64).unwrap();
            match next() % 8 {
                0 => model[at] = INITIAL_PRIO,
                1 => model[at] = low_u16(u64::from(next())),
                2 => model[at] = BTREE_PRIO,
                _ => {}
            }
            if model[at] != stamps[at].prio(now) {
                stamps[at] = Stamp::aging(model[at], now);
            }
            if allowed == 0 && due != 0 {
                assert!(walk_due(rounds, walked));
                walked = rounds;
                for s in &mut stamps {
                    *s = s.settled(now);
                }
            }
            for (m, s) in model.iter().zip(&stamps) {
                assert_eq!(*m, s.prio(now));
                assert_eq!(s.prio(now), s.settled(now).prio(now));
            }
        }
    }

    #[test]
    fn no_rounds_once_the_walk_is_overdue() {
        let walked = u32::MAX - 10;
        let at = |n: u32| walked.wrapping_add(n);
        assert!(!walk_due(at(WALK_AFTER - 1), walked) && walk_due(at(WALK_AFTER), walked));
        assert_eq!(rounds_allowed(3, at(STOP_AFTER - 1), walked), 3);
        assert_eq!(rounds_allowed(3, at(STOP_AFTER), walked), 0);
        assert_eq!(rounds_allowed(u32::MAX, at(0), walked), MOST);
    }
}
