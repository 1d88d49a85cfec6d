// SPDX-License-Identifier: GPL-2.0

//! bcache: a block layer cache (C: `drivers/md/bcache/`), in Rust.

#![deny(unsafe_code)]

use kernel::prelude::*;

mod flag;
// Owners add their lines here, in alphabetical order, as soon as their files compile:
// engine-btree: btree; engine-alloc: alloc, buckets, journal, open_buckets, prio, recovery, uuids;
// engine-io: request, stats, writeback; lead: cache_set, cached_dev, attach, register, sysfs, teardown.

module! {
    type: Bcache,
    name: "bcache",
    authors: ["The bcache-rs authors"],
    description: "Block layer cache",
    license: "GPL",
}

struct Bcache;

impl kernel::Module for Bcache {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}
