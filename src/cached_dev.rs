// SPDX-License-Identifier: GPL-2.0

//! A backing device and the disk `/dev/bcacheN` in front of it.
//!
//! C: `struct cached_dev` and `struct bcache_device` in `bcache.h`.

use crate::{
    attach::Bond,
    debug::DeviceDir,
    flag::{Count, Flag, Num},
    registry::Registry,
    request::{IoSets, RecentIo},
    show::Shown,
    stats::Accounting,
    superblock::SbFile,
    sysfs,
    waiting::{Asked, Progress},
    writeback::Rate, //
};
use bcache_core::{
    ondisk::{
        superblock::BdevState,
        uuid::Uuid, //
    },
    request::unflushed::Unflushed,
    state::bdev::{self, BdevEvent}, //
};
use bcache_kernel::{
    atomic::KWord,
    block::{Bdev, BdevName, Disk, DiskOps, Limits, MinorId, MinorIds, UserBio},
    gate::Gated,
    kthread::Thread,
    rcu::RcuArc, //
};
use core::cell::Cell;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, ArcBorrow, Mutex}, //
};

/// Minor numbers per device.
pub(crate) const MINORS: u32 = 128;
/// Largest logical block of a disk: a page.
const MAX_BLOCK_BYTES: u32 = 4096;

/// State bits of a cached device. Any context.
pub(crate) struct DevFlags {
    /// Stop was asked for (C: `BCACHE_DEV_CLOSING`); one way.
    pub(crate) closing: Flag,
    /// The job that frees the device has been queued; one way.
    pub(crate) freeing: Flag,
    /// The disk is visible (C: `running`).
    pub(crate) running: Flag,
    /// The disk is linked with the backing device as its holder.
    pub(crate) holder_linked: Flag,
    /// All I/O fails with EIO.
    pub(crate) io_disable: Flag,
    /// Its set died with dirty data of it; one way.
    pub(crate) lost_data: Flag,
    /// The disk did not take another state, the last time: it may have that, or the one before.
    pub(crate) state_unsure: Flag,
    /// The backing device is a RAID on which partial stripe writes cost a read.
    pub(crate) partial_stripes_expensive: Flag,
}

/// Tunables of a cached device with the defaults of C. Relaxed, any context.
pub(crate) struct DevTunables {
    /// 0 writethrough, 1 writeback, 2 writearound, 3 none.
    pub(crate) cache_mode: Num,
    /// 0 all, 1 meta-only.
    pub(crate) readahead_cache_policy: Num,
    /// 0 auto, 1 always.
    pub(crate) stop_when_cache_set_failed: Num,
    /// Bytes; 0 = off.
    pub(crate) sequential_cutoff: Num,
    pub(crate) io_error_limit: Num,
    pub(crate) writeback_metadata: Flag,
    pub(crate) writeback_running: Flag,
    pub(crate) writeback_delay: Num,
    pub(crate) writeback_percent: Num,
    pub(crate) writeback_consider_fragment: Flag,
    pub(crate) writeback_rate_update_seconds: Num,
    pub(crate) writeback_rate_i_term_inverse: Num,
    pub(crate) writeback_rate_p_term_inverse: Num,
    pub(crate) writeback_rate_fp_term_low: Num,
    pub(crate) writeback_rate_fp_term_mid: Num,
    pub(crate) writeback_rate_fp_term_high: Num,
    pub(crate) writeback_rate_minimum: Num,
    /// Not in C: bounds the rate, also that of an idle device.
    pub(crate) writeback_rate_maximum: Num,
    /// Not in C: 0 pi (C's law), 1 adaptive, 2 latency.
    pub(crate) writeback_controller: Num,
    /// Not in C: what the latency law aims at.
    pub(crate) writeback_latency_target_us: Num,
}

