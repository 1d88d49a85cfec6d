// SPDX-License-Identifier: GPL-2.0

//! What a curve is judged by.

use crate::world::Row;

/// A part of a run in which the load does not change.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub name: &'static str,
    pub from: f64,
    pub to: f64,
}

/// The figures of one window; shares of the target, seconds, sectors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// From when on dirty data stays within 10 % of the target, since the start of the window.
    pub settled: Option<f64>,
    /// What there should be of it at the end.
    pub target: f64,
    /// The highest amount of dirty data, and when.
    pub peak: f64,
    pub peak_at: f64,
    /// That, above the target.
    pub overshoot: f64,
    /// Mean distance from the target in the last sixth of the window.
    pub steady: f64,
    /// Seconds below the target (by more than 10 %) after it was first reached.
    pub below: f64,
    /// When nothing was dirty any more.
    pub clean: Option<f64>,
    /// Means of the last sixth.
    pub mean_dirty: f64,
    pub mean_rate: f64,
    pub mean_p: f64,
    pub mean_i: f64,
    pub mean_cleaned: f64,
    /// Mean latency of reads in the window, microseconds.
    pub latency: Option<f64>,
    pub worst: f64,
    /// Sectors written back.
    pub cleaned: f64,
}

pub fn figures(rows: &[Row], w: &Window) -> Figures {
    let rows: Vec<&Row> = rows
        .iter()
        .filter(|r| r.t >= w.from && r.t < w.to)
        .collect();
    let mut f = Figures::default();
    let Some(last) = rows.last() else { return f };
    let target = last.target.max(1.0);
    f.target = last.target;
    let off = |r: &Row| r.dirty / target - 1.0;
    let outside = rows.iter().rposition(|r| off(r).abs() > 0.1);
    f.settled = match outside {
        None => Some(0.0),
        Some(i) => rows.get(i + 1).map(|r| r.t - w.from),
    };
    for r in &rows {
        if r.dirty > f.peak {
            (f.peak, f.peak_at) = (r.dirty, r.t - w.from);
        }
        f.worst = f.worst.max(r.worst);
        f.cleaned += r.cleaned;
    }
    f.overshoot = f.peak / target - 1.0;
    let reached = rows.iter().skip_while(|r| r.dirty < target);
    f.below = reached.filter(|r| off(r) < -0.1).count() as f64;
    f.clean = rows.iter().find(|r| r.dirty == 0.0).map(|r| r.t - w.from);
    let end = &rows[rows.len() - rows.len().div_ceil(6)..];
    f.mean_dirty = mean(end.iter().map(|r| r.dirty));
    f.mean_rate = mean(end.iter().map(|r| r.rate));
    f.mean_p = mean(end.iter().map(|r| r.p));
    f.mean_i = mean(end.iter().map(|r| r.i));
    f.mean_cleaned = mean(end.iter().map(|r| r.cleaned));
    f.steady = f.mean_dirty / target - 1.0;
    let waits: Vec<f64> = rows.iter().filter_map(|r| r.latency).collect();
    f.latency = (!waits.is_empty()).then(|| mean(waits.into_iter()));
    f
}

/// The longest mean latency of reads in a second of the window, milliseconds.
pub fn worst(rows: &[Row], w: &Window) -> f64 {
    let rows = rows.iter().filter(|r| r.t >= w.from && r.t < w.to);
    rows.filter_map(|r| r.latency).fold(0.0, f64::max) / 1000.0
}

/// For how many seconds on end, from `from` on, reads took more than `most_us` in the mean of the second.
pub fn longest_above(rows: &[Row], from: f64, most_us: f64) -> f64 {
    let reads = rows.iter().filter(|r| r.t >= from);
    let (mut now, mut longest) = (0u32, 0u32);
    for latency in reads.filter_map(|r| r.latency) {
        now = if latency > most_us { now + 1 } else { 0 };
        longest = longest.max(now);
    }
    longest.into()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0u32), |(s, n), v| (s + v, n + 1));
    sum / f64::from(n.max(1))
}
