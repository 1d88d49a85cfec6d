// SPDX-License-Identifier: GPL-2.0

//! What users do: writes that the cache takes, and reads that only the backing device can answer.

use crate::{Ns, Sectors, SECOND};
use model::Rng;

/// Speed of a flow at a time: seconds to bytes per second.
pub type Trace = fn(f64) -> f64;

/// Nobody does anything.
pub fn none(_: f64) -> f64 {
    0.0
}

/// The users of one device.
#[derive(Clone)]
pub struct Spec {
    /// Writes, bytes per second.
    pub writes: Trace,
    /// Sectors that are written to, from the start of the device.
    pub region: Sectors,
    /// Sectors of each write.
    pub size: Sectors,
    /// Reads that miss the cache, requests per second.
    pub reads: Trace,
    /// Requests that are in flight at most; a reader waits for its data.
    pub readers: usize,
}

/// Users at work.
pub struct Load {
    pub spec: Spec,
    owed_bytes: f64,
    owed_reads: f64,
    index: u64,
    rng: Rng,
    /// When the reads in flight began and will be done.
    pending: Vec<(Ns, Ns)>,
}

impl Load {
    pub fn new(spec: Spec, seed: u64) -> Self {
        Self {
            spec,
            owed_bytes: 0.0,
            owed_reads: 0.0,
            index: 0,
            rng: Rng::new(seed),
            pending: Vec::new(),
        }
    }

    /// Blocks of the region that are written in the time `now..now + step`: each one once in a pass, as fio does.
    pub fn writes(&mut self, now: Ns, step: Ns, mut write: impl FnMut(u64)) {
        self.owed_bytes += (self.spec.writes)(seconds(now)) * seconds(step);
        let bytes = (self.spec.size * 512) as f64;
        let blocks = self.spec.region / self.spec.size;
        while self.owed_bytes >= bytes {
            self.owed_bytes -= bytes;
            write(shuffled(self.index, blocks));
            self.index += 1;
        }
    }

    /// Reads that begin in that time. `read` sends one to a sector, and gives when it will be done; `over` gets the
    /// time that each one took that is done by now. True if one began.
    pub fn reads(
        &mut self,
        (now, step): (Ns, Ns),
        device: Sectors,
        mut read: impl FnMut(Sectors) -> Ns,
        mut over: impl FnMut(Ns),
    ) -> bool {
        self.pending.retain(|&(begin, done)| {
            if done <= now {
                over(done - begin);
            }
            done > now
        });
        self.owed_reads += (self.spec.reads)(seconds(now)) * seconds(step);
        let mut any = false;
        while self.owed_reads >= 1.0 {
            self.owed_reads -= 1.0;
            // Who waits for all its requests sends no more.
            if self.pending.len() < self.spec.readers {
                let sector = self.rng.below(device / 8) * 8;
                self.pending.push((now, read(sector)));
                any = true;
            }
        }
        any
    }
}

pub fn seconds(t: Ns) -> f64 {
    t as f64 / SECOND as f64
}

/// A number below `n`: each one once while `index` goes through `n` numbers, in an order that looks random and is
/// another one in each pass.
fn shuffled(index: u64, n: u64) -> u64 {
    let (pass, at) = (index / n, index % n);
    let bits = 64 - (n - 1).max(1).leading_zeros();
    let bits = bits + bits % 2;
    let half = bits / 2;
    let mask = (1u64 << half) - 1;
    let mut v = at;
    // A Feistel network permutes 2^bits numbers; those not below n are sent through again.
    loop {
        let (mut left, mut right) = (v >> half, v & mask);
        for round in 0..4u64 {
            let mixed = (right ^ round ^ (pass << 8)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (left, right) = (right, left ^ ((mixed >> 40) & mask));
        }
        v = (left << half) | right;
        if v < n {
            return v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_block_once_in_a_pass() {
        for n in [1, 2, 100, 40_960] {
            let mut seen = vec![0; n as usize];
            (0..2 * n).for_each(|i| seen[shuffled(i, n) as usize] += 1);
            assert!(seen.iter().all(|&s| s == 2), "{n}");
        }
    }
}
