// SPDX-License-Identifier: GPL-2.0

//! A bio of our own, on its way to a device below.

use super::{
    bvec::Cursor,
    Bdev,
    BioSet,
    DoneBio,
    Opf,
    Status,
    UserBio,
    SECTOR_SHIFT, //
};
use crate::bindings as bch;
use bcache_core::num;
use core::{
    marker::PhantomData,
    mem::{
        self,
        ManuallyDrop, //
    },
    ptr::NonNull, //
};
use kernel::{
    bindings,
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

/// What happens when a bio with this data completes.
///
/// The data is dropped wherever the bio is dropped, which may be the completion: its `Drop` must not
/// sleep.
pub trait EndIo: Send + Sized + 'static {
    /// The I/O of `bio` is over. Called in interrupt context: no sleeping, no mutex, no
    /// [submission](OwnedBio::submit) of further I/O.
    fn end_io(bio: DoneBio<Self>, status: Status);
}

/// What lies in front of each bio of a [`BioSet`].
pub(super) struct Front<T: EndIo> {
    /// The user's data.
    pub(super) data: ManuallyDrop<T>,
    /// Keeps the device open.
    pub(super) dev: ManuallyDrop<Arc<Bdev>>,
    /// The bio whose pages a clone uses, with one of its counts; null if it is no clone.
    pub(super) src: *mut bindings::bio,
    /// Where the bio came from. The set outlives it, since dropping the set waits.
    pub(super) set: NonNull<BioSet<T>>,
    /// Bytes of the pages that the bio owns.
    pub(super) own_bytes: u32,
    /// First sector of the own pages that is transferred.
    pub(super) skip: u32,
    /// Sectors that are transferred.
    pub(super) sectors: u32,
}

/// A bio with its front, as they lie in memory.
#[repr(C)]
pub(super) struct Padded<T: EndIo> {
    pub(super) front: Front<T>,
    pub(super) bio: bindings::bio,
}

/// A bio of a [`BioSet`] that can be submitted, not in flight. Any context unless said otherwise.
///
/// # Invariants
///
/// `bio` is the field of a [`Padded`] whose both parts are initialised; it was allocated from the set in
/// its front, is not in flight, and is ours alone. If `own_bytes` is not 0, its first segments hold pages
/// of that many bytes that it owns.
pub struct OwnedBio<T: EndIo> {
    bio: NonNull<bindings::bio>,
    _data: PhantomData<T>,
}

// SAFETY: The bio is ours alone, may be used from any thread, and its data is `Send` by `EndIo`.
unsafe impl<T: EndIo> Send for OwnedBio<T> {}
// SAFETY: Methods with `&self` only read, and give out `&T`.
unsafe impl<T: EndIo + Sync> Sync for OwnedBio<T> {}

/// The completion of all our bios.
///
/// # Safety
///
/// `bio` was submitted by [`OwnedBio::submit`] of the same `T` and is over.
unsafe extern "C" fn end_io<T: EndIo>(bio: *mut bindings::bio) {
    // SAFETY: The block layer passes the live bio that has completed.
    let status = Status::from_raw(unsafe { (*bio).bi_status });
    if let Some(bio) = NonNull::new(bio) {
        // SAFETY: `submit` gave up an `OwnedBio` of this type; with the completion it is ours again.
        let bio = unsafe { OwnedBio::from_raw(bio) };
        T::end_io(DoneBio::new(bio), status);
    }
}

impl<T: EndIo> OwnedBio<T> {
    /// Puts the front before a new bio.
    ///
    /// # Safety
    ///
    /// `bio` was just allocated from the set of `front`, whose bios have room for a `Front<T>`.
    pub(super) unsafe fn init(bio: *mut bindings::bio, front: Front<T>) -> OwnedBio<T> {
        // SAFETY: By the caller's promise the bio is not null, ours, and has a front to be written.
        let this = unsafe {
            (*bio).bi_end_io = Some(end_io::<T>);
            OwnedBio {
                bio: NonNull::new_unchecked(bio),
                _data: PhantomData,
            }
        };
        // SAFETY: As above.
        unsafe { this.front_ptr().write(front) };
        // INVARIANT: Both parts are initialised now.
        this
    }

    /// Makes a value again that was given up.
    ///
    /// # Safety
    ///
    /// `bio` is that of an `OwnedBio<T>` that was forgotten; it is not in flight and this is the only new value.
    pub(super) unsafe fn from_raw(bio: NonNull<bindings::bio>) -> Self {
        // INVARIANT: By the caller's promise all is as it was.
        Self {
            bio,
            _data: PhantomData,
        }
    }

    /// The C bio.
    fn raw(&self) -> *mut bindings::bio {
        self.bio.as_ptr()
    }

