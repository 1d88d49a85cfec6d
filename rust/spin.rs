// SPDX-License-Identifier: GPL-2.0

//! A spin lock that may also be taken in interrupt context.

use crate::bindings;
use core::{
    cell::UnsafeCell,
    ops::{
        Deref,
        DerefMut, //
    }, //
};
use kernel::{
    ffi::c_ulong,
    prelude::*,
    sync::LockClassKey,
    types::{
        NotThreadSafe,
        Opaque, //
    }, //
};

/// Makes an [`IrqSpin`](crate::spin::IrqSpin) with a lock class of its own: `new_irq_spin!(value, c"name")`.
#[macro_export]
macro_rules! new_irq_spin {
    ($value:expr, $name:literal) => {{
        // Lockdep wants one name pointer per class, which a literal in inlined code is not.
        static NAME: &::kernel::prelude::CStr = $name;
        $crate::spin::IrqSpin::new($value, NAME, ::kernel::static_lock_class!())
    }};
}

/// A value behind a spin lock that disables interrupts while it is held.
///
/// Holders must not sleep. Locks of one class (see [`new_irq_spin!`](crate::new_irq_spin)) must not nest.
#[pin_data]
pub struct IrqSpin<T> {
    #[pin]
    lock: Opaque<bindings::spinlock_t>,
    data: UnsafeCell<T>,
}

// SAFETY: The lock may be moved between tasks if its content may.
unsafe impl<T: Send> Send for IrqSpin<T> {}
// SAFETY: The lock hands out its content to one task at a time, so that `T: Send` is enough.
unsafe impl<T: Send> Sync for IrqSpin<T> {}

impl<T> IrqSpin<T> {
    /// A lock with content `data`; use [`new_irq_spin!`](crate::new_irq_spin).
    pub fn new(
        data: T,
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            lock <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes and stays pinned; name and key are static.
                unsafe { bindings::__spin_lock_init(slot, name.as_char_ptr(), key.as_ptr()) }
            }),
            data: UnsafeCell::new(data),
        })
    }

    /// Takes the lock. Any context.
    pub fn lock(&self) -> IrqSpinGuard<'_, T> {
        IrqSpinGuard {
            // SAFETY: The lock was initialised by `new`.
            flags: unsafe { bindings::spin_lock_irqsave(self.lock.get()) },
            lock: self,
            _task: NotThreadSafe,
        }
    }
}

/// The lock is held while this lives.
#[must_use = "the lock is released when the guard is dropped"]
pub struct IrqSpinGuard<'a, T> {
    lock: &'a IrqSpin<T>,
    flags: c_ulong,
    _task: NotThreadSafe,
}

// SAFETY: A shared guard gives only `&T`.
unsafe impl<T: Sync> Sync for IrqSpinGuard<'_, T> {}

impl<T> Deref for IrqSpinGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The lock is held, so that nobody else uses the content.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for IrqSpinGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: As above, and the guard is borrowed exclusively.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for IrqSpinGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: This task took the lock with these flags on this CPU (interrupts were off since).
        unsafe { bindings::spin_unlock_irqrestore(self.lock.lock.get(), self.flags) };
    }
}
