// SPDX-License-Identifier: GPL-2.0

//! Writes and discards through the cache: how they are done, and their data.
//!
//! C: `cached_dev_write`, `bch_data_insert_start` in `request.c`.
//!
//! | way | data goes to | then the index gets |
//! |---|---|---|
//! | writeback | cache | dirty keys |
//! | writethrough | cache and backing device at once | clean keys |
//! | bypass | backing device | the range is erased |
//!
//! The index changes only when all data of the round is on the devices. C starts to change it while the write
//! to the backing device is still under way; a miss that begins then could read the old data and cache it for
//! good. The writeback lock is held, shared, from before the decision to the end.
//!
//! With PREFLUSH what was acknowledged before has to be durable first, and some of that may be in the open entry of the journal
//! only. What goes to the backing device is sent when that entry is written; the index gets keys of data in the cache then,
//! since a leaf may be written at any time, and the write be durable with it. (C waits for neither.)

use super::{
    bypass,
    cells::ErrorCell,
    congestion::{now_us, CacheIo},
    insert,
    Stay, //
};
use crate::{
    alloc::Reserve,
    attach::Attachment,
    open_buckets::DataExtent,
    writeback::Sent, //
};
use bcache_core::request::{
    mode::{
        self,
        WritebackInput, //
    },
    unflushed, //
};
use bcache_kernel::{
    batch::{BatchRun, Batches, Ready},
    block::{DoneBio, EndIo, Op, Opf, SplitBio, Status, UserBio},
    job::{Job, JobRun, Shared},
    memalloc,
    rwsem::Pass,
    task,
    workqueue::Queue, //
};
use kernel::prelude::*;

/// Pieces whose keys enter journal and index together. With three words each they always fit one block.
pub(super) const ROUND: usize = 8;

/// How a write is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Backing device alone; the cache forgets the range.
    Bypass,
    /// Both devices.
    Through,
    /// Cache alone.
    Back,
}

/// What the worker does next with a write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// All that was acknowledged before is durable: send the first data off.
    Begin,
    /// Send the next data off.
    Send,
    /// Note in the superblock of the backing device that there is dirty data.
    MarkDirty,
    /// Put into the index what is left of the round.
    Index,
    /// All is in the index: make it durable.
    Flush,
    /// All is durable: it ends.
    End,
}

/// A piece of a write that has its place in the cache.
pub(super) struct Placed {
    /// First sector, counted from the start of the request.
    pub(super) skip: u32,
    pub(super) extent: DataExtent,
}

/// A write or discard.
pub(super) struct WriteReq {
    pub(super) user: Option<SplitBio>,
    /// First sector, as the index counts.
    pub(super) start: u64,
    pub(super) sectors: u32,
    /// Sectors that are done with, in the index too.
    pub(super) done: u32,
    pub(super) way: Way,
    pub(super) next: Next,
    /// The pieces of the round in flight.
    pub(super) round: [Option<Placed>; ROUND],
    /// Keys that have to wait for the index.
    pub(super) rest: Option<insert::Rest>,
    /// Sector up to which the round goes.
    pub(super) round_end: u32,
    /// There was no space: the rest of a writethrough is to be erased from the cache.
    pub(super) no_space: bool,
    /// The backing device has got its bio.
    backing_sent: bool,
    /// It is to be durable before it ends.
    pub(super) flush: bool,
    /// Journal entry of the last keys.
    pub(super) seq: u64,
    write_point: u32,
    /// Errors that the submitter gets to know.
    pub(super) error: ErrorCell,
    /// Errors of the cache device in a writethrough.
    pub(super) cache: ErrorCell,
    _lock: Pass,
    pub(super) stay: Stay,
}

/// What the completion of a bio of a write has to know.
pub(super) enum WriteIo {
    /// Data to the cache, submitted at a time in microseconds.
    Cache(Shared<WriteReq>, u32),
    /// Data or discard to the backing device.
    Backing(Shared<WriteReq>, Sent),
    /// The flush that a writeback with PREFLUSH owes the backing device.
    Flush(Shared<WriteReq>, unflushed::Flush),
}

