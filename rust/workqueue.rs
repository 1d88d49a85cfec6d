// SPDX-License-Identifier: GPL-2.0

//! Work queues of our own, on which the work items of `kernel::workqueue` run.
//!
//! Delayed work is not offered here: a queue that is destroyed does not wait for timers that are still
//! to fire. [`DelayedTask`](crate::delayed::DelayedTask) uses a queue of the kernel and stops its timer.

use crate::{
    bindings,
    module::ModuleRef, //
};
use core::{
    mem::MaybeUninit,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        static_lock_class,
        LockClassKey, //
    },
    types::Opaque,
    workqueue::{
        self,
        RawWorkItem, //
    }, //
};

/// A work queue that work items can be put on; see [`Wq::queue`] and [`system_percpu`].
///
/// # Invariants
///
/// A pointer is to a queue that lives as long as this value.
pub struct Queue {
    /// `None` is the kernel's queue for short work on the local CPU.
    wq: Option<NonNull<bindings::workqueue_struct>>,
    /// Lockdep's class of the closures on this queue. With one class for all queues, a closure that
    /// destroys another queue would look like one that waits for itself. `None` for the kernel's queue.
    key: Option<Pin<KBox<LockClassKey>>>,
}

// SAFETY: Work queues may be used from any task.
unsafe impl Send for Queue {}
// SAFETY: As above.
unsafe impl Sync for Queue {}

/// Lockdep wants one name pointer per class; a literal could be copied into each crate that inlines its user.
static CLOSURE: &CStr = c"bcache closure";

impl Queue {
    /// Queues a work item (`Arc<T>` or `Pin<KBox<T>>` with a `kernel::workqueue::Work` inside).
    ///
    /// Any context. An `Arc` that is queued already is given back as the error.
    pub fn enqueue<W, const ID: u64>(&self, work: W) -> W::EnqueueOutput
    where
        W: RawWorkItem<ID> + Send + 'static,
    {
        // SAFETY: By the type invariant the queue lives as long as `self`.
        unsafe { workqueue::Queue::from_raw(self.as_ptr()) }.enqueue(work)
    }

    /// Runs `f` once on this queue. May sleep for memory; the module stays loaded until `f` is done.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `f` is then dropped.
    pub fn spawn<F: FnOnce() + Send + 'static>(&self, f: F) -> Result {
        let key = self.closure_key();
        let closure = KBox::pin_init(
            pin_init!(Closure {
                work <- Opaque::ffi_init(|work| {
                    // SAFETY: `work` is valid for writes and stays pinned; the name is static, and the
                    // key outlives all work on this queue.
                    unsafe {
                        bindings::init_work_with_key(
                            work,
                            Some(run_closure::<F>),
                            false,
                            CLOSURE.as_char_ptr(),
                            key,
                        )
                    }
                }),
                f,
                module: ModuleRef::get(),
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: `run_closure` makes the box again; until then it does not move.
        let closure = KBox::into_raw(unsafe { Pin::into_inner_unchecked(closure) });
        // SAFETY: The work is initialised and not queued; the queue is valid by the type invariant.
        unsafe {
            bindings::queue_work_on(bindings::CPU_UNBOUND, self.as_ptr(), (*closure).work.get())
        };
        Ok(())
    }

    /// The C queue, valid while `self` lives.
    pub(crate) fn as_ptr(&self) -> *mut bindings::workqueue_struct {
        match self.wq {
            Some(wq) => wq.as_ptr(),
            // SAFETY: The kernel sets this pointer at boot and never writes it again.
            None => unsafe { bindings::system_percpu_wq },
        }
    }

    /// Lockdep's class of the closures on this queue.
    fn closure_key(&self) -> *mut bindings::lock_class_key {
        match &self.key {
            Some(key) => key.as_ptr(),
            None => static_lock_class!().as_ptr(),
        }
    }
}

/// A closure on its way to a worker.
#[pin_data]
struct Closure<F> {
    #[pin]
    work: Opaque<bindings::work_struct>,
    f: F,
    module: ModuleRef,
}

/// The work function of a [`Closure`].
///
/// # Safety
///
/// `work` must be that of a `Closure<F>` that [`Queue::spawn`] leaked.
unsafe extern "C" fn run_closure<F: FnOnce()>(work: *mut bindings::work_struct) {
    // SAFETY: The work is wrapped in the field `work` of a `Closure<F>`.
    let closure = unsafe { kernel::container_of!(Opaque::cast_from(work), Closure<F>, work) };
    // SAFETY: `spawn` leaked the box, of which only this call knows. Each field is read once: what frees the memory does not
    // drop them.
    let (f, module) = unsafe {
        (
            ptr::read(&raw const (*closure).f),
            ptr::read(&raw const (*closure).module),
        )
    };
    // SAFETY: As above. A work that runs is not used by the queue any more.
    let memory = unsafe { KBox::from_raw(closure.cast_mut().cast::<MaybeUninit<Closure<F>>>()) };
    f();
    // Not before: the queue would take another closure in the same memory for this one, and let it wait for its end.
    drop(memory);
    // Last: everything above is module code.
    drop(module);
}

/// A work queue of our own. Dropping it waits for all its work and destroys it; may sleep.
///
/// It must not be dropped by a work item that runs on it (which would wait for itself).
///
/// # Invariants
///
/// `wq` is a queue made by [`Wq::new`] and not destroyed yet; it is the one of `queue`.
pub struct Wq {
    wq: NonNull<bindings::workqueue_struct>,
    queue: Queue,
}

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
        let key = KBox::pin_init(LockClassKey::new_dynamic(), GFP_KERNEL)?;
        // SAFETY: `name` is a C string; the helper copies it.
        let wq = unsafe {
            bindings::alloc_workqueue(name.as_char_ptr(), mem_reclaim, unbound, max_active)
        };
        let wq = NonNull::new(wq).ok_or(ENOMEM)?;
        // INVARIANT: Just made, and destroyed only by `drop`, after which `queue` cannot be reached.
        Ok(Self {
            wq,
            queue: Queue {
                wq: Some(wq),
                key: Some(key),
            },
        })
    }

    /// The queue to put work on.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Waits until all work that is queued now is done. May sleep; not from work on this queue.
    pub fn flush(&self) {
        // SAFETY: By the type invariant the queue is alive.
        unsafe { bindings::__flush_workqueue(self.wq.as_ptr()) };
    }
}

impl Drop for Wq {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the queue is alive; no timer of ours puts work on it, since every
        // `DelayedTask` uses a queue of the kernel.
        unsafe { bindings::destroy_workqueue(self.wq.as_ptr()) };
    }
}

/// The kernel's queue for short work on the local CPU.
///
/// Work put here must be finished before the module is unloaded; [`Queue::spawn`] sees to that itself.
pub fn system_percpu() -> &'static Queue {
    // INVARIANT: The kernel makes this queue at boot and never destroys it.
    static SYSTEM: Queue = Queue {
        wq: None,
        key: None,
    };
    &SYSTEM
}
