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
    time::jiffies,
    wait::WaitQueue, //
};
use bcache_core::{
    sync::Fault,
    writeback::ratework::{
        Platform,
        RateState,
        RateWork, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
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
    /// How often the body has begun.
    runs: Atomic<u64>,
    /// When it began last, in jiffies.
    last_run: Atomic<u64>,
    /// When it was queued last, in jiffies. With the lock of `state` held.
    queued: Atomic<u64>,
}

/// What can be seen of a [`RateTask`], also while it is being stopped and after that.
pub struct RateWatch(Arc<Shared>);

impl RateWatch {
    /// State, number of runs and jiffies since the last one began; out of date at once. Any context.
    pub fn look(&self) -> (RateState, u64, Option<u64>) {
        let state = *self.0.state.lock();
        let runs = self.0.runs.load(Relaxed);
        let since = jiffies().wrapping_sub(self.0.last_run.load(Relaxed));
        (state, runs, (runs != 0).then_some(since))
    }
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
                runs: Atomic::new(0),
                last_run: Atomic::new(0),
                queued: Atomic::new(0),
            }),
            GFP_KERNEL,
        )?;
        let worker = shared.clone();
        let task = DelayedTask::new(move |rearm: &Rearm<'_>| {
            let side = Side::Worker(rearm);
            RateWork::new(View(&worker, side)).run(|| {
                worker.last_run.store(jiffies(), Relaxed);
                worker.runs.fetch_add(1, Relaxed);
                body()
            });
        })?;
        Ok(Self { shared, task })
    }

    /// Arms the task unless it is armed: it runs after one period from now, then again and again. False
    /// if it has been stopped. Any context.
    pub fn arm(&self) -> bool {
        self.protocol().arm()
    }

    /// The period has become another: the next run comes once the new one is over since the last run, or at once. Any context.
    pub fn retime(&self) {
        self.protocol().retime();
    }

    /// A look at the task that does not keep it from being stopped.
    pub fn watch(&self) -> RateWatch {
        RateWatch(self.shared.clone())
    }

    /// Stops the task for good: on return `body` does not run and never will again. May sleep; not to be
    /// called by `body`. The same as dropping the value.
    pub fn stop(self) {}

    /// The protocol, as its owner uses it.
    fn protocol(&self) -> RateWork<View<'_>> {
        RateWork::new(View(&self.shared, Side::Owner(&self.task)))
    }
}

impl Drop for RateTask {
    fn drop(&mut self) {
        self.protocol().stop();
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

// What the module runs is the protocol without a seeded fault.
const _: () = assert!(matches!(<View<'static> as Platform>::FAULT, Fault::None));

impl Platform for View<'_> {
    fn locked<R>(&self, f: impl FnOnce(&mut RateState) -> R) -> R {
        f(&mut self.0.state.lock())
    }

    fn queue(&self) {
        let period = (self.0.period)();
        self.0.queued.store(jiffies(), Relaxed);
        // Already queued or disabled are both no reason to do more.
        match self.1 {
            Side::Owner(task) => task.arm(period),
            Side::Worker(rearm) => rearm.arm(period),
        };
    }

    fn requeue(&self) {
        match self.1 {
            Side::Owner(task) => {
                let now = jiffies();
                let since = |at: &Atomic<u64>| now.wrapping_sub(at.load(Relaxed));
                // The later of the two: it may just be running.
                let gone = since(&self.0.queued).min(since(&self.0.last_run));
                task.mod_arm((self.0.period)().saturating_sub(gone));
            }
            // The worker does not retime.
            Side::Worker(_) => (),
        }
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
