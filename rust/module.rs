// SPDX-License-Identifier: GPL-2.0

//! References to this module itself.
//!
//! Nothing but a module reference keeps our code in memory for a callback that arrives late. C bcache
//! takes one with `__module_get` for each device and set (`super.c`), and so do the types of this crate
//! whose callbacks the kernel may still run after their owner is gone.

use crate::this_module;
use core::marker::PhantomData;
use kernel::bindings;

/// One reference to this module: while it exists the module cannot be unloaded.
///
/// Dropping it is the last thing a late callback does. Between the drop and the end of the callback a
/// few instructions run without a reference, the same window as in C's `release` functions.
///
/// # Invariants
///
/// The value owns one reference of the module's count.
pub struct ModuleRef(PhantomData<()>);

impl ModuleRef {
    /// Takes a reference. Any context.
    ///
    /// All callers run inside this module, which is therefore loaded; while it is being unloaded the
    /// reference is counted but does not stop the unloading any more.
    pub fn get() -> Self {
        // SAFETY: `this_module()` is the module this code is part of, so it is loaded.
        unsafe { bindings::__module_get(this_module()) };
        // INVARIANT: The reference was taken above.
        Self(PhantomData)
    }

    /// Takes a reference unless the module is already being unloaded. Any context.
    pub fn try_get() -> Option<Self> {
        // SAFETY: As in `get`.
        let got = unsafe { bindings::try_module_get(this_module()) };
        // INVARIANT: If `got`, the reference was taken above.
        got.then_some(Self(PhantomData))
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this value owns one reference.
        unsafe { bindings::module_put(this_module()) };
    }
}
