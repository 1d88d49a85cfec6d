// SPDX-License-Identifier: GPL-2.0

//! Random numbers of the kernel's generator. Any context.

use crate::bindings;
use core::num::NonZeroU32;

/// Fills `buf` with random bytes.
pub fn fill(buf: &mut [u8]) {
    // SAFETY: The pointer and the length are those of a slice we may write to.
    unsafe { bindings::get_random_bytes(buf.as_mut_ptr().cast(), buf.len()) };
}

/// 64 random bits.
pub fn u64() -> u64 {
    // SAFETY: No requirements.
    unsafe { bindings::get_random_u64() }
}

/// A random number in `0..ceil`, evenly distributed.
pub fn below(ceil: NonZeroU32) -> u32 {
    // SAFETY: The only requirement is that `ceil` is not 0.
    unsafe { bindings::random_below(ceil.get()) }
}
