// SPDX-License-Identifier: GPL-2.0

//! The lives of devices and cache sets, as tables of legal steps.
//!
//! C keeps these states in bit flags of three structures; what may follow what is only in the order
//! of the code (`super.c`). Here each table is one function: a step that is not in it is refused.

pub mod bdev;
pub mod ends;
