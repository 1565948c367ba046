//! Curves over a logarithmic axis.

use crate::harness::{digits, median};
use crate::report::svg::{Anchor, LogScale, Svg};
use crate::results::Point;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 225.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 46.0;

/// One plot: a curve for each series, both axes logarithmic.
pub(crate) fn picture(points: &[&Point]) -> String {
    let mut svg = Svg::default();
    let first = points[0];
    let x_scale = LogScale::tight(points.iter().map(|point| point.x));
    let y_scale = LogScale::around(points.iter().map(|point| median(&point.samples)));
    let x = |value: f64| LEFT + x_scale.place(value) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - y_scale.place(value) * (HEIGHT - TOP - BOTTOM);
    svg.text((16.0, 24.0), "title", Anchor::Start, &format!("{} ({})", first.title, first.unit));
    for power in y_scale.powers() {
        svg.line((LEFT, y(power)), (WIDTH - RIGHT, y(power)));
        svg.text((LEFT - 8.0, y(power) + 4.0), "small faint", Anchor::End, &digits(power));
    }
    let mut ticks: Vec<f64> = points.iter().map(|point| point.x).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    let mut free = f64::NEG_INFINITY;
    for tick in ticks.into_iter().filter(|tick| *tick > 0.0) {
        if x(tick) >= free {
            svg.text(
                (x(tick), HEIGHT - BOTTOM + 18.0),
                "small faint",
                Anchor::Middle,
                &amount(tick, &first.x_name),
            );
            free = x(tick) + 46.0;
        }
    }
    svg.text(((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 10.0), "small faint", Anchor::Middle, &first.x_name);
    let mut names: Vec<&str> = Vec::new();
    for point in points {
        if !names.contains(&point.series.as_str()) {
            names.push(&point.series);
        }
    }
    let mut labels: Vec<(f64, usize)> = Vec::new();
    for (number, name) in names.iter().enumerate() {
        let own: Vec<(f64, f64)> = points
            .iter()
            .filter(|point| point.series == *name)
            .map(|point| (x(point.x), y(median(&point.samples))))
            .collect();
        svg.curve(&own, number);
        labels.push((own.last().map_or(TOP, |(_, y)| *y), number));
    }
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = TOP;
    for (at, number) in labels {
        let place = at.max(free);
        svg.text(
            (WIDTH - RIGHT + 12.0, place + 4.0),
            &format!("small mark{}", number % 5),
            Anchor::Start,
            names[number],
        );
        free = place + 15.0;
    }
    svg.finish(WIDTH, HEIGHT, &first.title)
}

/// A number on the axis; bytes in binary units.
pub(crate) fn amount(value: f64, name: &str) -> String {
    if !name.contains("bytes") {
        return digits(value).trim_end_matches(".00").trim_end_matches(".0").to_owned();
    }
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    for (unit, shift) in units {
        let whole = f64::from(1_u32 << shift);
        if value >= whole {
            return format!(
                "{} {unit}",
                digits(value / whole).trim_end_matches(".00").trim_end_matches(".0")
            );
        }
    }
    format!("{value} B")
}
