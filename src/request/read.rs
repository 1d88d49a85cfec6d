// SPDX-License-Identifier: GPL-2.0

//! Reads through the cache.
//!
//! C: `cached_dev_read`, `cache_lookup`, `cached_dev_read_error` in `request.c`.
//!
//! A read that one piece of the cache answers is a single clone (see [`super::hit`]), as is one past the cache that has
//! none of it (see [`super::hole`]); everything else becomes a [`ReadReq`]. The bucket behind a pointer can be reused while the data is read. That is found out
//! afterwards, by the generation; the read then starts anew with a fresh look-up.

use super::{
    cells::ErrorCell,
    congestion::{now_us, CacheIo},
    hit,
    hole,
    miss,
    plan::{Found, Piece, Plan},
    Stay, //
};
use crate::{
    flag::Flag,
    writeback::Sent, //
};
use bcache_core::key::{
    Key,
    Ptr, //
};
use bcache_kernel::{
    block::{DoneBio, EndIo, SplitBio, Status, UserBio},
    job::{Job, JobRun, Shared, Slot},
    memalloc,
    workqueue::Queue, //
};
use kernel::prelude::*;

/// How often a read that lost a race against bucket reuse is looked up again.
const MAX_RACES: u32 = 16;
/// How often a miss that met a change of the index is looked up again before it goes without a fill.
const MAX_REPLANS: u32 = 4;

/// What the worker does next with a read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Look up what is not read yet.
    Lookup,
    /// Data from the cache was bad: see what can be done.
    Recover,
}

/// A read that is more than one clone.
pub(super) struct ReadReq {
    user: Option<SplitBio>,
    /// First sector, as the index counts.
    start: u64,
    sectors: u32,
    /// Sectors read by earlier rounds.
    done: u32,
    /// The round in flight.
    plan: Plan,
    next: Next,
    bypass: bool,
    /// Some sectors were not in the cache.
    missed: bool,
    /// Some sectors were dirty: the backing device alone cannot answer.
    dirty: bool,
    /// The one fill of this read was started or given up.
    fill_over: bool,
    races: u32,
    /// Of the task that reads: what it reads shares buckets.
    pub(super) write_point: u32,
    /// Errors of the backing device.
    backing: ErrorCell,
    /// Errors of the cache device.
    cache: ErrorCell,
    /// Some data was read from a bucket that was reused meanwhile.
    raced: Flag,
    pub(super) stay: Stay,
}

/// What the completion of a piece of a read has to know.
pub(super) enum ReadIo {
    /// A piece from the cache, submitted at a time in microseconds.
    Cache(Shared<ReadReq>, Ptr, u32),
    /// A piece from the backing device.
    Backing(Shared<ReadReq>, Sent),
}

/// Starts a read. The submitter's context, does not wait for I/O.
pub(super) fn submit(stay: Stay, user: UserBio, bypass: bool) {
    let att = &stay.att;
    let start = user.sector().saturating_add(att.dev.data_offset);
    match att.set.find_whole(att.inode, start, user.sectors()) {
        Found::Hit(ptr, dirty) => hit::send(stay, user, ptr, dirty, bypass),
        Found::Nothing if bypass || att.must_bypass() => hole::send(stay, user, start),
        Found::Nothing | Found::Pieces => submit_request(stay, user, bypass),
    }
}

/// Starts a read that is no plain hit. Apart, so that its stack is not that of a hit.
#[inline(never)]
fn submit_request(stay: Stay, user: UserBio, bypass: bool) {
    let slot = stay.att.dev.io.reads.slot();
    let job = slot.fill(ReadReq::new(stay, user, bypass));
    look_up(job, true);
}

/// Goes on with a read whose only clone was no good: of a device that failed, or with data that was replaced meanwhile.
/// Any context.
pub(super) fn recover_hit(
    slot: Slot<ReadReq>,
    stay: Stay,
    user: UserBio,
    bypass: bool,
    dirty: bool,
    status: Status,
) {
    let mut job = slot.fill(ReadReq::new(stay, user, bypass));
    job.next = Next::Recover;
    job.dirty = dirty;
    job.fill_over = true;
    if status.is_ok() {
        job.note_race();
    } else {
        job.cache.record(status);
    }
    job.queue();
}

