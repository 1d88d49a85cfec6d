// SPDX-License-Identifier: GPL-2.0

//! The kernel's primitives in the shape that `bcache_core::sync` asks for.
//!
//! Stores are read-modify-write operations with full ordering, loads have acquire ordering. A load after
//! a store of the same task is then ordered by the store's barriers, two loads by the first one, and a
//! store after a load by the store's barriers: together that is the sequential consistency which the
//! protocols of the core crate were checked with.

use crate::wait::WaitQueue;
use bcache_core::sync::{
    Event,
    Fault,
    Word, //
};

#[cfg(all(CONFIG_X86_64, not(CONFIG_KASAN), not(CONFIG_KCSAN)))]
pub use crate::inline_atomic::{
    Atomic,
    AtomicFlag, //
};
// Elsewhere, and where the kernel looks at every access.
pub use kernel::sync::atomic::{
    Acquire,
    Full,
    Relaxed, //
};
#[cfg(not(all(CONFIG_X86_64, not(CONFIG_KASAN), not(CONFIG_KCSAN))))]
pub use kernel::sync::atomic::{
    Atomic,
    AtomicFlag, //
};

/// A fully ordered word. Any context.
pub struct KWord(Atomic<u64>);

impl KWord {
    /// A word with the value `v`.
    pub const fn new(v: u64) -> Self {
        Self(Atomic::new(v))
    }
}

// As for the rate work.
const _: () = assert!(matches!(<KWord as Word>::FAULT, Fault::None));

impl Word for KWord {
    #[inline]
    fn load(&self) -> u64 {
        self.0.load(Acquire)
    }

    #[inline]
    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
        // One that fails has no ordering in the kernel's model.
        self.0
            .cmpxchg(old, new, Full)
            .map_err(|_| self.0.load(Acquire))
    }

    #[inline]
    fn swap(&self, v: u64) -> u64 {
        self.0.xchg(v, Full)
    }

    #[inline]
    fn fetch_add(&self, v: u64) -> u64 {
        self.0.fetch_add(v, Full)
    }
}

impl Event for WaitQueue {
    fn wake_all(&self) {
        WaitQueue::wake_all(self);
    }

    fn wait_until(&self, cond: impl FnMut() -> bool) {
        WaitQueue::wait_until(self, cond);
    }
}
