// SPDX-License-Identifier: GPL-2.0

//! The two words of a bucket.
//!
//! C: `struct bucket` in `bcache.h`.

use bcache_core::alloc::bucket::State;
use bcache_kernel::atomic::{
    Acquire,
    Atomic,
    Full, //
};

/// What gc knows of a bucket (C: `GC_MARK`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mark {
    /// Nothing points into it.
    Free,
    /// Clean data only.
    Reclaimable,
    /// Some of its data is dirty.
    Dirty,
    /// A btree node, the uuids, priorities or journal.
    Metadata,
}

impl Mark {
    /// Its two bits.
    const fn bits(self) -> u32 {
        match self {
            Self::Free => 0,
            Self::Reclaimable => 1,
            Self::Dirty => 2,
            Self::Metadata => 3,
        }
    }

    /// From the two lowest bits of `v`.
    const fn from_bits(v: u32) -> Self {
        match v & 3 {
            0 => Self::Free,
            1 => Self::Reclaimable,
            2 => Self::Dirty,
            _ => Self::Metadata,
        }
    }
}

impl Mark {
    /// What it becomes by a live key that says `key` (metadata, dirty or reclaimable) of the bucket; `None` if the key
    /// contradicts it.
    #[inline]
    pub(super) const fn raised(self, key: Self) -> Option<Self> {
        match (self, key) {
            (Self::Free, _) | (Self::Metadata, Self::Metadata) => Some(key),
            (Self::Metadata, _) | (_, Self::Metadata) => None,
            (Self::Dirty, _) => Some(self),
            (Self::Reclaimable, _) => Some(key),
        }
    }
}

/// The second word: mark in bits 0..2, bit 2 "was reclaimable when the running gc began", sectors
/// used in the rest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct GcWord(u32);

impl GcWord {
    pub(super) const RECLAIMABLE_IN_GC: u32 = 1 << 2;
    const SECTORS_SHIFT: u32 = 3;
    const MAX_SECTORS: u32 = u32::MAX >> Self::SECTORS_SHIFT;

    pub(super) fn new(mark: Mark, sectors: u32) -> Self {
        Self(mark.bits() | (sectors.min(Self::MAX_SECTORS) << Self::SECTORS_SHIFT))
    }

    pub(super) fn mark(self) -> Mark {
        Mark::from_bits(self.0)
    }

    pub(super) fn with_mark(self, mark: Mark) -> Self {
        Self((self.0 & !3) | mark.bits())
    }

    pub(super) fn sectors(self) -> u32 {
        self.0 >> Self::SECTORS_SHIFT
    }

    pub(super) fn add_sectors(self, n: u32) -> Self {
        let sectors = self.sectors().saturating_add(n).min(Self::MAX_SECTORS);
        Self((self.0 & ((1 << Self::SECTORS_SHIFT) - 1)) | (sectors << Self::SECTORS_SHIFT))
    }

    pub(super) fn has(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    pub(super) fn with(self, bit: u32, on: bool) -> Self {
        Self(if on { self.0 | bit } else { self.0 & !bit })
    }
}

/// The first word of a bucket in the table; zeros are an unused bucket of generation 0.
#[derive(Clone, Copy)]
pub(super) struct StateCell<'a>(pub(super) &'a Atomic<u64>);

impl StateCell<'_> {
    pub(super) fn get(self) -> State {
        State::from_bits(self.0.load(Acquire))
    }

    /// Applies `f` until it takes; gives the state before, or `None` if `f` declined.
    pub(super) fn update(self, mut f: impl FnMut(State) -> Option<State>) -> Option<State> {
        let mut old = self.0.load(Acquire);
        loop {
            let new = f(State::from_bits(old))?;
            match self.0.cmpxchg(old, new.bits(), Full) {
                Ok(_) => return Some(State::from_bits(old)),
                Err(now) => old = now,
            }
        }
    }

    /// Applies `f` until it takes; gives the state after. Where `f` changes nothing nothing is written.
    pub(super) fn change(self, f: impl Fn(State) -> State) -> State {
        let mut old = self.get();
        loop {
            let new = f(old);
            if new == old {
                return new;
            }
            match self.0.cmpxchg(old.bits(), new.bits(), Full) {
                Ok(_) => return new,
                Err(now) => old = State::from_bits(now),
            }
        }
    }
}

/// The second word of a bucket in the table; zeros if nothing is in the bucket.
#[derive(Clone, Copy)]
pub(super) struct GcCell<'a>(pub(super) &'a Atomic<u32>);

impl GcCell<'_> {
    pub(super) fn get(self) -> GcWord {
        GcWord(self.0.load(Acquire))
    }

    /// As [`StateCell::update`].
    pub(super) fn update(self, mut f: impl FnMut(GcWord) -> Option<GcWord>) -> Option<GcWord> {
        let mut old = self.0.load(Acquire);
        loop {
            let new = f(GcWord(old))?;
            match self.0.cmpxchg(old, new.0, Full) {
                Ok(_) => return Some(GcWord(old)),
                Err(now) => old = now,
            }
        }
    }
}
