// SPDX-License-Identifier: GPL-2.0

//! Watches whether a backing device is still there. C: `cached_dev_status_update` in `super.c`.

use crate::cached_dev::CachedDev;
use bcache_kernel::{
    kthread::{self, Thread},
    time::HZ, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Seconds a device may be dying before it is stopped.
const OFFLINE_SECONDS: u32 = 5;

/// Starts the thread of a running device; without it the device runs unwatched. May sleep.
pub(crate) fn watch(dev: &Arc<CachedDev>) {
    let watched = dev.clone();
    match Thread::spawn(c"bcache_status_update", move || watch_loop(&watched)) {
        Ok(thread) => *dev.status.lock() = Some(thread),
        Err(_) => pr_warn!("failed to create bcache_status_update kthread, continue to run without monitoring backing device status\n"),
    }
}

fn watch_loop(dev: &CachedDev) {
    let mut offline = 0u32;
    while !dev.flags.io_disable.get() {
        offline = if dev.bdev.queue_dying() {
            offline.saturating_add(1)
        } else {
            0
        };
        if offline >= OFFLINE_SECONDS {
            pr_err!(
                "{}: device offline for {} seconds\n",
                dev.name,
                OFFLINE_SECONDS
            );
            pr_err!(
                "{}: disable I/O request due to backing device offline\n",
                dev.disk_name()
            );
            dev.disable_io();
            dev.stop();
            return;
        }
        if kthread::sleep_or_stop(u64::from(HZ)) {
            return;
        }
    }
}
