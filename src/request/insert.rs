// SPDX-License-Identifier: GPL-2.0

//! The second half of a write: its keys enter the journal and the index.
//!
//! C: `bch_data_insert_keys`, `bch_data_invalidate`, `bch_data_insert_error` in `request.c`.
//!
//! The order is: data of the round (done before), state DIRTY in the
//! superblock of the backing device, journal, index; at the end, for a flush or FUA, the journal is made durable.
//!
//! Writes whose data got there while the worker was on its way are done together: one addition to the journal, then
//! key by key into the index, and only then do their submitters hear of it, who else would take the CPU away in between.
//! What would have to wait for more than the journal goes on alone and holds up nobody.
//!
//! Where the data got there while a task was at work (the disk is memory, or a layer below has a worker of its own) that
//! task changes the index at once if nothing stands in its way: that saves the worker, and two switches between tasks.

use super::{
    durable::Durably,
    keys::Keys,
    write::{
        self,
        Next,
        Way,
        WriteReq,
        ROUND, //
    }, //
};
use crate::{
    btree::Wait,
    journal::JournalPin, //
};
use bcache_core::key::{
    Key,
    Pos, //
};
use bcache_kernel::{
    batch::Ready,
    block::Status,
    job::{
        Job,
        Shared, //
    },
    task,
    time::cond_resched, //
};
use kernel::prelude::*;

/// Sectors that one key without pointer erases.
const MAX_ERASE: u32 = 1 << 15;

/// Most keys of writes that are done together; any journal has room for them (`Room::largest`).
const BATCH_KEYS: usize = 32;

/// A write of a batch, with the keys that it has there.
struct Member {
    job: Job<WriteReq>,
    keys: core::ops::Range<usize>,
    /// Sector up to which they go.
    up_to: u32,
}

/// Writes that are done together.
struct Batch {
    members: [Option<Member>; BATCH_KEYS],
    len: usize,
    keys: Keys<BATCH_KEYS>,
}

/// What is left to be put into the index of keys that are in the journal.
pub(super) struct Rest {
    pin: JournalPin,
    keys: Keys<ROUND>,
    up_to: u32,
}

/// The data of a write is there, or failed: changes the index and ends the write, if that is possible here without
/// waiting for anything. Any context.
///
/// # Errors
///
/// Gives the write back otherwise.
pub(super) fn insert_now(mut job: Job<WriteReq>) -> Result<(), Job<WriteReq>> {
    let Some((pin, mut keys)) = journal_now(&job) else {
        return Err(job);
    };
    job.seq = pin.seq();
    let set = &job.stay.att.set;
    let put = keys
        .iter_mut()
        .try_for_each(|key| set.btree_try_insert(key, &pin, Wait::Nothing));
    if put.is_err() {
        // What is in already is empty by now.
        job.rest = Some(Rest {
            pin,
            keys,
            up_to: job.sectors,
        });
        job.next = Next::Index;
        job.queue();
        return Ok(());
    }
    drop(pin);
    if job.flush {
        flush_now(job);
    } else {
        finish(job);
    }
    Ok(())
}

/// Adds the keys of a write to the journal, if it needs no more than these and that is possible without waiting.
fn journal_now(req: &WriteReq) -> Option<(JournalPin, Keys<ROUND>)> {
    let att = &req.stay.att;
    let ready = match req.way {
        Way::Back => req.error.is_ok() && att.wb.has_dirty.get(),
        Way::Through => req.error.is_ok() && req.cache.is_ok(),
        Way::Bypass => req.error.is_ok(),
    };
    if !ready || !task::may_try_locks() {
        return None;
    }
    let mut keys = Keys::new();
    if push_keys(req, &mut keys) < req.sectors {
        return None;
    }
    let pin = att.set.journal.try_add(&att.set, keys.as_slice())?;
    Some((pin, keys))
}

/// The data of some writes is there, or failed: changes the index and goes on. Worker.
pub(super) fn insert(mut ready: Ready<WriteReq>) {
    while let Some(job) = ready.next() {
        let mut batch = Batch::new();
        batch.add(job);
        while batch.has_room() {
            let Some(job) = ready.next() else { break };
            batch.add(job);
        }
        batch.put();
        cond_resched();
    }
}

impl Batch {
    fn new() -> Self {
        Self {
            members: [const { None }; BATCH_KEYS],
            len: 0,
            keys: Keys::new(),
        }
    }

    /// Whether another write can be taken in. One past the cache that failed may have no keys at all.
    fn has_room(&self) -> bool {
        self.keys.free() >= ROUND && self.len < self.members.len()
    }

