// SPDX-License-Identifier: GPL-2.0

//! The devices attached to a set, by index inode. C: `cache_set.devices`, `cached_devs`.
//!
//! A slot for each entry of the uuid table, read under RCU: the btree looks an inode up for every dirty key. Changes are
//! serialised by the register lock. Whoever leaves needs no memory for that.

use crate::{
    attach::{Attachment, Bond},
    cache_set::CacheSet,
    flag::Num,
    request::Stay, //
};
use bcache_core::{
    geometry::Geometry,
    num::usize_from_u32,
    ondisk::uuid::Uuid, //
};
use bcache_kernel::rcu::RcuArc;
use kernel::{
    alloc::KVVec,
    prelude::*,
    sync::Arc, //
};

/// The attached devices of a set.
pub(crate) struct DeviceTable {
    slots: KVVec<RcuArc<Bond>>,
    /// How many slots are taken. Changed under the register lock only.
    nr: Num,
}

impl DeviceTable {
    /// No device. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(geo: &Geometry) -> Result<Self> {
        let n = usize_from_u32(geo.nr_uuids());
        let mut slots = KVVec::with_capacity(n, GFP_KERNEL)?;
        for _ in 0..n {
            slots.push(RcuArc::new(None), GFP_KERNEL)?;
        }
        Ok(Self {
            slots,
            nr: Num::new(0),
        })
    }

    /// The slot of an index inode, unless the set has no such one.
    fn slot(&self, inode: u32) -> Option<&RcuArc<Bond>> {
        self.slots.get(usize_from_u32(inode))
    }

    /// All devices, each counted while it is looked at. May sleep in between.
    fn iter(&self) -> impl Iterator<Item = Arc<Bond>> + '_ {
        let taken = self.slots.iter().filter(|slot| !slot.is_none());
        taken.filter_map(RcuArc::load)
    }
}

impl CacheSet {
    /// Calls `f` with the attached device of an index inode, if there is one. `f` must not sleep. Any context but NMI.
    fn with_attachment<R>(&self, inode: u32, f: impl FnOnce(&Bond) -> R) -> Option<R> {
        self.devices.slot(inode)?.load_with(f)
    }

    /// A stay with the attached device of an index inode. Any context but NMI.
    pub(crate) fn stay(&self, inode: u32) -> Option<Stay> {
        self.with_attachment(inode, Stay::of).flatten()
    }

    /// Adds `sectors` (may be negative) dirty sectors from `start` on to the accounting of `inode`.
    pub(crate) fn dirty_add(&self, inode: u32, start: u64, sectors: i64) {
        self.with_attachment(inode, |att| att.wb.dirty_add(start, sectors));
    }

    /// True while a device is attached or being detached.
    pub(crate) fn has_devices(&self) -> bool {
        self.devices.nr.get() != 0
    }

    /// True if a device with this UUID is attached.
    pub(crate) fn has_device_uuid(&self, uuid: &Uuid) -> bool {
        self.devices.iter().any(|a| a.dev.uuid == *uuid)
    }

    /// Runs `f` for every attached device. May sleep if `f` does.
    pub(crate) fn for_each_device(&self, mut f: impl FnMut(&Arc<Bond>)) {
        self.devices.iter().for_each(|a| f(&a));
    }

    /// Puts a device into its slot, or nobody. Register lock held. May sleep, but not for memory.
    fn change_slot(&self, slot: &RcuArc<Bond>, att: Option<Arc<Bond>>) {
        drop(slot.replace(att));
        let (nr, sectors) = self.devices.iter().fold((0u32, 0u64), |(nr, sum), a| {
            let more = a.dev.bdev.nr_sectors();
            (nr.saturating_add(1), sum.saturating_add(more))
        });
        self.devices.nr.put(nr);
        // Also on stop, which C forgets: the share of a stopped device must not stay reserved (H5).
        self.cached_dev_sectors.put(sectors);
    }

    /// Lists an attached device. Register lock held. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if its inode is none of this set, or taken.
    pub(crate) fn add_device(&self, att: &Arc<Bond>) -> Result {
        let slot = self.devices.slot(att.inode).ok_or(EINVAL)?;
        if !slot.is_none() {
            return Err(EINVAL);
        }
        self.change_slot(slot, Some(att.clone()));
        Ok(())
    }

    /// Takes a device from the list. Register lock held. May sleep.
    pub(crate) fn remove_device(&self, att: &Attachment) {
        if let Some(slot) = self.devices.slot(att.inode) {
            self.change_slot(slot, None);
        }
    }
}
