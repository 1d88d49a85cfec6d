// SPDX-License-Identifier: GPL-2.0

//! Attaching a backing device to a set, and making its disk visible.
//!
//! C: `bch_cached_dev_attach`, `bch_cached_dev_run` in `super.c`. Attach is a transaction: whatever fails, all
//! that was done before is undone, and the set can be unregistered afterwards.

use crate::{
    attach::{Attachment, Bond},
    cache_set::CacheSet,
    cached_dev::CachedDev,
    registry::Lists,
    show::Shown,
    stacking,
    status,
    sysfs,
    waiting::{Stage, Waiting}, //
};
use bcache_core::{
    ondisk::{
        superblock::BdevState,
        uuid::Uuid, //
    },
    state::bdev::{self, AttachAs, BdevEvent}, //
};
use core::cell::Cell;
use kernel::{
    prelude::*,
    str::CString,
    sync::Arc,
    types::ScopeGuard, //
};

/// Attaches `dev` to `set` if the set is the one asked for: `wanted`, or else the one named in the
/// device's superblock. The caller holds the register lock. May sleep.
///
/// # Errors
///
/// `ENOENT` if it is another set, or the device is dirty and unknown to the set; `EINVAL` if the device cannot
/// be attached; `ENOMEM`, `EIO`.
pub(crate) fn attach(
    lists: &Lists,
    dev: &Arc<CachedDev>,
    set: &Arc<CacheSet>,
    wanted: Option<&Uuid>,
) -> Result {
    let named = dev.sb.with(|sb| sb.set_uuid);
    if *wanted.unwrap_or(&named) != set.set_uuid {
        return Err(ENOENT);
    }
    check(lists, dev, set)?;
    let slot = take_slot(dev, set)?;
    let inode = slot.inode;
    let undo_slot = ScopeGuard::new(|| slot.give_back(dev, set));
    let att = Attachment::new(dev, set, inode)?;
    att.recount_dirty()?;
    set.add_device(&att)?;
    let undo_table = ScopeGuard::new(|| set.remove_device(&att));
    if dev.state() == BdevState::Dirty {
        att.was_dirty()?;
    }
    Attachment::start_writeback(&att)?;
    let was_running = dev.tun.writeback_running.get();
    let undo_writeback = ScopeGuard::new(|| {
        undo_start(dev, &att);
        dev.tun.writeback_running.put(was_running);
    });
    make_visible(dev, &att, &slot)?;
    if let Err(e) = sysfs::link_attachment(&att) {
        pr_err!("{}: could not make the sysfs links: {:?}\n", dev.name, e);
    }
    undo_writeback.dismiss();
    undo_table.dismiss();
    undo_slot.dismiss();
    if set.sb.with(|sb| sb.has_obso_large_bucket()) {
        pr_err!("The obsoleted large bucket layout is unsupported, set the bcache device into read-only\n");
        pr_err!("Please update to the latest bcache-tools to create the cache device\n");
        if let Some(disk) = dev.disk.lock().as_ref() {
            disk.set_ro(true);
        }
    }
    att.wake_writeback();
    pr_info!(
        "Caching {} as {} on set {}\n",
        dev.name,
        dev.disk_name(),
        set.uuid_text()
    );
    Ok(())
}

/// The refusals of C, in its order and words, and one more.
fn check(lists: &Lists, dev: &CachedDev, set: &CacheSet) -> Result {
    if dev.att.load().is_some() {
        pr_err!("Can't attach {}: already attached\n", dev.name);
        return Err(EINVAL);
    }
    if set.flags.stopping.get() || dev.flags.closing.get() {
        pr_err!("Can't attach {}: shutting down\n", dev.name);
        return Err(EINVAL);
    }
    let block_sectors = dev.sb.with(|sb| u32::from(sb.block_size));
    if block_sectors < set.geo.block_sectors() {
        pr_err!(
            "Couldn't attach {}: block size less than set's block size\n",
            dev.name
        );
        return Err(EINVAL);
    }
    if set.has_device_uuid(&dev.uuid) {
        pr_err!(
            "Tried to attach {} but duplicate UUID already attached\n",
            dev.name
        );
        return Err(EINVAL);
    }
    if stacking::lies_on(lists, &dev.registry, set.bdev.dev_t(), dev) {
        pr_err!(
            "Can't attach {}: the cache lies on its own disk {}\n",
            dev.name,
            dev.disk_name()
        );
        return Err(EINVAL);
    }
    Ok(())
}

/// Takes back that writeback was started and the attachment published, of a disk that nobody has seen; nobody else can have claimed its end
/// under the register lock.
fn undo_start(dev: &Arc<CachedDev>, att: &Arc<Bond>) {
    if let Some(mut end) = Attachment::end(att) {
        let waiting = Waiting::begin(dev);
        end.quiesce(&waiting);
        end.stop_writeback(&waiting);
    }
    drop(dev.att.replace(None));
}

/// The uuid slot that a device attaches in.
struct Slot {
    inode: u32,
    /// What the superblock of the device said before, if the slot is new.
    before: Option<(Uuid, BdevState)>,
    /// Keys of the device may have been made.
    used: Cell<bool>,
}

