// SPDX-License-Identifier: GPL-2.0

//! The kernel's atomics without a call.
//!
//! Those of the kernel crate are C functions, called one by one: a request that looks at thirty words calls thirty times.
//! Here is what [`arch/x86/include/asm/atomic.h`](srctree/arch/x86/include/asm/atomic.h) and its neighbours do, in place.
//! Orderings are those of the kernel's memory model, not Rust's:
//!
//! * An acquire load and a release store are plain ones on this architecture, which does not reorder loads with later
//!   accesses nor stores with earlier ones. What remains is to hold the compiler back ([`barrier`]), as
//!   `smp_load_acquire()` and `smp_store_release()` do here.
//! * A relaxed load and store is a volatile one, as `READ_ONCE()` and `WRITE_ONCE()`.
//! * A locked instruction is a full barrier for the processor, and the statement with it one for the compiler. So every
//!   read-modify-write is fully ordered, whatever was asked for.

use core::{
    arch::asm,
    cell::UnsafeCell, //
};
use kernel::sync::atomic::{
    ordering::{
        AcquireOrRelaxed,
        Ordering,
        OrderingType,
        ReleaseOrRelaxed, //
    },
    Relaxed, //
};

/// Keeps the compiler from moving memory accesses from one side to the other (C: `barrier`).
#[inline(always)]
fn barrier() {
    // SAFETY: No instruction. Without `nomem` it counts as an access to all memory.
    unsafe { asm!("", options(nostack, preserves_flags)) };
}

/// Values that the processor reads and writes in one piece.
///
/// # Safety
///
/// A volatile access of a `Self` is one instruction; the functions do what their names say, atomically and with full
/// ordering, and their results are values that were stored.
pub unsafe trait Native: Copy + PartialEq {
    /// Exchanges.
    ///
    /// # Safety
    ///
    /// `p` is valid and aligned, and accessed atomically only.
    unsafe fn xchg(p: *mut Self, v: Self) -> Self;

    /// Stores `new` if the value is `old`; gives what it was.
    ///
    /// # Safety
    ///
    /// As [`Native::xchg`].
    unsafe fn cmpxchg(p: *mut Self, old: Self, new: Self) -> Self;
}

/// Those that count, wrapping.
///
/// # Safety
///
/// As [`Native`].
pub unsafe trait NativeInt: Native {
    /// Adds.
    ///
    /// # Safety
    ///
    /// As [`Native::xchg`].
    unsafe fn add(p: *mut Self, v: Self);

    /// Adds; gives the value before.
    ///
    /// # Safety
    ///
    /// As [`Native::xchg`].
    unsafe fn fetch_add(p: *mut Self, v: Self) -> Self;

    /// What to add in order to subtract `v`.
    fn negative(v: Self) -> Self;
}

/// The instructions for an integer type, with the name of a register of its size.
macro_rules! native_int {
    ($t:ty, $r:literal) => {
        // SAFETY: Aligned words of up to 8 bytes are read and written in one piece, and the instructions are locked
        // (`xchg` always is).
        unsafe impl Native for $t {
            #[inline(always)]
            unsafe fn xchg(p: *mut Self, mut v: Self) -> Self {
                // SAFETY: By the caller's promise.
                unsafe {
                    asm!(concat!("xchg [{p}], {v", $r, "}"), p = in(reg) p, v = inout(reg) v,
                        options(nostack, preserves_flags))
                };
                v
            }

            #[inline(always)]
            unsafe fn cmpxchg(p: *mut Self, old: Self, new: Self) -> Self {
                let mut was = old;
                // SAFETY: By the caller's promise.
                unsafe {
                    asm!(concat!("lock cmpxchg [{p}], {new", $r, "}"), p = in(reg) p, new = in(reg) new,
                        inout("rax") was, options(nostack))
                };
                was
            }
        }

        // SAFETY: As above.
        unsafe impl NativeInt for $t {
            #[inline(always)]
            unsafe fn add(p: *mut Self, v: Self) {
                // SAFETY: By the caller's promise.
                unsafe {
                    asm!(concat!("lock add [{p}], {v", $r, "}"), p = in(reg) p, v = in(reg) v,
                        options(nostack))
                };
            }

            #[inline(always)]
            unsafe fn fetch_add(p: *mut Self, mut v: Self) -> Self {
                // SAFETY: By the caller's promise.
                unsafe {
                    asm!(concat!("lock xadd [{p}], {v", $r, "}"), p = in(reg) p, v = inout(reg) v,
                        options(nostack))
                };
                v
            }

            #[inline(always)]
            fn negative(v: Self) -> Self {
                v.wrapping_neg()
            }
        }
    };
}

native_int!(i32, ":e");
native_int!(u32, ":e");
native_int!(i64, "");
native_int!(u64, "");
native_int!(usize, "");

