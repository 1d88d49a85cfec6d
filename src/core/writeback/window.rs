// SPDX-License-Identifier: GPL-2.0

//! How many keys background writeback has in flight.
//!
//! C: always 64 (`in_flight` in `writeback.c`). That is plenty for one disk, which gets no faster by more, while who
//! reads from it waits behind all of them. An array, or a disk at the end of a network, takes more at the same time.
//!
//! So the width is found out: it doubles for as long as that makes writeback faster by an eighth, and is halved from time
//! to time for as long as that costs next to nothing. Only time in which the width is what writeback waits for counts.

use crate::arith::clock_diff;

/// The least width, C's.
pub const MIN: u32 = 64;
/// The greatest width.
pub const MAX: u32 = 512;

/// A speed is measured over so many times the width.
const EPOCH: u32 = 4;
/// Nanoseconds for which a width stays that was just found.
const HOLD_NS: u64 = 10_000_000_000;

/// What the next measured speed is compared with, in keys per 1000 seconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// With nothing: the next width to try is twice this one.
    First,
    /// Twice the width was tried; the speed before.
    Wider(u64),
    /// Half of the width was tried; the speed before.
    Narrower(u64),
    /// With nothing until then.
    Hold(u64),
}

/// The width and what it rests on. Used by the writeback thread alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    width: u32,
    phase: Phase,
    /// When the current measurement began, and the count of keys then.
    begin: Option<(u64, u32)>,
    /// Keys that were sent with another width: they end before a measurement begins.
    settle: u32,
}

impl Default for Window {
    fn default() -> Self {
        Self::new()
    }
}

impl Window {
    /// As wide as C's.
    pub const fn new() -> Self {
        Self {
            width: MIN,
            phase: Phase::First,
            begin: None,
            settle: 0,
        }
    }

    /// Keys that may be in flight.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Something else than the width held writeback up: what was measured counts for nothing.
    pub fn interrupted(&mut self) {
        self.begin = None;
        self.settle = 0;
    }

    /// The width holds writeback up. `ended` counts the keys that came to an end, and may wrap.
    pub fn full(&mut self, now_ns: u64, ended: u32) {
        let Some((begin, before)) = self.begin else {
            self.begin = Some((now_ns, ended));
            return;
        };
        let keys = ended.wrapping_sub(before);
        if self.settle != 0 {
            if keys >= self.settle {
                self.settle = 0;
                self.begin = Some((now_ns, ended));
            }
            return;
        }
        let took = u64::try_from(clock_diff(now_ns, begin)).unwrap_or(0);
        if keys < self.width.saturating_mul(EPOCH) || took == 0 {
            return;
        }
        // Below 2^32 times 10^12 saturates only after years' worth of keys.
        let speed = u64::from(keys)
            .saturating_mul(1_000_000_000_000)
            .checked_div(took)
            .unwrap_or(0);
        self.begin = Some((now_ns, ended));
        self.measured(now_ns, speed);
    }

    fn measured(&mut self, now_ns: u64, speed: u64) {
        let more = |than: u64| speed.saturating_sub(than) >= than / 8;
        let as_much = |as_was: u64| speed >= as_was.saturating_sub(as_was / 16);
        match self.phase {
            Phase::First => self.widen(now_ns, speed),
            Phase::Wider(before) if more(before) => self.widen(now_ns, speed),
            Phase::Narrower(before) if as_much(before) => self.narrow(now_ns, speed),
            Phase::Wider(_) => {
                self.set(self.width / 2);
                self.hold(now_ns);
            }
            Phase::Narrower(_) => {
                self.set(self.width.saturating_mul(2));
                self.hold(now_ns);
            }
            Phase::Hold(until) if clock_diff(now_ns, until) < 0 => {}
            Phase::Hold(_) if self.width == MIN => self.widen(now_ns, speed),
            Phase::Hold(_) => self.narrow(now_ns, speed),
        }
    }

    fn set(&mut self, width: u32) {
        self.settle = self.width.max(width);
        self.width = width.clamp(MIN, MAX);
    }

    fn hold(&mut self, now_ns: u64) {
        self.phase = Phase::Hold(now_ns.wrapping_add(HOLD_NS));
    }

    /// Tries twice the width, if there is more.
    fn widen(&mut self, now_ns: u64, speed: u64) {
        if self.width >= MAX {
            return self.hold(now_ns);
        }
        self.set(self.width.saturating_mul(2));
        self.phase = Phase::Wider(speed);
    }

    /// Tries half of the width, if there is less.
    fn narrow(&mut self, now_ns: u64, speed: u64) {
        if self.width <= MIN {
            return self.hold(now_ns);
        }
        self.set(self.width / 2);
        self.phase = Phase::Narrower(speed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs on a device of some requests at a time, each of which takes a time; gives the widths by the end of each
    /// of so many seconds.
    fn run(window: &mut Window, parallel: u64, each_ns: u64, from_s: u64, seconds: u64) {
        let (mut now, mut ended) = (from_s * 1_000_000_000, 0u32);
        let end = now + seconds * 1_000_000_000;
        while now < end {
            // As many as are in flight end in the time that they take one after the other, `parallel` at a time.
            let rounds = u64::from(window.width()).div_ceil(parallel).max(1);
            now += each_ns * rounds;
            ended = ended.wrapping_add(window.width());
            window.full(now, ended);
        }
    }

    #[test]
    fn one_disk_stays_narrow() {
        let mut window = Window::new();
        for at in 0..20 {
            run(&mut window, 1, 5_000_000, at * 30, 30);
            assert!(window.width() <= 2 * MIN, "{window:?}");
        }
        // Most of the time it is not being tried.
        let mut narrow = 0;
        for at in 20..220 {
            run(&mut window, 1, 5_000_000, at * 30, 1);
            narrow += u32::from(window.width() == MIN);
        }
        assert!(narrow > 60, "{narrow}");
    }

    #[test]
    fn a_deep_device_gets_all() {
        let mut window = Window::new();
        run(&mut window, 10_000, 10_000_000, 0, 2);
        assert_eq!(window.width(), MAX);
        // It stays, but for short trials.
        run(&mut window, 10_000, 10_000_000, 2, 60);
        assert!(window.width() >= MAX / 2);
        // The device has become a single disk.
        run(&mut window, 1, 1_000_000, 62, 300);
        assert!(window.width() <= 2 * MIN, "{window:?}");
    }

    #[test]
    fn what_does_not_wait_is_not_measured() {
        let mut window = Window::new();
        for n in 0..10_000u32 {
            window.full(u64::from(n) * 1000, n);
            window.interrupted();
        }
        assert_eq!(window, Window::new());
    }

    #[test]
    fn any_input() {
        let mut window = Window::new();
        for (now, ended) in [
            (u64::MAX, u32::MAX),
            (0, 0),
            (1 << 63, 1 << 31),
            (u64::MAX / 2, 5),
            (3, u32::MAX - 1),
        ]
        .into_iter()
        .cycle()
        .take(1000)
        {
            window.full(now, ended);
            assert!((MIN..=MAX).contains(&window.width()));
        }
    }
}
