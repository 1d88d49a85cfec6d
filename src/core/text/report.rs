// SPDX-License-Identifier: GPL-2.0

//! Files of several lines. C: `writeback_rate_debug` and `bch_bset_print_stats` in `sysfs.c`.

use super::HPrint;
use crate::writeback::ratework::{
    Phase,
    RateState, //
};
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

/// What the debugfs file `rate_work` shows; one `name: value` a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateWorkReport {
    /// State of the work.
    pub state: RateState,
    /// Seconds between two runs.
    pub period_s: u32,
    /// How often the body began.
    pub runs: u64,
    /// Milliseconds since it began last, if ever.
    pub last_run_ms: Option<u64>,
    /// Requests that use the cache.
    pub requests: u64,
    /// What the end of the device or of its attachment waits for.
    pub waits_for: &'static str,
}

impl fmt::Display for RateWorkReport {
    /// The whole file, with its last newline. The flags have the names and the meaning of C.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = match self.state.phase() {
            Phase::Idle => "idle",
            Phase::Armed => "armed",
            Phase::Stopping => "stopping",
            Phase::Stopped => "stopped",
        };
        let wb_running = u8::from(self.state.phase() == Phase::Armed);
        writeln!(f, "phase: {phase}")?;
        writeln!(f, "wb_running: {wb_running}")?;
        writeln!(f, "rate_dw_running: {}", u8::from(self.state.in_body()))?;
        writeln!(f, "period_s: {}", self.period_s)?;
        writeln!(f, "runs: {}", self.runs)?;
        match self.last_run_ms {
            Some(ms) => writeln!(f, "last_run_ms_ago: {ms}")?,
            None => writeln!(f, "last_run_ms_ago: never")?,
        }
        writeln!(f, "requests: {}", self.requests)?;
        writeln!(f, "waits_for: {}", self.waits_for)
    }
}

/// What the debugfs file `teardown` of a set shows; one `name: value` a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TeardownReport {
    /// The set is being taken apart (C: `CACHE_SET_STOPPING`).
    pub stopping: bool,
    /// Its devices are detached first (C: `CACHE_SET_UNREGISTERING`).
    pub unregistering: bool,
    /// It has failed (C: `CACHE_SET_IO_DISABLE`).
    pub io_disable: bool,
    /// What its end waits for.
    pub waits_for: &'static str,
}

impl fmt::Display for TeardownReport {
    /// The whole file, with its last newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "stopping: {}", u8::from(self.stopping))?;
        writeln!(f, "unregistering: {}", u8::from(self.unregistering))?;
        writeln!(f, "io_disable: {}", u8::from(self.io_disable))?;
        writeln!(f, "waits_for: {}", self.waits_for)
    }
}

/// What the debugfs file `teardown` of a backing device shows; one `name: value` a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceReport {
    /// It has been stopped, and is taken apart once nobody has its disk open.
    pub stopping: bool,
    /// It leaves its set (C: `BCACHE_DEV_DETACHING`).
    pub detaching: bool,
    /// It takes no more requests.
    pub io_disable: bool,
    /// How many times its disk is open.
    pub openers: u32,
    /// Requests to it that use no cache.
    pub requests: u64,
    /// What its end, or that of its attachment, waits for.
    pub waits_for: &'static str,
}

impl fmt::Display for DeviceReport {
    /// The whole file, with its last newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "stopping: {}", u8::from(self.stopping))?;
        writeln!(f, "detaching: {}", u8::from(self.detaching))?;
        writeln!(f, "io_disable: {}", u8::from(self.io_disable))?;
        writeln!(f, "openers: {}", self.openers)?;
        writeln!(f, "requests: {}", self.requests)?;
        writeln!(f, "waits_for: {}", self.waits_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device() {
        let report = DeviceReport {
            stopping: false,
            detaching: true,
            io_disable: false,
            openers: 2,
            requests: 3,
            waits_for: "the journal",
        };
        let text = "stopping: 0\ndetaching: 1\nio_disable: 0\nopeners: 2\nrequests: 3\nwaits_for: the journal\n";
        assert_eq!(report.to_string(), text);
    }

    #[test]
    fn teardown() {
        let report = TeardownReport {
            stopping: true,
            unregistering: false,
            io_disable: false,
            waits_for: "gc",
        };
        let text = "stopping: 1\nunregistering: 0\nio_disable: 0\nwaits_for: gc\n";
        assert_eq!(report.to_string(), text);
    }

    #[test]
    fn rate_work() {
        let mut state = RateState::default();
        state.arm();
        state.begin();
        let mut report = RateWorkReport {
            state,
            period_s: 5,
            runs: 0,
            last_run_ms: None,
            requests: 2,
            waits_for: "nothing",
        };
        let text = "phase: armed\nwb_running: 1\nrate_dw_running: 1\nperiod_s: 5\nruns: 0\n\
                    last_run_ms_ago: never\nrequests: 2\nwaits_for: nothing\n";
        assert_eq!(report.to_string(), text);
        report.state.close();
        report.last_run_ms = Some(7);
        let text = report.to_string();
        assert!(text.starts_with("phase: stopping\nwb_running: 0\nrate_dw_running: 1\n"));
        assert!(text.contains("\nlast_run_ms_ago: 7\n"));
    }
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
