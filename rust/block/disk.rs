// SPDX-License-Identifier: GPL-2.0

//! A disk of our own, fed with bios.
//!
//! C: `struct gendisk` in [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h); C bcache:
//! `bcache_device_init`, `bch_cached_dev_run`, `bcache_device_free` in `drivers/md/bcache/super.c`.

use super::{
    disk_fops::Fops,
    Bdev,
    Limits,
    Major,
    UserBio, //
};
use crate::{
    bindings as bch,
    kobject::{
        self,
        AsKobj, //
    },
    this_module, //
};
use bcache_core::num;
use core::{
    fmt::{
        self,
        Write, //
    },
    marker::PhantomData,
    mem,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    new_mutex,
    prelude::*,
    static_lock_class,
    sync::{
        atomic::{
            Acquire,
            AtomicFlag,
            Full, //
        },
        Arc,
        ArcBorrow,
        Mutex, //
    }, //
};

/// What a disk does.
pub trait DiskOps: Send + Sync + Sized + 'static {
    /// A bio was submitted. Process context, but of any task, and with bios of other devices possibly
    /// queued behind this call: it must not wait for I/O.
    fn submit_bio(this: ArcBorrow<'_, Self>, bio: UserBio);

    /// The disk or a partition of it is being opened for the first time by an opener. May sleep; the
    /// disk's open mutex is held.
    ///
    /// # Errors
    ///
    /// What the opener gets.
    fn open(_this: ArcBorrow<'_, Self>) -> Result {
        Ok(())
    }

    /// An opener went away. Context as [`DiskOps::open`].
    fn release(_this: ArcBorrow<'_, Self>) {}

    /// The device whose driver gets ioctl commands that the block layer does not know. May sleep.
    ///
    /// # Errors
    ///
    /// What the caller gets; `ENOTTY` unless overridden.
    fn ioctl_target(&self) -> Result<Arc<Bdev>> {
        Err(ENOTTY)
    }
}

/// A disk. The order of its life is [`alloc`](Disk::alloc), [`add`](Disk::add), [`del`](Disk::del), drop.
///
/// After the drop the C disk, with its `Arc<T>` and a count on the module, lives on until its last opener
/// is gone.
///
/// # Invariants
///
/// `disk` is a disk with the callbacks of `T`, of which we own one reference; its `private_data` is a
/// count of an `Arc<T>`. `tried` is true if and only if `device_add_disk` was called, `added` if and only if that succeeded.
pub struct Disk<T: DiskOps> {
    disk: NonNull<bindings::gendisk>,
    tried: AtomicFlag,
    added: AtomicFlag,
    /// Whether the disk's directory in sysfs exists.
    alive: Pin<KBox<Mutex<bool>>>,
    _data: PhantomData<Arc<T>>,
}

// SAFETY: A gendisk may be used and released from any thread; `T` is `Send + Sync`.
unsafe impl<T: DiskOps> Send for Disk<T> {}
// SAFETY: As above; the methods call functions that do their own locking.
unsafe impl<T: DiskOps> Sync for Disk<T> {}

impl<T: DiskOps> Disk<T> {
    /// Makes the disk `name` of `capacity` sectors, invisible as yet, with `minors` minor numbers from
    /// `index * minors` on. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` for limits that the block layer refuses, numbers out of range or a name of more than 31
    /// bytes; `ENOMEM`.
    pub fn alloc(
        major: &Major,
        index: u32,
        minors: u32,
        name: fmt::Arguments<'_>,
        capacity: u64,
        limits: &Limits,
        data: Arc<T>,
    ) -> Result<Disk<T>> {
        let mut text = DiskName::default();
        text.write_fmt(name).map_err(|_| EINVAL)?;
        let number = c_int::try_from(major.number())?;
        let first_minor = c_int::try_from(index.checked_mul(minors).ok_or(EINVAL)?)?;
        let alive = KBox::pin_init(new_mutex!(false, "Disk::alive"), GFP_KERNEL)?;
        let mut lim = limits.to_raw();
        // SAFETY: `lim` is a valid limits structure, the key is static.
        let disk = from_err_ptr(unsafe {
            bindings::__blk_alloc_disk(
                &mut lim,
                bindings::NUMA_NO_NODE,
                static_lock_class!().as_ptr(),
            )
        })?;
        // SAFETY: The disk is new and ours alone. The module is running, so it can be counted.
        unsafe {
            (*disk).major = number;
            (*disk).first_minor = first_minor;
            (*disk).minors = c_int::try_from(minors).unwrap_or(1);
            (*disk).fops = Fops::<T>::table();
            (*disk).private_data = Arc::into_raw(data).cast_mut().cast();
            (*disk).disk_name = text.buf;
            bindings::set_capacity(disk, capacity);
            bindings::__module_get(this_module());
        }
        // INVARIANT: Established above; `from_err_ptr` gives no null for this function.
        Ok(Disk {
            disk: NonNull::new(disk).ok_or(ENOMEM)?,
            tried: AtomicFlag::new(false),
            added: AtomicFlag::new(false),
            alive,
            _data: PhantomData,
        })
    }

    /// The C disk, for as long as `self` lives.
    pub(crate) fn raw(&self) -> *mut bindings::gendisk {
        self.disk.as_ptr()
    }

    /// Makes the disk visible. Its partition table is read on the way: [`DiskOps::submit_bio`] must work.
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the name is taken; `ENOMEM`; `EBUSY` if it was called before, also if that failed: a device can be added but
    /// once.
    pub fn add(&self) -> Result {
        if self.tried.xchg(true, Full) {
            return Err(EBUSY);
        }
        // SAFETY: By the type invariant the disk lives and nobody has tried to add it.
        to_result(unsafe {
            bindings::device_add_disk(ptr::null_mut(), self.raw(), ptr::null_mut())
        })?;
        // INVARIANT: It was added now.
        self.added.xchg(true, Full);
        *self.alive.lock() = true;
        Ok(())
    }

    /// Whether [`Disk::add`] succeeded. Any context.
    pub fn is_added(&self) -> bool {
        self.added.load(Acquire)
    }

    /// Takes the disk away from user space: new I/O and new openers fail when this returns, and page
    /// caches are written back before. I/O in flight may go on. May sleep. Later calls, and calls before
    /// the disk was added, do nothing.
    pub fn del(&self) {
        if mem::replace(&mut *self.alive.lock(), false) {
            // SAFETY: By the type invariant the disk lives; `alive` says that it was added, once.
            unsafe { bindings::del_gendisk(self.raw()) };
        }
    }

    /// Makes the disk read only or not. May sleep.
    pub fn set_ro(&self, ro: bool) {
        // SAFETY: By the type invariant the disk lives.
        unsafe { bindings::set_disk_ro(self.raw(), ro) };
    }

    /// Shows in sysfs that this disk is on top of `dev` (`slaves/`, `holders/`). The disk was added and
    /// `dev` is claimed by us. May sleep.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the device is gone; `ENOMEM`; `EINVAL` if the disk is not visible or the
    /// device closed.
    pub fn link_holder(&self, dev: &Bdev) -> Result {
        let alive = self.alive.lock();
        if !*alive || dev.is_closed() {
            return Err(EINVAL);
        }
        // SAFETY: Both live, and the disk has its directories as long as `alive` is true.
        to_result(unsafe { bindings::bd_link_disk_holder(dev.raw(), self.raw()) })
    }

    /// Takes back [`Disk::link_holder`], which succeeded for `dev`. Before [`Disk::del`]: then it is too late, and nothing is
    /// done. May sleep.
    pub fn unlink_holder(&self, dev: &Bdev) {
        let alive = self.alive.lock();
        if *alive {
            // SAFETY: Both live, and the disk has its directories as long as `alive` is true; without a link the function does
            // nothing but warn.
            unsafe { bindings::bd_unlink_disk_holder(dev.raw(), self.raw()) };
        }
    }

    /// Makes the link `name` in the disk's directory in sysfs, to that of `target`. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOENT` if one of the directories does not exist (any more); `EEXIST`; `ENOMEM`.
    pub fn link(&self, name: &CStr, target: &dyn AsKobj) -> Result {
        kobject::create_link(self, name, target)
    }

    /// Sends a "change" uevent with these variables. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` if a value contains a zero byte; errors of the uevent itself.
    pub fn uevent_change(&self, vars: &[(&CStr, &[u8])]) -> Result {
        let mut strings = KVec::with_capacity(vars.len(), GFP_KERNEL)?;
        for (key, value) in vars {
            if value.contains(&0) {
                return Err(EINVAL);
            }
            let mut s = KVec::new();
            s.extend_from_slice(key.to_bytes(), GFP_KERNEL)?;
            s.push(b'=', GFP_KERNEL)?;
            s.extend_from_slice(value, GFP_KERNEL)?;
            s.push(0, GFP_KERNEL)?;
            strings.push(s, GFP_KERNEL)?;
        }
        let mut env: KVec<*mut c_char> = KVec::with_capacity(vars.len() + 1, GFP_KERNEL)?;
        for s in strings.iter_mut() {
            env.push(s.as_mut_ptr().cast(), GFP_KERNEL)?;
        }
        env.push(ptr::null_mut(), GFP_KERNEL)?;
        // SAFETY: The disk lives; `env` is a null-terminated array of C strings that live longer.
        to_result(unsafe {
            bindings::kobject_uevent_env(
                bch::disk_kobj(self.raw()),
                bindings::kobject_action_KOBJ_CHANGE,
                env.as_mut_ptr(),
            )
        })
    }
}

// SAFETY: The kobject is that of the C disk, of which we own a reference. Its directory goes away in
// `del`, which sets `alive` to false before.
unsafe impl<T: DiskOps> AsKobj for Disk<T> {
    fn raw_kobj(&self) -> *mut bindings::kobject {
        // SAFETY: By the type invariant the disk lives.
        unsafe { bch::disk_kobj(self.raw()) }
    }

    fn alive(&self) -> Option<&Mutex<bool>> {
        Some(&self.alive)
    }
}

impl<T: DiskOps> Drop for Disk<T> {
    fn drop(&mut self) {
        self.del();
        let disk = self.raw();
        if self.is_added() {
            // SAFETY: We own the reference; `free_disk` drops what the disk holds.
            unsafe { bindings::put_disk(disk) };
            return;
        }
        // The block layer does not call `free_disk` for a disk that was never added.
        // SAFETY: Nobody but us could ever reach the disk.
        unsafe {
            Fops::<T>::release_data(disk);
            bindings::put_disk(disk);
        }
    }
}

/// The bytes of a disk's name, zero-terminated.
#[derive(Default)]
struct DiskName {
    buf: [u8; num::usize_from_u32(bindings::DISK_NAME_LEN)],
    len: usize,
}

impl Write for DiskName {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let end = self.len.checked_add(s.len()).ok_or(fmt::Error)?;
        if end >= self.buf.len() {
            return Err(fmt::Error);
        }
        let to = self.buf.get_mut(self.len..end).ok_or(fmt::Error)?;
        to.copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}
