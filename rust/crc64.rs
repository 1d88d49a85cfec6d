// SPDX-License-Identifier: GPL-2.0

//! The checksum of all metadata, by the kernel's fastest code for this processor.
//!
//! C header: [`include/linux/crc64.h`](srctree/include/linux/crc64.h)

use crate::bindings;

/// CRC of `data` with the ECMA-182 polynomial, going on from `crc`; neither end is inverted. Any context.
pub fn crc64_be(crc: u64, data: &[u8]) -> u64 {
    // SAFETY: The function only reads the bytes it is given.
    unsafe { bindings::crc64_be(crc, data.as_ptr().cast(), data.len()) }
}
