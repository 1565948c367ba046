//! `comparison.md` and `comparison.svg`.

use std::path::Path;

use crate::harness::{Outcome, digits, median};
use crate::peer::Kind;
use crate::peers;
use crate::report::bars;
use crate::report::page::{machines, save};
use crate::report::table::Table;
use crate::results::{Kill, Line, Row, Sync, spread};

pub(crate) fn write(lines: &[Line], out: &Path) -> Outcome {
    let tables = tables(lines);
    let mut text = String::from(INTRODUCTION);
    text += &summary(&tables);
    text += &guarantees(lines);
    text += "\n## Everything\n\n\"x annals\" is how many times the figure of annals it is: below 1, annals lost.\n";
    for table in &tables {
        text += &whole(table);
    }
    text += &notes(&tables);
    text += &format!("\n## Where and how\n\n{}\n", machines(lines).replace('\n', "  \n"));
    text += &versions();
    save(&out.join("comparison.md"), &text)?;
    let shown: Vec<&Table<'_>> = tables.iter().filter(|table| is_shown(table.first())).collect();
    save(&out.join("comparison.svg"), &bars::picture(&shown))
}

const INTRODUCTION: &str = "\
# annals beside its peers

Made by `cargo run --release --manifest-path benches/compare/Cargo.toml -- report FILE` from what `run`, `check-kill` and
`check-sync` of the same package measured; not edited by hand. Everything ran in one process, row after row in turn; the figures are
medians, the ratios medians of the ratios within each turn. Absolute figures differ by tens of per cent from day to day and from
machine to machine: only the ratios mean something elsewhere. Rows with `~` are bare system calls with a checksum and no
library around them. Less is better everywhere.

![annals beside its peers](comparison.svg)
";

/// The tables in the order of the file; of a table that was measured twice the later one.
fn tables(lines: &[Line]) -> Vec<Table<'_>> {
    let mut tables: Vec<Table<'_>> = Vec::new();
    for row in lines.iter().filter_map(|line| if let Line::Row(row) = line { Some(row) } else { None }) {
        let same = |table: &&mut Table<'_>| {
            let first = table.first();
            first.workload == row.workload && first.variant == row.variant
        };
        match tables.iter_mut().find(same) {
            Some(table) => {
                table.rows.retain(|earlier| earlier.row != row.row);
                table.rows.push(row);
            }
            None => tables.push(Table { rows: vec![row] }),
        }
    }
    for table in &mut tables {
        table.rows.sort_by(|a, b| median(&a.samples).total_cmp(&median(&b.samples)));
    }
    tables
}

/// Those in the picture: one of each workload and class.
fn is_shown(row: &Row) -> bool {
    let all = row.workload == "W4b";
    row.codec == "none"
        && (row.threads == 1 || all)
        && !(row.workload != "W1" && row.class == "memory" && row.variant.contains("memory"))
}

