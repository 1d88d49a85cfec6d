// SPDX-License-Identifier: GPL-2.0

//! The work that runs every few seconds while a device is attached, over the protocol of
//! `bcache_core::writeback::ratework`.
//!
//! C: `writeback_rate_update` of `struct cached_dev`.

use crate::{
    delayed::{
        DelayedTask,
        Rearm, //
    },
    new_irq_spin,
    spin::IrqSpin,
    wait::WaitQueue, //
};
use bcache_core::writeback::ratework::{
    Platform,
    RateState,
    RateWork, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A closure that runs again and again in a worker until it is stopped for good.
///
/// Dropping the task stops it; may sleep.
pub struct RateTask {
    shared: Arc<Shared>,
    task: DelayedTask,
}

/// What the owner and the worker share.
#[pin_data]
struct Shared {
    #[pin]
    state: IrqSpin<RateState>,
    #[pin]
    wait: WaitQueue,
    period: KBox<dyn Fn() -> u64 + Send + Sync>,
}

impl RateTask {
    /// A task, not armed. `body` runs in process context and says whether to go on; `period` gives the
    /// time between two runs in jiffies and must not sleep. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(
        period: impl Fn() -> u64 + Send + Sync + 'static,
        body: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Result<Self> {
        let period: KBox<dyn Fn() -> u64 + Send + Sync> = KBox::new(period, GFP_KERNEL)?;
        let shared = Arc::pin_init(
            pin_init!(Shared {
                state <- new_irq_spin!(RateState::default(), c"bcache rate work"),
                wait <- WaitQueue::new(),
                period,
            }),
            GFP_KERNEL,
        )?;
        let worker = shared.clone();
        let task = DelayedTask::new(move |rearm: &Rearm<'_>| {
            let side = Side::Worker(rearm);
            RateWork::new(View(&worker, side)).run(&body);
        })?;
        Ok(Self { shared, task })
    }

    /// Arms the task unless it is armed: it runs after one period from now, then again and again. False
    /// if it has been stopped. Any context.
    pub fn arm(&self) -> bool {
        self.protocol().arm()
    }

    /// Stops the task for good: on return `body` does not run and never will again. May sleep; not to be
    /// called by `body`.
    pub fn stop(&self) {
        self.protocol().stop();
    }

    /// The protocol, as its owner uses it.
    fn protocol(&self) -> RateWork<View<'_>> {
        RateWork::new(View(&self.shared, Side::Owner(&self.task)))
    }
}

impl Drop for RateTask {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Who uses the protocol.
enum Side<'a> {
    /// The owner of the task.
    Owner(&'a DelayedTask),
    /// The task itself.
    Worker(&'a Rearm<'a>),
}

/// What the protocol works on.
struct View<'a>(&'a Shared, Side<'a>);

impl Platform for View<'_> {
    fn locked<R>(&self, f: impl FnOnce(&mut RateState) -> R) -> R {
        f(&mut self.0.state.lock())
    }

    fn queue(&self) {
        let jiffies = (self.0.period)();
        // Already queued or disabled are both no reason to do more.
        match self.1 {
            Side::Owner(task) => task.arm(jiffies),
            Side::Worker(rearm) => rearm.arm(jiffies),
        };
    }

    fn cancel(&self) {
        match self.1 {
            Side::Owner(task) => task.stop(),
            // The protocol cancels in `stop` only, which the worker does not call.
            Side::Worker(_) => (),
        }
    }

    fn wake(&self) {
        self.0.wait.wake_all();
    }

    fn wait_until(&self, cond: impl FnMut() -> bool) {
        self.0.wait.wait_until(cond);
    }
}
