// SPDX-License-Identifier: GPL-2.0

//! The thread that writes journal entries.
//!
//! C: `journal_write_unlocked`, `journal_write_work` in `journal.c`, a closure state machine with
//! two buffers there.

use super::entry::{
    Job,
    MAX_WORDS, //
};
use crate::cache_set::CacheSet;
use bcache_core::{
    geometry::MAX_JSET_BYTES,
    journal::room::Turn,
    ondisk::jset::encode_jset,
    sync::Word, //
};
use bcache_kernel::{
    block::Opf,
    crc64::crc64_be,
    dma::DmaBuf,
    kthread::should_stop,
    memalloc,
    time,
    wait::Waited, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// How long to wait for pins to go away before looking for leaves to write again, in ms.
const RETRY_MS: u32 = 20;

/// What only the thread itself touches.
pub(super) struct Writer {
    c: Arc<CacheSet>,
    buf: DmaBuf,
    /// Keys of the entry being written; empty in between.
    words: KVec<u64>,
}

impl Writer {
    /// Allocates all the thread needs.
    pub(super) fn new(c: &Arc<CacheSet>) -> Result<Self> {
        Ok(Self {
            c: c.clone(),
            buf: DmaBuf::new(MAX_JSET_BYTES)?,
            words: KVec::with_capacity(MAX_WORDS, GFP_KERNEL)?,
        })
    }

    /// The thread function.
    pub(super) fn run(mut self) {
        let _noio = memalloc::noio();
        while self.wait() {
            let Ok(job) = self.close_entry() else { break };
            let Some(job) = job else { continue };
            if self.write(&job).is_err() {
                self.c.set_error(format_args!("journal io error"));
                break;
            }
            self.flush_ahead();
        }
        self.c.journal.signal.progress.wake_all();
        self.c.end_durable();
    }

    /// Sleeps until the open entry is to be written or somebody waits for room; false if the thread has to end.
    fn wait(&self) -> bool {
        let (c, j) = (&self.c, &self.c.journal);
        loop {
            let st = j.state.lock();
            let (due, since) = (st.room.is_due(), st.since);
            drop(st);
            let left = match since {
                Some(t) => {
                    let delay = time::msecs_to_jiffies(c.tun.journal_delay_ms.get());
                    let age = time::jiffies().wrapping_sub(t);
                    delay.saturating_sub(age)
                }
                None => u64::MAX,
            };
            if c.io_disabled() || should_stop() {
                return false;
            }
            if due || left == 0 {
                return true;
            }
            let woken = j.signal.work.wait_until_or_stop_timeout(
                || {
                    let st = j.state.lock();
                    st.room.is_due() || st.since != since || c.io_disabled()
                },
                left,
            );
            if woken == Waited::Stop {
                return false;
            }
        }
    }

    /// Closes the open entry as soon as there is room for it in the journal; `None` if who waited for room has it without
    /// that.
    ///
    /// # Errors
    ///
    /// `EIO`: the thread has to end.
    fn close_entry(&mut self) -> Result<Option<Job>> {
        let c = self.c.clone();
        loop {
            if c.io_disabled() || should_stop() {
                return Err(EIO);
            }
            c.count.reclaim.add(1);
            let mut st = c.journal.state.lock();
            let bucket = st.room.space().current();
            let turn = st.turn();
            if st.room.space().current() != bucket {
                c.count.reclaimed_journal_buckets.add(1);
            }
            let upto = match turn {
                Turn::Write => {
                    if st.room.is_last_resort() {
                        pr_warn!("could not find room in the journal but over entries that may be needed\n");
                    }
                    let job = st.close(c.set_magic, &mut self.words);
                    drop(st);
                    // There is an empty entry to add to.
                    c.journal.signal.progress.wake_all();
                    if job.is_none() {
                        c.set_error(format_args!("journal entry without room"));
                    }
                    return job.map(Some).ok_or(EIO);
                }
                Turn::Rest => {
                    drop(st);
                    c.journal.signal.progress.wake_all();
                    return Ok(None);
                }
                Turn::Flush(upto) => upto,
            };
            drop(st);
            c.btree_flush_oldest(upto);
            c.journal.state.lock().room.flushed(upto);
            self.wait_for_room();
        }
    }

    /// Has leaves written that need the oldest bucket, before anybody has to wait for it.
    fn flush_ahead(&self) {
        let ahead = self.c.journal.state.lock().room.ahead();
        if let Some(upto) = ahead {
            self.c.btree_flush_oldest(upto);
        }
    }

    /// Waits until an old entry lost its last pin or somebody may use the reserve, at most a
    /// moment.
    fn wait_for_room(&self) {
        let (c, j) = (&self.c, &self.c.journal);
        j.signal.work.wait_until_or_stop_timeout(
            || c.io_disabled() || !matches!(j.state.lock().turn(), Turn::Flush(_)),
            time::msecs_to_jiffies(RETRY_MS),
        );
    }

    /// Writes an entry and tells those who wait for it.
    fn write(&mut self, job: &Job) -> Result {
        let out = self.buf.as_mut_slice();
        encode_jset(crc64_be, out, &job.fields, &self.words).map_err(|_| EINVAL)?;
        self.words.clear();
        let opf = Opf::SYNC | Opf::PREFLUSH | Opf::FUA;
        self.c
            .meta_write(job.sector, &self.buf, 0..job.bytes, opf)?;
        let j = &self.c.journal;
        j.state.lock().written(&job.fields);
        j.durable.swap(job.fields.seq);
        j.signal.progress.wake_all();
        self.c.end_durable();
        Ok(())
    }
}
