// SPDX-License-Identifier: GPL-2.0

//! The bond between a backing device and a cache set.
//!
//! C spreads this over `cached_dev.count`, `disk.c`, `disk.id` and flag bits; here it is one value that
//! attach makes and detach (or stop) consumes. C: `bch_cached_dev_attach`, `cached_dev_detach_finish`.

use crate::{
    cache_set::CacheSet,
    cached_dev::CachedDev,
    flag::Flag,
    writeback::Writeback, //
};
use bcache_core::{
    ondisk::uuid::Uuid,
    state::bdev::BdevEvent, //
};
use bcache_kernel::gate::Gated;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// An attachment behind the gate of the requests that use it, as its device has it.
pub(crate) type Bond = Gated<Attachment>;

/// A device attached to a set. Requests through the cache are inside of its gate ([`Bond`]); threads and works hold
/// an `Arc`. The cycle device -> attachment -> device is broken by its end (`ending.rs`).
#[pin_data]
pub(crate) struct Attachment {
    pub(crate) set: Arc<CacheSet>,
    pub(crate) dev: Arc<CachedDev>,
    /// Slot in the uuid table = inode of all keys of this device.
    pub(crate) inode: u32,
    /// Detach was asked for: everything bypasses, writeback flushes without limit; one way.
    pub(crate) detaching: Flag,
    /// Just published: requests that do not know it yet may still be under way to the backing device, so
    /// reads do not fill the cache and writes bypass it.
    pub(crate) warming: Flag,
    /// The writeback thread is through: device clean and its superblock detached, or the set is dead. Or it was stopped, and the
    /// end of the device has done that in its place.
    pub(crate) detach_ready: Flag,
    /// The finishing job has been queued; one way.
    pub(crate) finishing: Flag,
    /// The disk is linked with the cache device as its holder.
    pub(crate) holder_linked: Flag,
    /// Writeback, controller and dirty accounting.
    #[pin]
    pub(crate) wb: Writeback,
}

impl Attachment {
    /// Makes the bond; nothing can reach it yet. May sleep.
    pub(crate) fn new(dev: &Arc<CachedDev>, set: &Arc<CacheSet>, inode: u32) -> Result<Arc<Bond>> {
        let capacity = dev.bdev.nr_sectors();
        let wb = Writeback::new(&dev.bdev, capacity)?;
        Arc::pin_init(
            Gated::new(try_pin_init!(Self {
                set: set.clone(),
                dev: dev.clone(),
                inode,
                detaching: Flag::new(false),
                warming: Flag::new(false),
                detach_ready: Flag::new(false),
                finishing: Flag::new(false),
                holder_linked: Flag::new(false),
                wb <- wb,
            }? Error)),
            GFP_KERNEL,
        )
    }

    /// Nothing may be added to the cache through this attachment (now, or any more).
    pub(crate) fn must_bypass(&self) -> bool {
        self.detaching.get() || self.warming.get()
    }

    /// The device holds dirty data from now on: writes state DIRTY durably before the caller's first
    /// dirty write may be acknowledged (C writes it asynchronously and leaves a window). May sleep.
    pub(crate) fn mark_dirty(&self) -> Result {
        if self.wb.has_dirty.get() {
            return Ok(());
        }
        let _first = self.wb.state_lock.lock();
        if self.wb.has_dirty.get() {
            return Ok(());
        }
        if self.set.io_disabled() {
            // The device may have been let go as clean already.
            return Err(EIO);
        }
        // Whatever the state was: a write that failed may have left another one on disk.
        self.dev
            .change_state(BdevEvent::FirstDirty)
            .inspect_err(|e| self.dirty_refused(*e))?;
        self.wb.dirty_refused.clear();
        self.wb.clean_unwritten.clear();
        self.wb.has_dirty.set();
        self.wake_writeback();
        Ok(())
    }

    /// Dirty data cannot be taken, since the superblock cannot say so. Each write that would be the first one tries again. State
    /// lock held.
    fn dirty_refused(&self, e: Error) {
        // The device may have taken it all the same: should there be no dirty data then, somebody has to say that.
        if !self.wb.clean_unwritten.set() {
            self.wake_writeback();
        }
        if !self.wb.dirty_refused.set() {
            pr_err!(
                "{}: could not write the superblock before the first dirty data\n",
                self.dev.name
            );
            self.dev.count_superblock_error(e);
        }
    }

    /// The device was dirty when it was attached. May sleep.
    ///
    /// # Errors
    ///
    /// `EIO` if its superblock may say something else, and cannot be written; also if the set is dead.
    pub(crate) fn was_dirty(&self) -> Result {
        let unsure = self.dev.flags.state_unsure.get();
        match self.mark_dirty() {
            Err(e) if unsure => return Err(e),
            // A disk that takes no writes can be read from all the same.
            Err(_) => drop(self.wb.has_dirty.set()),
            Ok(()) => (),
        }
        Ok(())
    }

