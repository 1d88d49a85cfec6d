// SPDX-License-Identifier: GPL-2.0

//! Memory that is all zeros, without a look at each value in it.

use crate::atomic::{
    Atomic,
    KWord, //
};
use bcache_core::keymap::Chunk;
use kernel::{
    alloc::{
        flags::__GFP_ZERO,
        Flags,
        KVVec, //
    },
    prelude::*, //
};

/// Types with a value whose bytes are all 0: the number 0, or something empty.
///
/// # Safety
///
/// Memory that is all zeros holds a value of the type.
pub unsafe trait Zeros {}

// SAFETY: It is an integer.
unsafe impl Zeros for Atomic<i64> {}
// SAFETY: As above.
unsafe impl Zeros for Atomic<u64> {}
// SAFETY: As above.
unsafe impl Zeros for Atomic<u32> {}
// SAFETY: It is an `Atomic<u64>`, which is an integer.
unsafe impl Zeros for KWord {}

// SAFETY: It is a count of keys, 0, and the words of keys that do not count.
unsafe impl Zeros for Chunk {}

/// One of them, made in place.
///
/// # Errors
///
/// `ENOMEM`.
pub fn boxed<T: Zeros>(flags: Flags) -> Result<KBox<T>> {
    let value = KBox::<T>::new_uninit(flags | __GFP_ZERO)?;
    // SAFETY: What was allocated is zeros: a value, as `T` says.
    Ok(unsafe { value.assume_init() })
}

/// A table of `n` zeros, without a look at each. May sleep.
///
/// # Errors
///
/// `ENOMEM`.
pub fn table<T: Zeros>(n: usize) -> Result<KVVec<T>> {
    let mut table = KVVec::with_capacity(n, GFP_KERNEL | __GFP_ZERO)?;
    // SAFETY: There is room for `n` values in an empty vector, and what is there is zeros: values, as `T` says.
    unsafe { table.inc_len(n) };
    Ok(table)
}