/// A number for the submitting task, so that its writes share buckets (C: `hash_long(current, 16)`).
pub(super) fn write_point() -> u32 {
    let pid = u32::try_from(task::pid()).unwrap_or(0);
    // The golden ratio, as in the kernel's `hash_32`.
    pid.wrapping_mul(0x61c8_8647) >> 16
}

/// Starts a write or discard. The submitter's context; may wait for the writeback lock, but not for I/O.
pub(super) fn submit(stay: Stay, user: UserBio, bypass: bool) {
    let att = &stay.att;
    let start = user.sector().saturating_add(att.dev.data_offset);
    let sectors = user.sectors();
    // The thread that excludes us only reads the index and writes a superblock: it needs nothing that hangs on this
    // task.
    let lock = att.wb.lock.enter();
    let way = choose(att, &user, start, bypass);
    // Writes that are under way have the lock already: they do not wait for it, so we may wait for them.
    let slot = att.dev.io.writes.slot();
    let flush = user.opf().has(Opf::FUA | Opf::PREFLUSH);
    let job = slot.fill(init!(WriteReq {
        start,
        sectors,
        done: 0,
        way,
        next: Next::Send,
        round: [const { None }; ROUND],
        rest: None,
        round_end: 0,
        no_space: false,
        backing_sent: false,
        flush,
        seq: 0,
        write_point: write_point(),
        error: ErrorCell::new(),
        cache: ErrorCell::new(),
        user: Some(user.split()),
        _lock: lock,
        stay,
    }));
    if job.way != Way::Back && job.has_preflush() {
        // The flush that the backing device does covers its own cache. What was written before and is acknowledged may be in
        // the open entry of the journal only, be it as data in the cache or as a range that the cache was to forget.
        return insert::flush_before(job);
    }
    send(job, false);
}

/// Decides how the write is done. The writeback lock is held.
fn choose(att: &Attachment, user: &UserBio, start: u64, bypass: bool) -> Way {
    let opf = user.opf();
    let end = start.saturating_add(u64::from(user.sectors()));
    // Keys that background writeback has not started on are dropped from its list here; it finds what
    // becomes of them in the next scan.
    let overlaps = att.wb.keybuf.check_overlapping(start, end);
    if opf.op() == Op::Discard {
        return Way::Bypass;
    }
    if overlaps {
        // Old data of this range is on its way to the backing device: ours must not race with it.
        return Way::Back;
    }
    let set = &att.set;
    let input = WritebackInput {
        mode: bypass::cache_mode(att),
        detaching: att.must_bypass(),
        in_use: set.in_use_percent(),
        cutoff: set.tun.cutoff_writeback.get(),
        cutoff_sync: set.tun.cutoff_writeback_sync.get(),
        discard: false,
        partial_stripes_expensive: att.dev.flags.partial_stripes_expensive.get(),
        would_skip: bypass,
        sync: opf.has(Opf::SYNC | Opf::FUA | Opf::PREFLUSH),
        meta: opf.has(Opf::META | Opf::PRIO),
    };
    if mode::should_writeback(&input, || att.wb.stripes.any_dirty(start, user.sectors())) {
        Way::Back
    } else if bypass {
        Way::Bypass
    } else {
        Way::Through
    }
}

impl JobRun for WriteReq {
    fn queue(&self) -> &Queue {
        self.stay.att.set.wq.queue()
    }

    fn run(job: Job<Self>) {
        let _noio = memalloc::noio();
        match job.next {
            Next::Begin | Next::Send => {
                let mut job = job;
                job.next = Next::Send;
                send(job, true);
            }
            Next::MarkDirty => insert::mark_dirty(job),
            Next::Index => insert::insert_rest(job),
            Next::Flush => insert::flush(job),
            Next::End => insert::finish(job),
        }
    }
}

