// SPDX-License-Identifier: GPL-2.0

//! Files of several lines. C: `writeback_rate_debug` and `bch_bset_print_stats` in `sysfs.c`.

use super::HPrint;
use core::fmt;

/// What `writeback_rate_debug` shows. All amounts in 512-byte sectors (per second).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RateDebug {
    /// Whether background writeback is on; off blanks everything but `dirty` and `target`.
    pub running: bool,
    /// The rate.
    pub rate: i64,
    /// Dirty sectors of the device.
    pub dirty: i64,
    /// How many the controller aims at.
    pub target: i64,
    /// The proportional term.
    pub proportional: i64,
    /// The scaled integral term.
    pub integral: i64,
    /// The change of the rate by the last step.
    pub change: i64,
    /// Milliseconds until the next writeback may start, negative when overdue.
    pub next_io_ms: i64,
}

impl fmt::Display for RateDebug {
    /// The whole file, with its last newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = |v: i64| if self.running { v } else { 0 };
        let size = |v: i64| HPrint::sectors(v);
        writeln!(f, "rate:\t\t{}/sec", size(live(self.rate)))?;
        writeln!(f, "dirty:\t\t{}", size(self.dirty))?;
        writeln!(f, "target:\t\t{}", size(self.target))?;
        writeln!(f, "proportional:\t{}", size(live(self.proportional)))?;
        writeln!(f, "integral:\t{}", size(live(self.integral)))?;
        writeln!(f, "change:\t\t{}/sec", size(live(self.change)))?;
        writeln!(f, "next io:\t{}ms", live(self.next_io_ms))
    }
}

/// What `bset_tree_stats` shows.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct BsetStats {
    /// Nodes of the index.
    pub nodes: u64,
    /// Sets of keys on disk.
    pub sets_written: u64,
    /// Sets of keys not yet on disk.
    pub sets_unwritten: u64,
    /// Bytes of keys on disk.
    pub bytes_written: u64,
    /// Bytes of keys not yet on disk.
    pub bytes_unwritten: u64,
    /// Search-tree entries of the written sets.
    pub floats: u64,
    /// Search-tree entries that could not be packed.
    pub failed: u64,
}

impl fmt::Display for BsetStats {
    /// The whole file, with its last newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "btree nodes:\t\t{}", self.nodes)?;
        writeln!(f, "written sets:\t\t{}", self.sets_written)?;
        writeln!(f, "unwritten sets:\t\t{}", self.sets_unwritten)?;
        writeln!(f, "written key bytes:\t{}", self.bytes_written)?;
        writeln!(f, "unwritten key bytes:\t{}", self.bytes_unwritten)?;
        writeln!(f, "floats:\t\t\t{}", self.floats)?;
        writeln!(f, "failed:\t\t\t{}", self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn rate_debug_as_seen_in_c() {
        let mut d = RateDebug {
            running: true,
            rate: 1024,
            dirty: 20480,
            target: 26112,
            proportional: -146,
            integral: 0,
            change: 0,
            next_io_ms: -3707,
        };
        assert_eq!(
            d.to_string(),
            "rate:\t\t512.0k/sec\ndirty:\t\t10.0M\ntarget:\t\t12.7M\nproportional:\t-73.0k\n\
             integral:\t0.0k\nchange:\t\t0.0k/sec\nnext io:\t-3707ms\n"
        );
        d.running = false;
        assert_eq!(
            d.to_string(),
            "rate:\t\t0.0k/sec\ndirty:\t\t10.0M\ntarget:\t\t12.7M\nproportional:\t0.0k\n\
             integral:\t0.0k\nchange:\t\t0.0k/sec\nnext io:\t0ms\n"
        );
    }

    #[test]
    fn bset_stats_as_seen_in_c() {
        let s = BsetStats {
            nodes: 1,
            sets_written: 1,
            sets_unwritten: 1,
            bytes_written: 0,
            bytes_unwritten: 3960,
            floats: 4294967295,
            failed: 0,
        };
        assert_eq!(
            s.to_string(),
            "btree nodes:\t\t1\nwritten sets:\t\t1\nunwritten sets:\t\t1\nwritten key bytes:\t0\n\
             unwritten key bytes:\t3960\nfloats:\t\t\t4294967295\nfailed:\t\t\t0\n"
        );
    }
}
