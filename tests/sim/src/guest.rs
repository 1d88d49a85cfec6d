// SPDX-License-Identifier: GPL-2.0

//! Curves that were measured in a guest, and how far they are from the simulated ones.

use crate::{cases::Case, check::Report, figures::figures, world::Row, Curve, MIB};
use std::{fs, path::Path};

/// How far a figure may be off.
pub const SHARE: f64 = 0.15;

/// The curves of a case, as `tests/vm/lib_controller.sh` leaves them: `s,dirty,target,rate,proportional,integral,written,
/// cleaned,read_us`, in KiB and KiB per second.
pub fn read(case: &Case, folder: &Path) -> Vec<Curve> {
    let mut curves = Vec::new();
    for &kind in case.kinds {
        let file = folder.join(format!("{}-{}.csv", case.name, kind.name()));
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        let rows: Vec<Row> = text.lines().filter_map(row).collect();
        assert!(!rows.is_empty(), "no numbers in {}", file.display());
        curves.push(Curve {
            kind,
            measured: true,
            all: vec![rows.clone()],
            rows,
        });
    }
    assert!(
        !curves.is_empty(),
        "no curve of {} in {}",
        case.name,
        folder.display()
    );
    curves
}

fn row(line: &str) -> Option<Row> {
    let v: Vec<Option<f64>> = line.split(',').map(|v| v.parse().ok()).collect();
    let at = |i: usize| v.get(i).copied().flatten();
    Some(Row {
        t: at(0)?,
        dirty: at(1)? * 2.0,
        target: at(2)? * 2.0,
        rate: at(3)? * 2.0,
        p: at(4)? * 2.0,
        i: at(5)? * 2.0,
        written: at(6)? * 2.0,
        cleaned: at(7)? * 2.0,
        latency: at(8),
        ..Row::default()
    })
}

/// fio needs so many seconds to begin or end, and dirty data is looked at once a second.
const SECONDS: f64 = 3.0;
/// Of the target: what is nearer to each other than this is the same distance from it. Within that it counts as settled.
const POINTS: f64 = 0.1;
/// The controller has so many seconds between two steps, and so has a peak.
const STEPS: f64 = 10.0;

/// The figures of each window. Latencies are not compared: `null_blk` keeps requests for the rest of its tick of 20 ms,
/// the model does not. What a law promises of them is checked of both.
pub fn compare(case: &Case, simulated: &[Curve], measured: &[Curve], r: &mut Report) {
    if case.shows_latency {
        return;
    }
    for m in measured {
        let s = simulated
            .iter()
            .find(|s| s.kind == m.kind)
            .expect("the same laws");
        for w in &case.windows {
            let (f, g) = (figures(&s.rows, w), figures(&m.rows, w));
            let mut near_or = |what: &str, got: f64, wanted: f64, least: f64| {
                let what = format!("{}, {}: {what}", m.kind.name(), w.name);
                r.near_or(&what, got, wanted, SHARE, least);
            };
            // Never is as near to never as can be.
            let seconds = |v: Option<f64>| v.unwrap_or(w.to - w.from);
            if f.clean.is_some() || g.clean.is_some() {
                near_or(
                    "clean after, s",
                    seconds(g.clean),
                    seconds(f.clean),
                    SECONDS,
                );
                continue;
            }
            near_or(
                "settled after, s",
                seconds(g.settled),
                seconds(f.settled),
                SECONDS,
            );
            near_or("below the target, s", g.below, f.below, SECONDS);
            near_or("overshoot", g.overshoot, f.overshoot, POINTS);
            if f.overshoot > POINTS && g.overshoot > POINTS {
                near_or("time of the peak, s", g.peak_at, f.peak_at, STEPS);
            }
            near_or("steady error", g.steady, f.steady, POINTS);
            if case.compares_terms {
                // A term is judged as a part of the rate: it may be near 0.
                let part = SHARE * f.mean_rate / 2.0;
                near_or("P at the end, KiB/s", g.mean_p / 2.0, f.mean_p / 2.0, part);
                near_or("I at the end, KiB/s", g.mean_i / 2.0, f.mean_i / 2.0, part);
            }
            let mut near = |what: &str, got, wanted| near_or(what, got, wanted, 0.0);
            near("peak, MiB", g.peak / MIB, f.peak / MIB);
            near(
                "dirty at the end, MiB",
                g.mean_dirty / MIB,
                f.mean_dirty / MIB,
            );
            near(
                "rate at the end, KiB/s",
                g.mean_rate / 2.0,
                f.mean_rate / 2.0,
            );
        }
    }
}
