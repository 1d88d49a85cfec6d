// SPDX-License-Identifier: GPL-2.0

//! Requests to `/dev/bcacheN`: where a bio goes and what happens to it on the way.
//!
//! C: `request.c`. A bio is looked at in the submitter's context, without waiting for any I/O. If it can
//! be served at once its pieces are sent off there; otherwise the request becomes a [`Job`] and goes on in
//! the work queue of the set. Requests have no lock of their own: while I/O is in flight they are shared and
//! read-only, afterwards the last completion owns them alone (see [`bcache_kernel::job`]).
//!
//! [`Job`]: bcache_kernel::job::Job

mod bypass;
mod cells;
mod congestion;
mod detached;
mod durable;
mod fill;
mod flush;
mod hit;
mod hole;
mod insert;
mod keys;
mod miss;
mod plan;
mod read;
mod write;

pub(crate) use bypass::RecentIo;
pub(crate) use congestion::{
    now_us,
    Congestion, //
};
pub(crate) use durable::Durable;
pub(crate) use write::WriteBatches;

use crate::{
    attach::{
        Attachment,
        Bond, //
    },
    cached_dev::CachedDev,
    writeback::{DirtyBio, DirtyReq}, //
};
use bcache_kernel::{
    block::{BioSet, Op, Opf, Status, UserBio, WholeSet},
    gate::Inside,
    job::Pool,
    memalloc, //
};
use kernel::{
    prelude::*,
    sync::ArcBorrow, //
};

/// Bios that are always available per set of a device, so that I/O goes on without memory.
const MIN_BIOS: u32 = 4;

/// Requests of each kind that are always possible.
const MIN_REQUESTS: u16 = 4;

/// Where the I/O of one backing device has its memory: bio sets, by what a completion has to know, and pools of requests.
///
/// All of it makes progress without memory, by this order: who waits for something of one line holds nothing of a later
/// one, and what is held comes back once that on later lines does.
///
/// 1. `hit`
/// 2. `reads`, `writes`, `flushes`
/// 3. `read`, `write`, `flush`, `hole`, `pass`: come back from the devices
///
/// Nobody waits for the others: there need not be a fill, and writeback has another way.
pub(crate) struct IoSets {
    hit: Pin<KBox<WholeSet<hit::HitIo>>>,
    hole: Pin<KBox<WholeSet<hole::HoleIo>>>,
    reads: Pin<KBox<Pool<read::ReadReq>>>,
    writes: Pin<KBox<Pool<write::WriteReq>>>,
    flushes: Pin<KBox<Pool<flush::FlushReq>>>,
    fills: Pin<KBox<Pool<fill::FillReq>>>,
    read: Pin<KBox<BioSet<read::ReadIo>>>,
    fill: Pin<KBox<BioSet<fill::FillIo>>>,
    write: Pin<KBox<BioSet<write::WriteIo>>>,
    flush: Pin<KBox<BioSet<flush::FlushIo>>>,
    pass: Pin<KBox<WholeSet<detached::PassIo>>>,
    /// Background writeback.
    pub(crate) dirty: Pin<KBox<BioSet<DirtyBio>>>,
    pub(crate) dirty_keys: Pin<KBox<Pool<DirtyReq>>>,
}

impl IoSets {
    /// Makes the sets. May sleep.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            hit: WholeSet::new(MIN_BIOS)?,
            hole: WholeSet::new(MIN_BIOS)?,
            reads: Pool::new(MIN_REQUESTS)?,
            writes: Pool::new(MIN_REQUESTS)?,
            flushes: Pool::new(MIN_REQUESTS)?,
            fills: Pool::new(1)?,
            read: BioSet::new(MIN_BIOS, false)?,
            fill: BioSet::new(MIN_BIOS, true)?,
            write: BioSet::new(MIN_BIOS, false)?,
            flush: BioSet::new(MIN_BIOS, true)?,
            pass: WholeSet::new(MIN_BIOS)?,
            dirty: BioSet::new(MIN_BIOS, true)?,
            dirty_keys: Pool::new(1)?,
        })
    }
}

/// A request's stay in the cache, which keeps teardown waiting. It has no count of the attachment: teardown, which drops
/// the last one in process context, does so only when nobody is inside any more.
pub(crate) struct Stay {
    pub(crate) att: Inside<Attachment>,
}

impl Stay {
    /// A second stay for work that outlives the request.
    fn again(&self) -> Option<Self> {
        Some(Self {
            att: self.att.again()?,
        })
    }

    /// Enters the cache through an attachment that is known already. Any context.
    pub(crate) fn of(att: &Bond) -> Option<Self> {
        Some(Self { att: att.enter()? })
    }
}

impl CachedDev {
    /// An I/O with these flags failed on the backing device. Any context.
    pub(crate) fn backing_failed(&self, opf: Opf) {
        if opf.has(Opf::RAHEAD) {
            // A degraded array fails read-ahead at will: that is no sign of a bad disk.
            bcache_kernel::pr_warn_ratelimited!(
                "{}: Read-ahead I/O failed on backing device, ignore\n",
                self.name
            );
        } else {
            self.count_backing_error();
        }
    }
}

/// Where a request may go.
enum Route {
    /// Through the cache.
    Cached(Stay),
    /// Straight to the backing device.
    Detached(Inside<()>),
    /// Nowhere: the device is being taken apart.
    Gone,
}

impl Route {
    /// Finds the way of a request and holds it open.
    ///
    /// Attach publishes the attachment and then waits until the gate of the device is idle: whoever came in by
    /// that gate has to look again, or it could go past a cache that is in use by now.
    fn of(dev: &CachedDev) -> Self {
        loop {
            if let Some(stay) = dev.att.load_with(Stay::of).flatten() {
                return Self::Cached(stay);
            }
            let pass = dev.gate.enter();
            let detached = dev.att.load_with(|att| att.is_closed()).unwrap_or(true);
            match pass {
                Some(pass) if detached => return Self::Detached(pass),
                None if detached => return Self::Gone,
                _ => {}
            }
        }
    }
}

/// Entry of every bio sent to `/dev/bcacheN`. The submitter's context; may sleep, but never waits for I/O.
pub(crate) fn submit(dev: ArcBorrow<'_, CachedDev>, mut user: UserBio) {
    if dev.flags.io_disable.get() {
        return user.end(Status::IOERR);
    }
    match Route::of(&dev) {
        Route::Gone => user.end(Status::IOERR),
        Route::Cached(stay) if stay.att.set.io_disabled() => user.end(Status::IOERR),
        Route::Cached(stay) => {
            let _noio = memalloc::noio();
            user.start_acct();
            dispatch(stay, user);
        }
        // Looked at again: a device that lost dirty data with its set was disabled before the way through the
        // cache was closed.
        Route::Detached(_) if dev.refuses_io() => user.end(Status::IOERR),
        Route::Detached(pass) => {
            user.start_acct();
            detached::submit(dev, user, pass);
        }
    }
}

/// Sends a request through the cache.
fn dispatch(stay: Stay, user: UserBio) {
    stay.att.note_io();
    if user.is_empty() {
        return flush::submit(stay, user);
    }
    match user.opf().op() {
        Op::Read => {
            let bypass = bypass::decide(&stay.att, &user);
            read::submit(stay, user, bypass);
        }
        Op::Write | Op::Discard => {
            let bypass = bypass::decide(&stay.att, &user);
            write::submit(stay, user, bypass);
        }
        Op::Flush | Op::Other => user.end(Status::NOTSUPP),
    }
}
