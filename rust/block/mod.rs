// SPDX-License-Identifier: GPL-2.0

//! Block layer: devices below us, I/O to them, and a disk of our own.

pub mod opf;
