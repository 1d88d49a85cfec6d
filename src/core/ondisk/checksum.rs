// SPDX-License-Identifier: GPL-2.0

//! CRC-64 with the ECMA-182 polynomial, most significant bit first.
//!
//! Who reads or writes metadata says by which function: the kernel has faster ones than this crate could. The one in
//! `super::crc64` is for the host.
//!
//! C reference: `lib/crc/crc64-main.c` (`crc64_be`), `drivers/md/bcache/util.h` (`bch_crc64`).

/// A function that gives the CRC of some bytes, going on from another one; neither end is inverted.
pub type Crc64 = fn(u64, &[u8]) -> u64;

/// The checksum of everything but btree nodes.
pub fn bch_crc64(crc: Crc64, data: &[u8]) -> u64 {
    !crc(!0, data)
}

/// The checksum of a set of keys in a btree node; `seed` is the pointer word of the node.
pub fn btree_crc64(crc: Crc64, seed: u64, data: &[u8]) -> u64 {
    !crc(seed, data)
}