    /// A full scan under the exclusive writeback lock found nothing dirty: writes state CLEAN. May sleep.
    pub(crate) fn mark_clean(&self) -> Result {
        let _state = self.wb.state_lock.lock();
        let known = self.wb.clean_unwritten.get();
        self.write_clean().inspect_err(|e| {
            if !known {
                self.dev.count_superblock_error(*e);
            }
        })
    }

    /// The same with the state lock held.
    fn write_clean(&self) -> Result {
        if !self.wb.has_dirty.clear() && !self.wb.clean_unwritten.get() {
            return Ok(());
        }
        let written = self.dev.change_state(BdevEvent::AllClean);
        self.wb.clean_unwritten.put(written.is_err());
        if written.is_ok() {
            self.wb.dirty_refused.clear();
        }
        written
    }

    /// The writeback thread's last word while detaching, when a full scan found nothing dirty: the device leaves its set on
    /// disk. Until it has, it goes on through the attachment: if it were let go and its slot in the uuid table not made invalid
    /// either, what the set holds would be trusted when both come back, and be out of date (C goes on). May sleep; exclusive
    /// writeback lock held by the caller.
    ///
    /// # Errors
    ///
    /// `EIO` when the device refuses the write; it is attached still, and nothing of it is dirty.
    pub(crate) fn leave_set(&self) -> Result {
        let state = self.wb.state_lock.lock();
        let written = self.write_detached();
        drop(state);
        self.wb.refused.put(written.is_err());
        match written {
            Ok(()) => self.writeback_is_through(),
            Err(e) => {
                self.dev.count_superblock_error(e);
                // If it was stopped, too, that can be done.
                self.dev.registry.kick();
            }
        }
        written
    }

    /// The writeback thread's last word when the set died first. A dirty device keeps its state on disk, so that it cannot be
    /// used without its data. A clean one is detached on disk: it goes on without the set, and should that come back, what it
    /// holds is out of date (C leaves such a device CLEAN and would trust the set). May sleep.
    pub(crate) fn set_is_dead(&self) {
        let state = self.wb.state_lock.lock();
        // A set that fails is retired, which sees to its devices; but this one may have failed on its way to the end
        // that was asked for, when its devices had been told. A clean device that cannot be detached on disk must not go on
        // either: what it would take now the set would not know of when both come back.
        // The set may not have told its devices yet, or have found a first dirty write still under way.
        if self.wb.has_dirty.get() {
            self.say_stop("it has dirty data");
            self.dev.lost_data();
        } else if self.write_detached().is_err() {
            self.say_stop("it could not be detached on disk");
            self.dev.lost_data();
        }
        drop(state);
        self.writeback_is_through();
    }

    /// Says why the device is stopped, unless it is being stopped already.
    fn say_stop(&self, why: &str) {
        if !self.dev.flags.closing.get() {
            pr_warn!(
                "{}: stopped, since cache set {} has failed and {}\n",
                self.dev.disk_name(),
                self.set.uuid_text(),
                why
            );
        }
    }

    fn writeback_is_through(&self) {
        self.detach_ready.set();
        self.dev.registry.kick();
    }

    /// The device is stopped, and there is no writeback thread any more: does what that could not do. If the set is dead, a
    /// clean device leaves it on disk, for the reason that [`Self::set_is_dead`] has. So does one that was to be detached, if its
    /// disk takes the superblock: nothing more can become dirty. May sleep.
    pub(crate) fn last_word(&self) {
        let _state = self.wb.state_lock.lock();
        if self.detach_ready.get() || self.wb.has_dirty.get() {
            return;
        }
        // An error is said in the log; there is no one left to be kept from the device.
        if self.set.io_disabled() {
            let _ = self.write_detached();
        } else if self.detaching.get() {
            self.detach_ready.put(self.write_detached().is_ok());
        } else {
            let _ = self.write_clean();
        }
    }

    /// The device, of which nothing is dirty, leaves its set on disk. State lock held; may sleep.
    fn write_detached(&self) -> Result {
        self.write_clean()
            .and_then(|()| {
                self.dev
                    .change_state_and_set(BdevEvent::Detached, Uuid::NIL)
            })
            .inspect_err(|_| {
                pr_err!(
                    "{}: could not write the superblock at detach\n",
                    self.dev.name
                );
            })
    }

    /// Asks for detach (C: `bch_cached_dev_detach`). Does not wait.
    pub(crate) fn detach(&self) {
        let asked_before = self.dev.flags.closing.get() || self.detaching.set();
        // Again, too: the set may have failed since, which the thread is to see now and not after its next try.
        self.wake_writeback();
        if !asked_before {
            // Somebody has to notice if this takes long.
            self.dev.registry.kick();
        }
    }
}
