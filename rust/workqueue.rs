// SPDX-License-Identifier: GPL-2.0

//! Work queues of our own, on which the work items of `kernel::workqueue` run.
//!
//! Delayed work is not offered here: a queue that is destroyed does not wait for timers that are still
//! to fire. [`DelayedTask`](crate::delayed::DelayedTask) keeps its queue alive and stops its timer.

use crate::{
    bindings,
    module::ModuleRef, //
};
use core::ptr::NonNull;
use kernel::{
    prelude::*,
    workqueue::{
        self,
        RawWorkItem, //
    }, //
};

/// A work queue that work items can be put on; see [`Wq::queue`] and [`system_percpu`].
#[repr(transparent)]
pub struct Queue(workqueue::Queue);

impl Queue {
    /// Queues a work item (`Arc<T>` or `Pin<KBox<T>>` with a `kernel::workqueue::Work` inside).
    ///
    /// Any context. An `Arc` that is queued already is given back as the error.
    pub fn enqueue<W, const ID: u64>(&self, work: W) -> W::EnqueueOutput
    where
        W: RawWorkItem<ID> + Send + 'static,
    {
        self.0.enqueue(work)
    }

    /// Runs `f` once on this queue. May sleep for memory; the module stays loaded until `f` is done.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `f` is then dropped.
    pub fn spawn<F: FnOnce() + Send + 'static>(&self, f: F) -> Result {
        let module = ModuleRef::get();
        self.0.try_spawn(GFP_KERNEL, move || {
            f();
            drop(module);
        })?;
        Ok(())
    }

    /// The C queue.
    ///
    /// # Safety
    ///
    /// `wq` must be valid for `'a`.
    unsafe fn from_raw<'a>(wq: *mut bindings::workqueue_struct) -> &'a Self {
        // SAFETY: By the requirement of this function.
        let queue: *const workqueue::Queue = unsafe { workqueue::Queue::from_raw(wq) };
        // SAFETY: `Self` is a transparent wrapper, and the pointer comes from a reference for `'a`.
        unsafe { &*queue.cast::<Self>() }
    }
}

/// A work queue of our own. Dropping it waits for all its work and destroys it; may sleep.
///
/// It must not be dropped by a work item that runs on it (which would wait for itself).
///
/// # Invariants
///
/// The pointer is a queue made by [`Wq::new`] and not destroyed yet.
pub struct Wq(NonNull<bindings::workqueue_struct>);

// SAFETY: Work queues may be used from any task.
unsafe impl Send for Wq {}
// SAFETY: As above.
unsafe impl Sync for Wq {}

impl Wq {
    /// Makes a queue. May sleep.
    ///
    /// `mem_reclaim` gives it a rescuer thread, needed by all work that memory reclaim may wait for.
    /// `unbound` lets the scheduler choose the CPU. `max_active` limits the items that run at once (per
    /// CPU unless unbound); 0 is the default of the kernel.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(name: &CStr, mem_reclaim: bool, unbound: bool, max_active: i32) -> Result<Self> {
        // SAFETY: `name` is a C string; the helper copies it.
        let wq = unsafe {
            bindings::alloc_workqueue(name.as_char_ptr(), mem_reclaim, unbound, max_active)
        };
        // INVARIANT: Just made, and destroyed only by `drop`.
        Ok(Self(NonNull::new(wq).ok_or(ENOMEM)?))
    }

    /// The queue to put work on.
    pub fn queue(&self) -> &Queue {
        // SAFETY: By the type invariant the queue lives as long as `self`.
        unsafe { Queue::from_raw(self.0.as_ptr()) }
    }

    /// Waits until all work that is queued now is done. May sleep; not from work on this queue.
    pub fn flush(&self) {
        // SAFETY: By the type invariant the queue is alive.
        unsafe { bindings::__flush_workqueue(self.0.as_ptr()) };
    }

    /// The C queue, valid while `self` lives.
    pub(crate) fn as_ptr(&self) -> *mut bindings::workqueue_struct {
        self.0.as_ptr()
    }
}

impl Drop for Wq {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the queue is alive; no timer of ours can put work on it any more,
        // as every `DelayedTask` that uses it keeps it alive.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}

/// The kernel's queue for short work on the local CPU.
///
/// Work put here must be finished before the module is unloaded; [`Queue::spawn`] sees to that itself.
pub fn system_percpu() -> &'static Queue {
    // SAFETY: The kernel makes this queue at boot and never destroys it; the pointer is not written again.
    unsafe { Queue::from_raw(bindings::system_percpu_wq) }
}

/// Runs `f` once on `queue`; see [`Queue::spawn`].
///
/// # Errors
///
/// `ENOMEM`; `f` is then dropped.
pub fn spawn_on<F: FnOnce() + Send + 'static>(queue: &Queue, f: F) -> Result {
    queue.spawn(f)
}
