// SPDX-License-Identifier: GPL-2.0

//! The word of a bucket that decides whether a pointer is valid and its bucket in use.
//!
//! C: `pin`, `prio`, `gen`, `last_gc` of `struct bucket` in `bcache.h`.

use super::{
    age::{
        Epoch,
        Stamp, //
    },
    prio::{
        gen_after,
        BTREE_PRIO, //
    }, //
};
use crate::num::{
    low_u32,
    low_u8,
    u64_from_u8, //
};

const PINS: u64 = (1 << 24) - 1;
const GEN_SHIFT: u32 = 24;
const LAST_GC_SHIFT: u32 = 32;
const STAMP_SHIFT: u32 = 40;

const _: () = assert!(STAMP_SHIFT + Stamp::BITS == u64::BITS);

/// Pins in bits 0..24, generation 24..32, generation at the last gc 32..40, priority 40..64.
///
/// # Invariants
///
/// The priority ages if and only if there is no pin, and it is neither 0 nor that of the index. As
/// many pins as there can be stay for ever: that bucket is lost until the next start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State(u64);

impl State {
    /// That of an unused bucket of generation 0: zeros.
    pub const UNUSED: Self = Self::from_bits(0);

    /// From its bits.
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Its bits.
    #[inline]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Who claims the bucket.
    #[inline]
    pub const fn pins(self) -> u32 {
        low_u32(self.0 & PINS)
    }

    /// Current generation.
    #[inline]
    pub const fn gen(self) -> u8 {
        low_u8(self.0 >> GEN_SHIFT)
    }

    /// The oldest generation that gc found in a key.
    #[inline]
    pub const fn last_gc(self) -> u8 {
        low_u8(self.0 >> LAST_GC_SHIFT)
    }

    #[inline]
    const fn stamp(self) -> Stamp {
        Stamp::from_bits(self.0 >> STAMP_SHIFT)
    }

    /// Priority.
    #[inline]
    pub const fn prio(self, now: Epoch) -> u16 {
        self.stamp().prio(now)
    }

    /// Whether the priority is that of the index, which does not age.
    #[inline]
    pub const fn is_of_index(self) -> bool {
        self.stamp().bits() == Stamp::fixed(BTREE_PRIO).bits()
    }

    #[inline]
    const fn with_stamp(self, s: Stamp) -> Self {
        Self((self.0 & ((1 << STAMP_SHIFT) - 1)) | (s.bits() << STAMP_SHIFT))
    }

    /// Another generation.
    #[inline]
    pub const fn with_gen(self, gen: u8) -> Self {
        Self((self.0 & !(0xff << GEN_SHIFT)) | (u64_from_u8(gen) << GEN_SHIFT))
    }

    /// Another generation at the last gc.
    #[inline]
    pub const fn with_last_gc(self, gen: u8) -> Self {
        Self((self.0 & !(0xff << LAST_GC_SHIFT)) | (u64_from_u8(gen) << LAST_GC_SHIFT))
    }

    /// gc found a key of generation `gen`.
    #[inline]
    pub const fn seen(self, gen: u8) -> Self {
        match gen_after(self.last_gc(), gen) {
            0 => self,
            _ => self.with_last_gc(gen),
        }
    }

    /// Another priority.
    #[inline]
    pub const fn with_prio(self, prio: u16, now: Epoch) -> Self {
        self.with_stamp(match self.0 & PINS {
            0 => Stamp::aging(prio, now),
            _ => Stamp::fixed(prio),
        })
    }

    /// One pin more.
    #[inline]
    pub const fn pinned(self, now: Epoch) -> Self {
        match self.0 & PINS {
            0 => Self(self.with_stamp(Stamp::fixed(self.prio(now))).0 | 1),
            PINS => self,
            _ => Self(self.0.wrapping_add(1)),
        }
    }

    /// One pin less; none stays none.
    #[inline]
    pub const fn unpinned(self, now: Epoch) -> Self {
        match self.0 & PINS {
            0 | PINS => self,
            1 => Self(self.0 & !PINS).with_prio(self.prio(now), now),
            _ => Self(self.0.wrapping_sub(1)),
        }
    }

    /// See [`Stamp::settled`].
    #[inline]
    pub const fn settled(self, now: Epoch) -> Self {
        self.with_stamp(self.stamp().settled(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alloc::prio::{
        age,
        INITIAL_PRIO, //
    };

    /// Any operation changes what it should and nothing else, and a priority ages exactly as in C.
    #[test]
    fn equals_separate_fields() {
        let mut seed = 5u32;
        let mut next = || {
            seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
            seed >> 8
        };
        let mut rounds = (1 << 23) - 1000;
        let (mut s, mut pins, mut gen, mut last, mut prio) = (State::UNUSED, 0u32, 0u8, 0u8, 0u16);
        for _ in 0..400_000 {
            let now = Epoch::new(rounds);
            let v = next();
            match next() % 16 {
                0 => (s, gen) = (s.with_gen(low_u8(v.into())), low_u8(v.into())),
                1 => (s, last) = (s.with_last_gc(low_u8(v.into())), low_u8(v.into())),
                2 => prio = [0, 1, 7, INITIAL_PRIO, BTREE_PRIO - 1, BTREE_PRIO][v as usize % 6],
                3 => prio = INITIAL_PRIO,
                4..=6 => (s, pins) = (s.pinned(now), pins + 1),
                7..=10 => (s, pins) = (s.unpinned(now), pins.saturating_sub(1)),
                11 => s = s.settled(now),
                _ => {
                    rounds += 1;
                    prio = age(prio, pins != 0).unwrap_or(prio);
                }
            }
            let now = Epoch::new(rounds);
            if s.prio(now) != prio {
                s = s.with_prio(prio, now);
            }
            let fields = (s.pins(), s.gen(), s.last_gc(), s.prio(now));
            assert_eq!(fields, (pins, gen, last, prio));
            assert_eq!(s.is_of_index(), prio == BTREE_PRIO);
            let seen = gen_after(last, gen) != 0;
            assert_eq!(s.seen(gen), if seen { s.with_last_gc(gen) } else { s });
            assert_eq!(State::from_bits(s.bits()), s);
        }
    }

    #[test]
    fn unused_is_zeros() {
        let now = Epoch::new(7);
        let fields = |s: State| (s.pins(), s.gen(), s.last_gc(), s.prio(now));
        assert_eq!(fields(State::UNUSED), (0, 0, 0, 0));
        assert_eq!(Stamp::fixed(0).bits(), 0);
    }

    #[test]
    fn too_many_pins_are_for_ever() {
        let now = Epoch::new(3);
        let full = State::from_bits(State::UNUSED.with_gen(9).bits() | (PINS - 1)).pinned(now);
        assert_eq!((full.pins(), full.gen()), (0xff_ffff, 9));
        assert_eq!((full.pinned(now), full.unpinned(now)), (full, full));
    }
}
