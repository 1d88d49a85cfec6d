// SPDX-License-Identifier: GPL-2.0

//! What happens to a request: cache it, bypass the cache, write it back later.
//!
//! C: `request.c`, `writeback.h`, `io.c`.

pub mod bypass;
pub mod congested;
pub mod mode;
pub mod sequential;
pub mod unflushed;
