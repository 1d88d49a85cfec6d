// SPDX-License-Identifier: GPL-2.0

//! The callbacks of a disk: each turns C pointers into references and calls a method of [`DiskOps`].
//!
//! C: `struct block_device_operations` in [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h).

use super::{
    DiskOps,
    UserBio, //
};
use crate::{
    bindings as bch,
    this_module,
    AssertSync, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::from_result,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    }, //
};

/// The table of callbacks for disks of `T`.
///
/// Each callback gets a disk whose `private_data` is a count of an `Arc<T>` that only `free_disk` takes
/// back, when nothing can reach the disk any more.
pub(super) struct Fops<T: DiskOps>(PhantomData<T>);

impl<T: DiskOps> Fops<T> {
    /// The table. `owner` keeps the module loaded while the disk is open.
    const TABLE: AssertSync<bindings::block_device_operations> = {
        let mut f: bindings::block_device_operations = pin_init::zeroed();
        f.submit_bio = Some(Self::submit_bio);
        f.open = Some(Self::open);
        f.release = Some(Self::release);
        f.ioctl = Some(Self::ioctl);
        f.free_disk = Some(Self::free_disk);
        f.owner = this_module();
        AssertSync(f)
    };

    /// The table's address.
    pub(super) fn table() -> *const bindings::block_device_operations {
        let table: &'static AssertSync<_> = &Self::TABLE;
        &raw const table.0
    }

    /// The `T` of a disk.
    ///
    /// # Safety
    ///
    /// `disk` is a live disk with this table.
    unsafe fn data<'a>(disk: *mut bindings::gendisk) -> ArcBorrow<'a, T> {
        // SAFETY: By the caller's promise, `private_data` is a count of an `Arc<T>` that stays until
        // `free_disk`.
        unsafe { ArcBorrow::from_raw((*disk).private_data.cast::<T>().cast_const()) }
    }

    /// # Safety
    ///
    /// Called by the block layer with a bio for a disk with this table, whose ownership it gives up.
    unsafe extern "C" fn submit_bio(bio: *mut bindings::bio) {
        // SAFETY: The bio's device is a disk with this table, which lives while it has I/O.
        let this = unsafe { Self::data((*(*bio).bi_bdev).bd_disk) };
        if let Some(bio) = NonNull::new(bio) {
            // SAFETY: The block layer gives the bio to us.
            T::submit_bio(this, unsafe { UserBio::from_raw(bio) });
        }
    }

    /// # Safety
    ///
    /// Called by the block layer with a disk with this table.
    unsafe extern "C" fn open(disk: *mut bindings::gendisk, _mode: bindings::blk_mode_t) -> c_int {
        // SAFETY: By the caller's promise.
        let this = unsafe { Self::data(disk) };
        from_result(|| T::open(this).map(|()| 0))
    }

    /// # Safety
    ///
    /// As `open`.
    unsafe extern "C" fn release(disk: *mut bindings::gendisk) {
        // SAFETY: By the caller's promise.
        T::release(unsafe { Self::data(disk) });
    }

    /// # Safety
    ///
    /// Called by the block layer with an open device of a disk with this table.
    unsafe extern "C" fn ioctl(
        bdev: *mut bindings::block_device,
        mode: bindings::blk_mode_t,
        cmd: c_uint,
        arg: c_ulong,
    ) -> c_int {
        // SAFETY: By the caller's promise.
        let this = unsafe { Self::data((*bdev).bd_disk) };
        let target = match this.ioctl_target() {
            Ok(target) => target,
            Err(e) => return e.to_errno(),
        };
        if target.is_closed() {
            return EIO.to_errno();
        }
        // SAFETY: The device is open, since we hold a count of it; the arguments are those of an ioctl
        // call on a block device, whichever it is.
        unsafe { bch::bdev_forward_ioctl(target.raw(), mode, cmd, arg) }
    }

    /// # Safety
    ///
    /// Called by the block layer when nobody can reach the disk any more. Not called for a disk that was
    /// never added.
    unsafe extern "C" fn free_disk(disk: *mut bindings::gendisk) {
        // SAFETY: By the caller's promise nobody uses the count any more.
        unsafe { Self::release_data(disk) };
    }

    /// Drops what the disk holds: the `Arc<T>` and the module.
    ///
    /// # Safety
    ///
    /// Nobody can reach `disk`, a disk with this table, any more. Called once.
    pub(super) unsafe fn release_data(disk: *mut bindings::gendisk) {
        // SAFETY: `private_data` is a count made by `Arc::into_raw`, taken back only here.
        drop(unsafe { Arc::from_raw((*disk).private_data.cast::<T>().cast_const()) });
        // SAFETY: Taken when the disk was made. As everywhere in the kernel, this is the last thing a
        // release function does.
        unsafe { bindings::module_put(this_module()) };
    }
}
