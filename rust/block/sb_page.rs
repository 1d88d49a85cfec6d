// SPDX-License-Identifier: GPL-2.0

//! The superblock of a device, in its page cache.
//!
//! C bcache: `read_super` and `__write_super` in `drivers/md/bcache/super.c`. Tools read the superblock
//! through the page cache (`blkid`, `bcache-super-show`), so it has to be kept right there too.

use super::{
    Bdev,
    Opf,
    Status,
    SECTOR_SHIFT, //
};
use crate::bindings as bch;
use bcache_core::num;
use core::{
    mem::MaybeUninit,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::from_err_ptr,
    prelude::*,
    sync::Arc, //
};

/// Offset of the superblock on the device, and its size, in bytes.
const SB_BYTES: usize = 4096;

/// [`SB_BYTES`] as the length of a segment.
const SB_LEN: u32 = num::u32_from_usize_sat(SB_BYTES);

/// Sector of the superblock.
const SB_SECTOR: u64 = num::u64_from_usize(SB_BYTES) >> SECTOR_SHIFT;

/// The page-cache folio with byte 4096 of a device.
///
/// # Invariants
///
/// We own one reference to `folio`; `data` points to the [`SB_BYTES`] bytes in it that are the
/// superblock.
pub struct SbPage {
    dev: Arc<Bdev>,
    folio: NonNull<bindings::folio>,
    data: NonNull<u8>,
}

// SAFETY: A folio may be used and released from any thread.
unsafe impl Send for SbPage {}
// SAFETY: All access to the bytes is under the folio's lock.
unsafe impl Sync for SbPage {}

impl SbPage {
    /// Reads the superblock of `dev`, from its page cache if it is there. May sleep.
    ///
    /// # Errors
    ///
    /// `EIO` if the device cannot read it; `ENOMEM`.
    pub fn read(dev: &Arc<Bdev>) -> Result<SbPage> {
        if dev.is_closed() {
            return Err(EIO);
        }
        // SAFETY: The device is open.
        let folio = from_err_ptr(unsafe { bch::read_super_folio(dev.raw()) })?;
        let folio = NonNull::new(folio).ok_or(EIO)?;
        // SAFETY: The folio was read at the offset of the superblock, hence contains it; block device
        // folios are never in high memory.
        let data = unsafe { bch::super_in_folio(folio.as_ptr()) };
        let Some(data) = NonNull::new(data.cast()) else {
            // SAFETY: We own the reference.
            unsafe { bch::folio_put(folio.as_ptr()) };
            return Err(EIO);
        };
        // INVARIANT: `read_super_folio` gave us a reference.
        Ok(SbPage {
            dev: dev.clone(),
            folio,
            data,
        })
    }

    /// Copies the superblock out of the page cache. May sleep.
    pub fn copy_to(&self, out: &mut [u8; SB_BYTES]) {
        // SAFETY: By the type invariant both ranges are valid for the size, and distinct. The lock
        // keeps other writers of the page cache away.
        unsafe {
            bch::folio_lock(self.folio.as_ptr());
            self.data
                .copy_to_nonoverlapping(NonNull::from(out).cast(), SB_BYTES);
            bch::folio_unlock(self.folio.as_ptr());
        }
    }

    /// Puts `bytes` into the page cache only: what the device has after all. May sleep; the device is not closed.
    pub fn put(&self, bytes: &[u8; SB_BYTES]) {
        // SAFETY: As in `copy_to`.
        unsafe {
            bch::folio_lock(self.folio.as_ptr());
            NonNull::from(bytes)
                .cast()
                .copy_to_nonoverlapping(self.data, SB_BYTES);
            bch::folio_unlock(self.folio.as_ptr());
        }
    }

    /// Puts `bytes` into the page cache and writes them to the device; `opf` is added to a write.
    /// Sleeps; process context. The caller keeps two calls apart.
    ///
    /// # Errors
    ///
    /// The status of the write. The page cache then already has the new bytes, unless the device is closed: then it is somebody
    /// else's.
    pub fn write_sync(&self, bytes: &[u8; SB_BYTES], opf: Opf) -> Result<(), Status> {
        if self.dev.is_closed() {
            return Err(Status::IOERR);
        }
        self.put(bytes);
        let mut bio = MaybeUninit::<bindings::bio>::uninit();
        let mut vec = MaybeUninit::<bindings::bio_vec>::uninit();
        let bio = bio.as_mut_ptr();
        // SAFETY: `bio_init` initialises the bio, which has room for one segment; bio and segment stay
        // in place until `submit_bio_wait` returns. The bytes are contiguous kernel memory, and the
        // reference to the folio keeps them alive.
        let status = unsafe {
            bindings::bio_init(
                bio,
                self.dev.raw(),
                vec.as_mut_ptr(),
                1,
                (opf | Opf::WRITE).raw(),
            );
            (*bio).bi_iter.bi_sector = SB_SECTOR;
            bindings::bio_add_virt_nofail(bio, self.data.as_ptr().cast(), SB_LEN);
            bindings::submit_bio_wait(bio);
            let status = Status::from_raw((*bio).bi_status);
            bindings::bio_uninit(bio);
            status
        };
        if status.is_ok() {
            Ok(())
        } else {
            Err(status)
        }
    }
}

impl Drop for SbPage {
    fn drop(&mut self) {
        // SAFETY: By the type invariant we own the reference.
        unsafe { bch::folio_put(self.folio.as_ptr()) };
    }
}
