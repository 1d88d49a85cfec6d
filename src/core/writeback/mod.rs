// SPDX-License-Identifier: GPL-2.0

//! The arithmetic and the protocols of background writeback.
//!
//! C: `writeback.c`, `writeback.h`, and the rate limiter of `util.c`.

pub mod control;
pub mod idle;
pub mod inflow;
pub mod kicks;
pub mod latency;
pub mod pi;
pub mod rate;
pub mod ratework;
pub mod record;
pub mod stripes;
pub mod timing;
pub mod window;

mod adaptive;
