// SPDX-License-Identifier: GPL-2.0

//! Requests that are worked on many at a time.
//!
//! Requests whose I/O ends while a worker is on its way to them wait for it in a list without a lock, and the worker
//! gets all of them at once. What it does for them it can then do once for many: take a lock, wake somebody, be woken
//! itself.
//!
//! C headers: [`include/linux/llist.h`](srctree/include/linux/llist.h),
//! [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::{
    bindings as bch,
    job::{
        Job,
        JobRun,
        Shared, //
    }, //
};
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::static_lock_class,
    types::Opaque, //
};

/// Shared requests that wait for something, in no order. Any context.
///
/// Who parks one looks afterwards whether what it waits for has come, and takes all if so: it may have come before the
/// request was there.
pub struct Parked<T: JobRun + Sync> {
    list: Opaque<bindings::llist_head>,
    _jobs: PhantomData<Shared<T>>,
}

// SAFETY: The list may be used from any CPU, and shared requests are `Send`.
unsafe impl<T: JobRun + Sync> Send for Parked<T> {}
// SAFETY: As above.
unsafe impl<T: JobRun + Sync> Sync for Parked<T> {}

impl<T: JobRun + Sync> Parked<T> {
    /// No requests.
    pub fn new() -> Self {
        Self {
            list: Opaque::new(bindings::llist_head::default()),
            _jobs: PhantomData,
        }
    }

    /// Parks a request. One that is parked already, in whatever list, stays there alone; who parks one twice has a reference
    /// of his own besides.
    pub fn put(&self, req: Shared<T>) {
        if let Some(node) = req.into_node() {
            // SAFETY: The node is in a request that was given up, and in no other list.
            unsafe { bch::llist_add(node.as_ptr(), self.list.get()) };
        }
    }

    /// Takes all requests.
    pub fn take(&self) -> Taken<T> {
        // INVARIANT: The list is initialised and has nodes from `into_node` only, which are nobody else's from now on.
        Taken {
            // SAFETY: As above.
            first: unsafe { bch::llist_take(self.list.get()) },
            _jobs: PhantomData,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        // SAFETY: The list is initialised.
        unsafe { bch::llist_none(self.list.get()) }
    }
}

impl<T: JobRun + Sync> Default for Parked<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: JobRun + Sync> Drop for Parked<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// Requests that were parked. Those not taken out are dropped with it.
///
/// # Invariants
///
/// `first` is a list of nodes of requests, each from [`Shared::into_node`], that nobody else has.
pub struct Taken<T: JobRun + Sync> {
    first: *mut bindings::llist_node,
    _jobs: PhantomData<Shared<T>>,
}

impl<T: JobRun + Sync> Iterator for Taken<T> {
    type Item = Shared<T>;

    fn next(&mut self) -> Option<Shared<T>> {
        let node = ptr::NonNull::new(self.first)?;
        // SAFETY: By the type invariant the node is in a request whose reference is ours; the rest stays a list of such nodes.
        unsafe {
            self.first = (*node.as_ptr()).next;
            Some(Shared::from_node(node))
        }
    }
}

impl<T: JobRun + Sync> Drop for Taken<T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

/// Requests that can go on together.
pub trait BatchRun: JobRun {
    /// The batches that the request belongs to. They must exist until the request has run.
    fn batches(&self) -> &Batches<Self>;

    /// Goes on with requests, in the order in which they became ready. Process context, may sleep; what comes later on
    /// the same CPU waits meanwhile.
    fn run_batch(ready: Ready<Self>);
}

/// Requests that are ready, in order. Those not taken out are dropped with it.
///
/// # Invariants
///
/// `first` is a list of nodes of requests, each given up by [`Job::into_node`], that nobody else has.
pub struct Ready<T: JobRun> {
    first: *mut bindings::llist_node,
    _jobs: PhantomData<Job<T>>,
}

impl<T: JobRun> Iterator for Ready<T> {
    type Item = Job<T>;

