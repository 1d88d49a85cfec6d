// SPDX-License-Identifier: GPL-2.0

//! Counting what must be gone before its owner goes, over the protocol of `bcache_core::gate`.

use crate::{
    atomic::KWord,
    time::HZ,
    wait::WaitQueue, //
};
use bcache_core::gate::Gate;
use kernel::{
    bindings,
    prelude::*,
    sync::Arc, //
};

/// Seconds after which a wait is worth a line in the log.
const LONG_SECONDS: u32 = 60;

/// How many objects there are that use their owner until their very end.
pub(crate) struct Live {
    /// Closed once the owner waits for them.
    gate: Gate<KWord>,
    /// Counted, since the one who goes last wakes the owner when that may be gone.
    wait: Arc<WaitQueue>,
    /// What they are, in words.
    what: &'static str,
}

impl Live {
    /// No object. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(what: &'static str) -> Result<Self> {
        Ok(Self {
            gate: Gate::new(KWord::new(0)),
            wait: Arc::pin_init(WaitQueue::new(), GFP_KERNEL)?,
            what,
        })
    }

    /// One more. Any context.
    pub(crate) fn add(&self) {
        self.gate.enter_too();
    }

    /// One less. Any context.
    ///
    /// # Safety
    ///
    /// `this` is valid, and the object was [added](Self::add). The owner may be freed at once after this.
    pub(crate) unsafe fn gone(this: *const Self) {
        // SAFETY: By the caller's promise it is there until the gate counts the object out. `leave_with` does not touch it any
        // more after that, and the references end there; the queue is kept by the count taken before.
        let last = unsafe { (*this).gate.leave_with(|| (*this).wait.clone()) };
        if let Some(wait) = last {
            wait.wake_all();
        }
    }

    /// Sleeps until all are gone; for the destructor of the owner. Says so if that takes long. Process context.
    pub(crate) fn wait(&self) {
        self.gate.close();
        if self.gate.is_idle() {
            return;
        }
        let long = u64::from(LONG_SECONDS).saturating_mul(u64::from(HZ));
        if !self.wait.wait_until_timeout(|| self.gate.is_idle(), long) {
            pr_warn!(
                "waiting for {} {} to be gone for more than {} seconds\n",
                self.gate.users(),
                self.what,
                LONG_SECONDS
            );
            self.gate.wait_idle(&*self.wait);
        }
        // The completion that dropped the last one may still be in its last instructions.
        // SAFETY: Process context, as the documentation demands.
        unsafe { bindings::synchronize_rcu() };
    }
}
