// SPDX-License-Identifier: GPL-2.0

//! UUIDs and the table of devices in the uuid bucket.
//!
//! C reference: `drivers/md/bcache/super.c` (`uuid_read`, `__uuid_write`), `util.c` (`bch_parse_uuid`).

use core::mem::size_of;

use zerocopy::{
    little_endian::{
        U32,
        U64, //
    },
    FromBytes, //
};
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    Unaligned, //
};

/// Bytes of a label.
pub const LABEL_BYTES: usize = 32;

/// A UUID, in the order of its text.
#[derive(
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
)]
#[repr(transparent)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// All zero: none.
    pub const NIL: Self = Self([0; 16]);

    /// Marks a slot of the table whose device was detached; such slots are never used again.
    pub const INVALID: Self = Self([
        0xa0, 0x3e, 0xf8, 0xed, 0x3e, 0xe1, 0xb8, 0x78, 0xc8, 0x50, 0xfc, 0x5e, 0xcb, 0x16, 0xcd,
        0x99,
    ]);

    /// Whether it is all zero.
    pub fn is_nil(&self) -> bool {
        *self == Self::NIL
    }

    /// Reads 32 hexadecimal digits at the start of `text`; `-` and `:` between them are skipped.
    ///
    /// What follows the digits is not looked at. `None` if there are fewer digits.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut nibbles = text.iter().filter(|c| !matches!(c, b'-' | b':')).map(|&c| {
            char::from(c)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        });
        let mut bytes = [0; 16];
        for b in &mut bytes {
            let (high, low) = (nibbles.next()??, nibbles.next()??);
            *b = (high << 4) | low;
        }
        Some(Self(bytes))
    }
}

impl core::fmt::Display for Uuid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (i, b) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{b:02x}")?;
        }
        Ok(())
    }
}

impl core::fmt::Debug for Uuid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// Makes a label of `text`: cut to 32 bytes, the rest zeroed.
pub fn label_from(text: &[u8]) -> [u8; LABEL_BYTES] {
    let mut label = [0; LABEL_BYTES];
    for (to, from) in label.iter_mut().zip(text) {
        *to = *from;
    }
    label
}

/// Bit of [`UuidEntry::flags`]: a volume without backing device.
const FLASH_ONLY: u32 = 1;

/// A slot of the table; its index is the inode of the device's keys.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct UuidEntry {
    /// The device, [`Uuid::NIL`] for a free slot or [`Uuid::INVALID`].
    pub uuid: Uuid,
    /// Label of the device.
    pub label: [u8; LABEL_BYTES],
    /// First attached, Unix seconds.
    pub first_reg: U32,
    /// Last attached.
    pub last_reg: U32,
    /// When it was detached.
    pub invalidated: U32,
    /// See [`Self::flash_only`].
    pub flags: U32,
    /// Size of a volume without backing device.
    pub sectors: U64,
    /// Unused.
    pub pad: [u8; 56],
}

/// Bytes of an entry.
pub const UUID_ENTRY_BYTES: usize = size_of::<UuidEntry>();

const _: () = assert!(UUID_ENTRY_BYTES == 128);

impl UuidEntry {
    /// A free slot.
    pub const EMPTY: Self = Self {
        uuid: Uuid::NIL,
        label: [0; LABEL_BYTES],
        first_reg: U32::ZERO,
        last_reg: U32::ZERO,
        invalidated: U32::ZERO,
        flags: U32::ZERO,
        sectors: U64::ZERO,
        pad: [0; 56],
    };

    /// Whether it is a volume without backing device.
    pub fn flash_only(&self) -> bool {
        self.flags.get() & FLASH_ONLY != 0
    }

    /// Says whether it is a volume without backing device.
    pub fn set_flash_only(&mut self, yes: bool) {
        let others = self.flags.get() & !FLASH_ONLY;
        self.flags
            .set(if yes { others | FLASH_ONLY } else { others });
    }
}

/// The slots in a uuid bucket; bytes behind the last whole slot are ignored.
pub fn entries(buf: &[u8]) -> &[UuidEntry] {
    let nr = buf.len() / UUID_ENTRY_BYTES;
    <[UuidEntry]>::ref_from_prefix_with_elems(buf, nr).map_or(&[], |(e, _)| e)
}

/// As [`entries`], to be changed.
pub fn entries_mut(buf: &mut [u8]) -> &mut [UuidEntry] {
    let nr = buf.len() / UUID_ENTRY_BYTES;
    <[UuidEntry]>::mut_from_prefix_with_elems(buf, nr).map_or(&mut [], |(e, _)| e)
}

/// A slot of the format that journal version 0 goes with.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct OldEntry {
    uuid: Uuid,
    label: [u8; LABEL_BYTES],
    first_reg: U32,
    last_reg: U32,
    invalidated: U32,
    pad: U32,
}

const _: () = assert!(size_of::<OldEntry>() == 64);

/// Converts a table of the old format in place, highest slot first.
pub fn convert_old(buf: &mut [u8]) {
    let nr = buf.len() / UUID_ENTRY_BYTES;
    for i in (0..nr).rev() {
        // The new slot lies at or behind the old one, so that no old slot below is hit.
        let from = i.saturating_mul(size_of::<OldEntry>());
        let Some(Ok((old, _))) = buf.get(from..).map(OldEntry::read_from_prefix) else {
            continue;
        };
        let new = UuidEntry {
            uuid: old.uuid,
            label: old.label,
            first_reg: old.first_reg,
            last_reg: old.last_reg,
            invalidated: old.invalidated,
            ..UuidEntry::EMPTY
        };
        if let Some(slot) = entries_mut(buf).get_mut(i) {
            *slot = new;
        }
    }
}
