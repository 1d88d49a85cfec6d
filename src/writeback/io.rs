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

use super::{
    carry,
    order::Order, //
};
use crate::{
    attach::Attachment,
    buckets::BucketPin,
    flag::{Count, Num, Num64},
    request::Stay,
};
use bcache_core::{
    key::Key,
    num::{
        usize_from_u32,
        SECTOR_SHIFT, //
    },
    writeback::window::{
        self,
        Window, //
    }, //
};
use bcache_kernel::{
    block::{plugged, DoneBio, EndIo, Opf, OwnedBio, Status},
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

/// Sectors in flight from which on there are no more keys in flight than C has.
const SECTORS_IN_FLIGHT: u32 = 32768;
/// Keys that may go through together between two looks at the limiter.
const KEYS_PER_PASS: u32 = 5;
/// Sectors after which no further key joins.
const SECTORS_PER_PASS: u64 = 5000;

/// What counts as an error of the cache: its errors end the set, but how long a read takes until it is its turn to be written
/// does not make it slow to users.
pub(super) const READING: &str = "reading dirty data from cache";

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
    bio: Option<DoneBio<DirtyBio>>,
    /// Keeps the bucket from being reused while it is read.
    _pin: BucketPin,
    stay: Stay,
}

/// What a bio of background writeback carries: the key it works for.
pub(crate) struct DirtyBio(Option<Job<DirtyReq>>);

/// What the steps of all keys share.
#[pin_data]
pub(super) struct Flow {
    /// Whoever sees it go down sees what the end of a key has left before.
    in_flight: Count,
    /// Sectors of the keys in flight.
    sectors: Num,
    /// Keys that came to an end.
    ended: Num,
    /// How many may be in flight; the thread's own.
    #[pin]
    window: Mutex<Window>,
    /// Keys that could not be read or written since the thread last looked.
    pub(super) errors: Num,
    /// When the thread settled last, in jiffies; its own.
    pub(super) settled: Num64,
    /// Runs the steps of the keys, apart from requests: those can wait for buckets that only writeback frees.
    pub(super) wq: Wq,
    /// Which key is to be written next. Held across the submission of the writes, which could else overtake each other.
    /// That may sleep, for a request of the disk, or for locks of a device of ours below (`docs/locks.md`). No
    /// completion takes it.
    #[pin]
    order: Mutex<Order>,
    /// Keys that are written but not flushed.
    #[pin]
    pub(super) written: Mutex<KVVec<Key>>,
    /// For keys that there is no memory for.
    #[pin]
    pub(super) spare: Mutex<DmaBuf>,
}

impl Flow {
    /// Nothing in flight. May sleep.
    pub(super) fn new() -> Result<impl PinInit<Self>> {
        let order = Order::new()?;
        let wq = Wq::new(c"bcache_writeback_wq", true, false, 0)?;
        let written = KVVec::with_capacity(super::keybuf::KEYBUF_KEYS, GFP_KERNEL)?;
        let spare = carry::buffer()?;
        Ok(pin_init!(Self {
            in_flight: Count::new(),
            sectors: Num::new(0),
            ended: Num::new(0),
            window <- new_mutex!(Window::new(), "Flow::window"),
            errors: Num::new(0),
            settled: Num64::new(time::jiffies()),
            wq,
            order <- new_mutex!(order, "Flow::order"),
            written <- new_mutex!(written, "Flow::written"),
            spare <- new_mutex!(spare, "Flow::spare"),
        }))
    }

    /// Keys on their way. Any context.
    pub(super) fn keys_in_flight(&self) -> u32 {
        self.in_flight.get()
    }
}

impl Attachment {
    /// Writes back the keys of the list, or as many as it may. With `all` it waits for the end of all its I/O, else the next
    /// scan may begin meanwhile. The writeback thread.
    pub(super) fn write_back(&self, all: bool) -> Written {
        let flow = &self.wb.flow;
        let over = || should_stop() || self.set.io_disabled() || flow.errors.get() != 0;
        let mut end = Written::All;
        while !over() {
            if !self.wants_writeback() {
                end = Written::Some;
                break;
            }
            let Some(sectors) = self.start_pass() else {
                break;
            };
            self.limit(sectors);
        }
        if all || end == Written::Some || over() || !self.wb.keybuf.is_roomy() {
            self.drain();
        }
        if flow.errors.take() != 0 {
            end = Written::Failed;
        }
        end
    }