    /// Takes a write in, unless it has failed. [`Batch::has_room`].
    fn add(&mut self, mut job: Job<WriteReq>) {
        if job.way == Way::Back && !job.error.is_ok() {
            // What the cache had before stays valid; the new space is found unused by the next gc.
            return finish(job);
        }
        if job.way == Way::Through && !(job.cache.is_ok() && job.error.is_ok()) {
            // One of the devices does not have the data: neither may the index say so.
            job.way = Way::Bypass;
        }
        if job.stay.att.set.io_disabled() {
            return fail(job, EIO);
        }
        if job.way == Way::Back && !job.stay.att.wb.has_dirty.get() {
            // The backing device may lie upon another one of this set, whose writes come here: waiting for it would be
            // waiting for ourselves.
            job.next = Next::MarkDirty;
            return job.queue();
        }
        let first = self.keys.len();
        let up_to = if job.way == Way::Bypass && !job.error.is_ok() {
            match push_erasing_clean(&job, &mut self.keys) {
                Ok(up_to) => up_to,
                Err(e) => return fail(job, e),
            }
        } else {
            push_keys(&job, &mut self.keys)
        };
        let keys = first..self.keys.len();
        if let Some(slot) = self.members.get_mut(self.len) {
            *slot = Some(Member { job, keys, up_to });
            self.len = self.len.saturating_add(1);
        }
    }

    /// Journal, then index, then on with each.
    fn put(&mut self) {
        let Some(pin) = self.journal() else { return };
        let members = self.members.iter_mut().take(self.len);
        for member in members.flatten() {
            member.put(&self.keys, &pin);
        }
        // Nothing of the set is used any more after the last write is done.
        drop(pin);
        let members = self.members.iter_mut().take(self.len);
        for member in members.filter_map(Option::take) {
            member.go_on();
        }
    }

    /// Adds all keys to the journal. Without success all writes end.
    fn journal(&mut self) -> Option<JournalPin> {
        let set = &self.members.first()?.as_ref()?.job.stay.att.set;
        let added = set.journal.add(set, self.keys.as_slice());
        if let Err(e) = added {
            let members = self.members.iter_mut().filter_map(Option::take);
            members.for_each(|m| fail(m.job, e));
        }
        added.ok()
    }
}

impl Member {
    /// Puts the keys of a write into the index; those for which it would have had to wait are left with the write.
    fn put(&mut self, all: &Keys<BATCH_KEYS>, pin: &JournalPin) {
        self.job.seq = pin.seq();
        let mut keys = Keys::new();
        for key in all.as_slice().get(self.keys.clone()).unwrap_or(&[]) {
            let mut rest = *key;
            let set = &self.job.stay.att.set;
            if !keys.is_empty() || set.btree_try_insert(&mut rest, pin, Wait::Locks).is_err() {
                keys.push(rest);
            }
        }
        if !keys.is_empty() {
            self.job.rest = Some(Rest {
                pin: pin.clone(),
                keys,
                up_to: self.up_to,
            });
        }
    }

    /// Sends the write on its way: alone, if it has keys left.
    fn go_on(mut self) {
        if self.job.rest.is_some() {
            self.job.next = Next::Index;
            self.job.queue();
        } else {
            done(self.job, self.up_to);
        }
    }
}

/// The first dirty write: the backing device has to know that it has dirty data before the index does. Worker.
pub(super) fn mark_dirty(job: Job<WriteReq>) {
    match job.stay.att.mark_dirty() {
        Ok(()) => job.batch(),
        Err(e) => fail(job, e),
    }
}

/// Puts into the index what a batch could not. Worker.
pub(super) fn insert_rest(mut job: Job<WriteReq>) {
    let Some(rest) = job.rest.take() else {
        return finish(job);
    };
    let Rest { pin, keys, up_to } = rest;
    let set = &job.stay.att.set;
    let mut keys = keys.as_slice().iter();
    let put = keys.try_for_each(|key| set.btree_insert(key, Some(&pin)));
    // As in a batch.
    drop(pin);
    match put {
        Ok(()) => done(job, up_to),
        Err(e) => fail(job, e),
    }
}

/// The index has the sectors up to `up_to`: ends the write, or sends it on its way with the others.
fn done(mut job: Job<WriteReq>, up_to: u32) {
    job.done = up_to;
    if job.done >= job.sectors {
        return if job.flush { flush(job) } else { finish(job) };
    }
    if job.no_space {
        job.way = Way::Bypass;
    }
    if job.way == Way::Bypass {
        // There is no more data to send, there are only more keys.
        return job.batch();
    }
    job.clear_round();
    job.next = Next::Send;
    job.queue();
}

/// The keys for what the round wrote, or that erase; gives the sector up to which they go.
fn push_keys<const N: usize>(req: &WriteReq, keys: &mut Keys<N>) -> u32 {
    if req.way == Way::Bypass {
        return push_erasing(req, keys);
    }
    for placed in req.round.iter().flatten() {
        keys.push(Key::extent(
            req.stay.att.inode,
            req.start.saturating_add(u64::from(placed.skip)),
            placed.extent.sectors,
            req.way == Way::Back,
            Some(placed.extent.ptr),
        ));
    }
    req.round_end
}

