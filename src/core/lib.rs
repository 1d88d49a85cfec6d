// SPDX-License-Identifier: GPL-2.0

//! `bcache_core`: the logic of bcache, without the kernel.

#![cfg_attr(not(any(test, CONFIG_RUST)), no_std)]
#![forbid(unsafe_code)]