impl BatchRun for WriteReq {
    fn batches(&self) -> &Batches<Self> {
        &self.stay.att.set.writes.0
    }

    fn run_batch(ready: Ready<Self>) {
        let _noio = memalloc::noio();
        insert::insert(ready);
    }
}

/// The writes of a cache set whose data is there (or failed): the index is to be changed.
pub(crate) struct WriteBatches(Batches<WriteReq>);

impl WriteBatches {
    /// No writes. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Batches::new()?))
    }
}

/// Sends the data of the next round off. `wait`: in a worker, which may wait for a free bucket.
pub(super) fn send(mut job: Job<WriteReq>, wait: bool) {
    match job.way {
        Way::Bypass => {}
        Way::Back | Way::Through => {
            let may_wait = wait && job.way == Way::Back;
            if let Err(e) = place(&mut job, may_wait) {
                if job.way == Way::Back && !wait {
                    return job.queue();
                }
                if job.way == Way::Back {
                    return insert::fail(job, e);
                }
                job.way = Way::Bypass;
            }
        }
    }
    let first = !core::mem::replace(&mut job.backing_sent, true);
    let barrier = first && job.way == Way::Back && job.has_preflush();
    let before = barrier.then(|| job.stay.att.set.journal.start_flush(u64::MAX));
    let before = before.flatten();
    if let Some(seq) = before {
        job.seq = seq;
    }
    let req = job.share();
    if before.is_some() {
        let set = &req.stay.att.set;
        set.when_durable(set.durable.writes(), &req);
    }
    req.send_placed();
    if first {
        req.send_backing();
    }
    release(req);
}

/// Finds places in the cache for the next sectors, as many as a round can have.
///
/// # Errors
///
/// If there is no place at all.
fn place(job: &mut Job<WriteReq>, wait: bool) -> Result {
    let req: &mut WriteReq = job;
    let att = &req.stay.att;
    let mut skip = req.done;
    let mut result = Ok(());
    for slot in req.round.iter_mut() {
        let left = req.sectors.saturating_sub(skip);
        if left == 0 || result.is_err() {
            break;
        }
        let start = req.start.saturating_add(u64::from(skip));
        // Waiting with some of the round placed would hold its buckets: only the first one waits.
        let wait = wait && skip == req.done;
        match att
            .set
            .alloc_sectors(left, att.inode, start, req.write_point, Reserve::None, wait)
        {
            Ok(extent) => {
                let sectors = extent.sectors;
                if req.way == Way::Back {
                    att.set.buckets.mark_dirty(extent.pin.nr());
                }
                *slot = Some(Placed { skip, extent });
                skip = skip.saturating_add(sectors);
            }
            Err(e) => result = Err(e),
        }
    }
    req.round_end = skip;
    if skip == req.done {
        return result;
    }
    req.no_space = result.is_err() && req.way == Way::Through;
    Ok(())
}

impl WriteReq {
    /// Whether a flush is to come before it.
    fn has_preflush(&self) -> bool {
        let user = self.user.as_ref();
        user.is_some_and(|u| u.opf().has(Opf::PREFLUSH))
    }

    /// Drops what the round had, for the next one.
    pub(super) fn clear_round(&mut self) {
        for slot in self.round.iter_mut() {
            *slot = None;
        }
    }
}

/// Sending the bios of a round.
trait Sender {
    fn send_placed(&self);
    fn send_backing(&self);
}

impl Sender for Shared<WriteReq> {
    /// The placed pieces go to the cache.
    fn send_placed(&self) {
        let att = &self.stay.att;
        let Some(user) = self.user.as_ref() else {
            return;
        };
        // The journal entry with the keys makes the data durable. That somebody has another copy does not make a failing cache
        // any better: its errors count.
        let opf = user.opf().without(Opf::PREFLUSH | Opf::FUA | Opf::FAILFAST);
        for placed in self.round.iter().flatten() {
            let sectors = placed.extent.sectors;
            if att.set.io_disabled() {
                self.cache_failed(Status::IOERR);
                continue;
            }
            let io = WriteIo::Cache(self.clone(), now_us());
            let set_bdev = &att.set.bdev;
            let mut bio = att
                .dev
                .io
                .write
                .clone_range(set_bdev, user, placed.skip, sectors, io);
            bio.set_opf(opf);
            bio.set_sector(placed.extent.ptr.sector());
            bio.submit();
        }
    }

