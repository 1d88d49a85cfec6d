// SPDX-License-Identifier: GPL-2.0

//! What a teardown waits for: seen in debugfs at any time, and said in the log once a wait takes long.
//!
//! All waits of a teardown are waits for an event and have no limit: what they wait for may still use what is
//! freed after them. C polls for 60 s and then goes on.
//!
//! Two kinds: a step that is under way sleeps until somebody is out ([`Waiting`]), and what was asked for has not become
//! possible yet, so that no step has begun and nobody sleeps ([`Asked`]).

use crate::{
    cache_set::CacheSet,
    cached_dev::CachedDev,
    flag::{Flag, Num, Num64},
    params::teardown_warn_seconds, //
};
use bcache_kernel::{
    delayed::DelayedTask,
    time::{jiffies, HZ}, //
};
use core::cell::Cell;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// How long a wait takes that is worth a line in the log, in jiffies.
pub(crate) fn long() -> u64 {
    u64::from(teardown_warn_seconds()).saturating_mul(u64::from(HZ))
}

/// What a teardown waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Nothing,
    StatusThread,
    RateWork,
    WritebackThread,
    WritebackKeys,
    CacheRequests,
    DirectRequests,
    Superblock,
    UuidTable,
    Files,
    Disk,
    Backing,
    Gc,
    BtreeWrites,
    Allocator,
    Journal,
    Cache,
    Workers,
    Lists,
}

impl Stage {
    /// All, each at the place that is its number.
    const ALL: [Stage; 19] = [
        Stage::Nothing,
        Stage::StatusThread,
        Stage::RateWork,
        Stage::WritebackThread,
        Stage::WritebackKeys,
        Stage::CacheRequests,
        Stage::DirectRequests,
        Stage::Superblock,
        Stage::UuidTable,
        Stage::Files,
        Stage::Disk,
        Stage::Backing,
        Stage::Gc,
        Stage::BtreeWrites,
        Stage::Allocator,
        Stage::Journal,
        Stage::Cache,
        Stage::Workers,
        Stage::Lists,
    ];

    /// In words.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Stage::Nothing => "nothing",
            Stage::StatusThread => "the thread that watches its status",
            Stage::RateWork => "the rate work",
            Stage::WritebackThread => "the writeback thread",
            Stage::WritebackKeys => "keys being written back",
            Stage::CacheRequests => "requests that use the cache",
            Stage::DirectRequests => "requests to the backing device",
            Stage::Superblock => "its superblock to be written",
            Stage::UuidTable => "the uuid table to be written",
            Stage::Files => "those who use its files",
            Stage::Disk => "the disk to be deleted",
            Stage::Backing => "the backing device to be let go",
            Stage::Gc => "gc",
            Stage::BtreeWrites => "btree nodes to be written",
            Stage::Allocator => "the allocator",
            Stage::Journal => "the journal",
            Stage::Cache => "the cache device to be let go",
            Stage::Workers => "workers that are just leaving",
            // The register lock: who does these has it for as long as their I/O takes.
            Stage::Lists => "another registration, attach or detach to end",
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

/// What is in the way of a step that was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Obstacle {
    DirtyData,
    Superblock,
    Openers,
    Devices,
    /// Nothing but that the step can be claimed by nobody now.
    Lists,
}

impl Obstacle {
    /// In words.
    fn text(self) -> &'static str {
        match self {
            Obstacle::DirtyData => "dirty data to be written back",
            Obstacle::Superblock => Stage::Superblock.text(),
            Obstacle::Openers => "the disk to be closed",
            Obstacle::Devices => "its devices to leave it",
            Obstacle::Lists => Stage::Lists.text(),
        }
    }

    /// Which one; 0 is none.
    fn number(self) -> u32 {
        match self {
            Obstacle::DirtyData => 1,
            Obstacle::Openers => 2,
            Obstacle::Devices => 3,
            Obstacle::Lists => 4,
            Obstacle::Superblock => 5,
        }
    }
}

/// How long a step that was asked for has not been possible. Changed under the register lock only.
pub(crate) struct Asked {
    /// What is in its way, as a number; 0 if no step is asked for, or nothing is.
    obstacle: Num,
    /// Since when that is, in jiffies.
    since: Num64,
    said: Flag,
}

impl Asked {
    /// Nothing is asked for.
    pub(crate) const fn new() -> Self {
        Self {
            obstacle: Num::new(0),
            since: Num64::new(0),
            said: Flag::new(false),
        }
    }

