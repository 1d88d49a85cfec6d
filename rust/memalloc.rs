// SPDX-License-Identifier: GPL-2.0

//! Scopes for memory allocation.

use crate::bindings;
use kernel::{
    ffi::c_uint,
    types::NotThreadSafe, //
};

/// While it lives, no allocation of the current task starts I/O: `GFP_KERNEL` means `GFP_NOIO`.
///
/// Needed wherever memory reclaim may wait for us, that is in everything behind `submit_bio`.
#[must_use = "the scope ends when this value is dropped"]
pub struct NoIo {
    saved: c_uint,
    _task: NotThreadSafe,
}

/// Begins a scope without I/O in allocations for the current task. Scopes nest. Any context with a task.
pub fn noio() -> NoIo {
    NoIo {
        // SAFETY: Changes a flag of the current task.
        saved: unsafe { bindings::noio_save() },
        _task: NotThreadSafe,
    }
}

impl Drop for NoIo {
    fn drop(&mut self) {
        // SAFETY: `saved` was made by `noio_save` in this same task, as the value cannot leave it.
        unsafe { bindings::noio_restore(self.saved) };
    }
}

/// While it lives, allocations of the current task do not wait for memory, and may take the last reserves of the machine.
///
/// These are there for what frees memory. So: little at a time, one task at a time, on the way of I/O, and no I/O inside.
/// An allocation for which a pool can be made is better served by one.
#[must_use = "the scope ends when this value is dropped"]
pub struct Reserves {
    saved: c_uint,
    _task: NotThreadSafe,
}

/// Begins a scope with the last reserves for the current task. Scopes nest. Process context.
pub fn reserves() -> Reserves {
    Reserves {
        // SAFETY: Changes a flag of the current task.
        saved: unsafe { bindings::reserves_save() },
        _task: NotThreadSafe,
    }
}

impl Drop for Reserves {
    fn drop(&mut self) {
        // SAFETY: `saved` was made by `reserves_save` in this same task, as the value cannot leave it.
        unsafe { bindings::reserves_restore(self.saved) };
    }
}
