// SPDX-License-Identifier: GPL-2.0

//! Large tables of counters, all 0.

use crate::atomic::{
    Atomic,
    KWord, //
};
use kernel::{
    alloc::{
        flags::__GFP_ZERO,
        KVVec, //
    },
    prelude::*, //
};

/// Types whose value with all bytes 0 is the number 0.
///
/// # Safety
///
/// Memory that is all zeros holds a value of the type.
pub unsafe trait Zeros {}

// SAFETY: It is an integer.
unsafe impl Zeros for Atomic<i64> {}
// SAFETY: It is an `Atomic<u64>`, which is an integer.
unsafe impl Zeros for KWord {}

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