    /// Something is in the way of what was asked for (or nothing is). Says so once for each obstacle, when that has taken
    /// long; gives the jiffies until then.
    fn look(&self, in_the_way: Option<Obstacle>, say: impl FnOnce(&str)) -> Option<u64> {
        let number = in_the_way.map_or(0, Obstacle::number);
        let now = jiffies();
        if self.obstacle.get() != number {
            self.obstacle.put(number);
            self.since.put(now);
            self.said.clear();
        }
        let what = in_the_way?;
        let left = long().saturating_sub(now.wrapping_sub(self.since.get()));
        if left == 0 && !self.said.set() {
            say(what.text());
        }
        (left != 0).then_some(left)
    }
}

/// Something that is taken apart in the end.
pub(crate) trait Ends: Send + Sync + 'static {
    /// Where its teardown is.
    fn progress(&self) -> &Progress;

    /// Since when it waits for others.
    fn asked(&self) -> &Asked;

    /// What is in the way of the step that was asked for. Any context.
    fn in_the_way(&self) -> Option<Obstacle>;

    /// What its end waits for, in words. Any context.
    fn waits_for(&self) -> &'static str {
        match (self.progress().stage(), self.in_the_way()) {
            (Stage::Nothing, Some(others)) => others.text(),
            (stage, _) => stage.text(),
        }
    }

    /// Says once that what was asked for has not been possible for long; gives the jiffies until that is due. Under the
    /// register lock, which is thus in nobody's way.
    fn look(&self) -> Option<u64> {
        let others = self.in_the_way().filter(|o| *o != Obstacle::Lists);
        self.asked().look(others, |what| self.say(what))
    }

    /// Says in the log that a wait takes long.
    fn say(&self, what: &str);

    /// Says in the log that a wait begins which nobody times.
    fn say_next(&self, what: &str);
}

impl Ends for CachedDev {
    fn progress(&self) -> &Progress {
        &self.ending
    }

    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn in_the_way(&self) -> Option<Obstacle> {
        let (detaching, dirty, refused, through, claimed) = self
            .att
            .load_with(|att| {
                (
                    att.detaching.get(),
                    att.wb.has_dirty.get(),
                    att.wb.refused.get() && !att.set.io_disabled(),
                    att.detach_ready.get(),
                    att.finishing.get(),
                )
            })
            .unwrap_or_default();
        match (detaching && !through, dirty) {
            (true, true) => return Some(Obstacle::DirtyData),
            // One that was stopped, too, is not waited for, unless its set is dead: the thread tries once more then.
            (true, false) if !(refused && self.flags.closing.get()) => {
                return Some(Obstacle::Superblock)
            }
            _ => (),
        }
        if self.flags.closing.get() && self.openers.get() != 0 {
            return Some(Obstacle::Openers);
        }
        let next = through || self.flags.closing.get();
        (next && !claimed && !self.flags.freeing.get()).then_some(Obstacle::Lists)
    }

    fn say(&self, what: &str) {
        pr_warn!(
            "{}: waiting for {} for more than {} seconds\n",
            self.name,
            what,
            teardown_warn_seconds()
        );
    }

    fn say_next(&self, what: &str) {
        pr_info!("{}: waiting for {}\n", self.name, what);
    }
}

impl Ends for CacheSet {
    fn progress(&self) -> &Progress {
        &self.ending
    }

    fn asked(&self) -> &Asked {
        &self.asked
    }

    fn in_the_way(&self) -> Option<Obstacle> {
        let flags = &self.flags;
        if flags.told_devices.get() && self.has_devices() {
            return Some(Obstacle::Devices);
        }
        (flags.stopping.get() && !flags.finishing.get()).then_some(Obstacle::Lists)
    }

    fn say(&self, what: &str) {
        pr_warn!(
            "cache set {}: waiting for {} for more than {} seconds\n",
            self.uuid_text(),
            what,
            teardown_warn_seconds()
        );
    }

    fn say_next(&self, what: &str) {
        pr_info!("cache set {}: waiting for {}\n", self.uuid_text(), what);
    }
}

/// A teardown that is under way. One at a time for an object: the next may begin once this one waits for
/// [`Stage::Nothing`].
pub(crate) struct Waiting<T: Ends> {
    object: Arc<T>,
    /// What it waits for now.
    stage: Cell<Stage>,
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
            stage: Cell::new(Stage::Nothing),
            alarm: alarm.ok(),
        }
    }

    /// It waits for `what` from now on.
    pub(crate) fn wait_for(&self, what: Stage) {
        self.stage.set(what);
        self.object.progress().put(what);
        match &self.alarm {
            _ if what == Stage::Nothing => (),
            Some(alarm) => alarm.mod_arm(long()),
            // Nobody would notice if it took long.
            None => self.object.say_next(what.text()),
        }
    }
}

impl<T: Ends> Drop for Waiting<T> {
    fn drop(&mut self) {
        if self.stage.get() != Stage::Nothing {
            self.object.progress().put(Stage::Nothing);
        }
    }
}
