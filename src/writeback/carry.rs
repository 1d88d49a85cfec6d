// SPDX-License-Identifier: GPL-2.0

//! Writeback without memory.
//!
//! C: none; there a key that there is no memory for is left for later. But what memory is to be freed may have to be
//! written to this very device, and wait for a bucket that only writeback makes clean. So the thread carries a
//! key over by itself, piece by piece through a buffer that it always has.

use super::io::READING;
use crate::attach::Attachment;
use bcache_core::{
    key::Key,
    num::{
        usize_from_u32,
        SECTOR_SHIFT, //
    }, //
};
use bcache_kernel::{
    block::{Opf, Status},
    dma::DmaBuf, //
};
use kernel::prelude::*;

/// Sectors of the buffer.
const SECTORS: u32 = 128;

/// The buffer of one device.
pub(super) fn buffer() -> Result<DmaBuf> {
    DmaBuf::new(usize_from_u32(SECTORS) << SECTOR_SHIFT)
}

impl Attachment {
    /// Reads and writes a key without any memory but the thread's own. Its bucket is pinned.
    pub(super) fn carry_over(&self, key: &Key) -> Result<(), Status> {
        let Some(ptr) = key.ptr() else {
            return Err(Status::IOERR);
        };
        let mut buf = self.wb.flow.spare.lock();
        let mut at = 0u32;
        while at < key.size() {
            let sectors = key.size().saturating_sub(at).min(SECTORS);
            let range = 0..usize_from_u32(sectors) << SECTOR_SHIFT;
            let from = ptr.sector().saturating_add(u64::from(at));
            let to = key.start().saturating_add(u64::from(at));
            let read = self
                .set
                .bdev
                .read_sync(from, &mut buf, range.clone(), Opf::READ);
            let status = read.err().unwrap_or(Status::OK);
            self.set.count_io_error(status, READING);
            read?;
            if self.set.io_disabled() {
                return Err(Status::IOERR);
            }
            self.dev
                .bdev
                .write_sync(to, &buf, range, Opf::WRITE)
                .inspect_err(|_| self.dev.count_backing_error())?;
            at = at.saturating_add(sectors);
        }
        drop(buf);
        self.note_written(*key)
    }
}
