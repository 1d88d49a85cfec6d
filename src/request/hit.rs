// SPDX-License-Identifier: GPL-2.0

//! Reads that one clone answers: all of it from one place in the cache.
//!
//! Such a read is no request and takes no memory but its bio. Only if the data turns out to be no good it becomes one,
//! and may have to wait for that. It holds its bio meanwhile; since requests take theirs from another set, they come to
//! their end all the same. It waits on a queue of its own: without memory the others may have nobody else to run
//! requests, nor the writeback that requests wait for.

use super::{
    congestion::{now_us, CacheIo},
    read,
    Stay, //
};
use crate::attach::Attachment;
use bcache_core::key::Ptr;
use bcache_kernel::{
    block::{Deferred, Opf, Status, UserBio, WholeBio, WholeIo, WholeSet},
    gate::Inside,
    memalloc,
    workqueue::Queue, //
};

/// What the completion of the clone has to know.
pub(super) struct HitIo {
    ptr: Ptr,
    dirty: bool,
    bypass: bool,
    submit_us: u32,
    /// How the I/O ended.
    status: Status,
}

/// Sends the clone.
pub(super) fn send(stay: Stay, user: UserBio, ptr: Ptr, dirty: bool, bypass: bool) {
    let data = HitIo {
        ptr,
        dirty,
        bypass,
        submit_us: now_us(),
        status: Status::OK,
    };
    WholeBio::send(stay.att, user, |att| &att.set.bdev, ptr.sector(), data);
}

impl HitIo {
    /// The clone is back. True if the data is what was asked for. Completion context.
    fn is_good(&self, att: &Attachment, opf: Opf) -> bool {
        att.set
            .cache_io_done(CacheIo::read(opf), self.status, self.submit_us);
        self.status.is_ok() && att.set.buckets.ptr_stale(self.ptr) == 0
    }
}

impl WholeIo for HitIo {
    type Keeper = Inside<Attachment>;

    fn set(att: &Attachment) -> &WholeSet<Self> {
        &att.dev.io.hit
    }

    fn end_io(mut bio: WholeBio<Self>, status: Status) {
        bio.data_mut().status = status;
        if !bio.data().is_good(bio.kept(), bio.opf()) {
            return bio.defer();
        }
        bio.kept().mark_read(true, bio.data().bypass);
        bio.end(Status::OK);
    }
}

impl Deferred for HitIo {
    fn queue(att: &Attachment) -> &Queue {
        att.set.hit_wq.queue()
    }

    fn run(bio: WholeBio<Self>) {
        let _noio = memalloc::noio();
        let slot = bio.kept().dev.io.reads.slot();
        let (user, att, hit) = bio.into_parts();
        let HitIo {
            dirty,
            bypass,
            status,
            ..
        } = hit;
        read::recover_hit(slot, Stay { att }, user, bypass, dirty, status);
    }
}
