// SPDX-License-Identifier: GPL-2.0

//! Numbers as users write them into sysfs.
//!
//! C: `kstrtoul` (`lib/kstrtox.c`), `strtoul_safe_clamp` and `bch_strtoull_h` (`util.h`, `util.c`).

use super::text_of;
use core::fmt;

/// Why a text is no number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParseError {
    /// Not the syntax of a number (EINVAL).
    Invalid,
    /// More than 64 bits (ERANGE).
    Range,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "not a number",
            Self::Range => "number out of range",
        })
    }
}

/// The decimal digits at the head of a text.
struct Digits<'a> {
    /// Their value, `None` if it needs more than 64 bits.
    value: Option<u64>,
    /// Whether there was a digit at all.
    any: bool,
    /// What follows.
    rest: &'a [u8],
}

fn digits(text: &[u8]) -> Digits<'_> {
    let mut out = Digits {
        value: Some(0),
        any: false,
        rest: text,
    };
    while let Some((&c, rest)) = out.rest.split_first() {
        if !c.is_ascii_digit() {
            break;
        }
        let digit = u64::from(c.wrapping_sub(b'0'));
        out.value = out
            .value
            .and_then(|v| v.checked_mul(10))
            .and_then(|v| v.checked_add(digit));
        out.any = true;
        out.rest = rest;
    }
    out
}

/// True for nothing and for exactly one newline.
fn is_end(rest: &[u8]) -> bool {
    matches!(rest, [] | [b'\n'])
}

/// An unsigned decimal number by the rules of `kstrtoul`: an optional `+`, digits, an optional
/// newline.
///
/// # Errors
///
/// [`ParseError::Range`] if the digits exceed 64 bits, whatever follows them; else
/// [`ParseError::Invalid`] for any other deviation.
pub fn parse_u64(buf: &[u8]) -> Result<u64, ParseError> {
    let text = text_of(buf);
    let d = digits(text.strip_prefix(b"+").unwrap_or(text));
    // C looks at the overflow first, so "99999999999999999999x" is a range error.
    let value = d.value.ok_or(ParseError::Range)?;
    if d.any && is_end(d.rest) {
        Ok(value)
    } else {
        Err(ParseError::Invalid)
    }
}

/// A number as [`parse_u64`] reads it, forced into `lo..=hi` (out of range is no error in bcache's
/// sysfs files).
///
/// If `lo > hi`, the order of C's `clamp` decides: at or above `hi` gives `hi`, else `lo`.
///
/// # Errors
///
/// Those of [`parse_u64`].
pub fn parse_clamped(buf: &[u8], lo: u64, hi: u64) -> Result<u64, ParseError> {
    let v = parse_u64(buf)?;
    Ok(if v >= hi { hi } else { v.max(lo) })
}

/// As [`parse_clamped`] for a 32-bit variable.
///
/// # Errors
///
/// Those of [`parse_u64`].
pub fn parse_clamped_u32(buf: &[u8], lo: u32, hi: u32) -> Result<u32, ParseError> {
    let v = parse_clamped(buf, u64::from(lo), u64::from(hi))?;
    u32::try_from(v).map_err(|_| ParseError::Range)
}

/// A switch: any number but 0 is on.
///
/// # Errors
///
/// Those of [`parse_u64`].
pub fn parse_bool(buf: &[u8]) -> Result<bool, ParseError> {
    Ok(parse_u64(buf)? != 0)
}

/// A switch that C reads through an `int`: on if the low 32 bits are not 0 (`io_disable` of a
/// cached device).
///
/// # Errors
///
/// Those of [`parse_u64`].
pub fn parse_int_truth(buf: &[u8]) -> Result<bool, ParseError> {
    Ok(parse_u64(buf)? & 0xffff_ffff != 0)
}

/// A size in bytes: digits, optionally one of `k m g t p e z y` (any case, powers of 1024; C counts
/// both `z` and `y` as 1024^7), optionally a newline. Nothing at all, or only a newline, is 0.
///
/// # Errors
///
/// [`ParseError::Invalid`] for any other text, and for a number too large: with a suffix the size
/// has to stay below 2^63. Digits beyond 64 bits are refused too, where C takes 2^64 - 1.
pub fn parse_size(buf: &[u8]) -> Result<u64, ParseError> {
    let d = digits(text_of(buf));
    let value = d.value.ok_or(ParseError::Invalid)?;
    let (power, rest) = match d.rest.split_first() {
        Some((c, rest)) if *c != b'\n' => (power_of(*c).ok_or(ParseError::Invalid)?, rest),
        _ => (0, d.rest),
    };
    if !is_end(rest) || (power > 0 && !d.any) {
        return Err(ParseError::Invalid);
    }
    let mut size = value;
    for _ in 0..power {
        if size > SIZE_LIMIT {
            return Err(ParseError::Invalid);
        }
        size = size.saturating_mul(1024);
    }
    Ok(size)
}

