// SPDX-License-Identifier: GPL-2.0

//! Devices that lie on disks of ours.
//!
//! A whole `bcacheN` cannot be registered, a partition of it can. What must not come to be is a circle: a device
//! attached to a set whose cache lies on that device's own disk would wait for itself. C does not look.
//! Only what is directly on a disk of ours is seen, not what another driver (device mapper, loop) put between.

use crate::{
    cached_dev::{CachedDev, MINORS},
    registry::{Lists, Registry}, //
};
use bcache_kernel::block::DevT;
use kernel::sync::Arc;

/// Index of the disk of ours that `dev` is, or is a partition of.
fn disk_under(registry: &Registry, dev: DevT) -> Option<u32> {
    let (major, minor) = dev.split();
    (major == registry.major.number()).then_some(minor / MINORS)
}

/// Whether a device is one of our disks as a whole. Its directory has an entry `bcache` (that of its backing device), so
/// that nothing can be registered on it; C finds out with a warning.
pub(crate) fn is_own_disk(registry: &Registry, dev: DevT) -> bool {
    disk_under(registry, dev).is_some() && dev.split().1 % MINORS == 0
}

/// Whether I/O to `from` can reach the disk of `target`, through backing devices and caches.
pub(crate) fn lies_on(lists: &Lists, registry: &Registry, from: DevT, target: &CachedDev) -> bool {
    // Without circles so far, no way down is longer than the number of devices.
    let depth = lists.devs.len().saturating_add(1);
    reaches(lists, registry, from, target, depth)
}

fn reaches(
    lists: &Lists,
    registry: &Registry,
    from: DevT,
    target: &CachedDev,
    depth: usize,
) -> bool {
    let Some(index) = disk_under(registry, from) else {
        return false;
    };
    if index == target.minor.index() {
        return true;
    }
    let Some(depth) = depth.checked_sub(1) else {
        return true;
    };
    // A device that is just going has its number no more, another one may.
    let below = |dev: &&Arc<CachedDev>| dev.minor.index() == index && !dev.flags.freeing.get();
    lists.devs.iter().find(below).is_some_and(|dev| {
        reaches(lists, registry, dev.bdev.dev_t(), target, depth)
            || dev
                .att
                .load()
                .is_some_and(|att| reaches(lists, registry, att.set.bdev.dev_t(), target, depth))
    })
}
