// SPDX-License-Identifier: GPL-2.0

//! The last steps of a controller, to be read by programs.
//!
//! C: none; `writeback_rate_debug` shows the last one.

use super::control::{
    Law,
    Step, //
};
use crate::num::usize_from_u64_sat;
use core::fmt;

/// How many steps are kept: some minutes of them.
pub const KEPT: u64 = 64;

/// The names of the values of a line: the number of the step, and what a [`Record`] prints, in this order.
pub const HEADER: &str =
    "step,ms,law,dirty,target,error,proportional,integral,rate,change,inflow,latency_us,reason\n";

/// One step.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Record {
    /// The local clock, milliseconds.
    pub ms: u64,
    /// The law that was in force.
    pub law: Law,
    /// What came of it.
    pub step: Step,
}

impl fmt::Display for Record {
    /// One line with its newline. Sectors of 512 bytes, sectors per second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, out) = (&self.step, &self.step.out);
        write!(f, "{},{},", self.ms, self.law.name())?;
        write!(f, "{},{},{},", out.dirty, out.target, out.error)?;
        write!(f, "{},{},", out.proportional, out.integral_scaled)?;
        write!(f, "{},{},", out.rate, out.change)?;
        writeln!(f, "{},{},{}", s.inflow, s.latency_us, s.reason.name())
    }
}

/// The last [`KEPT`] steps.
#[derive(Clone, Debug)]
pub struct Records {
    ring: [Record; 64],
    count: u64,
}

impl Records {
    /// None yet.
    pub const fn new() -> Self {
        const NONE: Record = Record {
            ms: 0,
            law: Law::Pi,
            step: Step::NONE,
        };
        Self {
            ring: [NONE; 64],
            count: 0,
        }
    }

    /// Adds one, in the place of the oldest.
    pub fn push(&mut self, record: Record) {
        if let Some(place) = self.ring.get_mut(Self::place(self.count)) {
            *place = record;
            self.count = self.count.wrapping_add(1);
        }
    }

    /// How many steps there have been.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Step number `n`, if it is still there.
    pub fn get(&self, n: u64) -> Option<&Record> {
        let age = self.count.checked_sub(n)?;
        if age == 0 || age > KEPT {
            return None;
        }
        self.ring.get(Self::place(n))
    }

    /// The last step.
    pub fn last(&self) -> Option<&Record> {
        self.get(self.count.checked_sub(1)?)
    }

    fn place(n: u64) -> usize {
        usize_from_u64_sat(n % KEPT)
    }
}

impl Default for Records {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writeback::{control::Reason, pi::PiOutput};

    #[test]
    fn keeps_the_last() {
        let mut records = Records::new();
        assert_eq!(records.last(), None);
        for ms in 0..100 {
            records.push(Record {
                ms,
                ..Record::default()
            });
        }
        assert_eq!(records.count(), 100);
        assert_eq!((records.get(35), records.get(100)), (None, None));
        assert_eq!(records.get(36).map(|r| r.ms), Some(36));
        assert_eq!(records.last().map(|r| r.ms), Some(99));
    }

    #[test]
    fn prints_what_the_header_says() {
        let record = Record {
            ms: 1,
            law: Law::Adaptive,
            step: Step {
                out: PiOutput {
                    dirty: 2,
                    target: 3,
                    error: -4,
                    proportional: 5,
                    integral_scaled: 6,
                    rate: 7,
                    change: 8,
                },
                inflow: 9,
                latency_us: 10,
                reason: Reason::Drain,
            },
        };
        let text = std::format!("0,{record}");
        assert_eq!(text, "0,1,adaptive,2,3,-4,5,6,7,8,9,10,drain\n");
        let names = "step,ms,law,dirty,target,error,proportional,integral,rate,change,inflow,latency_us,reason\n";
        assert_eq!(HEADER, names);
    }
}
