// SPDX-License-Identifier: GPL-2.0

//! Arming, running and stopping the work that updates the writeback rate.
//!
//! C: `update_writeback_rate` in `writeback.c`, `cancel_writeback_rate_update_dwork` and its
//! callers in `super.c`, and the store of `writeback_percent` in `sysfs.c`.
//!
//! The work re-arms itself as long as the device is attached. It touches the cache set, so the set
//! must not be freed while it runs or may run again. C decides this by two flags that several
//! contexts read and write without a common lock, and a store to `writeback_percent` can arm the
//! work again between its cancellation and the end of the detach. Here everything is decided under
//! one lock by one table:
//!
//! | phase    | arm             | work begins | work ends      | retime   | stop                         |
//! |----------|-----------------|-------------|----------------|----------|------------------------------|
//! | Idle     | Armed, queued   | skipped     | -              | nothing  | Stopping                     |
//! | Armed    | nothing         | body runs   | queued or Idle | requeued | Stopping                     |
//! | Stopping | refused         | skipped     | not queued     | nothing  | waits for the body, cancels: |
//! |          |                 |             |                |          | Stopped                      |
//! | Stopped  | refused         | skipped     | -              | nothing  | nothing                      |
//!
//! The table is the methods of [`RateState`]; [`RateWork`] calls them under the lock.
//!
//! `Armed` is C's `BCACHE_DEV_WB_RUNNING`; [`RateState::in_body`] is `BCACHE_DEV_RATE_DW_RUNNING`.
//! There is no way back from `Stopping`: the next attachment of the device has a work of its own.
//!
//! The source is checked by loom over all interleavings, and the table in a model of several
//! attachments over all states (`tests/model`), with seeded faults that must be found.

use crate::sync::Fault;

/// Where the work of one attachment is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Phase {
    /// Not armed: before the first arming, or the body gave up. May be armed.
    #[default]
    Idle,
    /// Queued, or running and to be queued again.
    Armed,
    /// Being stopped: nothing is queued any more, the body may still run.
    Stopping,
    /// Stopped for good.
    Stopped,
}

/// What the lock of a [`Platform`] guards.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct RateState {
    phase: Phase,
    in_body: bool,
}

impl RateState {
    /// The phase.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether the body runs.
    pub fn in_body(&self) -> bool {
        self.in_body
    }

    /// Row by row: what an attempt to arm does.
    pub fn arm(&mut self) -> Arming {
        match self.phase {
            Phase::Idle => {
                self.phase = Phase::Armed;
                Arming::Queue
            }
            Phase::Armed => Arming::Already,
            Phase::Stopping | Phase::Stopped => Arming::Refused,
        }
    }

    /// The work begins; true if its body has to run.
    pub fn begin(&mut self) -> bool {
        let enter = self.phase == Phase::Armed && !self.in_body;
        self.in_body |= enter;
        enter
    }

    /// The body is over and says whether to go on; true if the work has to be queued.
    pub fn end(&mut self, again: bool) -> bool {
        self.in_body = false;
        let armed = self.phase == Phase::Armed;
        if armed && !again {
            self.phase = Phase::Idle;
        }
        armed && again
    }

    /// A stop begins: from now on nothing arms the work.
    pub fn close(&mut self) {
        if self.phase != Phase::Stopped {
            self.phase = Phase::Stopping;
        }
    }

    /// A stop ends.
    pub fn finish(&mut self) {
        self.phase = Phase::Stopped;
    }
}

/// What came of an attempt to arm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arming {
    /// Armed by this call: the work has to be queued.
    Queue,
    /// Armed before.
    Already,
    /// Being stopped.
    Refused,
}

/// What the protocol asks of the kernel.
pub trait Platform {
    /// Seeded fault; only the model checker overrides it.
    const FAULT: Fault = Fault::None;

    /// Runs `f` with the lock held. `f` does not sleep; it calls [`Self::queue`] at most.
    fn locked<R>(&self, f: impl FnOnce(&mut RateState) -> R) -> R;

    /// Queues the delayed work, unless it is queued. Called with the lock held; must not sleep.
    fn queue(&self);

    /// Queues the delayed work, or if it is queued gives it a new time. Called with the lock held;
    /// must not sleep.
    fn requeue(&self);

    /// Takes the work off the queue if it is there. No lock is held; may sleep.
    ///
    /// The protocol needs no more than that. In the kernel it has to be the synchronous kind that
    /// also keeps the work from being queued again (`disable_delayed_work_sync`), so that the
    /// memory of the work may be freed afterwards.
    fn cancel(&self);

    /// Wakes [`Self::wait_until`]. Called without the lock.
    fn wake(&self);

    /// Sleeps until `cond` is true; looks again after each [`Self::wake`].
    fn wait_until(&self, cond: impl FnMut() -> bool);
}

/// The rate work of one attachment.
pub struct RateWork<P> {
    platform: P,
}

impl<P: Platform> RateWork<P> {
    /// A work in phase `Idle`. The platform's lock must guard a [`RateState::default`].
    pub const fn new(platform: P) -> Self {
        Self { platform }
    }

    /// The platform.
    pub fn platform(&self) -> &P {
        &self.platform
    }

    /// The phase at this moment.
    pub fn phase(&self) -> Phase {
        self.platform.locked(|s| s.phase)
    }