impl DevTunables {
    /// The defaults of C bcache.
    pub(crate) const fn new(cache_mode: u32) -> Self {
        Self {
            cache_mode: Num::new(cache_mode),
            readahead_cache_policy: Num::new(0),
            stop_when_cache_set_failed: Num::new(0),
            sequential_cutoff: Num::new(4 << 20),
            io_error_limit: Num::new(64),
            writeback_metadata: Flag::new(true),
            writeback_running: Flag::new(false),
            writeback_delay: Num::new(30),
            writeback_percent: Num::new(10),
            writeback_consider_fragment: Flag::new(true),
            writeback_rate_update_seconds: Num::new(5),
            writeback_rate_i_term_inverse: Num::new(10000),
            writeback_rate_p_term_inverse: Num::new(40),
            writeback_rate_fp_term_low: Num::new(1),
            writeback_rate_fp_term_mid: Num::new(10),
            writeback_rate_fp_term_high: Num::new(1000),
            writeback_rate_minimum: Num::new(8),
            writeback_rate_maximum: Num::new(i32::MAX.unsigned_abs()),
            writeback_controller: Num::new(0),
            writeback_latency_target_us: Num::new(20_000),
        }
    }
}

/// A backing device. Shared by reference count: its disk, its sysfs object and the registry hold one.
#[pin_data]
pub(crate) struct CachedDev {
    pub(crate) registry: Arc<Registry>,
    pub(crate) bdev: Arc<Bdev>,
    pub(crate) name: BdevName,
    pub(crate) uuid: Uuid,
    pub(crate) sb: Pin<KBox<SbFile>>,
    /// First data sector of the backing device; index keys count from sector 0 of the device.
    pub(crate) data_offset: u64,
    /// Bytes of a logical block of the disk.
    pub(crate) block_size: u32,
    /// `N` of `bcacheN`.
    pub(crate) minor: MinorId,
    pub(crate) flags: DevFlags,
    pub(crate) tun: DevTunables,
    /// How many times the disk is open.
    ///
    /// This and `closing` are a store-buffering pair: an open increments the count and then reads `closing`; a stop
    /// sets `closing`, and then the registry reads the count. Both changes are fully ordered, so that at least one side
    /// sees what the other did: the open fails, or the device is not freed before the matching release.
    pub(crate) openers: Count,
    pub(crate) io_errors: Num,
    /// The set this device is attached to; `None` = passthrough.
    pub(crate) att: RcuArc<Bond>,
    /// Requests in flight that go straight to the backing device without an attachment.
    #[pin]
    pub(crate) gate: Gated<()>,
    /// What users wrote to the backing device and did not flush.
    pub(crate) unflushed: Unflushed<KWord>,
    /// Sequential detection.
    #[pin]
    pub(crate) recent: RecentIo,
    pub(crate) stats: Accounting,
    /// Rate of background writeback.
    #[pin]
    pub(crate) rate: Rate,
    /// Bio sets of this device.
    pub(crate) io: IoSets,
    /// The disk, unless it could not be made visible; taken for good by the job that frees the device.
    #[pin]
    pub(crate) disk: Mutex<Option<Disk<CachedDev>>>,
    /// The sysfs directories; taken once by the job that frees the device.
    #[pin]
    pub(crate) sysfs: Mutex<Option<sysfs::DevDirs>>,
    /// What the end of the device or of its attachment waits for.
    pub(crate) ending: Progress,
    /// Shows it in debugfs; taken by the end of the device.
    #[pin]
    pub(crate) debug: Mutex<Option<DeviceDir>>,
    /// Since when it waits for others to let it end.
    pub(crate) asked: Asked,
    /// Watches for a backing device that went away.
    #[pin]
    pub(crate) status: Mutex<Option<Thread>>,
}

impl DiskOps for CachedDev {
    fn submit_bio(this: ArcBorrow<'_, Self>, bio: UserBio) {
        crate::request::submit(this, bio);
    }

    fn open(this: ArcBorrow<'_, Self>) -> Result {
        this.openers.inc();
        if this.flags.closing.get() {
            Self::release(this);
            return Err(ENXIO);
        }
        Ok(())
    }

    fn release(this: ArcBorrow<'_, Self>) {
        if this.openers.dec() && this.flags.closing.get() {
            this.registry.kick();
        }
    }

    fn ioctl_target(&self) -> Result<Arc<Bdev>> {
        if self.flags.io_disable.get() {
            return Err(EIO);
        }
        Ok(self.bdev.clone())
    }
}

