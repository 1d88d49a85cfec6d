// SPDX-License-Identifier: GPL-2.0

//! What completions leave behind in a shared request.

use bcache_kernel::{
    atomic::{
        Atomic,
        Full,
        Relaxed, //
    },
    block::Status, //
};
use kernel::error::Error;

/// The first error of several I/Os. Any context.
pub(super) struct ErrorCell(Atomic<i32>);

impl ErrorCell {
    /// No error yet.
    pub(super) const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Keeps the status if it is the first error.
    pub(super) fn record(&self, status: Status) {
        if let Err(e) = status.to_result() {
            // A failed exchange means that an earlier error is there already.
            let _ = self.0.cmpxchg(0, e.to_errno(), Full);
        }
    }

    /// Whether everything went well so far.
    pub(super) fn is_ok(&self) -> bool {
        self.0.load(Relaxed) == 0
    }

    /// The first error, or [`Status::OK`].
    pub(super) fn status(&self) -> Status {
        match self.0.load(Relaxed) {
            0 => Status::OK,
            errno => Status::from(Error::from_errno(errno)),
        }
    }

    /// Forgets the error, for a new try.
    pub(super) fn reset(&mut self) {
        self.0.store(0, Relaxed);
    }
}
