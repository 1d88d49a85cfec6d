// SPDX-License-Identifier: GPL-2.0

//! An open block device.
//!
//! C headers: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h). C bcache: `register_bcache`,
//! `bcache_device_free` in `drivers/md/bcache/super.c`.

use crate::{
    atomic::{
        Acquire,
        Atomic,
        AtomicFlag,
        Full,
        Relaxed, //
    },
    bindings as bch,
    kobject::AsKobj, //
};
use core::{
    fmt,
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
    prelude::*,
    sync::Arc, //
};

/// A device number (`dev_t`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DevT(u32);

impl DevT {
    /// Major and minor number.
    pub const fn split(self) -> (u32, u32) {
        (self.0 >> 20, self.0 & ((1 << 20) - 1))
    }
}

impl fmt::Display for DevT {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.split();
        write!(f, "{major}:{minor}")
    }
}

impl kernel::fmt::Display for DevT {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of a block device, as printk's `%pg` prints it (`vdb`, `nvme0n1p2`).
#[derive(Clone, Copy)]
pub struct BdevName {
    buf: [u8; 32],
    len: usize,
}

impl BdevName {
    /// The name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.buf.get(..self.len).unwrap_or_default()
    }
}

impl fmt::Display for BdevName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(self.as_bytes()).unwrap_or("?"))
    }
}

impl kernel::fmt::Display for BdevName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An open block device.
///
/// Shared by reference count: whoever has I/O in flight holds a count, so that the device cannot be
/// closed under it. The last count may be dropped in any context, interrupts included: closing is then
/// deferred by the VFS. Whoever must be sure that the exclusive claim is gone calls
/// [`Bdev::close_sync`].
///
/// # Invariants
///
/// `file` is an open block device file of which we own one reference; `bdev` is its device and lives
/// at least as long as that reference.
pub struct Bdev {
    file: NonNull<bindings::file>,
    bdev: NonNull<bindings::block_device>,
    closed: AtomicFlag,
}

// SAFETY: A `struct file` and a `struct block_device` may be used and released from any thread.
unsafe impl Send for Bdev {}
// SAFETY: As above; all methods take `&self`, call functions that do their own locking, or read
// fields that are constant while the device is open.
unsafe impl Sync for Bdev {}

/// Source of the tokens that tell one exclusive owner from another; only ever compared.
static NEXT_HOLDER: Atomic<usize> = Atomic::new(1);

/// A token that no other call ever gets: odd, so that it is never the address of a C object.
fn new_holder() -> *mut c_void {
    let token = NEXT_HOLDER.fetch_add(2, Relaxed);
    ptr::without_provenance_mut(token)
}

impl Bdev {
    /// Opens the device node `path` for reading, without a claim. May sleep.
    ///
    /// # Errors
    ///
    /// What opening the path gives: `ENOENT`, `ENOTBLK`, `EACCES`, `EBUSY`, ...
    pub fn open_readonly(path: &CStr) -> Result<Arc<Bdev>> {
        // SAFETY: `path` is a C string; without a holder no claim is made and no callbacks are needed.
        let file = from_err_ptr(unsafe {
            bindings::bdev_file_open_by_path(
                path.as_char_ptr(),
                bch::BLK_OPEN_READ,
                ptr::null_mut(),
                ptr::null(),
            )
        })?;
        Self::from_file(file)
    }

