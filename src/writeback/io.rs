// SPDX-License-Identifier: GPL-2.0

//! The I/O of background writeback.
//!
//! C: `read_dirty`, `write_dirty`, `write_dirty_finish` in `writeback.c`.
//!
//! A key goes through four steps: its data is read from the cache (many at once), written to the backing
//! device (issued in the order of the keys, whatever the order of the reads), flushed there, and the key replaced by
//! a clean one. C leaves the flush out: with a volatile write cache in the backing device, a clean key then
//! promises data that a power cut can still take away, although the user had flushed it.
//!
//! All that takes more memory than there may be; without it there is another way ([`super::carry`]).

use super::carry;
use crate::{
    attach::Attachment,
    buckets::BucketPin,
    flag::{Num, Num64},
    request::{CacheIo, Stay}, //
};
use bcache_core::{
    key::Key,
    num::{
        usize_from_u32,
        SECTOR_SHIFT, //
    }, //
};
use bcache_kernel::{
    block::{EndIo, Opf, OwnedBio, Status},
    dma::DmaBuf,
    job::{Job, JobRun, Slot},
    kthread::should_stop,
    memalloc,
    time,
    workqueue::{Queue, Wq}, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::Mutex, //
};

/// Keys in flight at a time.
const IN_FLIGHT: u32 = 64;
/// As many slots, to bring the writes in order.
const SLOTS: usize = 64;
/// Keys that may go through together between two looks at the limiter.
const KEYS_PER_PASS: u32 = 5;
/// Sectors after which no further key joins.
const SECTORS_PER_PASS: u64 = 5000;
/// Written keys after which the backing device is flushed.
const SETTLE_AT: usize = 128;
/// Milliseconds after which it is flushed for fewer.
const SETTLE_AFTER_MS: u32 = 1000;

/// What the next step of a key is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The data is there: write it when its turn comes.
    Write,
    /// The write is over.
    Written,
}

/// How the writeback of a list of keys ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// All are through.
    All,
    /// `writeback_running` was cleared meanwhile (C goes on to the end of the list).
    Some,
    /// Some could not be read or written.
    Failed,
}

/// A key on its way.
pub(crate) struct DirtyReq {
    key: Key,
    /// Place in the order of writes.
    seq: u32,
    next: Next,
    /// How the last I/O ended.
    status: Status,
    /// The data, while no I/O uses it.
    bio: Option<OwnedBio<DirtyBio>>,
    submit_us: u32,
    /// Keeps the bucket from being reused while it is read.
    _pin: BucketPin,
    stay: Stay,
}

/// What a bio of background writeback carries: the key it works for.
pub(crate) struct DirtyBio(Option<Job<DirtyReq>>);

/// Reads that are complete, by their place in the order.
struct Order {
    /// The next write to be issued.
    next: u32,
    ready: KVec<Option<Job<DirtyReq>>>,
}

/// What the steps of all keys share.
#[pin_data]
pub(super) struct Flow {
    in_flight: Num,
    /// Place of the next read in the order of writes; the thread's own.
    next_seq: Num,
    /// Keys that could not be read or written since the thread last looked.
    errors: Num,
    /// When the thread settled last, in jiffies; its own.
    settled: Num64,
    /// Runs the steps of the keys, apart from requests: those can wait for buckets that only writeback frees.
    pub(super) wq: Wq,
    #[pin]
    order: Mutex<Order>,
    /// Keys that are written but not flushed.
    #[pin]
    written: Mutex<KVec<Key>>,
    /// For keys that there is no memory for.
    #[pin]
    pub(super) spare: Mutex<DmaBuf>,
}

impl Flow {
    /// Nothing in flight. May sleep.
    pub(super) fn new() -> Result<impl PinInit<Self>> {
        let mut ready = KVec::with_capacity(SLOTS, GFP_KERNEL)?;
        for _ in 0..SLOTS {
            ready.push(None, GFP_KERNEL)?;
        }
        let wq = Wq::new(c"bcache_writeback_wq", true, false, 0)?;
        let written = KVec::with_capacity(super::keybuf::KEYBUF_KEYS, GFP_KERNEL)?;
        let spare = carry::buffer()?;
        Ok(pin_init!(Self {
            in_flight: Num::new(0),
            next_seq: Num::new(0),
            errors: Num::new(0),
            settled: Num64::new(time::jiffies()),
            wq,
            order <- new_mutex!(Order { next: 0, ready }, "Flow::order"),
            written <- new_mutex!(written, "Flow::written"),
            spare <- new_mutex!(spare, "Flow::spare"),
        }))
    }
}

