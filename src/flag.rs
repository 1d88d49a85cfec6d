// SPDX-License-Identifier: GPL-2.0

//! Small atomics with the names the driver uses.
//!
//! C bcache keeps its states in bit words (`unsigned long flags`); here each bit is a value of its
//! own, so that no read-modify-write of a neighbour can be lost.

use bcache_kernel::atomic::{
    Acquire,
    Atomic,
    AtomicFlag,
    Full,
    Relaxed, //
};

/// One state bit, fully ordered when it changes. Any context.
pub(crate) struct Flag(AtomicFlag);

impl Flag {
    /// A flag with the value `v`.
    pub(crate) const fn new(v: bool) -> Self {
        Self(AtomicFlag::new(v))
    }

    /// The value, with acquire ordering.
    pub(crate) fn get(&self) -> bool {
        self.0.load(Acquire)
    }

    /// Sets the flag; gives the value before (as C's `test_and_set_bit`).
    pub(crate) fn set(&self) -> bool {
        self.0.xchg(true, Full)
    }

    /// Clears the flag; gives the value before.
    pub(crate) fn clear(&self) -> bool {
        self.0.xchg(false, Full)
    }

    /// Stores `v`; gives the value before.
    pub(crate) fn put(&self, v: bool) -> bool {
        self.0.xchg(v, Full)
    }
}

/// A 32-bit tunable or counter without ordering. Any context.
pub(crate) struct Num(Atomic<u32>);

impl Num {
    /// A number with the value `v`.
    pub(crate) const fn new(v: u32) -> Self {
        Self(Atomic::new(v))
    }

    /// The value.
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Stores `v`.
    pub(crate) fn put(&self, v: u32) {
        self.0.store(v, Relaxed);
    }

    /// Adds `n`, wrapping; gives the value before.
    pub(crate) fn add(&self, n: u32) -> u32 {
        self.0.fetch_add(n, Relaxed)
    }

    /// Stores what `f` makes of the value, unless that is `None`; gives whether it did. `f` may be called more than once.
    pub(crate) fn change(&self, f: impl Fn(u32) -> Option<u32>) -> bool {
        let mut old = self.get();
        while let Some(new) = f(old) {
            match self.0.cmpxchg(old, new, Relaxed) {
                Ok(_) => return true,
                Err(now) => old = now,
            }
        }
        false
    }

    /// Takes what was counted: it is 0 afterwards, and nothing that was added meanwhile is lost.
    pub(crate) fn take(&self) -> u32 {
        self.0.xchg(0, Relaxed)
    }
}

/// A count that others decide by: fully ordered when it changes. Any context.
pub(crate) struct Count(Atomic<u32>);

impl Count {
    /// A count of 0.
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// The value, with acquire ordering.
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Acquire)
    }

    /// One more.
    pub(crate) fn inc(&self) {
        self.0.fetch_add(1, Full);
    }

    /// One less; true if that was the last one.
    pub(crate) fn dec(&self) -> bool {
        self.0.fetch_add(u32::MAX, Full) == 1
    }
}

/// A 64-bit counter without ordering. Any context.
pub(crate) struct Num64(Atomic<u64>);

impl Num64 {
    /// A number with the value `v`.
    pub(crate) const fn new(v: u64) -> Self {
        Self(Atomic::new(v))
    }

    /// The value.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Stores `v`.
    pub(crate) fn put(&self, v: u64) {
        self.0.store(v, Relaxed);
    }

    /// Adds `n`, wrapping; gives the value before.
    pub(crate) fn add(&self, n: u64) -> u64 {
        self.0.fetch_add(n, Relaxed)
    }
}
