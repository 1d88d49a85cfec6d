// SPDX-License-Identifier: GPL-2.0

//! Log lines that may come too often, and the last line.

use crate::{
    bindings,
    time::{
        jiffies,
        HZ, //
    }, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// Stops the machine with a message (C: `panic`). Does not return, which its type does not say: objtool
/// cannot follow functions of that kind from one object file to another.
pub fn panic_machine(msg: &CStr) {
    // SAFETY: `msg` is a C string.
    unsafe { bindings::panic_machine(msg.as_char_ptr()) };
}

/// Lets at most 10 events through in 5 seconds (C: `printk_ratelimited`). Any context.
///
/// Made for a `static` next to the message. Counting is not exact between CPUs, which does not matter.
pub struct RateLimit {
    /// When the current interval began, in jiffies, 0 before the first event.
    begin: Atomic<u64>,
    /// Events in the current interval.
    events: Atomic<u32>,
}

impl RateLimit {
    /// How many events pass in an interval.
    const BURST: u32 = 10;

    /// A limit with no events yet.
    pub const fn new() -> Self {
        Self {
            begin: Atomic::new(0),
            events: Atomic::new(0),
        }
    }

    /// Counts an event; true if it may be reported.
    pub fn allow(&self) -> bool {
        let now = jiffies();
        let begin = self.begin.load(Relaxed);
        if begin == 0 || now.wrapping_sub(begin) > u64::from(HZ).saturating_mul(5) {
            self.begin.store(now, Relaxed);
            self.events.store(0, Relaxed);
        }
        self.events.fetch_add(1, Relaxed) < Self::BURST
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self::new()
    }
}

/// `pr_warn!`, but silent when it comes too often.
#[macro_export]
macro_rules! pr_warn_ratelimited {
    ($($arg:tt)*) => {{
        static LIMIT: $crate::log::RateLimit = $crate::log::RateLimit::new();
        if LIMIT.allow() {
            ::kernel::pr_warn!($($arg)*);
        }
    }};
}
