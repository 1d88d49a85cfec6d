// SPDX-License-Identifier: GPL-2.0

//! Reader-writer semaphores: a sleeping lock with shared readers, and a "pass" variant whose shared side
//! may be given back by another context than took it.

use crate::bindings;
use core::{
    cell::UnsafeCell,
    ops::{
        Deref,
        DerefMut, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        static_lock_class,
        Arc,
        LockClassKey, //
    },
    task::might_sleep,
    types::{
        NotThreadSafe,
        Opaque, //
    }, //
};

/// Lockdep wants one name pointer per class; a literal could be copied into each crate that inlines its user.
static SEM_NAME: &CStr = c"bcache rwsem";
/// As above.
static PASS_NAME: &CStr = c"bcache pass";

/// A value behind a reader-writer semaphore. All locking functions but the `try_` ones may sleep.
#[pin_data]
pub struct RwSem<T> {
    #[pin]
    sem: Opaque<bindings::rw_semaphore>,
    data: UnsafeCell<T>,
}

// SAFETY: The lock may be moved between tasks if its content may.
unsafe impl<T: Send> Send for RwSem<T> {}
// SAFETY: Readers share `&T` (needs `Sync`), writers hand `T` from task to task (needs `Send`).
unsafe impl<T: Send + Sync> Sync for RwSem<T> {}

impl<T> RwSem<T> {
    /// A lock that lockdep does not check, for objects of one kind that are locked several at a time
    /// (as C does for btree nodes).
    pub fn new(data: T) -> impl PinInit<Self> {
        pin_init!(Self {
            sem <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is the pinned field.
                unsafe {
                    init_sem(slot, SEM_NAME, static_lock_class!());
                    bindings::rwsem_set_novalidate(slot);
                }
            }),
            data: UnsafeCell::new(data),
        })
    }

    /// Locks for reading.
    pub fn read(&self) -> ReadGuard<'_, T> {
        // SAFETY: The semaphore was initialised by the constructor.
        unsafe { bindings::down_read(self.sem.get()) };
        ReadGuard(self, NotThreadSafe)
    }

    /// Locks for reading if that is possible without sleeping. Any context with a task.
    pub fn try_read(&self) -> Option<ReadGuard<'_, T>> {
        // SAFETY: As above.
        let got = unsafe { bindings::down_read_trylock(self.sem.get()) } != 0;
        got.then(|| ReadGuard(self, NotThreadSafe))
    }

    /// Locks for writing.
    pub fn write(&self) -> WriteGuard<'_, T> {
        // SAFETY: As above.
        unsafe { bindings::down_write(self.sem.get()) };
        WriteGuard(self, NotThreadSafe)
    }

    /// Locks for writing if that is possible without sleeping. Any context with a task.
    pub fn try_write(&self) -> Option<WriteGuard<'_, T>> {
        // SAFETY: As above.
        let got = unsafe { bindings::down_write_trylock(self.sem.get()) } != 0;
        got.then(|| WriteGuard(self, NotThreadSafe))
    }
}

/// Initialises a semaphore in place.
///
/// # Safety
///
/// `slot` must be valid for writes and stay where it is as long as the semaphore is used.
unsafe fn init_sem(
    slot: *mut bindings::rw_semaphore,
    name: &'static CStr,
    key: Pin<&'static LockClassKey>,
) {
    // SAFETY: By the requirements of this function; name and key are static.
    unsafe { bindings::__init_rwsem(slot, name.as_char_ptr(), key.as_ptr()) };
}

/// Shared access to the content of an [`RwSem`].
#[must_use = "the lock is released when the guard is dropped"]
pub struct ReadGuard<'a, T>(&'a RwSem<T>, NotThreadSafe);

// SAFETY: A shared guard gives only `&T`.
unsafe impl<T: Sync> Sync for ReadGuard<'_, T> {}

