// SPDX-License-Identifier: GPL-2.0

//! The protocol of the C driver on the same platform: two flags and a pointer, the store under the
//! register lock, the cancellation of a detach before it. The fault that oopses there must be found
//! here, or the scenarios could not be trusted with ours.

use crate::platform::{check, CacheSet, Outcome};
use loom::sync::atomic::{AtomicBool, Ordering::SeqCst};
use loom::sync::{Condvar, Mutex};
use loom::thread::spawn;
use std::sync::Arc;

const NULL: &str = "the work follows a null pointer";

/// The kernel's work queue.
#[derive(Default)]
struct Queue {
    pending: bool,
    running: bool,
    closed: bool,
}

struct CachedDev {
    wb_running: AtomicBool,
    rate_dw_running: AtomicBool,
    /// `disk.c` is not NULL.
    c: AtomicBool,
    detaching: AtomicBool,
    register_lock: Mutex<()>,
    queue: Mutex<Queue>,
    event: Condvar,
    set: Arc<CacheSet>,
    /// The store refuses while the device detaches.
    mended: bool,
}

impl CachedDev {
    fn schedule(&self) {
        self.queue.lock().unwrap().pending = true;
        self.event.notify_all();
    }

    /// `update_writeback_rate`; `again`: time goes on long enough for another run.
    fn update_writeback_rate(&self, again: bool) {
        let c = self.c.load(SeqCst);
        self.rate_dw_running.store(true, SeqCst);
        if self.wb_running.load(SeqCst) {
            self.set.seen.expect(c, NULL);
            self.set.touch();
        }
        if self.wb_running.load(SeqCst) && again {
            self.schedule();
        }
        self.rate_dw_running.store(false, SeqCst);
    }

    fn worker(&self) {
        let mut again = true;
        loop {
            let mut queue = self.queue.lock().unwrap();
            while !queue.pending && !queue.closed {
                queue = self.event.wait(queue).unwrap();
            }
            if !queue.pending {
                return;
            }
            queue.pending = false;
            queue.running = true;
            drop(queue);
            self.update_writeback_rate(again);
            again = false;
            self.queue.lock().unwrap().running = false;
            self.event.notify_all();
        }
    }

    /// The store of `writeback_percent`.
    fn store(&self) {
        let _lock = self.register_lock.lock().unwrap();
        let refused = self.mended && self.detaching.load(SeqCst);
        if self.c.load(SeqCst) && !refused && !self.wb_running.swap(true, SeqCst) {
            self.schedule();
        }
    }

    /// `cancel_writeback_rate_update_dwork`: the wait for the flag may time out, so that only
    /// `cancel_delayed_work_sync` counts.
    fn cancel(&self) {
        let mut queue = self.queue.lock().unwrap();
        queue.pending = false;
        while queue.running {
            queue = self.event.wait(queue).unwrap();
        }
        queue.pending = false;
    }

    /// `cached_dev_detach_finish`
    fn detach_finish(&self) {
        {
            let _lock = self.register_lock.lock().unwrap();
            self.detaching.store(true, SeqCst);
        }
        if self.wb_running.swap(false, SeqCst) {
            self.cancel();
        }
        let _lock = self.register_lock.lock().unwrap();
        self.c.store(false, SeqCst);
    }
}

fn detach(mended: bool) -> Outcome {
    check(move |seen| {
        let dev = Arc::new(CachedDev {
            wb_running: AtomicBool::new(true),
            rate_dw_running: AtomicBool::new(false),
            c: AtomicBool::new(true),
            detaching: AtomicBool::new(false),
            register_lock: Mutex::new(()),
            queue: Mutex::new(Queue {
                pending: true,
                ..Queue::default()
            }),
            event: Condvar::new(),
            set: CacheSet::new(seen),
            mended,
        });
        let worker = {
            let dev = dev.clone();
            spawn(move || dev.worker())
        };
        let store = {
            let dev = dev.clone();
            spawn(move || dev.store())
        };
        dev.detach_finish();
        // The set may be unregistered.
        dev.set.free();
        store.join().unwrap();
        dev.queue.lock().unwrap().closed = true;
        dev.event.notify_all();
        worker.join().unwrap();
    })
}

#[test]
fn fault_is_found() {
    let Outcome { wrong, runs } = detach(false);
    assert!(!wrong.is_empty());
    println!("{} after {runs} interleavings", wrong.join(", "));
}

#[test]
fn store_that_refuses_is_clean() {
    let Outcome { wrong, runs } = detach(true);
    assert_eq!(wrong, [""; 0]);
    println!("{runs} interleavings");
}
