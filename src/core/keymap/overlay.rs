// SPDX-License-Identifier: GPL-2.0

//! Inserting over older keys, erasing and replacing.
//!
//! C reference: `drivers/md/bcache/extents.c` (`bch_extent_insert_fixup`), `bset.c` (`bch_btree_insert_key`).

use super::chunk::Appended;
use super::cursor::At;
use super::{
    Chunks,
    KeyMap,
    NoMem,
    Replaced, //
};
use crate::key::{
    Key,
    Pos, //
};

/// Sectors of one device that are not empty.
#[derive(Clone, Copy)]
struct Span {
    inode: u32,
    start: u64,
    end: u64,
}

/// Whether a key covers something, and does not start before sector 0.
#[inline]
fn covers(k: &Key) -> bool {
    k.size() != 0 && u64::from(k.size()) <= k.end()
}

impl Span {
    /// What a key covers, which does.
    #[inline]
    fn over(k: &Key) -> Self {
        Self {
            inode: k.inode(),
            start: k.start(),
            end: k.end(),
        }
    }

    /// What a key covers, if it does.
    fn of(k: &Key) -> Option<Self> {
        covers(k).then(|| Self::over(k))
    }

    /// The first sector.
    fn start_pos(&self) -> Pos {
        Pos::new(self.inode, self.start)
    }

    /// Behind the last sector.
    fn end_pos(&self) -> Pos {
        Pos::new(self.inode, self.end)
    }

    /// The part of `k` within the span.
    fn piece_of(&self, k: &Key) -> Key {
        k.piece(self.start, self.end)
    }
}

impl<C: Chunks> KeyMap<C> {
    /// Puts `k` over what is there.
    ///
    /// `dropped` sees every piece of older keys that is overwritten, in ascending order. The key is joined
    /// with its neighbours where [`Key::try_merge`] allows it, unless exactly this key is there already. A key without pointer is kept like any other.
    /// A key of size 0, or larger than its end, changes nothing. Gives the second half of an older key that it cut in two.
    ///
    /// # Errors
    ///
    /// [`NoMem`], with nothing changed and `dropped` not called.
    pub fn insert(
        &mut self,
        k: &Key,
        bucket_sectors: u32,
        mut dropped: impl FnMut(&Key),
    ) -> Result<Option<Key>, NoMem> {
        if !covers(k) || self.append(k, bucket_sectors)? {
            return Ok(None);
        }
        self.lay(k, bucket_sectors, &mut dropped)
    }

    /// Whether exactly `k` is there. An insertion of it that follows finds its place faster.
    pub fn has(&mut self, k: &Key) -> bool {
        let at = self.locate_next(k.start_pos());
        self.key_at(at) == Some(k)
    }

    /// Puts `k`, which covers something, to the end if it belongs there: most of what a sequential writer inserts does, and
    /// most of a node that is read.
    #[inline(always)]
    fn append(&mut self, k: &Key, bucket_sectors: u32) -> Result<bool, NoMem> {
        let last = self.chunks.len().checked_sub(1);
        let last = last.and_then(|c| self.chunks.get_mut(c));
        match last.map_or(Appended::Full, |c| c.append(k, bucket_sectors)) {
            Appended::NotBehind => return Ok(false),
            Appended::Joined => return Ok(true),
            Appended::Put => {}
            Appended::Full => self.append_chunk(k)?,
        }
        self.len = self.len.saturating_add(1);
        self.words = self.words.saturating_add(k.words());
        Ok(true)
    }

    /// As [`Self::append`], to a chunk of its own, and without counting it.
    #[inline(never)]
    fn append_chunk(&mut self, k: &Key) -> Result<(), NoMem> {
        let end = self.chunks.len();
        self.chunks.insert(end)?.insert(0, k);
        Ok(())
    }

    /// Removes `start..end` of `inode`; `dropped` sees every piece that is removed, in ascending order. Gives the second half
    /// of a key that this cut in two.
    ///
    /// # Errors
    ///
    /// [`NoMem`] (only if the sectors lie inside one key), with nothing changed.
    pub fn erase(
        &mut self,
        inode: u32,
        start: u64,
        end: u64,
        mut dropped: impl FnMut(&Key),
    ) -> Result<Option<Key>, NoMem> {
        if start >= end {
            return Ok(None);
        }
        let span = Span { inode, start, end };
        let at = self.locate(span.start_pos());
        let Some(old) = self.overlapping(at, &span) else {
            return Ok(None);
        };
        if old.start() >= start {
            self.clear_from(at, &span, &mut dropped);
            return Ok(None);
        }
        if old.end() > end {
            let at = self.room_with(at, 1)?;
            return Ok(Some(self.split_around(at, &old, &span, &mut dropped)));
        }
        self.cut_back(at, &old, &span, &mut dropped);
        let next = self.normal(at.plus(1));
        self.clear_from(next, &span, &mut dropped);
        Ok(None)
    }

