// SPDX-License-Identifier: GPL-2.0

//! The set UUID that a user writes into `attach`. C: `bch_parse_uuid` in `util.c`.

use super::text_of;

/// Nibbles of a UUID.
const NIBBLES: usize = 32;

/// Characters that C wants to have looked at; dashes and colons count, so 16 digits pass.
const ENOUGH: usize = 16;

/// Reads a UUID: hexadecimal digits of any case among `-` and `:`, at most 32 of them, up to the
/// first character that is neither. Missing digits are 0.
///
/// `None` if fewer than 16 characters were usable (C: EINVAL).
pub fn parse_set_uuid(buf: &[u8]) -> Option<[u8; 16]> {
    let mut uuid = [0u8; 16];
    let mut nibbles = 0usize;
    let mut seen = 0usize;
    for &c in text_of(buf) {
        if nibbles >= NIBBLES {
            break;
        }
        match char::from(c).to_digit(16).map(u8::try_from) {
            Some(Ok(digit)) => {
                let shift = if nibbles % 2 == 0 { 4 } else { 0 };
                if let Some(byte) = uuid.get_mut(nibbles / 2) {
                    *byte |= digit << shift;
                }
                nibbles = nibbles.saturating_add(1);
            }
            _ if c == b'-' || c == b':' => {}
            _ => break,
        }
        seen = seen.saturating_add(1);
    }
    (seen >= ENOUGH).then_some(uuid)
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_uuid))]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let full = [
            0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab,
            0xcd, 0xef,
        ];
        assert_eq!(
            parse_set_uuid(b"01234567-89ab-cdef-0123-456789ABCDEF\n"),
            Some(full)
        );
        assert_eq!(
            parse_set_uuid(b"0123456789abcdef0123456789abcdef"),
            Some(full)
        );
        assert_eq!(
            parse_set_uuid(b"01:23:45:67:89:ab:cd:ef:0123456789abcdef9999"),
            Some(full)
        );
        let mut half = full;
        half[8..].fill(0);
        assert_eq!(parse_set_uuid(b"0123456789abcdef"), Some(half));
        assert_eq!(parse_set_uuid(b"0123456789abcde"), None);
        assert_eq!(parse_set_uuid(b"0123456789abcde\nf"), None);
        assert_eq!(parse_set_uuid(b"----------------"), Some([0; 16]));
        assert_eq!(parse_set_uuid(b""), None);
    }
}