/// Finds or makes the uuid slot of the device and writes what attach writes.
fn take_slot(dev: &CachedDev, set: &CacheSet) -> Result<Slot> {
    let (named, state, label) = dev.sb.with(|sb| (sb.set_uuid, sb.state(), sb.label));
    let of_this_set = named == set.set_uuid;
    let slot = set.uuid_find(&dev.uuid);
    // What another set has of the device counts as nothing.
    match (bdev::attach_as(state, of_this_set && slot.is_some()), slot) {
        (AttachAs::Known, Some(inode)) => {
            set.uuid_reuse(inode, &label);
            set.uuid_write()?;
            return Ok(Slot {
                inode,
                before: None,
                used: Cell::new(false),
            });
        }
        (AttachAs::Known | AttachAs::Refused, _) => {
            pr_err!("Couldn't find uuid for {} in set\n", dev.name);
            return Err(ENOENT);
        }
        // What the set still holds for this device is out of date.
        (AttachAs::New, Some(old)) => set.uuid_invalidate(old),
        (AttachAs::New, None) => (),
    }
    let inode = set.uuid_assign(&dev.uuid, &label, None).map_err(|_| {
        pr_err!("Not caching {}, no room for UUID\n", dev.name);
        EINVAL
    })?;
    let slot = Slot {
        inode,
        before: Some((named, state)),
        used: Cell::new(false),
    };
    let set_uuid = set.set_uuid;
    set.uuid_write()
        .and_then(|()| dev.change_state_and_set(BdevEvent::AttachNew, set_uuid))
        .inspect_err(|_| slot.give_back(dev, set))?;
    Ok(slot)
}

impl Slot {
    /// Undoes [`take_slot`] after a later step of attach failed.
    fn give_back(&self, dev: &CachedDev, set: &CacheSet) {
        let Some((set_uuid, state)) = self.before else {
            return;
        };
        if self.used.get() {
            set.uuid_invalidate(self.inode);
        } else {
            set.uuid_give_back(self.inode);
        }
        let uuids = set.uuid_write();
        let sb = dev.sb.update(|sb| {
            sb.set_uuid = set_uuid;
            sb.set_state(state);
        });
        if uuids.is_err() || sb.is_err() {
            pr_err!("{}: could not undo a failed attach on disk\n", dev.name);
        }
    }
}

/// Lets requests into the attachment. Requests that went straight to the backing device are waited for before
/// the first fill of the cache: a read could else cache what such a write is just replacing.
fn publish(dev: &Arc<CachedDev>, att: &Arc<Bond>) {
    att.warming.set();
    drop(dev.att.replace(Some(att.clone())));
    // No end of the device is under way: it would have to have been claimed under the register lock.
    let waiting = Waiting::begin(dev);
    waiting.wait_for(Stage::DirectRequests);
    dev.gate.close();
    dev.gate.wait_idle();
    dev.gate.reopen();
    drop(waiting);
    att.warming.clear();
    dev.tun.writeback_running.set();
}

/// Publishes the attachment and makes the disk visible, unless it is.
///
/// A disk that is in use already may have acknowledged a dirty write as soon as the attachment is published, which
/// must not be undone any more: all that can fail for it is looked at before.
///
/// # Errors
///
/// As [`run`], but for `EBUSY`.
fn make_visible(dev: &Arc<CachedDev>, att: &Arc<Bond>, slot: &Slot) -> Result {
    let visible = can_run(dev).and_then(|()| {
        slot.used.set(true);
        publish(dev, att);
        if dev.flags.running.get() {
            pr_info!("cached dev {} is running already\n", dev.name);
            return Ok(());
        }
        run(dev)
    });
    visible.inspect_err(|_| pr_err!("Couldn't run cached device {}\n", dev.name))
}

/// Whether the device may serve requests, or goes on doing so.
fn can_run(dev: &CachedDev) -> Result {
    if dev.flags.io_disable.get() || dev.flags.closing.get() {
        pr_err!("I/O disabled on cached dev {}\n", dev.name);
        return Err(EIO);
    }
    Ok(())
}

/// Makes the disk visible (C: `bch_cached_dev_run`). The caller holds the register lock. May sleep.
///
/// # Errors
///
/// `EIO` if I/O is disabled, `EBUSY` if it runs already, else what adding the disk failed with.
pub(crate) fn run(dev: &Arc<CachedDev>) -> Result {
    can_run(dev)?;
    if dev.flags.running.set() {
        pr_info!("cached dev {} is running already\n", dev.name);
        return Err(EBUSY);
    }
    let result = add_disk(dev);
    if result.is_err() {
        dev.flags.running.clear();
    }
    result
}

fn add_disk(dev: &Arc<CachedDev>) -> Result {
    if dev.att.load().is_none() && !dev.runs_alone() {
        // What its set holds is out of date from now on.
        dev.change_state(BdevEvent::ForceRun)?;
    }
    {
        let mut slot = dev.disk.lock();
        let disk = match slot.take() {
            Some(disk) => disk,
            None => CachedDev::new_disk(dev)?,
        };
        // A disk that could not be added cannot be added again: the next try has a new one.
        disk.add()?;
        let disk = slot.insert(disk);
        match disk.link_holder(&dev.bdev) {
            Ok(()) => drop(dev.flags.holder_linked.set()),
            Err(e) => pr_err!("{}: no holder link: {:?}\n", dev.name, e),
        }
    }
    announce(dev);
    if sysfs::link_disk(dev).is_err() {
        pr_err!("Couldn't create bcache dev <-> disk sysfs symlinks\n");
    }
    status::watch(dev);
    Ok(())
}

/// Tells udev the uuid and label of the disk (uevent CHANGE). May sleep.
pub(crate) fn announce(dev: &CachedDev) {
    let label = dev.sb.with(|sb| sb.label);
    let label = label.split(|&b| b == 0).next().unwrap_or_default();
    if let Some(disk) = dev.disk.lock().as_ref() {
        let sent = CString::try_from_fmt(fmt!("{}", Shown(dev.uuid))).and_then(|uuid| {
            disk.uevent_change(&[
                (c"DRIVER", b"bcache"),
                (c"CACHED_UUID", uuid.to_bytes()),
                (c"CACHED_LABEL", label),
            ])
        });
        if sent.is_err() {
            pr_warn!("{}: could not send an uevent\n", dev.name);
        }
    }
}
