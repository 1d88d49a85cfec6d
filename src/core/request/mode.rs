// SPDX-License-Identifier: GPL-2.0

//! Whether a write goes to the cache first. C: `should_writeback` in `writeback.h`.

pub use crate::ondisk::superblock::CacheMode;

/// What decides whether a write is written back. In use and cutoffs in percent of the buckets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WritebackInput {
    /// Mode of the device.
    pub mode: CacheMode,
    /// The device is being detached.
    pub detaching: bool,
    /// Buckets in use.
    pub in_use: u32,
    /// Module parameter `bch_cutoff_writeback`.
    pub cutoff: u32,
    /// Module parameter `bch_cutoff_writeback_sync`.
    pub cutoff_sync: u32,
    /// The request is a discard.
    pub discard: bool,
    /// The backing device dislikes writes of parts of a stripe.
    pub partial_stripes_expensive: bool,
    /// The request would bypass the cache otherwise.
    pub would_skip: bool,
    /// Somebody waits for the request: SYNC, FUA or PREFLUSH (C: `op_is_sync` of a write).
    pub sync: bool,
    /// The request is META or PRIO.
    pub meta: bool,
}

/// Whether a write goes to the cache alone and to the backing device later.
///
/// `stripe_dirty` tells whether a stripe that the request touches has dirty data; it is only asked
/// if that matters.
pub fn should_writeback(input: &WritebackInput, stripe_dirty: impl FnOnce() -> bool) -> bool {
    if input.mode != CacheMode::Writeback || input.detaching || input.in_use > input.cutoff_sync {
        return false;
    }
    if input.discard {
        return false;
    }
    if input.partial_stripes_expensive && stripe_dirty() {
        return true;
    }
    !input.would_skip && (input.sync || input.meta || input.in_use <= input.cutoff)
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::macros::kunit_tests(bcache_mode))]
mod tests {
    use super::*;

    const PLAIN: WritebackInput = WritebackInput {
        mode: CacheMode::Writeback,
        detaching: false,
        in_use: 40,
        cutoff: 40,
        cutoff_sync: 70,
        discard: false,
        partial_stripes_expensive: false,
        would_skip: false,
        sync: false,
        meta: false,
    };

    fn decide(change: impl FnOnce(&mut WritebackInput)) -> bool {
        let mut input = PLAIN;
        change(&mut input);
        should_writeback(&input, || unreachable!())
    }

    #[test]
    fn table() {
        assert!(decide(|_| ()));
        assert!(!decide(|i| i.mode = CacheMode::Writethrough));
        assert!(!decide(|i| i.detaching = true));
        assert!(!decide(|i| i.in_use = 41));
        assert!(decide(|i| (i.in_use, i.sync) = (70, true)));
        assert!(decide(|i| (i.in_use, i.meta) = (70, true)));
        assert!(!decide(|i| (i.in_use, i.sync) = (71, true)));
        assert!(!decide(|i| i.discard = true));
        assert!(!decide(|i| (i.would_skip, i.sync) = (true, true)));
    }

    #[test]
    fn stripes() {
        let raid = WritebackInput {
            partial_stripes_expensive: true,
            would_skip: true,
            in_use: 70,
            ..PLAIN
        };
        assert!(should_writeback(&raid, || true));
        assert!(!should_writeback(&raid, || false));
        assert!(!should_writeback(
            &WritebackInput {
                discard: true,
                ..raid
            },
            || true
        ));
    }
}
