// SPDX-License-Identifier: GPL-2.0

//! Work items that own a request: exclusive while it is worked on, shared while its I/O is in flight.
//!
//! A request of the driver goes through phases. While it is being worked on, one context owns it alone
//! ([`Job`]) and may change it without a lock. While I/O is in flight, every bio holds a [`Shared`] and
//! may only read. The reference count is the count of outstanding I/O: whoever releases the last
//! [`Shared`] gets the [`Job`] back, and either ends the request or sends it to a worker.
//!
//! Requests come from a [`Pool`], so that some are always possible whatever memory is left.
//!
//! This takes the place of C's closures (`lib/closure.c`) in the I/O path.
//!
//! C headers: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h),
//! [`include/linux/mempool.h`](srctree/include/linux/mempool.h)

use crate::{
    atomic::{
        Atomic,
        AtomicFlag,
        Full,
        Relaxed, //
    },
    mempool::{
        MemPool,
        Without, //
    },
    workqueue::Queue, //
};
use core::{
    mem::{
        forget,
        ManuallyDrop,
        MaybeUninit, //
    },
    ops::{Deref, DerefMut},
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    bindings,
    impl_has_work,
    new_work,
    prelude::*,
    types::Opaque, //
    workqueue::{
        HasWork,
        RawWorkItem,
        Work,
        WorkItem,
        WorkItemPointer, //
    },
};

/// What a request does when its turn comes on a work queue.
///
/// It does not hold the last reference to whatever owns its pool: the pool would wait for the memory of the very request that
/// is being dropped.
pub trait JobRun: Send + Sized + 'static {
    /// The queue that runs the request. It must exist until the request has run.
    fn queue(&self) -> &Queue;

    /// Goes on with the request. Process context, may sleep.
    fn run(job: Job<Self>);
}

/// Where requests of one kind come from.
///
/// While somebody waits for a request all those that exist must come to their end without him: he may hold none of
/// this pool, and nothing that one of them waits for. Hence a pool belongs to one device only: with a pool for several
/// a request of one that lies upon another would hold what it waits for.
///
/// Dropping the pool sleeps until all its requests are gone; it must not happen in interrupt context.
#[pin_data]
pub struct Pool<T: JobRun> {
    #[pin]
    mem: MemPool<Inner<T>>,
}

impl<T: JobRun> Pool<T> {
    /// A pool that has memory for `min` requests (at least one) in reserve. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(min: u16) -> Result<Pin<KBox<Self>>> {
        KBox::try_pin_init(
            try_pin_init!(Self { mem <- MemPool::new(min) }? Error),
            GFP_KERNEL,
        )
    }

    /// Memory for a request; waits for one to be over if there is none. Process context, NOIO.
    pub fn slot(&self) -> Slot<T> {
        loop {
            // It never fails, so that this is no loop.
            if let Some(slot) = self.get(Without::Wait) {
                return slot;
            }
        }
    }

    /// Memory for a request that need not be. Any context.
    pub fn try_slot(&self) -> Option<Slot<T>> {
        self.get(Without::Fail)
    }

    fn get(&self, without: Without) -> Option<Slot<T>> {
        // INVARIANT: Memory of this pool, with nothing in it.
        Some(Slot {
            mem: self.mem.get(without)?,
            pool: NonNull::from(self),
        })
    }
}

/// Memory for a request that is not there yet.
///
/// # Invariants
///
/// `mem` is memory of `pool` that this value owns; nothing is in it. The pool lives, as it waits for its memory.
pub struct Slot<T: JobRun> {
    mem: NonNull<MaybeUninit<Inner<T>>>,
    pool: NonNull<Pool<T>>,
}

// SAFETY: The memory is plain, and a pool may be used from any task.
unsafe impl<T: JobRun> Send for Slot<T> {}

impl<T: JobRun> Slot<T> {
    /// Puts `data` into the memory: a value, or an initialiser that builds it there without a copy on the
    /// stack.
    pub fn fill(self, data: impl Init<T>) -> Job<T> {
        let this = ManuallyDrop::new(self);
        let (mem, pool) = (this.mem.cast::<Inner<T>>(), this.pool);
        let init = pin_init!(Inner {
            work <- new_work!("bcache_kernel::Job"),
            node: Opaque::uninit(),
            parked: AtomicFlag::new(false),
            refs: Atomic::new(1),
            pool,
            data <- data,
        });
        // SAFETY: By the type invariant the memory is ours and large enough. It is from `kmalloc`, as that of a `KBox`;
        // this one is given up below and frees nothing.
        let place = unsafe { KBox::from_raw(this.mem.as_ptr()) };
        match place.write_pin_init(init) {
            Ok(place) => {
                forget(place);
                // INVARIANT: Initialised, and we have the only count.
                Job(mem)
            }
            Err(never) => match never {},
        }
    }
}

