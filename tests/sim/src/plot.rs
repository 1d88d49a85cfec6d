// SPDX-License-Identifier: GPL-2.0

//! A case as a picture: dirty data and its target, the rate, and its terms, one curve for each law.

use crate::{
    cases::Case,
    world::{Kind, Row},
    Curve, MIB,
};
use bcache_core::writeback::control::Law;
use plotters::{coord::Shift, prelude::*};
use std::{error::Error, path::Path};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const FONT: &str = "DejaVu Sans, sans-serif";
const INK: RGBColor = RGBColor(48, 56, 64);

fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::C | Kind::Constant(_) => RGBColor(190, 196, 202),
        Kind::Ours(Law::Pi) => RGBColor(31, 119, 180),
        Kind::Ours(Law::Adaptive) => RGBColor(217, 95, 2),
        Kind::Ours(Law::Latency) => RGBColor(27, 158, 119),
    }
}

fn name(curve: &Curve) -> String {
    let from = if curve.measured { ", in a guest" } else { "" };
    format!("{}{from}", curve.kind.name())
}

/// A measured curve is the same, but darker.
fn shade(curve: &Curve) -> RGBColor {
    let RGBColor(r, g, b) = colour(curve.kind);
    let dark = if curve.measured { 2 } else { 1 };
    RGBColor(r / dark, g / dark, b / dark)
}

/// C's curve is the background of the others.
fn width(kind: Kind) -> u32 {
    if kind == Kind::C {
        5
    } else {
        2
    }
}

/// One line of a panel.
struct Line {
    label: String,
    colour: RGBColor,
    width: u32,
    points: Vec<(f64, f64)>,
}

pub fn draw(case: &Case, curves: &[Curve], file: &Path) -> Result {
    let panels = 3 + usize::from(case.shows_latency);
    let root = SVGBackend::new(file, (1100, 90 + 260 * panels as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let root = root.titled(case.title, (FONT, 20).into_font().color(&INK))?;
    let parts = root.split_evenly((panels, 1));
    let end = case.seconds as f64;
    let lines = |value: &dyn Fn(&Row) -> Option<f64>| -> Vec<Line> {
        curves
            .iter()
            .map(|c| Line {
                label: name(c),
                colour: shade(c),
                width: width(c.kind),
                points: c
                    .rows
                    .iter()
                    .filter_map(|r| Some((r.t, value(r)?)))
                    .collect(),
            })
            .collect()
    };
    let mut dirty = lines(&|r| Some(r.dirty / MIB));
    let most = dirty
        .iter()
        .flat_map(|l| &l.points)
        .map(|p| p.1)
        .fold(0.1, f64::max)
        * 1.1;
    dirty.push(Line {
        label: "target".into(),
        colour: INK,
        width: 1,
        points: curves[0]
            .rows
            .iter()
            .map(|r| (r.t, r.target / MIB))
            .collect(),
    });
    panel(&parts[0], "dirty data, MiB", end, Some((0.0, most)), dirty)?;
    let mut rate = lines(&|r| Some(r.rate / MIB));
    let inflow: Vec<f64> = curves[0].rows.iter().map(|r| r.written / MIB).collect();
    let most = inflow.iter().copied().fold(0.1, f64::max) * case.rate_room;
    rate.push(Line {
        label: "written by users".into(),
        colour: INK,
        width: 1,
        points: smoothed(&curves[0].rows, |r| r.written / MIB),
    });
    panel(&parts[1], "rate, MiB/s", end, Some((0.0, most)), rate)?;
    let mut next = 2;
    if case.shows_latency {
        let waits = lines(&|r| r.latency.map(|l| l / 1000.0));
        panel(&parts[next], "latency of reads, ms", end, None, waits)?;
        next += 1;
    }
    let mut terms = Vec::new();
    for c in curves {
        for (term, width, value) in [("P", 2, (|r| r.p) as fn(&Row) -> f64), ("I", 1, |r| r.i)] {
            terms.push(Line {
                label: format!("{term} of {}", name(c)),
                colour: shade(c),
                width,
                points: c.rows.iter().map(|r| (r.t, value(r) / MIB)).collect(),
            });
        }
    }
    panel(
        &parts[next],
        "terms, MiB/s",
        end,
        Some((-most, most)),
        terms,
    )?;
    root.present()?;
    Ok(())
}

/// Means of five seconds.
fn smoothed(rows: &[Row], value: impl Fn(&Row) -> f64) -> Vec<(f64, f64)> {
    let middle = |w: &[Row]| (w[2].t, w.iter().map(&value).sum::<f64>() / 5.0);
    rows.windows(5).map(middle).collect()
}

fn panel(
    area: &Area<'_>,
    name: &str,
    end: f64,
    range: Option<(f64, f64)>,
    lines: Vec<Line>,
) -> Result {
    let most = lines
        .iter()
        .flat_map(|l| &l.points)
        .map(|p| p.1)
        .fold(0.01, f64::max);
    let (low, high) = range.unwrap_or((0.0, most * 1.1));
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .margin_right(24)
        .x_label_area_size(28)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..end, low..high)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(226, 230, 234))
        .axis_style(INK)
        .label_style((FONT, 13).into_font().color(&INK))
        .y_desc(name)
        .draw()?;
    for line in lines {
        let style = line.colour.stroke_width(line.width);
        // What lies above the axis runs along its edge, but for the target, which would seem to be there.
        let points = line.points.into_iter();
        let points = points.filter(|p| line.label != "target" || p.1 <= high);
        let points = points.map(|(x, y)| (x, y.clamp(low, high)));
        chart
            .draw_series(LineSeries::new(points, style))?
            .label(line.label.clone())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.85))
        .border_style(RGBColor(208, 212, 216))
        .label_font((FONT, 13).into_font().color(&INK))
        .draw()?;
    Ok(())
}
