// SPDX-License-Identifier: GPL-2.0

//! Inserts the keys of the journal again.
//!
//! C: `bch_journal_mark`, `bch_journal_replay` in `journal.c`. Keys are inserted in exactly the order in which they were
//! journaled, so that later ones overwrite earlier ones; to insert a key that is in its leaf already changes nothing.

use super::keys::{
    EntryKeys,
    Place, //
};
use crate::{
    buckets::Target,
    cache_set::CacheSet,
    show::Shown, //
};
use bcache_core::{
    alloc::sort::heapsort,
    journal::replay::{
        self,
        SeqSpan,
        Unfit, //
    },
    key::Key,
    ondisk::jset::Jset, //
};
use kernel::{
    alloc::KVVec,
    prelude::*, //
};

/// What the newest entry names.
pub(crate) struct Newest {
    pub(crate) seq: u64,
    /// First entry to be replayed.
    pub(crate) last_seq: u64,
    pub(crate) version: u32,
    pub(crate) uuid_bucket: Key,
    pub(crate) root: Key,
    pub(crate) level: u16,
    pub(crate) prio_bucket: u64,
}

impl Newest {
    pub(super) fn of(jset: &Jset<'_>, dev: u16) -> Self {
        Self {
            seq: jset.seq,
            last_seq: jset.last_seq,
            version: jset.version,
            uuid_bucket: jset.uuid_bucket,
            root: jset.btree_root,
            level: jset.btree_level,
            prio_bucket: jset.prio_bucket.get(usize::from(dev)).copied().unwrap_or(0),
        }
    }
}

/// An entry in memory.
pub(super) struct Entry {
    pub(super) span: SeqSpan,
    /// Where they are in [`Replay::keys`].
    pub(super) keys: Place,
}

/// The entries to be replayed.
pub(crate) struct Replay {
    pub(super) dev: u16,
    /// The keys of all entries.
    pub(super) keys: EntryKeys,
    /// As they were found.
    pub(super) entries: KVVec<Entry>,
    /// `(seq, index into entries)` of those needed, ascending.
    order: KVVec<(u64, usize)>,
    pub(crate) newest: Option<Newest>,
    /// What is wrong with the buckets that hold them.
    unfit: Option<Unfit>,
}

impl Replay {
    pub(super) fn new(dev: u16) -> Self {
        Self {
            dev,
            keys: EntryKeys::new(),
            entries: KVVec::new(),
            order: KVVec::new(),
            newest: None,
            unfit: None,
        }
    }

    /// All entries are in: puts them in order.
    pub(super) fn finish(&mut self) -> Result {
        let Some(newest) = &self.newest else {
            return Ok(());
        };
        for (i, e) in self.entries.iter().enumerate() {
            if e.span.seq >= newest.last_seq {
                self.order.push((e.span.seq, i), GFP_KERNEL)?;
            }
        }
        heapsort(&mut self.order);
        Ok(())
    }

    /// Notes whether the first entries of the buckets, ascending, can be those of one journal.
    pub(super) fn check_buckets(&mut self, firsts: impl IntoIterator<Item = u64>) {
        if let Some(newest) = &self.newest {
            self.unfit = replay::check_buckets(firsts, newest.last_seq).err();
        }
    }

    /// The entries in order.
    fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.order.iter().filter_map(|(_, i)| self.entries.get(*i))
    }

    /// The keys of an entry.
    fn keys_of(&self, entry: &Entry) -> &[Key] {
        self.keys.get(&entry.keys)
    }

    /// Whether no entry between the oldest needed and the newest is missing, and none is there twice.
    ///
    /// # Errors
    ///
    /// `EIO` (and a message) if one is.
    pub(crate) fn check(&self) -> Result {
        let mut spans = KVVec::with_capacity(self.order.len(), GFP_KERNEL)?;
        for entry in self.iter() {
            spans.push(entry.span, GFP_KERNEL)?;
        }
        let unfit = self.unfit.or_else(|| replay::check(&spans).err());
        unfit.map_or(Ok(()), |unfit| {
            pr_err!("{}\n", Shown(unfit));
            Err(EIO)
        })
    }
}

impl CacheSet {
    /// Where a journaled key, which is good, leads.
    #[inline]
    fn journal_target(&self, k: &Key) -> Option<Target<'_>> {
        self.buckets.target(k.ptr()?)
    }

    /// Marks the buckets of all keys in the journal as the walk over the btree did, and pins them until
    /// [`CacheSet::journal_replay`] has inserted the key.
    pub(crate) fn journal_mark(&self, replay: &Replay) {
        // Newest first: its generations are the ones that count.
        for entry in replay.iter().rev() {
            let good = |k: &&Key| k.leaf_ok(&self.geo);
            for k in replay.keys_of(entry).iter().filter(good) {
                if let Some(target) = self.journal_target(k) {
                    target.claim();
                    self.initial_mark(0, k, target);
                }
            }
        }
    }

    /// What to insert for a journaled key.
    ///
    /// If the bucket of dirty data was reused, the data had been written back (gc sees to it that
    /// keys overwritten or moved before it ran are in no entry that will be replayed). The backing
    /// device has it, so nothing is cached. The key must not simply be left out: what the journal
    /// holds for its sectors before it is older.
    fn replayed(k: &Key, target: Option<Target<'_>>) -> Key {
        let valid = target.is_some_and(|t| t.stale() == 0);
        if k.dirty() && k.ptr().is_some() && !valid {
            return Key::extent(k.inode(), k.start(), k.size(), false, None);
        }
        *k
    }

    /// Inserts all keys of the journal. The entries must have been marked, and pinned by
    /// `Journal::open`.
    ///
    /// # Errors
    ///
    /// `EIO` if a key cannot be one of a leaf, or as [`CacheSet::btree_replay`].
    pub(crate) fn journal_replay(&self, replay: &Replay) -> Result {
        let (mut keys, mut entries) = (0u64, 0u64);
        for entry in replay.iter() {
            // Dropped at the end of this turn; leaves that have unwritten keys of the entry hold clones.
            let pin = self.journal.replay_pin(entry.span.seq).ok_or(EIO)?;
            for k in replay.keys_of(entry).iter().filter(|k| k.size() != 0) {
                if !k.leaf_ok(&self.geo) {
                    pr_err!(
                        "bad key in journal entry {}: {}\n",
                        entry.span.seq,
                        Shown(*k)
                    );
                    return Err(EIO);
                }
                let target = self.journal_target(k);
                self.btree_replay(&Self::replayed(k, target), &pin)?;
                // What `journal_mark` claimed.
                if let Some(target) = target {
                    target.unclaim();
                }
                keys = keys.saturating_add(1);
            }
            entries = entries.saturating_add(1);
        }
        let end = replay.newest.as_ref().map_or(0, |n| n.seq);
        pr_info!(
            "journal replay done, {} keys in {} entries, seq {}\n",
            keys,
            entries,
            end
        );
        Ok(())
    }
}
