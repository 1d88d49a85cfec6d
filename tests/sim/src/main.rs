// SPDX-License-Identifier: GPL-2.0

//! The shipping controller of the writeback rate on simulated disks, beside C's arithmetic.
//!
//! `sim [--out FOLDER] [NAME...]` runs the cases of `cases.rs` (default: all), prints their figures, writes curves
//! (CSV) and plots (SVG), and fails if a figure is not what `cases.rs` says it has to be. `scripts/sim` calls it.
//!
//! `--guest FOLDER`: that folder holds curves that were measured in a guest under the same load, as `NAME-LAW.csv`.
//! They have to agree with the simulated ones, and are drawn beside them.

mod cases;
mod check;
mod constant;
mod disk;
mod figures;
mod guest;
mod load;
mod plot;
mod thread;
mod timer;
mod world;

use std::{fmt::Write, fs, path::PathBuf, process::ExitCode};

/// Nanoseconds.
pub type Ns = u64;
/// 512 bytes each.
pub type Sectors = u64;
pub const SECOND: Ns = 1_000_000_000;
pub const HZ: u32 = 250;
pub const JIFFY: Ns = SECOND / HZ as u64;
/// Sectors of a MiB.
pub const MIB: f64 = 2048.0;

/// One curve of a case.
pub struct Curve {
    pub kind: world::Kind,
    /// It comes from a guest.
    pub measured: bool,
    /// The device that is shown.
    pub rows: Vec<world::Row>,
    /// All devices together.
    pub all: Vec<Vec<world::Row>>,
}

/// What was asked for.
struct Wish {
    out: PathBuf,
    guest: Option<PathBuf>,
    names: Vec<String>,
}

fn main() -> ExitCode {
    let mut wish = Wish {
        out: PathBuf::from("sim"),
        guest: None,
        names: Vec::new(),
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--out" => wish.out = args.next().expect("a folder").into(),
            "--guest" => wish.guest = args.next().map(PathBuf::from),
            _ => wish.names.push(arg),
        }
    }
    fs::create_dir_all(&wish.out).expect("the folder for the results");
    let mut report = check::Report::default();
    for case in cases::all() {
        if wish.names.is_empty() || wish.names.iter().any(|n| n == case.name) {
            run(&case, &wish, &mut report);
        }
    }
    println!("1..{}", report.said);
    assert!(report.said > 0, "no case of that name");
    if report.failed != 0 {
        println!("# {} figures are not as they have to be", report.failed);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(case: &cases::Case, wish: &Wish, report: &mut check::Report) {
    println!("\n# {}: {}", case.name, case.title);
    let mut curves = curves(case);
    if let Some(folder) = &wish.guest {
        let measured = guest::read(case, folder);
        print_table(case, &curves);
        println!("# measured in a guest:");
        print_table(case, &measured);
        report.room = guest::SHARE;
        (case.check)(&measured, report);
        report.room = 0.0;
        guest::compare(case, &curves, &measured, report);
        curves.extend(measured);
    } else {
        print_table(case, &curves);
        (case.check)(&curves, report);
        for curve in &curves {
            let file = format!("{}-{}.csv", case.name, curve.kind.name());
            fs::write(wish.out.join(file), csv(&curve.rows)).expect("a file of numbers");
        }
    }
    plot::draw(case, &curves, &wish.out.join(format!("{}.svg", case.name))).expect("a plot");
}

fn curves(case: &cases::Case) -> Vec<Curve> {
    case.kinds
        .iter()
        .map(|&kind| {
            let all = world::World::new(kind, &case.settings, &case.devices).run(case.seconds);
            Curve {
                kind,
                measured: false,
                rows: all[case.shown].clone(),
                all,
            }
        })
        .collect()
}

fn print_table(case: &cases::Case, curves: &[Curve]) {
    println!(
        "# {:<18} {:<9} {:>10} {:>8} {:>10} {:>8} {:>9} {:>7} {:>8} {:>10} {:>10} {:>10} {:>10} {:>9}",
        "window",
        "law",
        "target MiB",
        "settled",
        "peak MiB",
        "over",
        "steady",
        "below",
        "clean",
        "rate KiB/s",
        "P KiB/s",
        "I KiB/s",
        "written",
        "read ms"
    );
    for window in &case.windows {
        for curve in curves {
            let f = figures::figures(&curve.rows, window);
            let seconds = |v: Option<f64>| v.map_or("-".into(), |v| format!("{v:.0} s"));
            println!(
                "# {:<18} {:<9} {:>10.1} {:>8} {:>10.1} {:>7.0}% {:>8.0}% {:>5.0} s {:>8} {:>10.0} {:>10.0} {:>10.0} {:>10.0} {:>9}",
                window.name,
                curve.kind.name(),
                f.target / MIB,
                seconds(f.settled),
                f.peak / MIB,
                f.overshoot * 100.0,
                f.steady * 100.0,
                f.below,
                seconds(f.clean),
                f.mean_rate.min(1e6) / 2.0,
                f.mean_p / 2.0,
                f.mean_i / 2.0,
                f.mean_cleaned / 2.0,
                f.latency.map_or("-".into(), |l| format!("{:.1}", l / 1000.0)),
            );
        }
    }
}

/// KiB and KiB per second, one line a second.
fn csv(rows: &[world::Row]) -> String {
    let mut text =
        String::from("s,dirty,target,rate,proportional,integral,written,cleaned,read_us,reason\n");
    for r in rows {
        let read = r.latency.map_or(String::new(), |l| format!("{l:.0}"));
        writeln!(
            text,
            "{:.0},{:.0},{:.0},{:.1},{:.1},{:.1},{:.0},{:.0},{},{}",
            r.t,
            r.dirty / 2.0,
            r.target / 2.0,
            r.rate / 2.0,
            r.p / 2.0,
            r.i / 2.0,
            r.written / 2.0,
            r.cleaned / 2.0,
            read,
            r.reason.name()
        )
        .expect("text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All figures of all cases are as they have to be.
    #[test]
    fn cases_hold() {
        let mut report = check::Report::default();
        for case in cases::all() {
            println!("{}", case.name);
            (case.check)(&curves(&case), &mut report);
        }
        assert_eq!(report.failed, 0);
    }
}
