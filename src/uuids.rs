// SPDX-License-Identifier: GPL-2.0

//! The table of devices of a cache set; the index of a slot is the inode of the device's keys.
//!
//! C: `uuid_read`, `__uuid_write`, `uuid_find` in `super.c`. Slots change under the register lock;
//! each write of the table goes to a fresh bucket, which counts from the journal entry on that
//! names it. A slot whose device was detached keeps a mark and is never used again, since old keys
//! with its inode may still exist.

use crate::{
    alloc::Reserve,
    cache_set::CacheSet,
    flag::Flag, //
};
use bcache_core::{
    geometry::Geometry,
    key::{
        Key,
        Pos, //
    },
    num::{
        u32_from_usize_sat,
        usize_from_u32,
        SECTOR_SHIFT, //
    },
    ondisk::uuid::{
        convert_old,
        entries,
        entries_mut,
        label_from,
        Uuid,
        UuidEntry, //
    }, //
};
use bcache_kernel::{
    block::Opf,
    dma::DmaBuf,
    time, //
};
use kernel::{
    alloc::KVVec,
    new_mutex,
    prelude::*,
    sync::Mutex, //
};

/// The devices a cache set knows. Lock order: `io`, then one of `slots` and `at` (`docs/locks.md`). gc takes `at` only:
/// who has `io` may wait for a bucket, and so for gc.
#[pin_data]
pub(crate) struct UuidTable {
    #[pin]
    slots: Mutex<KVVec<UuidEntry>>,
    /// Buffer of the table's bucket; held during I/O, and while a bucket and the journal are waited for.
    #[pin]
    io: Mutex<DmaBuf>,
    /// Where the table is on the device; without pointer before the first write.
    #[pin]
    at: Mutex<Key>,
    /// Per slot: a volume without backing device. Read on each write of data, hence apart.
    flash: KVVec<Flag>,
}

impl UuidTable {
    /// A table of free slots.
    pub(crate) fn new(geo: &Geometry) -> impl PinInit<Self, Error> {
        let (n, bytes) = (usize_from_u32(geo.nr_uuids()), geo.meta_bucket_bytes());
        try_pin_init!(Self {
            slots <- new_mutex!(
                KVVec::from_elem(UuidEntry::EMPTY, n, GFP_KERNEL)?, "UuidTable::slots"
            ),
            io <- new_mutex!(DmaBuf::new(bytes)?, "UuidTable::io"),
            at <- new_mutex!(Key::ZERO, "UuidTable::at"),
            flash: flags(n)?,
        }? Error)
    }

    /// Runs `f` on a slot.
    fn change(&self, slot: u32, f: impl FnOnce(&mut UuidEntry)) {
        let mut slots = self.slots.lock();
        let Some(entry) = slots.get_mut(usize_from_u32(slot)) else {
            return;
        };
        f(entry);
        if let Some(flash) = self.flash.get(usize_from_u32(slot)) {
            flash.put(entry.flash_only());
        }
    }
}

/// As many cleared flags.
fn flags(n: usize) -> Result<KVVec<Flag>> {
    let mut v = KVVec::with_capacity(n, GFP_KERNEL)?;
    for _ in 0..n {
        v.push(Flag::new(false), GFP_KERNEL)?;
    }
    Ok(v)
}

/// The table of devices. Changes are in memory until [`CacheSet::uuid_write`]; register lock held
/// for them.
impl CacheSet {
    /// Whether the slot is a volume without backing device. Any context.
    pub(crate) fn uuid_is_flash(&self, slot: u32) -> bool {
        self.uuids
            .flash
            .get(usize_from_u32(slot))
            .is_some_and(Flag::get)
    }

    /// The slot of a device.
    pub(crate) fn uuid_find(&self, uuid: &Uuid) -> Option<u32> {
        let slots = self.uuids.slots.lock();
        let slot = slots.iter().position(|e| e.uuid == *uuid)?;
        Some(u32_from_usize_sat(slot))
    }

