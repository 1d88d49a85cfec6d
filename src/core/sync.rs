// SPDX-License-Identifier: GPL-2.0

//! What code of this crate that is shared between contexts asks of its platform.
//!
//! The protocols of this crate ([`crate::gate`], [`crate::writeback::ratework`],
//! [`crate::journal::pins`]) are generic over these traits: the module plugs in the kernel's
//! primitives, the model checker its own, and both run the same source. Every operation is fully
//! ordered (the kernel's `Full`, C11's sequentially consistent).

use core::sync::atomic::{
    AtomicU64,
    Ordering, //
};

/// A seeded fault of a protocol, for the model checker to find; drivers have none.
///
/// A constant of the platform's type, so that the code of all but [`Fault::None`] is left out of the
/// module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The shipping protocol.
    None,
    /// Rate work: `stop` does not wait for the body.
    NoWait,
    /// Rate work: `stop` does not cancel.
    NoCancel,
    /// Rate work: `stop` waits and cancels before it says so (C's order, seen from `arm`).
    CancelFirst,
    /// Rate work: the second `stop` returns at once.
    SecondStopReturns,
    /// Rate work: a stopped work can be armed again.
    NotForGood,
    /// Rate work: whether to queue again is decided under the lock, and done after it.
    QueueAfterCheck,
    /// Rate work: the end of the body is announced before the body.
    FlagClearedEarly,
    /// Rate work: the end of the body is not announced.
    NoWake,
    /// Rate work: a body that gives up after `stop` began makes the work idle again.
    EndForgetsStop,
    /// Rate work: `arm` drops the lock between looking and arming.
    ArmInTwoSteps,
    /// Rate work: the work drops the lock between looking and entering the body.
    BeginInTwoSteps,
    /// Rate work: the work runs whatever the phase.
    RunsUnarmed,
    /// Rate work: `arm` queues a work that is being stopped.
    ArmsAfterStop,
    /// Rate work: `retime` queues a work that is not armed.
    RetimesAlways,
    /// Gate: a user looks whether it is closed first, and is counted then.
    EnterInTwoSteps,
    /// Gate: a second count is added in two steps.
    EnterTooInTwoSteps,
    /// Gate: a user who leaves is taken off in two steps.
    LeaveInTwoSteps,
    /// Gate: the last user does not wake the one who closed it.
    LeaveSilently,
    /// Gate: closed counts as idle, whoever is in.
    IdleWithUsers,
    /// Pins: an entry that nobody needs can be pinned.
    PinsUnneeded,
    /// Pins: a count is given back in two steps.
    UnpinInTwoSteps,
    /// Pins: the oldest entry is stored once, after all counts were looked at.
    OldestStoredLate,
    /// Pins: the count of the oldest entry is not looked at.
    ReclaimsPinned,
    /// Idle: the request that ends full speed does not say so.
    QuitsSilently,
    /// Idle: a request does not start the count over.
    RequestKeepsCount,
    /// Idle: a round is counted in two steps.
    CountsInTwoSteps,
    /// Idle: whether a request came while the rate was raised is not looked at.
    LooksOnce,
    /// Idle: that is looked at before the rate is raised.
    LooksBeforeRaise,
    /// Idle: that is told from the flag alone.
    LooksAtFlagAlone,
    /// Idle: a rate that was raised too late is left to the controller's step (C's way).
    LeavesRaisedRate,
    /// Kicks: nobody is told that something was asked for.
    AsksNobody,
    /// Kicks: what was asked so far is taken after the look that it is for.
    TakesAskingLate,
}

/// One 64-bit word.
pub trait Word {
    /// Seeded fault; only the model checker overrides it.
    const FAULT: Fault = Fault::None;

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