impl<T: JobRun> Drop for Slot<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { self.pool.as_ref().mem.put(self.mem) };
    }
}

/// What is in the memory of a pool. `pool` is where it came from.
#[pin_data]
struct Inner<T: JobRun> {
    #[pin]
    work: Work<Inner<T>>,
    /// For the list of a batch, and only there initialised.
    node: Opaque<bindings::llist_node>,
    /// The node is in a list into which a shared request was put.
    parked: AtomicFlag,
    /// One for each bio in flight and its like: far from the end of the numbers.
    refs: Atomic<u32>,
    pool: NonNull<Pool<T>>,
    data: T,
}

impl_has_work! {
    impl{T: JobRun} HasWork<Inner<T>> for Inner<T> { self.work }
}

impl<T: JobRun> WorkItem for Inner<T> {
    type Pointer = Job<T>;

    fn run(this: Job<T>) {
        T::run(this);
    }
}

/// The node of a request, for a list.
fn node_of<T: JobRun>(inner: NonNull<Inner<T>>) -> NonNull<bindings::llist_node> {
    // SAFETY: Requests are given out as valid pointers only; a field of one is not null.
    unsafe { NonNull::new_unchecked((&raw mut (*inner.as_ptr()).node).cast()) }
}

/// The request of a node.
///
/// # Safety
///
/// The node is that of an `Inner<T>`.
unsafe fn inner_of<T: JobRun>(node: NonNull<bindings::llist_node>) -> NonNull<Inner<T>> {
    // SAFETY: By the caller's promise.
    unsafe {
        let inner = kernel::container_of!(Opaque::cast_from(node.as_ptr()), Inner<T>, node);
        NonNull::new_unchecked(inner.cast_mut())
    }
}

/// A request owned by one context.
///
/// # Invariants
///
/// The pointer is to an initialised [`Inner`] in memory of its pool. Its count is 1 and belongs to this value. It is
/// not in a work queue.
pub struct Job<T: JobRun>(NonNull<Inner<T>>);

// SAFETY: The request is this value's alone, and is `Send`.
unsafe impl<T: JobRun> Send for Job<T> {}
// SAFETY: `&Job` gives `&T` only.
unsafe impl<T: JobRun + Sync> Sync for Job<T> {}

impl<T: JobRun> Job<T> {
    /// Sends the request to its work queue. Any context.
    pub fn queue(self) {
        let queue: *const Queue = JobRun::queue(&*self);
        // SAFETY: The request says that its queue lives until it has run, and it cannot have run before it is
        // in the queue. `queue_work_on` does not touch the queue any more once the item may run.
        let queue = unsafe { &*queue };
        queue.enqueue(self);
    }

    /// Gives the value up for a list; [`Job::from_node`] makes it again.
    pub(crate) fn into_node(self) -> NonNull<bindings::llist_node> {
        node_of(ManuallyDrop::new(self).0)
    }

    /// Makes a value again that was given up.
    ///
    /// # Safety
    ///
    /// `node` is from [`Job::into_node`] of the same `T`, is in no list any more, and this is the only new value.
    pub(crate) unsafe fn from_node(node: NonNull<bindings::llist_node>) -> Self {
        // SAFETY: By the caller's promise.
        // INVARIANT: As before `into_node`.
        Self(unsafe { inner_of(node) })
    }

    /// Makes the request shared, for the time its I/O is in flight.
    pub fn share(self) -> Shared<T>
    where
        T: Sync,
    {
        // INVARIANT: Our count is that of the new value.
        Shared(ManuallyDrop::new(self).0)
    }
}

impl<T: JobRun> Deref for Job<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariant there is a value, and nobody else has it.
        unsafe { &(*self.0.as_ptr()).data }
    }
}

impl<T: JobRun> DerefMut for Job<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: As in `deref`; `data` is not pinned.
        unsafe { &mut (*self.0.as_ptr()).data }
    }
}