/// Keys without pointers for what is not done yet, as many as a round has.
fn push_erasing<const N: usize>(req: &WriteReq, keys: &mut Keys<N>) -> u32 {
    let mut left = ROUND;
    erase_up_to(req, keys, req.done, req.sectors, &mut left)
}

/// Keys without pointers for the sectors from `at` up to `end`, at most `left`; gives the sector up to which they go.
fn erase_up_to<const N: usize>(
    req: &WriteReq,
    keys: &mut Keys<N>,
    mut at: u32,
    end: u32,
    left: &mut usize,
) -> u32 {
    while at < end && *left > 0 {
        let sectors = end.saturating_sub(at).min(MAX_ERASE);
        let start = req.start.saturating_add(u64::from(at));
        if !keys.push(Key::extent(req.stay.att.inode, start, sectors, false, None)) {
            break;
        }
        *left = left.saturating_sub(1);
        at = at.saturating_add(sectors);
    }
    at
}

/// As [`push_erasing`], for a write that the backing device has refused: dirty data stays. It is in the cache alone, and whoever
/// wrote it was told that it is safe (C forgets it). May sleep.
fn push_erasing_clean<const N: usize>(req: &WriteReq, keys: &mut Keys<N>) -> Result<u32> {
    let inode = req.stay.att.inode;
    let sector = |at: u32| req.start.saturating_add(u64::from(at));
    let (from, to) = (sector(req.done), sector(req.sectors));
    let (mut at, mut left) = (req.done, ROUND);
    let mut all = true;
    let offset = |s: u64| u32::try_from(s.saturating_sub(req.start)).unwrap_or(u32::MAX);
    req.stay.att.set.btree_lookup(
        Pos::new(inode, from),
        Pos::new(inode, to),
        false,
        &mut |k| {
            let k = k.piece(from, to);
            if !k.dirty() || k.size() == 0 {
                return true;
            }
            let gap = offset(k.start());
            at = erase_up_to(req, keys, at, gap, &mut left);
            all = at >= gap;
            if all {
                at = offset(k.end()).min(req.sectors);
            }
            all
        },
    )?;
    if all {
        at = erase_up_to(req, keys, at, req.sectors, &mut left);
    }
    Ok(at)
}

/// Sends a write off once all that is in the journal so far is durable. The submitter's context; waits for the journal's lock
/// only.
pub(super) fn flush_before(mut job: Job<WriteReq>) {
    let Some(seq) = job.stay.att.set.journal.start_flush(u64::MAX) else {
        return write::send(job, false);
    };
    job.next = Next::Begin;
    job.seq = seq;
    park(job);
}

/// Ends a write when the journal is durable with its keys. Worker.
pub(super) fn flush(job: Job<WriteReq>) {
    let entry = job.stay.att.set.journal.start_flush(job.seq);
    when_written(job, entry);
}

/// As [`flush`], where nothing may be waited for: a worker does it if the journal is busy.
fn flush_now(mut job: Job<WriteReq>) {
    match job.stay.att.set.journal.try_start_flush(job.seq) {
        Ok(entry) => when_written(job, entry),
        Err(_) => {
            job.next = Next::Flush;
            job.queue();
        }
    }
}

/// Ends a write when the entry is durable; now if there is none to wait for. Any context.
fn when_written(mut job: Job<WriteReq>, entry: Option<u64>) {
    let Some(seq) = entry else { return finish(job) };
    job.next = Next::End;
    job.seq = seq;
    park(job);
}

/// Lets a write go on when its entry is durable. Any context.
fn park(job: Job<WriteReq>) {
    let req = job.share();
    let set = &req.stay.att.set;
    set.when_durable(set.durable.writes(), &req);
    unpark(req);
}

impl Durably for WriteReq {
    fn seq(&self) -> u64 {
        self.seq
    }

    fn durable(req: Shared<Self>, status: Status) {
        req.error.record(status);
        unpark(req);
    }
}

/// Gives up one reference to a write that was parked; with the last one it begins, goes on with the index or, its keys being
/// in, ends.
fn unpark(req: Shared<WriteReq>) {
    let Some(job) = req.release() else { return };
    match job.next {
        Next::Begin if job.error.is_ok() => job.queue(),
        Next::Begin | Next::End => finish(job),
        _ => write::data_is_there(job),
    }
}

/// Ends a write with an error.
pub(super) fn fail(job: Job<WriteReq>, e: Error) {
    job.error.record(Status::from(e));
    finish(job);
}

/// Ends a write.
pub(super) fn finish(mut job: Job<WriteReq>) {
    let status = job.error.status();
    if let Some(user) = job.user.take() {
        user.end(status);
    }
}
