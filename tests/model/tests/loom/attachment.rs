// SPDX-License-Identifier: GPL-2.0

//! An attachment as the driver makes and ends it: published in the slot of its device, requests
//! pass its gate, stores arm its work, and it is taken apart by a failing attach or by a set that
//! failed. The order of the steps is that of `attach_op.rs` and `teardown.rs`.

use crate::platform::{
    check, close_queue, free_set, worker, CacheSet, Kernel, Outcome, Seeded, Sleep, Work, W,
};
use bcache_core::gate::Gate;
use bcache_core::sync::Event;
use loom::sync::Mutex;
use loom::thread::{spawn, JoinHandle};
use model::Seen;
use std::sync::Arc;

struct Attachment<F: Seeded> {
    work: Work<F>,
    gate: Gate<W<F>>,
    idle: Sleep,
    set: Arc<CacheSet>,
}

impl<F: Seeded> Attachment<F> {
    fn new(set: &Arc<CacheSet>) -> Arc<Self> {
        Arc::new(Self {
            work: Work::new(Kernel::new(set)),
            gate: Gate::new(W::new()),
            idle: Sleep::new(),
            set: set.clone(),
        })
    }

    /// A request: through the cache if the gate lets it in.
    fn request(&self) {
        if self.gate.enter() {
            self.set.touch();
            if let Some(idle) = self.gate.leave_with(|| &self.idle) {
                idle.wake_all();
            }
        }
    }

    /// Nobody is let in any more, and all have left.
    fn quiesce(&self) {
        self.gate.close();
        self.gate.wait_idle(&self.idle);
    }
}

/// The slot of the device. In the module it is read under RCU; the count that a reader gets keeps
/// the attachment, not the set.
struct Device<F: Seeded>(Mutex<Option<Arc<Attachment<F>>>>);

impl<F: Seeded> Device<F> {
    fn with(&self, f: impl FnOnce(&Attachment<F>)) {
        let att = self.0.lock().unwrap().clone();
        if let Some(att) = att {
            f(&att);
        }
    }
}

/// The worker: the body looks whether I/O is disabled before and after it uses the set.
fn start<F: Seeded>(att: &Arc<Attachment<F>>, times: u32) -> JoinHandle<()> {
    let att = att.clone();
    spawn(move || {
        let mut left = times;
        worker(&att.work, || {
            if !att.set.io_disabled() {
                att.set.touch();
            }
            left = left.saturating_sub(1);
            left > 0 && !att.set.io_disabled()
        });
    })
}

/// Attach arms the work and publishes the attachment; a later step fails and all is taken back,
/// while a request and a store come in. Then the set goes away.
pub fn failing_attach<F: Seeded>() -> Outcome {
    check(|seen: &Seen| {
        let set = CacheSet::new(seen);
        let dev = Arc::new(Device(Mutex::new(None)));
        let att = Attachment::<F>::new(&set);
        let queue = start(&att, 2);
        seen.expect(att.work.arm(), "not armed");
        *dev.0.lock().unwrap() = Some(att.clone());
        let user = {
            let dev = dev.clone();
            spawn(move || {
                dev.with(|att| {
                    att.request();
                    att.work.arm();
                });
            })
        };
        att.quiesce();
        *dev.0.lock().unwrap() = None;
        att.work.stop();
        free_set(&att.work);
        user.join().unwrap();
        seen.expect(!att.work.arm(), "armed after the end");
        close_queue(&att.work);
        queue.join().unwrap();
    })
}

/// The set fails at any moment: the work gives up, a store arms it again, and the set is retired.
pub fn set_error<F: Seeded>() -> Outcome {
    check(|seen: &Seen| {
        let set = CacheSet::new(seen);
        let att = Attachment::<F>::new(&set);
        let queue = start(&att, 2);
        seen.expect(att.work.arm(), "not armed");
        let user = {
            let att = att.clone();
            spawn(move || {
                att.set.set_error();
                att.work.arm();
            })
        };
        att.work.stop();
        att.quiesce();
        free_set(&att.work);
        user.join().unwrap();
        close_queue(&att.work);
        queue.join().unwrap();
    })
}
