// SPDX-License-Identifier: GPL-2.0

//! Kernel threads that are stopped and joined by their owner.

use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    error::from_err_ptr,
    ffi::{
        c_int,
        c_long,
        c_void, //
    },
    prelude::*,
    task::might_sleep, //
};

/// A kernel thread. Dropping it stops and joins the thread; may sleep.
///
/// The thread learns of the stop from [`should_stop`], from [`sleep_or_stop`] or from the `_or_stop` waits of
/// [`WaitQueue`](crate::wait::WaitQueue). The owner must not be dropped by the thread itself: it would
/// wait for its own end.
///
/// # Invariants
///
/// - `task` is a thread made by [`Thread::spawn`]; its `task_struct` lives until `kthread_stop`, because
///   the thread function returns only after that call.
/// - `start` is a leaked `KBox<Option<F>>` that `free` turns back; until `kthread_stop` has returned only
///   the thread may touch it.
pub struct Thread {
    task: NonNull<bindings::task_struct>,
    start: *mut c_void,
    free: unsafe fn(*mut c_void),
}

// SAFETY: Any task may stop a thread, and the closure in `start` is `Send`.
unsafe impl Send for Thread {}
// SAFETY: `&Thread` gives nothing.
unsafe impl Sync for Thread {}

impl Thread {
    /// Starts a thread called `name` (15 characters are visible) that runs `f`. May sleep.
    ///
    /// When `f` returns before the thread has been asked to stop, the thread waits for that. A thread
    /// that is stopped before it ever ran does not call `f` but drops it.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or `EINTR` if the caller is being killed.
    pub fn spawn<F: FnOnce() + Send + 'static>(name: &CStr, f: F) -> Result<Self> {
        let start = KBox::into_raw(KBox::new(Some(f), GFP_KERNEL)?);
        // SAFETY: `main::<F>` expects a `*mut Option<F>`; the format takes exactly one string.
        let task = from_err_ptr(unsafe {
            bindings::kthread_create_on_node(
                Some(main::<F>),
                start.cast(),
                bindings::NUMA_NO_NODE,
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        })
        .and_then(|task| NonNull::new(task).ok_or(ENOMEM));
        let task = match task {
            Ok(task) => task,
            Err(e) => {
                // SAFETY: No thread was made, so that the pointer is ours alone.
                unsafe { free::<F>(start.cast()) };
                return Err(e);
            }
        };
        // SAFETY: The thread exists and cannot end before `kthread_stop`.
        unsafe { bindings::wake_up_process(task.as_ptr()) };
        // INVARIANT: `task` and `start` belong together by the calls above.
        Ok(Self {
            task,
            start: start.cast(),
            free: free::<F>,
        })
    }

    /// Asks the thread to stop and waits for its end. May sleep. The same as dropping the value.
    pub fn stop(self) {}
}

impl Drop for Thread {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the task is alive; this is the only call for it.
        unsafe { bindings::kthread_stop(self.task.as_ptr()) };
        // SAFETY: The thread has ended (or will never call `main`), so that nobody else uses `start`.
        unsafe { (self.free)(self.start) };
    }
}

/// True if the current task is a kernel thread that has been asked to stop. Any task.
pub fn should_stop() -> bool {
    // SAFETY: The helper tests that the current task is a kernel thread.
    unsafe { bindings::should_stop() }
}

/// Sleeps for `jiffies`, or until the thread is asked to stop. True if it has been asked to stop. Process
/// context.
pub fn sleep_or_stop(jiffies: u64) -> bool {
    might_sleep();
    // SAFETY: No requirements beyond process context.
    unsafe { bindings::sleep_or_stop(c_long::try_from(jiffies).unwrap_or(c_long::MAX)) };
    should_stop()
}

/// The thread function.
///
/// # Safety
///
/// `start` must be the pointer that [`Thread::spawn`] made for `F`.
unsafe extern "C" fn main<F: FnOnce() + Send + 'static>(start: *mut c_void) -> c_int {
    // SAFETY: By the invariants of `Thread` only this thread touches the closure while it runs.
    let f = unsafe { (*start.cast::<Option<F>>()).take() };
    if let Some(f) = f {
        f();
    }
    // SAFETY: The current task is a kernel thread.
    unsafe { bindings::park_until_stop() };
    0
}

/// Frees what [`Thread::spawn`] leaked.
///
/// # Safety
///
/// `start` must come from [`Thread::spawn`] for `F`, and the caller must be its only user.
unsafe fn free<F>(start: *mut c_void) {
    // SAFETY: By the requirements of this function.
    drop(unsafe { KBox::from_raw(start.cast::<Option<F>>()) });
}