/// The largest number that may be multiplied by 1024 once more (C: `ANYSINT_MAX / 1024`).
const SIZE_LIMIT: u64 = (1 << 53) - 1;

/// How often 1024 a suffix stands for.
fn power_of(c: u8) -> Option<u32> {
    Some(match c.to_ascii_lowercase() {
        b'k' => 1,
        b'm' => 2,
        b'g' => 3,
        b't' => 4,
        b'p' => 5,
        b'e' => 6,
        b'z' | b'y' => 7,
        _ => return None,
    })
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_number))]
mod tests {
    use super::{ParseError::*, *};

    #[test]
    fn kstrtoul_rules() {
        for (text, want) in [
            (&b"0"[..], Ok(0)),
            (b"42\n", Ok(42)),
            (b"+7", Ok(7)),
            (b"007", Ok(7)),
            (b"5\0garbage", Ok(5)),
            (b"18446744073709551615\n", Ok(u64::MAX)),
            (b"18446744073709551616", Err(Range)),
            (b"99999999999999999999999x", Err(Range)),
            (b"", Err(Invalid)),
            (b"\n", Err(Invalid)),
            (b"+", Err(Invalid)),
            (b"++1", Err(Invalid)),
            (b"-1", Err(Invalid)),
            (b" 1", Err(Invalid)),
            (b"1 ", Err(Invalid)),
            (b"1\n\n", Err(Invalid)),
            (b"4M", Err(Invalid)),
            (b"0x10", Err(Invalid)),
        ] {
            assert_eq!((text, parse_u64(text)), (text, want));
        }
    }

    #[test]
    fn clamps_and_switches() {
        assert_eq!(parse_clamped(b"0", 1, 60), Ok(1));
        assert_eq!(parse_clamped(b"61", 1, 60), Ok(60));
        assert_eq!(parse_clamped(b"7", 1, 60), Ok(7));
        // min above max, as for fp_term_low with mid == 1: C gives max first.
        assert_eq!(parse_clamped(b"5", 9, 3), Ok(3));
        assert_eq!(parse_clamped(b"1", 9, 3), Ok(9));
        assert_eq!(
            parse_clamped_u32(b"18446744073709551615", 0, u32::MAX),
            Ok(u32::MAX)
        );
        assert_eq!(parse_clamped_u32(b"x", 0, 1), Err(Invalid));
        assert_eq!(parse_bool(b"4294967296"), Ok(true));
        assert_eq!(parse_int_truth(b"4294967296"), Ok(false));
        assert_eq!(parse_int_truth(b"2\n"), Ok(true));
        assert_eq!(parse_bool(b"0\n"), Ok(false));
    }

    #[test]
    fn sizes() {
        for (text, want) in [
            (&b""[..], Ok(0)),
            (b"\n", Ok(0)),
            (b"1000", Ok(1000)),
            (b"4k", Ok(4096)),
            (b"4K\n", Ok(4096)),
            (b"3m", Ok(3 << 20)),
            (b"2G", Ok(2 << 30)),
            (b"1t", Ok(1 << 40)),
            (b"1p", Ok(1 << 50)),
            (b"7e", Ok(7 << 60)),
            (b"8e", Err(Invalid)),
            (b"1z", Err(Invalid)),
            (b"0y", Ok(0)),
            (b"18446744073709551615", Ok(u64::MAX)),
            (b"18446744073709551616", Err(Invalid)),
            (b"9007199254740991k", Ok(9007199254740991 << 10)),
            (b"9007199254740992k", Err(Invalid)),
            (b"k", Err(Invalid)),
            (b"1.5M", Err(Invalid)),
            (b"1kk", Err(Invalid)),
            (b"1k\n\n", Err(Invalid)),
            (b"1\nk", Err(Invalid)),
            (b"+1", Err(Invalid)),
            (b"1x", Err(Invalid)),
        ] {
            assert_eq!((text, parse_size(text)), (text, want));
        }
    }
}
