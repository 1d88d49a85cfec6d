// SPDX-License-Identifier: GPL-2.0

//! bcache: a block layer cache (C: `drivers/md/bcache/`), in Rust.
//!
//! # What it does
//!
//! A *cache set* lives on one fast device, cut into buckets of some hundred KiB. A *backing device* is a slow one
//! with a superblock in front of its data; it appears as `/dev/bcacheN`. Attached to a set, its reads
//! are answered from the set where they can be, and its writes go to the backing device, to the set, or both, as its
//! cache mode says. Which sectors of which device lie where in the set is recorded in one btree of extents;
//! new extents reach the disk first in a journal, then in the nodes of the tree. Buckets are handed out whole, written
//! from front to end, and reused whole: a bucket's generation is stepped, which makes every pointer into it
//! stale. Garbage collection walks the tree and counts what each bucket still holds. Dirty extents are written
//! back by a thread per device, at a rate set by a controller.
//!
//! # Where to look
//!
//! | what | where |
//! |---|---|
//! | a backing device, a set, and the lists of both | `cached_dev`, `cache_set`, `registry` |
//! | registration | `register`, `superblock` |
//! | attach, and what is attached | `attach_op`, `attach`, `devices`, `uuids`, `stacking` |
//! | end of objects | `registry`, `teardown`, `ending`, `waiting`, `status` (a backing device that went away) |
//! | sysfs, debugfs | `sysfs` (one file per directory, two for a device), `stats`, `debug` |
//! | a request of the user | `request` |
//! | dirty data and its controller | `writeback` |
//! | btree, gc | `btree`, `moving_gc`, `moved` |
//! | buckets, allocator | `buckets`, `alloc`, `open_buckets`, `prio` |
//! | journal, recovery, I/O of metadata | `journal`, `recovery`, `meta_io` |
//! | module parameters, atomics, what is printed | `params`, `flag`, `show` |
//! | pure logic and on-disk formats | crate `bcache_core` (`src/core`) |
//! | what the `kernel` crate lacks | crate `bcache_kernel` (`rust/`) |
//!
//! Lock order: `docs/locks.md`.

#![deny(unsafe_code)]

use bcache_kernel::{
    kobject::{KObj, Parent},
    notifier::Reboot, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

mod alloc;
mod attach;
mod attach_op;
mod btree;
mod buckets;
mod cache_set;
mod cached_dev;
mod debug;
mod devices;
mod ending;
mod flag;
mod journal;
mod meta_io;
mod moved;
mod moving_gc;
mod open_buckets;
mod params;
mod prio;
mod recovery;
mod register;
mod registry;
mod request;
mod show;
mod stacking;
mod stats;
mod status;
mod superblock;
mod sysfs;
mod teardown;
mod uuids;
mod waiting;
mod writeback;

module! {
    type: Bcache,
    name: "bcache",
    authors: ["The bcache-rs authors"],
    description: "Block layer cache",
    license: "GPL",
}

/// The loaded module. Its presence on the reboot chain ends before everything else.
struct Bcache {
    reboot: Option<Reboot>,
    registry: Arc<registry::Registry>,
}

impl kernel::Module for Bcache {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        params::check();
        let registry = registry::Registry::new()?;
        let module = Self {
            reboot: Some(registry::reboot_notifier(&registry)?),
            registry,
        };
        module.registry.watch()?;
        // Last: from here on devices can be registered.
        let root = Arc::new(sysfs::root::Root(module.registry.clone()), GFP_KERNEL)?;
        // The lock is held meanwhile: a set that starts wants the directory.
        let mut dir = module.registry.root.lock();
        let filled = dir
            .insert(KObj::add_root(root, Parent::Fs, c"bcache")?)
            .fill();
        if filled.is_ok() {
            module.registry.open.set();
        }
        drop(dir);
        // Not with the lock: the end of the directory waits for those in its files.
        filled?;
        Ok(module)
    }
}

impl Drop for Bcache {
    fn drop(&mut self) {
        drop(self.reboot.take());
        // Waits for a register that runs; no device is registered, or the module could not be unloaded.
        // The lock is not held meanwhile: that register may want it.
        let root = self.registry.root.lock().take();
        drop(root);
        self.registry.unwatch();
        self.registry.wq.flush();
        bcache_kernel::rcu::barrier();
        bcache_kernel::rcu::wait_for_tasks();
    }
}
