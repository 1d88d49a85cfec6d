// SPDX-License-Identifier: GPL-2.0

//! The start of a cache set: format of a new cache, recovery of an old one.
//!
//! C: `run_cache_set` in `super.c`. There is no mark of a clean shutdown: each start reads the
//! journal and inserts again what it holds. The superblock flag SYNC says whether there is anything
//! to recover.
//!
//! # Order of a recovery
//!
//! journal -> priorities and generations -> uuids -> walk over the btree, which marks all buckets
//! -> marks of the keys in the journal (which are pinned) -> marks are valid, empty buckets found
//! -> new journal entry, threads -> replay -> superblock. Nothing is written before the replay but
//! by the replay itself: if it fails or the machine goes down, the next start finds the same.
//!
//! # Order of a format
//!
//! old journal headers erased -> allocator without durability -> priorities, uuids, empty root ->
//! first journal entry, which makes all of them durable -> superblock with SYNC. If the last write
//! is lost the cache is formatted again, which loses nothing.

use crate::{
    cache_set::CacheSet,
    journal::Replay, //
};
use bcache_core::ondisk::superblock::Superblock;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Journal entries are never numbered this high: what remains is more than any disk lives to see.
const MAX_SEQ: u64 = u64::MAX >> 1;

/// What went wrong, in the words of C's log, and how.
struct Failed(&'static str, Error);

/// Adds the words to an error.
trait Context<T> {
    fn what(self, text: &'static str) -> Result<T, Failed>;
}

impl<T> Context<T> for Result<T> {
    fn what(self, text: &'static str) -> Result<T, Failed> {
        self.map_err(|e| Failed(text, e))
    }
}

/// Brings the set to life, up to and including the write of its superblock. Devices are attached by the caller. May sleep
/// long.
///
/// # Errors
///
/// Whatever the first failure was; it has been logged and the set is dead (its threads may run and
/// must be stopped as those of any set).
pub(crate) fn run(c: &Arc<CacheSet>) -> Result {
    let sync = c.sb.with(Superblock::sync);
    let done = if sync { recover(c) } else { format(c) };
    let done = done.and_then(|()| {
        c.write_super(|sb| {
            sb.set_sync(true);
        })
        .what("cannot write the superblock")
    });
    if let Err(Failed(text, e)) = done {
        c.set_error(format_args!("{text}: {e:?}"));
        return Err(e);
    }
    if c.sb.with(Superblock::has_obso_large_bucket) {
        pr_err!(
            "Detect obsoleted large bucket layout, all attached bcache device will be read-only\n"
        );
    }
    Ok(())
}

/// An old cache.
fn recover(c: &Arc<CacheSet>) -> Result<(), Failed> {
    let (buckets, dev) = c.sb.with(|sb| (u32::from(sb.keys), sb.nr_this_dev));
    c.journal
        .set_layout(buckets, dev)
        .what("cannot allocate memory for journal")?;
    let replay = c
        .journal_scan(buckets, dev)
        .what("cannot allocate memory for journal")?;
    read_metadata(c, &replay)?;
    c.journal_mark(&replay);
    c.gc_marks_initial();
    start_journal(c, &replay)?;
    c.alloc.set_sync();
    c.allocator_start()
        .what("error starting allocator thread")?;
    // Before the replay, which may need buckets that only gc can find.
    c.btree_start_threads().what("error starting gc thread")?;
    if replay.newest.as_ref().is_some_and(|n| n.version < 1) {
        // The old format goes away before the next entry (of version 1) names the table.
        c.uuid_write().what("cannot write uuids")?;
    }
    c.journal_replay(&replay)
        .what("bcache: replay journal failed")
}

/// Priorities, uuids and btree, as the newest journal entry names them.
fn read_metadata(c: &Arc<CacheSet>, replay: &Replay) -> Result<(), Failed> {
    let newest = replay
        .newest
        .as_ref()
        .ok_or(EIO)
        .what("no journal entries found")?;
    c.prio_read(newest.prio_bucket)
        .what("IO error reading priorities")?;
    c.journal.set_prio_bucket(newest.prio_bucket);
    if !newest.root.node_ok(&c.geo) {
        return Err(Failed("bad btree root", EIO));
    }
    if !newest.uuid_bucket.node_ok(&c.geo) {
        return Err(Failed("bad uuid pointer", EIO));
    }
    c.uuid_read(&newest.uuid_bucket, newest.version < 1)
        .what("error reading uuids")?;
    c.journal.set_root(newest.root, newest.level);
    c.btree_load(&newest.root, newest.level)
        .what("error in recovery")
}

/// Opens the journal behind its newest entry, with all entries to be replayed pinned, and starts
/// its thread.
fn start_journal(c: &Arc<CacheSet>, replay: &Replay) -> Result<(), Failed> {
    const FAILED: &str = "bcache: replay journal failed";
    // C finds out about missing entries in the middle of the replay.
    replay.check().what(FAILED)?;
    let newest = replay.newest.as_ref().ok_or(EIO).what(FAILED)?;
    if newest.last_seq > newest.seq || newest.seq >= MAX_SEQ {
        pr_err!(
            "journal entry {} cannot need entry {}\n",
            newest.seq,
            newest.last_seq
        );
        return Err(Failed(FAILED, EIO));
    }
    let next = newest.seq.saturating_add(1);
    c.journal.open(newest.last_seq, next).what(FAILED)?;
    c.journal_start().what("error starting journal thread")
}

/// A new cache.
fn format(c: &Arc<CacheSet>) -> Result<(), Failed> {
    pr_notice!("invalidating existing data\n");
    let buckets = lay_out_journal(c)?;
    erase_journal(c, buckets).what("cannot erase the journal")?;
    c.gc_marks_initial();
    c.allocator_start()
        .what("error starting allocator thread")?;
    c.prio_write().what("cannot write priorities")?;
    c.uuid_write().what("cannot allocate new UUID bucket")?;
    c.btree_format().what("cannot allocate new btree root")?;
    // From here on buckets are handed out only with durable generations. Those handed out before
    // had no other content in this life of the cache.
    c.alloc.set_sync();
    c.journal.open(1, 1).what("cannot open the journal")?;
    c.journal_start().what("error starting journal thread")?;
    c.journal
        .meta(c, true)
        .what("cannot write the first journal entry")?;
    c.btree_start_threads().what("error starting gc thread")
}

/// Puts the journal behind the first bucket; gives the number of its buckets.
fn lay_out_journal(c: &CacheSet) -> Result<u32, Failed> {
    let (first, n) = (c.geo.first_bucket().0, c.geo.njournal_default());
    let dev = c.sb.with(|sb| sb.nr_this_dev);
    c.sb.update_in_memory(|sb| {
        sb.keys = u16::try_from(n).unwrap_or(0);
        for (slot, b) in sb.d.iter_mut().zip(first..first.saturating_add(n)) {
            *slot = u64::from(b);
        }
    });
    c.journal
        .set_layout(n, dev)
        .what("cannot allocate memory for journal")?;
    Ok(n)
}

/// Entries of an earlier life of the set, with the same UUID, are none of ours, whose numbers begin at 1 again: none may be
/// found, not even behind our newest one. The first entry makes this durable.
fn erase_journal(c: &CacheSet, buckets: u32) -> Result {
    let size = u64::from(c.geo.bucket_sectors()).saturating_mul(u64::from(buckets));
    c.bdev
        .zero_out(c.geo.bucket_start(c.geo.first_bucket()), size)
}
