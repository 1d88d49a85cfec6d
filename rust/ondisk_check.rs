// SPDX-License-Identifier: GPL-2.0

//! Compile-time comparison of the core crate's on-disk types with the kernel's own header.
//!
//! C header: [`bcache_ondisk.h`](srctree/drivers/md/bcache/bcache_ondisk.h), vendored in `rust/bindings`.

use crate::bindings;
use kernel::static_assert;

static_assert!(size_of::<bindings::uuid_entry>() == 128);
