// SPDX-License-Identifier: GPL-2.0

//! What the best constant rate would do: the measure of a law that is to be as fast as requests can bear.

use crate::{
    cases::Case,
    figures::{figures, Figures, Window},
    world::{Kind, World},
};

/// Sectors per second that are tried, each a twentieth above the one before.
const SLOWEST: f64 = 64.0;
const FASTEST: f64 = 65536.0;

/// Of all constant rates under which reads take no longer than `target_us` in the mean of the window, the one that writes
/// most back in it: the rate, sectors per second, and its figures. Who knew load and disk beforehand would choose it.
pub fn best(case: &Case, w: &Window, target_us: f64) -> (f64, Figures) {
    let rates = std::iter::successors(Some(SLOWEST), |r| Some(r * 1.05));
    rates
        .take_while(|r| *r <= FASTEST)
        .map(|rate| {
            let kind = Kind::Constant(rate as u32);
            let all = World::new(kind, &case.settings, &case.devices).run(w.to as u64);
            (rate, figures(&all[case.shown], w))
        })
        .filter(|(_, f)| f.latency.is_some_and(|us| us <= target_us))
        .max_by(|a, b| a.1.cleaned.total_cmp(&b.1.cleaned))
        .expect("a rate that requests can bear")
}
