// SPDX-License-Identifier: GPL-2.0

//! Files that offer a list of words: `writethrough [writeback] writearound none`.
//!
//! C: `bch_snprint_string_list` in `sysfs.c`, `__sysfs_match_string` in `lib/string_helpers.c`.

use super::text_of;
use core::fmt;

/// The words of one file, in the order of their numbers.
#[derive(Clone, Copy, Debug)]
pub struct Choices(&'static [&'static str]);

/// `cache_mode` of a cached device.
pub const CACHE_MODES: Choices = Choices(&["writethrough", "writeback", "writearound", "none"]);

/// `readahead_cache_policy` of a cached device.
pub const READAHEAD_POLICIES: Choices = Choices(&["all", "meta-only"]);

/// `stop_when_cache_set_failed` of a cached device.
pub const STOP_MODES: Choices = Choices(&["auto", "always"]);

/// `writeback_controller` of a cached device; see [`crate::writeback::control::Law`].
pub const CONTROLLERS: Choices = Choices(&["pi", "adaptive", "latency"]);

/// `cache_replacement_policy` of a cache device.
pub const REPLACEMENT_POLICIES: Choices = Choices(&["lru", "fifo", "random"]);

/// `errors` of a cache set.
pub const ERROR_ACTIONS: Choices = Choices(&["unregister", "panic"]);

/// `state` of a cached device by its superblock state (only read, printed as a bare word).
pub const BDEV_STATES: Choices = Choices(&["no cache", "clean", "dirty", "inconsistent"]);

impl Choices {
    /// All words with the current one in brackets, without a newline. A number outside the list
    /// marks none.
    pub const fn show(&self, current: usize) -> Shown {
        Shown {
            words: self.0,
            current,
        }
    }

    /// The number of the word that a user wrote: exact, case sensitive, with or without one newline
    /// at the end.
    pub fn find(&self, buf: &[u8]) -> Option<usize> {
        let text = text_of(buf);
        let word = text.strip_suffix(b"\n").unwrap_or(text);
        self.0.iter().position(|w| w.as_bytes() == word)
    }

    /// The word with this number.
    pub fn name(&self, index: usize) -> Option<&'static str> {
        self.0.get(index).copied()
    }
}

/// A list of words with one of them marked; see [`Choices::show`].
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    words: &'static [&'static str],
    current: usize,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blank = "";
        for (i, word) in self.words.iter().enumerate() {
            if i == self.current {
                write!(f, "{blank}[{word}]")?;
            } else {
                write!(f, "{blank}{word}")?;
            }
            blank = " ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn shows() {
        let shown = |i| CACHE_MODES.show(i).to_string();
        assert_eq!(shown(1), "writethrough [writeback] writearound none");
        assert_eq!(shown(3), "writethrough writeback writearound [none]");
        assert_eq!(shown(9), "writethrough writeback writearound none");
        assert_eq!(BDEV_STATES.name(3), Some("inconsistent"));
        assert_eq!(BDEV_STATES.name(4), None);
    }

    #[test]
    fn finds() {
        assert_eq!(CACHE_MODES.find(b"none"), Some(3));
        assert_eq!(CACHE_MODES.find(b"writeback\n"), Some(1));
        for bad in [
            &b""[..],
            b"\n",
            b"Writeback",
            b"[none]",
            b"none\n\n",
            b"none ",
            b"non",
        ] {
            assert_eq!(CACHE_MODES.find(bad), None, "{bad:?}");
        }
    }
}
