// SPDX-License-Identifier: GPL-2.0

//! Taking a device in through `/sys/fs/bcache/register`. C: `register_bcache` in `super.c`.

use crate::{
    attach_op,
    cache_set::CacheSet,
    cached_dev::CachedDev,
    debug::{DeviceDir, TeardownFile},
    registry::{Lists, Registry},
    show::Shown,
    stacking,
    superblock::{SbFile, SB_BYTES},
    sysfs,
    teardown,
    waiting::Waiting, //
};
use bcache_core::ondisk::superblock::{
    BadSuperblock,
    BdevState,
    Superblock, //
};
use bcache_kernel::{
    block::{self, Bdev, SbPage},
    crc64::crc64_be,
    kobject::AsKobj,
    module::ModuleRef,
    time::{self, HZ}, //
};
use kernel::{
    prelude::*,
    str::{BStr, CString},
    sync::{Arc, MutexGuard}, //
};

/// Why a registration failed: the errno for the writer and the words for the log.
struct Refused(Error, Words);

/// The words of a refusal.
enum Words {
    Text(&'static str),
    Superblock(BadSuperblock),
}

impl core::fmt::Display for Words {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Words::Text(text) => f.write_str(text),
            Words::Superblock(bad) => bad.fmt(f),
        }
    }
}

fn refuse<T>(errno: Error, text: &'static str) -> Result<T, Refused> {
    Err(Refused(errno, Words::Text(text)))
}

/// Registers the device whose path was written. `quiet`: a device that is registered already, or that somebody else has
/// claimed, is no error. May sleep long (recovery of a set).
///
/// # Errors
///
/// `EINVAL` if no device can be opened at the path, if it cannot be read, or if this driver cannot use what it has for
/// a superblock; `EBUSY` if it is registered already or claimed by somebody else, or if the machine or the module goes
/// down; `ENODEV` if a set of the same UUID is registered, or if the set could not be started; `EPERM` if the cache has
/// too few buckets; `ENOMEM`; else what claiming or starting the device gives.
pub(crate) fn register(registry: &Arc<Registry>, text: &[u8], quiet: bool) -> Result {
    let path = text.split(|&b| b == 0).next().unwrap_or_default();
    let path = path.trim_ascii();
    let name = BStr::from_bytes(path);
    // The directory does not keep the module loaded.
    let _module = ModuleRef::try_get().ok_or(EBUSY)?;
    // Whoever finds the file before the others are there waits for them: without them the module goes again.
    drop(registry.root.lock());
    if !registry.open.get() {
        return Err(EBUSY);
    }
    if registry.rebooting() {
        pr_info!("error {}: bcache is in reboot\n", name);
        return Err(EBUSY);
    }
    match register_path(registry, path) {
        Ok(()) => Ok(()),
        Err(Refused(e, Words::Text(ALREADY | BUSY))) if quiet && e == EBUSY => Ok(()),
        Err(Refused(e, words)) => {
            pr_info!("error {}: {}\n", name, Shown(words));
            Err(e)
        }
    }
}

/// How long to wait for the end of a device that is being freed.
const GONE_SECONDS: u64 = 10;

const ALREADY: &str = "device already registered";
const BUSY: &str = "device busy";
const NO_MEMORY: &str = "cannot allocate memory";
const FAILED: &str = "failed to register device";