    /// Where the front is.
    pub(super) fn front_ptr(&self) -> *mut Front<T> {
        // SAFETY: By the type invariant the bio is the field of a `Padded<T>`.
        unsafe {
            let padded: *mut Padded<T> = kernel::container_of!(self.raw(), Padded<T>, bio);
            &raw mut (*padded).front
        }
    }

    /// The front.
    fn front(&self) -> &Front<T> {
        // SAFETY: By the type invariant the front is initialised and ours.
        unsafe { &*self.front_ptr() }
    }

    /// The front, to be changed.
    fn front_mut(&mut self) -> &mut Front<T> {
        // SAFETY: As in `front`, and `self` is borrowed exclusively.
        unsafe { &mut *self.front_ptr() }
    }

    /// The data that came with the bio, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.front_mut().data
    }

    /// Frees the bio and gives its data.
    pub fn into_data(self) -> T {
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is never used again.
        unsafe { this.dismantle() }
    }

    /// Frees everything but the data.
    ///
    /// # Safety
    ///
    /// `self` must not be used or dropped afterwards.
    unsafe fn dismantle(&self) -> T {
        // SAFETY: By the type invariant the front is initialised; it is never used again.
        let mut front = unsafe { self.front_ptr().read() };
        // SAFETY: The bio is ours; its segments hold the pages that it owns, if any. The clone goes
        // before the bio whose segments it uses; the count on that is given back once. The set lives,
        // since this bio is still counted.
        unsafe {
            if front.own_bytes != 0 {
                bindings::bio_free_pages(self.raw());
            }
            bindings::bio_put(self.raw());
            if !front.src.is_null() {
                bindings::bio_endio(front.src);
            }
            BioSet::bio_gone(front.set);
        }
        // SAFETY: The front is a copy that is used only here.
        unsafe {
            ManuallyDrop::drop(&mut front.dev);
            ManuallyDrop::take(&mut front.data)
        }
    }

    /// Sets the first sector on the device.
    pub fn set_sector(&mut self, sector: u64) {
        // SAFETY: By the type invariant the bio is ours.
        unsafe { (*self.raw()).bi_iter.bi_sector = sector };
    }

    /// Operation and flags.
    pub fn opf(&self) -> Opf {
        // SAFETY: By the type invariant the bio is ours.
        Opf::from_raw(unsafe { (*self.raw()).bi_opf })
    }

    /// The C value of `opf` for this bio: whether it goes back to the cache of a CPU is between it and its set.
    fn with_origin(&self, opf: Opf) -> u32 {
        opf.for_submit() | (self.opf().raw() & bch::REQ_ALLOC_CACHE)
    }

    /// Sets operation and flags.
    pub fn set_opf(&mut self, opf: Opf) {
        let opf = self.with_origin(opf);
        // SAFETY: By the type invariant the bio is ours.
        unsafe { (*self.raw()).bi_opf = opf };
    }

    /// Sets the priority to idle: the device may serve it when it has nothing else to do.
    pub fn set_ioprio_idle(&mut self) {
        // SAFETY: By the type invariant the bio is ours.
        unsafe { (*self.raw()).bi_ioprio = bch::IOPRIO_IDLE };
    }

    /// Charges the I/O to the control group of `src`.
    pub fn charge_to(&mut self, src: &UserBio) {
        // SAFETY: Both bios live, and this one is ours.
        unsafe { bch::bio_clone_blkg_association(self.raw(), src.raw()) };
    }

    /// Holds a count of `dev` instead of the device so far.
    fn hold(&mut self, dev: &Arc<Bdev>) {
        let new = ManuallyDrop::new(dev.clone());
        let old = mem::replace(&mut self.front_mut().dev, new);
        drop(ManuallyDrop::into_inner(old));
    }

    /// Gives the bio pages of its own for `bytes`, a multiple of 512; they are freed with it. The memory allocator
    /// does not try hard: for I/O that need not be, or that can be done otherwise. Process context, NOIO.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` if the bio has pages already, is a clone or has too few segments. The bio is
    /// then as before.
    pub fn alloc_pages(&mut self, bytes: usize) -> Result {
        let total = u32::try_from(bytes).map_err(|_| EINVAL)?;
        let front = self.front();
        if front.own_bytes != 0 || !front.src.is_null() || bytes == 0 || bytes % 512 != 0 {
            return Err(EINVAL);
        }
        let gfp = bch::GFP_NOIO | bch::__GFP_NORETRY | bch::__GFP_NOWARN;
        let mut left = bytes;
        while left > 0 {
            let len = left.min(PAGE_SIZE);
            if let Err(e) = self.add_page(gfp, num::u32_from_usize_sat(len)) {
                self.remove_pages();
                return Err(e);
            }
            left -= len;
        }
        // INVARIANT: The segments hold pages of this size.
        let front = self.front_mut();
        front.own_bytes = total;
        front.skip = 0;
        front.sectors = total >> SECTOR_SHIFT;
        Ok(())
    }

    /// Adds one new page.
    fn add_page(&mut self, gfp: bindings::gfp_t, len: c_uint) -> Result {
        // SAFETY: Plain call.
        let page = unsafe { bch::alloc_page(gfp) };
        if page.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: The bio is ours and no clone; the page is ours.
        unsafe {
            if bindings::bio_add_page(self.raw(), page, len, 0) <= 0 {
                bch::free_page(page);
                return Err(EINVAL);
            }
        }
        Ok(())
    }

    /// Frees the pages that were added so far.
    fn remove_pages(&mut self) {
        // SAFETY: The bio is ours; all its segments are pages from `add_page`.
        unsafe {
            bindings::bio_free_pages(self.raw());
            (*self.raw()).bi_vcnt = 0;
            (*self.raw()).bi_iter.bi_size = 0;
        }
    }

    /// Makes the bio ready for another I/O with its own pages, after a completion: [`DoneBio::reset`].
    pub(super) fn reset(&mut self, dev: &Arc<Bdev>, opf: Opf, sector: u64) {
        let bio = self.raw();
        let opf = self.with_origin(opf);
        // SAFETY: The bio is ours and not in flight, and `dev` is held below. `bio_reset` keeps the segments but forgets how
        // many there are, which is put back.
        unsafe {
            let vcnt = (*bio).bi_vcnt;
            bindings::bio_reset(bio, dev.raw(), opf);
            (*bio).bi_end_io = Some(end_io::<T>);
            (*bio).bi_vcnt = vcnt;
            (*bio).bi_iter.bi_sector = sector;
            (*bio).bi_iter.bi_size = self.front().own_bytes;
        }
        self.hold(dev);
        let front = self.front_mut();
        front.skip = 0;
        front.sectors = front.own_bytes >> SECTOR_SHIFT;
    }

    /// Restricts the next I/O to `len` sectors of the own pages, from their sector `skip` on; the sector
    /// on the device stays. After [`OwnedBio::alloc_pages`] or [`DoneBio::reset`]; replaces an earlier
    /// range. Ranges beyond the end are cut.
    pub fn set_range(&mut self, skip: u32, len: u32) {
        let bio = self.raw();
        let total = self.front().own_bytes;
        if total == 0 {
            return;
        }
        let skip = skip.min(total >> SECTOR_SHIFT);
        let len = len.min((total >> SECTOR_SHIFT) - skip);
        // SAFETY: The bio is ours; the position is its start, and it has at least `skip` sectors.
        unsafe {
            let sector = (*bio).bi_iter.bi_sector;
            bch::bvec_iter_rewind(&raw mut (*bio).bi_iter, total);
            bindings::__bio_advance(bio, skip << SECTOR_SHIFT);
            (*bio).bi_iter.bi_size = len << SECTOR_SHIFT;
            (*bio).bi_iter.bi_sector = sector;
        }
        let front = self.front_mut();
        front.skip = skip;
        front.sectors = len;
    }

    /// The part of the own pages that the range covers, wherever the I/O left the bio's position.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        let front = self.front();
        if front.own_bytes == 0 {
            return None;
        }
        let iter = bindings::bvec_iter {
            bi_size: front.own_bytes,
            ..Default::default()
        };
        // SAFETY: By the type invariant the segments hold pages of that many bytes.
        Some(unsafe { Cursor::new(self.raw(), iter, front.skip, front.sectors) })
    }

    /// Sends the bio to its device; [`EndIo::end_io`] gets it back, as a [`DoneBio`]. Does not wait for I/O, but is for
    /// process context only: a driver below may hold the lock of its queue while it completes bios, so
    /// that a submission from [`EndIo::end_io`] would wait for itself. The device may be closed: then the
    /// bio fails with [`Status::IOERR`], from here.
    pub fn submit(self) {
        kernel::task::might_sleep();
        let this = ManuallyDrop::new(self);
        let bio = this.raw();
        let closed = this.front().dev.is_closed();
        // SAFETY: The bio is ours and given up here: its completion builds the value again. Its device
        // stays open until then because of the count in its front.
        unsafe {
            if closed {
                (*bio).bi_status = Status::IOERR.raw();
                bindings::bio_endio(bio);
            } else {
                bindings::submit_bio_noacct(bio);
            }
        }
    }
}

impl<T: EndIo> Drop for OwnedBio<T> {
    fn drop(&mut self) {
        // SAFETY: This is the last use.
        drop(unsafe { self.dismantle() });
    }
}
