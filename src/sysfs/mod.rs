// SPDX-License-Identifier: GPL-2.0

//! The sysfs files of bcache: one attribute table per directory.
//!
//! C: `sysfs.c`. Formats and limits are an ABI and equal C's byte for byte.
//!
//! | directory | table |
//! |---|---|
//! | `/sys/fs/bcache` | [`root`] |
//! | `/sys/block/<backing>/bcache` | [`dev`], writeback files in [`dev_writeback`] |
//! | `/sys/fs/bcache/<uuid>` | [`set`] |
//! | `/sys/fs/bcache/<uuid>/internal` | [`internal`] |
//! | `/sys/block/<cache>/bcache` | [`cache`] |
//! | `.../stats_*` | [`stats`] |
//!
//! Every store answers EBUSY once the machine goes down.

pub(crate) mod cache;
pub(crate) mod dev;
pub(crate) mod dev_writeback;
pub(crate) mod internal;
mod priority;
pub(crate) mod root;
pub(crate) mod set;
pub(crate) mod stats;

mod dirs;
mod fmt;

pub(crate) use dirs::{
    link_attachment,
    link_disk,
    unlink_attachment,
    unlink_holder,
    DevDirs,
    SetDirs, //
};

/// A store function that first refuses when the machine goes down.
macro_rules! store {
    (|$obj:ident, $text:ident| $body:expr) => {
        |$obj, $text| {
            if $obj.rebooting() {
                return Err(EBUSY);
            }
            $body
        }
    };
}

/// A `u32` tunable: shown as a plain number, stored clamped to `lo..=hi`.
macro_rules! num_attr {
    ($name:literal, $($field:ident).+, $lo:expr, $hi:expr) => {
        Attr::rw(
            $name,
            |o, b| fmt::line(b, &o.$($field).+.get()),
            store!(|o, s| {
                o.$($field).+.put(fmt::clamped(s, $lo, $hi)?);
                Ok(())
            }),
        )
    };
}

/// A boolean tunable: shown as 0 or 1, any non-zero number sets it.
macro_rules! bool_attr {
    ($name:literal, $($field:ident).+) => {
        Attr::rw(
            $name,
            |o, b| fmt::line(b, &u32::from(o.$($field).+.get())),
            store!(|o, s| {
                o.$($field).+.put(fmt::boolean(s)?);
                Ok(())
            }),
        )
    };
}

/// A counter or other number, read-only.
macro_rules! ro_num {
    ($name:literal, |$o:ident| $value:expr) => {
        Attr::ro($name, |$o, b| fmt::line(b, &$value))
    };
}

/// A size in sectors, read-only, printed for people.
macro_rules! ro_sectors {
    ($name:literal, |$o:ident| $value:expr) => {
        Attr::ro($name, |$o, b| fmt::sectors(b, $value))
    };
}

pub(crate) use {
    bool_attr,
    num_attr,
    ro_num,
    ro_sectors,
    store, //
};
