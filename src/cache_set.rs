// SPDX-License-Identifier: GPL-2.0

//! A cache set: one cache device, its index, and the devices attached to it.
//!
//! C: `struct cache_set` and `struct cache` in `bcache.h`. A set has exactly one cache device, so both
//! are one object here.
//!
//! # Lock order (outermost first)
//!
//! 1. `Registry::inner` (register lock: lists, attach, detach, uuid slots)
//! 2. `Attachment::wb.lock` (writeback lock, shared by writes in flight)
//! 3. btree structure mutex, then `Leaf::io`, then `Leaf::state`
//! 4. allocator mutex, open-bucket lock
//! 5. journal mutex
//! 6. leaf locks: superblock mutexes, keybuf, device table, statistics

use crate::{
    alloc::Allocator,
    attach::Attachment,
    btree::Btree,
    buckets::BucketTable,
    flag::{Flag, Num, Num64},
    journal::Journal,
    open_buckets::OpenBuckets,
    prio::PrioState,
    registry::Registry,
    stats::Accounting,
    superblock::SbFile,
    uuids::UuidTable, //
};
use bcache_core::{
    geometry::Geometry,
    num::BucketNr, //
};
use bcache_kernel::{
    block::{Bdev, Opf, Status},
    dma::DmaBuf,
    rcu::RcuArc,
    wait::WaitQueue,
    workqueue::Wq, //
};
use core::ops::Range;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// What happens when the cache device fails (`errors` in sysfs).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnError {
    /// Retire the set.
    Unregister,
    /// Stop the machine.
    Panic,
}

/// State bits of a set. All any-context.
pub(crate) struct SetFlags {
    /// All I/O to the cache fails; set once by [`CacheSet::set_error`] (C: `CACHE_SET_IO_DISABLE`).
    pub(crate) io_disable: Flag,
    /// Teardown has begun, no attach any more (C: `CACHE_SET_STOPPING`).
    pub(crate) stopping: Flag,
    /// Teardown detaches the devices, flushing them first (C: `CACHE_SET_UNREGISTERING`).
    pub(crate) unregistering: Flag,
    /// Recovery is over (C: `CACHE_SET_RUNNING`).
    pub(crate) running: Flag,
    /// A finish job has been queued by the registry.
    pub(crate) finishing: Flag,
}

/// Tunables and counters of a set, with the defaults of `bcache-sysfs`. Relaxed, any context.
pub(crate) struct SetTunables {
    pub(crate) errors_panic: Flag,
    pub(crate) io_error_limit: Num,
    pub(crate) io_error_decay: Num,
    pub(crate) congested_read_threshold_us: Num,
    pub(crate) congested_write_threshold_us: Num,
    pub(crate) journal_delay_ms: Num,
    pub(crate) gc_always_rewrite: Flag,
    pub(crate) shrinker_disabled: Flag,
    pub(crate) copy_gc_enabled: Flag,
    pub(crate) idle_max_writeback_rate: Flag,
    /// Bit 0: enabled, bit 1: requested (C: `gc_after_writeback`).
    pub(crate) gc_after_writeback: Num,
    pub(crate) cutoff_writeback: Num,
    pub(crate) cutoff_writeback_sync: Num,
}

/// Counters shown in sysfs.
pub(crate) struct SetCounters {
    /// Data sectors written to the cache.
    pub(crate) written: Num64,
    pub(crate) btree_written: Num64,
    pub(crate) meta_written: Num64,
    pub(crate) cache_read_races: Num64,
    pub(crate) reclaim: Num64,
    pub(crate) reclaimed_journal_buckets: Num64,
    pub(crate) flush_write: Num64,
    pub(crate) writeback_keys_done: Num64,
    pub(crate) writeback_keys_failed: Num64,
    /// I/O errors, scaled by `1 << 20` (C: `io_errors` of `struct cache`).
    pub(crate) io_errors: Num,
    pub(crate) io_count: Num,
}

/// The attached devices by inode; immutable, replaced as a whole under the register lock.
pub(crate) struct DeviceTable {
    pub(crate) devs: KVec<Arc<Attachment>>,
}

/// A cache set. Shared by reference count; every thread, work and bio that can touch it holds one.
#[pin_data]
pub(crate) struct CacheSet {
    pub(crate) registry: Arc<Registry>,
    /// UUID of the set (directory name in sysfs).
    pub(crate) set_uuid: [u8; 16],
    /// Seed of all magic numbers on the cache device.
    pub(crate) set_magic: u64,
    pub(crate) geo: Geometry,
    pub(crate) bdev: Arc<Bdev>,
    #[pin]
    pub(crate) sb: SbFile,
    pub(crate) flags: SetFlags,
    pub(crate) tun: SetTunables,
    pub(crate) count: SetCounters,
    pub(crate) buckets: BucketTable,
    #[pin]
    pub(crate) alloc: Allocator,
    #[pin]
    pub(crate) open_buckets: OpenBuckets,
    #[pin]
    pub(crate) prio: PrioState,
    #[pin]
    pub(crate) journal: Journal,
    #[pin]
    pub(crate) btree: Btree,
    #[pin]
    pub(crate) uuids: UuidTable,
    #[pin]
    pub(crate) stats: Accounting,
    #[pin]
    pub(crate) devices: RcuArc<DeviceTable>,
    /// Sum of the sizes of the attached backing devices, in sectors (controller's share).
    pub(crate) cached_dev_sectors: Num64,
    pub(crate) attached_dev_nr: Num,
    /// Idle detection of the controller (core `writeback/idle.rs`).
    pub(crate) idle_counter: Num,
    pub(crate) at_max_writeback_rate: Flag,
    /// Queue for request continuations (C: "bcache").
    pub(crate) wq: Wq,
    /// Woken whenever `io_disable` or `stopping` is set; set-wide waits also wait here or are woken by `wake_all_waiters`.
    #[pin]
    pub(crate) wait: WaitQueue,
}

impl CacheSet {
    /// The attached device of an index inode. Any context that is not interrupt context.
    pub(crate) fn attachment(&self, inode: u32) -> Option<Arc<Attachment>> {
        let table = self.devices.load()?;
        table.devs.iter().find(|a| a.inode == inode).cloned()
    }

    /// Adds `sectors` (may be negative) dirty sectors from `start` on to the accounting of `inode`.
    pub(crate) fn dirty_add(&self, inode: u32, start: u64, sectors: i64) {
        if let Some(att) = self.attachment(inode) {
            att.wb.dirty_add(start, sectors);
        }
    }

    /// True once all I/O to the cache must fail.
    pub(crate) fn io_disabled(&self) -> bool {
        self.flags.io_disable.get()
    }
}
