//! `scaling.md` and its pictures.

use std::path::Path;

use crate::harness::{Outcome, digits, median};
use crate::report::curves::{amount, picture};
use crate::report::page::{machines, save};
use crate::results::{Latency, Line, Memory, Point, spread};

const INTRODUCTION: &str = "\
# How annals behaves as things grow

Made by `cargo run --release --manifest-path benches/compare/Cargo.toml -- report FILE` from what `scaling`, `latency` and
`memory` of the same package measured; not edited by hand. Medians, with the least and the most.
";

pub(crate) fn write(lines: &[Line], out: &Path) -> Outcome {
    let mut text = String::from(INTRODUCTION);
    let points: Vec<&Point> = lines
        .iter()
        .filter_map(|line| if let Line::Point(point) = line { Some(point) } else { None })
        .collect();
    let mut plots: Vec<&str> = Vec::new();
    for point in &points {
        if !plots.contains(&point.plot.as_str()) {
            plots.push(&point.plot);
        }
    }
    for plot in plots {
        let own: Vec<&Point> = latest(points.iter().copied().filter(|point| point.plot == plot));
        let name = format!("scaling-{plot}.svg");
        save(&out.join(&name), &picture(&own))?;
        text += &curve_table(&own, &name);
    }
    text += &latencies(lines);
    text += &memories(lines);
    text += &format!("\n## Where and how\n\n{}", machines(lines).replace('\n', "  \n"));
    save(&out.join("scaling.md"), &text)
}

/// Of points that were measured twice the later ones.
fn latest<'a>(points: impl Iterator<Item = &'a Point>) -> Vec<&'a Point> {
    let mut kept: Vec<&Point> = Vec::new();
    for point in points {
        kept.retain(|earlier| earlier.series != point.series || earlier.x != point.x);
        kept.push(point);
    }
    kept.sort_by(|a, b| a.x.total_cmp(&b.x));
    kept
}

fn curve_table(points: &[&Point], picture: &str) -> String {
    let first = points[0];
    let mut series: Vec<&str> = Vec::new();
    let mut xs: Vec<f64> = Vec::new();
    for point in points {
        if !series.contains(&point.series.as_str()) {
            series.push(&point.series);
        }
        if !xs.contains(&point.x) {
            xs.push(point.x);
        }
    }
    let mut text = format!(
        "\n## {}\n\n![{}]({picture})\n\n{}, median and least .. most.\n\n| {} | {} |\n|---|{}\n",
        first.title,
        first.title,
        first.unit,
        first.x_name,
        series.join(" | "),
        "---|".repeat(series.len())
    );
    for x in xs {
        let cells: Vec<_> = series
            .iter()
            .map(|name| {
                let point = points.iter().find(|point| point.series == *name && point.x == x);
                point.map_or("-".to_owned(), |point| {
                    let (least, most) = spread(&point.samples);
                    format!("{} ({} .. {})", digits(median(&point.samples)), digits(least), digits(most))
                })
            })
            .collect();
        text += &format!("| {} | {} |\n", amount(x, &first.x_name), cells.join(" | "));
    }
    text
}

fn latencies(lines: &[Line]) -> String {
    let all: Vec<&Latency> = lines
        .iter()
        .filter_map(|line| if let Line::Latency(latency) = line { Some(latency) } else { None })
        .collect();
    let mut text = String::new();
    let mut title = "";
    for latency in all {
        if latency.title != title {
            title = &latency.title;
            text += &format!(
                "\n## {title}\n\nµs.\n\n| | p50 | p99 | p99.9 | most | messages |\n|---|---|---|---|---|---|\n"
            );
        }
        let [p50, p99, p999, most] = [latency.p50, latency.p99, latency.p999, latency.most].map(digits);
        text += &format!("| {} | {p50} | {p99} | {p999} | {most} | {} |\n", latency.row, latency.messages);
    }
    text
}

fn memories(lines: &[Line]) -> String {
    let all: Vec<&Memory> = lines
        .iter()
        .filter_map(|line| if let Line::Memory(memory) = line { Some(memory) } else { None })
        .collect();
    if all.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n## Memory\n\nMiB of a process of its own. Pages of mapped files count as resident, but belong to the page cache: the system takes \
         them back when it needs them. Anonymous memory is what the process really keeps.\n\n\
         | | | peak resident | resident at the end | of it anonymous | of it files |\n|---|---|---|---|---|---|\n",
    );
    let mib = |kib: u64| digits(kib as f64 / 1024.0);
    for memory in all {
        let Memory { row, what, peak, resident, anonymous, file } = memory;
        let figures = [peak, resident, anonymous, file].map(|kib| mib(*kib)).join(" | ");
        text += &format!("| {row} | {what} | {figures} |\n");
    }
    text
}
