// SPDX-License-Identifier: GPL-2.0

//! A counted gate: users pass while it is open, and whoever closes it can wait until the last user
//! has left.
//!
//! C: the reference count `cached_dev.count` with `cached_dev_get`/`cached_dev_put` in `bcache.h`.
//!
//! Count and closed flag share one word, so that no user can slip in behind a closer that has seen
//! the count at 0.

use crate::sync::{
    update,
    Event,
    Fault,
    Word, //
};

/// Set while the gate is closed; the bits below count the users.
const CLOSED: u64 = 1 << 63;

/// A counted gate. Lock-free; all methods but [`Gate::wait_idle`] in any context.
pub struct Gate<W> {
    word: W,
}

impl<W: Word> Gate<W> {
    /// An open gate without users. The word must hold 0.
    pub const fn new(word: W) -> Self {
        Self { word }
    }

    /// Passes the gate. False if it is closed; if true, the caller owes a [`Gate::leave`].
    pub fn enter(&self) -> bool {
        if W::FAULT == Fault::EnterInTwoSteps {
            return !self.is_closed() && self.word.fetch_add(1) < u64::MAX;
        }
        // A count that would reach the flag (2^63 users) is refused as well.
        update(&self.word, |w| {
            (w < CLOSED.wrapping_sub(1)).then(|| w.wrapping_add(1))
        })
        .is_some()
    }

    /// Counts one more user beside the caller, who is in: also if the gate is closed, as whoever waits then waits for the
    /// caller anyway. There is a [`Gate::leave`] owed for it.
    pub fn enter_too(&self) {
        if W::FAULT == Fault::EnterTooInTwoSteps {
            let before = self.word.load();
            self.word.swap(before.wrapping_add(1));
            return;
        }
        self.word.fetch_add(1);
    }

    /// Gives back what [`Gate::enter`] gave. True if this was the last user of a closed gate: the
    /// caller wakes those who [wait](Gate::wait_idle).
    #[must_use = "waiters must be woken"]
    pub fn leave(&self) -> bool {
        if W::FAULT == Fault::LeaveInTwoSteps {
            let before = self.word.load();
            self.word.swap(before.wrapping_sub(1));
            return before == CLOSED | 1;
        }
        let before = update(&self.word, |w| (users(w) > 0).then(|| w.wrapping_sub(1)));
        before == Some(CLOSED | 1) && W::FAULT != Fault::LeaveSilently
    }

    /// As [`Gate::leave`], for a gate that goes away with what it guards as soon as it is idle. `hold` gives what is needed to
    /// wake those who wait; it is called, while the user is still in, only if the gate is closed. `Some` if this was the
    /// last user: the gate may be gone by then.
    ///
    /// While the gate is open this is all there is to do: whoever closes it later sees that the user has left.
    #[must_use = "waiters must be woken"]
    pub fn leave_with<R>(&self, hold: impl FnOnce() -> R) -> Option<R> {
        if self.leave_open() {
            return None;
        }
        let held = hold();
        self.leave().then_some(held)
    }

    /// Leaves the gate if it is open.
    fn leave_open(&self) -> bool {
        if W::FAULT == Fault::LeaveInTwoSteps {
            let before = self.word.load();
            let open = before & CLOSED == 0;
            if open {
                self.word.swap(before.wrapping_sub(1));
            }
            return open;
        }
        let one_less = |w| (w & CLOSED == 0 && users(w) > 0).then(|| w.wrapping_sub(1));
        update(&self.word, one_less).is_some()
    }

    /// Closes the gate to new users. True if it was open.
    pub fn close(&self) -> bool {
        update(&self.word, |w| (w & CLOSED == 0).then_some(w | CLOSED)).is_some()
    }

    /// Opens the gate again. Users that are still in stay counted.
    pub fn reopen(&self) {
        let _ = update(&self.word, |w| (w & CLOSED != 0).then_some(w & !CLOSED));
    }

    /// Whether the gate is closed.
    pub fn is_closed(&self) -> bool {
        self.word.load() & CLOSED != 0
    }

    /// How many users are in.
    pub fn users(&self) -> u64 {
        users(self.word.load())
    }

    /// Whether the gate is closed and nobody is in: nobody will be in until it is opened again.
    pub fn is_idle(&self) -> bool {
        if W::FAULT == Fault::IdleWithUsers {
            return self.is_closed();
        }
        self.word.load() == CLOSED
    }

    /// Sleeps until the gate [is idle](Gate::is_idle). The gate must be closed, and stay so.
    pub fn wait_idle(&self, event: &impl Event) {
        event.wait_until(|| self.is_idle());
    }
}

/// The users counted in a word.
fn users(word: u64) -> u64 {
    word & !CLOSED
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_gate))]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;

    #[test]
    fn life() {
        let gate = Gate::new(AtomicU64::new(0));
        assert!(!gate.leave());
        assert!(gate.enter() && gate.enter());
        assert!(!gate.leave());
        assert!(gate.close() && !gate.close());
        assert!(!gate.enter() && !gate.is_idle());
        assert_eq!(gate.users(), 1);
        gate.enter_too();
        assert!(!gate.leave());
        assert!(gate.leave());
        assert!(gate.is_idle() && gate.is_closed());
        gate.reopen();
        gate.reopen();
        assert!(!gate.is_closed() && gate.enter());
        assert!(!gate.leave());
    }

    #[test]
    fn who_leaves_a_closed_gate_holds_something() {
        let gate = Gate::new(AtomicU64::new(0));
        let no = || unreachable!();
        assert!(gate.enter() && gate.enter() && gate.enter());
        assert_eq!(gate.leave_with::<()>(no), None);
        assert!(gate.close());
        assert_eq!(gate.leave_with(|| gate.users()), None);
        // Still in when it gets hold of what it needs.
        assert_eq!(gate.leave_with(|| gate.users()), Some(1));
        assert!(gate.is_idle());
    }

    #[test]
    fn full_gate_refuses() {
        let gate = Gate::new(AtomicU64::new(CLOSED - 1));
        assert!(!gate.enter());
    }
}
