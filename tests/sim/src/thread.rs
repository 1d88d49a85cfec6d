// SPDX-License-Identifier: GPL-2.0

//! The dirty blocks of a device and the writeback thread: scan, passes, limiter, flush.
//!
//! As `src/writeback/thread.rs` and `io.rs` of the driver, in steps of a jiffy; the limiter is the shipping one.

use crate::{disk::Disk, timer, Ns, Sectors, HZ};
use bcache_core::writeback::{rate::RateLimiter, window::Window};
use std::collections::VecDeque;

/// Keys that a scan finds at most.
const KEYBUF: usize = 500;
/// Keys in flight in C.
const IN_FLIGHT: usize = 64;
/// Keys of a pass, and the sectors after which no further one joins.
const PASS: (usize, Sectors) = (5, 5000);
/// Written keys, or the time, after which the device is flushed.
const SETTLE: (usize, Ns) = (128, 1_000_000_000);
/// Reading a key from the cache.
const CACHE_READ: Ns = 200_000;

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Block {
    #[default]
    Clean,
    Dirty,
    /// On its way to the backing device.
    Busy,
    /// Written to again on its way: stays dirty.
    Again,
}

/// What the thread does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Scan,
    Pass,
    Delay { until: Ns },
    Flush,
    Pause { since: Ns },
}

/// The dirty data of a device and its thread.
pub struct Thread {
    blocks: Vec<Block>,
    size: Sectors,
    dirty: Sectors,
    cleaned: u64,
    state: State,
    pub limiter: RateLimiter,
    last: usize,
    all: bool,
    keys: VecDeque<usize>,
    in_flight: VecDeque<(Ns, usize)>,
    written: Vec<usize>,
    settled: Ns,
    /// Our thread: C's cleans keys without a flush, waits for all keys before the next scan, and has the same number
    /// in flight on any disk.
    ours: bool,
    window: Window,
    ended: u32,
}

impl Thread {
    pub fn new(blocks: u64, size: Sectors, ours: bool) -> Self {
        Self {
            blocks: vec![Block::Clean; blocks as usize],
            size,
            dirty: 0,
            cleaned: 0,
            state: State::Scan,
            limiter: RateLimiter::new(),
            last: 0,
            all: false,
            keys: VecDeque::new(),
            in_flight: VecDeque::new(),
            written: Vec::new(),
            settled: 0,
            ours,
            window: Window::new(),
            ended: 0,
        }
    }

    pub fn dirty(&self) -> i64 {
        self.dirty as i64
    }

    /// Sectors made clean so far.
    pub fn cleaned(&self) -> u64 {
        self.cleaned
    }

    /// A user writes a block.
    pub fn write(&mut self, block: u64) {
        let block = &mut self.blocks[block as usize];
        *block = match *block {
            Block::Clean => {
                self.dirty += self.size;
                Block::Dirty
            }
            Block::Busy => Block::Again,
            other => other,
        };
    }

    /// Works until `now`. `rate` in sectors per second; `paused`: whether to wait still, that long after a whole scan.
    pub fn run(&mut self, now: Ns, rate: u32, disk: &mut Disk, paused: impl Fn(Ns) -> bool) {
        while self.in_flight.front().is_some_and(|f| f.0 <= now) {
            let (_, block) = self.in_flight.pop_front().unwrap();
            self.ended = self.ended.wrapping_add(1);
            if self.ours {
                self.written.push(block);
            } else {
                self.clean(block);
            }
        }
        loop {
            let next = match self.state {
                State::Scan if self.dirty == 0 => return,
                State::Scan => self.scan(now),
                State::Pass => self.pass(now, rate, disk),
                State::Delay { until } if now < until => return,
                State::Delay { .. } => self.limit(now, rate, 0),
                State::Flush => self.flush(now),
                State::Pause { since } if paused(now - since) => return,
                State::Pause { .. } => {
                    self.limiter.reset(now);
                    State::Scan
                }
            };
            if next == self.state {
                return;
            }
            self.state = next;
        }
    }

    fn scan(&mut self, now: Ns) -> State {
        let start = self.last;
        self.last = self.refill(start, self.blocks.len());
        self.all = false;
        if self.last == self.blocks.len() {
            self.last = self.refill(0, start);
            self.all = self.last >= start;
        }
        let busy = self.in_flight.len() + self.written.len();
        if self.keys.is_empty() && busy == 0 {
            return State::Pause { since: now };
        }
        State::Pass
    }

    /// Takes dirty blocks of a range; gives how far it got.
    fn refill(&mut self, from: usize, to: usize) -> usize {
        for at in from..to {
            if self.blocks[at] == Block::Dirty {
                if self.keys.len() == KEYBUF {
                    return at;
                }
                self.keys.push_back(at);
            }
        }
        to
    }

    fn pass(&mut self, now: Ns, rate: u32, disk: &mut Disk) -> State {
        let width = if self.ours {
            self.window.width() as usize
        } else {
            IN_FLIGHT
        };
        if self.in_flight.len() + PASS.0 > width {
            self.window.full(now, self.ended);
            return State::Pass;
        }
        let (mut sectors, mut after) = (0, None);
        for _ in 0..PASS.0 {
            let Some(&key) = self.keys.front() else { break };
            if sectors >= PASS.1 || after.is_some_and(|a| a != key) {
                break;
            }
            self.keys.pop_front();
            after = Some(key + 1);
            self.blocks[key] = Block::Busy;
            let done = disk.submit(now + CACHE_READ, key as u64 * self.size, self.size);
            let place = self.in_flight.partition_point(|f| f.0 <= done);
            self.in_flight.insert(place, (done, key));
            sectors += self.size;
        }
        if after.is_none() {
            return State::Flush;
        }
        self.limit(now, rate, sectors)
    }

    fn limit(&mut self, now: Ns, rate: u32, sectors: Sectors) -> State {
        if self.written.len() >= SETTLE.0 || now - self.settled >= SETTLE.1 {
            self.settle(now);
        }
        match self.limiter.next_delay(now, rate, sectors, HZ) {
            0 if self.state == State::Pass => State::Delay { until: now },
            0 => State::Pass,
            jiffies => {
                self.window.interrupted();
                State::Delay {
                    until: timer::fires(now, jiffies.into()),
                }
            }
        }
    }

    /// All keys were sent: waits for them, before a pause at least.
    fn flush(&mut self, now: Ns) -> State {
        if self.ours && !self.all {
            return State::Scan;
        }
        if !self.in_flight.is_empty() {
            return State::Flush;
        }
        self.settle(now);
        if self.all {
            State::Pause { since: now }
        } else {
            State::Scan
        }
    }

    fn settle(&mut self, now: Ns) {
        self.settled = now;
        for block in std::mem::take(&mut self.written) {
            self.clean(block);
        }
    }

    fn clean(&mut self, block: usize) {
        let block = &mut self.blocks[block];
        if *block == Block::Again {
            *block = Block::Dirty;
        } else {
            *block = Block::Clean;
            self.dirty -= self.size;
            self.cleaned += self.size;
        }
    }
}
