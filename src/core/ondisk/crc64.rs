// SPDX-License-Identifier: GPL-2.0

//! CRC-64 in portable code, for the host.
//!
//! C reference: `lib/crc/crc64-main.c`.

use crate::num::low_index;

/// The polynomial.
const POLY: u64 = 0x42f0_e1eb_a9ea_3693;

/// One table per byte of a word, so that eight bytes are done at a time.
static TABLES: [[u64; 256]; 8] = tables();

/// Computes the tables at compile time.
const fn tables() -> [[u64; 256]; 8] {
    let mut t = [[0u64; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut c = crate::num::u64_from_usize(i) << 56;
        let mut bit = 0;
        while bit < 8 {
            c = if c >> 63 != 0 {
                (c << 1) ^ POLY
            } else {
                c << 1
            };
            bit += 1;
        }
        t[0][i] = c;
        i += 1;
    }
    let mut n = 1;
    while n < 8 {
        let mut i = 0;
        while i < 256 {
            let c = t[n - 1][i];
            t[n][i] = (c << 8) ^ t[0][low_index(c >> 56)];
            i += 1;
        }
        n += 1;
    }
    t
}

/// A [`Crc64`](super::checksum::Crc64).
pub fn crc64_be(crc: u64, data: &[u8]) -> u64 {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &TABLES;
    let mut crc = crc;
    let mut rest = data;
    while let Some((word, tail)) = rest.split_first_chunk::<8>() {
        let c = crc ^ u64::from_be_bytes(*word);
        crc = t0[low_index(c)]
            ^ t1[low_index(c >> 8)]
            ^ t2[low_index(c >> 16)]
            ^ t3[low_index(c >> 24)]
            ^ t4[low_index(c >> 32)]
            ^ t5[low_index(c >> 40)]
            ^ t6[low_index(c >> 48)]
            ^ t7[low_index(c >> 56)];
        rest = tail;
    }
    for &b in rest {
        crc = (crc << 8) ^ t0[low_index((crc >> 56) ^ u64::from(b))];
    }
    crc
}