    /// Puts `k` over those of its sectors that are still mapped to where `expected` maps them; see
    /// [`Key::matches_piece`].
    ///
    /// `inserted` sees every piece put, `dropped` every piece of older keys overwritten (before that).
    ///
    /// C stops at the first sector that is not as expected; here what follows is looked at too.
    ///
    /// # Errors
    ///
    /// [`NoMem`], with nothing changed.
    pub fn replace(
        &mut self,
        k: &Key,
        expected: &Key,
        bucket_sectors: u32,
        mut inserted: impl FnMut(&Key),
        mut dropped: impl FnMut(&Key),
    ) -> Result<Replaced, NoMem> {
        let mut replaced = Replaced {
            sectors: 0,
            rest: None,
        };
        let (Some(mine), Some(theirs)) = (Span::of(k), Span::of(expected)) else {
            return Ok(replaced);
        };
        let mut span = Span {
            inode: mine.inode,
            start: mine.start.max(theirs.start),
            end: mine.end.min(theirs.end),
        };
        if mine.inode != theirs.inode || span.start >= span.end {
            return Ok(replaced);
        }
        self.reserve_replace(&span, expected)?;
        while span.start < span.end {
            let at = self.locate(span.start_pos());
            let Some(old) = self.overlapping(at, &span) else {
                break;
            };
            if old.matches_piece(expected) {
                let common = span.piece_of(&old);
                let piece = k.piece(common.start(), common.end());
                // Only a key that goes on on both sides of the span is cut in two, and then there is no other.
                replaced.rest = self.insert(&piece, bucket_sectors, &mut dropped)?;
                inserted(&piece);
                replaced.sectors = replaced.sectors.saturating_add(piece.size());
            }
            span.start = old.end();
        }
        Ok(replaced)
    }

    /// Gets the memory that [`Self::replace`] may need: where a key goes on before or behind the span, a
    /// slot more is used.
    fn reserve_replace(&mut self, span: &Span, expected: &Key) -> Result<(), NoMem> {
        let first = self.locate(span.start_pos());
        let last = self.locate(Pos::new(span.inode, span.end.saturating_sub(1)));
        let mut chunks = 0usize;
        for (at, outer) in [(first, true), (last, false)] {
            let Some(old) = self.overlapping(at, span) else {
                continue;
            };
            let sticks_out = if outer {
                old.start() < span.start
            } else {
                old.end() > span.end
            };
            if sticks_out && old.matches_piece(expected) && self.chunk_free(at.c) < 2 {
                chunks = chunks.saturating_add(1);
            }
        }
        if chunks == 0 {
            return Ok(());
        }
        self.chunks.reserve(chunks)
    }

    /// The key in slot `at`, which ends behind the start of `span`, if it has sectors of it.
    fn overlapping(&self, at: At, span: &Span) -> Option<Key> {
        self.key_at(at)
            .filter(|k| k.start_pos() < span.end_pos())
            .copied()
    }

    /// Puts `k`, which covers something.
    fn lay(
        &mut self,
        k: &Key,
        bucket_sectors: u32,
        dropped: &mut dyn FnMut(&Key),
    ) -> Result<Option<Key>, NoMem> {
        let span = Span::over(k);
        let at = self.locate_next(span.start_pos());
        let Some(old) = self.overlapping(at, &span) else {
            self.lay_between(at, k, bucket_sectors)?;
            return Ok(None);
        };
        let mut rest = None;
        let (sticks_left, sticks_right) = (old.start() < span.start, old.end() > span.end);
        let placed = match (sticks_left, sticks_right) {
            (true, true) => {
                let at = self.room_with(at, 2)?;
                rest = Some(self.split_around(at, &old, &span, dropped));
                self.put(at.plus(1), k);
                at.plus(1)
            }
            (true, false) => {
                let at = self.room_with(at, 1)?;
                self.cut_back(at, &old, &span, dropped);
                self.put(at.plus(1), k);
                at.plus(1)
            }
            (false, true) => {
                let at = self.room_before(at)?;
                let old_at = self.normal(at);
                self.cut_front(old_at, &old, &span, dropped);
                self.put(at, k);
                at
            }
            // It is there already: a replay says again what the leaf has.
            (false, false) if old == *k => {
                dropped(&old);
                return Ok(None);
            }
            (false, false) => {
                dropped(&old);
                self.set(at, k);
                at
            }
        };
        if !sticks_right {
            let next = self.normal(placed.plus(1));
            self.clear_behind(next, &span, dropped);
        }
        let c = self.join(placed, bucket_sectors);
        self.tidy(c);
        Ok(rest)
    }

