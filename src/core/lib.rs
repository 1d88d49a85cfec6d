// SPDX-License-Identifier: GPL-2.0

//! The pure part of bcache: formats, key algebra and decisions.
//!
//! Nothing in this crate allocates, sleeps, knows the kernel or uses `unsafe`. Slices go in, values and
//! slices come out; where memory has to grow, a trait with a fallible method is implemented by the driver.
//! The same sources are built by `cargo test` on any host.
//!
//! Rules that hold everywhere: one sector is 512 bytes; numbers that come from a disk or from user space
//! are used with `checked_`, `wrapping_` or `saturating_` arithmetic only; no function panics.
//!
//! C reference: `drivers/md/bcache/`.

#![cfg_attr(not(any(test, CONFIG_RUST)), no_std)]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod alloc;
mod arith;
pub mod gate;
pub mod gc;
pub mod geometry;
pub mod journal;
pub mod key;
pub mod keymap;
pub mod num;
pub mod ondisk;
pub mod request;
pub mod state;
pub mod stats;
pub mod sync;
pub mod text;
pub mod time_stats;
pub mod writeback;
