// SPDX-License-Identifier: GPL-2.0

//! `/sys/block/<cache>/bcache`: the cache device. C: `bch_cache` in `sysfs.c`.

use super::{
    fmt,
    ro_num,
    ro_sectors,
    store, //
};
use crate::{
    cache_set::CacheSet,
    meta_io::IO_ERROR_SHIFT, //
};
use bcache_core::{
    ondisk::superblock::Replacement,
    text, //
};
use bcache_kernel::sysfs::{
    Attr,
    SysfsObject, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The policies in the order of their names in the file.
const POLICIES: [Replacement; 3] = [Replacement::Lru, Replacement::Fifo, Replacement::Random];

/// The directory object.
pub(crate) struct CacheDir(pub(crate) Arc<CacheSet>);

impl CacheDir {
    fn rebooting(&self) -> bool {
        self.0.rebooting()
    }
}

impl SysfsObject for CacheDir {
    const ATTRS: &'static [Attr<Self>] = &[
        ro_sectors!(c"bucket_size", |o| u64::from(o.0.geo.bucket_sectors())),
        ro_sectors!(c"block_size", |o| u64::from(o.0.geo.block_sectors())),
        ro_num!(c"nbuckets", |o| o.0.geo.nbuckets()),
        Attr::ro(c"priority_stats", |o, b| {
            fmt::whole(b, &o.0.priority_stats()?)
        }),
        ro_sectors!(c"written", |o| o.0.count.written.get()),
        ro_sectors!(c"btree_written", |o| o.0.count.btree_written.get()),
        ro_sectors!(c"metadata_written", |o| o.0.count.meta_written.get()),
        ro_num!(c"io_errors", |o| o.0.count.io_errors.get()
            >> IO_ERROR_SHIFT),
        Attr::rw(
            c"cache_replacement_policy",
            |o, b| {
                let policy = o.0.sb.with(|sb| sb.replacement());
                let index = POLICIES.iter().position(|p| *p == policy);
                fmt::choice(
                    b,
                    &text::REPLACEMENT_POLICIES,
                    index
                        .and_then(|i| u32::try_from(i).ok())
                        .unwrap_or(u32::MAX),
                )
            },
            store!(|o, input| {
                let index = text::REPLACEMENT_POLICIES.find(input).ok_or(EINVAL)?;
                let policy = *POLICIES.get(index).ok_or(EINVAL)?;
                if o.0.sb.with(|sb| sb.replacement()) != policy {
                    o.0.write_super(|sb| sb.set_replacement(policy))?;
                }
                Ok(())
            }),
        ),
        Attr::wo(
            c"clear_stats",
            store!(|o, _text| {
                let count = &o.0.count;
                count.written.put(0);
                count.btree_written.put(0);
                count.meta_written.put(0);
                count.io_count.put(0);
                count.io_errors.put(0);
                Ok(())
            }),
        ),
    ];
}