    fn next(&mut self) -> Option<Job<T>> {
        let node = ptr::NonNull::new(self.first)?;
        // SAFETY: By the type invariant the node is in a request that is ours; the rest stays a list of such nodes.
        unsafe {
            self.first = (*node.as_ptr()).next;
            Some(Job::from_node(node))
        }
    }
}

impl<T: JobRun> Drop for Ready<T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

/// The requests of one CPU that are ready.
///
/// # Invariants
///
/// `work` is initialised with [`run`]. It is in a queue, or about to be put there, if `list` is not empty: who makes the
/// list not empty queues it, and only the work itself empties the list.
#[pin_data(PinnedDrop)]
struct Slot<T: BatchRun> {
    #[pin]
    list: Opaque<bindings::llist_head>,
    #[pin]
    work: Opaque<bindings::work_struct>,
    _jobs: PhantomData<fn(Job<T>)>,
}

/// Lockdep wants one name pointer per class.
static BATCH: &CStr = c"bcache_kernel::Batches";

impl<T: BatchRun> Slot<T> {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            list <- Opaque::ffi_init(|list| {
                // SAFETY: `list` is valid for writes.
                unsafe { *list = bindings::llist_head::default() }
            }),
            work <- Opaque::ffi_init(|work| {
                // SAFETY: `work` is valid for writes and stays pinned; name and key are static.
                unsafe {
                    bindings::init_work_with_key(
                        work,
                        Some(run::<T>),
                        false,
                        BATCH.as_char_ptr(),
                        static_lock_class!().as_ptr(),
                    )
                }
            }),
            _jobs: PhantomData,
        })
    }

    fn add(&self, job: Job<T>) {
        let queue = JobRun::queue(&*job).as_ptr();
        let node = job.into_node();
        // SAFETY: The node is in a request that was given up, and in no other list.
        let first = unsafe { bch::llist_add(node.as_ptr(), self.list.get()) };
        if first {
            // SAFETY: Until the work has run nobody takes our request, which says that its batches and its queue live so
            // long; `queue_work_on` does not touch either any more once the work may run.
            unsafe { bindings::queue_work_on(bch::CPU_UNBOUND, queue, self.work.get()) };
        }
    }

    /// Takes all that are ready.
    fn take(&self) -> Ready<T> {
        // SAFETY: The list is initialised and has nodes from `into_node` only.
        let first = unsafe { bch::llist_take(self.list.get()) };
        // INVARIANT: All of these nodes are ours now.
        Ready {
            first,
            _jobs: PhantomData,
        }
    }
}

#[pinned_drop]
impl<T: BatchRun> PinnedDrop for Slot<T> {
    fn drop(self: Pin<&mut Self>) {
        // No request is left, as each of them needs us; the work that had the last one may still be returning.
        // SAFETY: The work is initialised; it is not this task that runs it.
        unsafe { bindings::cancel_work_sync(self.work.get()) };
    }
}

/// The work function of a slot.
///
/// # Safety
///
/// `work` is that of a `Slot<T>`.
unsafe extern "C" fn run<T: BatchRun>(work: *mut bindings::work_struct) {
    // SAFETY: By the caller's promise; the slot waits for us before it goes.
    let slot = unsafe { &*kernel::container_of!(Opaque::cast_from(work), Slot<T>, work) };
    T::run_batch(slot.take());
}

/// Batches of one kind of requests, one per CPU. All its requests name the same queue.
///
/// Dropping it sleeps until its work is over; the work must not do that itself.
pub struct Batches<T: BatchRun> {
    slots: KVec<Pin<KBox<Slot<T>>>>,
}

// SAFETY: The lists take requests from any CPU, and requests are `Send`.
unsafe impl<T: BatchRun> Send for Batches<T> {}
// SAFETY: As above.
unsafe impl<T: BatchRun> Sync for Batches<T> {}

impl<T: BatchRun> Batches<T> {
    /// Batches without requests. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new() -> Result<Self> {
        // SAFETY: Plain call.
        let cpus = unsafe { bch::cpu_slots() };
        let mut slots = KVec::new();
        for _ in 0..cpus.max(1) {
            slots.push(KBox::pin_init(Slot::new(), GFP_KERNEL)?, GFP_KERNEL)?;
        }
        Ok(Self { slots })
    }

    fn slot(&self) -> Option<&Slot<T>> {
        // SAFETY: Plain call. It does not matter if the task is moved to another CPU meanwhile.
        let cpu = unsafe { bch::cpu_slot() };
        let cpu = usize::try_from(cpu).unwrap_or(0);
        let slot = self.slots.get(cpu).or_else(|| self.slots.first())?;
        Some(slot)
    }
}

impl<T: BatchRun> Job<T> {
    /// Lets a worker go on with the request, together with others. Any context.
    pub fn batch(self) {
        let batches: *const Batches<T> = self.batches();
        // SAFETY: The request says that its batches live until it has run, and it cannot run before it is in their list.
        match unsafe { &*batches }.slot() {
            Some(slot) => slot.add(self),
            // Not reached: there is always a slot.
            None => self.queue(),
        }
    }
}
