// SPDX-License-Identifier: GPL-2.0

//! Walking over the memory of a bio, page by page.
//!
//! C header: [`include/linux/bvec.h`](srctree/include/linux/bvec.h). The pages may belong to user space,
//! which may write to them at any time: their content is only ever copied through raw pointers, and no
//! reference to it is made.

use super::SECTOR_SHIFT;
use crate::bindings as bch;
use bcache_core::num;
use kernel::{
    bindings,
    page::PAGE_SIZE, //
};

/// A piece of one page.
struct Piece {
    page: *mut bindings::page,
    offset: usize,
    len: usize,
}

/// Position in the memory of a bio.
///
/// # Invariants
///
/// `iter` is a valid position in the segments of `bio`, with at most its remaining bytes.
pub(super) struct Cursor {
    bio: *mut bindings::bio,
    iter: bindings::bvec_iter,
}

impl Cursor {
    /// The range of `len` sectors that begins `skip` sectors after the start of `iter`; shortened to
    /// what `iter` has.
    ///
    /// # Safety
    ///
    /// `bio` is valid and carries data, and stays so as long as the cursor is used; `iter` is a valid
    /// position in its segments.
    pub(super) unsafe fn new(
        bio: *mut bindings::bio,
        iter: bindings::bvec_iter,
        skip: u32,
        len: u32,
    ) -> Cursor {
        let mut iter = iter;
        let size = iter.bi_size;
        let skip = num::u32_from_u64_sat(u64::from(skip) << SECTOR_SHIFT).min(size);
        let len = num::u32_from_u64_sat(u64::from(len) << SECTOR_SHIFT).min(size - skip);
        // SAFETY: The position is valid by the caller's promise and has at least `skip` bytes left.
        unsafe { bch::bio_advance_iter(bio, &raw mut iter, skip) };
        iter.bi_size = len;
        // INVARIANT: Advancing by less than the rest keeps the position valid.
        Cursor { bio, iter }
    }

    /// Bytes of the current segment that lie behind.
    fn done(&self) -> u32 {
        // SAFETY: The iterator is ours and only read.
        unsafe { bch::bvec_iter_done(&raw const self.iter) }
    }

    /// The piece at the current position.
    fn piece(&self) -> Option<Piece> {
        let left = num::usize_from_u32(self.iter.bi_size);
        if left == 0 {
            return None;
        }
        let index = num::usize_from_u32(self.iter.bi_idx);
        // SAFETY: By the type invariant `bi_idx` is the index of a segment of the bio.
        let vec = unsafe { *(*self.bio).bi_io_vec.add(index) };
        let done = num::usize_from_u32(self.done());
        let in_vec = num::usize_from_u32(vec.bv_len).saturating_sub(done);
        let start = num::usize_from_u32(vec.bv_offset).saturating_add(done);
        let offset = start % PAGE_SIZE;
        let len = in_vec.min(left).min(PAGE_SIZE - offset);
        if len == 0 {
            return None;
        }
        // SAFETY: The pages of one segment have contiguous descriptors, and `start` is inside it.
        let page = unsafe { vec.bv_page.add(start / PAGE_SIZE) };
        Some(Piece { page, offset, len })
    }

    /// Goes on by `bytes`, which lie inside the current piece.
    fn advance(&mut self, bytes: usize) {
        let bytes = num::u32_from_usize_sat(bytes);
        // SAFETY: By the type invariant the position is valid; the bytes are inside its segment.
        unsafe { bch::bio_advance_iter_single(self.bio, &raw mut self.iter, bytes) };
    }

    /// Copies from `src` until either range ends. Any context.
    pub(super) fn copy_from(mut self, mut src: Cursor) {
        while let (Some(d), Some(s)) = (self.piece(), src.piece()) {
            let len = d.len.min(s.len);
            // SAFETY: Both pieces lie in pages that their bios keep alive; the destination is meant
            // to be written to.
            unsafe { bch::copy_page_part(d.page, d.offset, s.page, s.offset, len) };
            self.advance(len);
            src.advance(len);
        }
    }
}