    /// Arms the work (attach, and a store to `writeback_percent`). Any context in which the lock
    /// may be taken.
    ///
    /// True if it is armed now, by this call or before; false if it is being stopped.
    pub fn arm(&self) -> bool {
        if P::FAULT == Fault::ArmInTwoSteps {
            let mut before = self.platform.locked(|s| *s);
            return self.platform.locked(|s| {
                let arming = before.arm();
                if arming == Arming::Queue {
                    *s = before;
                    self.platform.queue();
                }
                arming != Arming::Refused
            });
        }
        self.platform.locked(|s| match s.arm() {
            Arming::Queue => {
                self.platform.queue();
                true
            }
            Arming::Already => true,
            Arming::Refused => {
                P::FAULT == Fault::ArmsAfterStop && {
                    self.platform.queue();
                    true
                }
            }
        })
    }

    /// The time between two runs has changed: the run that is queued comes after the new one.
    /// Any context in which the lock may be taken.
    pub fn retime(&self) {
        self.platform.locked(|s| {
            if s.phase == Phase::Armed || P::FAULT == Fault::RetimesAlways {
                self.platform.requeue();
            }
        });
    }

    /// The work function: runs `body` if the work is armed, and queues the work again if `body`
    /// says so.
    ///
    /// `body` may touch whatever is freed after [`Self::stop`]. If it gives `false` (the set does
    /// no more I/O), the work is idle until it is armed again.
    pub fn run(&self, body: impl FnOnce() -> bool) {
        if !self.begin() {
            return;
        }
        if P::FAULT == Fault::FlagClearedEarly {
            self.platform.locked(|s| s.in_body = false);
            self.platform.wake();
        }
        let again = body();
        self.end(again);
    }

    /// Enters the body if the work is armed.
    fn begin(&self) -> bool {
        match P::FAULT {
            Fault::BeginInTwoSteps => {
                let armed = self.platform.locked(|s| s.phase == Phase::Armed);
                self.platform.locked(|s| s.in_body |= armed);
                armed
            }
            Fault::RunsUnarmed => {
                self.platform.locked(|s| s.in_body = true);
                true
            }
            _ => self.platform.locked(RateState::begin),
        }
    }

    /// Leaves the body.
    fn end(&self, again: bool) {
        let requeue = self.platform.locked(|s| {
            if P::FAULT == Fault::EndForgetsStop && !again {
                s.phase = Phase::Idle;
            }
            let requeue = s.end(again);
            if requeue && P::FAULT != Fault::QueueAfterCheck {
                self.platform.queue();
            }
            requeue
        });
        if requeue && P::FAULT == Fault::QueueAfterCheck {
            self.platform.queue();
        }
        if P::FAULT != Fault::NoWake {
            self.platform.wake();
        }
    }

    /// Stops the work for good: when this returns, the body does not run, will not run, and the
    /// work is not queued.
    ///
    /// May sleep for as long as the body takes. May be called more than once and by several
    /// contexts; each returns only when the work is over. Must not be called from the body.
    pub fn stop(&self) {
        if P::FAULT == Fault::CancelFirst {
            self.wait_for_body();
            self.platform.cancel();
        }
        let before = self.platform.locked(|s| {
            let before = s.phase;
            s.close();
            before
        });
        if P::FAULT == Fault::SecondStopReturns && before == Phase::Stopping {
            return;
        }
        if P::FAULT != Fault::NoWait && P::FAULT != Fault::CancelFirst {
            self.wait_for_body();
        }
        if P::FAULT != Fault::NoCancel && P::FAULT != Fault::CancelFirst {
            self.platform.cancel();
        }
        self.platform.locked(RateState::finish);
        if P::FAULT == Fault::NotForGood {
            self.platform.locked(|s| s.phase = Phase::Idle);
        }
    }

    /// Sleeps until the body is over.
    fn wait_for_body(&self) {
        self.platform
            .wait_until(|| self.platform.locked(|s| !s.in_body));
    }
}

/// The table, row by row; what comes of it with several at work is loom's business.
#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_ratework))]
mod tests {
    use super::*;

    #[test]
    fn life() {
        let mut state = RateState::default();
        assert!(!state.begin() && state.phase() == Phase::Idle);
        assert_eq!(state.arm(), Arming::Queue);
        assert_eq!(state.arm(), Arming::Already);
        assert!(state.begin() && state.in_body() && !state.begin());
        assert!(state.end(true) && state.phase() == Phase::Armed);
        assert!(state.begin() && !state.end(false));
        assert_eq!((state.phase(), state.arm()), (Phase::Idle, Arming::Queue));
    }

    #[test]
    fn a_stop_is_for_good() {
        for begun in [false, true] {
            let mut state = RateState::default();
            state.arm();
            assert!(!begun || state.begin());
            state.close();
            assert_eq!((state.phase(), state.in_body()), (Phase::Stopping, begun));
            assert_eq!(state.arm(), Arming::Refused);
            assert!(!begun || !state.end(true));
            assert!(!state.begin());
            state.finish();
            state.close();
            assert_eq!(
                (state.phase(), state.arm()),
                (Phase::Stopped, Arming::Refused)
            );
            assert!(!state.begin() && !state.in_body());
        }
    }
}
