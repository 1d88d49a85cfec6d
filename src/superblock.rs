// SPDX-License-Identifier: GPL-2.0

//! The superblock of one registered device: parsed form and page, under one lock.
//!
//! C: `__write_super`, `bch_write_bdev_super`, `bcache_write_super` in `super.c`. Here every write is
//! synchronous and carries FUA: when a caller goes on, the state it wrote is durable.

use bcache_core::ondisk::superblock::Superblock;
use bcache_kernel::{
    block::{
        Opf,
        SbPage, //
    },
    crc64::crc64_be, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
};

/// Bytes of the superblock unit on disk.
pub(crate) const SB_BYTES: usize = 4096;

/// What a superblock is written with. Whoever has it can write; the end of the device consumes it.
struct Writer {
    page: SbPage,
    raw: KBox<[u8; SB_BYTES]>,
}

impl Writer {
    fn write(&mut self, sb: &Superblock) -> Result {
        sb.encode_into(crc64_be, &mut self.raw);
        let opf = Opf::WRITE | Opf::SYNC | Opf::META | Opf::FUA;
        self.page.write_sync(&self.raw, opf).map_err(|_| EIO)
    }

    /// The page cache gets what the device has, after a write that failed.
    fn undo(&mut self, sb: &Superblock) {
        sb.encode_into(crc64_be, &mut self.raw);
        self.page.put(&self.raw);
    }
}

/// What the lock of an [`SbFile`] guards.
pub(crate) struct SbInner {
    sb: KBox<Superblock>,
    /// `None`: nothing is written any more, neither to the device nor to its page cache. It is somebody else's, or will be.
    writer: Option<Writer>,
}

/// The superblock of a registered device. Methods may sleep.
#[pin_data]
pub(crate) struct SbFile {
    #[pin]
    inner: Mutex<SbInner>,
}

impl SbFile {
    /// Takes over the page and the parsed superblock of a device.
    pub(crate) fn new(page: SbPage, sb: KBox<Superblock>) -> Result<impl PinInit<Self>> {
        let mut raw = KBox::new([0u8; SB_BYTES], GFP_KERNEL)?;
        page.copy_to(&mut raw);
        Ok(pin_init!(Self {
            inner <- new_mutex!(SbInner { sb, writer: Some(Writer { page, raw }) }, "SbFile::inner"),
        }))
    }

    /// Runs `f` on the parsed superblock.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&Superblock) -> R) -> R {
        f(&self.inner.lock().sb)
    }

    /// Changes the superblock in memory and writes it durably.
    ///
    /// # Errors
    ///
    /// `EIO` when the device refuses the write; memory then already holds the new value, as in C. `ENODEV` after
    /// [`SbFile::close`].
    pub(crate) fn update(&self, f: impl FnOnce(&mut Superblock)) -> Result {
        let mut guard = self.inner.lock();
        let SbInner { sb, writer } = &mut *guard;
        let writer = writer.as_mut().ok_or(ENODEV)?;
        f(sb);
        writer.write(sb)
    }

    /// As [`SbFile::update`], but memory and page cache are as before when the device refuses the write: `undo` takes back what `f`
    /// did. What the device has is then one or the other.
    ///
    /// # Errors
    ///
    /// As [`SbFile::update`].
    pub(crate) fn try_update(
        &self,
        f: impl FnOnce(&mut Superblock),
        undo: impl FnOnce(&mut Superblock),
    ) -> Result {
        let mut guard = self.inner.lock();
        let SbInner { sb, writer } = &mut *guard;
        let writer = writer.as_mut().ok_or(ENODEV)?;
        f(sb);
        writer.write(sb).inspect_err(|_| {
            undo(sb);
            writer.undo(sb);
        })
    }

    /// The device is given up next: waits for a write under way, and there is none after it. A store to a file in sysfs may
    /// still come.
    pub(crate) fn close(&self) {
        let writer = self.inner.lock().writer.take();
        drop(writer);
    }

    /// Changes the superblock in memory only; the next [`SbFile::update`] writes it.
    pub(crate) fn update_in_memory(&self, f: impl FnOnce(&mut Superblock)) {
        f(&mut self.inner.lock().sb);
    }
}
