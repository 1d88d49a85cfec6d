// SPDX-License-Identifier: GPL-2.0

//! Module parameters and their limits. C: `check_module_parameters` in `super.c`.

use bcache_kernel::params;
use kernel::prelude::*;

const DEFAULT_CUTOFF: u32 = 40;
const DEFAULT_CUTOFF_SYNC: u32 = 70;
const MAX_CUTOFF: u32 = 70;
const MAX_CUTOFF_SYNC: u32 = 90;

/// Percent of the cache in use above which asynchronous writes go through.
pub(crate) fn cutoff_writeback() -> u32 {
    match params::cutoff_writeback() {
        0 => DEFAULT_CUTOFF,
        v => v.min(MAX_CUTOFF).min(cutoff_writeback_sync()),
    }
}

/// Percent of the cache in use above which synchronous writes go through too.
pub(crate) fn cutoff_writeback_sync() -> u32 {
    match params::cutoff_writeback_sync() {
        0 => DEFAULT_CUTOFF_SYNC,
        v => v.min(MAX_CUTOFF_SYNC),
    }
}

/// Says in the log what is changed of what the user asked for.
pub(crate) fn check() {
    let (asked, asked_sync) = (params::cutoff_writeback(), params::cutoff_writeback_sync());
    if asked_sync > MAX_CUTOFF_SYNC {
        pr_warn!(
            "set bch_cutoff_writeback_sync ({}) to max value {}\n",
            asked_sync,
            MAX_CUTOFF_SYNC
        );
    }
    if asked > MAX_CUTOFF {
        pr_warn!(
            "set bch_cutoff_writeback ({}) to max value {}\n",
            asked,
            MAX_CUTOFF
        );
    }
    if asked.min(MAX_CUTOFF) > cutoff_writeback_sync() {
        pr_warn!(
            "set bch_cutoff_writeback ({}) to {}\n",
            asked,
            cutoff_writeback_sync()
        );
    }
}
