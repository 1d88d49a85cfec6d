// SPDX-License-Identifier: GPL-2.0

//! Whether a request goes around the cache. C: `check_should_bypass` in `request.c`.

use super::mode::CacheMode;

/// Percent of the buckets in use above which nothing is added (C: `CUTOFF_CACHE_ADD`).
const CUTOFF_ADD: u32 = 95;

/// Why a request bypasses the cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// The device is being detached.
    Detaching,
    /// A discard is never cached.
    Discard,
    /// More than 95 % of the buckets are in use; see [`must_wake_gc`].
    CacheFull,
    /// The cache mode says so.
    Mode,
    /// Read-ahead or background I/O that is not metadata, by `readahead_cache_policy`.
    ReadAhead,
    /// Start or length are not multiples of the block size of the cache.
    Unaligned,
    /// Part of a long sequential stream.
    Sequential,
    /// The cache device is slow.
    Congested,
}

/// The decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bypass {
    /// Use the cache. The caller counts the sectors for the aging of the buckets.
    No,
    /// Go around it. The caller counts the sectors as bypassed.
    Yes(Reason),
}

/// What is known of a request and its device before the stream it belongs to is looked up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BypassInput {
    /// The device is being detached.
    pub detaching: bool,
    /// The request is a discard.
    pub discard: bool,
    /// Percent of the buckets in use.
    pub in_use: u32,
    /// Mode of the device.
    pub mode: CacheMode,
    /// The request writes.
    pub write: bool,
    /// The request is marked RAHEAD or BACKGROUND.
    pub readahead: bool,
    /// The request is marked META or PRIO.
    pub meta: bool,
    /// `readahead_cache_policy` is `meta-only`.
    pub readahead_meta_only: bool,
    /// First sector, on the backing device.
    pub sector: u64,
    /// Sectors.
    pub sectors: u32,
    /// Sectors of a block of the cache set.
    pub block_sectors: u32,
    /// `sequential_cutoff`, in bytes, 0 = off.
    pub sequential_cutoff: u32,
}

/// Decides, in the order of C.
///
/// `congested` gives [`super::congested::limit`], `stream` notes the request in
/// [`super::sequential::RecentIo`] and gives the sectors of its stream. Each is called at most
/// once, and only if the decision comes down to it: the history of streams is not touched by
/// requests that bypass for another reason, nor while neither cutoff applies.
pub fn decide(
    input: &BypassInput,
    congested: impl FnOnce() -> u32,
    stream: impl FnOnce() -> u32,
) -> Bypass {
    if let Some(reason) = by_request(input) {
        return Bypass::Yes(reason);
    }
    let congested = congested();
    if congested == 0 && input.sequential_cutoff == 0 {
        return Bypass::No;
    }
    let sectors = stream();
    if input.sequential_cutoff != 0 && sectors >= input.sequential_cutoff / 512 {
        return Bypass::Yes(Reason::Sequential);
    }
    if congested != 0 && sectors >= congested {
        return Bypass::Yes(Reason::Congested);
    }
    Bypass::No
}

/// The reasons that need no history.
fn by_request(input: &BypassInput) -> Option<Reason> {
    if input.detaching {
        return Some(Reason::Detaching);
    }
    if input.discard {
        return Some(Reason::Discard);
    }
    if input.in_use > CUTOFF_ADD {
        return Some(Reason::CacheFull);
    }
    if input.mode == CacheMode::None || (input.mode == CacheMode::Writearound && input.write) {
        return Some(Reason::Mode);
    }
    if input.readahead && !input.meta && input.readahead_meta_only {
        return Some(Reason::ReadAhead);
    }
    let block = u64::from(input.block_sectors.max(1));
    if input.sector % block != 0 || u64::from(input.sectors) % block != 0 {
        return Some(Reason::Unaligned);
    }
    None
}

