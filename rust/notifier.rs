// SPDX-License-Identifier: GPL-2.0

//! Notice of reboot, halt and power off.

use crate::bindings;
use kernel::{
    error::to_result,
    ffi::{
        c_int,
        c_ulong,
        c_void, //
    },
    prelude::*,
    types::Opaque, //
};

/// A function that is called once before the machine reboots, halts or powers off.
///
/// Process context; the machine waits for it. Dropping the value unregisters it, waiting for a call that
/// is running; may sleep.
pub struct Reboot(Pin<KBox<Inner>>);

/// What the C notifier is embedded in. `block` is the first field: pointers to both are the same.
#[pin_data]
#[repr(C)]
struct Inner {
    #[pin]
    block: Opaque<bindings::notifier_block>,
    f: KBox<dyn Fn() + Send + Sync>,
}

// SAFETY: The notifier chain has its own lock, and the closure is `Send + Sync`.
unsafe impl Send for Reboot {}
// SAFETY: As above.
unsafe impl Sync for Reboot {}

impl Reboot {
    /// Registers `f`, to be called before all other notifiers. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn register(f: impl Fn() + Send + Sync + 'static) -> Result<Self> {
        let f: KBox<dyn Fn() + Send + Sync> = KBox::new(f, GFP_KERNEL)?;
        let inner = KBox::pin_init(
            pin_init!(Inner {
                block: Opaque::new(bindings::notifier_block {
                    notifier_call: Some(call),
                    next: core::ptr::null_mut(),
                    priority: c_int::MAX,
                }),
                f,
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: The block is pinned in the box and unregistered before that is freed.
        to_result(unsafe { bindings::register_reboot_notifier(inner.block.get()) })?;
        Ok(Self(inner))
    }
}

impl Drop for Reboot {
    fn drop(&mut self) {
        // SAFETY: `register` registered the block. On return no call is running: the chain is locked.
        unsafe { bindings::unregister_reboot_notifier(self.0.block.get()) };
    }
}

/// The C notifier function.
///
/// # Safety
///
/// `block` must be that of an [`Inner`].
unsafe extern "C" fn call(
    block: *mut bindings::notifier_block,
    event: c_ulong,
    _cmd: *mut c_void,
) -> c_int {
    const DOWN: c_ulong = 1;
    const HALT: c_ulong = 2;
    const POWER_OFF: c_ulong = 3;
    if matches!(event, DOWN | HALT | POWER_OFF) {
        // SAFETY: By the requirement; the block is the first field, and `Reboot` frees the memory only
        // after unregistering, which waits for this call.
        let inner = unsafe { &*block.cast_const().cast::<Inner>() };
        (inner.f)();
    }
    // NOTIFY_DONE
    0
}