fn register_path(registry: &Arc<Registry>, path: &[u8]) -> Result<(), Refused> {
    let Ok(path) = c_string(path) else {
        return refuse(ENOMEM, NO_MEMORY);
    };
    // A first look without claiming the device: a disk that is not bcache's must not be disturbed.
    let Ok(probe) = Bdev::open_readonly(&path) else {
        return refuse(EINVAL, "failed to open device");
    };
    read_super(&probe)?;
    let dev_t = probe.dev_t();
    if stacking::is_own_disk(registry, dev_t) {
        return refuse(
            EINVAL,
            "a bcache disk cannot be used as a whole, only its partitions",
        );
    }
    drop(probe);
    let bdev = match Bdev::open_exclusive(dev_t) {
        Ok(bdev) => bdev,
        Err(e) if e == EBUSY => {
            let known = is_registered(registry, dev_t);
            return refuse(EBUSY, if known { ALREADY } else { BUSY });
        }
        Err(e) => return refuse(e, FAILED),
    };
    // A device that was stopped is closed first and leaves the lists, and sysfs, a little later.
    let gone = || !is_registered(registry, dev_t);
    if !registry
        .gone
        .wait_until_timeout(gone, GONE_SECONDS.saturating_mul(u64::from(HZ)))
    {
        return refuse(EBUSY, BUSY);
    }
    // Read again: between the look and the claim somebody else could write.
    let (page, sb) = read_super(&bdev)?;
    let result = if sb.is_bdev() {
        register_bdev(registry, &bdev, page, sb)
    } else {
        register_cache(registry, &bdev, page, sb)
    };
    result.map_err(|e| Refused(e, Words::Text(FAILED)))
}

/// The bytes of a path, which need not be text, as a C string. There is no NUL among them.
fn c_string(path: &[u8]) -> Result<CString> {
    let mut bytes = KVec::with_capacity(path.len().saturating_add(1), GFP_KERNEL)?;
    bytes.extend_from_slice(path, GFP_KERNEL)?;
    bytes.push(0, GFP_KERNEL)?;
    let path = CStr::from_bytes_with_nul(&bytes).map_err(|_| EINVAL)?;
    Ok(CString::try_from(path)?)
}

fn read_super(bdev: &Arc<Bdev>) -> Result<(SbPage, KBox<Superblock>), Refused> {
    let page = match SbPage::read(bdev) {
        Ok(page) => page,
        Err(e) if e == ENOMEM => return refuse(ENOMEM, NO_MEMORY),
        Err(_) => return refuse(EINVAL, "IO error"),
    };
    let Ok(mut raw) = KBox::new([0u8; SB_BYTES], GFP_KERNEL) else {
        return refuse(ENOMEM, NO_MEMORY);
    };
    page.copy_to(&mut raw);
    let mut sb = Superblock::parse(
        crc64_be,
        &raw,
        bdev.logical_block_size(),
        bdev.disk_sectors(),
    )
    .map_err(|bad| Refused(EINVAL, Words::Superblock(bad)))?;
    sb.last_mount = time::real_seconds_u32();
    let Ok(sb) = KBox::new(sb, GFP_KERNEL) else {
        return refuse(ENOMEM, NO_MEMORY);
    };
    Ok((page, sb))
}

fn is_registered(registry: &Registry, dev: block::DevT) -> bool {
    let lists = registry.inner.lock();
    lists.sets.iter().any(|s| s.bdev.dev_t() == dev)
        || lists.devs.iter().any(|d| d.bdev.dev_t() == dev)
}

/// The register lock. A reboot that began since the first look stops what is in the lists now, and nothing that comes later.
fn lock_unless_rebooting(registry: &Registry) -> Result<MutexGuard<'_, Lists>> {
    let lists = registry.inner.lock();
    if registry.rebooting() {
        return Err(EBUSY);
    }
    Ok(lists)
}

/// Takes in a backing device (C: `register_bdev`).
fn register_bdev(
    registry: &Arc<Registry>,
    bdev: &Arc<Bdev>,
    page: SbPage,
    sb: KBox<Superblock>,
) -> Result {
    let mut lists = lock_unless_rebooting(registry)?;
    lists.devs.reserve(1, GFP_KERNEL)?;
    let dev = CachedDev::new(registry, bdev, SbFile::new(page, sb)?)?;
    let mut dirs = None;
    if let Err(e) = add_dirs(&dev, &mut dirs) {
        pr_notice!("error {}: error creating kobject ({:?})\n", dev.name, e);
        // Who is inside a file already waits for the lock, and then does nothing with a device that stops.
        dev.flags.closing.set();
        drop(lists);
        drop(dirs);
        teardown::discard_dev(&dev);
        return Err(e);
    }
    *dev.sysfs.lock() = dirs;
    pr_info!("registered backing device {}\n", dev.name);
    lists.devs.push(dev.clone(), GFP_KERNEL)?;
    attach_to_known_set(&lists, &dev);
    let attached = dev.att.load().is_some();
    if !attached && matches!(dev.state(), BdevState::None | BdevState::Stale) {
        if let Err(e) = attach_op::run(&dev) {
            pr_notice!("error {}: failed to run cached device\n", dev.name);
            dev.stop();
            return Err(e);
        }
    }
    Ok(())
}

