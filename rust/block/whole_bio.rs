// SPDX-License-Identifier: GPL-2.0

//! A clone of the whole of a user's bio, which it owns.
//!
//! A request that one clone answers needs nothing else: no request, no count of the device or of the bio that it was
//! made from. All of that is kept by what the clone has in front of it.

use super::{
    bio_set::{
        init_set,
        FOR_CLONES, //
    },
    Bdev,
    Opf,
    Status,
    UserBio, //
};
use crate::{
    bindings as bch,
    gate::Inside, //
};
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
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// What keeps something alive.
///
/// # Safety
///
/// What [`Keeper::kept`] gives stays where it is until the value is dropped, also if the value is moved.
pub unsafe trait Keeper: Send + 'static {
    /// What is kept.
    type Kept;

    /// It.
    fn kept(&self) -> &Self::Kept;
}

// SAFETY: It does not hold the value but keeps it from going away.
unsafe impl<T: Sync + 'static> Keeper for Inside<T> {
    type Kept = T;

    #[inline]
    fn kept(&self) -> &T {
        self
    }
}

// SAFETY: As above.
unsafe impl<T: Send + Sync + 'static> Keeper for Arc<T> {
    type Kept = T;

    #[inline]
    fn kept(&self) -> &T {
        self
    }
}

/// What such a clone carries, and what happens when it completes.
pub trait WholeIo: Send + Sized + 'static {
    /// Keeps the set that the bio comes from and the device that it goes to.
    type Keeper: Keeper;

    /// The set.
    fn set(kept: &Kept<Self>) -> &WholeSet<Self>;

    /// The I/O of `bio` is over. Called in interrupt context: no sleeping, no mutex, no submission of further I/O.
    fn end_io(bio: WholeBio<Self>, status: Status);
}

/// What the keeper of a `T` keeps.
pub type Kept<T> = <<T as WholeIo>::Keeper as Keeper>::Kept;

/// What lies in front of the bio. The fields are dropped in this order, after the bio.
pub(super) struct Front<T: WholeIo> {
    user: UserBio,
    keeper: T::Keeper,
    data: T,
    /// For `WholeBio::defer`, and only then initialised.
    pub(super) work: Opaque<bindings::work_struct>,
}

/// A bio with its front, as they lie in memory.
#[repr(C)]
pub(super) struct Padded<T: WholeIo> {
    pub(super) front: Front<T>,
    pub(super) bio: bindings::bio,
}

/// Where such clones come from. Allocation waits for a bio to come back rather than fail.
#[pin_data(PinnedDrop)]
pub struct WholeSet<T: WholeIo> {
    #[pin]
    set: Opaque<bindings::bio_set>,
    _bios: PhantomData<fn(T) -> T>,
}

// SAFETY: A bio set does its own locking; `T`s are only moved through it, and are `Send`.
unsafe impl<T: WholeIo> Send for WholeSet<T> {}
// SAFETY: As above.
unsafe impl<T: WholeIo> Sync for WholeSet<T> {}

impl<T: WholeIo> WholeSet<T> {
    /// Bios come from a slab cache with pointer alignment, so this is all that `T` can ask for.
    const ALIGNED: () = assert!(align_of::<Padded<T>>() <= align_of::<u64>());

    /// A set that keeps `min_pool` bios in reserve. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(min_pool: u32) -> Result<Pin<KBox<Self>>> {
        const { Self::ALIGNED };
        KBox::try_pin_init(
            try_pin_init!(Self {
                set <- init_set(min_pool, offset_of!(Padded<T>, bio), FOR_CLONES),
                _bios: PhantomData,
            }? Error),
            GFP_KERNEL,
        )
    }
}

#[pinned_drop]
impl<T: WholeIo> PinnedDrop for WholeSet<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: The set was initialised. Each of its bios has been freed, since it has its keeper until then, which keeps
        // the set.
        unsafe { bindings::bioset_exit(self.set.get()) };
    }
}

/// A clone of a whole bio from above, not in flight. Any context unless said otherwise.
///
/// Dropped, it fails the bio from above with [`Status::IOERR`].
///
/// # Invariants
///
/// `bio` is the field of a [`Padded`] whose both parts are initialised; it was allocated from the set that the keeper in
/// its front gives, its device is kept by the same, it is not in flight, and it is ours alone.
pub struct WholeBio<T: WholeIo> {
    bio: NonNull<bindings::bio>,
    _data: PhantomData<Front<T>>,
}

// SAFETY: The bio is ours alone and may be used from any thread; what is in its front is `Send`.
unsafe impl<T: WholeIo> Send for WholeBio<T> {}

/// The completion of all these bios.
///
/// # Safety
///
/// `bio` was submitted by [`WholeBio::submit`] of the same `T` and is over.
unsafe extern "C" fn end_io<T: WholeIo>(bio: *mut bindings::bio) {
    // SAFETY: The block layer passes the live bio that has completed.
    let status = Status::from_raw(unsafe { (*bio).bi_status });
    if let Some(bio) = NonNull::new(bio) {
        // SAFETY: `submit` gave up a value of this type; with the completion it is ours again.
        T::end_io(unsafe { WholeBio::from_raw(bio) }, status);
    }
}

