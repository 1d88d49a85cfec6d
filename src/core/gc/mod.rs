// SPDX-License-Identifier: GPL-2.0

//! Decisions of garbage collection. C: `btree.c`.

pub mod coalesce;
pub mod pace;