/// Attaches to a set that is there already. Its failure is no failure of the registration, as in C.
fn attach_to_known_set(lists: &Lists, dev: &Arc<CachedDev>) {
    for set in lists.sets.iter() {
        if attach_op::attach(lists, dev, set, None).is_ok() {
            return;
        }
    }
}

/// Makes the directories of a device; what was made before an error is in `dirs`, too.
fn add_dirs(dev: &Arc<CachedDev>, dirs: &mut Option<sysfs::DevDirs>) -> Result {
    dirs.insert(sysfs::DevDirs::add(dev)?).fill(dev)?;
    *dev.debug.lock() = Some(DeviceDir::new(dev)?);
    Ok(())
}

/// Takes in a cache device and starts its set (C: `register_cache`).
fn register_cache(
    registry: &Arc<Registry>,
    bdev: &Arc<Bdev>,
    page: SbPage,
    sb: KBox<Superblock>,
) -> Result {
    let name = bdev.name();
    let mut lists = lock_unless_rebooting(registry)?;
    lists.sets.reserve(1, GFP_KERNEL)?;
    if lists.sets.iter().any(|s| s.set_uuid == sb.set_uuid) {
        pr_notice!("error {}: duplicate cache set member\n", name);
        return Err(ENODEV);
    }
    let set = match CacheSet::new(registry, bdev, page, sb) {
        Ok(set) => set,
        Err(e) => {
            let why = match e {
                e if e == EPERM => "cache device is too small",
                e if e == ENOMEM => "-ENOMEM",
                _ => "unknown error",
            };
            pr_notice!("error {}: cache_alloc(): {}\n", name, why);
            return Err(e);
        }
    };
    if let Err(e) = start_set(registry, &set) {
        pr_notice!("error {}: failed to run cache set ({:?})\n", name, e);
        teardown::close_set(&set, &Waiting::begin(&set));
        drop(set.sysfs.lock().take());
        return Err(ENODEV);
    }
    lists.sets.push(set.clone(), GFP_KERNEL)?;
    attach_waiting(&lists, &set);
    pr_info!("registered cache device {}\n", name);
    // An error during the start of the devices may have been kicked before the set was listed.
    registry.kick();
    Ok(())
}

fn start_set(registry: &Registry, set: &Arc<CacheSet>) -> Result {
    set.run()?;
    let root = registry.root.lock();
    let root: &dyn AsKobj = root.as_ref().ok_or(ENODEV)?;
    *set.sysfs.lock() = Some(sysfs::SetDirs::add(set, root)?);
    *set.debug.lock() = Some(TeardownFile::new(set)?);
    Ok(())
}

/// Attaches the devices that wait for this set.
fn attach_waiting(lists: &Lists, set: &Arc<CacheSet>) {
    for dev in lists.devs.iter().filter(|d| d.att.load().is_none()) {
        // A device of another set answers ENOENT; what else goes wrong has been logged.
        let _ = attach_op::attach(lists, dev, set, None);
    }
}

/// Stops the devices that wait for a set that is not registered (C: `bch_pending_bdevs_cleanup`).
pub(crate) fn cleanup_pending(registry: &Registry) -> Result {
    let lists = registry.inner.lock();
    for dev in lists.devs.iter().filter(|d| d.att.load().is_none()) {
        let named = dev.sb.with(|sb| sb.set_uuid);
        if !lists.sets.iter().any(|s| s.set_uuid == named) {
            dev.stop();
        }
    }
    Ok(())
}