impl<T: WholeIo> WholeBio<T> {
    /// Sends a clone of `user` to a sector of a device; [`WholeIo::end_io`] gets it back. May wait for a bio to come back,
    /// without I/O: process context. The device may be closed: then the bio fails with [`Status::IOERR`], from here.
    pub fn send(
        keeper: T::Keeper,
        user: UserBio,
        dev: impl FnOnce(&Kept<T>) -> &Bdev,
        sector: u64,
        data: T,
    ) {
        kernel::task::might_sleep();
        let kept = keeper.kept();
        let (set, dev) = (T::set(kept).set.get(), dev(kept));
        let closed = dev.is_closed();
        // SAFETY: `user` lives and so does the device; with GFP_NOIO the allocation waits instead of failing. The clone is
        // freed before `user` ends. It is ours until it is submitted, and its completion builds the value again.
        unsafe {
            let bio = bch::bio_clone_to(dev.raw(), user.raw(), bch::GFP_NOIO, set);
            (*bio).bi_end_io = Some(end_io::<T>);
            (*bio).bi_iter.bi_sector = sector;
            let padded: *mut Padded<T> = kernel::container_of!(bio, Padded<T>, bio);
            let front = &raw mut (*padded).front;
            (&raw mut (*front).user).write(user);
            (&raw mut (*front).keeper).write(keeper);
            (&raw mut (*front).data).write(data);
            // INVARIANT: Both parts are initialised, set and device are of the keeper.
            Self::submit(bio, closed);
        }
    }

    /// # Safety
    ///
    /// The type invariants hold for `bio`, which the caller gives up.
    unsafe fn submit(bio: *mut bindings::bio, closed: bool) {
        // SAFETY: By the caller's promise.
        unsafe {
            if closed {
                (*bio).bi_status = Status::IOERR.raw();
                bindings::bio_endio(bio);
            } else {
                bindings::submit_bio_noacct(bio);
            }
        }
    }

    /// Makes a value again that was given up.
    ///
    /// # Safety
    ///
    /// `bio` is that of a value that was forgotten; it is not in flight and this is the only new value.
    pub(super) unsafe fn from_raw(bio: NonNull<bindings::bio>) -> Self {
        // INVARIANT: By the caller's promise all is as it was.
        Self {
            bio,
            _data: PhantomData,
        }
    }

    /// Where the front is.
    pub(super) fn front_ptr(&self) -> *mut Front<T> {
        // SAFETY: By the type invariant the bio is the field of a `Padded<T>`.
        unsafe {
            let padded: *mut Padded<T> = kernel::container_of!(self.bio.as_ptr(), Padded<T>, bio);
            &raw mut (*padded).front
        }
    }

    /// What is kept.
    #[inline]
    pub fn kept(&self) -> &Kept<T> {
        // SAFETY: By the type invariant the front is initialised and ours.
        unsafe { (*self.front_ptr()).keeper.kept() }
    }

    /// The data that came with the bio.
    #[inline]
    pub fn data(&self) -> &T {
        // SAFETY: As in `kept`.
        unsafe { &(*self.front_ptr()).data }
    }

    /// The data that came with the bio, to be changed.
    #[inline]
    pub fn data_mut(&mut self) -> &mut T {
        // SAFETY: As in `kept`, and `self` is borrowed exclusively.
        unsafe { &mut (*self.front_ptr()).data }
    }

    /// Operation and flags.
    pub fn opf(&self) -> Opf {
        // SAFETY: By the type invariant the bio is ours.
        Opf::from_raw(unsafe { (*self.bio.as_ptr()).bi_opf })
    }

    /// Ends the bio from above, and with it this one.
    #[inline]
    pub fn end(self, status: Status) {
        let (user, keeper, data) = self.into_parts();
        user.end(status);
        drop(keeper);
        drop(data);
    }

    /// Frees the bio and gives what was in front of it.
    #[inline]
    pub fn into_parts(self) -> (UserBio, T::Keeper, T) {
        let this = ManuallyDrop::new(self);
        let front = this.front_ptr();
        // SAFETY: By the type invariant the front is initialised; it is not used again. The bio is ours and goes before
        // the keeper of its set.
        unsafe {
            let user = ptr::read(&raw const (*front).user);
            let keeper = ptr::read(&raw const (*front).keeper);
            let data = ptr::read(&raw const (*front).data);
            bindings::bio_put(this.bio.as_ptr());
            (user, keeper, data)
        }
    }
}

impl<T: WholeIo> Drop for WholeBio<T> {
    fn drop(&mut self) {
        // SAFETY: This is the last use; the copy is taken apart instead.
        drop(unsafe { Self::from_raw(self.bio) }.into_parts());
    }
}