impl ReadReq {
    fn new(stay: Stay, user: UserBio, bypass: bool) -> impl Init<Self> {
        let fill_over = bypass || stay.att.must_bypass();
        init!(Self {
            start: user.sector().saturating_add(stay.att.dev.data_offset),
            sectors: user.sectors(),
            user: Some(user.split()),
            done: 0,
            plan: Plan::new(0),
            next: Next::Lookup,
            bypass,
            missed: false,
            dirty: false,
            fill_over,
            races: 0,
            write_point: super::write::write_point(),
            backing: ErrorCell::new(),
            cache: ErrorCell::new(),
            raced: Flag::new(false),
            stay,
        })
    }

    /// The bio from above, for as long as the read is not over.
    pub(super) fn user(&self) -> Option<&SplitBio> {
        self.user.as_ref()
    }

    /// The backing device could not read what a fill asked for.
    pub(super) fn backing_failed(&self, status: Status) {
        self.backing.record(status);
    }

    /// Index sector of a sector of the request.
    pub(super) fn sector_at(&self, skip: u32) -> u64 {
        self.start.saturating_add(u64::from(skip))
    }

    /// Makes a new plan for what is not read yet.
    fn replan(&mut self, nonblock: bool) -> Result {
        let att = &self.stay.att;
        let range = (self.done, self.sectors);
        self.plan
            .look_up(&att.set, att.inode, self.start, range, nonblock)
    }

    /// Data that went through a pointer is no longer what the pointer was made for.
    fn note_race(&self) {
        self.stay.att.set.count.cache_read_races.add(1);
        self.raced.set();
    }
}

/// Ends a read that is a job. Any context.
fn end(mut job: Job<ReadReq>, status: Status) {
    if let Some(user) = job.user.take() {
        user.end(status);
    }
}

impl JobRun for ReadReq {
    fn queue(&self) -> &Queue {
        self.stay.att.set.wq.queue()
    }

    fn run(job: Job<Self>) {
        let _noio = memalloc::noio();
        match job.next {
            Next::Lookup => look_up(job, false),
            Next::Recover => recover(job),
        }
    }
}

/// Looks up what is missing and reads it. `nonblock`: in the submitter's context, which must not wait.
fn look_up(mut job: Job<ReadReq>, nonblock: bool) {
    match job.replan(nonblock) {
        Ok(()) => run_plan(job, nonblock),
        // The worker tries again.
        Err(_) if nonblock => job.queue(),
        Err(_) => without_index(job),
    }
}

/// The index could not be read: without dirty data the backing device has everything. Worker.
fn without_index(job: Job<ReadReq>) {
    if job.dirty || job.stay.att.wb.has_dirty.get() {
        return end(job, Status::IOERR);
    }
    let sectors = job.sectors;
    from_backing(job, sectors);
}

/// Reads the first `sectors` from the backing device. Worker.
fn from_backing(mut job: Job<ReadReq>, sectors: u32) {
    job.done = 0;
    job.fill_over = true;
    job.plan.all_from_backing(sectors);
    send(job, None);
}

/// Carries out the plan, with a fill for its first hole if there may be one.
fn run_plan(mut job: Job<ReadReq>, nonblock: bool) {
    let mut fill = None;
    for _ in 0..MAX_REPLANS {
        match placeholder(&mut job, nonblock) {
            Ok(key) => {
                fill = key;
                break;
            }
            Err(e) if e == EEXIST => {
                if job.replan(nonblock).is_err() {
                    return job.queue();
                }
            }
            // It would have had to wait.
            Err(_) => return job.queue(),
        }
    }
    job.missed |= job.plan.first_hole().is_some();
    job.dirty |= job.plan.dirty;
    send(job, fill);
}

/// Puts the placeholder for a fill into the index; `None` if this read fills nothing (any more).
///
/// # Errors
///
/// `EEXIST` if there is data meanwhile, `EAGAIN` if it would have to wait.
fn placeholder(job: &mut Job<ReadReq>, nonblock: bool) -> Result<Option<Key>> {
    if job.fill_over {
        return Ok(None);
    }
    let Some(hole) = job.plan.first_hole() else {
        return Ok(None);
    };
    let key = miss::check_key(job, &hole);
    match job.stay.att.set.btree_insert_check_key(&key, nonblock) {
        Ok(()) => {
            job.fill_over = true;
            Ok(Some(key))
        }
        Err(e) if e == EEXIST || (e == EAGAIN && nonblock) => Err(e),
        Err(_) => {
            job.fill_over = true;
            Ok(None)
        }
    }
}

