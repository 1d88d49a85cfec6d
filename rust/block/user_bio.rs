// SPDX-License-Identifier: GPL-2.0

//! A bio that was submitted to our disk.
//!
//! C bcache: `struct search` (`orig_bio`) in `drivers/md/bcache/request.c`.

use super::{
    bvec::Cursor,
    DoneBio,
    EndIo,
    Op,
    Opf,
    Status,
    SECTOR_SHIFT, //
};
use crate::bindings as bch;
use core::{
    mem,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// A bio that was submitted to our disk, with the duty to end it.
///
/// The bio is ended by [`UserBio::end`]; clones of parts of it are made from a [`SplitBio`]. Dropped without `end` it
/// fails with [`Status::IOERR`]. Any context for all methods.
///
/// # Invariants
///
/// `bio` is a live bio of which we own one of its "remaining" counts; its position (`bi_iter`) is as it was at submission.
pub struct UserBio {
    bio: NonNull<bindings::bio>,
    /// Start of the I/O accounting, if it was begun.
    started: Option<c_ulong>,
}

// SAFETY: A bio may be ended from any thread and context.
unsafe impl Send for UserBio {}
// SAFETY: Methods with `&self` read fields that nobody changes while we own the bio, count atomically,
// or copy to pages, which are foreign memory whose content has no meaning to us.
unsafe impl Sync for UserBio {}

impl UserBio {
    /// Takes over a bio.
    ///
    /// # Safety
    ///
    /// `bio` was handed to our disk's `submit_bio`, and the caller gives up its ownership.
    pub(super) unsafe fn from_raw(bio: NonNull<bindings::bio>) -> UserBio {
        // INVARIANT: The submitter's one count is ours now.
        UserBio { bio, started: None }
    }

    /// The C bio.
    pub(super) fn raw(&self) -> *mut bindings::bio {
        self.bio.as_ptr()
    }

    /// A copy of the position at submission.
    fn iter(&self) -> bindings::bvec_iter {
        // SAFETY: By the type invariant the bio lives, and nobody changes its position.
        unsafe { (*self.raw()).bi_iter }
    }

    /// Prepares the bio for clones of its parts.
    pub fn split(self) -> SplitBio {
        // Done once and before there are any, since it is no atomic operation: clones may be made concurrently.
        // SAFETY: The bio is ours alone.
        unsafe { bch::bio_start_chain(self.raw()) };
        // INVARIANT: The flag is set.
        SplitBio(self)
    }

    /// Operation and flags.
    pub fn opf(&self) -> Opf {
        // SAFETY: By the type invariant the bio lives, and nobody changes its operation.
        Opf::from_raw(unsafe { (*self.raw()).bi_opf })
    }

    /// First sector, from the start of our disk.
    pub fn sector(&self) -> u64 {
        self.iter().bi_sector
    }

    /// Number of sectors; 0 for an empty flush.
    pub fn sectors(&self) -> u32 {
        self.iter().bi_size >> SECTOR_SHIFT
    }

    /// Number of bytes.
    pub fn bytes(&self) -> u32 {
        self.iter().bi_size
    }

    /// Whether the bio has no sectors, as an empty flush.
    pub fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Begins the accounting of this I/O in the statistics of our disk; [`UserBio::end`] finishes it.
    pub fn start_acct(&mut self) {
        if self.started.is_none() {
            // SAFETY: By the type invariant the bio lives; its device is our disk.
            self.started = Some(unsafe { bindings::bio_start_io_acct(self.raw()) });
        }
    }

    /// Copies what the I/O of `src` read to the sector `skip` of this bio and following; what lies beyond the end of this bio
    /// is left out. Nothing is done unless this bio is a read: the memory of a write is its submitter's, and may be that of
    /// others, too (the page of zeroes).
    pub fn copy_from<T: EndIo>(&self, skip: u32, src: &DoneBio<T>) {
        if self.opf().op() != Op::Read {
            return;
        }
        let Some(from) = src.cursor() else {
            return;
        };
        // SAFETY: By the type invariant bio and position are valid; a read has memory that is there to be written.
        let to = unsafe { Cursor::new(self.raw(), self.iter(), skip, u32::MAX) };
        to.copy_from(from);
    }

    /// Ends the bio and its accounting.
    pub fn end(mut self, status: Status) {
        self.finish(status);
        mem::forget(self);
    }

    /// Gives our count back. `self` must not be used any more.
    fn finish(&mut self, status: Status) {
        let bio = self.raw();
        if let Some(start) = self.started.take() {
            // SAFETY: By the type invariant the bio lives; `start` is from `bio_start_io_acct`.
            unsafe { bindings::bio_end_io_acct_remapped(bio, start, (*bio).bi_bdev) };
        }
        if !status.is_ok() {
            // Success is not stored: bios that were chained to this one may have left an error here.
            // SAFETY: By the type invariant one count is ours; the bio cannot end, and nobody reads the
            // status, before it is given back.
            unsafe { (*bio).bi_status = status.raw() };
        }
        // SAFETY: As above; this gives our count back.
        unsafe { bindings::bio_endio(bio) };
    }
}

impl Drop for UserBio {
    fn drop(&mut self) {
        self.finish(Status::IOERR);
    }
}

/// A [`UserBio`] of which there may be clones.
///
/// The bio is ended when [`SplitBio::end`] was called *and* all clones of it are gone, so that nobody can
/// touch its pages after its submitter got them back. The status is the one given to `end`: clones never
/// change it.
///
/// # Invariants
///
/// The flag `BIO_CHAIN` of the bio is set.
pub struct SplitBio(UserBio);

impl SplitBio {
    /// Ends the bio and its accounting.
    pub fn end(self, status: Status) {
        self.0.end(status);
    }
}

impl Deref for SplitBio {
    type Target = UserBio;

    fn deref(&self) -> &UserBio {
        &self.0
    }
}
