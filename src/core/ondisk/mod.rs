// SPDX-License-Identifier: GPL-2.0

//! The on-disk formats, all little endian.
//!
//! Everything here reads foreign bytes: no function trusts a length, none panics, none reads beyond the slice
//! it was given.
//!
//! C reference: `drivers/md/bcache/bcache_ondisk.h`.

pub mod bkey;
pub mod bset;
pub mod checksum;
#[cfg(not(CONFIG_RUST))]
pub mod crc64;
pub mod jset;
pub mod prio;
pub mod superblock;
pub mod uuid;

/// The output is too small for what was to be encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoSpace;

impl core::fmt::Display for NoSpace {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("no space")
    }
}