// SAFETY: As for `usize`.
unsafe impl<T> Native for *mut T {
    #[inline(always)]
    unsafe fn xchg(p: *mut Self, mut v: Self) -> Self {
        // SAFETY: By the caller's promise.
        unsafe {
            asm!("xchg [{p}], {v}", p = in(reg) p, v = inout(reg) v, options(nostack, preserves_flags))
        };
        v
    }

    #[inline(always)]
    unsafe fn cmpxchg(p: *mut Self, old: Self, new: Self) -> Self {
        let mut was = old;
        // SAFETY: By the caller's promise.
        unsafe {
            asm!("lock cmpxchg [{p}], {new}", p = in(reg) p, new = in(reg) new,
                inout("rax") was, options(nostack))
        };
        was
    }
}

// SAFETY: A byte is read and written in one piece. Only values of `bool` are stored, so that only these come back.
unsafe impl Native for bool {
    #[inline(always)]
    unsafe fn xchg(p: *mut Self, v: Self) -> Self {
        let mut v = u8::from(v);
        // SAFETY: By the caller's promise.
        unsafe {
            asm!("xchg [{p}], {v}", p = in(reg) p, v = inout(reg_byte) v,
                options(nostack, preserves_flags))
        };
        v != 0
    }

    #[inline(always)]
    unsafe fn cmpxchg(p: *mut Self, old: Self, new: Self) -> Self {
        let mut was = u8::from(old);
        // SAFETY: By the caller's promise.
        unsafe {
            asm!("lock cmpxchg [{p}], {new}", p = in(reg) p, new = in(reg_byte) u8::from(new),
                inout("al") was, options(nostack))
        };
        was != 0
    }
}

/// As the kernel crate's type of this name; any context.
#[repr(transparent)]
pub struct Atomic<T>(UnsafeCell<T>);

/// As the kernel crate's type of this name.
pub type AtomicFlag = Atomic<bool>;

// SAFETY: It is a `T`, which is plain data or the address of something that may be used by other tasks, as the kernel crate
// demands of its pointers.
unsafe impl<T: Native> Send for Atomic<T> {}
// SAFETY: As above; all accesses are atomic.
unsafe impl<T: Native> Sync for Atomic<T> {}

impl<T: Native> Atomic<T> {
    /// With the value `v`.
    #[inline(always)]
    pub const fn new(v: T) -> Self {
        Self(UnsafeCell::new(v))
    }

    /// Reads the value.
    #[inline(always)]
    pub fn load<O: AcquireOrRelaxed>(&self, _: O) -> T {
        // SAFETY: The cell is valid and aligned, and all accesses are atomic.
        let v = unsafe { self.0.get().read_volatile() };
        if matches!(O::TYPE, OrderingType::Acquire) {
            barrier();
        }
        v
    }

    /// Stores `v`.
    #[inline(always)]
    pub fn store<O: ReleaseOrRelaxed>(&self, v: T, _: O) {
        if matches!(O::TYPE, OrderingType::Release) {
            barrier();
        }
        // SAFETY: As in `load`.
        unsafe { self.0.get().write_volatile(v) };
    }

    /// Stores `v`; gives the value before.
    #[inline(always)]
    pub fn xchg<O: Ordering>(&self, v: T, _: O) -> T {
        // SAFETY: As in `load`.
        unsafe { T::xchg(self.0.get(), v) }
    }

    /// Stores `new` if the value is `old`; gives the value before, as an error if it was not `old`.
    ///
    /// # Errors
    ///
    /// The value found.
    #[inline(always)]
    pub fn cmpxchg<O: Ordering>(&self, old: T, new: T, _: O) -> Result<T, T> {
        // SAFETY: As in `load`.
        let was = unsafe { T::cmpxchg(self.0.get(), old, new) };
        if was == old {
            Ok(was)
        } else {
            Err(was)
        }
    }
}

impl<T: NativeInt> Atomic<T> {
    /// Adds `v`, wrapping.
    #[inline(always)]
    pub fn add(&self, v: T, _: Relaxed) {
        // SAFETY: As in `load`.
        unsafe { T::add(self.0.get(), v) };
    }

    /// Adds `v`, wrapping; gives the value before.
    #[inline(always)]
    pub fn fetch_add<O: Ordering>(&self, v: T, _: O) -> T {
        // SAFETY: As in `load`.
        unsafe { T::fetch_add(self.0.get(), v) }
    }

    /// Subtracts `v`, wrapping; gives the value before.
    #[inline(always)]
    pub fn fetch_sub<O: Ordering>(&self, v: T, _: O) -> T {
        // SAFETY: As in `load`.
        unsafe { T::fetch_add(self.0.get(), T::negative(v)) }
    }
}
