// SPDX-License-Identifier: GPL-2.0

//! The writeback thread waits, and is asked for something while it falls asleep.

use crate::platform::{check, Outcome, Seeded, Sleep, W};
use bcache_core::sync::Event;
use bcache_core::writeback::kicks::Kicks;
use loom::sync::atomic::{AtomicBool, Ordering::SeqCst};
use loom::thread::spawn;
use std::sync::Arc;

/// What thread and settings share.
struct Device<F> {
    kicks: Kicks<W<F>>,
    wake: Sleep,
    settings: [AtomicBool; 2],
}

impl<F: Seeded> Device<F> {
    /// A store of sysfs, or a detach, as `wake_writeback` of the driver.
    fn store(&self, setting: usize) {
        self.settings[setting].store(true, SeqCst);
        self.kicks.ask();
        self.wake.wake_all();
    }

    /// The thread sleeps, for ever if it must, until both settings are what it waits for.
    fn pause(&self) {
        let look = || {
            let all = self.settings.iter().all(|s| s.load(SeqCst));
            (!all).then_some(())
        };
        self.kicks
            .wait(look, |(), woken| self.wake.wait_until(woken));
    }
}

/// Two stores while the thread looks and falls asleep: it sees both.
pub fn stores_wake_the_thread<F: Seeded>() -> Outcome {
    check(|_| {
        let dev = Arc::new(Device::<F> {
            kicks: Kicks::new(W::new()),
            wake: Sleep::new(),
            settings: [AtomicBool::new(false), AtomicBool::new(false)],
        });
        let other = {
            let dev = dev.clone();
            spawn(move || dev.store(0))
        };
        let thread = {
            let dev = dev.clone();
            spawn(move || dev.pause())
        };
        dev.store(1);
        other.join().unwrap();
        thread.join().unwrap();
    })
}
