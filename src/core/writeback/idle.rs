// SPDX-License-Identifier: GPL-2.0

//! Full speed while a cache set is idle. C: `idle_counter_exceeded` and `set_at_max_writeback_rate`
//! in `writeback.c`, `quit_max_writeback_rate` in `request.c`.
//!
//! Each rate update of a dirty device counts up, each request to any cached device of the set
//! starts over. After `6 * n * n` counts with `n` attached devices the rate goes to the maximum
//! until the next request.

use crate::sync::Word;

/// The rate while the set is idle, sectors per second (C: `INT_MAX`).
pub const MAX_RATE: u32 = 0x7fff_ffff;

/// The rate of every cached device when a request ends the idle time, until its next update.
pub const QUIT_RATE: u32 = 1;

/// Counts per device (squared) that make a set idle.
const ROUNDS: u64 = 6;

/// C's counter is an `int` that starts over when it overflows.
const COUNTER_MAX: u64 = 0x7fff_ffff;

/// When [`Idle::set_at_max`] may raise the rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MaxGate {
    /// `idle_max_writeback_rate`.
    pub enabled: bool,
    /// No gc is running.
    pub gc_mark_valid: bool,
    /// Attached cached devices; flash-only volumes do not count.
    pub attached: u32,
}

/// The idle detection of one cache set. Lock-free, any context.
pub struct Idle<W> {
    counter: W,
    at_max: W,
}

impl<W: Word> Idle<W> {
    /// Not idle. Both words must hold 0.
    pub const fn new(counter: W, at_max: W) -> Self {
        Self { counter, at_max }
    }

    /// A request arrives at a cached device of the set.
    ///
    /// True if it ends the idle time: the caller sets the rate of every cached device of the set to
    /// [`QUIT_RATE`]. Writes shared memory only if the set was about to be idle.
    pub fn note_io(&self) -> bool {
        if self.counter.load() != 0 {
            self.counter.swap(0);
        }
        self.at_max() && self.at_max.swap(0) != 0
    }

    /// Whether the set counts as idle.
    pub fn at_max(&self) -> bool {
        self.at_max.load() != 0
    }

    /// A rate update of a dirty device. If the set has been idle for long enough, `raise` has to
    /// set the rate of the device to [`MAX_RATE`] and its terms (proportional, integral, change) to
    /// 0.
    ///
    /// True if the controller has nothing to do in this round. False without `raise` if the set is
    /// not idle, and after it if a request arrived meanwhile: then the controller's step overwrites
    /// the rate.
    ///
    /// Counts once more after `raise`, as C does: the time to the maximum depends on it.
    pub fn set_at_max(&self, gate: &MaxGate, raise: impl FnOnce()) -> bool {
        if !gate.enabled || !gate.gc_mark_valid || !self.tick(gate.attached) {
            return false;
        }
        if !self.at_max() {
            self.at_max.swap(1);
        }
        raise();
        self.tick(gate.attached) && self.at_max()
    }

    /// Counts; true if the set has been idle for long enough.
    fn tick(&self, attached: u32) -> bool {
        let count = self.counter.fetch_add(1).saturating_add(1);
        if count > COUNTER_MAX {
            self.counter.swap(0);
            return false;
        }
        let n = u64::from(attached);
        n != 0 && count >= n.saturating_mul(n).saturating_mul(ROUNDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicU64;

    fn idle(count: u64) -> Idle<AtomicU64> {
        Idle::new(AtomicU64::new(count), AtomicU64::new(0))
    }

    /// Rounds until the rate is raised, and whether that round skipped the controller.
    fn rounds(idle: &Idle<AtomicU64>, attached: u32) -> (u32, bool) {
        let gate = MaxGate {
            enabled: true,
            gc_mark_valid: true,
            attached,
        };
        for n in 1..1000 {
            let mut raised = false;
            let done = idle.set_at_max(&gate, || raised = true);
            if raised {
                return (n, done);
            }
        }
        (0, false)
    }

    #[test]
    fn six_rounds_per_device_squared() {
        assert_eq!(rounds(&idle(0), 1), (6, true));
        assert_eq!(rounds(&idle(0), 2), (24, true));
        assert_eq!(rounds(&idle(0), 3), (54, true));
        assert_eq!(rounds(&idle(0), 0), (0, false));
        // An overflowing counter starts over.
        assert_eq!(rounds(&idle(COUNTER_MAX), 1), (7, true));
        // More devices than C can square in 32 bits.
        assert_eq!(rounds(&idle(0), u32::MAX), (0, false));
    }

    #[test]
    fn requests_end_it() {
        let idle = idle(0);
        assert!(!idle.note_io());
        assert_eq!(rounds(&idle, 1), (6, true));
        assert!(idle.at_max());
        assert!(idle.note_io());
        assert!(!idle.note_io());
        assert_eq!(rounds(&idle, 1), (6, true));
    }

    #[test]
    fn request_during_raise() {
        let idle = idle(5);
        let gate = MaxGate {
            enabled: true,
            gc_mark_valid: true,
            attached: 1,
        };
        assert!(!idle.set_at_max(&gate, || {
            idle.note_io();
        }));
        let closed = MaxGate {
            enabled: false,
            ..gate
        };
        assert!(!idle.set_at_max(&closed, || unreachable!()));
    }
}
