// SPDX-License-Identifier: GPL-2.0

//! `/sys/fs/bcache/<uuid>/internal`. C: `bch_cache_set_internal` in `sysfs.c`.

use super::{
    fmt,
    ro_num,
    store, //
};
use crate::cache_set::CacheSet;
use bcache_kernel::sysfs::{
    Attr,
    SysfsObject, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The directory object.
pub(crate) struct Internal(pub(crate) Arc<CacheSet>);

impl Internal {
    fn rebooting(&self) -> bool {
        self.0.rebooting()
    }
}

/// A boolean tunable of the set.
macro_rules! set_bool {
    ($name:literal, $field:ident) => {
        Attr::rw(
            $name,
            |o, b| fmt::line(b, &u32::from(o.0.tun.$field.get())),
            store!(|o, s| {
                o.0.tun.$field.put(fmt::boolean(s)?);
                Ok(())
            }),
        )
    };
}

impl SysfsObject for Internal {
    const ATTRS: &'static [Attr<Self>] = &[
        ro_num!(c"active_journal_entries", |o| o.0.journal.active_entries()),
        ro_num!(c"btree_nodes", |o| o.0.btree.gc.nodes()),
        ro_num!(c"btree_used_percent", |o| o.0.btree_used_percent()),
        ro_num!(c"cache_read_races", |o| o.0.count.cache_read_races.get()),
        ro_num!(c"reclaim", |o| o.0.count.reclaim.get()),
        ro_num!(c"reclaimed_journal_buckets", |o| o
            .0
            .count
            .reclaimed_journal_buckets
            .get()),
        ro_num!(c"flush_write", |o| o.0.count.flush_write.get()),
        ro_num!(c"writeback_keys_done", |o| o.0.count.writeback_keys_done.get()),
        ro_num!(c"writeback_keys_failed", |o| o.0.count.writeback_keys_failed.get()),
        Attr::wo(
            c"trigger_gc",
            store!(|o, _text| {
                o.0.force_wake_gc();
                Ok(())
            }),
        ),
        set_bool!(c"gc_always_rewrite", gc_always_rewrite),
        set_bool!(c"btree_shrinker_disabled", shrinker_disabled),
        set_bool!(c"copy_gc_enabled", copy_gc_enabled),
        set_bool!(c"idle_max_writeback_rate", idle_max_writeback_rate),
        Attr::rw(
            c"gc_after_writeback",
            |o, b| fmt::line(b, &o.0.tun.gc_after_writeback.get()),
            store!(|o, text| {
                o.0.tun.gc_after_writeback.put(fmt::clamped(text, 0, 1)?);
                Ok(())
            }),
        ),
        Attr::rw(
            c"io_disable",
            |o, b| fmt::line(b, &u32::from(o.0.io_disabled())),
            store!(|o, text| {
                // One way here: C can clear it again, but its threads have left by then (H11).
                if fmt::truth(text)? {
                    o.0.set_error(format_args!("io_disable written to sysfs"));
                }
                Ok(())
            }),
        ),
        ro_num!(c"cutoff_writeback", |o| o.0.tun.cutoff_writeback.get()),
        ro_num!(c"cutoff_writeback_sync", |o| o.0.tun.cutoff_writeback_sync.get()),
        Attr::ro(c"feature_compat", |_o, _b| Ok(())),
        Attr::ro(c"feature_ro_compat", |_o, _b| Ok(())),
        Attr::ro(c"feature_incompat", |o, b| {
            let large = o.0.sb.with(|sb| sb.has_large_bucket());
            fmt::line(b, if large { &"[large_bucket]" } else { &"large_bucket" })
        }),
    ];
}
