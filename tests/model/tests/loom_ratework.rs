// SPDX-License-Identifier: GPL-2.0

//! The rate work over all interleavings of the work, a store to `writeback_percent` and the end of
//! the attachment.
//!
//! What has to hold when `stop` has returned and the cache set is freed: the body does not run, the
//! work is not queued, and nobody queues it any more. Each seeded fault must be found.

use bcache_core::writeback::ratework::{Fault, Phase, Platform, RateState, RateWork};
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use loom::sync::{Arc, Condvar, Mutex};
use model::Seen;

const TOUCHED: &str = "touched a freed cache set";
const QUEUED: &str = "queued after the end";
const STILL_QUEUED: &str = "still queued at the end";

const NONE: u8 = 0;
const NO_WAIT: u8 = 1;
const NO_CANCEL: u8 = 2;
const REARM_AFTER_CHECK: u8 = 3;
const FLAG_CLEARED_EARLY: u8 = 4;

/// The work queue, as weak as the protocol allows: `cancel` does not wait for a running callback.
#[derive(Default)]
struct Queue {
    pending: bool,
    /// No callback will start any more: the worker may go home.
    closed: bool,
}

/// The kernel, with the fault `F`.
struct Kernel<const F: u8> {
    state: Mutex<RateState>,
    queue: Mutex<Queue>,
    queued: Condvar,
    event: Mutex<()>,
    woken: Condvar,
    /// The cache set is gone.
    freed: AtomicBool,
    seen: Seen,
}

impl<const F: u8> Kernel<F> {
    fn new(seen: &Seen) -> Self {
        Self {
            state: Mutex::new(RateState::default()),
            queue: Mutex::new(Queue::default()),
            queued: Condvar::new(),
            event: Mutex::new(()),
            woken: Condvar::new(),
            freed: AtomicBool::new(false),
            seen: seen.clone(),
        }
    }

    fn touch_set(&self) {
        self.seen.expect(!self.freed.load(SeqCst), TOUCHED);
    }
}

impl<const F: u8> Platform for Kernel<F> {
    const FAULT: Fault = match F {
        NO_WAIT => Fault::NoWait,
        NO_CANCEL => Fault::NoCancel,
        REARM_AFTER_CHECK => Fault::RearmAfterCheck,
        FLAG_CLEARED_EARLY => Fault::FlagClearedEarly,
        _ => Fault::None,
    };

    fn locked<R>(&self, f: impl FnOnce(&mut RateState) -> R) -> R {
        f(&mut self.state.lock().unwrap())
    }

    fn queue(&self) {
        self.seen.expect(!self.freed.load(SeqCst), QUEUED);
        self.queue.lock().unwrap().pending = true;
        self.queued.notify_all();
    }

    fn cancel(&self) {
        self.queue.lock().unwrap().pending = false;
    }

    fn wake(&self) {
        drop(self.event.lock().unwrap());
        self.woken.notify_all();
    }

    fn wait_until(&self, mut cond: impl FnMut() -> bool) {
        let mut guard = self.event.lock().unwrap();
        while !cond() {
            guard = self.woken.wait(guard).unwrap();
        }
    }
}

type Work<const F: u8> = RateWork<Kernel<F>>;

/// A worker of the queue: runs the work whenever it is queued.
fn worker<const F: u8>(work: &Work<F>, runs: &AtomicU32, again_until: u32) {
    let kernel = work.platform();
    loop {
        {
            let mut queue = kernel.queue.lock().unwrap();
            while !queue.pending && !queue.closed {
                queue = kernel.queued.wait(queue).unwrap();
            }
            if !queue.pending {
                return;
            }
            queue.pending = false;
        }
        work.run(|| {
            kernel.touch_set();
            let n = runs.fetch_add(1, SeqCst) + 1;
            kernel.touch_set();
            n < again_until
        });
    }
}

/// After `stop`: the set is freed.
fn free_set<const F: u8>(work: &Work<F>) {
    let kernel = work.platform();
    kernel.freed.store(true, SeqCst);
    let pending = kernel.queue.lock().unwrap().pending;
    kernel
        .seen
        .expect(work.phase() == Phase::Stopped, "not stopped");
    kernel.seen.expect(!pending, STILL_QUEUED);
}

/// The worker may go home.
fn close_queue<const F: u8>(work: &Work<F>) {
    let kernel = work.platform();
    kernel.queue.lock().unwrap().closed = true;
    kernel.queued.notify_all();
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

/// Attached and armed; the work, a store and the detach at the same time.
fn detach<const F: u8>() -> Vec<&'static str> {
    check(|seen| {
        let work = Arc::new(Work::<F>::new(Kernel::new(seen)));
        seen.expect(work.arm(), "not armed");
        let runs = Arc::new(AtomicU32::new(0));
        let queue = {
            let (work, runs) = (work.clone(), runs.clone());
            loom::thread::spawn(move || worker(&work, &runs, 2))
        };
        let store = {
            let work = work.clone();
            loom::thread::spawn(move || {
                work.arm();
            })
        };
        work.stop();
        free_set(&work);
        store.join().unwrap();
        seen.expect(!work.arm(), "armed after the end");
        close_queue(&work);
        queue.join().unwrap();
    })
}

#[test]
fn shipping() {
    assert_eq!(detach::<NONE>(), [""; 0]);
}

#[test]
fn faults_are_found() {
    assert!(detach::<NO_WAIT>().contains(&TOUCHED));
    assert!(detach::<NO_CANCEL>().contains(&STILL_QUEUED));
    assert!(detach::<REARM_AFTER_CHECK>().contains(&QUEUED));
    assert!(detach::<FLAG_CLEARED_EARLY>().contains(&TOUCHED));
}

/// A detach and an unregister stop the same work; both may free the set when they return.
#[test]
fn two_stops() {
    let wrong = check(|seen| {
        let work = Arc::new(Work::<NONE>::new(Kernel::new(seen)));
        seen.expect(work.arm(), "not armed");
        let runs = Arc::new(AtomicU32::new(0));
        let queue = {
            let (work, runs) = (work.clone(), runs.clone());
            loom::thread::spawn(move || worker(&work, &runs, 2))
        };
        let other = {
            let work = work.clone();
            loom::thread::spawn(move || {
                work.stop();
                free_set(&work);
            })
        };
        work.stop();
        free_set(&work);
        other.join().unwrap();
        close_queue(&work);
        queue.join().unwrap();
    });
    assert_eq!(wrong, [""; 0]);
}

/// A body that gave up (I/O was disabled) leaves the work idle, and a store arms it again. In C it
/// stays dead.
#[test]
fn gives_up_and_is_armed_again() {
    let wrong = check(|seen| {
        let work = Arc::new(Work::<NONE>::new(Kernel::new(seen)));
        let runs = Arc::new(AtomicU32::new(0));
        let queue = {
            let (work, runs) = (work.clone(), runs.clone());
            loom::thread::spawn(move || worker(&work, &runs, 1))
        };
        seen.expect(work.arm(), "not armed");
        work.platform().wait_until(|| work.phase() == Phase::Idle);
        seen.expect(runs.load(SeqCst) == 1, "runs");
        seen.expect(work.arm(), "not armed");
        work.platform().wait_until(|| work.phase() == Phase::Idle);
        seen.expect(runs.load(SeqCst) == 2, "runs");
        work.stop();
        free_set(&work);
        close_queue(&work);
        queue.join().unwrap();
    });
    assert_eq!(wrong, [""; 0]);
}
