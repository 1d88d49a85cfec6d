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
use bcache_core::key::Ptr;
use bcache_kernel::{
    block::{Deferred, EndIo, OwnedBio, Status, UserBio},
    memalloc,
    workqueue::Queue, //
};

/// A read that one clone answers.
struct Hit {
    user: UserBio,
    ptr: Ptr,
    dirty: bool,
    bypass: bool,
    submit_us: u32,
    /// How the I/O ended.
    status: Status,
    stay: Stay,
}

/// What the completion of the clone has to know; `None` while the clone is being made.
pub(super) struct HitIo(Option<Hit>);

/// Sends the clone.
pub(super) fn send(stay: Stay, user: UserBio, ptr: Ptr, dirty: bool, bypass: bool) {
    let att = &stay.att;
    let (set, bdev) = (&att.dev.io.hit, &att.set.bdev);
    let mut bio = set.clone_range(bdev, &user, 0, user.sectors(), HitIo(None));
    bio.set_sector(ptr.sector());
    bio.data_mut().0 = Some(Hit {
        user,
        ptr,
        dirty,
        bypass,
        submit_us: now_us(),
        status: Status::OK,
        stay,
    });
    bio.submit();
}

impl Hit {
    /// The clone is back. True if the data is what was asked for. Completion context.
    fn is_good(&self) -> bool {
        let set = &self.stay.att.set;
        set.cache_io_done(CacheIo::read(self.user.opf()), self.status, self.submit_us);
        self.status.is_ok() && set.buckets.ptr_stale(self.ptr) == 0
    }
}

impl EndIo for HitIo {
    fn end_io(mut bio: OwnedBio<Self>, status: Status) {
        let Some(hit) = &mut bio.data_mut().0 else {
            return;
        };
        hit.status = status;
        if !hit.is_good() {
            return bio.defer();
        }
        if let HitIo(Some(hit)) = bio.into_data() {
            hit.stay.att.mark_read(true, hit.bypass);
            hit.user.end(Status::OK);
        }
    }
}

impl Deferred for HitIo {
    fn queue(&self) -> Option<&Queue> {
        Some(self.0.as_ref()?.stay.att.set.hit_wq.queue())
    }

    fn run(mut bio: OwnedBio<Self>) {
        let _noio = memalloc::noio();
        let Some(hit) = bio.data_mut().0.take() else {
            return;
        };
        let slot = hit.stay.att.dev.io.reads.slot();
        drop(bio);
        let Hit {
            user,
            dirty,
            bypass,
            status,
            stay,
            ..
        } = hit;
        read::recover_hit(slot, stay, user, bypass, dirty, status);
    }
}
