// SPDX-License-Identifier: GPL-2.0

//! Lets log macros print what the core crate can print.
//!
//! The kernel's formatting macros want a trait of the `kernel` crate, which the core crate does not know.

use core::fmt;

/// Prints what is inside.
pub(crate) struct Shown<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: fmt::Display> kernel::fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
