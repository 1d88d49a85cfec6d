// SPDX-License-Identifier: GPL-2.0

//! Wait queues with conditions (C: `wait_event` and its variants).
//!
//! `kernel::sync::CondVar` waits need a lock guard and are exclusive; these wait for any condition that
//! a closure can test. The sleep is `TASK_IDLE`: it is not interrupted by signals, does not count as
//! load and never looks like a hung task.

use crate::{
    bindings,
    kthread::should_stop, //
};
use kernel::{
    ffi::c_long,
    prelude::*,
    sync::static_lock_class,
    task::might_sleep,
    types::Opaque, //
};

/// Lockdep wants one name pointer per class; a literal could be copied into each crate that inlines its user.
static NAME: &CStr = c"bcache wait queue";

/// How a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waited {
    /// The condition was true.
    Ready,
    /// The time was over and the condition still false.
    TimedOut,
    /// The current thread has been asked to stop.
    Stop,
}

/// A queue of waiting tasks.
#[pin_data]
pub struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
}

// SAFETY: A wait queue head may be used from any task; it is protected by its own spin lock.
unsafe impl Send for WaitQueue {}
// SAFETY: As above.
unsafe impl Sync for WaitQueue {}

impl WaitQueue {
    /// A queue with no waiters.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            head <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes and stays pinned; name and key are static.
                unsafe {
                    bindings::__init_waitqueue_head(
                        slot,
                        NAME.as_char_ptr(),
                        static_lock_class!().as_ptr(),
                    )
                }
            }),
        })
    }

    /// Wakes all waiters, so that they test their conditions again. Any context.
    ///
    /// What makes a condition true must have been stored before the call; no lock is needed for that.
    #[inline]
    pub fn wake_all(&self) {
        // SAFETY: The head was initialised by `new` and is pinned.
        unsafe { bindings::wake_all(self.head.get()) };
    }

    /// Sleeps until `cond` is true.
    ///
    /// `cond` is called again after each wake-up; it may take sleeping locks.
    pub fn wait_until(&self, cond: impl FnMut() -> bool) {
        self.wait(false, c_long::MAX, cond);
    }

    /// Sleeps until `cond` is true (gives `true`) or `jiffies` have passed (gives `false`).
    pub fn wait_until_timeout(&self, cond: impl FnMut() -> bool, jiffies: u64) -> bool {
        self.wait(false, timeout_from(jiffies), cond) == Waited::Ready
    }

    /// For a [`Thread`](crate::kthread::Thread): sleeps until `cond` is true (gives `true`) or the
    /// thread has been asked to stop (gives `false`). A stop request wins over a true condition.
    pub fn wait_until_or_stop(&self, cond: impl FnMut() -> bool) -> bool {
        self.wait(true, c_long::MAX, cond) == Waited::Ready
    }

    /// As [`wait_until_or_stop`](Self::wait_until_or_stop), but for at most `jiffies`.
    pub fn wait_until_or_stop_timeout(&self, cond: impl FnMut() -> bool, jiffies: u64) -> Waited {
        self.wait(true, timeout_from(jiffies), cond)
    }

    /// The loop of C's `wait_woken()` users; see `helpers/base.c` for the barriers.
    fn wait(&self, stoppable: bool, timeout: c_long, mut cond: impl FnMut() -> bool) -> Waited {
        might_sleep();
        let stop = || stoppable && should_stop();
        if stop() {
            return Waited::Stop;
        }
        if cond() {
            return Waited::Ready;
        }

        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: The head is initialised and pinned. The entry stays where it is and is taken off the
        // queue below; nothing between the two calls leaves this function.
        unsafe { bindings::wait_begin(self.head.get(), entry.get()) };
        let mut left = timeout;
        let how = loop {
            if stop() {
                break Waited::Stop;
            }
            if cond() {
                break Waited::Ready;
            }
            if left <= 0 {
                break Waited::TimedOut;
            }
            // SAFETY: `wait_begin` initialised the entry for the current task.
            left = unsafe { bindings::wait_woken_idle(entry.get(), stoppable, left) };
        };
        // SAFETY: `wait_begin` put the entry on this queue.
        unsafe { bindings::remove_wait_queue(self.head.get(), entry.get()) };
        how
    }
}

/// A timeout for `schedule_timeout()`; its largest value means for ever.
fn timeout_from(jiffies: u64) -> c_long {
    c_long::try_from(jiffies).unwrap_or(c_long::MAX)
}
