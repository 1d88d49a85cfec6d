// SPDX-License-Identifier: GPL-2.0

//! The directories and links of a device and of a set, as values whose drop removes them.
//!
//! Field order is removal order: what lies inside goes first.

use super::{
    cache::CacheDir,
    internal::Internal,
    stats::{Owner, StatsDir, PERIODS}, //
};
use crate::{
    attach::Attachment,
    cache_set::CacheSet,
    cached_dev::CachedDev, //
};
use bcache_kernel::{
    kobject::{AsKobj, KObj, Parent}, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::Arc, //
};

/// The four statistics directories below `parent`.
fn stats_dirs(parent: &dyn AsKobj, owner: impl Fn() -> Owner) -> Result<KVec<KObj<StatsDir>>> {
    let mut dirs = KVec::with_capacity(PERIODS.len(), GFP_KERNEL)?;
    for (period, name) in PERIODS {
        let dir = StatsDir {
            owner: owner(),
            period,
        };
        let data = Arc::new(dir, GFP_KERNEL)?;
        dirs.push(KObj::add(data, Parent::Obj(parent), name)?, GFP_KERNEL)?;
    }
    Ok(dirs)
}

/// `/sys/block/<backing>/bcache` and what is below.
pub(crate) struct DevDirs {
    stats: KVec<KObj<StatsDir>>,
    pub(crate) dir: KObj<CachedDev>,
}

impl DevDirs {
    /// Makes the directory, without a file. May sleep.
    pub(crate) fn add(dev: &Arc<CachedDev>) -> Result<Self> {
        Ok(Self {
            stats: KVec::new(),
            dir: KObj::add_empty(dev.clone(), Parent::Obj(&*dev.bdev), c"bcache")?,
        })
    }

    /// Makes what is in it. May sleep. From the first file on a store may wait for the register lock, so that who has it must
    /// not drop the value, neither after an error.
    pub(crate) fn fill(&mut self, dev: &Arc<CachedDev>) -> Result {
        self.dir.fill()?;
        self.stats = stats_dirs(&self.dir, || Owner::Dev(dev.clone()))?;
        Ok(())
    }
}

/// `/sys/fs/bcache/<uuid>`, `/sys/block/<cache>/bcache` and what is below.
pub(crate) struct SetDirs {
    _stats: KVec<KObj<StatsDir>>,
    _internal: KObj<Internal>,
    _cache: KObj<CacheDir>,
    dir: KObj<CacheSet>,
}

impl SetDirs {
    /// Makes the directories. May sleep.
    pub(crate) fn add(set: &Arc<CacheSet>, root: &dyn AsKobj) -> Result<Self> {
        let name = CString::try_from_fmt(fmt!("{}", set.uuid_text()))?;
        let cache = Arc::new(CacheDir(set.clone()), GFP_KERNEL)?;
        let cache = KObj::add(cache, Parent::Obj(&*set.bdev), c"bcache")?;
        let dir = KObj::add(set.clone(), Parent::Obj(root), &name)?;
        let internal = Arc::new(Internal(set.clone()), GFP_KERNEL)?;
        let internal = KObj::add(internal, Parent::Obj(&dir), c"internal")?;
        let stats = stats_dirs(&dir, || Owner::Set(set.clone()))?;
        cache.link(c"set", &dir)?;
        let member = set.sb.with(|sb| sb.nr_this_dev);
        dir.link(&CString::try_from_fmt(fmt!("cache{member}"))?, &cache)?;
        Ok(Self {
            _stats: stats,
            _internal: internal,
            _cache: cache,
            dir,
        })
    }
}

/// `bdevI`, the name of an attached device in its set's directory.
fn slot_name(att: &Attachment) -> Result<CString> {
    CString::try_from_fmt(fmt!("bdev{}", att.inode))
}

/// Links an attached device and its set with each other (C: `bcache_device_link`). May sleep.
pub(crate) fn link_attachment(att: &Attachment) -> Result {
    let dev = att.dev.sysfs.lock();
    let set = att.set.sysfs.lock();
    let (Some(dev), Some(set)) = (dev.as_ref(), set.as_ref()) else {
        return Err(ENODEV);
    };
    set.dir.link(&slot_name(att)?, &dev.dir)?;
    dev.dir.link(c"cache", &set.dir)?;
    if let Some(disk) = att.dev.disk.lock().as_ref() {
        disk.link_holder(&att.set.bdev)?;
        att.holder_linked.set();
    }
    Ok(())
}

/// The disk no longer shows the cache device below it; has to happen before the disk is deleted. May sleep.
pub(crate) fn unlink_holder(att: &Attachment) {
    if let Some(disk) = att.dev.disk.lock().as_ref() {
        if att.holder_linked.clear() {
            disk.unlink_holder(&att.set.bdev);
        }
    }
}

/// Undoes [`link_attachment`]; links that are not there are no error. May sleep.
pub(crate) fn unlink_attachment(att: &Attachment) {
    unlink_holder(att);
    let dev = att.dev.sysfs.lock();
    let set = att.set.sysfs.lock();
    if let Some(dev) = dev.as_ref() {
        dev.dir.unlink(c"cache");
    }
    if let (Some(set), Ok(name)) = (set.as_ref(), slot_name(att)) {
        set.dir.unlink(&name);
    }
}

/// Links a running disk and its backing device's directory with each other. May sleep.
pub(crate) fn link_disk(dev: &CachedDev) -> Result {
    let dirs = dev.sysfs.lock();
    let disk = dev.disk.lock();
    let (Some(dirs), Some(disk)) = (dirs.as_ref(), disk.as_ref()) else {
        return Err(ENODEV);
    };
    dirs.dir.link(c"dev", disk)?;
    disk.link(c"bcache", &dirs.dir)
}