    /// Gives a free slot to a device; `flash` is the size of a volume without backing device, in
    /// sectors.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if no slot was never used.
    pub(crate) fn uuid_assign(&self, uuid: &Uuid, label: &[u8], flash: Option<u64>) -> Result<u32> {
        let slot = self.uuid_find(&Uuid::NIL).ok_or(ENOSPC)?;
        let now = time::real_seconds_u32();
        self.uuids.change(slot, |e| {
            *e = UuidEntry {
                uuid: *uuid,
                label: label_from(label),
                ..UuidEntry::EMPTY
            };
            e.first_reg.set(now);
            e.last_reg.set(now);
            e.set_flash_only(flash.is_some());
            e.sectors.set(flash.unwrap_or(0));
        });
        Ok(slot)
    }

    /// The device of a slot is attached again.
    pub(crate) fn uuid_reuse(&self, slot: u32, label: &[u8]) {
        let now = time::real_seconds_u32();
        self.uuids.change(slot, |e| {
            e.label = label_from(label);
            e.last_reg.set(now);
        });
    }

    /// The device of a slot is detached; the slot is spent.
    pub(crate) fn uuid_invalidate(&self, slot: u32) {
        let now = time::real_seconds_u32();
        self.uuids.change(slot, |e| {
            e.uuid = Uuid::INVALID;
            e.invalidated.set(now);
        });
    }

    /// A slot that was given to a device no key of which was ever made is free again.
    pub(crate) fn uuid_give_back(&self, slot: u32) {
        self.uuids.change(slot, |e| *e = UuidEntry::EMPTY);
    }

    /// Sets the label of a slot: the bytes given, the rest zeroed.
    pub(crate) fn uuid_set_label(&self, slot: u32, label: &[u8]) {
        self.uuids.change(slot, |e| e.label = label_from(label));
    }

    /// Writes the table and waits until the journal names its new bucket. May sleep for a bucket
    /// and the journal.
    ///
    /// # Errors
    ///
    /// `EIO` once the set is dead.
    pub(crate) fn uuid_write(&self) -> Result {
        let mut io = self.uuids.io.lock();
        let pin = self.bucket_alloc(Reserve::Btree, true)?;
        {
            let slots = self.uuids.slots.lock();
            let out = entries_mut(io.as_mut_slice());
            for (to, from) in out.iter_mut().zip(slots.iter()) {
                *to = *from;
            }
        }
        let len = io.len();
        let start = self.geo.bucket_start(pin.nr());
        self.meta_write(start, &io, 0..len, Opf::SYNC)
            .inspect_err(|_| self.set_error(format_args!("accessing uuids")))?;
        let sectors = u32_from_usize_sat(len >> SECTOR_SHIFT);
        let key = Key::node(Pos::MIN, sectors, pin.ptr());
        self.journal.set_uuid_bucket(key);
        self.journal.meta(self, true)?;
        let old = core::mem::replace(&mut *self.uuids.at.lock(), key);
        if let Some(b) = old.ptr().and_then(|p| self.buckets.bucket_of(p)) {
            self.bucket_free(b);
        }
        Ok(())
    }

    /// Reads the table that the newest journal entry names; `old_format` if that entry is of
    /// version 0.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the key cannot be one, `EIO`.
    pub(crate) fn uuid_read(&self, key: &Key, old_format: bool) -> Result {
        if !key.node_ok(&self.geo) {
            return Err(EINVAL);
        }
        let ptr = key.ptr().ok_or(EINVAL)?;
        let mut io = self.uuids.io.lock();
        // C reads as much as the key says, into a buffer of this size.
        let len = usize_from_u32(key.size())
            .saturating_mul(1 << SECTOR_SHIFT)
            .min(io.len());
        self.meta_read(ptr.sector(), &mut io, 0..len)
            .inspect_err(|_| self.set_error(format_args!("accessing uuids")))?;
        if old_format {
            convert_old(io.as_mut_slice());
        }
        for (slot, entry) in entries(io.as_slice()).iter().enumerate() {
            self.uuids.change(u32_from_usize_sat(slot), |e| *e = *entry);
        }
        *self.uuids.at.lock() = *key;
        self.journal.set_uuid_bucket(*key);
        Ok(())
    }

    /// gc: the bucket of the table is metadata.
    pub(crate) fn uuid_mark_bucket(&self) {
        let key = *self.uuids.at.lock();
        if let Some(b) = key.ptr().and_then(|p| self.buckets.bucket_of(p)) {
            self.buckets.mark_metadata(b);
        }
    }
}
