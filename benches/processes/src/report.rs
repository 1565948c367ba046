//! Figures as a table or as JSON lines.

use crate::peers::Peer;
use crate::sides::Figures;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Table,
    JsonLines,
}

pub(crate) fn print(style: Style, rows: Vec<(&Peer, Figures)>) {
    if style == Style::Table {
        println!(
            "µs from a send in one process to the record in another; µs of the send; part of a processor while nothing comes"
        );
        println!(
            "{:<38} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8}",
            "", "p50", "p99", "p99.9", "most", "send", "its p99", "idle"
        );
    }
    for (peer, mut figures) in rows {
        for all in [&mut figures.took, &mut figures.sends, &mut figures.idle] {
            all.sort_unstable();
        }
        let took = |part| micros(at(&figures.took, part));
        let [p50, p99, p999, most] = [took(0.5), took(0.99), took(0.999), took(1.0)];
        let [send, send_p99] = [0.5, 0.99].map(|part| micros(at(&figures.sends, part)));
        let idle = at(&figures.idle, 0.5) as f64 / 10.0;
        let name = peer.name;
        match style {
            Style::Table => {
                println!(
                    "{name:<38} {p50:>8.1} {p99:>8.1} {p999:>8.1} {most:>8.0} {send:>8.1} {send_p99:>8.1} {idle:>7.1}%"
                );
            }
            Style::JsonLines => println!(
                "{{\"row\":\"{name}\",\"records\":{},\"p50_us\":{p50:.2},\"p99_us\":{p99:.2},\"p999_us\":{p999:.2},\
                 \"most_us\":{most:.2},\"send_us\":{send:.2},\"send_p99_us\":{send_p99:.2},\"idle_percent\":{idle:.1}}}",
                figures.took.len()
            ),
        }
    }
}

fn at(sorted: &[u64], part: f64) -> u64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * part).round() as usize).copied().unwrap_or_default()
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}