impl CachedDev {
    /// Makes the device and its disk, which is not visible yet (C: `cached_dev_init`). May sleep.
    pub(crate) fn new(
        registry: &Arc<Registry>,
        bdev: &Arc<Bdev>,
        sb: impl PinInit<SbFile>,
    ) -> Result<Arc<Self>> {
        let minor = MinorIds::alloc(&registry.ids)?;
        let sb = KBox::pin_init(sb, GFP_KERNEL)?;
        let (uuid, data_offset, block_sectors, mode) = sb.with(|sb| {
            (
                sb.uuid,
                sb.data_offset,
                u32::from(sb.block_size),
                sb.cache_mode(),
            )
        });
        let block_size = disk_block_size(bdev, block_sectors);
        let raid = bdev.io_opt() != 0 && bdev.partial_stripes_expensive();
        let flags = DevFlags {
            closing: Flag::new(false),
            freeing: Flag::new(false),
            running: Flag::new(false),
            holder_linked: Flag::new(false),
            io_disable: Flag::new(false),
            lost_data: Flag::new(false),
            state_unsure: Flag::new(false),
            partial_stripes_expensive: Flag::new(raid),
        };
        let dev = Arc::pin_init(
            try_pin_init!(Self {
                registry: registry.clone(),
                bdev: bdev.clone(),
                name: bdev.name(),
                uuid,
                sb,
                data_offset,
                block_size,
                minor,
                flags,
                tun: DevTunables::new(u32::try_from(mode.raw()).unwrap_or(0)),
                openers: Count::new(),
                io_errors: Num::new(0),
                att: RcuArc::new(None),
                gate <- Gated::new(Ok(())),
                unflushed: Unflushed::new(KWord::new(0), KWord::new(0)),
                recent <- RecentIo::new(),
                stats: Accounting::new()?,
                rate <- Rate::new(),
                io: IoSets::new()?,
                disk <- new_mutex!(None, "CachedDev::disk"),
                sysfs <- new_mutex!(None, "CachedDev::sysfs"),
                ending: Progress::new(),
                debug <- new_mutex!(None, "CachedDev::debug"),
                asked: Asked::new(),
                status <- new_mutex!(None, "CachedDev::status"),
            }? Error),
            GFP_KERNEL,
        )?;
        let disk = Self::new_disk(&dev)?;
        *dev.disk.lock() = Some(disk);
        Ok(dev)
    }

    /// A disk for the device, not visible yet. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the device is too small, or for limits that the block layer refuses; `ENOMEM`.
    pub(crate) fn new_disk(dev: &Arc<Self>) -> Result<Disk<Self>> {
        let sectors = dev.bdev.nr_sectors();
        let capacity = sectors.checked_sub(dev.data_offset);
        let capacity = capacity.filter(|left| *left != 0).ok_or(EINVAL)?;
        let limits = Limits {
            block_size: dev.block_size,
            io_opt: dev.bdev.io_opt().max(dev.block_size),
        };
        Disk::alloc(
            &dev.registry.major,
            dev.minor.index(),
            MINORS,
            format_args!("{}", dev.disk_name()),
            capacity,
            &limits,
            dev.clone(),
        )
    }

    /// State word of the superblock. May sleep.
    pub(crate) fn state(&self) -> BdevState {
        self.sb.with(|sb| sb.state())
    }

    /// Writes the state that follows `event` durably. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the event must not happen in the state that the device is in, `EIO` when the device refuses the write.
    pub(crate) fn change_state(&self, event: BdevEvent) -> Result {
        self.write_state(event, None)
    }

    /// As [`Self::change_state`], and from now on it names `set_uuid` as its set. May sleep.
    pub(crate) fn change_state_and_set(&self, event: BdevEvent, set_uuid: Uuid) -> Result {
        self.write_state(event, Some(set_uuid))
    }

    fn write_state(&self, event: BdevEvent, set_uuid: Option<Uuid>) -> Result {
        let before = Cell::new(None);
        let written = self.sb.try_update(
            |sb| {
                if let Some(state) = bdev::next(sb.state(), event) {
                    before.set(Some((sb.state(), sb.set_uuid)));
                    sb.set_state(state);
                    sb.set_uuid = set_uuid.unwrap_or(sb.set_uuid);
                }
            },
            |sb| {
                if let Some((state, set_uuid)) = before.get() {
                    if sb.state() != state {
                        self.flags.state_unsure.set();
                    }
                    sb.set_state(state);
                    sb.set_uuid = set_uuid;
                }
            },
        );
        if before.get().is_none() && written != Err(ENODEV) {
            pr_err!(
                "{}: superblock state does not allow {:?}\n",
                self.name,
                event
            );
            return Err(EINVAL);
        }
        if written.is_ok() {
            self.flags.state_unsure.clear();
        }
        written
    }

