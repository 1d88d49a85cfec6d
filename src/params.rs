// SPDX-License-Identifier: GPL-2.0

//! Module parameters and their limits. C: `check_module_parameters` in `super.c`.

use bcache_kernel::params;
use kernel::prelude::*;

/// Percent of the cache in use above which asynchronous writes go through.
const DEFAULT_CUTOFF: u32 = 40;
const MAX_CUTOFF: u32 = 70;
/// The same for synchronous writes, which always go through where the others do.
const DEFAULT_CUTOFF_SYNC: u32 = 70;
const MAX_CUTOFF_SYNC: u32 = 90;

/// Seconds after which a wait of a teardown is worth a line in the log: `teardown_warn_seconds`, from a second to a day. By
/// default 60; a change counts for waits that begin later.
pub(crate) fn teardown_warn_seconds() -> u32 {
    params::teardown_warn_seconds().clamp(1, 24 * 60 * 60)
}

/// Puts the values in force into the parameters, and says in the log what is changed of what the user asked for. Once, while the
/// module is being initialised.
pub(crate) fn check() {
    let sync = limited(
        "bch_cutoff_writeback_sync",
        params::cutoff_writeback_sync(),
        DEFAULT_CUTOFF_SYNC,
        MAX_CUTOFF_SYNC,
    );
    let asked = limited(
        "bch_cutoff_writeback",
        params::cutoff_writeback(),
        DEFAULT_CUTOFF,
        MAX_CUTOFF,
    );
    if asked > sync {
        pr_warn!("set bch_cutoff_writeback ({}) to {}\n", asked, sync);
    }
    params::set_cutoffs(asked.min(sync), sync);
}

/// What a parameter is to be; 0 stands for the default.
fn limited(name: &str, asked: u32, default: u32, most: u32) -> u32 {
    match asked {
        0 => default,
        v if v > most => {
            pr_warn!("set {} ({}) to max value {}\n", name, v, most);
            most
        }
        v => v,
    }
}
