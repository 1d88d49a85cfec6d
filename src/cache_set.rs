// SPDX-License-Identifier: GPL-2.0

//! A cache set: one cache device, its index, and the devices attached to it.
//!
//! C: `struct cache_set` and `struct cache` in `bcache.h`. A set has exactly one cache device, so both
//! are one object here.
//!
//! # Lock order
//!
//! All locks of the driver, outermost first, are in `docs/locks.md`; a new one gets a place there. In short: register
//! lock, sysfs and disk, writeback lock, state lock, superblocks, uuid table and priorities, btree structure mutex,
//! `Btree::lean`, `Leaf::io`, `Leaf::state`; then leaf locks, among them those of allocator and journal.

use crate::{
    alloc::Allocator,
    btree::Btree,
    buckets::BucketTable,
    debug::TeardownFile,
    devices::DeviceTable,
    flag::{Flag, Num, Num64},
    journal::Journal,
    open_buckets::OpenBuckets,
    prio::PrioState,
    recovery,
    registry::Registry,
    request::{
        Congestion,
        Durable,
        WriteBatches, //
    },
    show::Shown,
    stats::Accounting,
    superblock::SbFile,
    sysfs::SetDirs,
    uuids::UuidTable,
    waiting::{Asked, Progress}, //
};
use bcache_core::{
    geometry::Geometry,
    ondisk::{
        superblock::{self, Superblock},
        uuid::Uuid, //
    },
};
use bcache_kernel::{
    block::{Bdev, SbPage},
    params,
    workqueue::Wq, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex}, //
};

/// Fewest buckets of a cache: below, a reserve of the allocator would be empty (C: `cache_alloc`).
const MIN_BUCKETS: u32 = 513;

/// State bits of a set. All any-context.
pub(crate) struct SetFlags {
    /// All I/O to the cache fails; set once by [`CacheSet::set_error`] (C: `CACHE_SET_IO_DISABLE`).
    pub(crate) io_disable: Flag,
    /// Teardown has begun, no attach any more (C: `CACHE_SET_STOPPING`).
    pub(crate) stopping: Flag,
    /// Teardown detaches the devices, flushing them first (C: `CACHE_SET_UNREGISTERING`).
    pub(crate) unregistering: Flag,
    /// The devices have been asked to detach or stop; one way.
    pub(crate) told_devices: Flag,
    /// A finish job has been queued by the registry.
    pub(crate) finishing: Flag,
}

/// Tunables of a set. Any context.
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

/// A cache set. Shared by reference count; every thread, work and bio that can touch it holds one.
#[pin_data]
pub(crate) struct CacheSet {
    pub(crate) registry: Arc<Registry>,
    /// UUID of the set (directory name in sysfs).
    pub(crate) set_uuid: Uuid,
    /// Seed of all magic numbers on the cache device.
    pub(crate) set_magic: u64,
    pub(crate) geo: Geometry,
    pub(crate) bdev: Arc<Bdev>,
    pub(crate) sb: Pin<KBox<SbFile>>,
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
    pub(crate) stats: Accounting,
    pub(crate) devices: DeviceTable,
    /// Sum of the sizes of the attached backing devices, in sectors (controller's share).
    pub(crate) cached_dev_sectors: Num64,
    /// Congestion of the cache device.
    pub(crate) congestion: Congestion,
    /// The sysfs directories; taken once by the job that closes the set.
    #[pin]
    pub(crate) sysfs: Mutex<Option<SetDirs>>,
    /// What the end of the set waits for.
    pub(crate) ending: Progress,
    /// Since when it waits for its devices.
    pub(crate) asked: Asked,
    /// Shows both in debugfs; taken by the end of the set.
    #[pin]
    pub(crate) debug: Mutex<Option<TeardownFile>>,
    /// Requests that wait for the journal.
    pub(crate) durable: Durable,
    /// Writes that are ready for the index.
    pub(crate) writes: WriteBatches,
    /// Queue for request continuations (C: "bcache").
    pub(crate) wq: Wq,
    /// Runs hits that have to wait for a request: those may need all of `wq`.
    pub(crate) hit_wq: Wq,
}

impl SetFlags {
    const fn new() -> Self {
        Self {
            io_disable: Flag::new(false),
            stopping: Flag::new(false),
            unregistering: Flag::new(false),
            told_devices: Flag::new(false),
            finishing: Flag::new(false),
        }
    }
}

impl SetTunables {
    /// The defaults of C; the cutoffs are the module's parameters.
    fn new() -> Self {
        Self {
            errors_panic: Flag::new(false),
            io_error_limit: Num::new(8),
            io_error_decay: Num::new(0),
            congested_read_threshold_us: Num::new(2000),
            congested_write_threshold_us: Num::new(20000),
            journal_delay_ms: Num::new(100),
            gc_always_rewrite: Flag::new(false),
            shrinker_disabled: Flag::new(false),
            copy_gc_enabled: Flag::new(false),
            idle_max_writeback_rate: Flag::new(true),
            gc_after_writeback: Num::new(0),
            cutoff_writeback: Num::new(params::cutoff_writeback()),
            cutoff_writeback_sync: Num::new(params::cutoff_writeback_sync()),
        }
    }
}