    /// Whether writeback shall go on: `writeback_running`, which a detach does not look at. Any context.
    fn wants_writeback(&self) -> bool {
        self.detaching.get() || self.dev.tun.writeback_running.get()
    }

    /// Waits for the end of all I/O, and makes what is written clean; the list is empty then. The writeback thread.
    pub(super) fn drain(&self) {
        let flow = &self.wb.flow;
        self.wb.keybuf.drop_idle();
        self.wb.wake.wait_until(|| flow.in_flight.get() == 0);
        flow.window.lock().interrupted();
        self.settle();
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
        let mut done = sectors;
        let look = || {
            let delay = self.writeback_delay(core::mem::take(&mut done));
            if delay != 0 {
                self.wb.flow.window.lock().interrupted();
            }
            let over = should_stop() || self.set.io_disabled() || !self.wants_writeback();
            (delay != 0 && !over).then_some(delay)
        };
        self.wb.kicks.wait(look, |delay, asked| {
            self.wb.sleep(delay, || asked() || self.set.io_disabled());
        });
    }

    /// Sends the read of a busy key off. Waits while too many keys are in flight.
    fn start_key(&self, key: Key) {
        let flow = &self.wb.flow;
        let pin = key.ptr().and_then(|ptr| self.set.buckets.pin_valid(ptr));
        let Some(pin) = pin else {
            // Overwritten since the scan, and its bucket is free already.
            return self.wb.keybuf.remove(&key);
        };
        self.wait_for_room();
        let done = match self.set.stay(self.inode) {
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

    /// Waits while as much is in flight as may be.
    fn wait_for_room(&self) {
        let flow = &self.wb.flow;
        let mut window = flow.window.lock();
        let width = window.width();
        let room = || {
            let keys = flow.in_flight.get();
            keys < window::MIN || (keys < width && flow.sectors.get() < SECTORS_IN_FLIGHT)
        };
        if flow.in_flight.get() >= width {
            window.full(time::local_clock_ns(), flow.ended.get());
        } else if !room() {
            window.interrupted();
        }
        drop(window);
        self.wb.wake.wait_until(room);
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
            seq: self.wb.flow.order.lock().send(&key),
            next: Next::Write,
            status: Status::OK,
            bio: None,
            _pin: pin,
            stay,
        });
        self.wb.flow.sectors.add(key.size());
        self.wb.flow.in_flight.inc();
        bio.data_mut().0 = Some(job);
        bio.submit();
        Ok(())
    }

    /// Without a target for dirty data writeback takes only what nobody else wants.
    fn set_priority(&self, bio: &mut OwnedBio<DirtyBio>) {
        if self.dev.tun.writeback_percent.get() == 0 {
            bio.set_ioprio_idle();
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
    let count = order.arrived(seq, job);
    plugged(|| {
        for _ in 0..count {
            if let Some(job) = order.take() {
                write(job);
            }
        }
    });
}

/// Writes a key to the backing device, or ends it if it could not be read.
fn write(mut job: Job<DirtyReq>) {
    let att = &job.stay.att;
    att.set.count_io_error(job.status, READING);
    job.next = Next::Written;
    let io_disabled = job.stay.att.set.io_disabled();
    let Some(bio) = job
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
    let mut bio = bio.reset(&att.dev.bdev, Opf::WRITE, job.key.start());
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
    wb.flow.sectors.add(0u32.wrapping_sub(job.key.size()));
    wb.flow.ended.add(1);
    wb.flow.in_flight.dec();
    wb.wake.wake_all();
}

impl EndIo for DirtyBio {
    fn end_io(mut bio: DoneBio<Self>, status: Status) {
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