    /// Opens `dev` for reading and writing and claims it: nobody else can, and it cannot be mounted.
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY` if somebody else has claimed it; `EACCES` if it is read only; `ENXIO` if it is gone.
    pub fn open_exclusive(dev: DevT) -> Result<Arc<Bdev>> {
        let mode = bch::BLK_OPEN_READ | bch::BLK_OPEN_WRITE;
        // SAFETY: Plain call; the holder is a token that is compared and never dereferenced, since
        // there are no holder operations.
        let file = from_err_ptr(unsafe {
            bindings::bdev_file_open_by_dev(dev.0, mode, new_holder(), ptr::null())
        })?;
        Self::from_file(file)
    }

    /// Takes over the reference to a file that was just opened.
    fn from_file(file: *mut bindings::file) -> Result<Arc<Bdev>> {
        let file = NonNull::new(file).ok_or(ENXIO)?;
        // SAFETY: `file` is an open block device file.
        let bdev = NonNull::new(unsafe { bindings::file_bdev(file.as_ptr()) });
        let Some(bdev) = bdev else {
            // SAFETY: We own the reference.
            unsafe { bindings::fput(file.as_ptr()) };
            return Err(ENXIO);
        };
        // INVARIANT: The caller's reference to `file` is ours now.
        let this = Bdev {
            file,
            bdev,
            closed: AtomicFlag::new(false),
        };
        Ok(Arc::new(this, GFP_KERNEL)?)
    }

    /// Gives up the exclusive claim now. May sleep; for process context.
    ///
    /// When this returns the device can be claimed by others. All later I/O through this value fails
    /// with [`Status::IOERR`](super::Status::IOERR); the device itself is closed with the last count.
    /// Later calls do nothing.
    pub fn close_sync(&self) {
        if self.closed.xchg(true, Full) {
            return;
        }
        // SAFETY: By the type invariant the file is open. The extra reference is the one that
        // `bdev_fput` consumes; the flag above makes this happen once.
        unsafe {
            bch::get_file(self.file.as_ptr());
            bindings::bdev_fput(self.file.as_ptr());
        }
    }

    /// The C device, for as long as `self` lives.
    pub(crate) fn raw(&self) -> *mut bindings::block_device {
        self.bdev.as_ptr()
    }

    /// Whether [`Bdev::close_sync`] was called. Any context.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Acquire)
    }

    /// The device number. Any context.
    pub fn dev_t(&self) -> DevT {
        // SAFETY: By the type invariant the device lives; its number never changes.
        DevT(unsafe { (*self.raw()).bd_dev })
    }

    /// Size of the device (which may be a partition) in sectors. Any context.
    pub fn nr_sectors(&self) -> u64 {
        // SAFETY: By the type invariant the device lives.
        unsafe { bch::bdev_nr_sectors(self.raw()) }
    }

    /// Size of the whole disk that the device is on, in sectors. Any context.
    pub fn disk_sectors(&self) -> u64 {
        // SAFETY: By the type invariant the device lives, and with it its disk.
        unsafe { bch::bdev_disk_sectors(self.raw()) }
    }

    /// Bytes of a logical block. Any context.
    pub fn logical_block_size(&self) -> u32 {
        // SAFETY: By the type invariant the device lives.
        unsafe { bch::bdev_logical_block_size(self.raw()) }
    }

    /// The preferred I/O size in bytes, 0 if the device names none. Any context.
    pub fn io_opt(&self) -> u32 {
        // SAFETY: By the type invariant the device lives.
        unsafe { bch::bdev_io_opt(self.raw()) }
    }

    /// Most sectors of one discard, 0 if the device cannot discard. Any context.
    pub fn max_discard_sectors(&self) -> u32 {
        // SAFETY: By the type invariant the device lives.
        unsafe { bch::bdev_max_discard_sectors(self.raw()) }
    }

    /// Makes `sectors` sectors from `sector` on read as zeros, by a command of the device if it has one; they stay allocated
    /// on a device that allocates. Durable with the next flush. May sleep, NOIO.
    ///
    /// C: `blkdev_issue_zeroout`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if they are not whole logical blocks; what the device says.
    pub fn zero_out(&self, sector: u64, sectors: u64) -> Result {
        if self.is_closed() {
            return Err(EIO);
        }
        // SAFETY: By the type invariant the device lives and its file is open, which `&self` keeps so; that the range is on the
        // device is checked with each bio.
        to_result(unsafe {
            bindings::blkdev_issue_zeroout(
                self.raw(),
                sector,
                sectors,
                bch::GFP_NOIO,
                bch::BLKDEV_ZERO_NOUNMAP,
            )
        })
    }

    /// Whether the device was removed from the system. Any context.
    pub fn queue_dying(&self) -> bool {
        // SAFETY: By the type invariant the device lives.
        unsafe { bch::bdev_queue_dying(self.raw()) }
    }

    /// Whether writes that do not fill a stripe are expensive, as on parity RAID. Any context.
    pub fn partial_stripes_expensive(&self) -> bool {
        // SAFETY: By the type invariant the device lives.
        unsafe { bch::bdev_partial_stripes_expensive(self.raw()) }
    }

    /// The device's name. Any context.
    pub fn name(&self) -> BdevName {
        let mut buf = [0u8; 32];
        // SAFETY: By the type invariant the device lives; the buffer has the size that is passed.
        let len = unsafe { bch::bdev_print_name(self.raw(), buf.as_mut_ptr().cast(), buf.len()) };
        BdevName {
            buf,
            len: usize::try_from(len).unwrap_or(0),
        }
    }
}

// SAFETY: The kobject is that of the device, which was added to sysfs before it could be opened and lives
// as long as the open file. Only its driver takes the directory away.
unsafe impl AsKobj for Bdev {
    fn raw_kobj(&self) -> *mut bindings::kobject {
        // SAFETY: By the type invariant the device lives.
        unsafe { bch::bdev_kobj(self.raw()) }
    }
}

impl Drop for Bdev {
    fn drop(&mut self) {
        // SAFETY: By the type invariant we own the reference; `fput` may be called from any context
        // except NMI and defers the closing itself, which also gives up a claim that is still held.
        unsafe { bindings::fput(self.file.as_ptr()) };
    }
}
