// SPDX-License-Identifier: GPL-2.0

//! The devices attached to a set, by index inode. C: `cache_set.devices`, `cached_devs`.
//!
//! The table is immutable and published through RCU: the btree looks an inode up for every dirty key. Changes
//! make a new table and are serialised by the register lock.

use crate::{
    attach::{Attachment, Bond},
    cache_set::CacheSet,
    request::Stay, //
};
use bcache_core::ondisk::uuid::Uuid;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The attached devices of a set at one moment.
pub(crate) struct DeviceTable {
    devs: KVec<Arc<Bond>>,
}

impl CacheSet {
    /// Calls `f` with the attached device of an index inode, if there is one. `f` must not sleep. Any context but NMI.
    fn with_attachment<R>(&self, inode: u32, f: impl FnOnce(&Bond) -> R) -> Option<R> {
        let found = |table: &DeviceTable| Some(f(table.devs.iter().find(|a| a.inode == inode)?));
        self.devices.load_with(found).flatten()
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
        self.devices.load().is_some_and(|t| !t.devs.is_empty())
    }

    /// True if a device with this UUID is attached.
    pub(crate) fn has_device_uuid(&self, uuid: &Uuid) -> bool {
        self.devices
            .load()
            .is_some_and(|t| t.devs.iter().any(|a| a.dev.uuid == *uuid))
    }

    /// Runs `f` for every attached device. May sleep if `f` does.
    pub(crate) fn for_each_device(&self, mut f: impl FnMut(&Arc<Bond>)) {
        if let Some(table) = self.devices.load() {
            table.devs.iter().for_each(&mut f);
        }
    }

    /// Publishes the table without `drop_dev` and with `add`. Register lock held. May sleep.
    fn publish_devices(&self, drop_dev: Option<&Attachment>, add: Option<&Arc<Bond>>) -> Result {
        let old = self.devices.load();
        let old = old.as_ref().map_or(&[][..], |t| &t.devs[..]);
        let mut devs = KVec::with_capacity(old.len().saturating_add(1), GFP_KERNEL)?;
        for att in old {
            if !drop_dev.is_some_and(|d| core::ptr::eq(d, &***att)) {
                devs.push(att.clone(), GFP_KERNEL)?;
            }
        }
        if let Some(att) = add {
            devs.push(att.clone(), GFP_KERNEL)?;
        }
        let sectors = devs
            .iter()
            .fold(0u64, |sum, a| sum.saturating_add(a.dev.bdev.nr_sectors()));
        let table = Arc::new(DeviceTable { devs }, GFP_KERNEL)?;
        drop(self.devices.replace(Some(table)));
        // Also on stop, which C forgets: the share of a stopped device must not stay reserved (H5).
        self.cached_dev_sectors.put(sectors);
        Ok(())
    }

    /// Lists an attached device. Register lock held. May sleep.
    pub(crate) fn add_device(&self, att: &Arc<Bond>) -> Result {
        self.publish_devices(None, Some(att))
    }

    /// Takes a device from the list. Register lock held. May sleep.
    pub(crate) fn remove_device(&self, att: &Attachment) {
        // Without memory the end of a device must still come: wait for some.
        while self.publish_devices(Some(att), None).is_err() {
            bcache_kernel::time::sleep_ms(10);
        }
    }
}
