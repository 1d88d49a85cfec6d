// SPDX-License-Identifier: GPL-2.0

//! Counting what must be gone before its owner goes.

use crate::{
    atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    },
    time::{
        jiffies,
        HZ, //
    }, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// Seconds after which a wait is worth a line in the log.
const LONG_SECONDS: u32 = 60;

/// How many objects there are that use their owner until their very end.
pub(crate) struct Live {
    count: Atomic<i32>,
    /// What they are, in words.
    what: &'static str,
}

impl Live {
    /// No object.
    pub(crate) fn new(what: &'static str) -> Self {
        Self {
            count: Atomic::new(0),
            what,
        }
    }

    /// One more. Any context.
    pub(crate) fn add(&self) {
        self.count.fetch_add(1, Relaxed);
    }

    /// One less. Any context. The owner may be freed at once after this.
    pub(crate) fn gone(&self) {
        self.count.fetch_sub(1, Release);
    }

    /// Sleeps until all are gone; for the destructor of the owner. Says so if that takes long. Process context.
    ///
    /// Not an event, but a look each millisecond: whoever would wake the sleeper could be freed by it.
    pub(crate) fn wait(&self) {
        let mut waited = false;
        let mut said = false;
        let begin = jiffies();
        let long = u64::from(LONG_SECONDS).saturating_mul(u64::from(HZ));
        loop {
            let left = self.count.load(Acquire);
            if left == 0 {
                break;
            }
            waited = true;
            if !said && jiffies().wrapping_sub(begin) >= long {
                said = true;
                pr_warn!(
                    "waiting for {} {} to be gone for more than {} seconds\n",
                    left,
                    self.what,
                    LONG_SECONDS
                );
            }
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
