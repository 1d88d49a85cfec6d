// SPDX-License-Identifier: GPL-2.0

//! A reference-counted pointer that readers follow without a lock.

use crate::{
    atomic::{
        Acquire,
        Atomic,
        Full, //
    },
    bindings,
    module::ModuleRef, //
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    prelude::*,
    sync::{
        rcu,
        Arc, //
    },
    types::Opaque, //
};

/// A slot with an `Arc<T>` or nothing, read under RCU and replaced as a whole.
///
/// # Invariants
///
/// The pointer is null or comes from `Arc::into_raw`, and that count belongs to the slot. A count that
/// was taken out of the slot is given up only after a grace period.
pub struct RcuArc<T: Send + Sync + 'static> {
    ptr: Atomic<*mut T>,
    _owns: PhantomData<Arc<T>>,
}

// SAFETY: The slot is an `Arc<T>` behind an atomic pointer, and `T` may be shared and sent.
unsafe impl<T: Send + Sync> Send for RcuArc<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for RcuArc<T> {}

impl<T: Send + Sync + 'static> RcuArc<T> {
    /// A slot with content `value`.
    pub fn new(value: Option<Arc<T>>) -> Self {
        // INVARIANT: The slot owns the count of `value`.
        Self {
            ptr: Atomic::new(into_ptr(value)),
            _owns: PhantomData,
        }
    }

    /// The content, with a count of its own. Any context but NMI.
    #[inline]
    pub fn load(&self) -> Option<Arc<T>> {
        let _reading = rcu::read_lock();
        // Acquire: pairs with the full barrier of `replace`, so that we see what `T` contains.
        let p = self.ptr.load(Acquire);
        if p.is_null() {
            return None;
        }
        // SAFETY: By the type invariants the slot's count is not given up before this read-side critical
        // section ends, so that the object is alive and its count is at least 1.
        let slot = core::mem::ManuallyDrop::new(unsafe { Arc::from_raw(p.cast_const()) });
        Some(Arc::clone(&slot))
    }

    /// Calls `f` with the content, inside an RCU read-side critical section: `f` must not sleep.
    /// `None` if the slot is empty. Any context but NMI.
    #[inline]
    pub fn load_with<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        if self.is_none() {
            // There is nothing to be protected.
            return None;
        }
        let _reading = rcu::read_lock();
        let p = self.ptr.load(Acquire);
        if p.is_null() {
            return None;
        }
        // SAFETY: As in `load`; `f` cannot keep the reference.
        Some(f(unsafe { &*p }))
    }

    /// True if the slot is empty. Any context.
    #[inline]
    pub fn is_none(&self) -> bool {
        self.ptr.load(Acquire).is_null()
    }

    /// Puts `value` into the slot; readers see it from now on. Gives the content before. May sleep.
    ///
    /// The count of the slot itself is given up in a worker after a grace period, which this function
    /// does not wait for (unless there is no memory to hand it over, or the module is being unloaded).
    /// `T` may therefore be dropped in that worker and may sleep there. The module stays loaded until then.
    pub fn replace(&self, value: Option<Arc<T>>) -> Option<Arc<T>> {
        // INVARIANT: The slot takes over the count of `value`; the old one goes to `drop_later`.
        let old = self.ptr.xchg(into_ptr(value), Full);
        if old.is_null() {
            return None;
        }
        // SAFETY: The count that the slot owned is now ours.
        let old = unsafe { Arc::from_raw(old.cast_const()) };
        drop_later(old.clone());
        Some(old)
    }
}

impl<T: Send + Sync + 'static> Drop for RcuArc<T> {
    fn drop(&mut self) {
        let p = self.ptr.load(Acquire);
        if !p.is_null() {
            // SAFETY: The count is the slot's own, and as we have `&mut self` no reader is between its
            // load and its increment: readers borrow the slot for their whole critical section.
            drop(unsafe { Arc::from_raw(p.cast_const()) });
        }
    }
}

/// The raw form of the content of a slot.
fn into_ptr<T>(value: Option<Arc<T>>) -> *mut T {
    value.map_or(ptr::null_mut(), |v| Arc::into_raw(v).cast_mut())
}

/// A count that waits for the end of a grace period.
#[pin_data]
struct Deferred<T> {
    #[pin]
    work: Opaque<bindings::rcu_work>,
    _value: Arc<T>,
    _module: ModuleRef,
}

/// Gives up `value` after a grace period, in process context.
fn drop_later<T: Send + Sync + 'static>(value: Arc<T>) {
    // While the module is being unloaded nothing may be left behind.
    let Some(module) = ModuleRef::try_get() else {
        return drop_after_wait(value);
    };
    let copy = value.clone();
    let later = KBox::pin_init(
        pin_init!(Deferred {
            work <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes and stays pinned.
                unsafe { bindings::init_rcu_work(slot, Some(run_deferred::<T>)) }
            }),
            _value: copy,
            _module: module,
        }),
        // Never waits for memory: who replaces something may hold what reclaim needs.
        GFP_NOWAIT,
    );
    let Ok(later) = later else {
        return drop_after_wait(value);
    };
    drop(value);
    // SAFETY: `run_deferred` makes the box again; until then it does not move.
    let later = KBox::into_raw(unsafe { Pin::into_inner_unchecked(later) });
    // SAFETY: The work is initialised and not queued; the queue is the kernel's and lives for ever.
    unsafe { bindings::queue_rcu_work(bindings::system_dfl_wq, (*later).work.get()) };
}

/// The slow way to give up `value`: waits for a grace period. May sleep.
fn drop_after_wait<T>(value: Arc<T>) {
    // SAFETY: No requirements beyond process context outside of RCU sections, see `replace`.
    unsafe { bindings::synchronize_rcu() };
    drop(value);
}

/// The work function of a [`Deferred`].
///
/// # Safety
///
/// `work` must be that of a `Deferred<T>` that [`drop_later`] leaked.
unsafe extern "C" fn run_deferred<T>(work: *mut bindings::work_struct) {
    // SAFETY: The work is a field of an `rcu_work`.
    let work = unsafe { kernel::container_of!(work, bindings::rcu_work, work) };
    // SAFETY: That one is wrapped in the field `work` of a `Deferred<T>`.
    let later = unsafe { kernel::container_of!(Opaque::cast_from(work), Deferred<T>, work) };
    // Dropping the value runs module code, so that a reference of our own goes last.
    let module = ModuleRef::get();
    // SAFETY: `drop_later` leaked the box, and a work that runs is not used by the queue any more.
    drop(unsafe { Pin::new_unchecked(KBox::from_raw(later.cast_mut())) });
    drop(module);
}

/// Waits until the grace periods of all values that were given up before are over. May sleep.
///
/// Nobody must call it: a value that still waits to be dropped keeps the module loaded.
pub fn barrier() {
    // SAFETY: No requirements beyond process context.
    unsafe { bindings::rcu_barrier() };
}

/// Waits until every task that runs now has given up its processor of its own accord, or is in user space. May sleep long.
///
/// When nobody can come into this module any more, nobody is left in it after that: also not who has just told the last
/// one who waited that he is through, and was preempted before his last instructions.
pub fn wait_for_tasks() {
    // SAFETY: No requirements beyond process context.
    unsafe { bindings::wait_for_tasks() };
}
