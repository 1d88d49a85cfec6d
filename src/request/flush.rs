// SPDX-License-Identifier: GPL-2.0

//! Empty flushes through the cache.
//!
//! C: `cached_dev_nodata` in `request.c`. The journal is written and made durable, with it all data and keys
//! of writes that ended before; the backing device is flushed at the same time. What has nothing new to be made durable
//! is left alone, which in C is written and flushed, too.

use super::{
    cells::ErrorCell,
    durable::Durably,
    Stay, //
};
use bcache_core::request::unflushed;
use bcache_kernel::{
    block::{DoneBio, EndIo, Opf, Status, UserBio},
    job::{Job, JobRun, Shared},
    workqueue::Queue, //
};

/// A flush.
pub(super) struct FlushReq {
    user: Option<UserBio>,
    error: ErrorCell,
    /// Journal entry that it waits for, if any.
    seq: u64,
    stay: Stay,
}

/// What the completion of the flush of the backing device has to know.
pub(super) struct FlushIo(Shared<FlushReq>, unflushed::Flush);

/// Starts a flush. The submitter's context; may wait for locks, but not for I/O.
pub(super) fn submit(stay: Stay, user: UserBio) {
    let att = &stay.att;
    let set = &att.set;
    let backing = att.dev.unflushed.begin();
    let seq = set.journal.start_flush(u64::MAX);
    if backing.is_none() && seq.is_none() {
        return user.end(Status::OK);
    }
    let slot = att.dev.io.flushes.slot();
    let req = slot.fill(FlushReq {
        user: Some(user),
        error: ErrorCell::new(),
        seq: seq.unwrap_or(0),
        stay,
    });
    let req = req.share();
    let att = &req.stay.att;
    if let Some(flush) = backing {
        let opf = Opf::WRITE | Opf::SYNC | Opf::PREFLUSH;
        let io = FlushIo(req.clone(), flush);
        let sets = &att.dev.io;
        sets.flush.alloc(&att.dev.bdev, 0, opf, 0, io).submit();
    }
    if seq.is_some() {
        att.set.when_durable(att.set.durable.flushes(), &req);
    }
    release(req);
}

impl JobRun for FlushReq {
    fn queue(&self) -> &Queue {
        self.stay.att.set.wq.queue()
    }

    // What there is to do is done at the start and by completions; a worker could only end it.
    fn run(job: Job<Self>) {
        end(job);
    }
}

impl Durably for FlushReq {
    fn seq(&self) -> u64 {
        self.seq
    }

    fn durable(req: Shared<Self>, status: Status) {
        req.error.record(status);
        release(req);
    }
}

/// Gives up one reference; the last one ends the flush. Any context.
fn release(req: Shared<FlushReq>) {
    if let Some(job) = req.release() {
        end(job);
    }
}

/// Ends a flush.
fn end(mut job: Job<FlushReq>) {
    let status = job.error.status();
    if let Some(user) = job.user.take() {
        user.end(status);
    }
}

impl EndIo for FlushIo {
    fn end_io(bio: DoneBio<Self>, status: Status) {
        let opf = bio.opf();
        let FlushIo(req, flush) = bio.into_data();
        let dev = &req.stay.att.dev;
        if status.is_ok() {
            dev.unflushed.done(flush);
        } else {
            dev.backing_failed(opf);
            req.error.record(status);
        }
        release(req);
    }
}
