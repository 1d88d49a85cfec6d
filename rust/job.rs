// SPDX-License-Identifier: GPL-2.0

//! Work items that own a request: exclusive while it is worked on, shared while its I/O is in flight.
//!
//! A request of the driver goes through phases. While it is being worked on, one context owns it alone
//! ([`Job`]) and may change it without a lock. While I/O is in flight, every bio holds a [`Shared`] and
//! may only read. The reference count is the count of outstanding I/O: whoever releases the last
//! [`Shared`] gets the [`Job`] back, and either ends the request or sends it to a worker.
//!
//! This takes the place of C's closures (`lib/closure.c`) in the I/O path.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::workqueue::Queue;
use core::{
    mem::MaybeUninit,
    ops::{Deref, DerefMut},
    pin::Pin, //
};
use kernel::{
    alloc::Flags,
    impl_has_work,
    new_work,
    prelude::*,
    sync::{Arc, UniqueArc},
    workqueue::{Work, WorkItem}, //
};

/// What a request does when its turn comes on a work queue.
pub trait JobRun: Send + Sized + 'static {
    /// The queue that runs the request. It must exist until the request has run.
    fn queue(&self) -> &Queue;

    /// Goes on with the request. Process context, may sleep.
    fn run(job: Job<Self>);
}

/// What a request consists of.
///
/// # Invariants
///
/// Two contexts refer to the content at a time only through [`Shared`], which exists for `T: Sync` only.
#[repr(transparent)]
struct Content<T> {
    value: T,
}

// SAFETY: By the type invariant a type that is not `Sync` is never shared; sending it is what `T: Send`
// allows.
unsafe impl<T: Send> Sync for Content<T> {}

/// The allocation behind [`Job`] and [`Shared`].
#[pin_data]
struct Inner<T: JobRun> {
    #[pin]
    work: Work<Inner<T>>,
    data: Content<T>,
}

impl_has_work! {
    impl{T: JobRun} HasWork<Inner<T>> for Inner<T> { self.work }
}

impl<T: JobRun> WorkItem for Inner<T> {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        // A queued job was a `Job`, so nobody else has a count.
        if let Some(inner) = Arc::into_unique_or_drop(this) {
            T::run(Job(inner));
        }
    }
}

/// A request owned by one context.
pub struct Job<T: JobRun>(Pin<UniqueArc<Inner<T>>>);

impl<T: JobRun> Job<T> {
    /// Puts `data` into a new request.
    ///
    /// # Errors
    ///
    /// Gives `data` back if there is no memory.
    pub fn new(data: T, flags: Flags) -> Result<Self, T> {
        match Slot::new(flags) {
            Ok(slot) => Ok(slot.fill(data)),
            Err(_) => Err(data),
        }
    }

    /// Sends the request to its work queue. Any context.
    pub fn queue(self) {
        let inner = Arc::from(self.0);
        let queue: *const Queue = inner.data.value.queue();
        // SAFETY: The request says that its queue lives until it has run, and it cannot have run before it is
        // in the queue. `queue_work_on` does not touch the queue any more once the item may run.
        let queue = unsafe { &*queue };
        // It cannot be queued already: a pending item would own a count, and `Job` has the only one.
        let _ = queue.enqueue(inner);
    }

    /// Makes the request shared, for the time its I/O is in flight.
    pub fn share(self) -> Shared<T>
    where
        T: Sync,
    {
        // INVARIANT: `T` is `Sync`.
        Shared(Arc::from(self.0))
    }
}

impl<T: JobRun> Deref for Job<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.data.value
    }
}

impl<T: JobRun> DerefMut for Job<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0.as_mut().project().data.value
    }
}

/// Memory for a request that is not there yet.
pub struct Slot<T: JobRun>(UniqueArc<MaybeUninit<Inner<T>>>);

impl<T: JobRun> Slot<T> {
    /// Allocates.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(flags: Flags) -> Result<Self> {
        Ok(Self(UniqueArc::new_uninit(flags)?))
    }

    /// Puts `data` into the memory: a value, or an initialiser that builds it there without a copy on the
    /// stack.
    pub fn fill(self, data: impl Init<T>) -> Job<T> {
        let init = pin_init!(Inner {
            work <- new_work!("bcache_kernel::Job"),
            data <- init!(Content { value <- data }),
        });
        match self.0.pin_init_with(init) {
            Ok(inner) => Job(inner),
            Err(never) => match never {},
        }
    }
}

/// One of several references to a request with I/O in flight; read access only.
pub struct Shared<T: JobRun + Sync>(Arc<Inner<T>>);

impl<T: JobRun + Sync> Shared<T> {
    /// Gives this reference up. The last one gets the request back. Any context.
    pub fn release(self) -> Option<Job<T>> {
        Arc::into_unique_or_drop(self.0).map(Job)
    }
}

impl<T: JobRun + Sync> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: JobRun + Sync> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.data.value
    }
}