    /// What the backing device gets: all of it, a flush, or nothing.
    fn send_backing(&self) {
        let att = &self.stay.att;
        let Some(user) = self.user.as_ref() else {
            return;
        };
        let opf = user.opf();
        let (sets, bdev) = (&att.dev.io, &att.dev.bdev);
        if self.way == Way::Back {
            if !opf.has(Opf::PREFLUSH) {
                return;
            }
            if let Some(flush) = att.dev.unflushed.begin() {
                let io = WriteIo::Flush(self.clone(), flush);
                let opf = Opf::WRITE | Opf::SYNC | Opf::PREFLUSH;
                sets.write.alloc(bdev, 0, opf, 0, io).submit();
            }
            return;
        }
        if opf.op() == Op::Discard && bdev.max_discard_sectors() == 0 {
            return;
        }
        let io = WriteIo::Backing(self.clone(), att.sending());
        let mut bio = sets.write.clone_range(bdev, user, 0, self.sectors, io);
        if opf.op() == Op::Write && self.replaces_dirty() {
            bio.set_opf(opf | Opf::FUA);
        }
        bio.set_sector(self.start);
        bio.submit();
    }
}

impl WriteReq {
    /// Whether the range may have dirty data in the cache. That may be durable, and the index forgets it with the next
    /// entry of the journal: what takes its place must then be durable, too, or a power cut would bring back what was
    /// there before both. (C leaves it in the volatile cache of the disk.) Not for a discard, after which nobody may expect
    /// anything of the range.
    fn replaces_dirty(&self) -> bool {
        let att = &self.stay.att;
        att.wb.has_dirty.get() && att.set.may_be_dirty(att.inode, self.start, self.sectors)
    }

    /// Data did not get to the cache.
    fn cache_failed(&self, status: Status) {
        if self.way == Way::Back {
            self.error.record(status);
        } else {
            self.cache.record(status);
        }
    }
}

/// Gives up one reference; with the last one the index is changed. Any context.
fn release(req: Shared<WriteReq>) {
    if let Some(job) = req.release() {
        data_is_there(job);
    }
}

/// All of a round is done, and what has to be durable before: changes the index, or lets a worker do it. Any context.
pub(super) fn data_is_there(job: Job<WriteReq>) {
    if let Err(job) = insert::insert_now(job) {
        job.batch();
    }
}

impl EndIo for WriteIo {
    fn end_io(bio: DoneBio<Self>, status: Status) {
        let opf = bio.opf();
        let req = match bio.into_data() {
            WriteIo::Cache(req, submit_us) => {
                let set = &req.stay.att.set;
                set.cache_io_done(CacheIo::Write, status, submit_us);
                if !status.is_ok() {
                    req.cache_failed(status);
                }
                req
            }
            WriteIo::Backing(req, sent) => {
                req.stay.att.answered(sent);
                req.stay.att.dev.unflushed.wrote();
                if !status.is_ok() {
                    req.stay.att.dev.backing_failed(opf);
                    req.error.record(status);
                }
                req
            }
            WriteIo::Flush(req, flush) => {
                let dev = &req.stay.att.dev;
                if status.is_ok() {
                    dev.unflushed.done(flush);
                } else {
                    // The write waits for its flush, and so fails with it (C: the write alone counts).
                    pr_err!("Can't flush {}\n", dev.name);
                    dev.backing_failed(opf);
                    req.error.record(status);
                }
                req
            }
        };
        release(req);
    }
}
