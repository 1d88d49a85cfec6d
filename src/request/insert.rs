// SPDX-License-Identifier: GPL-2.0

//! The second half of a write: its keys enter the journal and the index.
//!
//! C: `bch_data_insert_keys`, `bch_data_invalidate`, `bch_data_insert_error` in `request.c`.
//!
//! All of it runs in a worker. The order is: data of the round (done before), state DIRTY in the
//! superblock of the backing device, journal, index; at the end, for a flush or FUA, the journal is made durable.

use super::write::{
    send,
    Next,
    Way,
    WriteReq,
    ROUND, //
};
use bcache_core::key::Key;
use bcache_kernel::{
    block::Status,
    job::Job, //
};
use kernel::prelude::*;

/// Sectors that one key without pointer erases.
const MAX_ERASE: u32 = 1 << 15;

/// The keys of one round.
struct Keys {
    keys: [Key; ROUND],
    len: usize,
}

impl Keys {
    const fn new() -> Self {
        Self {
            keys: [Key::ZERO; ROUND],
            len: 0,
        }
    }

    /// Adds a key; false if there is no more room.
    fn push(&mut self, key: Key) -> bool {
        match self.keys.get_mut(self.len) {
            Some(slot) => {
                *slot = key;
                self.len = self.len.saturating_add(1);
                true
            }
            None => false,
        }
    }

    fn as_slice(&self) -> &[Key] {
        self.keys.get(..self.len).unwrap_or(&[])
    }
}

/// The data of a round is there, or failed: changes the index and goes on. Worker.
pub(super) fn insert(mut job: Job<WriteReq>) {
    if job.way == Way::Back && !job.error.is_ok() {
        // What the cache had before stays valid; the new space is found unused by the next gc.
        return finish(job);
    }
    if job.way == Way::Through && !(job.cache.is_ok() && job.error.is_ok()) {
        // One of the devices does not have the data: neither may the index say so.
        job.way = Way::Bypass;
    }
    loop {
        let (keys, up_to) = keys_of_round(&job);
        if let Err(e) = put(&mut job, &keys) {
            job.error.record(Status::from(e));
            return finish(job);
        }
        job.done = up_to;
        if job.done >= job.sectors {
            return finish(job);
        }
        if job.no_space {
            job.way = Way::Bypass;
        }
        if job.way != Way::Bypass {
            break;
        }
        // A bypass has no more data to send, only more keys.
    }
    job.clear_round();
    job.next = Next::Send;
    send(job, true);
}

/// The keys for what the round wrote, and the sector up to which they go.
fn keys_of_round(req: &WriteReq) -> (Keys, u32) {
    match req.way {
        Way::Bypass => erase(req),
        Way::Through | Way::Back => {
            let mut keys = Keys::new();
            for placed in req.round.iter().flatten() {
                keys.push(Key::extent(
                    req.stay.att.inode,
                    req.start.saturating_add(u64::from(placed.skip)),
                    placed.extent.sectors,
                    req.way == Way::Back,
                    Some(placed.extent.ptr),
                ));
            }
            (keys, req.round_end)
        }
    }
}

/// Keys without pointers for what is not done yet, as many as fit, and the sector up to which they go.
fn erase(req: &WriteReq) -> (Keys, u32) {
    let mut keys = Keys::new();
    let mut at = req.done;
    while at < req.sectors {
        let sectors = req.sectors.saturating_sub(at).min(MAX_ERASE);
        let start = req.start.saturating_add(u64::from(at));
        if !keys.push(Key::extent(req.stay.att.inode, start, sectors, false, None)) {
            break;
        }
        at = at.saturating_add(sectors);
    }
    (keys, at)
}

/// Journal, then index. May sleep.
fn put(req: &mut WriteReq, keys: &Keys) -> Result {
    let keys = keys.as_slice();
    if keys.is_empty() {
        return Ok(());
    }
    let att = &req.stay.att;
    let set = &att.set;
    if set.io_disabled() {
        return Err(EIO);
    }
    if req.way == Way::Back {
        att.mark_dirty()?;
    }
    let pin = set.journal.add(set, keys)?;
    for key in keys {
        set.btree_insert(key, Some(&pin))?;
    }
    req.seq = pin.seq();
    Ok(())
}

/// Ends the write. May sleep.
pub(super) fn finish(mut job: Job<WriteReq>) {
    if job.flush && job.error.is_ok() {
        let set = &job.stay.att.set;
        if let Err(e) = set.journal.flush_to(set, job.seq) {
            job.error.record(Status::from(e));
        }
    }
    let status = job.error.status();
    if let Some(user) = job.user.take() {
        user.end(status);
    }
}
