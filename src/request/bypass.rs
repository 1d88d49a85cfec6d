// SPDX-License-Identifier: GPL-2.0

//! Whether a request goes past the cache.
//!
//! C: `check_should_bypass` in `request.c`. The order of the tests and the arithmetic are in
//! [`bcache_core::request`]; here the facts are brought together.

use crate::attach::Attachment;
use bcache_core::{
    request::{
        bypass::{self, Bypass, BypassInput},
        mode::CacheMode,
        sequential, //
    }, //
};
use bcache_kernel::{
    block::{Op, Opf, UserBio},
    new_irq_spin,
    spin::IrqSpin,
    task,
    time, //
};
use kernel::prelude::*;

/// How long a stream of sequential I/O is remembered, in milliseconds.
const STREAM_MS: u32 = 5000;

/// The recent I/O of one device. The lock is held for one look-up.
#[pin_data]
pub(crate) struct RecentIo {
    #[pin]
    table: IrqSpin<sequential::RecentIo>,
}

impl RecentIo {
    /// An empty table.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            table <- new_irq_spin!(sequential::RecentIo::new(), c"bcache recent I/O"),
        })
    }

    /// Notes the I/O; gives the size of the stream it belongs to, in sectors.
    fn observe(&self, start: u64, sectors: u32) -> u32 {
        let before = task::seq_io();
        let mut io = sequential::TaskIo {
            sequential: before.sequential,
            average: before.average,
        };
        let now = time::jiffies();
        let lifetime = time::msecs_to_jiffies(STREAM_MS);
        let stream = self
            .table
            .lock()
            .observe(now, lifetime, start, sectors, &mut io);
        task::set_seq_io(task::SeqIo {
            sequential: io.sequential,
            average: io.average,
        });
        stream
    }
}

/// Cache mode of a device; an unknown number counts as writethrough.
pub(super) fn cache_mode(att: &Attachment) -> CacheMode {
    CacheMode::from_raw(u64::from(att.dev.tun.cache_mode.get())).unwrap_or(CacheMode::Writethrough)
}

/// Decides whether `user` bypasses the cache, and does the accounting of either case.
pub(super) fn decide(att: &Attachment, user: &UserBio) -> bool {
    let set = &att.set;
    let dev = &att.dev;
    let opf = user.opf();
    let start = user.sector().saturating_add(dev.data_offset);
    let input = BypassInput {
        detaching: att.must_bypass(),
        discard: opf.op() == Op::Discard,
        in_use: set.in_use_percent(),
        mode: cache_mode(att),
        write: opf.is_write(),
        readahead: opf.has(Opf::RAHEAD | Opf::BACKGROUND),
        meta: opf.has(Opf::META | Opf::PRIO),
        readahead_meta_only: dev.tun.readahead_cache_policy.get() != 0,
        sector: start,
        sectors: user.sectors(),
        block_sectors: set.geo.block_sectors(),
        sequential_cutoff: dev.tun.sequential_cutoff.get(),
    };
    let verdict = bypass::decide(
        &input,
        || set.congested_sectors(),
        || dev.recent.observe(start, user.sectors()),
    );
    match verdict {
        Bypass::No => {
            set.rescale_priorities(user.sectors());
            false
        }
        Bypass::Yes(reason) => {
            let clean = !att.wb.has_dirty.get();
            if bypass::must_wake_gc(reason, clean, set.gc_mark_valid()) {
                set.force_wake_gc();
            }
            att.mark_bypassed(u64::from(user.sectors()));
            true
        }
    }
}
