// SPDX-License-Identifier: GPL-2.0

//! `/sys/fs/bcache/<uuid>/internal`. C: `bch_cache_set_internal` in `sysfs.c`.

use super::{
    fmt,
    ro_num,
    store, //
};
use crate::cache_set::CacheSet;
use bcache_core::time_stats;
use bcache_kernel::{
    sysfs::{
        Attr,
        SysfsObject, //
    },
    time::local_clock_ns, //
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

/// One number of the time statistics of a btree operation.
macro_rules! timed {
    ($name:literal, $what:ident, $number:ident($unit:ident)) => {
        ro_num!($name, |o| o
            .0
            .btree
            .times
            .$what
            .with(|t| t.$number(time_stats::$unit)))
    };
    ($name:literal, $what:ident, last, $unit:ident) => {
        ro_num!($name, |o| o
            .0
            .btree
            .times
            .$what
            .with(|t| t.last(local_clock_ns(), time_stats::$unit)))
    };
}

impl SysfsObject for Internal {
    const ATTRS: &'static [Attr<Self>] = &[
        timed!(
            c"btree_gc_average_frequency_sec",
            gc,
            average_frequency(SEC)
        ),
        timed!(c"btree_gc_average_duration_ms", gc, average_duration(MS)),
        timed!(c"btree_gc_max_duration_ms", gc, max_duration(MS)),
        timed!(c"btree_gc_last_sec", gc, last, SEC),
        timed!(
            c"btree_split_average_frequency_sec",
            split,
            average_frequency(SEC)
        ),
        timed!(
            c"btree_split_average_duration_us",
            split,
            average_duration(US)
        ),
        timed!(c"btree_split_max_duration_us", split, max_duration(US)),
        timed!(c"btree_split_last_sec", split, last, SEC),
        timed!(
            c"btree_sort_average_frequency_ms",
            sort,
            average_frequency(MS)
        ),
        timed!(
            c"btree_sort_average_duration_us",
            sort,
            average_duration(US)
        ),
        timed!(c"btree_sort_max_duration_us", sort, max_duration(US)),
        timed!(c"btree_sort_last_ms", sort, last, MS),
        timed!(
            c"btree_read_average_frequency_ms",
            read,
            average_frequency(MS)
        ),
        timed!(
            c"btree_read_average_duration_us",
            read,
            average_duration(US)
        ),
        timed!(c"btree_read_max_duration_us", read, max_duration(US)),
        timed!(c"btree_read_last_ms", read, last, MS),
        Attr::ro(c"bset_tree_stats", |o, b| {
            fmt::whole(b, &o.0.btree_set_stats())
        }),
        // Leaves are found by searching an array: there are no hash chains.
        ro_num!(c"btree_cache_max_chain", |_o| 0u32),
        Attr::wo(
            c"prune_cache",
            store!(|o, text| {
                let nr = fmt::clamped(text, 0, u32::MAX)?;
                o.0.prune(nr);
                Ok(())
            }),
        ),
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
        ro_num!(c"writeback_keys_done", |o| o
            .0
            .count
            .writeback_keys_done
            .get()),
        ro_num!(c"writeback_keys_failed", |o| o
            .0
            .count
            .writeback_keys_failed
            .get()),
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
                match (fmt::boolean(text)?, o.0.io_disabled()) {
                    (true, true) => pr_warn!("CACHE_SET_IO_DISABLE already set\n"),
                    (true, false) => o.0.set_error(format_args!("io_disable written to sysfs")),
                    (false, false) => pr_warn!("CACHE_SET_IO_DISABLE already cleared\n"),
                    (false, true) => {}
                }
                Ok(())
            }),
        ),
        ro_num!(c"cutoff_writeback", |o| o.0.tun.cutoff_writeback.get()),
        ro_num!(c"cutoff_writeback_sync", |o| o
            .0
            .tun
            .cutoff_writeback_sync
            .get()),
        Attr::ro(c"feature_compat", |_o, _b| Ok(())),
        Attr::ro(c"feature_ro_compat", |_o, _b| Ok(())),
        Attr::ro(c"feature_incompat", |o, b| {
            let large = o.0.sb.with(|sb| sb.has_large_bucket());
            fmt::line(
                b,
                if large {
                    &"[large_bucket]"
                } else {
                    &"large_bucket"
                },
            )
        }),
    ];
}