fn summary(tables: &[Table<'_>]) -> String {
    let mut text = String::from(
        "\n## annals, the best peer of the same class, the limit\n\n\
         | workload | | annals | best peer | annals ÷ best peer | limit | annals ÷ limit |\n|---|---|---|---|---|---|---|\n",
    );
    for table in tables {
        let Some(own) = table.best(Kind::Annals) else { continue };
        let against = |who| {
            table.best(who).map_or(("-".to_owned(), "-".to_owned()), |other| {
                let ratio = Table::ratio(own, other);
                // What the eye should find: where somebody else is better.
                let mark = if who == Kind::Peer && ratio > 1.0 { "**" } else { "" };
                let name = format!("{} {}", other.row, digits(median(&other.samples)));
                (name, format!("{mark}{}{mark}", digits(ratio)))
            })
        };
        let ((peer, by_peer), (bare, by_bare)) = (against(Kind::Peer), against(Kind::Bare));
        let Row { workload, title, .. } = table.first();
        text += &format!(
            "| {workload} {title} | {} | {} | {peer} | {by_peer} | {bare} | {by_bare} |\n",
            table.subtitle(),
            digits(median(&own.samples)),
        );
    }
    text + "\nIn bold: where a peer of the same class is better than annals.\n"
}

fn whole(table: &Table<'_>) -> String {
    let Row { workload, title, .. } = table.first();
    let mut text = format!(
        "\n### {workload} {title}\n\n{}\n\n| | median | least .. most | x annals | records | call |\n|---|---|---|---|---|---|\n",
        table.subtitle()
    );
    let own = table.best(Kind::Annals);
    for row in &table.rows {
        let bold = if row.who == "annals" { "**" } else { "" };
        let (least, most) = spread(&row.samples);
        let ratio = own.map_or("-".to_owned(), |own| digits(Table::ratio(row, own)));
        text += &format!(
            "| {bold}{}{bold} | {bold}{}{bold} | {} .. {} | {ratio} | {} | {} |\n",
            row.row,
            digits(median(&row.samples)),
            digits(least),
            digits(most),
            row.records,
            row.call,
        );
    }
    text
}

/// What the calls were seen to do.
fn guarantees(lines: &[Line]) -> String {
    let kills: Vec<&Kill> =
        lines.iter().filter_map(|line| if let Line::Kill(kill) = line { Some(kill) } else { None }).collect();
    let syncs: Vec<&Sync> =
        lines.iter().filter_map(|line| if let Line::Sync(sync) = line { Some(sync) } else { None }).collect();
    if kills.is_empty() && syncs.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n## What the calls do\n\nThe class is what was seen, not what is said: `check-kill` counts what is left of single appends when \
         the process is killed right behind the last, `check-sync` counts system calls of each append.\n\n\
         | | call | class | left by SIGKILL | fsync, fdatasync, msync, sync_file_range an append | files opened O_SYNC, O_DSYNC |\n\
         |---|---|---|---|---|---|\n",
    );
    for kill in &kills {
        let sync = syncs.iter().find(|sync| sync.row == kill.row && sync.call == kill.call);
        let left = format!("{} of {}", kill.found, kill.appended);
        text += &guarantee(&kill.row, &kill.call, &kill.class, &left, sync.copied());
    }
    for sync in
        syncs.iter().filter(|sync| !kills.iter().any(|kill| kill.row == sync.row && kill.call == sync.call))
    {
        text += &guarantee(&sync.row, &sync.call, &sync.class, "-", Some(sync));
    }
    text
}

fn guarantee(row: &str, call: &str, class: &str, left: &str, sync: Option<&Sync>) -> String {
    let calls = sync.map_or("-".to_owned(), |sync| {
        [sync.fsync, sync.fdatasync, sync.msync, sync.sync_file_range].map(digits).join(", ")
    });
    let files = sync.map_or("-".to_owned(), |sync| sync.synchronous_files.to_string());
    let class = crate::peer::Class::parse(class).map_or(class, |class| class.name());
    format!("| {row} | {call} | {class} | {left} | {calls} | {files} |\n")
}

fn notes(tables: &[Table<'_>]) -> String {
    let mut text = String::from("\n## What a reader should know of them\n\n");
    let mut told: Vec<&str> = Vec::new();
    for row in tables.iter().flat_map(|table| &table.rows).filter(|row| !row.note.is_empty()) {
        if !told.contains(&row.row.as_str()) && !told.contains(&row.note.as_str()) {
            text += &format!("- {}: {}.\n", row.row, row.note);
            told.extend([row.row.as_str(), row.note.as_str()]);
        }
    }
    text
}

/// From the lock file that this program was built with.
fn versions() -> String {
    let lock = include_str!("../../Cargo.lock");
    let mut packages: Vec<&str> = peers::ALL.iter().filter_map(|peer| peer.package).collect();
    packages.dedup();
    let version = |package: &str| {
        let entry =
            lock.split("[[package]]").find(|entry| entry.contains(&format!("name = \"{package}\"\n")))?;
        Some(entry.split_once("version = \"")?.1.split_once('"')?.0)
    };
    let all: Vec<_> =
        packages.iter().map(|package| format!("{package} {}", version(package).unwrap_or("?"))).collect();
    format!("Versions: {}.\n", all.join(", "))
}
