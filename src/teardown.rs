// SPDX-License-Identifier: GPL-2.0

//! How devices, attachments and sets end.
//!
//! # The rule
//!
//! Nothing is freed while something else can reach it. Each step below first closes an entrance (no new
//! request, no new attach, no re-arming of the rate work), then waits for whoever is inside, and only then
//! takes the object apart. The steps are claimed by `registry.rs` and run in process context, holding no lock at
//! the start.
//!
//! | step | closes | waits for | then |
//! |---|---|---|---|
//! | [`finish_detach`] | rate work (one way), gate of the attachment | rate work, writeback thread, requests | uuid slot invalid, links gone, set reference dropped |
//! | [`free_dev`] | disk (deleted), gates | requests, writeback | disk put, device closed, then sysfs gone |
//! | [`stop_devices`] | attach (flag `stopping`) | - | devices detach or stop |
//! | [`finish_set`] | - (no device left) | gc, flusher, allocator, journal threads | device closed, then sysfs gone |
//!
//! Whatever of it can take time is a [`Stage`] and so can be seen, and said, while it does. Who waits for the register lock
//! before a step can be claimed is the registry's work, which says so, too.

use crate::{
    attach::{Attachment, Bond},
    cache_set::CacheSet,
    cached_dev::CachedDev,
    waiting::{Stage, Waiting}, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The writeback thread is through: the device leaves its set (C: `cached_dev_detach_finish`).
pub(crate) fn finish_detach(att: &Arc<Bond>) {
    let Some(mut end) = Attachment::end(att) else {
        return;
    };
    let waiting = Waiting::begin(&att.dev);
    end.stop_writeback(&waiting);
    end.quiesce(&waiting);
    end.unlink(&waiting, true);
    drop(waiting);
    pr_info!("Caching disabled for {}\n", att.dev.name);
    if att.set.registry.rebooting() {
        // Those that were attached when the machine began to go down were left to their sets.
        att.dev.stop();
    }
    if att.set.io_disabled() && !att.dev.flags.closing.get() {
        // It may have been on its way out before its set told its devices.
        stop_if_always(&att.set, &att.dev);
    }
    att.set.registry.kick();
}

/// A stopped device that nobody has open is taken apart (C: `cached_dev_flush`, `cached_dev_free`).
pub(crate) fn free_dev(dev: &Arc<CachedDev>) {
    let waiting = Waiting::begin(dev);
    waiting.wait_for(Stage::StatusThread);
    let watcher = dev.status.lock().take();
    drop(watcher);
    let att = dev.att.load();
    if let Some(att) = &att {
        crate::sysfs::unlink_holder(att);
    }
    waiting.wait_for(Stage::Disk);
    // Not under its lock, which a store to a file of the device may want: what is in the page cache is written first.
    let disk = dev.disk.lock().take();
    if let Some(disk) = &disk {
        if dev.flags.holder_linked.clear() {
            disk.unlink_holder(&dev.bdev);
        }
        disk.del();
    }
    if let Some(mut end) = att.as_ref().and_then(Attachment::end) {
        end.quiesce(&waiting);
        end.stop_writeback(&waiting);
        waiting.wait_for(Stage::Superblock);
        end.attachment().last_word();
        // Its detach may have come to its end meanwhile.
        let detached = end.attachment().detach_ready.get();
        end.unlink(&waiting, detached);
    }
    if let Some(att) = att.filter(|att| att.detaching.get() && att.wb.has_dirty.get()) {
        pr_warn!(
            "{}: stopped instead of detached, since it takes no data; what is dirty stays in cache set {}\n",
            dev.name,
            att.set.uuid_text()
        );
    }
    dev.gate.close();
    waiting.wait_for(Stage::DirectRequests);
    dev.gate.wait_idle();
    waiting.wait_for(Stage::Disk);
    drop(disk);
    // Not with the last reference, which may go later: who registers the device again expects the same disk.
    dev.minor.give_back();
    pr_info!("{} stopped\n", dev.disk_name());
    waiting.wait_for(Stage::Backing);
    dev.sb.close();
    dev.bdev.close_sync();
    waiting.wait_for(Stage::Files);
    let dirs = dev.sysfs.lock().take();
    drop(dirs);
    let file = dev.debug.lock().take();
    drop(file);
    waiting.wait_for(Stage::Lists);
    let mut lists = dev.registry.inner.lock();
    lists.devs.retain(|d| !Arc::ptr_eq(d, dev));
    drop(lists);
    drop(waiting);
    dev.registry.gone.wake_all();
    dev.registry.kick();
}

/// A device that was never listed is taken apart: its disk and it hold each other.
pub(crate) fn discard_dev(dev: &CachedDev) {
    let disk = dev.disk.lock().take();
    drop(disk);
    dev.bdev.close_sync();
}

/// Stops a device whose user wants it to end with its set, whatever is dirty; says whether that is so.
fn stop_if_always(set: &CacheSet, dev: &CachedDev) -> bool {
    let stops = dev.tun.stop_when_cache_set_failed.get() == 1;
    if stops {
        pr_warn!(
            "stop_when_cache_set_failed of {} is \"always\", stop it for failed cache set {}.\n",
            dev.disk_name(),
            set.uuid_text()
        );
        dev.stop();
    }
    stops
}

/// Whether the failure of its set stops this device too (C: `conditional_stop_bcache_device`).
fn stop_after_set_failure(set: &CacheSet, att: &Attachment) {
    let dev = &att.dev;
    let name = dev.disk_name();
    // A first dirty write that is just under way is not waited for, with the register lock held: the writeback thread's last word
    // comes after it.
    let dirty = att.wb.has_dirty.get();
    if dirty {
        dev.lost_data();
    }
    if stop_if_always(set, dev) {
        return;
    }
    if dirty {
        pr_warn!(
            "stop_when_cache_set_failed of {} is \"auto\" and cache is dirty, stop it to avoid potential data corruption.\n",
            name
        );
    } else {
        pr_warn!(
            "stop_when_cache_set_failed of {} is \"auto\" and cache is clean, keep it alive.\n",
            name
        );
    }
}

/// The set stops: its devices detach (unregister) or stop with it (C: `__cache_set_unregister`).
pub(crate) fn stop_devices(set: &Arc<CacheSet>) {
    let lists = set.registry.inner.lock();
    for dev in lists.devs.iter() {
        let Some(att) = dev.att.load() else { continue };
        if !Arc::ptr_eq(&att.set, set) {
            continue;
        }
        if set.flags.unregistering.get() {
            att.detach();
            if set.io_disabled() {
                stop_after_set_failure(set, &att);
            }
        } else {
            dev.stop();
        }
    }
    drop(lists);
    set.registry.kick();
}

/// No device is left: the set writes what it must and closes its device (C: `cache_set_flush`, `cache_set_free`).
pub(crate) fn finish_set(set: &Arc<CacheSet>) {
    let waiting = Waiting::begin(set);
    close_set(set, &waiting);
    waiting.wait_for(Stage::Workers);
    // Workers that are just leaving may still hold the set, and must not be the last: its end destroys
    // the queue they run on.
    set.wq.flush();
    waiting.wait_for(Stage::Files);
    let dirs = set.sysfs.lock().take();
    drop(dirs);
    let file = set.debug.lock().take();
    drop(file);
    waiting.wait_for(Stage::Lists);
    let mut lists = set.registry.inner.lock();
    lists.sets.retain(|s| !Arc::ptr_eq(s, set));
    drop(lists);
    drop(waiting);
    pr_info!("Cache set {} unregistered\n", set.uuid_text());
    set.registry.gone.wake_all();
    set.registry.kick();
}

/// Stops the threads of a set in the order of who needs whom and closes its device. Also the way back
/// of a start that failed.
pub(crate) fn close_set(set: &Arc<CacheSet>, waiting: &Waiting<CacheSet>) {
    set.flags.stopping.set();
    set.wake_all();
    waiting.wait_for(Stage::Gc);
    set.gc_stop();
    waiting.wait_for(Stage::BtreeWrites);
    if !set.io_disabled() && set.btree_flush_all().is_err() {
        pr_err!("{}: could not write all btree nodes\n", set.uuid_text());
    }
    set.btree_stop();
    waiting.wait_for(Stage::Allocator);
    set.allocator_stop();
    waiting.wait_for(Stage::Journal);
    // Writes the last entry if the set is alive.
    set.journal_stop();
    waiting.wait_for(Stage::Cache);
    set.sb.close();
    set.bdev.close_sync();
}
