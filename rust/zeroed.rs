// SPDX-License-Identifier: GPL-2.0

//! Memory that is all zeros, without a look at each value in it.

use crate::atomic::{
    Atomic,
    KWord, //
};
use kernel::{
    alloc::{
        flags::__GFP_ZERO,
        Flags,
        KVVec, //
    },
    prelude::*, //
};
use zerocopy::FromZeros;

/// Types whose value with all bytes 0 is the number 0, and that `zerocopy` does not know.
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

/// The value of zeros, made in place.
///
/// # Errors
///
/// `ENOMEM`.
pub fn boxed<T: FromZeros>(flags: Flags) -> Result<KBox<T>> {
    let value = KBox::<T>::new_uninit(flags | __GFP_ZERO)?;
    // SAFETY: What was allocated is zeros: a value, as `FromZeros` promises.
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
