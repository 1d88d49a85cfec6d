// SPDX-License-Identifier: GPL-2.0

//! Filling the cache after a miss.
//!
//! C: `cached_dev_read_done`, `bch_data_insert` with `replace` in `request.c`.
//!
//! The data was read into pages of ours. The reader gets its copy first; then the pages are written to
//! the cache, bucket by bucket, and each piece enters the index in the place of the placeholder that the miss
//! left there. A write to the same sectors meanwhile has removed the placeholder, and the piece is dropped.

use super::{
    congestion::{now_us, CacheIo},
    read::{self, ReadReq},
    Stay, //
};
use crate::{
    alloc::Reserve,
    btree::Wait,
    open_buckets::DataExtent,
    writeback::Sent, //
};
use bcache_core::key::Key;
use bcache_kernel::{
    block::{DoneBio, EndIo, Opf, Status},
    job::{Job, JobRun, Shared},
    memalloc,
    workqueue::Queue, //
};

/// A fill under way.
pub(super) struct FillReq {
    /// The read that waits for the data, until it has got it.
    read: Option<Shared<ReadReq>>,
    /// Where the data starts in the read.
    skip: u32,
    /// The placeholder in the index.
    check: Key,
    write_point: u32,
    /// Sectors that are in the cache and in the index.
    done: u32,
    /// A piece was in the index before, which is counted once.
    collided: bool,
    /// Our pages, while no I/O uses them.
    bio: Option<DoneBio<FillIo>>,
    /// How the last I/O ended.
    status: Status,
    /// Where the piece being written goes.
    extent: Option<DataExtent>,
    /// When the piece was sent to the cache.
    submit_us: u32,
    /// When the read was sent to the backing device.
    sent: Sent,
    stay: Stay,
}

/// What the bio of a fill carries: the fill itself.
pub(super) struct FillIo(Option<Job<FillReq>>);

impl FillIo {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self(None)
    }

    /// The fill that the bio works for.
    pub(super) fn attach(&mut self, job: Job<FillReq>) {
        self.0 = Some(job);
    }
}

impl EndIo for FillIo {
    fn end_io(mut bio: DoneBio<Self>, status: Status) {
        if let Some(mut job) = bio.data_mut().0.take() {
            if job.read.is_some() {
                job.stay.att.answered(job.sent);
            }
            if job.extent.is_some() {
                // The worker may come to it much later.
                let set = &job.stay.att.set;
                set.cache_io_done(CacheIo::Write, status, job.submit_us);
            }
            job.status = status;
            job.bio = Some(bio);
            job.queue();
        }
    }
}

impl FillReq {
    /// A fill of the range of `check`, which starts `skip` sectors into the read. `None` if there is no memory
    /// or the cache is being detached.
    pub(super) fn start(read: &Shared<ReadReq>, skip: u32, check: &Key) -> Option<Job<Self>> {
        let slot = read.stay.att.dev.io.fills.try_slot()?;
        let req = Self {
            stay: read.stay.again()?,
            read: Some(read.clone()),
            skip,
            check: *check,
            write_point: read.write_point,
            done: 0,
            collided: false,
            bio: None,
            status: Status::OK,
            extent: None,
            submit_us: 0,
            sent: read.stay.att.sending(),
        };
        Some(slot.fill(req))
    }

    /// Gives the reader its copy, or the error. False if there is nothing to fill with.
    fn hand_over(&mut self, read: Shared<ReadReq>) -> bool {
        let ok = self.status.is_ok();
        if let (true, Some(bio), Some(user)) = (ok, &self.bio, read.user()) {
            user.copy_from(self.skip, bio);
        }
        if !ok {
            let opf = self.bio.as_ref().map_or(Opf::READ, |bio| bio.opf());
            self.stay.att.dev.backing_failed(opf);
            read.backing_failed(self.status);
        }
        read::release(read);
        ok
    }

    /// The piece that was written enters the index. False if the fill is over.
    fn insert_piece(&mut self) -> bool {
        let att = &self.stay.att;
        let Some(extent) = self.extent.take() else {
            return false;
        };
        if !self.status.is_ok() {
            return false;
        }
        let start = self.check.start().saturating_add(u64::from(self.done));
        let key = Key::extent(att.inode, start, extent.sectors, false, Some(extent.ptr));
        let Ok(put) = att.set.btree_replace(&key, &self.check, Wait::All) else {
            return false;
        };
        if put == 0 && !self.collided {
            att.mark_collision();
            self.collided = true;
        }
        self.done = self.done.saturating_add(extent.sectors);
        // A collision at one piece says nothing about the others.
        true
    }

    /// Space for the next piece. `None`: the fill is over.
    fn next_extent(&self) -> Option<DataExtent> {
        let att = &self.stay.att;
        let left = self.check.size().saturating_sub(self.done);
        if left == 0 || att.set.io_disabled() || att.set.flags.stopping.get() {
            return None;
        }
        let start = self.check.start().saturating_add(u64::from(self.done));
        att.set
            .alloc_sectors(
                left,
                att.inode,
                start,
                self.write_point,
                Reserve::None,
                false,
            )
            .ok()
    }
}

impl JobRun for FillReq {
    fn queue(&self) -> &Queue {
        self.stay.att.set.wq.queue()
    }

    fn run(mut job: Job<Self>) {
        let _noio = memalloc::noio();
        let go_on = match job.read.take() {
            Some(read) => job.hand_over(read),
            None => job.insert_piece(),
        };
        if go_on {
            write_piece(job);
        }
    }
}

/// Writes the next piece to the cache. Worker.
fn write_piece(mut job: Job<FillReq>) {
    let Some(extent) = job.next_extent() else {
        return;
    };
    let Some(bio) = job.bio.take() else {
        return;
    };
    let mut bio = bio.reset(&job.stay.att.set.bdev, Opf::WRITE, extent.ptr.sector());
    bio.set_range(job.done, extent.sectors);
    job.extent = Some(extent);
    job.submit_us = now_us();
    bio.data_mut().attach(job);
    bio.submit();
}
