// SPDX-License-Identifier: GPL-2.0

//! The counted gate, the journal pins and the idle detection.

use crate::platform::{check, CacheSet, None, Outcome, Seeded, Sleep, W};
use bcache_core::gate::Gate;
use bcache_core::journal::pins::{Pins, Unpinned};
use bcache_core::sync::Event;
use bcache_core::writeback::idle::{Idle, MaxGate, MAX_RATE, QUIT_RATE};
use loom::sync::atomic::{AtomicU32, Ordering::SeqCst};
use loom::thread::spawn;
use std::sync::Arc;

/// Two users of what is freed when the gate is closed and idle.
pub fn gate<F: Seeded>() -> Outcome {
    check(|seen| {
        let set = CacheSet::new(seen);
        let shared = Arc::new((Gate::<W<F>>::new(W::new()), Sleep::new()));
        let user = || {
            let (shared, set) = (shared.clone(), set.clone());
            spawn(move || {
                if shared.0.enter() {
                    set.touch();
                    loom::thread::yield_now();
                    set.touch();
                    if shared.0.leave() {
                        shared.1.wake_all();
                    }
                }
            })
        };
        let (a, b) = (user(), user());
        shared.0.close();
        shared.0.wait_idle(&shared.1);
        set.free();
        a.join().unwrap();
        b.join().unwrap();
    })
}

/// Entries from `oldest` on, in a ring of four.
fn ring<F: Seeded>(oldest: u64) -> Pins<Vec<W<F>>, W<F>> {
    let slots: Vec<W<F>> = (0..4).map(|_| W::new()).collect();
    Pins::new(slots, W::new(), W::new(), oldest).unwrap()
}

/// An insert pins entry 7 while the journal goes on to entry 8 and reclaims: entry 7 stays until
/// the insert is done, and then nobody gets it again.
pub fn pins<F: Seeded>() -> Outcome {
    check(|seen| {
        let pins = Arc::new(ring::<F>(7));
        seen.expect(pins.pin(7), "not pinned");
        let insert = {
            let (pins, seen) = (pins.clone(), seen.clone());
            spawn(move || {
                // A dirty node takes over.
                seen.expect(pins.pin(7), "not pinned");
                pins.unpin(7);
                seen.expect(pins.oldest() == 7, "reclaimed while pinned");
                if pins.unpin(7) != Unpinned::Still {
                    seen.expect(!pins.pin(7), "pinned although nobody needs it");
                }
            })
        };
        seen.expect(pins.open() == Some(8), "not opened");
        pins.unpin(7);
        pins.reclaim();
        insert.join().unwrap();
        seen.expect(pins.reclaim() == 8, "not reclaimed");
        seen.expect(pins.in_use() == 1, "in use");
    })
}

/// Entries 7 and 8 lose their pins while the journal waits for room: it is woken for the last one.
pub fn reclaimer_is_woken<F: Seeded>() -> Outcome {
    check(|seen| {
        let shared = Arc::new((ring::<F>(7), Sleep::new()));
        seen.expect(shared.0.open() == Some(8), "not opened");
        seen.expect(shared.0.open() == Some(9), "not opened");
        let unpin = |seq| {
            let shared = shared.clone();
            spawn(move || {
                if shared.0.unpin(seq) == Unpinned::LastOfOldest {
                    shared.1.wake_all();
                }
            })
        };
        let (a, b) = (unpin(7), unpin(8));
        // A lost wake-up is a deadlock here.
        shared.1.wait_until(|| shared.0.reclaim() == 9);
        a.join().unwrap();
        b.join().unwrap();
    })
}

/// A request comes while the controller takes the device for idle: it does not keep full speed when it
/// is not idle (H9).
#[test]
fn request_ends_full_speed() {
    let outcome = check(|seen| {
        let (counter, at_max) = (W::<None>::new(), W::new());
        bcache_core::sync::Word::swap(&counter, 5);
        let shared = Arc::new((Idle::new(counter, at_max), AtomicU32::new(0)));
        let controller = {
            let shared = shared.clone();
            spawn(move || {
                let gate = MaxGate {
                    enabled: true,
                    gc_mark_valid: true,
                    steps: 6,
                };
                let (idle, rate) = &*shared;
                if !idle.set_at_max(&gate, || rate.store(MAX_RATE, SeqCst)) {
                    // A step of the controller.
                    rate.store(1000, SeqCst);
                }
            })
        };
        let (idle, rate) = &*shared;
        if idle.note_io() {
            rate.store(QUIT_RATE, SeqCst);
        }
        controller.join().unwrap();
        let full = rate.load(SeqCst) == MAX_RATE;
        seen.expect(!full || idle.at_max(), "full speed without idleness");
    });
    assert_eq!(outcome.wrong, [""; 0]);
}
