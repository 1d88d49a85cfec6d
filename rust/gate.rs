// SPDX-License-Identifier: GPL-2.0

//! A gate that counts its users, over the protocol of `bcache_core::gate`.

use crate::{
    atomic::KWord,
    wait::WaitQueue, //
};
use bcache_core::gate;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Lets users in while it is open; whoever closes it can wait until all have left.
pub struct Gate(Arc<Inner>);

/// The part that passes keep alive.
#[pin_data]
struct Inner {
    gate: gate::Gate<KWord>,
    #[pin]
    wait: WaitQueue,
}

impl Gate {
    /// An open gate with nobody in. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new() -> Result<Self> {
        Ok(Self(Arc::pin_init(
            pin_init!(Inner {
                gate: gate::Gate::new(KWord::new(0)),
                wait <- WaitQueue::new(),
            }),
            GFP_KERNEL,
        )?))
    }

    /// Goes in, unless the gate is closed. Any context.
    #[inline]
    pub fn enter(&self) -> Option<GatePass> {
        self.0.gate.enter().then(|| GatePass(self.0.clone()))
    }

    /// Closes the gate; true if it was open. Those who are in stay in. Any context.
    pub fn close(&self) -> bool {
        self.0.gate.close()
    }

    /// Opens the gate again. Any context.
    pub fn reopen(&self) {
        self.0.gate.reopen();
    }

    /// True if the gate is closed. Any context.
    pub fn is_closed(&self) -> bool {
        self.0.gate.is_closed()
    }

    /// How many users are in; out of date at once. Any context.
    pub fn users(&self) -> u64 {
        self.0.gate.users()
    }

    /// Sleeps until nobody is in. The gate must have been closed, and the caller must not be in.
    pub fn wait_idle(&self) {
        self.0.gate.wait_idle(&self.0.wait);
    }
}

/// The holder is inside the gate; dropping it leaves. Any context.
#[must_use = "the user leaves when this value is dropped"]
pub struct GatePass(Arc<Inner>);

impl Drop for GatePass {
    #[inline]
    fn drop(&mut self) {
        // Our count keeps the wait queue alive, also if the gate goes away as soon as it is idle.
        if self.0.gate.leave() {
            self.0.wait.wake_all();
        }
    }
}
