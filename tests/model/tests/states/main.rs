// SPDX-License-Identifier: GPL-2.0

//! The life of a cached device over all states: attach, detach and attach again, with the worker,
//! stores to `writeback_percent` and errors of the set at any moment. No bound on preemptions.
//!
//! [`c_driver`] is the protocol of the C driver, [`ours`] the one that ships: what changes the state of the rate work is the
//! table of `ratework.rs`, the shipping source; in which order a stop and the others call it is written down again here
//! (`loom` runs that source, too).

mod c_driver;
mod ours;

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A system of processes.
pub trait System: Clone + Eq + Hash {
    /// Adds the states that one step of any process can lead to, with what the step does.
    ///
    /// # Errors
    ///
    /// What a step finds broken.
    fn next(&self, add: &mut impl FnMut(&'static str, Self)) -> Result<(), &'static str>;

    /// Whether all processes may stay where they are for ever.
    fn may_end(&self) -> bool;
}

/// What a search found.
pub struct Found {
    /// States looked at.
    pub states: usize,
    /// The first thing that is wrong, if any.
    pub wrong: Option<&'static str>,
    /// The steps that lead there.
    pub steps: Vec<&'static str>,
}

/// Looks at all states that can be reached, the nearest first, up to one where something is wrong.
pub fn search<S: System>(start: S) -> Found {
    // Where each state came from: the state before, by its number, and the step.
    let mut known = HashMap::from([(start.clone(), 0)]);
    let mut from = vec![(0, "start")];
    let mut queue = VecDeque::from([(start, 0)]);
    while let Some((state, nr)) = queue.pop_front() {
        let mut successors = 0;
        let broken = state.next(&mut |step, next| {
            successors += 1;
            if !known.contains_key(&next) {
                known.insert(next.clone(), from.len());
                queue.push_back((next, from.len()));
                from.push((nr, step));
            }
        });
        let stuck = successors == 0 && !state.may_end();
        if let Some(wrong) = broken.err().or(stuck.then_some("hangs")) {
            let (mut at, mut steps) = (nr, Vec::new());
            while at != 0 {
                steps.push(from[at].1);
                at = from[at].0;
            }
            steps.reverse();
            return Found {
                states: from.len(),
                wrong: Some(wrong),
                steps,
            };
        }
    }
    Found {
        states: from.len(),
        wrong: None,
        steps: Vec::new(),
    }
}

/// Prints a search for the log of the test.
pub fn report(name: &str, found: &Found) {
    println!(
        "{name}: {} states, {}",
        found.states,
        found.wrong.unwrap_or("clean")
    );
    for step in &found.steps {
        println!("    {step}");
    }
}
