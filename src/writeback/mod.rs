// SPDX-License-Identifier: GPL-2.0

//! Background writeback of one attached device.
//!
//! C: `writeback.c`. A thread scans the index for dirty keys ([`keybuf`]), reads their data from the cache,
//! writes it to the backing device in order of the disk ([`io`]), and replaces the keys by clean ones.
//!
//! The writeback lock ([`RwPass`]) is held shared by every write through the cache from before it decides
//! how it is done to its end, and exclusively by the thread while it scans and while it changes the state of
//! the device. So a scan that finds nothing dirty proves that there is nothing.

mod carry;
mod control;
mod count;
mod dirty;
mod io;
mod keybuf;
mod order;
mod rate;
mod settle;
mod show;
mod thread;
mod waits;

pub(crate) use io::{DirtyBio, DirtyReq};
pub(crate) use rate::Rate;
pub(crate) use waits::Sent;

use crate::{
    attach::{
        Attachment,
        Bond, //
    },
    debug::RateWorkFile,
    flag::Flag, //
};
use bcache_core::writeback::kicks::Kicks;
use bcache_kernel::{
    atomic::KWord,
    block::Bdev,
    kthread::Thread,
    ratework::RateTask,
    rwsem::RwPass,
    wait::WaitQueue, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{Arc, Mutex}, //
};

/// What runs on behalf of an attachment. Each is stopped by being dropped, the rate work first.
pub(crate) struct Tasks {
    pub(crate) rate: RateTask,
    pub(crate) thread: Thread,
}

/// Everything about the dirty data of one attached device.
#[pin_data]
pub(crate) struct Writeback {
    /// The index may hold dirty keys. Set before the first one, cleared by the thread.
    pub(crate) has_dirty: Flag,
    /// The superblock may say that there is dirty data when there is none: it could not be told that all is clean, or
    /// the device refused it before a first dirty write, and may have taken it all the same. The next scan that finds
    /// nothing dirty writes it.
    pub(crate) clean_unwritten: Flag,
    /// The superblock could not be told, the last time, that there will be dirty data.
    pub(crate) dirty_refused: Flag,
    /// The device did not take the superblock that would end a detach, the last time.
    pub(crate) refused: Flag,
    /// The state lock: held while the superblock of the attached device is written with another state, that is across
    /// I/O, and while `has_dirty`, `clean_unwritten` and `dirty_refused` change with it. Not for `refused`, which only
    /// the thread changes; and attach may set `has_dirty` without it, when nobody else has the attachment yet.
    #[pin]
    pub(crate) state_lock: Mutex<()>,
    /// The writeback lock.
    pub(crate) lock: RwPass,
    #[pin]
    pub(crate) keybuf: keybuf::Keybuf,
    /// Dirty sectors.
    pub(crate) stripes: dirty::DirtyMap,
    #[pin]
    pub(crate) control: control::Controller,
    #[pin]
    flow: io::Flow,
    /// The thread waits here: for work, for its I/O, and for time to pass.
    #[pin]
    wake: WaitQueue,
    /// What somebody asked the thread to look at again.
    kicks: Kicks<KWord>,
    /// Taken once, by whoever ends the attachment.
    #[pin]
    tasks: Mutex<Option<(Tasks, Option<RateWorkFile>)>>,
}

impl Writeback {
    /// For a device of `capacity` sectors; nothing runs yet. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the device cannot be divided into stripes, `ENOMEM`.
    pub(crate) fn new(bdev: &Bdev, capacity: u64) -> Result<impl PinInit<Self, Error>> {
        let lock = RwPass::new()?;
        let stripes = dirty::DirtyMap::new(bdev, capacity)?;
        let keybuf = keybuf::Keybuf::new()?;
        let flow = io::Flow::new()?;
        Ok(try_pin_init!(Self {
            has_dirty: Flag::new(false),
            clean_unwritten: Flag::new(false),
            dirty_refused: Flag::new(false),
            refused: Flag::new(false),
            state_lock <- new_mutex!((), "Writeback::state_lock"),
            lock,
            keybuf <- keybuf,
            stripes,
            control <- control::Controller::new(),
            flow <- flow,
            wake <- WaitQueue::new(),
            kicks: Kicks::new(KWord::new(0)),
            tasks <- new_mutex!(None, "Writeback::tasks"),
        }? Error))
    }

    /// Adds `sectors` (may be negative) dirty sectors from sector `start` on. Any context.
    pub(crate) fn dirty_add(&self, start: u64, sectors: i64) {
        self.stripes.add(start, sectors);
    }

    /// Sleeps for a time, or until `woken`, which somebody who wakes the writeback thread has changed. The thread itself.
    fn sleep(&self, jiffies: u64, woken: impl Fn() -> bool) {
        self.wake.wait_until_or_stop_timeout(woken, jiffies);
    }

    /// What runs, for the one who stops it. May sleep.
    pub(crate) fn take_tasks(&self) -> Option<(Tasks, Option<RateWorkFile>)> {
        self.tasks.lock().take()
    }

    /// Waits for workers that are just leaving, after the thread was stopped, which waits for its keys. They may
    /// still hold the attachment, and must not be the last: the queue they run on would be destroyed by them.
    /// May sleep.
    pub(crate) fn flush_workers(&self) {
        self.flow.wq.flush();
    }

    /// Dirty keys on their way to the backing device. Any context.
    pub(crate) fn keys_in_flight(&self) -> u32 {
        self.flow.keys_in_flight()
    }

    /// There is dirty data, or the superblock is to be told that there is none. Any context.
    pub(crate) fn has_work(&self) -> bool {
        self.has_dirty.get() || self.clean_unwritten.get()
    }

    /// Dirty sectors of the device. Any context.
    pub(crate) fn dirty_sectors(&self) -> i64 {
        self.stripes.total()
    }
}

impl Attachment {
    /// Something changed that the writeback thread should see. Any context.
    pub(crate) fn wake_writeback(&self) {
        self.wb.kicks.ask();
        self.wb.wake.wake_all();
    }

    /// Starts the thread and the rate controller. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EINTR`, or `EIO` if the state of the device had to be written and could not.
    pub(crate) fn start_writeback(this: &Arc<Bond>) -> Result {
        if this.wb.dirty_sectors() != 0 {
            // The clean twins of written-back keys are not journaled: after a crash there can be dirty keys of a
            // device that was clean.
            this.mark_dirty()?;
        }
        let (of_period, of_body, of_thread) = (this.clone(), this.clone(), this.clone());
        let rate = RateTask::new(
            move || of_period.update_period(),
            move || of_body.update_rate(),
        )?;
        let thread = Thread::spawn(c"bcache_writeback", move || thread::main(&of_thread))?;
        let file = RateWorkFile::new(this, rate.watch()).ok();
        rate.arm();
        *this.wb.tasks.lock() = Some((Tasks { rate, thread }, file));
        Ok(())
    }

    /// Runs `f` on the rate work; does nothing once the attachment ends. Any process context.
    fn with_rate_work(&self, f: impl FnOnce(&RateTask)) {
        if let Some((tasks, _)) = self.wb.tasks.lock().as_ref() {
            f(&tasks.rate);
        }
    }

    /// Makes sure the rate controller is armed, and aims at what may be dirty now (sysfs store of `writeback_percent`).
    pub(crate) fn arm_rate_work(&self) {
        self.with_rate_work(|rate| {
            rate.arm();
            self.reaim_rate();
        });
    }

    /// The time between two updates has changed: the next one comes after the new one (C: after the old one).
    pub(crate) fn retime_rate_work(&self) {
        self.with_rate_work(RateTask::retime);
    }
}
