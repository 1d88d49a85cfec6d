// SPDX-License-Identifier: GPL-2.0

//! Counting what must be gone before its owner goes.

use crate::atomic::{
    Acquire,
    Atomic,
    Relaxed,
    Release, //
};
use kernel::bindings;

/// How many objects there are that use their owner until their very end.
pub(crate) struct Live(Atomic<i32>);

impl Live {
    /// No object.
    pub(crate) fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// One more. Any context.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    /// One less. Any context. The owner may be freed at once after this.
    pub(crate) fn gone(&self) {
        self.0.fetch_sub(1, Release);
    }

    /// Sleeps until all are gone; for the destructor of the owner. Process context.
    pub(crate) fn wait(&self) {
        let mut waited = false;
        while self.0.load(Acquire) != 0 {
            waited = true;
            // SAFETY: Process context, as the documentation demands.
            unsafe { bindings::msleep(1) };
        }
        if waited {
            // The completion that dropped the last one may still be in its last instructions.
            // SAFETY: As above.
            unsafe { bindings::synchronize_rcu() };
        }
    }
}