impl SetCounters {
    const fn new() -> Self {
        Self {
            written: Num64::new(0),
            btree_written: Num64::new(0),
            meta_written: Num64::new(0),
            cache_read_races: Num64::new(0),
            reclaim: Num64::new(0),
            reclaimed_journal_buckets: Num64::new(0),
            flush_write: Num64::new(0),
            writeback_keys_done: Num64::new(0),
            writeback_keys_failed: Num64::new(0),
            io_errors: Num::new(0),
            io_count: Num::new(0),
        }
    }
}

impl CacheSet {
    /// Makes the set of a cache device; nothing runs yet. May sleep.
    ///
    /// # Errors
    ///
    /// `EPERM` if the device has too few buckets for the allocator's reserves, `EINVAL`, `ENOMEM`.
    pub(crate) fn new(
        registry: &Arc<Registry>,
        bdev: &Arc<Bdev>,
        page: SbPage,
        sb: KBox<Superblock>,
    ) -> Result<Arc<Self>> {
        let geo = sb.geometry().map_err(|_| EINVAL)?;
        if geo.nbuckets() < MIN_BUCKETS {
            return Err(EPERM);
        }
        let set_uuid = sb.set_uuid;
        let nr_this_dev = sb.nr_this_dev;
        let set_magic = sb.set_magic();
        let sb = KBox::pin_init(SbFile::new(page, sb)?, GFP_KERNEL)?;
        Arc::pin_init(
            try_pin_init!(Self {
                registry: registry.clone(),
                set_uuid,
                set_magic,
                geo,
                bdev: bdev.clone(),
                sb,
                flags: SetFlags::new(),
                tun: SetTunables::new(),
                count: SetCounters::new(),
                buckets: BucketTable::new(geo, nr_this_dev)?,
                alloc <- Allocator::new(geo),
                open_buckets <- OpenBuckets::new(),
                prio <- PrioState::new(geo),
                journal <- Journal::new(geo),
                btree <- Btree::new(geo),
                uuids <- UuidTable::new(geo),
                stats: Accounting::new()?,
                devices: DeviceTable::new(geo)?,
                cached_dev_sectors: Num64::new(0),
                congestion: Congestion::new(),
                sysfs <- new_mutex!(None, "CacheSet::sysfs"),
                ending: Progress::new(),
                asked: Asked::new(),
                debug <- new_mutex!(None, "CacheSet::debug"),
                durable: Durable::new(),
                writes: WriteBatches::new()?,
                wq: Wq::new(c"bcache", true, false, 0)?,
                hit_wq: Wq::new(c"bcache_hit", true, false, 0)?,
            }? Error),
            GFP_KERNEL,
        )
    }

    /// Prints as the UUID of the set.
    pub(crate) fn uuid_text(&self) -> Shown<Uuid> {
        Shown(self.set_uuid)
    }

    /// True once all I/O to the cache must fail.
    pub(crate) fn io_disabled(&self) -> bool {
        self.flags.io_disable.get()
    }

    /// Wakes whoever waits for something of this set; its condition will see `stopping` or `io_disable`. Any
    /// context.
    pub(crate) fn wake_all(&self) {
        self.alloc_wake_all();
        self.journal.wake_all();
        self.wake_gc();
    }

    /// Starts the set: format or recovery (C: `run_cache_set`). May sleep long.
    pub(crate) fn run(self: &Arc<Self>) -> Result {
        recovery::run(self)
    }

    /// Stop was asked for: the devices stop too, dirty data stays in the cache. Does not wait.
    pub(crate) fn stop(&self) {
        self.flags.stopping.set();
        self.wake_all();
        self.registry.kick();
    }

    /// Unregister was asked for: the devices are flushed and detached first. Does not wait.
    pub(crate) fn unregister(&self) {
        self.flags.unregistering.set();
        self.stop();
    }

    /// Changes and writes the superblock of the cache device (C: `bcache_write_super`). May sleep.
    pub(crate) fn write_super(&self, f: impl FnOnce(&mut Superblock)) -> Result {
        let written = self.sb.update(|sb| {
            f(sb);
            sb.seq = sb.seq.wrapping_add(1);
            if sb.version == superblock::CDEV {
                // Its uuid entries are of the new kind from the first write on.
                sb.version = superblock::CDEV_WITH_UUID;
            }
        });
        // ENODEV: the device was given up, which is no failure of it.
        if written.is_err_and(|e| e != ENODEV) {
            self.set_error(format_args!("could not write the superblock"));
        }
        written
    }
}
