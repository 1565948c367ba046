//! Tables as horizontal bars.

use crate::harness::{digits, median};
use crate::report::svg::{Anchor, LogScale, Svg};
use crate::report::table::Table;

const PANEL: f64 = 500.0;
const NAMES: f64 = 205.0;
const ROW: f64 = 17.0;
const TOP: f64 = 44.0;
const GAP: f64 = 26.0;
/// Room for the figure behind a bar.
const FIGURE: f64 = 62.0;

/// Panels in two columns, each on a logarithmic scale of its own.
pub(crate) fn picture(tables: &[&Table<'_>]) -> String {
    let mut svg = Svg::default();
    let mut ends = [52.0_f64, 52.0];
    svg.text(
        (16.0, 24.0),
        "title",
        Anchor::Start,
        "annals beside its peers: less is better, each scale is logarithmic",
    );
    svg.text(
        (16.0, 40.0),
        "small faint",
        Anchor::Start,
        "~ bare system calls, the least that the same work takes; only equal guarantees stand together",
    );
    for table in tables {
        let column = if ends[1] < ends[0] { 1 } else { 0 };
        let height = panel(&mut svg, table, column as f64 * PANEL, ends[column]);
        ends[column] += height + GAP;
    }
    svg.finish(PANEL * 2.0, ends[0].max(ends[1]), "annals beside its peers")
}

/// Characters of a title that fit over a panel.
const LONGEST_TITLE: usize = 60;

fn panel(svg: &mut Svg, table: &Table<'_>, left: f64, top: f64) -> f64 {
    let scale = LogScale::tight(table.rows.iter().map(|row| median(&row.samples)));
    let (start, width) = (left + NAMES + 8.0, PANEL - NAMES - 8.0 - FIGURE);
    let height = TOP + ROW * table.rows.len() as f64;
    let heading = table.heading();
    let (title, more) = match heading.split_once(", ") {
        Some((title, more)) if heading.len() > LONGEST_TITLE => (title, format!("{more}; ")),
        _ => (&heading[..], String::new()),
    };
    svg.text((left + 16.0, top + 14.0), "title", Anchor::Start, title);
    svg.text((left + 16.0, top + 29.0), "small faint", Anchor::Start, &(more + &table.subtitle()));
    for power in scale.powers() {
        let x = start + scale.place(power) * width;
        svg.line((x, top + TOP - 4.0), (x, top + height));
    }
    for (at, row) in table.rows.iter().enumerate() {
        let (y, value) = (top + TOP + at as f64 * ROW, median(&row.samples));
        let name_class = if row.who == "annals" { "small own" } else { "small" };
        svg.text((left + NAMES, y + 11.0), name_class, Anchor::End, &short(&row.row));
        let end = scale.place(value) * width;
        svg.bar((start, y + 2.0), (end, ROW - 5.0), &row.who);
        svg.text((start + end.max(1.0) + 5.0, y + 11.5), name_class, Anchor::Start, &digits(value));
    }
    height
}

/// What fits in front of a bar.
fn short(name: &str) -> String {
    const MOST: usize = 31;
    if name.chars().count() <= MOST {
        return name.to_owned();
    }
    let cut: String = name.chars().take(MOST - 1).collect();
    format!("{}…", cut.trim_end_matches([' ', ',']))
}
