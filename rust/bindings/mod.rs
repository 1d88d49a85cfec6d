// SPDX-License-Identifier: GPL-2.0

//! What `kernel::bindings` lacks, made by our own `bindgen` run.
//!
//! Only this crate may name it: everything here is wrapped by a safe type elsewhere.

#![allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::cast_lossless,
    clippy::as_underscore,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_imports,
    improper_ctypes
)]

pub(crate) use kernel::bindings::*;
use pin_init::MaybeZeroable;

include!(concat!(
    env!("BCACHE_OBJ"),
    "/rust/bindings/bindings_generated.rs"
));
