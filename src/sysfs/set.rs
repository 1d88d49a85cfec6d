// SPDX-License-Identifier: GPL-2.0

//! `/sys/fs/bcache/<uuid>`: a cache set. C: `bch_cache_set` in `sysfs.c`.

use super::{
    fmt,
    num_attr,
    ro_num,
    ro_sectors,
    store, //
};
use crate::cache_set::CacheSet;
use bcache_core::text;
use bcache_kernel::sysfs::{
    Attr,
    SysfsObject, //
};
use kernel::prelude::*;

/// `io_error_halflife` is shown and stored in units of this many I/Os.
const HALFLIFE_UNIT: u32 = 88;

impl CacheSet {
    /// True once the machine goes down.
    pub(crate) fn rebooting(&self) -> bool {
        self.registry.rebooting()
    }
}

impl SysfsObject for CacheSet {
    const ATTRS: &'static [Attr<Self>] = &[
        Attr::wo(
            c"unregister",
            store!(|set, _text| {
                set.unregister();
                Ok(())
            }),
        ),
        Attr::wo(
            c"stop",
            store!(|set, _text| {
                set.stop();
                Ok(())
            }),
        ),
        Attr::rw(
            c"synchronous",
            |set, b| fmt::line(b, &u32::from(set.sb.with(|sb| sb.sync()))),
            store!(|set, text| {
                let on = fmt::boolean(text)?;
                if set.sb.with(|sb| sb.sync()) != on {
                    set.write_super(|sb| sb.set_sync(on))?;
                }
                Ok(())
            }),
        ),
        num_attr!(c"journal_delay_ms", tun.journal_delay_ms, 0, 65535),
        ro_sectors!(c"bucket_size", |set| u64::from(set.geo.bucket_sectors())),
        ro_sectors!(c"block_size", |set| u64::from(set.geo.block_sectors())),
        ro_num!(c"tree_depth", |set| set.btree.depth()),
        ro_num!(c"root_usage_percent", |set| set.btree_root_usage_percent()),
        Attr::ro(c"btree_cache_size", |set, b| {
            fmt::line(
                b,
                &text::HPrint(i64::try_from(set.btree_cache_bytes()).unwrap_or(i64::MAX)),
            )
        }),
        ro_num!(c"cache_available_percent", |set| 100u32
            .saturating_sub(set.in_use_percent())),
        Attr::ro(c"average_key_size", |set, b| {
            fmt::line(
                b,
                &text::HPrint(i64::try_from(set.btree_average_key_bytes()).unwrap_or(i64::MAX)),
            )
        }),
        Attr::rw(
            c"errors",
            |set, b| {
                fmt::choice(
                    b,
                    &text::ERROR_ACTIONS,
                    u32::from(set.tun.errors_panic.get()),
                )
            },
            store!(|set, text| {
                let action = fmt::find(text, &text::ERROR_ACTIONS)?;
                set.tun.errors_panic.put(action == 1);
                Ok(())
            }),
        ),
        num_attr!(c"io_error_limit", tun.io_error_limit, 0, u32::MAX),
        Attr::rw(
            c"io_error_halflife",
            |set, b| {
                fmt::line(
                    b,
                    &set.tun.io_error_decay.get().saturating_mul(HALFLIFE_UNIT),
                )
            },
            store!(|set, text| {
                let value = fmt::clamped(text, 0, u32::MAX)?;
                set.tun.io_error_decay.put(value / HALFLIFE_UNIT);
                Ok(())
            }),
        ),
        ro_sectors!(c"congested", |set| u64::from(set.congested_sectors())),
        num_attr!(
            c"congested_read_threshold_us",
            tun.congested_read_threshold_us,
            0,
            u32::MAX
        ),
        num_attr!(
            c"congested_write_threshold_us",
            tun.congested_write_threshold_us,
            0,
            u32::MAX
        ),
        Attr::wo(
            c"clear_stats",
            store!(|set, _text| {
                set.count.writeback_keys_done.put(0);
                set.count.writeback_keys_failed.put(0);
                set.stats.clear_total();
                set.gc_clear_stats();
                Ok(())
            }),
        ),
    ];
}
