// SPDX-License-Identifier: GPL-2.0

//! Requests that end when the journal is durable.
//!
//! C: `closure_wait` on a `journal_write`. They are parked, and the thread that writes the journal ends them itself: no
//! worker sleeps for each.

use super::{
    flush::FlushReq,
    write::WriteReq, //
};
use crate::cache_set::CacheSet;
use bcache_kernel::{
    batch::Parked,
    block::Status,
    job::{
        JobRun,
        Shared, //
    }, //
};

/// A request that waits for the journal.
pub(super) trait Durably: JobRun + Sync {
    /// The entry that it waits for.
    fn seq(&self) -> u64;

    /// The entry is durable, or never will be. Any context.
    fn durable(req: Shared<Self>, status: Status);
}

/// The requests of a set that wait for the journal.
pub(crate) struct Durable {
    flushes: Parked<FlushReq>,
    writes: Parked<WriteReq>,
}

impl Durable {
    /// No requests.
    pub(crate) fn new() -> Self {
        Self {
            flushes: Parked::new(),
            writes: Parked::new(),
        }
    }

    pub(super) fn flushes(&self) -> &Parked<FlushReq> {
        &self.flushes
    }

    pub(super) fn writes(&self) -> &Parked<WriteReq> {
        &self.writes
    }
}

impl CacheSet {
    /// Lets `req` have its turn when its entry, which [`Journal::start_flush`](crate::journal::Journal::start_flush) gave,
    /// is durable. The caller keeps a reference of its own, and with it the set. Any context.
    pub(super) fn when_durable<T: Durably>(&self, list: &Parked<T>, req: &Shared<T>) {
        list.put(req.clone());
        // The entry may have become durable, or the set have died, before the request was in the list.
        if self.io_disabled() || self.journal.durable() >= req.seq() {
            self.end_durable();
        }
    }

    /// Ends those whose entry is durable; all if the set is dead. Any context.
    pub(crate) fn end_durable(&self) {
        loop {
            let dead = self.io_disabled();
            let durable = self.journal.durable();
            end_list(&self.durable.flushes, durable, dead);
            end_list(&self.durable.writes, durable, dead);
            // What was parked again meanwhile may have been missed by whoever made its entry durable.
            if self.io_disabled() == dead && self.journal.durable() == durable {
                break;
            }
        }
    }
}

fn end_list<T: Durably>(list: &Parked<T>, durable: u64, dead: bool) {
    if list.is_empty() {
        return;
    }
    for req in list.take() {
        if req.seq() <= durable {
            T::durable(req, Status::OK);
        } else if dead {
            T::durable(req, Status::IOERR);
        } else {
            list.put(req);
        }
    }
}
