// SPDX-License-Identifier: GPL-2.0

//! Synchronous I/O of kernel buffers, for metadata.
//!
//! C bcache: `prio_io` in `super.c`, `journal_read_bucket` in `journal.c`, `bch_btree_node_read` in
//! `btree.c`. All bios live on the stack: nothing is allocated, so nothing here can wait for memory.

use super::{
    Bdev,
    Opf,
    Status,
    SECTOR_SHIFT, //
};
use crate::dma::DmaBuf;
use bcache_core::num;
use core::{
    mem::MaybeUninit,
    ops::Range, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// Segments of one bio on the stack. A contiguous buffer needs one for any size.
const STACK_VECS: usize = 16;

/// Bytes that one bio may carry at most; the block layer splits to the limits of the device.
const MAX_BIO_BYTES: usize = 1 << 30;

impl Bdev {
    /// Reads from `sector` on into `range` of `buf`. Process context, sleeps; never called from a
    /// `submit_bio` callback.
    ///
    /// # Errors
    ///
    /// The status of the first bio that failed; [`Status::IOERR`] if the device is closed or the range
    /// is not inside the buffer or not in whole sectors.
    pub fn read_sync(
        &self,
        sector: u64,
        buf: &mut DmaBuf,
        range: Range<usize>,
        opf: Opf,
    ) -> Result<(), Status> {
        // SAFETY: The buffer is exclusively borrowed, so the device may write to it.
        unsafe { self.io_sync(sector, buf, range, opf | Opf::READ) }
    }

    /// Writes `range` of `buf` to `sector` and following. Context as [`Bdev::read_sync`].
    ///
    /// # Errors
    ///
    /// As [`Bdev::read_sync`]; after an error any part may have been written.
    pub fn write_sync(
        &self,
        sector: u64,
        buf: &DmaBuf,
        range: Range<usize>,
        opf: Opf,
    ) -> Result<(), Status> {
        // SAFETY: With a write operation the device only reads the buffer, which is borrowed.
        unsafe { self.io_sync(sector, buf, range, opf | Opf::WRITE) }
    }

    /// Flushes the device's volatile cache. Context as [`Bdev::read_sync`].
    ///
    /// # Errors
    ///
    /// The status of the flush.
    pub fn flush_sync(&self) -> Result<(), Status> {
        let mut bio = StackBio::new(self, Opf::WRITE | Opf::PREFLUSH | Opf::SYNC, 0);
        bio.wait(self)
    }

    /// Transfers a range of a buffer, in several bios where one does not suffice.
    ///
    /// # Safety
    ///
    /// Unless `opf` is a write, the caller has exclusive access to `buf`.
    unsafe fn io_sync(
        &self,
        sector: u64,
        buf: &DmaBuf,
        range: Range<usize>,
        opf: Opf,
    ) -> Result<(), Status> {
        let mask = (1usize << SECTOR_SHIFT) - 1;
        if range.start > range.end || range.end > buf.len() || (range.start | range.end) & mask != 0
        {
            return Err(Status::IOERR);
        }
        let mut at = range.start;
        let mut sector = sector;
        let mut opf = opf;
        while at < range.end {
            let mut bio = StackBio::new(self, opf, sector);
            let end = bio.fill(buf, at..range.end);
            if end <= at {
                return Err(Status::IOERR);
            }
            bio.wait(self)?;
            let sectors = u64::try_from((end - at) >> SECTOR_SHIFT).map_err(|_| Status::IOERR)?;
            sector = sector.wrapping_add(sectors);
            at = end;
            // One flush before the first piece is enough.
            opf = opf.without(Opf::PREFLUSH);
        }
        Ok(())
    }
}

/// A bio and its segments, used on the stack of the function that waits for it.
///
/// # Invariants
///
/// `bio` is initialised; it points to `vecs` only while [`StackBio::wait`] or [`StackBio::fill`] runs,
/// so that the value may move in between.
struct StackBio {
    bio: MaybeUninit<bindings::bio>,
    vecs: [MaybeUninit<bindings::bio_vec>; STACK_VECS],
}

impl StackBio {
    /// An empty bio.
    fn new(dev: &Bdev, opf: Opf, sector: u64) -> Self {
        let mut this = StackBio {
            bio: MaybeUninit::uninit(),
            vecs: [const { MaybeUninit::uninit() }; STACK_VECS],
        };
        let bio = this.bio.as_mut_ptr();
        // SAFETY: `bio_init` writes every field of the bio. The table's address is set again before
        // each use, as this value moves. `dev` lives.
        unsafe {
            bindings::bio_init(
                bio,
                dev.raw(),
                core::ptr::null_mut(),
                num::low_u16(num::u64_from_usize(STACK_VECS)),
                opf.raw(),
            );
            (*bio).bi_iter.bi_sector = sector;
        }
        this
    }

    /// Adds as much of `range` of `buf` as fits; gives the offset behind the last byte added.
    fn fill(&mut self, buf: &DmaBuf, range: Range<usize>) -> usize {
        let bio = self.bio.as_mut_ptr();
        let vecs = self.vecs.as_mut_ptr().cast();
        // SAFETY: By the type invariant the bio is initialised; `vecs` has room for its segments.
        unsafe { (*bio).bi_io_vec = vecs };
        let limit = range.start.saturating_add(MAX_BIO_BYTES).min(range.end);
        let mut at = range.start;
        while at < limit {
            let Some((page, offset, len)) = buf.segment(at..limit) else {
                break;
            };
            // SAFETY: The bio is initialised and not in flight; `segment` gives pages of the buffer
            // that are contiguous for `len` bytes.
            let added = unsafe { bindings::bio_add_page(bio, page, len, offset) };
            if added <= 0 {
                break;
            }
            at = at.saturating_add(usize::try_from(len).unwrap_or(0));
        }
        // A bio holds whole sectors; segments end at page borders, hence so does what was added.
        at
    }

    /// Submits the bio and waits for it.
    fn wait(&mut self, dev: &Bdev) -> Result<(), Status> {
        let bio = self.bio.as_mut_ptr();
        let vecs = self.vecs.as_mut_ptr().cast();
        let status = if dev.is_closed() {
            Status::IOERR
        } else {
            // SAFETY: The bio is initialised, `vecs` holds its segments, and both stay in place until
            // the I/O is over, since this function waits for it.
            unsafe {
                (*bio).bi_io_vec = vecs;
                bindings::submit_bio_wait(bio);
                Status::from_raw((*bio).bi_status)
            }
        };
        // SAFETY: The bio is initialised and not in flight.
        unsafe { bindings::bio_uninit(bio) };
        if status.is_ok() {
            Ok(())
        } else {
            Err(status)
        }
    }
}
