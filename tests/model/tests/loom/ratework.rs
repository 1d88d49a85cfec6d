// SPDX-License-Identifier: GPL-2.0

//! The rate work, the stores that arm it, and the end of the attachment.
//!
//! What has to hold when `stop` has returned and the cache set is freed: the body does not run, the
//! work is not queued, and nobody queues it any more.

use crate::platform::{
    check, close_queue, free_set, worker, CacheSet, Kernel, Outcome, Seeded, Work,
};
use bcache_core::writeback::ratework::{Phase, Platform};
use loom::sync::atomic::{AtomicU32, Ordering::SeqCst};
use loom::thread::{spawn, JoinHandle};
use model::Seen;
use std::sync::Arc;

fn new_work<F: Seeded>(seen: &Seen) -> Arc<Work<F>> {
    Arc::new(Work::new(Kernel::new(&CacheSet::new(seen))))
}

/// A worker whose body uses the set twice and wants to run `again_until` times.
fn start<F: Seeded>(
    work: &Arc<Work<F>>,
    runs: &Arc<AtomicU32>,
    again_until: u32,
) -> JoinHandle<()> {
    let (work, runs) = (work.clone(), runs.clone());
    spawn(move || {
        let set = work.platform().set.clone();
        worker(&work, || {
            set.touch();
            let n = runs.fetch_add(1, SeqCst) + 1;
            set.touch();
            n < again_until
        });
    })
}

/// Attached and armed: the work, a store to `writeback_percent` and to
/// `writeback_rate_update_seconds`, and the detach at the same time.
pub fn detach<F: Seeded>() -> Outcome {
    check(|seen| {
        let work = new_work::<F>(seen);
        seen.expect(work.arm(), "not armed");
        let queue = start(&work, &Arc::new(AtomicU32::new(0)), 2);
        let store = {
            let work = work.clone();
            spawn(move || {
                work.arm();
                work.retime();
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

/// A detach and an unregister stop the same work; both may free the set when they return.
pub fn two_stops<F: Seeded>() -> Outcome {
    check(|seen| {
        let work = new_work::<F>(seen);
        seen.expect(work.arm(), "not armed");
        let queue = start(&work, &Arc::new(AtomicU32::new(0)), 2);
        let other = {
            let work = work.clone();
            spawn(move || {
                work.stop();
                free_set(&work);
            })
        };
        work.stop();
        free_set(&work);
        other.join().unwrap();
        close_queue(&work);
        queue.join().unwrap();
    })
}

/// A body that gave up (I/O was disabled) leaves the work idle, and a store arms it again. In C it
/// stays dead.
pub fn gives_up<F: Seeded>() -> Outcome {
    check(|seen| {
        let work = new_work::<F>(seen);
        let runs = Arc::new(AtomicU32::new(0));
        let queue = start(&work, &runs, 1);
        for n in 1..=2 {
            seen.expect(work.arm(), "not armed");
            work.platform().wait_until(|| work.phase() == Phase::Idle);
            seen.expect(runs.load(SeqCst) == n, "runs");
        }
        work.stop();
        free_set(&work);
        close_queue(&work);
        queue.join().unwrap();
    })
}

/// Two stores to an idle work while it is stopped.
pub fn stop_of_idle<F: Seeded>() -> Outcome {
    check(|seen| {
        let work = new_work::<F>(seen);
        let queue = start(&work, &Arc::new(AtomicU32::new(0)), 1);
        let store = || {
            let work = work.clone();
            spawn(move || {
                work.arm();
            })
        };
        let (a, b) = (store(), store());
        work.stop();
        free_set(&work);
        a.join().unwrap();
        b.join().unwrap();
        close_queue(&work);
        queue.join().unwrap();
    })
}