/// Whether a bypass has to force a gc: with the cache full and nothing dirty, no insert would ever
/// trigger one again.
pub fn must_wake_gc(reason: Reason, bdev_clean: bool, gc_mark_valid: bool) -> bool {
    reason == Reason::CacheFull && bdev_clean && gc_mark_valid
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_bypass))]
mod tests {
    use super::*;

    const PLAIN: BypassInput = BypassInput {
        detaching: false,
        discard: false,
        in_use: 95,
        mode: CacheMode::Writearound,
        write: false,
        readahead: false,
        meta: false,
        readahead_meta_only: true,
        sector: 8,
        sectors: 8,
        block_sectors: 8,
        sequential_cutoff: 4 << 20,
    };

    fn early(change: impl FnOnce(&mut BypassInput)) -> Bypass {
        let mut input = PLAIN;
        change(&mut input);
        decide(&input, || 0, || 0)
    }

    #[test]
    fn reasons() {
        use Bypass::*;
        assert_eq!(early(|_| ()), No);
        assert_eq!(early(|i| i.detaching = true), Yes(Reason::Detaching));
        assert_eq!(early(|i| i.discard = true), Yes(Reason::Discard));
        assert_eq!(early(|i| i.in_use = 96), Yes(Reason::CacheFull));
        assert_eq!(early(|i| i.write = true), Yes(Reason::Mode));
        assert_eq!(early(|i| i.mode = CacheMode::None), Yes(Reason::Mode));
        assert_eq!(early(|i| i.readahead = true), Yes(Reason::ReadAhead));
        assert_eq!(early(|i| (i.readahead, i.meta) = (true, true)), No);
        assert_eq!(
            early(|i| (i.readahead, i.readahead_meta_only) = (true, false)),
            No
        );
        assert_eq!(early(|i| i.sector = 9), Yes(Reason::Unaligned));
        assert_eq!(early(|i| i.sectors = 7), Yes(Reason::Unaligned));
        assert_eq!(early(|i| i.block_sectors = 0), No);
    }

    #[test]
    fn order() {
        let mut all = BypassInput {
            detaching: true,
            discard: true,
            in_use: 100,
            mode: CacheMode::None,
            readahead: true,
            sector: 1,
            ..PLAIN
        };
        let mut next = |change: fn(&mut BypassInput)| {
            let was = decide(&all, || unreachable!(), || unreachable!());
            change(&mut all);
            was
        };
        assert_eq!(
            next(|i| i.detaching = false),
            Bypass::Yes(Reason::Detaching)
        );
        assert_eq!(next(|i| i.discard = false), Bypass::Yes(Reason::Discard));
        assert_eq!(next(|i| i.in_use = 0), Bypass::Yes(Reason::CacheFull));
        assert_eq!(
            next(|i| i.mode = CacheMode::Writeback),
            Bypass::Yes(Reason::Mode)
        );
        assert_eq!(
            next(|i| i.readahead = false),
            Bypass::Yes(Reason::ReadAhead)
        );
        assert_eq!(next(|i| i.sector = 0), Bypass::Yes(Reason::Unaligned));
        assert_eq!(decide(&all, || 1, || 8192), Bypass::Yes(Reason::Sequential));
        assert_eq!(decide(&all, || 0, || 8191), Bypass::No);
        assert_eq!(decide(&all, || 100, || 100), Bypass::Yes(Reason::Congested));
        assert_eq!(decide(&all, || 101, || 100), Bypass::No);
        all.sequential_cutoff = 0;
        assert_eq!(decide(&all, || 0, || unreachable!()), Bypass::No);
        assert_eq!(
            decide(&all, || 101, || 1 << 30),
            Bypass::Yes(Reason::Congested)
        );
    }

    #[test]
    fn gc() {
        assert!(must_wake_gc(Reason::CacheFull, true, true));
        assert!(!must_wake_gc(Reason::CacheFull, false, true));
        assert!(!must_wake_gc(Reason::CacheFull, true, false));
        assert!(!must_wake_gc(Reason::Mode, true, true));
    }
}
