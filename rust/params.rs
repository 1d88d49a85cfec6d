// SPDX-License-Identifier: GPL-2.0

//! The module parameters, which are C (`helpers/params.c`); `/sys/module/bcache/parameters` shows them. The cutoffs can be
//! set only when the module is loaded, and are shown as they are in force.

use crate::bindings;

/// `bch_cutoff_writeback`: use of the cache in percent from which no more dirty data is added. Before
/// [`set_cutoffs`] what the user has asked for, 0: nothing.
pub fn cutoff_writeback() -> u32 {
    // SAFETY: Reads a variable that changes only by `set_cutoffs`.
    unsafe { bindings::param_cutoff_writeback() }
}

/// `bch_cutoff_writeback_sync`: as [`cutoff_writeback`], for synchronous writes.
pub fn cutoff_writeback_sync() -> u32 {
    // SAFETY: As above.
    unsafe { bindings::param_cutoff_writeback_sync() }
}

/// Makes the values in force visible; to be called while the module is being initialised.
pub fn set_cutoffs(cutoff: u32, sync: u32) {
    // SAFETY: Writes two integers.
    unsafe { bindings::param_set_cutoffs(cutoff, sync) };
}

/// `teardown_warn_seconds`: after how many seconds a teardown says in the log what it waits for. Root may change it at any time,
/// to any value.
pub fn teardown_warn_seconds() -> u32 {
    // SAFETY: Reads a variable, once.
    unsafe { bindings::param_teardown_warn_seconds() }
}
