// SPDX-License-Identifier: GPL-2.0

//! `stats_total`, `stats_five_minute`, `stats_hour`, `stats_day`. C: `stats.c`.

use super::{
    fmt,
    ro_num, //
};
use crate::{
    cache_set::CacheSet,
    cached_dev::CachedDev, //
};
use bcache_core::{
    stats::{Period, Window},
    text::HPrint, //
};
use bcache_kernel::sysfs::{
    Attr,
    SysfsObject, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Whose statistics a directory shows.
pub(crate) enum Owner {
    /// A backing device's.
    Dev(Arc<CachedDev>),
    /// A set's.
    Set(Arc<CacheSet>),
}

/// One statistics directory.
pub(crate) struct StatsDir {
    pub(crate) owner: Owner,
    pub(crate) period: Period,
}

/// The directories of an owner.
pub(crate) const PERIODS: [(Period, &CStr); 4] = [
    (Period::Total, c"stats_total"),
    (Period::FiveMinute, c"stats_five_minute"),
    (Period::Hour, c"stats_hour"),
    (Period::Day, c"stats_day"),
];

impl StatsDir {
    fn window(&self) -> Window {
        match &self.owner {
            Owner::Dev(dev) => dev.stats.window(self.period),
            Owner::Set(set) => set.stats.window(self.period),
        }
    }
}

impl SysfsObject for StatsDir {
    const ATTRS: &'static [Attr<Self>] = &[
        ro_num!(c"cache_hits", |s| s.window().counts().hits),
        ro_num!(c"cache_misses", |s| s.window().counts().misses),
        ro_num!(c"cache_bypass_hits", |s| s.window().counts().bypass_hits),
        ro_num!(c"cache_bypass_misses", |s| s
            .window()
            .counts()
            .bypass_misses),
        ro_num!(c"cache_hit_ratio", |s| s.window().hit_ratio()),
        ro_num!(c"cache_miss_collisions", |s| s.window().counts().collisions),
        ro_num!(c"bypassed", |s| HPrint(s.window().bypassed_bytes())),
    ];
}
