// SPDX-License-Identifier: GPL-2.0

//! Counting semaphores. C bcache uses them to limit I/O in flight and for locks that a completion gives
//! back.

use crate::bindings;
use kernel::{
    ffi::c_int,
    prelude::*,
    task::might_sleep,
    types::Opaque, //
};

/// A counting semaphore.
#[pin_data]
pub struct Semaphore {
    #[pin]
    sem: Opaque<bindings::semaphore>,
}

// SAFETY: Semaphores may be used from any task, they have a spin lock inside.
unsafe impl Send for Semaphore {}
// SAFETY: As above.
unsafe impl Sync for Semaphore {}

impl Semaphore {
    /// A semaphore that lets `count` callers of [`down`](Self::down) through.
    pub fn new(count: u16) -> impl PinInit<Self> {
        pin_init!(Self {
            sem <- Opaque::ffi_init(|slot| {
                // SAFETY: `slot` is valid for writes and stays pinned.
                unsafe { bindings::sema_init(slot, c_int::from(count)) }
            }),
        })
    }

    /// Takes one count; sleeps until there is one.
    pub fn down(&self) {
        might_sleep();
        // SAFETY: The semaphore was initialised by `new`.
        unsafe { bindings::down(self.sem.get()) };
    }

    /// Takes one count if there is one. Any context.
    #[must_use]
    pub fn try_down(&self) -> bool {
        // SAFETY: As above. The C function gives 0 on success.
        unsafe { bindings::down_trylock(self.sem.get()) == 0 }
    }

    /// Gives one count back, also one that another task took. Any context.
    pub fn up(&self) {
        // SAFETY: As above.
        unsafe { bindings::up(self.sem.get()) };
    }
}
