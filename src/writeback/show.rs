// SPDX-License-Identifier: GPL-2.0

//! What sysfs shows of writeback, whether the device is attached or not.
//!
//! C: the writeback files of `bch_cached_dev` in `sysfs.c`.

use crate::cached_dev::CachedDev;
use bcache_core::{
    text::RateDebug,
    writeback::stripes::Stripes, //
};

/// Any process context.
impl CachedDev {
    /// Dirty sectors in the cache (`dirty_data`).
    pub(crate) fn dirty_sectors(&self) -> u64 {
        let dirty = self.att.load_with(|att| att.wb.dirty_sectors());
        dirty.and_then(|d| u64::try_from(d).ok()).unwrap_or(0)
    }

    /// Sectors of a stripe (`stripe_size`).
    pub(crate) fn stripe_sectors(&self) -> u64 {
        Stripes::derive(self.bdev.nr_sectors(), self.bdev.io_opt()).map_or(0, |s| s.size())
    }

    /// Sectors per second (`writeback_rate`); 0 while writeback is off.
    pub(crate) fn shown_rate(&self) -> u64 {
        if !self.tun.writeback_running.get() {
            return 0;
        }
        u64::from(self.rate.get())
    }

    /// What `writeback_rate_debug` shows.
    pub(crate) fn rate_debug(&self) -> RateDebug {
        let dirty = self.att.load_with(|att| att.wb.dirty_sectors());
        let running = self.tun.writeback_running.get();
        self.rate.debug(running, dirty.unwrap_or(0))
    }
}
