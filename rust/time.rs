// SPDX-License-Identifier: GPL-2.0

//! Clocks and sleeping.

use crate::bindings;
use kernel::{
    ffi::{
        c_long,
        c_uint,
        c_ulong, //
    },
    task::might_sleep,
    time::msecs_to_jiffies as msecs_to_c_jiffies, //
};

/// Jiffies per second.
///
/// `kernel::bindings::HZ` is not that: it is the constant 100 that user space sees.
pub const HZ: u32 = bindings::KERNEL_HZ;

/// The longest delay that a timer takes (C: `MAX_JIFFY_OFFSET`).
const MAX_DELAY: c_ulong = (c_ulong::MAX >> 2) - 1;

/// Jiffies since boot (with the offset that makes them wrap early on 32 bits). Any context.
#[inline]
pub fn jiffies() -> u64 {
    // SAFETY: Reads a variable, without requirements.
    let now: c_ulong = unsafe { bindings::jiffies_now() };
    u64::try_from(now).unwrap_or(u64::MAX)
}

/// Jiffies that last at least `ms` milliseconds. Any context.
pub fn msecs_to_jiffies(ms: u32) -> u64 {
    u64::try_from(msecs_to_c_jiffies(c_uint::from(ms))).unwrap_or(u64::MAX)
}

/// Milliseconds that `jiffies` last. Any context.
pub fn jiffies_to_msecs(jiffies: u64) -> u64 {
    jiffies
        .saturating_mul(1000)
        .checked_div(u64::from(HZ))
        .unwrap_or(jiffies)
}

/// Nanoseconds of this CPU's clock: cheap, monotonic per CPU, stops in suspend (C: `local_clock`).
/// Any context.
#[inline]
pub fn local_clock_ns() -> u64 {
    // SAFETY: No requirements.
    unsafe { bindings::clock_local() }
}

/// Seconds since 1970; 0 before. Any context.
pub fn real_seconds() -> u64 {
    // SAFETY: No requirements.
    u64::try_from(unsafe { bindings::ktime_get_real_seconds() }).unwrap_or(0)
}

/// The low 32 bits of [`real_seconds`], as the on-disk format keeps them. Any context.
pub fn real_seconds_u32() -> u32 {
    u32::try_from(real_seconds() & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

/// Sleeps for at least `ms` milliseconds without counting as load. Process context.
pub fn sleep_ms(ms: u32) {
    sleep_jiffies(msecs_to_jiffies(ms));
}

/// Sleeps for at least `jiffies` without counting as load. Process context.
pub fn sleep_jiffies(jiffies: u64) {
    might_sleep();
    let timeout = c_long::try_from(jiffies).unwrap_or(c_long::MAX);
    // SAFETY: No requirements beyond process context, which cannot corrupt memory if violated.
    unsafe { bindings::sleep_idle(timeout) };
}

/// Lets other tasks run if the scheduler wants that; for long loops in process context.
#[inline]
pub fn cond_resched() {
    // SAFETY: As for `sleep_jiffies`.
    unsafe { bindings::resched() };
}

/// A delay as the C functions take it, limited to what a timer can hold.
pub(crate) fn clamp_delay(jiffies: u64) -> c_ulong {
    c_ulong::try_from(jiffies).map_or(MAX_DELAY, |j| j.min(MAX_DELAY))
}