    /// Puts `k` before slot `at`, where no key has sectors of it.
    fn lay_between(&mut self, at: At, k: &Key, bucket_sectors: u32) -> Result<(), NoMem> {
        let mut joined = *k;
        let right = self.key_at(at).copied();
        let with_right = right.is_some_and(|r| joined.try_merge(&r, bucket_sectors));
        if let Some(left_at) = self.before(at) {
            let mut left = self.key_at(left_at).copied().unwrap_or(Key::ZERO);
            if left.try_merge(&joined, bucket_sectors) {
                self.set(left_at, &left);
                if with_right {
                    self.take(at);
                    self.tidy(left_at.c);
                }
                return Ok(());
            }
        }
        if with_right {
            self.set(at, &joined);
            return Ok(());
        }
        let at = self.room_before(at)?;
        self.put(at, k);
        Ok(())
    }

    /// Cuts `old`, in slot `at`, in two around `span`; there must be room for one key. Gives the second half.
    fn split_around(
        &mut self,
        at: At,
        old: &Key,
        span: &Span,
        dropped: &mut dyn FnMut(&Key),
    ) -> Key {
        dropped(&span.piece_of(old));
        let rest = old.piece(span.end, old.end());
        self.set(at, &old.piece(old.start(), span.start));
        self.put(at.plus(1), &rest);
        rest
    }

    /// Takes the sectors of `span` off the end of `old`, in slot `at`.
    fn cut_back(&mut self, at: At, old: &Key, span: &Span, dropped: &mut dyn FnMut(&Key)) {
        dropped(&span.piece_of(old));
        self.set(at, &old.piece(old.start(), span.start));
    }

    /// Takes the sectors of `span` off the front of `old`, in slot `at`.
    fn cut_front(&mut self, at: At, old: &Key, span: &Span, dropped: &mut dyn FnMut(&Key)) {
        dropped(&span.piece_of(old));
        self.set(at, &old.piece(span.end, old.end()));
    }

    /// As [`Self::clear_behind`], and joins small chunks afterwards.
    fn clear_from(&mut self, at: At, span: &Span, dropped: &mut dyn FnMut(&Key)) {
        let c = self.clear_behind(at, span, dropped);
        self.tidy(c);
    }

    /// Removes the sectors of `span` from all keys from slot `at` on; gives the chunk where that ended.
    ///
    /// The key in the slot must not start before the span.
    fn clear_behind(&mut self, at: At, span: &Span, dropped: &mut dyn FnMut(&Key)) -> usize {
        let mut at = at;
        loop {
            let keys = match self.chunks.get(at.c) {
                Some(chunk) => chunk.keys().get(at.s..).unwrap_or_default(),
                None => return at.c,
            };
            let mut words = 0usize;
            let mut gone = 0usize;
            for k in keys.iter().take_while(|k| k.pos() <= span.end_pos()) {
                dropped(k);
                words = words.saturating_add(k.words());
                gone = gone.saturating_add(1);
            }
            let all = gone == keys.len();
            self.take_run(at, gone, words);
            if !all {
                if let Some(old) = self.overlapping(at, span) {
                    self.cut_front(at, &old, span, dropped);
                }
                return at.c;
            }
            if self.chunk_len(at.c) == 0 {
                self.chunks.remove(at.c);
                at.s = 0;
            } else {
                at = At {
                    c: at.c.saturating_add(1),
                    s: 0,
                };
            }
        }
    }

    /// Joins the key in slot `at` with its neighbours; gives the chunk it is in then.
    fn join(&mut self, at: At, bucket_sectors: u32) -> usize {
        let Some(mut k) = self.key_at(at).copied() else {
            return at.c;
        };
        let right_at = self.normal(at.plus(1));
        if let Some(right) = self.key_at(right_at).copied() {
            if k.try_merge(&right, bucket_sectors) {
                self.set(at, &k);
                self.take(right_at);
            }
        }
        let Some(left_at) = self.before(at) else {
            return at.c;
        };
        if let Some(mut left) = self.key_at(left_at).copied() {
            if left.try_merge(&k, bucket_sectors) {
                self.set(left_at, &left);
                self.take(at);
                return left_at.c;
            }
        }
        at.c
    }
}
