// SPDX-License-Identifier: GPL-2.0

//! What a teardown waits for: seen in debugfs at any time, and said in the log once a wait takes long.
//!
//! All waits of a teardown are waits for an event and have no limit: what they wait for may still use what is
//! freed after them. C polls for 60 s and then goes on.

use crate::{
    cache_set::CacheSet,
    cached_dev::CachedDev,
    flag::Num, //
};
use bcache_kernel::{
    delayed::DelayedTask,
    time::HZ, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Seconds after which a wait is worth a line in the log.
const LONG_SECONDS: u32 = 60;

/// What a teardown waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Nothing,
    RateWork,
    WritebackThread,
    WritebackKeys,
    CacheRequests,
    DirectRequests,
    Disk,
    Gc,
    BtreeWrites,
    Allocator,
    Journal,
}

impl Stage {
    /// All, each at the place that is its number.
    const ALL: [Stage; 11] = [
        Stage::Nothing,
        Stage::RateWork,
        Stage::WritebackThread,
        Stage::WritebackKeys,
        Stage::CacheRequests,
        Stage::DirectRequests,
        Stage::Disk,
        Stage::Gc,
        Stage::BtreeWrites,
        Stage::Allocator,
        Stage::Journal,
    ];

    /// In words.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Stage::Nothing => "nothing",
            Stage::RateWork => "the rate work",
            Stage::WritebackThread => "the writeback thread",
            Stage::WritebackKeys => "keys being written back",
            Stage::CacheRequests => "requests that use the cache",
            Stage::DirectRequests => "requests to the backing device",
            Stage::Disk => "the disk to be deleted",
            Stage::Gc => "gc",
            Stage::BtreeWrites => "btree nodes to be written",
            Stage::Allocator => "the allocator",
            Stage::Journal => "the journal",
        }
    }
}

/// The stage of an object's teardown. Any context.
pub(crate) struct Progress(Num);

impl Progress {
    /// No teardown, or none that waits.
    pub(crate) const fn new() -> Self {
        Self(Num::new(0))
    }

    /// What the teardown waits for now.
    pub(crate) fn stage(&self) -> Stage {
        let nr = usize::try_from(self.0.get()).unwrap_or(0);
        Stage::ALL.get(nr).copied().unwrap_or(Stage::Nothing)
    }

    fn put(&self, stage: Stage) {
        let nr = Stage::ALL.iter().position(|s| *s == stage).unwrap_or(0);
        self.0.put(u32::try_from(nr).unwrap_or(0));
    }
}

/// Something that is taken apart in the end.
pub(crate) trait Ends: Send + Sync + 'static {
    /// Where its teardown is.
    fn progress(&self) -> &Progress;

    /// Says in the log that a wait takes long.
    fn say(&self, what: &str);
}

impl Ends for CachedDev {
    fn progress(&self) -> &Progress {
        &self.ending
    }

    fn say(&self, what: &str) {
        pr_warn!(
            "{}: waiting for {} for more than {} seconds\n",
            self.name,
            what,
            LONG_SECONDS
        );
    }
}

impl Ends for CacheSet {
    fn progress(&self) -> &Progress {
        &self.ending
    }

    fn say(&self, what: &str) {
        pr_warn!(
            "cache set {}: waiting for {} for more than {} seconds\n",
            self.uuid_text(),
            what,
            LONG_SECONDS
        );
    }
}

/// A teardown that is under way. One at a time for an object.
pub(crate) struct Waiting<T: Ends> {
    object: Arc<T>,
    /// Fires when a stage takes long; `None` if there was no memory for it.
    alarm: Option<DelayedTask>,
}

impl<T: Ends> Waiting<T> {
    /// The teardown of `object` begins. May sleep.
    pub(crate) fn begin(object: &Arc<T>) -> Self {
        let late = object.clone();
        let alarm = DelayedTask::new(move |_| match late.progress().stage() {
            Stage::Nothing => (),
            stage => late.say(stage.text()),
        });
        Self {
            object: object.clone(),
            alarm: alarm.ok(),
        }
    }

    /// It waits for `what` from now on.
    pub(crate) fn wait_for(&self, what: Stage) {
        self.object.progress().put(what);
        if let Some(alarm) = &self.alarm {
            alarm.mod_arm(u64::from(LONG_SECONDS).saturating_mul(u64::from(HZ)));
        }
    }
}

impl<T: Ends> Drop for Waiting<T> {
    fn drop(&mut self) {
        self.object.progress().put(Stage::Nothing);
    }
}

impl CachedDev {
    /// What the end of the device, or of its attachment, waits for. Any context.
    pub(crate) fn waits_for(&self) -> &'static str {
        let (detaching, through) = self
            .att
            .load_with(|att| (att.detaching.get(), att.detach_ready.get()))
            .unwrap_or_default();
        match self.ending.stage() {
            Stage::Nothing if detaching && !through => "dirty data to be written back",
            Stage::Nothing if self.flags.closing.get() && self.openers.get() != 0 => {
                "the disk to be closed"
            }
            stage => stage.text(),
        }
    }
}
