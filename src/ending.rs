// SPDX-License-Identifier: GPL-2.0

//! The end of an attachment, as a value that one caller gets.
//!
//! C: `cached_dev_detach_finish`, `cached_dev_free`, and the ways out of `bch_cached_dev_attach`, each of which stops
//! threads and works by its own means, some of them twice.

use crate::{
    attach::{Attachment, Bond},
    cached_dev::CachedDev,
    debug::RateWorkFile,
    waiting::{Stage, Waiting},
    writeback::Tasks, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The end of an attachment: who has it, and nobody else, takes the attachment apart. Dropping it before
/// [`Ending::unlink`] stops what runs, too.
pub(crate) struct Ending {
    att: Arc<Bond>,
    /// What still runs.
    tasks: Option<Tasks>,
    /// Shows how far the end is.
    file: Option<RateWorkFile>,
}

impl Attachment {
    /// Claims the end; `None` for all but the first, and before writeback has been started. May sleep.
    pub(crate) fn end(this: &Arc<Bond>) -> Option<Ending> {
        let (tasks, file) = this.wb.take_tasks()?;
        Some(Ending {
            att: this.clone(),
            tasks: Some(tasks),
            file,
        })
    }
}

impl Ending {
    /// What comes to its end.
    pub(crate) fn attachment(&self) -> &Attachment {
        &self.att
    }

    /// Lets nobody into the attachment any more and waits until all are out.
    pub(crate) fn quiesce(&self, waiting: &Waiting<CachedDev>) {
        self.att.close();
        waiting.wait_for(Stage::CacheRequests);
        self.att.wait_idle();
    }

    /// Stops the rate work and the writeback thread, for good. May sleep; waits for the I/O in flight.
    pub(crate) fn stop_writeback(&mut self, waiting: &Waiting<CachedDev>) {
        let Some(Tasks { rate, thread }) = self.tasks.take() else {
            return;
        };
        waiting.wait_for(Stage::RateWork);
        rate.stop();
        waiting.wait_for(Stage::WritebackThread);
        thread.stop();
        waiting.wait_for(Stage::WritebackKeys);
        self.att.wb.flush_workers();
    }

    /// Takes the attachment out of device and set. The register lock is held by nobody here.
    pub(crate) fn unlink(mut self, waiting: &Waiting<CachedDev>, invalidate_slot: bool) {
        let (set, dev) = (&self.att.set, &self.att.dev);
        waiting.wait_for(Stage::Lists);
        let _lists = set.registry.inner.lock();
        if invalidate_slot {
            waiting.wait_for(Stage::UuidTable);
            set.uuid_invalidate(self.att.inode);
            if !set.io_disabled() && set.uuid_write().is_err() {
                pr_err!("{}: could not write the uuid bucket at detach\n", dev.name);
            }
        }
        waiting.wait_for(Stage::Files);
        crate::sysfs::unlink_attachment(&self.att);
        set.remove_device(&self.att);
        // Before the device can be attached again: its next file has the same name.
        drop(self.file.take());
        // The old reference goes away after its last reader.
        drop(dev.att.replace(None));
        // With the lock held: the next end of the device may begin without it.
        waiting.wait_for(Stage::Nothing);
    }
}
