// SPDX-License-Identifier: GPL-2.0

//! Nothing: the crate is its benchmarks.