impl Flow {
    /// Whether it is time to flush the backing device for what is written.
    fn settle_due(&self) -> bool {
        let count = self.written.lock().len();
        let since = time::jiffies().wrapping_sub(self.settled.get());
        count >= SETTLE_AT || (count != 0 && since >= time::msecs_to_jiffies(SETTLE_AFTER_MS))
    }
}

impl Order {
    fn slot(&mut self, seq: u32) -> Option<&mut Option<Job<DirtyReq>>> {
        let slots = u32::try_from(SLOTS).ok()?;
        self.ready.get_mut(usize::try_from(seq % slots).ok()?)
    }
}

impl Attachment {
    /// Writes back all keys of the list, or as many as it may. The writeback thread; waits for all its I/O.
    pub(super) fn write_back(&self) -> Written {
        let mut end = Written::All;
        self.wb.flow.errors.put(0);
        while !should_stop() && !self.set.io_disabled() && self.wb.flow.errors.get() == 0 {
            if !self.wants_writeback() {
                end = Written::Some;
                break;
            }
            let Some(sectors) = self.start_pass() else {
                break;
            };
            self.limit(sectors);
        }
        self.wb.keybuf.drop_idle();
        self.wb
            .wake
            .wait_until(|| self.wb.flow.in_flight.get() == 0);
        self.settle();
        if self.wb.flow.errors.get() != 0 {
            end = Written::Failed;
        }
        end
    }

    /// Whether writeback shall go on: `writeback_running`, which a detach does not look at. Any context.
    fn wants_writeback(&self) -> bool {
        self.detaching.get() || self.dev.tun.writeback_running.get()
    }

    /// Starts a few keys that follow on each other; gives their sectors, or `None` if there is no key.
    fn start_pass(&self) -> Option<u64> {
        let mut sectors = 0u64;
        let mut after = None;
        for _ in 0..KEYS_PER_PASS {
            if sectors >= SECTORS_PER_PASS {
                break;
            }
            let Some(key) = self.wb.keybuf.next(after) else {
                break;
            };
            after = Some(key.end());
            sectors = sectors.saturating_add(u64::from(key.size()));
            self.start_key(key);
        }
        after.map(|_| sectors)
    }

    /// Waits as long as the rate demands. What is written by then is settled, from time to time.
    fn limit(&self, sectors: u64) {
        if self.wb.flow.settle_due() {
            self.settle();
        }
        let mut delay = self.writeback_delay(sectors);
        while delay != 0 && !should_stop() && !self.set.io_disabled() && self.wants_writeback() {
            self.wb.sleep(delay, || self.set.io_disabled());
            delay = self.writeback_delay(0);
        }
    }

    /// Sends the read of a busy key off. Waits while too many keys are in flight.
    fn start_key(&self, key: Key) {
        let flow = &self.wb.flow;
        let pin = key.ptr().and_then(|ptr| self.set.buckets.pin_valid(ptr));
        let Some(pin) = pin else {
            // Overwritten since the scan, and its bucket is free already.
            return self.wb.keybuf.remove(&key);
        };
        self.wb.wake.wait_until(|| flow.in_flight.get() < IN_FLIGHT);
        let done = match self.set.attachment(self.inode).and_then(Stay::of) {
            Some(stay) => match self.memory_for(&key) {
                Some((bio, slot)) => self.send_read(key, pin, stay, bio, slot),
                None => self.carry_over(&key),
            },
            None => Err(Status::IOERR),
        };
        if done.is_err() {
            flow.errors.add(1);
            self.wb.keybuf.remove(&key);
        }
    }

    /// Pages and a request for a key, if they can be had.
    fn memory_for(&self, key: &Key) -> Option<(OwnedBio<DirtyBio>, Slot<DirtyReq>)> {
        let sector = key.ptr()?.sector();
        let pages = key.size().div_ceil(8);
        let io = &self.dev.io;
        let mut bio =
            io.dirty
                .try_alloc(&self.set.bdev, pages, Opf::READ, sector, DirtyBio(None))?;
        bio.alloc_pages(usize_from_u32(key.size()) << SECTOR_SHIFT)
            .ok()?;
        Some((bio, io.dirty_keys.try_slot()?))
    }

    /// Sends the read of a key off.
    fn send_read(
        &self,
        key: Key,
        pin: BucketPin,
        stay: Stay,
        bio: OwnedBio<DirtyBio>,
        slot: Slot<DirtyReq>,
    ) -> Result<(), Status> {
        let mut bio = bio;
        self.set_priority(&mut bio);
        let job = slot.fill(DirtyReq {
            key,
            seq: self.wb.flow.next_seq.get(),
            next: Next::Write,
            status: Status::OK,
            bio: None,
            submit_us: crate::request::now_us(),
            _pin: pin,
            stay,
        });
        self.wb.flow.next_seq.add(1);
        self.wb.flow.in_flight.add(1);
        bio.data_mut().0 = Some(job);
        bio.submit();
        Ok(())
    }

