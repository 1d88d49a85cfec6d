// SPDX-License-Identifier: GPL-2.0

//! A value behind a gate that counts its users, over the protocol of `bcache_core::gate`.

use crate::{
    atomic::KWord,
    wait::WaitQueue, //
};
use bcache_core::gate::Gate;
use core::{
    marker::PhantomPinned,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A value that users may go into while its gate is open; whoever closes it can wait until all have left.
///
/// It does not go away while somebody is inside: dropping it closes the gate and, if need be, sleeps until the last one has
/// left. So a user needs no count of whatever owns the value.
#[pin_data(PinnedDrop)]
pub struct Gated<T> {
    gate: Gate<KWord>,
    /// Counted, since the one who leaves last wakes the others when the rest of this may be gone.
    wait: Arc<WaitQueue>,
    #[pin]
    value: T,
    /// Users have its address.
    #[pin]
    _pinned: PhantomPinned,
}

impl<T> Gated<T> {
    /// A value behind an open gate, with nobody inside. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and what the initialiser of the value gives.
    pub fn new(value: impl PinInit<T, Error>) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            gate: Gate::new(KWord::new(0)),
            wait: Arc::pin_init(WaitQueue::new(), GFP_KERNEL)?,
            value <- value,
            _pinned: PhantomPinned,
        }? Error)
    }

    /// Goes in, unless the gate is closed. Any context.
    #[inline]
    pub fn enter(&self) -> Option<Inside<T>> {
        if !self.gate.enter() {
            return None;
        }
        // INVARIANT: The gate has just counted the user.
        Some(Inside(NonNull::from(self)))
    }

    /// Closes the gate; true if it was open. Those who are in stay in. Any context.
    pub fn close(&self) -> bool {
        self.gate.close()
    }

    /// Opens the gate again. Any context.
    pub fn reopen(&self) {
        self.gate.reopen();
    }

    /// True if the gate is closed. Any context.
    pub fn is_closed(&self) -> bool {
        self.gate.is_closed()
    }

    /// How many users are in; out of date at once. Any context.
    pub fn users(&self) -> u64 {
        self.gate.users()
    }

    /// Sleeps until nobody is in. The gate must have been closed, and the caller must not be in.
    pub fn wait_idle(&self) {
        self.gate.wait_idle(&*self.wait);
    }
}

impl<T> Deref for Gated<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

#[pinned_drop]
impl<T> PinnedDrop for Gated<T> {
    fn drop(self: Pin<&mut Self>) {
        self.close();
        if !self.gate.is_idle() {
            self.wait_idle();
        }
    }
}

/// The holder is inside the gate and can use the value; dropping it leaves. Any context.
///
/// # Invariants
///
/// The gate has counted this user, who has not left: the value is there, since it does not go away before.
#[must_use = "the user leaves when this value is dropped"]
pub struct Inside<T>(NonNull<Gated<T>>);

// SAFETY: It gives `&T` in the end, and what it does with the gate may be done in any context. Dropping it does not drop
// the value.
unsafe impl<T: Sync> Send for Inside<T> {}
// SAFETY: As above.
unsafe impl<T: Sync> Sync for Inside<T> {}

impl<T> Inside<T> {
    /// Another user who goes in as [`Gated::enter`] does; `None` if the gate was closed meanwhile. Any context.
    pub fn again(&self) -> Option<Self> {
        self.gated().enter()
    }

    fn gated(&self) -> &Gated<T> {
        // SAFETY: By the type invariant it is there as long as this value.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Clone for Inside<T> {
    /// One more user, also if the gate is closed meanwhile.
    fn clone(&self) -> Self {
        self.gated().gate.enter_too();
        // INVARIANT: Counted, before this value has left.
        Self(self.0)
    }
}

impl<T> Deref for Inside<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.gated().value
    }
}

impl<T> Drop for Inside<T> {
    #[inline]
    fn drop(&mut self) {
        let gated: *const Gated<T> = self.0.as_ptr();
        // SAFETY: By the type invariant the gate is there until it counts us out. `leave_with` does not touch it any more
        // after that, and the references end there; the queue is kept by the count taken before.
        let last = unsafe { (*gated).gate.leave_with(|| (*gated).wait.clone()) };
        if let Some(wait) = last {
            wait.wake_all();
        }
    }
}
