// SPDX-License-Identifier: GPL-2.0

//! Delayed work that can be stopped for good.
//!
//! `kernel::workqueue::DelayedWork` cannot be cancelled. Here one value owns the C `delayed_work` and
//! its closure; it is freed only after `disable_delayed_work_sync`, so that neither the timer nor the
//! work can be running or come back.

use crate::{
    bindings,
    time::clamp_delay,
    workqueue::system_percpu, //
};
use kernel::{
    prelude::*,
    types::Opaque, //
};

/// The shared part: what the callback and the owner both use.
///
/// # Invariants
///
/// `work` is an initialised `delayed_work` whose function is [`run`]; `wq` is a queue of the kernel, which
/// is never destroyed.
#[pin_data]
struct Inner {
    #[pin]
    work: Opaque<bindings::delayed_work>,
    wq: *mut bindings::workqueue_struct,
    f: KBox<dyn Fn(&Rearm<'_>) + Send + Sync>,
}

/// Given to the closure of a [`DelayedTask`], so that it can arm itself again.
pub struct Rearm<'a>(&'a Inner);

impl Rearm<'_> {
    /// Arms the task again after `jiffies`, unless it is armed already or has been stopped.
    pub fn arm(&self, jiffies: u64) -> bool {
        self.0.queue(jiffies)
    }
}

/// A closure that runs in a worker some time after it was armed.
///
/// Dropping the task stops it and may sleep. It should not be dropped by its own closure: as that cannot
/// be waited for, the task's memory would be given up.
pub struct DelayedTask {
    inner: Option<Pin<KBox<Inner>>>,
}

// SAFETY: The C functions on a `delayed_work` may be called from any task; the closure is `Send + Sync`
// and the queue may be used from any task.
unsafe impl Send for DelayedTask {}
// SAFETY: As above.
unsafe impl Sync for DelayedTask {}

impl DelayedTask {
    /// A task, not armed, that runs `f` on the kernel's queue for short work. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(f: impl Fn(&Rearm<'_>) + Send + Sync + 'static) -> Result<Self> {
        let f: KBox<dyn Fn(&Rearm<'_>) + Send + Sync> = KBox::new(f, GFP_KERNEL)?;
        // INVARIANT: `work` is initialised with `run`, and the kernel never destroys the queue.
        let inner = KBox::pin_init(
            pin_init!(Inner {
                work <- Opaque::ffi_init(|slot| {
                    // SAFETY: `slot` is valid for writes and stays pinned.
                    unsafe { bindings::init_delayed_work(slot, Some(run)) }
                }),
                wq: system_percpu().as_ptr(),
                f,
            }),
            GFP_KERNEL,
        )?;
        Ok(Self { inner: Some(inner) })
    }

    /// Arms the task: its closure runs after `jiffies`. Does nothing and gives `false` if it is armed
    /// already or has been stopped. Any context.
    pub fn arm(&self, jiffies: u64) -> bool {
        self.inner.as_ref().is_some_and(|i| i.queue(jiffies))
    }

    /// Arms the task for `jiffies` from now, whether it is armed already or not; nothing happens after a
    /// stop. Any context.
    pub fn mod_arm(&self, jiffies: u64) {
        let Some(inner) = &self.inner else { return };
        // SAFETY: By the invariants of `Inner`; the work is not freed before it is disabled and done.
        unsafe {
            bindings::mod_delayed_work_on(
                bindings::CPU_UNBOUND,
                inner.wq,
                inner.work.get(),
                clamp_delay(jiffies),
            )
        };
    }

    /// Stops the task for good: on return its closure does not run and will never run again. May sleep.
    /// Inside the task's own closure it only prevents further runs.
    pub fn stop(&self) {
        let Some(inner) = &self.inner else { return };
        if inner.runs_here() {
            // SAFETY: By the invariants of `Inner`.
            unsafe { bindings::disable_delayed_work(inner.work.get()) };
        } else {
            // SAFETY: By the invariants of `Inner`; the closure is not running in this task.
            unsafe { bindings::disable_delayed_work_sync(inner.work.get()) };
        }
    }
}

impl Drop for DelayedTask {
    fn drop(&mut self) {
        self.stop();
        if let Some(inner) = self.inner.take_if(|i| i.runs_here()) {
            // The closure that runs is inside this memory.
            pr_err!("a delayed task was dropped by its own closure, its memory is lost\n");
            core::mem::forget(inner);
        }
    }
}

impl Inner {
    /// Queues the work after `jiffies`; `false` if it is queued already or disabled.
    fn queue(&self, jiffies: u64) -> bool {
        // SAFETY: By the type invariants; the work is not freed before it is disabled and done.
        unsafe {
            bindings::queue_delayed_work_on(
                bindings::CPU_UNBOUND,
                self.wq,
                self.work.get(),
                clamp_delay(jiffies),
            )
        }
    }

    /// True if the current task is the worker that runs this work.
    fn runs_here(&self) -> bool {
        // SAFETY: By the type invariants; only the address is compared.
        unsafe { bindings::runs_in(&raw mut (*self.work.get()).work) }
    }
}

/// The work function.
///
/// # Safety
///
/// `work` must be the work of an [`Inner`].
unsafe extern "C" fn run(work: *mut bindings::work_struct) {
    // SAFETY: By the invariants of `Inner` the work is the field of a `delayed_work`.
    let work = unsafe { kernel::container_of!(work, bindings::delayed_work, work) };
    // SAFETY: That one is wrapped in the field `work` of an `Inner`, see `DelayedTask::new`.
    let inner = unsafe { kernel::container_of!(Opaque::cast_from(work), Inner, work) };
    // SAFETY: The owner frees the value only after this function has returned (see `Drop`); shared
    // references are all that anybody has.
    let inner = unsafe { &*inner };
    (inner.f)(&Rearm(inner));
}
