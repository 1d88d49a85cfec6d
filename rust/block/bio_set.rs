// SPDX-License-Identifier: GPL-2.0

//! Where our own bios come from.
//!
//! C: `struct bio_set` in [`include/linux/bio.h`](srctree/include/linux/bio.h); C bcache: `bio_split` of
//! `struct cache_set` and `struct bcache_device`.

use super::{
    owned_bio::{
        Front,
        Padded, //
    },
    Bdev,
    EndIo,
    Opf,
    OwnedBio,
    SplitBio,
    SECTOR_SHIFT, //
};
use crate::{
    bindings as bch,
    live::Live, //
};
use bcache_core::num;
use core::{
    marker::PhantomData,
    mem::{
        offset_of,
        ManuallyDrop, //
    },
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// Most segments of one bio.
const MAX_VECS: u32 = bindings::BIO_MAX_VECS;

/// Each CPU keeps some clones at hand. The reserve is not touched by that, as what was taken from it goes back to it.
pub(super) const FOR_CLONES: u32 = bindings::BIOSET_PERCPU_CACHE;

/// A C set that keeps `min_pool` bios in reserve, with so many bytes in front of each.
pub(super) fn init_set(
    min_pool: u32,
    front_pad: usize,
    flags: u32,
) -> impl PinInit<Opaque<bindings::bio_set>, Error> {
    // The rescuer runs bios that one `submit_bio` of ours has queued behind the one that waits
    // for memory: without it two clones per request could deadlock.
    let flags = flags | bindings::BIOSET_NEED_RESCUER;
    Opaque::try_ffi_init(move |p: *mut bindings::bio_set| {
        let flags = c_int::try_from(flags)?;
        let front_pad = num::u32_from_usize_sat(front_pad);
        // SAFETY: `p` is valid for writes; `bioset_init` wants zeroed memory. If it fails it has undone everything.
        to_result(unsafe {
            ptr::write_bytes(p, 0, 1);
            bindings::bioset_init(p, min_pool.max(1), front_pad, flags)
        })
    })
}

/// A pool of bios, each with a `T` in front. Allocation waits for a bio to come back rather than fail.
///
/// Dropping the set sleeps until all its bios are gone; it must not happen in interrupt context.
#[pin_data(PinnedDrop)]
pub struct BioSet<T: EndIo> {
    #[pin]
    set: Opaque<bindings::bio_set>,
    /// Bios that exist.
    live: Live,
    /// Whether bios may have pages of their own.
    bvecs: bool,
    _bios: PhantomData<fn(T) -> T>,
}

// SAFETY: A bio set does its own locking; `T`s are only moved through it, and are `Send` by `EndIo`.
unsafe impl<T: EndIo> Send for BioSet<T> {}
// SAFETY: As above.
unsafe impl<T: EndIo> Sync for BioSet<T> {}

impl<T: EndIo> BioSet<T> {
    /// Bios come from a slab cache with pointer alignment, so this is all that `T` can ask for.
    const ALIGNED: () = assert!(align_of::<Padded<T>>() <= align_of::<u64>());

    /// A set that keeps `min_pool` bios in reserve. With `bvecs`, [`BioSet::alloc`] can make bios with
    /// pages; a set that is only cloned from does not need it. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(min_pool: u32, bvecs: bool) -> Result<Pin<KBox<BioSet<T>>>> {
        const { Self::ALIGNED };
        let flags = if bvecs {
            bindings::BIOSET_NEED_BVECS
        } else {
            FOR_CLONES
        };
        KBox::try_pin_init(
            try_pin_init!(BioSet {
                live: Live::new("bios")?,
                set <- init_set(min_pool, offset_of!(Padded<T>, bio), flags),
                bvecs,
                _bios: PhantomData,
            }? Error),
            GFP_KERNEL,
        )
    }

    /// A bio for `dev` that transfers `len` sectors of `src` from its sector `skip` on, with the
    /// operation, flags and priority of `src` and the device sector of `src` advanced by `skip`
    /// ([`OwnedBio::set_sector`] changes that). Longer ranges are cut to what `src` has.
    ///
    /// The clone uses the pages of `src`: until it is dropped, `src` does not end. May wait for a bio to
    /// come back, without I/O: process context.
    pub fn clone_range(
        &self,
        dev: &Arc<Bdev>,
        src: &SplitBio,
        skip: u32,
        len: u32,
        data: T,
    ) -> OwnedBio<T> {
        let skip = skip.min(src.sectors());
        let len = len.min(src.sectors() - skip);
        // SAFETY: `src` lives and so does the device; with GFP_NOIO the allocation waits instead of
        // failing, and the clone is not used after `src`, because of the count taken below.
        let bio = unsafe { bch::bio_clone_to(dev.raw(), src.raw(), bch::GFP_NOIO, self.set.get()) };
        let mut front = self.front(dev, data);
        // SAFETY: Both bios live. The clone is ours alone and has at least `skip` sectors; it gives the
        // count on `src` back when it is dropped.
        unsafe {
            bch::bio_inc_chained(src.raw());
            if skip != 0 {
                bindings::__bio_advance(bio, skip << SECTOR_SHIFT);
            }
            (*bio).bi_iter.bi_size = len << SECTOR_SHIFT;
        }
        front.src = src.raw();
        front.sectors = len;
        // SAFETY: The bio was just allocated from this set, for `front`.
        unsafe { OwnedBio::init(bio, front) }
    }

    /// An empty bio for `dev` at `sector`, with room for `nr_pages` (at most 256; 0 unless the set has
    /// bvecs) pages; see [`OwnedBio::alloc_pages`]. Without pages, and with [`Opf::PREFLUSH`], it is a
    /// flush. Context as [`BioSet::clone_range`].
    pub fn alloc(
        &self,
        dev: &Arc<Bdev>,
        nr_pages: u32,
        opf: Opf,
        sector: u64,
        data: T,
    ) -> OwnedBio<T> {
        let bio = self.empty(dev, nr_pages, opf, bch::GFP_NOIO);
        // SAFETY: With GFP_NOIO the allocation waits instead of failing.
        unsafe { self.finish(bio, dev, sector, data) }
    }

    /// As [`BioSet::alloc`], but gives up instead of waiting: for I/O that need not be. Not from interrupts: what a CPU keeps of
    /// freed bios is taken from it with preemption disabled only.
    pub fn try_alloc(
        &self,
        dev: &Arc<Bdev>,
        nr_pages: u32,
        opf: Opf,
        sector: u64,
        data: T,
    ) -> Option<OwnedBio<T>> {
        let bio = self.empty(dev, nr_pages, opf, bch::GFP_NOWAIT);
        // SAFETY: Just made by `empty`, and not null.
        (!bio.is_null()).then(|| unsafe { self.finish(bio, dev, sector, data) })
    }

    /// A bio without front, or null.
    fn empty(
        &self,
        dev: &Arc<Bdev>,
        nr_pages: u32,
        opf: Opf,
        gfp: bindings::gfp_t,
    ) -> *mut bindings::bio {
        let nr = if self.bvecs {
            nr_pages.min(MAX_VECS)
        } else {
            0
        };
        // SAFETY: The device lives. There are segments only in a set that has a pool for them.
        unsafe {
            bindings::bio_alloc_bioset(
                dev.raw(),
                num::u16_from_u32_sat(nr),
                opf.for_submit(),
                gfp,
                self.set.get(),
            )
        }
    }

    /// Makes a bio complete.
    ///
    /// # Safety
    ///
    /// `bio` was just made by `empty` of this set for `dev`; it is not null.
    unsafe fn finish(
        &self,
        bio: *mut bindings::bio,
        dev: &Arc<Bdev>,
        sector: u64,
        data: T,
    ) -> OwnedBio<T> {
        let front = self.front(dev, data);
        // SAFETY: The bio is ours alone, and was just allocated from this set, for `front`.
        unsafe {
            (*bio).bi_iter.bi_sector = sector;
            OwnedBio::init(bio, front)
        }
    }

    /// What goes in front of a new bio; counts the bio.
    fn front(&self, dev: &Arc<Bdev>, data: T) -> Front<T> {
        self.live.add();
        Front {
            data: ManuallyDrop::new(data),
            dev: ManuallyDrop::new(dev.clone()),
            src: ptr::null_mut(),
            set: NonNull::from(self),
            own_bytes: 0,
            skip: 0,
            sectors: 0,
        }
    }

    /// A bio is gone. Any context.
    ///
    /// # Safety
    ///
    /// `set` is there, and the bio was of it. The set may be freed at once after this.
    pub(super) unsafe fn bio_gone(set: NonNull<Self>) {
        // SAFETY: By the caller's promise; the bio was counted by `front`.
        unsafe { Live::gone(&raw const (*set.as_ptr()).live) };
    }
}

#[pinned_drop]
impl<T: EndIo> PinnedDrop for BioSet<T> {
    fn drop(self: Pin<&mut Self>) {
        self.live.wait();
        // SAFETY: The set was initialised, and no bio of it exists any more.
        unsafe { bindings::bioset_exit(self.set.get()) };
    }
}
