// SPDX-License-Identifier: GPL-2.0

//! How busy the cache device is, and the bookkeeping at the end of every data I/O to it.
//!
//! C: `bch_get_congested` in `request.c`, `bch_bbio_count_io_errors` in `io.c`.

use crate::{
    cache_set::CacheSet,
    flag::Num, //
};
use bcache_core::{
    num,
    request::congested::{
        self,
        CongestedInput, //
    }, //
};
use bcache_kernel::{
    atomic::{
        Atomic,
        Relaxed, //
    },
    block::{Opf, Status},
    random,
    time, //
};

/// Congestion of a set's cache device. Plain numbers without ordering: an estimate.
pub(crate) struct Congestion {
    /// At most 0; the more negative, the more congested.
    level: Atomic<i32>,
    /// When an I/O was slow last, in microseconds.
    last_us: Num,
}

impl Congestion {
    /// Not congested.
    pub(crate) const fn new() -> Self {
        Self {
            level: Atomic::new(0),
            last_us: Num::new(0),
        }
    }
}

/// What kind of data I/O to the cache ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CacheIo {
    /// A read.
    Read,
    /// A read ahead, which may fail for no reason.
    ReadAhead,
    /// A write.
    Write,
}

impl CacheIo {
    /// A read with these flags.
    pub(crate) fn read(opf: Opf) -> Self {
        if opf.has(Opf::RAHEAD) {
            Self::ReadAhead
        } else {
            Self::Read
        }
    }
}

/// The clock that I/O times are taken with, in wrapping microseconds.
pub(crate) fn now_us() -> u32 {
    congested::clock_us(time::local_clock_ns())
}

impl CacheSet {
    /// The size in sectors from which on requests should bypass a congested cache; 0 = not congested.
    pub(crate) fn congested_sectors(&self) -> u32 {
        let input = CongestedInput {
            read_threshold_us: self.tun.congested_read_threshold_us.get(),
            write_threshold_us: self.tun.congested_write_threshold_us.get(),
            last_us: self.congestion.last_us.get(),
            congested: self.congestion.level.load(Relaxed),
        };
        congested::limit(&input, now_us, || num::low_u32(random::u64()))
    }

    /// Accounts for a data I/O to the cache that was submitted at `submit_us` and has ended: how long it took
    /// and whether it failed. Any context.
    pub(crate) fn cache_io_done(&self, io: CacheIo, status: Status, submit_us: u32) {
        let (threshold, what) = match io {
            CacheIo::Read | CacheIo::ReadAhead => (
                self.tun.congested_read_threshold_us.get(),
                "reading from cache",
            ),
            CacheIo::Write => (
                self.tun.congested_write_threshold_us.get(),
                "writing data to cache",
            ),
        };
        if threshold != 0 {
            let now = now_us();
            let level = self.congestion.level.load(Relaxed);
            let adjust = congested::account(threshold, now, submit_us, level);
            if adjust.stamp {
                self.congestion.last_us.put(now);
            }
            if adjust.delta != 0 {
                self.congestion.level.add(adjust.delta, Relaxed);
            }
        }
        if io == CacheIo::ReadAhead && !status.is_ok() {
            // A layer below that is suspended, or short of something, fails read-ahead at will. C counts that and retires
            // the set of a device of the device mapper that is suspended under load.
            bcache_kernel::pr_warn_ratelimited!(
                "{}: Read-ahead I/O failed on cache device, ignore\n",
                self.bdev.name()
            );
            return;
        }
        self.count_io_error(status, what);
    }
}
