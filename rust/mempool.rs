// SPDX-License-Identifier: GPL-2.0

//! Memory that is always there for somebody: pools with a reserve.
//!
//! C header: [`include/linux/mempool.h`](srctree/include/linux/mempool.h)

use crate::{
    bindings as bch,
    live::Live, //
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// What an allocation does when there is neither free memory nor a reserve.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Without {
    /// Sleeps, without I/O, until there is. It never fails.
    Wait,
    /// Fails at once.
    Fail,
}

/// Memory for values of `T`, from the slab allocator or, if that has none, from a reserve that is filled up again by
/// whatever is given back.
///
/// Dropping the pool sleeps until all its memory is back; it must not happen in interrupt context.
///
/// # Invariants
///
/// `pool` is initialised. `live` counts the memory that was handed out and is not back.
#[pin_data(PinnedDrop)]
pub(crate) struct MemPool<T> {
    #[pin]
    pool: Opaque<bindings::mempool>,
    live: Live,
    _values: PhantomData<fn(T) -> T>,
}

// SAFETY: A mempool does its own locking, and no value is in it.
unsafe impl<T> Send for MemPool<T> {}
// SAFETY: As above.
unsafe impl<T> Sync for MemPool<T> {}

impl<T> MemPool<T> {
    /// The slab allocator aligns to a machine word.
    const ALIGNED: () = assert!(align_of::<T>() <= align_of::<u64>());

    /// A pool with memory for `min` values (at least one) in reserve. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(min: u16) -> impl PinInit<Self, Error> {
        const { Self::ALIGNED };
        let min = c_int::from(min.max(1));
        // INVARIANT: Initialised; nothing was handed out yet.
        try_pin_init!(Self {
            live: Live::new("jobs")?,
            pool <- Opaque::try_ffi_init(move |p: *mut bindings::mempool| {
                // SAFETY: `p` is valid for writes and stays pinned; `mempool_init` wants zeroed memory. If it fails it
                // has undone everything.
                to_result(unsafe {
                    ptr::write_bytes(p, 0, 1);
                    bch::mempool_init_kmalloc(p, min, size_of::<T>())
                })
            }),
            _values: PhantomData,
        }? Error)
    }

    /// Memory for one value. `Some` with [`Without::Wait`], which is for process context.
    pub(crate) fn get(&self, without: Without) -> Option<NonNull<MaybeUninit<T>>> {
        let gfp = match without {
            Without::Wait => bch::GFP_NOIO,
            Without::Fail => bch::GFP_NOWAIT,
        };
        // SAFETY: By the type invariant the pool is initialised.
        let p = unsafe { bch::mempool_get(self.pool.get(), gfp) };
        let p = NonNull::new(p.cast())?;
        self.live.add();
        Some(p)
    }

    /// Takes memory back. Any context.
    ///
    /// # Safety
    ///
    /// `p` is from [`MemPool::get`] of this pool, and no value is in it any more. The pool may be freed at once after
    /// this, unless the caller has other means to keep it.
    pub(crate) unsafe fn put(&self, p: NonNull<MaybeUninit<T>>) {
        // SAFETY: By the caller's promise; the pool waits for `live` before it goes.
        unsafe { bindings::mempool_free(p.as_ptr().cast(), self.pool.get()) };
        // SAFETY: Counted when it was handed out.
        unsafe { Live::gone(&raw const self.live) };
    }
}

#[pinned_drop]
impl<T> PinnedDrop for MemPool<T> {
    fn drop(self: Pin<&mut Self>) {
        self.live.wait();
        // SAFETY: The pool is initialised and all its memory is back.
        unsafe { bindings::mempool_exit(self.pool.get()) };
    }
}
