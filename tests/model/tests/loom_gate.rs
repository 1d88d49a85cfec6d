// SPDX-License-Identifier: GPL-2.0

//! The gate and the journal pins over all interleavings.

use bcache_core::gate::Gate;
use bcache_core::journal::pins::{Pins, Unpinned};
use bcache_core::sync::{Event, Word};
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use loom::sync::{Arc, Condvar, Mutex};
use model::Seen;

/// A word of the model checker.
struct W(AtomicU64);

impl W {
    fn new() -> Self {
        Self(AtomicU64::new(0))
    }
}

impl Word for W {
    fn load(&self) -> u64 {
        self.0.load(SeqCst)
    }
    fn compare_exchange(&self, old: u64, new: u64) -> Result<u64, u64> {
        self.0.compare_exchange(old, new, SeqCst, SeqCst)
    }
    fn swap(&self, v: u64) -> u64 {
        self.0.swap(v, SeqCst)
    }
    fn fetch_add(&self, v: u64) -> u64 {
        self.0.fetch_add(v, SeqCst)
    }
}

/// Where the closer of the gate sleeps.
struct Sleep(Mutex<()>, Condvar);

impl Event for Sleep {
    fn wake_all(&self) {
        drop(self.0.lock().unwrap());
        self.1.notify_all();
    }
    fn wait_until(&self, mut cond: impl FnMut() -> bool) {
        let mut guard = self.0.lock().unwrap();
        while !cond() {
            guard = self.1.wait(guard).unwrap();
        }
    }
}

/// Runs `f` in all interleavings; gives what went wrong in any.
fn check(f: impl Fn(&Seen) + Send + Sync + 'static) -> Vec<&'static str> {
    let seen = Seen::default();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    let inner = seen.clone();
    builder.check(move || f(&inner));
    seen.all()
}

const USED: &str = "used after the end";

/// What the threads share.
struct Shared {
    gate: Gate<W>,
    sleep: Sleep,
    freed: AtomicBool,
}

/// Passes the gate and uses what it guards.
fn user(shared: &Shared, seen: &Seen) {
    if shared.gate.enter() {
        seen.expect(!shared.freed.load(SeqCst), USED);
        loom::thread::yield_now();
        seen.expect(!shared.freed.load(SeqCst), USED);
        if shared.gate.leave() {
            shared.sleep.wake_all();
        }
    }
}

/// Two users; the main thread ends the use by `end` and frees what they use.
fn users(end: fn(&Shared)) -> Vec<&'static str> {
    check(move |seen| {
        let shared = Arc::new(Shared {
            gate: Gate::new(W::new()),
            sleep: Sleep(Mutex::new(()), Condvar::new()),
            freed: AtomicBool::new(false),
        });
        let spawn = || {
            let (shared, seen) = (shared.clone(), seen.clone());
            loom::thread::spawn(move || user(&shared, &seen))
        };
        let (a, b) = (spawn(), spawn());
        end(&shared);
        shared.freed.store(true, SeqCst);
        a.join().unwrap();
        b.join().unwrap();
    })
}

#[test]
fn gate() {
    let wrong = users(|s| {
        s.gate.close();
        s.gate.wait_idle(&s.sleep);
    });
    assert_eq!(wrong, [""; 0]);
}

#[test]
fn gate_faults_are_found() {
    let no_wait = users(|s| {
        s.gate.close();
    });
    assert_eq!(no_wait, [USED]);
    let no_close = users(|s| {
        while s.gate.users() != 0 {
            loom::thread::yield_now();
        }
    });
    assert_eq!(no_close, [USED]);
}

/// An insert pins entry 7 while the journal goes on to entry 8 and reclaims: entry 7 stays until
/// the insert is done.
#[test]
fn pins() {
    let wrong = check(|seen| {
        let slots: Vec<W> = (0..4).map(|_| W::new()).collect();
        let pins = Arc::new(Pins::new(slots, W::new(), W::new(), 7).unwrap());
        seen.expect(pins.pin(7), "not pinned");
        let insert = {
            let (pins, seen) = (pins.clone(), seen.clone());
            loom::thread::spawn(move || {
                // A dirty node takes over.
                seen.expect(pins.pin(7), "not pinned");
                pins.unpin(7);
                seen.expect(pins.oldest() == 7, "reclaimed while pinned");
                pins.unpin(7);
            })
        };
        seen.expect(pins.open() == Some(8), "not opened");
        pins.unpin(7);
        pins.reclaim();
        insert.join().unwrap();
        seen.expect(pins.reclaim() == 8, "not reclaimed");
        seen.expect(pins.in_use() == 1, "in use");
    });
    assert_eq!(wrong, [""; 0]);
}

/// Entries 7 and 8 lose their pins while the journal waits for room: it is woken for the last one.
#[test]
fn reclaimer_is_woken() {
    let wrong = check(|seen| {
        let slots: Vec<W> = (0..4).map(|_| W::new()).collect();
        let pins = Pins::new(slots, W::new(), W::new(), 7).unwrap();
        let shared = Arc::new((pins, Sleep(Mutex::new(()), Condvar::new())));
        seen.expect(shared.0.open() == Some(8), "not opened");
        seen.expect(shared.0.open() == Some(9), "not opened");
        let unpin = |seq| {
            let shared = shared.clone();
            loom::thread::spawn(move || {
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
    });
    assert_eq!(wrong, [""; 0]);
}
