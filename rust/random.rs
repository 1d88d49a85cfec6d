// SPDX-License-Identifier: GPL-2.0

//! Random numbers of the kernel's generator. Any context.

use crate::bindings;

/// 64 random bits.
pub fn u64() -> u64 {
    // SAFETY: No requirements.
    unsafe { bindings::get_random_u64() }
}
