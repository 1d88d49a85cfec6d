// SPDX-License-Identifier: GPL-2.0

//! Sizes for people. C: `bch_hprint` in `util.c`.

use core::fmt;

/// A number of bytes (or of anything) that prints as in C's sysfs files: `4.0M`, `0.5k`, `-73.2k`.
///
/// The value is divided by 1024 at least once and until it is below 1000, so plain bytes are never
/// printed; the digit after the point is truncated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HPrint(pub i64);

/// Units after one, two, ... divisions by 1024; 2^63 needs six.
const UNITS: [char; 8] = ['k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y'];

impl HPrint {
    /// The bytes of `sectors` 512-byte sectors, saturating.
    pub const fn sectors(sectors: i64) -> Self {
        Self(sectors.saturating_mul(512))
    }
}

impl fmt::Display for HPrint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut whole = self.0.unsigned_abs();
        let mut rest = 0;
        let mut unit = UNITS[0];
        for u in UNITS {
            unit = u;
            rest = whole & 1023;
            whole >>= 10;
            if whole < 1000 {
                break;
            }
        }
        let sign = if self.0 < 0 { "-" } else { "" };
        let digit = rest.saturating_mul(10) / 1024;
        write!(f, "{sign}{whole}.{digit}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn documented_examples() {
        for (v, text) in [
            (0, "0.0k"),
            (511, "0.4k"),
            (512, "0.5k"),
            (1023, "0.9k"),
            (1024, "1.0k"),
            (1023999, "999.9k"),
            (1024000, "0.9M"),
            (4194304, "4.0M"),
            (-1, "-0.0k"),
            (-75000, "-73.2k"),
            (i64::MAX, "7.9E"),
            (i64::MIN, "-8.0E"),
        ] {
            assert_eq!(HPrint(v).to_string(), text, "{v}");
        }
        assert_eq!(HPrint::sectors(1024).to_string(), "512.0k");
        assert_eq!(HPrint::sectors(i64::MAX).to_string(), "7.9E");
    }
}