impl<T: JobRun> Drop for Job<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the value is ours, with its memory. The pool lives until the memory is back.
        unsafe {
            let pool = (*self.0.as_ptr()).pool;
            ptr::drop_in_place(self.0.as_ptr());
            pool.as_ref().mem.put(self.0.cast());
        }
    }
}

// SAFETY: The work passed on is that of the request, which nobody touches before the work function has it back.
unsafe impl<T: JobRun> RawWorkItem<0> for Job<T> {
    type EnqueueOutput = ();

    unsafe fn __enqueue<F>(self, queue_work_on: F)
    where
        F: FnOnce(*mut bindings::work_struct) -> bool,
    {
        let this = ManuallyDrop::new(self);
        // SAFETY: By the type invariant the pointer is valid.
        let work = unsafe { Work::raw_get(Inner::raw_get_work(this.0.as_ptr())) };
        // It cannot be in a queue already, by the type invariant.
        let _queued = queue_work_on(work);
    }
}

// SAFETY: `run` makes the value again that `__enqueue` gave up.
unsafe impl<T: JobRun> WorkItemPointer<0> for Job<T> {
    unsafe extern "C" fn run(work: *mut bindings::work_struct) {
        // SAFETY: By the caller's promise this is the work that `__enqueue` passed on.
        let inner = unsafe { Inner::<T>::work_container_of(work.cast()) };
        if let Some(inner) = NonNull::new(inner) {
            // INVARIANT: As before `__enqueue`; a work that runs is out of its queue.
            Inner::run(Job(inner));
        }
    }
}

/// One of several references to a request with I/O in flight; read access only.
///
/// # Invariants
///
/// As for [`Job`], but this value has one count of those there are, and nobody changes the request.
pub struct Shared<T: JobRun + Sync>(NonNull<Inner<T>>);

// SAFETY: References give `&T`, and the last one `T`, which is `Send` and `Sync`.
unsafe impl<T: JobRun + Sync> Send for Shared<T> {}
// SAFETY: As above.
unsafe impl<T: JobRun + Sync> Sync for Shared<T> {}

impl<T: JobRun + Sync> Shared<T> {
    fn refs(&self) -> &Atomic<u32> {
        // SAFETY: By the type invariant there is a value.
        unsafe { &(*self.0.as_ptr()).refs }
    }

    /// Gives this reference up. The last one gets the request back. Any context.
    pub fn release(self) -> Option<Job<T>> {
        let this = ManuallyDrop::new(self);
        if this.refs().fetch_sub(1, Full) != 1 {
            return None;
        }
        this.refs().store(1, Relaxed);
        // INVARIANT: Nobody else has a count; the ordering puts what the others did before what we do.
        Some(Job(this.0))
    }
}

impl<T: JobRun + Sync> Shared<T> {
    fn parked(&self) -> &AtomicFlag {
        // SAFETY: By the type invariant there is a value.
        unsafe { &(*self.0.as_ptr()).parked }
    }

    /// Gives the value up for a list; [`Shared::from_node`] makes it again. `None` if the request is in one already: it has one
    /// node, whoever has references to it.
    pub(crate) fn into_node(self) -> Option<NonNull<bindings::llist_node>> {
        if self.parked().xchg(true, Full) {
            return None;
        }
        Some(node_of(ManuallyDrop::new(self).0))
    }

    /// Makes a value again that was given up.
    ///
    /// # Safety
    ///
    /// `node` is from [`Shared::into_node`] of the same `T`, is in no list any more, and this is the only new value.
    pub(crate) unsafe fn from_node(node: NonNull<bindings::llist_node>) -> Self {
        // SAFETY: By the caller's promise.
        // INVARIANT: As before `into_node`.
        let this = Self(unsafe { inner_of(node) });
        this.parked().xchg(false, Full);
        this
    }
}

impl<T: JobRun + Sync> Clone for Shared<T> {
    fn clone(&self) -> Self {
        self.refs().add(1, Relaxed);
        // INVARIANT: The count just taken.
        Self(self.0)
    }
}

impl<T: JobRun + Sync> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: The value is not used again; the copy gives its count up.
        let last = unsafe { ptr::read(self) };
        drop(last.release());
    }
}

impl<T: JobRun + Sync> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariant there is a value, and nobody changes it.
        unsafe { &(*self.0.as_ptr()).data }
    }
}
