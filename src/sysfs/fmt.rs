// SPDX-License-Identifier: GPL-2.0

//! Reading and printing the values of sysfs files, in terms of `bcache_core::text`.

use bcache_core::text::{
    self,
    Choices,
    HPrint,
    ParseError, //
};
use bcache_kernel::sysfs::SysfsBuf;
use core::fmt::{
    Display,
    Write, //
};
use kernel::prelude::*;

fn errno(e: ParseError) -> Error {
    match e {
        ParseError::Invalid => EINVAL,
        ParseError::Range => ERANGE,
    }
}

/// Prints a value and a newline.
pub(super) fn line(buf: &mut SysfsBuf<'_>, value: &dyn Display) -> Result {
    writeln!(buf, "{value}").map_err(|_| ENOSPC)
}

/// Prints text that already ends in a newline.
pub(super) fn whole(buf: &mut SysfsBuf<'_>, value: &dyn Display) -> Result {
    write!(buf, "{value}").map_err(|_| ENOSPC)
}

/// Prints a number of sectors as bytes for people (`4.0M`).
pub(super) fn sectors(buf: &mut SysfsBuf<'_>, sectors: u64) -> Result {
    let sectors = i64::try_from(sectors).unwrap_or(i64::MAX);
    line(buf, &HPrint::sectors(sectors))
}

/// Prints all choices with the current one in brackets.
pub(super) fn choice(buf: &mut SysfsBuf<'_>, choices: &Choices, current: u32) -> Result {
    let current = usize::try_from(current).unwrap_or(usize::MAX);
    line(buf, &choices.show(current))
}

/// The index of the choice that was written.
pub(super) fn find(text: &[u8], choices: &Choices) -> Result<u32> {
    let index = choices.find(text).ok_or(EINVAL)?;
    u32::try_from(index).map_err(|_| EINVAL)
}

/// A number, clamped to `lo..=hi`.
pub(super) fn clamped(text: &[u8], lo: u32, hi: u32) -> Result<u32> {
    text::parse_clamped_u32(text, lo, hi).map_err(errno)
}

/// A number; anything but zero is true.
pub(super) fn boolean(text: &[u8]) -> Result<bool> {
    text::parse_bool(text).map_err(errno)
}

/// A number cut to 32 bits; anything but zero is true.
pub(super) fn truth(text: &[u8]) -> Result<bool> {
    text::parse_int_truth(text).map_err(errno)
}

/// A number.
pub(super) fn number(text: &[u8]) -> Result<u64> {
    text::parse_u64(text).map_err(errno)
}
