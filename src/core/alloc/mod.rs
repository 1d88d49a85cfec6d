// SPDX-License-Identifier: GPL-2.0

//! Parts of the bucket allocator: priorities, which buckets to reuse first, queues of free buckets.
//!
//! C: `alloc.c`, `util.h`, `priority_stats` in `sysfs.c`.

pub mod age;
pub mod bucket;
mod chains;
pub mod class;
pub mod fifo;
pub mod heap;
pub mod open;
pub mod prio;
pub mod quantiles;
pub mod search;
pub mod shelves;
pub mod sort;
