// SPDX-License-Identifier: GPL-2.0

//! Bookkeeping of the journal: which entries are still needed, where the next one
//! goes, and which of those on disk are to be replayed.
//!
//! C: `journal.c`.

pub mod pins;
pub mod replay;
pub mod space;