impl<T> Deref for ReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The semaphore is held for reading, so that nobody has a `&mut T`.
        unsafe { &*self.0.data.get() }
    }
}

impl<T> Drop for ReadGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: This task holds the semaphore for reading.
        unsafe { bindings::up_read(self.0.sem.get()) };
    }
}

/// Exclusive access to the content of an [`RwSem`].
#[must_use = "the lock is released when the guard is dropped"]
pub struct WriteGuard<'a, T>(&'a RwSem<T>, NotThreadSafe);

// SAFETY: A shared guard gives only `&T`.
unsafe impl<T: Sync> Sync for WriteGuard<'_, T> {}

impl<T> Deref for WriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The semaphore is held for writing, so that nobody else uses the content.
        unsafe { &*self.0.data.get() }
    }
}

impl<T> DerefMut for WriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: As above, and the guard is borrowed exclusively.
        unsafe { &mut *self.0.data.get() }
    }
}

impl<T> Drop for WriteGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: This task holds the semaphore for writing.
        unsafe { bindings::up_write(self.0.sem.get()) };
    }
}

/// A semaphore whose shared side is a [`Pass`] that any context may give back, also interrupt context.
///
/// C bcache's `writeback_lock`: every cached write holds a pass from submission to completion.
pub struct RwPass(Arc<PassSem>);

/// The part that passes keep alive.
#[pin_data]
struct PassSem {
    #[pin]
    sem: Opaque<bindings::rw_semaphore>,
}

// SAFETY: Semaphores may be used from any task.
unsafe impl Send for PassSem {}
// SAFETY: As above.
unsafe impl Sync for PassSem {}

impl RwPass {
    /// A semaphore with no passes out. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new() -> Result<Self> {
        Ok(Self(Arc::pin_init(
            pin_init!(PassSem {
                sem <- Opaque::ffi_init(|slot| {
                    // SAFETY: `slot` is the pinned field.
                    unsafe { init_sem(slot, PASS_NAME, static_lock_class!()) }
                }),
            }),
            GFP_KERNEL,
        )?))
    }

    /// Takes a pass; sleeps while somebody has or wants exclusive access.
    pub fn enter(&self) -> Pass {
        might_sleep();
        // SAFETY: The semaphore was initialised by `new`.
        unsafe { bindings::down_read_non_owner(self.0.sem.get()) };
        Pass(self.0.clone())
    }

    /// Takes a pass if that is possible without sleeping. Any context with a task.
    pub fn try_enter(&self) -> Option<Pass> {
        // SAFETY: As above.
        let got = unsafe { bindings::down_read_trylock_non_owner(self.0.sem.get()) };
        got.then(|| Pass(self.0.clone()))
    }

    /// Waits until all passes have been given back and keeps new ones from being taken. May sleep.
    pub fn exclusive(&self) -> ExclGuard<'_> {
        // SAFETY: As above.
        unsafe { bindings::down_write(self.0.sem.get()) };
        ExclGuard(&self.0, NotThreadSafe)
    }
}

/// The shared side of an [`RwPass`], owned and given back by dropping it. Any context.
#[must_use = "the pass is given back when this value is dropped"]
pub struct Pass(Arc<PassSem>);

impl Drop for Pass {
    fn drop(&mut self) {
        // SAFETY: This value owns one count of the reader side. `up_read_non_owner` needs no task and
        // takes the wait lock with interrupts off. The memory is kept alive by our `Arc`, and freeing it
        // (if it is the last one) does not sleep.
        unsafe { bindings::up_read_non_owner(self.0.sem.get()) };
    }
}

/// The exclusive side of an [`RwPass`].
#[must_use = "the lock is released when the guard is dropped"]
pub struct ExclGuard<'a>(&'a PassSem, NotThreadSafe);

impl Drop for ExclGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: This task holds the semaphore for writing.
        unsafe { bindings::up_write(self.0.sem.get()) };
    }
}
