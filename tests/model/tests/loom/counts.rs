// SPDX-License-Identifier: GPL-2.0

//! The counted gate and the journal pins.

use crate::platform::{check, CacheSet, Outcome, Seeded, Sleep, W};
use bcache_core::gate::Gate;
use bcache_core::journal::pins::{Pins, Unpinned};
use bcache_core::sync::Event;
use loom::sync::atomic::{AtomicBool, Ordering::SeqCst};
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
                    leave(&shared);
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

/// As `Inside` of the driver leaves: what wakes is held before.
fn leave<F: Seeded>(shared: &Arc<(Gate<W<F>>, Sleep)>) {
    if let Some(held) = shared.0.leave_with(|| shared.clone()) {
        held.1.wake_all();
    }
}

/// Somebody who is in hands a second count to another one, as a request does to a part of it, while the gate is closed.
pub fn second_count<F: Seeded>() -> Outcome {
    check(|seen| {
        let set = CacheSet::new(seen);
        let shared = Arc::new((Gate::<W<F>>::new(W::new()), Sleep::new()));
        seen.expect(shared.0.enter(), "not open");
        let request = {
            let (shared, set) = (shared.clone(), set.clone());
            spawn(move || {
                shared.0.enter_too();
                let part = {
                    let (shared, set) = (shared.clone(), set.clone());
                    spawn(move || {
                        set.touch();
                        leave(&shared);
                    })
                };
                set.touch();
                leave(&shared);
                part.join().unwrap();
            })
        };
        // Another one comes and goes.
        if shared.0.enter() {
            leave(&shared);
        }
        shared.0.close();
        shared.0.wait_idle(&shared.1);
        set.free();
        request.join().unwrap();
    })
}

/// An attachment is published: whoever looked before is out once the gate was closed and idle; it is opened again for those who
/// come later, and closed for good in the end.
pub fn reopened<F: Seeded>() -> Outcome {
    check(|seen| {
        let set = CacheSet::new(seen);
        let shared = Arc::new((Gate::<W<F>>::new(W::new()), Sleep::new()));
        let published = Arc::new((AtomicBool::new(false), AtomicBool::new(false)));
        let request = || {
            let (shared, set, published) = (shared.clone(), set.clone(), published.clone());
            spawn(move || {
                if shared.0.enter() {
                    let looked_before = !published.0.load(SeqCst);
                    let warm = published.1.load(SeqCst);
                    set.seen
                        .expect(!(looked_before && warm), "goes past a cache that is filled");
                    set.touch();
                    leave(&shared);
                }
            })
        };
        let (a, b) = (request(), request());
        published.0.store(true, SeqCst);
        shared.0.close();
        shared.0.wait_idle(&shared.1);
        shared.0.reopen();
        published.1.store(true, SeqCst);
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
