// SPDX-License-Identifier: GPL-2.0

//! Keys as they are stored: two words, then the pointers.
//!
//! C reference: `drivers/md/bcache/bcache_ondisk.h` (`struct bkey`, `BKEY_PADDED`).

use zerocopy::little_endian::U64;
use zerocopy_derive::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout,
    Unaligned, //
};

use crate::key::{
    Key,
    Ptr, //
};
use crate::num;

/// Words of a padded key.
pub const KEY_MAX_WORDS: usize = 8;

/// A key claims more words than its container has left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overrun;

/// Takes the first key off `words`; gives the key and what follows it.
///
/// Of several pointers the first that can be one to a cache is kept (of none, the first). The checksum word
/// of a key (never written by any driver) is not counted, as in C.
///
/// # Errors
///
/// [`Overrun`] if the key does not lie within `words`.
#[inline]
pub fn split_key(words: &[U64]) -> Result<(Key, &[U64]), Overrun> {
    let (head, rest) = words.split_first_chunk::<2>().ok_or(Overrun)?;
    let [high, low] = head.map(U64::get);
    let nr = usize::from(num::low_u8((high >> 60) & 7));
    let (ptrs, rest) = rest.split_at_checked(nr).ok_or(Overrun)?;
    let ptr = match ptrs {
        [] => None,
        [only] => Some(Ptr(only.get())),
        several => first_available(several),
    };
    Ok((Key::from_words(high, low, ptr), rest))
}

/// Of these pointers the first that can be one to a cache; if there is none, the first.
#[cold]
fn first_available(ptrs: &[U64]) -> Option<Ptr> {
    let mut all = ptrs.iter().map(|p| Ptr(p.get()));
    let first = all.clone().next();
    all.find(|p| p.is_available()).or(first)
}

/// Counts the keys that fill `words` exactly.
///
/// # Errors
///
/// [`Overrun`] if the last one does not end where `words` ends.
pub fn count_keys(words: &[U64]) -> Result<usize, Overrun> {
    let mut rest = words;
    let mut n = 0usize;
    while !rest.is_empty() {
        (_, rest) = split_key(rest)?;
        n = n.saturating_add(1);
    }
    Ok(n)
}

/// The keys of a list of words; ends early where a key does not lie within the list.
#[derive(Clone, Debug)]
pub struct Keys<'a>(&'a [U64]);

impl<'a> Keys<'a> {
    /// Iterates over the keys in `words`.
    pub fn new(words: &'a [U64]) -> Self {
        Self(words)
    }
}

impl Iterator for Keys<'_> {
    type Item = Key;

    #[inline]
    fn next(&mut self) -> Option<Key> {
        let (k, rest) = split_key(self.0).ok()?;
        self.0 = rest;
        Some(k)
    }
}

/// The words of a key as they are stored; only the first [`Key::words`] count.
#[inline]
pub fn to_words(k: &Key) -> [u64; 3] {
    [k.high, k.low, k.ptr]
}

/// Writes `k` to the start of `out`; gives what is left.
///
/// # Errors
///
/// [`Overrun`] if it does not fit; nothing is written then.
pub fn put_key<'a>(out: &'a mut [U64], k: &Key) -> Result<&'a mut [U64], Overrun> {
    let (head, rest) = out.split_at_mut_checked(k.words()).ok_or(Overrun)?;
    for (to, from) in head.iter_mut().zip(to_words(k)) {
        to.set(from);
    }
    Ok(rest)
}

/// A key in a fixed place of eight words.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy, Debug)]
#[repr(C)]
pub struct PaddedKey(pub [U64; KEY_MAX_WORDS]);

impl PaddedKey {
    /// The key as it is stored, unused words zeroed.
    pub fn new(k: &Key) -> Self {
        let mut words = [U64::ZERO; KEY_MAX_WORDS];
        for (to, from) in words.iter_mut().zip(to_words(k)).take(k.words()) {
            to.set(from);
        }
        Self(words)
    }

    /// The key; [`Key::ZERO`] if it claims more pointers than fit.
    pub fn key(&self) -> Key {
        split_key(&self.0).map_or(Key::ZERO, |(k, _)| k)
    }
}