/// Sends the pieces of the plan off; `fill` is the placeholder at the first hole.
fn send(job: Job<ReadReq>, fill: Option<Key>) {
    let req = job.share();
    let mut fill = fill;
    for piece in req.plan.pieces() {
        let mut rest = *piece;
        if piece.ptr().is_none() {
            if let Some(key) = fill.take() {
                let filled = miss::submit(&req, piece, &key);
                rest.skip = rest.skip.saturating_add(filled);
                rest.sectors = rest.sectors.saturating_sub(filled);
            }
        }
        if rest.sectors != 0 {
            send_piece(&req, &rest);
        }
    }
    release(req);
}

/// Sends one piece off.
fn send_piece(req: &Shared<ReadReq>, piece: &Piece) {
    let att = &req.stay.att;
    let Some(user) = req.user() else {
        return;
    };
    let (bdev, sector, data) = match piece.ptr() {
        Some(_) if att.set.io_disabled() => return req.cache.record(Status::IOERR),
        Some(ptr) => (
            &att.set.bdev,
            ptr.sector(),
            ReadIo::Cache(req.clone(), ptr, now_us()),
        ),
        None => (
            &att.dev.bdev,
            req.sector_at(piece.skip),
            ReadIo::Backing(req.clone(), att.sending()),
        ),
    };
    let mut bio = att
        .dev
        .io
        .read
        .clone_range(bdev, user, piece.skip, piece.sectors, data);
    bio.set_sector(sector);
    bio.submit();
}

/// Gives up one reference; the last one ends the round. Any context.
pub(super) fn release(req: Shared<ReadReq>) {
    if let Some(job) = req.release() {
        round_over(job);
    }
}

/// All pieces of a round are there, or failed. Any context.
fn round_over(mut job: Job<ReadReq>) {
    if !job.backing.is_ok() {
        let status = job.backing.status();
        return end(job, status);
    }
    if !job.cache.is_ok() || job.raced.get() {
        job.next = Next::Recover;
        return job.queue();
    }
    if job.plan.end() < job.sectors {
        job.done = job.plan.end();
        job.next = Next::Lookup;
        return job.queue();
    }
    job.stay.att.mark_read(!job.missed, job.bypass);
    end(job, Status::OK);
}

/// Data from the cache was bad. Worker.
///
/// After a race a new look-up tells where the data is now. After an error of the device only the backing
/// device is left, and only for what was looked up and is clean: what comes behind may be dirty, and the next round finds
/// that out.
fn recover(mut job: Job<ReadReq>) {
    let failed = !job.cache.is_ok();
    let lost = failed || job.races >= MAX_RACES;
    if lost && job.dirty {
        let status = if failed {
            job.cache.status()
        } else {
            Status::IOERR
        };
        return end(job, status);
    }
    job.cache.reset();
    job.raced.clear();
    if lost {
        let known = match job.plan.end() {
            // A hit, of all of it.
            0 => job.sectors,
            end => end,
        };
        return from_backing(job, known);
    }
    job.races = job.races.saturating_add(1);
    job.done = 0;
    job.dirty = false;
    job.fill_over = true;
    look_up(job, false);
}

impl EndIo for ReadIo {
    fn end_io(bio: DoneBio<Self>, status: Status) {
        let opf = bio.opf();
        match bio.into_data() {
            ReadIo::Cache(req, ptr, submit_us) => {
                let set = &req.stay.att.set;
                set.cache_io_done(CacheIo::read(opf), status, submit_us);
                if !status.is_ok() {
                    req.cache.record(status);
                } else if set.buckets.ptr_stale(ptr) != 0 {
                    req.note_race();
                }
                release(req);
            }
            ReadIo::Backing(req, sent) => {
                req.stay.att.answered(sent);
                if !status.is_ok() {
                    req.stay.att.dev.backing_failed(opf);
                    req.backing.record(status);
                }
                release(req);
            }
        }
    }
}