    /// A key is written: it is settled with the next flush.
    pub(super) fn note_written(&self, key: Key) -> Result<(), Status> {
        // There is room for every key of the list.
        let kept = self.wb.flow.written.lock().push_within_capacity(key);
        kept.map_err(|_| Status::IOERR)
    }

    /// Without a target for dirty data writeback takes only what nobody else wants.
    fn set_priority(&self, bio: &mut OwnedBio<DirtyBio>) {
        if self.dev.tun.writeback_percent.get() == 0 {
            bio.set_ioprio_idle();
        }
    }

    /// Makes what is written durable and the keys clean. The writeback thread; may sleep.
    fn settle(&self) {
        let flow = &self.wb.flow;
        flow.settled.put(time::jiffies());
        if flow.written.lock().is_empty() {
            return;
        }
        // Only writes that completed before the flush are covered by it: later ones wait for the next.
        let count = flow.written.lock().len();
        let durable = self.dev.bdev.flush_sync().is_ok();
        if !durable {
            flow.errors.add(1);
            self.dev.count_backing_error();
        }
        for _ in 0..count {
            let Ok(key) = flow.written.lock().remove(0) else {
                break;
            };
            if durable {
                self.make_clean(&key);
            }
            self.wb.keybuf.remove(&key);
        }
    }

    /// Replaces a dirty key by a clean one, as far as nobody wrote over it.
    fn make_clean(&self, key: &Key) {
        let mut clean = *key;
        clean.set_dirty(false);
        match self.set.btree_replace(&clean, key) {
            Ok(sectors) if sectors != 0 => {
                self.set.count.writeback_keys_done.add(1);
                self.wb.control.note_cleaned(sectors);
            }
            _ => {
                self.set.count.writeback_keys_failed.add(1);
            }
        }
    }
}

impl JobRun for DirtyReq {
    fn queue(&self) -> &Queue {
        self.stay.att.wb.flow.wq.queue()
    }

    fn run(job: Job<Self>) {
        let _noio = memalloc::noio();
        match job.next {
            Next::Write => write_in_order(job),
            Next::Written => written(job),
        }
    }
}

/// The read of a key is over: issues its write, and those that waited for it, in order. Worker.
fn write_in_order(job: Job<DirtyReq>) {
    let stay_att = job.stay.att.clone();
    let seq = job.seq;
    let mut order = stay_att.wb.flow.order.lock();
    if let Some(slot) = order.slot(seq) {
        *slot = Some(job);
    }
    loop {
        let next = order.next;
        let Some(job) = order.slot(next).and_then(Option::take) else {
            break;
        };
        order.next = next.wrapping_add(1);
        write(job);
    }
}

/// Writes a key to the backing device, or ends it if it could not be read.
fn write(mut job: Job<DirtyReq>) {
    let att = &job.stay.att;
    att.set
        .cache_io_done(CacheIo::Read, job.status, job.submit_us);
    job.next = Next::Written;
    let io_disabled = job.stay.att.set.io_disabled();
    let Some(mut bio) = job
        .bio
        .take()
        .filter(|_| job.status.is_ok() && !io_disabled)
    else {
        if job.status.is_ok() {
            job.status = Status::IOERR;
        }
        return job.queue();
    };
    let att = &job.stay.att;
    bio.reset(&att.dev.bdev, Opf::WRITE, job.key.start());
    att.set_priority(&mut bio);
    bio.data_mut().0 = Some(job);
    bio.submit();
}

/// A key is written, or failed. Worker.
fn written(mut job: Job<DirtyReq>) {
    drop(job.bio.take());
    let att = &job.stay.att;
    let wb = &att.wb;
    let done = job.status.to_result().map_err(|_| job.status);
    if done.and_then(|()| att.note_written(job.key)).is_err() {
        wb.flow.errors.add(1);
        wb.keybuf.remove(&job.key);
    }
    wb.flow.in_flight.add(u32::MAX);
    wb.wake.wake_all();
}

impl EndIo for DirtyBio {
    fn end_io(mut bio: OwnedBio<Self>, status: Status) {
        let Some(mut job) = bio.data_mut().0.take() else {
            return;
        };
        if !status.is_ok() && job.next == Next::Written {
            job.stay.att.dev.count_backing_error();
        }
        job.status = status;
        job.bio = Some(bio);
        job.queue();
    }
}
