// SPDX-License-Identifier: GPL-2.0

//! Shrinkers: how memory reclaim asks a cache to give memory back.

use crate::bindings;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    ffi::{
        c_int,
        c_long,
        c_ulong, //
    },
    prelude::*,
    sync::Arc, //
};

/// A cache that can shrink. Both functions run in the context of any task that needs memory, possibly
/// below our own locks: take locks by `try_` only, and allocate nothing.
pub trait Shrink: Send + Sync + Sized + 'static {
    /// How many objects could be freed.
    fn count(&self) -> usize;

    /// Tries to free `nr` objects; gives how many were freed, or `None` to be left alone this time.
    /// `may_io`: the task that needs memory could wait for I/O.
    fn scan(&self, nr: usize, may_io: bool) -> Option<usize>;
}

/// A registered shrinker for one object. Dropping it waits for running calls; may sleep.
///
/// # Invariants
///
/// `raw` is registered, and its `private_data` is an `Arc<T>` whose count this value owns.
pub struct Shrinker<T: Shrink> {
    raw: NonNull<bindings::shrinker>,
    _cache: PhantomData<Arc<T>>,
}

// SAFETY: Shrinkers may be freed by any task; `T` is `Send + Sync` by `Shrink`.
unsafe impl<T: Shrink> Send for Shrinker<T> {}
// SAFETY: `&Shrinker` gives nothing.
unsafe impl<T: Shrink> Sync for Shrinker<T> {}

impl<T: Shrink> Shrinker<T> {
    /// Registers a shrinker for `cache`. `seeks` is the cost of making an object again (2 is usual),
    /// `batch` how many objects to ask for at once (0: the default). May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn register(name: &CStr, cache: Arc<T>, seeks: u16, batch: u32) -> Result<Self> {
        // SAFETY: `name` is a C string; the helper copies it.
        let raw = unsafe { bindings::new_shrinker(name.as_char_ptr()) };
        let raw = NonNull::new(raw).ok_or(ENOMEM)?;
        let p = raw.as_ptr();
        // SAFETY: The shrinker is ours alone until it is registered.
        unsafe {
            (*p).count_objects = Some(count::<T>);
            (*p).scan_objects = Some(scan::<T>);
            (*p).private_data = Arc::into_raw(cache).cast_mut().cast();
            (*p).seeks = c_int::from(seeks);
            (*p).batch = c_long::try_from(batch).unwrap_or(0);
        }
        // SAFETY: All fields are set.
        unsafe { bindings::shrinker_register(p) };
        // INVARIANT: As just set.
        Ok(Self {
            raw,
            _cache: PhantomData,
        })
    }
}

impl<T: Shrink> Drop for Shrinker<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        let cache = unsafe { (*self.raw.as_ptr()).private_data };
        // SAFETY: As above. On return no call is running, and none will come.
        unsafe { bindings::shrinker_free(self.raw.as_ptr()) };
        // SAFETY: The count is ours, and nobody uses the pointer any more.
        drop(unsafe { Arc::<T>::from_raw(cache.cast_const().cast()) });
    }
}

/// The C count function.
///
/// # Safety
///
/// `shrinker` must be that of a registered [`Shrinker<T>`].
unsafe extern "C" fn count<T: Shrink>(
    shrinker: *mut bindings::shrinker,
    _sc: *mut bindings::shrink_control,
) -> c_ulong {
    // SAFETY: By the invariants of `Shrinker`; its drop waits for this call.
    let cache = unsafe { &*(*shrinker).private_data.cast_const().cast::<T>() };
    // The two largest values have meanings of their own.
    cache.count().min(c_ulong::MAX - 2)
}

/// The C scan function.
///
/// # Safety
///
/// `shrinker` must be that of a registered [`Shrinker<T>`], and `sc` valid.
unsafe extern "C" fn scan<T: Shrink>(
    shrinker: *mut bindings::shrinker,
    sc: *mut bindings::shrink_control,
) -> c_ulong {
    // SAFETY: As in `count`.
    let cache = unsafe { &*(*shrinker).private_data.cast_const().cast::<T>() };
    // SAFETY: By the requirement.
    let (nr, gfp) = unsafe { ((*sc).nr_to_scan, (*sc).gfp_mask) };
    cache
        .scan(nr, gfp & bindings::GFP_IO_BIT != 0)
        // All bits set is SHRINK_STOP.
        .map_or(c_ulong::MAX, |n| n.min(c_ulong::MAX - 1))
}
