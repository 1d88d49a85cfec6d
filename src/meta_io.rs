// SPDX-License-Identifier: GPL-2.0

//! Metadata I/O of a cache set, and what a failing cache device leads to.
//!
//! C: `bch_count_io_errors` in `io.c`, `bch_cache_set_error` in `super.c`. All metadata I/O is
//! synchronous and done in process context; its failure retires the set.

use crate::cache_set::CacheSet;
use bcache_kernel::{
    block::{Opf, Status},
    dma::DmaBuf, //
};
use core::{fmt, ops::Range};
use kernel::prelude::*;

/// Errors are counted in units of `1 << 20`, so that decay has fractions (C: `IO_ERROR_SHIFT`).
pub(crate) const IO_ERROR_SHIFT: u32 = 20;

impl CacheSet {
    /// Reads metadata into `range` of `buf`. May sleep, NOIO.
    ///
    /// # Errors
    ///
    /// `EIO` if the set is dead or the device fails (which kills the set).
    pub(crate) fn meta_read(&self, sector: u64, buf: &mut DmaBuf, range: Range<usize>) -> Result {
        if self.io_disabled() {
            return Err(EIO);
        }
        let opf = Opf::READ | Opf::SYNC | Opf::META;
        self.bdev.read_sync(sector, buf, range, opf).map_err(|_| {
            self.set_error(format_args!("metadata read error at sector {sector}"));
            EIO
        })
    }

    /// Writes `range` of `buf`; `opf` is added to WRITE and META. May sleep, NOIO.
    ///
    /// # Errors
    ///
    /// As [`CacheSet::meta_read`].
    pub(crate) fn meta_write(
        &self,
        sector: u64,
        buf: &DmaBuf,
        range: Range<usize>,
        opf: Opf,
    ) -> Result {
        if self.io_disabled() {
            return Err(EIO);
        }
        let sectors = u64::try_from(range.len() >> 9).unwrap_or(u64::MAX);
        self.count.meta_written.add(sectors);
        let opf = Opf::WRITE | Opf::META | opf;
        self.bdev.write_sync(sector, buf, range, opf).map_err(|_| {
            self.set_error(format_args!("metadata write error at sector {sector}"));
            EIO
        })
    }

    /// Counts the outcome of a data I/O to the cache device; too many errors retire the set. Any context.
    pub(crate) fn count_io_error(&self, status: Status, what: &str) {
        self.decay_io_errors();
        if status.is_ok() {
            return;
        }
        let errors = self
            .count
            .io_errors
            .add(1 << IO_ERROR_SHIFT)
            .saturating_add(1 << IO_ERROR_SHIFT)
            >> IO_ERROR_SHIFT;
        if errors < self.tun.io_error_limit.get() {
            pr_err!("{}: IO error on {}, recovering.\n", self.bdev.name(), what);
        } else {
            self.set_error(format_args!(
                "{}: too many IO errors {}",
                self.bdev.name(),
                what
            ));
        }
    }

    /// Every `io_error_decay` I/Os the error count loses 1/128 (off when the decay is 0, the default).
    fn decay_io_errors(&self) {
        let decay = self.tun.io_error_decay.get();
        if decay == 0 {
            return;
        }
        let count = self.count.io_count.add(1).wrapping_add(1);
        if count > decay {
            // Several contexts may meet here: a decay more or less does not matter.
            self.count.io_count.put(count.wrapping_sub(decay));
            let errors = u64::from(self.count.io_errors.get());
            let decayed = errors.saturating_mul(127) / 128;
            self.count
                .io_errors
                .put(u32::try_from(decayed).unwrap_or(u32::MAX));
        }
    }

    /// The set is broken: no I/O to the cache any more, its devices are let go (C: `bch_cache_set_error`).
    /// Any context.
    pub(crate) fn set_error(&self, why: fmt::Arguments<'_>) {
        let panic = self.tun.errors_panic.get();
        if !panic && self.flags.stopping.get() && self.flags.io_disable.get() {
            return;
        }
        let first = !self.flags.io_disable.set();
        if first {
            pr_err!(
                "error on {}: {}, disabling caching\n",
                self.uuid_text(),
                why
            );
        }
        if panic {
            bcache_kernel::log::panic_machine(c"bcache: panic forced after error");
        }
        self.wake_all();
        self.registry.kick();
    }
}
