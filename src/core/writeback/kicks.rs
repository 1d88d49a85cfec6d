// SPDX-License-Identifier: GPL-2.0

//! What the writeback thread is asked for while it looks at its settings and falls asleep.
//!
//! Whoever changes what the thread goes by (a detach, a store to a setting, the first dirty data) asks it to look again after
//! that. The thread takes the number of askings before it looks, and does not sleep once there are more: else it would sleep over
//! what was changed between its look and its sleep, for as long as `writeback_delay`. C: the thread sets its state before it looks,
//! in its main loop, but not where it waits between scans.
//!
//! The source is checked by loom over all interleavings (`tests/model`), with seeded faults that must be found.

use crate::sync::{
    Fault,
    Word, //
};

/// How often the thread was asked to look again. Lock-free, any context.
pub struct Kicks<W> {
    count: W,
}

/// All that the thread was asked for until then has been seen, or will be by a look that comes now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked(u64);

impl<W: Word> Kicks<W> {
    /// Nobody has asked. The word must hold 0.
    pub const fn new(count: W) -> Self {
        Self { count }
    }

    /// Asks the thread to look again; the caller wakes it.
    pub fn ask(&self) {
        if W::FAULT != Fault::AsksNobody {
            self.count.fetch_add(1);
        }
    }

    /// For a look that begins now.
    pub fn asked(&self) -> Asked {
        Asked(self.count.load())
    }

    /// Whether somebody has asked since.
    pub fn since(&self, asked: Asked) -> bool {
        self.count.load() != asked.0
    }

    /// Looks, and sleeps after each look that gives a time, until one says that this is over. `sleep` returns when the time is
    /// over, or as soon as what it is given is true, for which it looks whenever it is woken.
    pub fn wait<T>(
        &self,
        mut look: impl FnMut() -> Option<T>,
        mut sleep: impl FnMut(T, &dyn Fn() -> bool),
    ) {
        loop {
            let mut asked = self.asked();
            let Some(time) = look() else { return };
            if W::FAULT == Fault::TakesAskingLate {
                asked = self.asked();
            }
            sleep(time, &|| self.since(asked));
        }
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_kicks))]
mod tests {
    use super::*;
    use core::{
        cell::Cell,
        sync::atomic::AtomicU64, //
    };

    #[test]
    fn what_is_asked_for_during_the_look_is_not_slept_over() {
        let kicks = Kicks::new(AtomicU64::new(0));
        let (looks, sleeps) = (Cell::new(0), Cell::new(0));
        let look = || {
            looks.set(looks.get() + 1);
            match looks.get() {
                1 => {
                    kicks.ask();
                    Some(7)
                }
                2 => Some(8),
                _ => None,
            }
        };
        kicks.wait(look, |time, woken| {
            sleeps.set(sleeps.get() + 1);
            assert_eq!(
                (time, woken()),
                if looks.get() == 1 {
                    (7, true)
                } else {
                    (8, false)
                }
            );
            kicks.ask();
            assert!(woken());
        });
        assert_eq!((looks.get(), sleeps.get()), (3, 2));
    }
}
