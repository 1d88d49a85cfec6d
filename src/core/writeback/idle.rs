// SPDX-License-Identifier: GPL-2.0

//! Full speed while a device is idle. C: `idle_counter_exceeded` and `set_at_max_writeback_rate` in
//! `writeback.c`, `quit_max_writeback_rate` in `request.c`.
//!
//! Each rate update of a dirty device counts up, each request to it starts over. After some counts
//! ([`super::control::Law::idle_steps`]) the rate goes to the maximum until the next request.
//!
//! C counts for the whole set: with `n` devices it takes `n` times as long, and one busy device keeps
//! all others at their minimum. With one device the times are the same.
//!
//! The source is checked by loom over all interleavings (`tests/model`), with seeded faults that must be found.

use crate::sync::{
    Fault,
    Word, //
};

/// The rate while a device is idle, sectors per second (C: `INT_MAX`), unless there is a maximum.
pub const MAX_RATE: u32 = 0x7fff_ffff;

/// The rate of a device when a request ends its idle time, until its next update.
pub const QUIT_RATE: u32 = 1;

/// When [`Idle::set_at_max`] may raise the rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaxGate {
    /// `idle_max_writeback_rate`.
    pub enabled: bool,
    /// No gc is running.
    pub gc_mark_valid: bool,
    /// Counts that make a device idle.
    pub steps: u32,
}

/// What came of [`Idle::set_at_max`].
#[must_use = "the rate may have to be taken back"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Round {
    /// The device is not idle: the controller's step is due.
    Busy,
    /// The rate was raised: the controller has nothing to do in this round.
    Idle,
    /// The rate was raised, and a request arrived meanwhile: the caller sets the rate to [`QUIT_RATE`], then the
    /// controller's step is due. In C the step alone undoes the raise, but it may be skipped.
    Ended,
}

/// The idle detection of one device. Lock-free, any context.
pub struct Idle<W> {
    counter: W,
    at_max: W,
}

impl<W: Word> Idle<W> {
    /// Not idle. Both words must hold 0.
    pub const fn new(counter: W, at_max: W) -> Self {
        Self { counter, at_max }
    }

    /// A request arrives at the device.
    ///
    /// True if it ends the idle time: the caller sets the rate to [`QUIT_RATE`]. Writes shared memory
    /// only if the device was about to be idle.
    pub fn note_io(&self) -> bool {
        if self.counter.load() != 0 && W::FAULT != Fault::RequestKeepsCount {
            self.counter.swap(0);
        }
        let ended = self.at_max() && self.at_max.swap(0) != 0;
        ended && W::FAULT != Fault::QuitsSilently
    }

    /// Whether the device counts as idle.
    pub fn at_max(&self) -> bool {
        self.at_max.load() != 0
    }

    /// A rate update of a dirty device. If the device has been idle for long enough, `raise` has to set the
    /// rate to the maximum and its terms (proportional, integral, change) to 0.
    pub fn set_at_max(&self, gate: &MaxGate, raise: impl FnOnce()) -> Round {
        if !gate.enabled || !gate.gc_mark_valid {
            // The rate is the controller's again.
            if self.at_max() {
                self.at_max.swap(0);
            }
            return Round::Busy;
        }
        if !self.tick(gate.steps) {
            return Round::Busy;
        }
        if !self.at_max() {
            self.at_max.swap(1);
        }
        let early = W::FAULT == Fault::LooksBeforeRaise && self.still_idle(gate.steps);
        raise();
        if early || self.still_idle(gate.steps) {
            return Round::Idle;
        }
        if W::FAULT == Fault::LeavesRaisedRate {
            return Round::Busy;
        }
        // The request may have come too early to see it.
        self.at_max.swap(0);
        Round::Ended
    }

    /// Whether no request arrived while the rate was raised.
    ///
    /// A request that came before `at_max` was set has not seen it, but has cleared the counter. Counting again, as
    /// C does, and not only looking: that cannot give an old value.
    fn still_idle(&self, steps: u32) -> bool {
        match W::FAULT {
            Fault::LooksOnce => true,
            Fault::LooksAtFlagAlone => self.at_max(),
            _ => self.tick(steps) && self.at_max(),
        }
    }

    /// Counts; true if the device has been idle for long enough.
    fn tick(&self, steps: u32) -> bool {
        let before = if W::FAULT == Fault::CountsInTwoSteps {
            let before = self.counter.load();
            self.counter.swap(before.wrapping_add(1));
            before
        } else {
            self.counter.fetch_add(1)
        };
        before.saturating_add(1) >= u64::from(steps)
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_idle))]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;

    fn idle(count: u64) -> Idle<AtomicU64> {
        Idle::new(AtomicU64::new(count), AtomicU64::new(0))
    }

    fn gate(steps: u32) -> MaxGate {
        MaxGate {
            enabled: true,
            gc_mark_valid: true,
            steps,
        }
    }

    /// Rounds until the rate is raised, and whether that round skipped the controller.
    fn rounds(idle: &Idle<AtomicU64>, steps: u32) -> (u32, bool) {
        for n in 1..1000 {
            let mut raised = false;
            let round = idle.set_at_max(&gate(steps), || raised = true);
            assert_eq!(raised, round != Round::Busy);
            if raised {
                return (n, round == Round::Idle);
            }
        }
        (0, false)
    }

    #[test]
    fn after_so_many_steps() {
        assert_eq!(rounds(&idle(0), 6), (6, true));
        assert_eq!(rounds(&idle(0), 30), (30, true));
        assert_eq!(rounds(&idle(0), u32::MAX), (0, false));
    }

    #[test]
    fn requests_end_it() {
        let idle = idle(0);
        assert!(!idle.note_io());
        assert_eq!(rounds(&idle, 6), (6, true));
        assert!(idle.at_max());
        assert!(idle.note_io());
        assert!(!idle.note_io());
        assert_eq!(rounds(&idle, 6), (6, true));
        // Once idle every round raises the rate again: a maximum that was changed has its effect.
        assert_eq!(rounds(&idle, 6), (1, true));
    }

    #[test]
    fn request_during_raise() {
        let idle = idle(5);
        let round = idle.set_at_max(&gate(6), || {
            idle.note_io();
        });
        assert_eq!((round, idle.at_max()), (Round::Ended, false));
    }

    /// `idle_max_writeback_rate` off, or gc at work, for which requests wait: no device looks idle then.
    #[test]
    fn nothing_is_raised_while_the_gate_is_closed() {
        let off = MaxGate {
            enabled: false,
            ..gate(6)
        };
        let gc = MaxGate {
            gc_mark_valid: false,
            ..gate(6)
        };
        for closed in [off, gc] {
            // At the maximum already: a gate that is open would raise again at once.
            let long = idle(0);
            assert_eq!(rounds(&long, 6), (6, true));
            assert_eq!(long.set_at_max(&closed, || unreachable!()), Round::Busy);
            // The rate is the controller's.
            assert!(!long.at_max());
            // And the time does not count.
            let new = idle(0);
            for _ in 0..100 {
                assert_eq!(new.set_at_max(&closed, || unreachable!()), Round::Busy);
            }
            assert_eq!(rounds(&new, 6), (6, true));
        }
    }
}
