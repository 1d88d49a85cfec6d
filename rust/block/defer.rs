// SPDX-License-Identifier: GPL-2.0

//! Bios that go on in process context after their completion.

use super::{
    whole_bio::{
        Front,
        Padded, //
    },
    Kept,
    WholeBio,
    WholeIo, //
};
use crate::{
    bindings as bch,
    workqueue::Queue, //
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::static_lock_class,
    types::Opaque, //
};

/// Bios with this data can go on in process context; see [`WholeBio::defer`].
pub trait Deferred: WholeIo {
    /// The queue that runs the bio. It must exist until the bio has run.
    fn queue(kept: &Kept<Self>) -> &Queue;

    /// Goes on with the bio. Process context, may sleep.
    fn run(bio: WholeBio<Self>);
}

/// Lockdep wants one name pointer per class.
static DEFERRED: &CStr = c"bcache_kernel::WholeBio";

impl<T: Deferred> WholeBio<T> {
    /// Lets a worker go on with the bio, which is not in flight. Any context; takes no memory.
    pub fn defer(self) {
        let queue = <T as Deferred>::queue(self.kept()).as_ptr();
        let this = ManuallyDrop::new(self);
        // SAFETY: The front is ours and stays where it is until `run_deferred` has got the bio back. What is kept says
        // that the queue lives until then; `queue_work_on` does not touch it any more once the work may run.
        unsafe {
            let work = (*this.front_ptr()).work.get();
            bindings::init_work_with_key(
                work,
                Some(run_deferred::<T>),
                false,
                DEFERRED.as_char_ptr(),
                static_lock_class!().as_ptr(),
            );
            bindings::queue_work_on(bch::CPU_UNBOUND, queue, work);
        }
    }
}

/// The work function of a bio.
///
/// # Safety
///
/// `work` is the one that [`WholeBio::defer`] put on a queue for the same `T`.
unsafe extern "C" fn run_deferred<T: Deferred>(work: *mut bindings::work_struct) {
    // SAFETY: By the caller's promise the work is in the front of a bio.
    let padded = unsafe {
        let front = kernel::container_of!(Opaque::cast_from(work), Front<T>, work);
        kernel::container_of!(front, Padded<T>, front)
    };
    // SAFETY: As above, and the bio lives.
    let bio = unsafe { &raw mut (*padded.cast_mut()).bio };
    if let Some(bio) = NonNull::new(bio) {
        // SAFETY: `defer` gave up a `WholeBio` of this type; a work that runs is out of its queue.
        T::run(unsafe { WholeBio::from_raw(bio) });
    }
}
