// SPDX-License-Identifier: GPL-2.0

//! What code of this crate that is shared between contexts asks of its platform.
//!
//! The protocols of this crate ([`crate::gate`], [`crate::writeback::ratework`],
//! [`crate::journal::pins`]) are generic over these traits: the module plugs in the kernel's
//! primitives, the model checker its own, and both run the same source. Every operation is fully
//! ordered (the kernel's `Full`, C11's sequentially consistent).

use core::sync::atomic::{
    AtomicBool,
    AtomicU64,
    Ordering, //
};

/// One flag.
pub trait Flag {
    /// Reads the flag.
    fn get(&self) -> bool;

    /// Sets the flag to `v`, gives the value before.
    fn swap(&self, v: bool) -> bool;
}

/// One 64-bit word.
pub trait Word {
    /// Reads the word.
    fn load(&self) -> u64;

    /// Stores `new` if the word is `old`; gives the value before, as an error if it was not `old`.
    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64>;

    /// Stores `v`, gives the value before.
    fn swap(&self, v: u64) -> u64;

    /// Adds `v` (wrapping), gives the value before.
    fn fetch_add(&self, v: u64) -> u64;
}

/// A place to sleep until something has happened.
pub trait Event {
    /// Wakes every sleeper. Any context.
    fn wake_all(&self);

    /// Sleeps until `cond` is true; looks again after each wake-up. May sleep.
    fn wait_until(&self, cond: impl FnMut() -> bool);
}

impl Flag for AtomicBool {
    fn get(&self) -> bool {
        self.load(Ordering::SeqCst)
    }

    fn swap(&self, v: bool) -> bool {
        AtomicBool::swap(self, v, Ordering::SeqCst)
    }
}

impl Word for AtomicU64 {
    fn load(&self) -> u64 {
        AtomicU64::load(self, Ordering::SeqCst)
    }

    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
        AtomicU64::compare_exchange(self, old, new, Ordering::SeqCst, Ordering::SeqCst)
    }

    fn swap(&self, v: u64) -> u64 {
        AtomicU64::swap(self, v, Ordering::SeqCst)
    }

    fn fetch_add(&self, v: u64) -> u64 {
        AtomicU64::fetch_add(self, v, Ordering::SeqCst)
    }
}

/// Applies `f` to the word until it takes; `f` gives the new value or `None` to leave the word
/// alone.
///
/// Gives the value that was replaced, or `None` if `f` declined.
pub(crate) fn update<W: Word>(w: &W, mut f: impl FnMut(u64) -> Option<u64>) -> Option<u64> {
    let mut old = w.load();
    loop {
        let new = f(old)?;
        match w.compare_exchange(old, new) {
            Ok(before) => return Some(before),
            Err(now) => old = now,
        }
    }
}
