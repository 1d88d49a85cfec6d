// SPDX-License-Identifier: GPL-2.0

//! An attachment as the driver makes and ends it: published in the slot of its device, requests
//! pass its gate, stores arm its work, and it is taken apart by a failing attach or by a set that
//! failed. The order of the steps is that of the driver, where all ends of an attachment stop what runs first and empty
//! the slot last: who finds it empty may attach the device again.
//!
//! | end | order |
//! |---|---|
//! | `undo_start` (`attach_op.rs`), `free_dev` (`teardown.rs`) | gate, work, slot: [`failing_attach`] |
//! | `finish_detach` (`teardown.rs`) | work, gate, slot: [`set_error`] |
//!
//! In the driver a store finds no work to arm once the end is claimed. Here it may try at any time, which is harder.

use crate::platform::{
    check, close_queue, free_set, worker, CacheSet, Kernel, Outcome, Seeded, Sleep, Work, W,
};
use bcache_core::gate::Gate;
use bcache_core::sync::Event;
use bcache_core::writeback::ratework::Phase;
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

    /// Nothing of it runs, or will.
    fn is_over(&self) -> bool {
        self.work.phase() == Phase::Stopped && self.gate.is_closed() && self.gate.users() == 0
    }
}

/// The slot of the device. In the module it is read under RCU; the count that a reader gets keeps
/// the attachment, not the set.
struct Device<F: Seeded>(Mutex<Option<Arc<Attachment<F>>>>);

impl<F: Seeded> Device<F> {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(None)))
    }

    fn publish(&self, att: &Arc<Attachment<F>>) {
        *self.0.lock().unwrap() = Some(att.clone());
    }

    /// The last step of an end. Then the set may go.
    fn unlink(&self, att: &Attachment<F>) {
        *self.0.lock().unwrap() = None;
        free_set(&att.work);
    }

    /// Whether an attach would be refused, or else find nothing that runs. `att` is what was published.
    fn may_attach_if_empty(&self, att: &Attachment<F>) -> bool {
        let empty = self.0.lock().unwrap().is_none();
        !empty || att.is_over()
    }

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

/// What is seen of a slot that was emptied before the rest was done.
const TOO_SOON: &str = "the slot is empty before the end";

/// Attach arms the work and publishes the attachment; a later step fails and all is taken back,
/// while a request and a store come in. Then the set goes away.
pub fn failing_attach<F: Seeded>() -> Outcome {
    check(|seen: &Seen| {
        let set = CacheSet::new(seen);
        let dev = Device::new();
        let att = Attachment::<F>::new(&set);
        let queue = start(&att, 2);
        seen.expect(att.work.arm(), "not armed");
        dev.publish(&att);
        let user = {
            let (dev, att) = (dev.clone(), att.clone());
            spawn(move || {
                dev.with(|att| {
                    att.request();
                    att.work.arm();
                });
                let ok = dev.may_attach_if_empty(&att);
                att.set.seen.expect(ok, TOO_SOON);
            })
        };
        att.quiesce();
        att.work.stop();
        dev.unlink(&att);
        user.join().unwrap();
        seen.expect(!att.work.arm(), "armed after the end");
        close_queue(&att.work);
        queue.join().unwrap();
    })
}

/// The set fails at any moment: the work gives up, a store arms it again, and the device is detached from it.
pub fn set_error<F: Seeded>() -> Outcome {
    check(|seen: &Seen| {
        let set = CacheSet::new(seen);
        let dev = Device::new();
        let att = Attachment::<F>::new(&set);
        let queue = start(&att, 2);
        seen.expect(att.work.arm(), "not armed");
        dev.publish(&att);
        let user = {
            let (dev, att) = (dev.clone(), att.clone());
            spawn(move || {
                att.set.set_error();
                dev.with(|att| {
                    att.work.arm();
                });
                let ok = dev.may_attach_if_empty(&att);
                att.set.seen.expect(ok, TOO_SOON);
            })
        };
        att.work.stop();
        att.quiesce();
        dev.unlink(&att);
        user.join().unwrap();
        close_queue(&att.work);
        queue.join().unwrap();
    })
}
