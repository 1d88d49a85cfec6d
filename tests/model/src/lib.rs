// SPDX-License-Identifier: GPL-2.0

//! Model and property tests of `bcache_core`; see `tests/`.
//!
//! * `controller.rs`, `limiter.rs`: against independent models in the integer widths of C;
//! * `controller_laws.rs`: the controller over its whole input space, against exact arithmetic;
//! * `loom`: the shared-memory protocols over all interleavings (with up to 3 preemptions), and mutants
//!   of them that must be found;
//! * `states`: the life of a device over all states, C's and ours;
//! * `leaf_sets.rs`: what is appended to a leaf, against what the C driver makes of it;
//! * `props.rs`: against plain models, and that no input makes anything panic.

pub mod c_rate;
pub mod chunks;

/// Random numbers for reproducible tests (xorshift64*).
pub struct Rng(u64);

impl Rng {
    /// A generator with this seed, not 0.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// A number of `0..=max` near the edges: of the range, of the widths of integers, or of any
    /// magnitude.
    pub fn edgy(&mut self, max: u64) -> u64 {
        let near = self.below(4);
        let v = match self.below(6) {
            0 => near,
            1 => max.wrapping_sub(near),
            2 => (1u64 << self.below(64)).wrapping_sub(2).wrapping_add(near),
            3 => [100, 1 << 14, 1 << 31, 1 << 32, 1_000_000_000][self.below(5) as usize] + near - 2,
            _ => self.next() >> self.below(64),
        };
        if v > max {
            v % max.wrapping_add(1).max(1)
        } else {
            v
        }
    }
}

/// What went wrong in any interleaving of a loom test.
///
/// A panic in the middle of an interleaving would abort the test, so the tests note what they see
/// here and look at it when all interleavings are through. Not one of loom's types: it keeps its
/// value from one interleaving to the next.
#[derive(Clone, Default)]
pub struct Seen(std::sync::Arc<std::sync::Mutex<std::collections::BTreeSet<&'static str>>>);

impl Seen {
    /// Notes `what` unless `ok`.
    pub fn expect(&self, ok: bool, what: &'static str) {
        if !ok {
            self.0.lock().unwrap().insert(what);
        }
    }

    /// All that was noted.
    pub fn all(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().iter().copied().collect()
    }
}
