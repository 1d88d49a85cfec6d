// SPDX-License-Identifier: GPL-2.0

//! Empty flushes through the cache.
//!
//! C: `cached_dev_nodata` in `request.c`. The journal is written and made durable, with it all data and keys
//! of writes that ended before; the backing device is flushed at the same time.

use super::{
    cells::ErrorCell,
    Stay, //
};
use bcache_kernel::{
    block::{EndIo, Opf, OwnedBio, Status, UserBio},
    job::{Job, JobRun, Shared},
    memalloc,
    workqueue::Queue, //
};

/// A flush.
pub(super) struct FlushReq {
    user: Option<UserBio>,
    error: ErrorCell,
    stay: Stay,
}

/// What the completion of the flush of the backing device has to know.
pub(super) struct FlushIo(Shared<FlushReq>);

/// Starts a flush: it waits for the journal, so all of it is for the worker.
pub(super) fn submit(stay: Stay, user: UserBio) {
    let slot = stay.att.dev.io.flushes.slot();
    let req = FlushReq {
        user: Some(user),
        error: ErrorCell::new(),
        stay,
    };
    slot.fill(req).queue();
}

impl JobRun for FlushReq {
    fn queue(&self) -> &Queue {
        self.stay.att.set.wq.queue()
    }

    fn run(job: Job<Self>) {
        let _noio = memalloc::noio();
        let req = job.share();
        let att = &req.stay.att;
        let opf = Opf::WRITE | Opf::SYNC | Opf::PREFLUSH;
        let io = FlushIo(req.clone());
        att.dev
            .io
            .flush
            .alloc(&att.dev.bdev, 0, opf, 0, io)
            .submit();
        if let Err(e) = att.set.journal.meta(&att.set, true) {
            req.error.record(Status::from(e));
        }
        release(req);
    }
}

/// Gives up one reference; the last one ends the flush. Any context.
fn release(req: Shared<FlushReq>) {
    if let Some(mut job) = req.release() {
        let status = job.error.status();
        if let Some(user) = job.user.take() {
            user.end(status);
        }
    }
}

impl EndIo for FlushIo {
    fn end_io(bio: OwnedBio<Self>, status: Status) {
        let opf = bio.opf();
        let FlushIo(req) = bio.into_data();
        if !status.is_ok() {
            req.stay.att.dev.backing_failed(opf);
            req.error.record(status);
        }
        release(req);
    }
}
