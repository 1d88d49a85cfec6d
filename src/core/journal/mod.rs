// SPDX-License-Identifier: GPL-2.0

//! Bookkeeping of the journal: which entries are still needed, where the next one
//! goes, and whether those on disk can be replayed.
//!
//! C: `journal.c`.

pub mod pins;
pub mod replay;
pub mod room;
pub mod space;