    /// Its superblock says already, on disk, that no set has anything newer. May sleep.
    pub(crate) fn runs_alone(&self) -> bool {
        match self.state() {
            BdevState::None => true,
            BdevState::Stale => !self.flags.state_unsure.get(),
            _ => false,
        }
    }

    /// Counts a write of the superblock that has failed with `error` as an error of the backing device, as C does.
    ///
    /// Each try of a detach and each store to a file counts. The first dirty data, and state CLEAN, are tried again by
    /// every later write and every later pass of the writeback thread: of those tries the callers count only the first.
    pub(crate) fn count_superblock_error(&self, error: Error) {
        // Any other error is no fault of the device: it is being given up, or its state does not allow the change.
        if error == EIO {
            self.count_backing_error();
        }
    }

    /// Asks for the end of this device (C: `bcache_device_stop`). Any process context; does not wait.
    pub(crate) fn stop(&self) {
        if !self.flags.closing.set() {
            self.registry.kick();
        }
    }

    /// Its set died with data that the backing device lacks, or cannot be left on disk: no request may reach the device any
    /// more, and it is stopped. Before the way through the cache is closed. Any process context.
    pub(crate) fn lost_data(&self) {
        // In this order: see `allow_io` and `refuses_io`.
        self.flags.lost_data.set();
        self.disable_io();
        self.stop();
    }

    /// It takes no more requests; true if that is nothing new. Any context.
    pub(crate) fn disable_io(&self) -> bool {
        let before = self.flags.io_disable.set();
        if !before {
            // A detach that waits for dirty data to be written back may have to give that up, also if the device was stopped
            // before.
            self.registry.kick();
        }
        before
    }

    /// Whether its users get errors: by order, or since it has lost data. Any context.
    pub(crate) fn refuses_io(&self) -> bool {
        self.flags.io_disable.get() || self.flags.lost_data.get()
    }

    /// Clears `io_disable`, unless the device has lost data. Any context.
    ///
    /// # Errors
    ///
    /// `EBUSY`.
    pub(crate) fn allow_io(&self) -> Result {
        if self.flags.lost_data.get() {
            return Err(EBUSY);
        }
        self.flags.io_disable.clear();
        if self.flags.lost_data.get() {
            // Just now: it may have been disabled before we cleared that. Requests have looked at both all the time.
            self.flags.io_disable.set();
            return Err(EBUSY);
        }
        Ok(())
    }

    /// Counts an error of the backing device; at the limit the device is stopped (C: `bch_count_backing_io_errors`).
    /// Any context.
    pub(crate) fn count_backing_error(&self) {
        let errors = self.io_errors.add(1).saturating_add(1);
        if errors < self.tun.io_error_limit.get() {
            pr_err!("{}: IO error on backing device, unrecoverable\n", self.name);
        } else {
            if !self.disable_io() {
                pr_err!(
                    "stop {}: too many IO errors on backing device {}\n\n",
                    self.disk_name(),
                    self.name
                );
            }
            // Also if its I/O had been disabled by hand: it may be about to leave its set, and in vain.
            self.stop();
        }
    }

    /// `bcacheN`.
    pub(crate) fn disk_name(&self) -> Shown<DiskName> {
        Shown(DiskName(self.minor.index()))
    }
}

/// Bytes of a logical block of the disk. A superblock that names more than a page, or no power of two (C
/// then oopses), falls back to the device's own block size.
fn disk_block_size(bdev: &Bdev, block_sectors: u32) -> u32 {
    let bytes = block_sectors.saturating_mul(512);
    if bytes.is_power_of_two() && bytes <= MAX_BLOCK_BYTES {
        return bytes;
    }
    let own = bdev.logical_block_size();
    pr_info!(
        "{}: sb/logical block size ({}) greater than page size (4096) falling back to device logical block size ({})\n",
        bdev.name(),
        bytes,
        own
    );
    own
}

/// Prints as the name of the disk with this index.
pub(crate) struct DiskName(pub(crate) u32);

impl core::fmt::Display for DiskName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "bcache{}", self.0)
    }
}
