// SPDX-License-Identifier: GPL-2.0

//! `bcache_kernel`: safe abstractions over kernel facilities that the `kernel` crate does not have.
//!
//! All `unsafe` code of the driver is in this crate, and `bindings` never leaves it. Most of what is here would fit any
//! block driver that stacks on other devices. These parts are about bcache:
//!
//! * [`params`]: the parameters of the module;
//! * `ondisk_check`: the formats of the core crate are those of C's header;
//! * [`ratework`]: the work that updates the rate of writeback, over a protocol of the core crate;
//! * [`task::SeqIo`]: the two fields of `task_struct` that the kernel has for bcache;
//! * [`block::SbPage`]: knows where on a device its superblock is.

pub mod atomic;
pub mod batch;
pub(crate) mod bindings;
pub mod block;
pub mod crc64;
pub mod debugfs;
pub mod delayed;
pub mod dma;
pub mod gate;
#[cfg(all(CONFIG_X86_64, not(CONFIG_KASAN), not(CONFIG_KCSAN)))]
mod inline_atomic;
pub mod job;
pub mod kobject;
pub mod kthread;
mod live;
pub mod log;
pub mod memalloc;
mod mempool;
pub mod module;
pub mod notifier;
mod ondisk_check;
pub mod params;
pub mod random;
pub mod ratework;
pub mod rcu;
pub mod rwsem;
pub mod shrinker;
pub mod spin;
pub mod sysfs;
pub mod task;
pub mod time;
pub mod wait;
pub mod workqueue;
pub mod zeroed;

pub use log::panic_machine;

/// Prefix of log lines printed from this crate.
const __LOG_PREFIX: &[u8] = b"bcache\0";

/// Lets a C table that holds raw pointers live in an immutable `static`.
///
/// # Invariants
///
/// The value is never written after it was built at compile time.
#[repr(transparent)]
pub(crate) struct AssertSync<T>(pub(crate) T);

// SAFETY: By the type invariant nobody writes to the value, so that shared reads cannot race.
unsafe impl<T> Sync for AssertSync<T> {}

/// The `struct module` of this driver.
///
/// Taken from the linker's symbol and not from the `module!` macro, whose shape differs between
/// kernel releases.
pub(crate) const fn this_module() -> *mut kernel::bindings::module {
    (&raw const kernel::bindings::__this_module).cast_mut()
}
