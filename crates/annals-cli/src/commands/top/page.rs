//! The page in a terminal.

use std::time::{Duration, Instant};

use annals::StoreReader;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Row, Table};

use crate::commands::top::Options;
use crate::commands::top::rates::{GROUPS, Rates, Sample, TOPICS};
use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::times::{now, show_time};

/// What is on it.
struct Page {
    title: String,
    rates: Rates,
    time: String,
    by_partition: bool,
    is_stopped: bool,
    scroll: usize,
}

/// What a key asks for.
#[derive(PartialEq, Eq)]
enum Wish {
    End,
    /// With the status of a Ctrl-C, which is a key here.
    Interrupt,
    Draw,
    Nothing,
}

pub(super) fn run(options: &Options, store: &StoreReader, interval: Duration) -> Outcome {
    let mut terminal = ratatui::try_init().map_err(of_terminal)?;
    let outcome = show(options, store, interval, &mut terminal);
    ratatui::restore();
    outcome
}

fn of_terminal(source: std::io::Error) -> Failure {
    Failure::System { what: "cannot use the terminal".to_owned(), source }
}

fn show(
    options: &Options,
    store: &StoreReader,
    interval: Duration,
    terminal: &mut ratatui::DefaultTerminal,
) -> Outcome {
    let mut before = Sample::take(options, store)?;
    let mut page = Page {
        title: format!("annals top  {}", store.path().display()),
        rates: Rates::between(&before, &before),
        time: show_time(Some(now())),
        by_partition: options.partitions,
        is_stopped: false,
        scroll: 0,
    };
    let mut next = Instant::now() + interval;
    loop {
        terminal.draw(|frame| page.draw(frame)).map_err(of_terminal)?;
        // A key, or the time for another look.
        loop {
            interrupt::check()?;
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            if !event::poll(left.min(Duration::from_millis(250))).map_err(of_terminal)? {
                continue;
            }
            match page.wish(&event::read().map_err(of_terminal)?) {
                Wish::End => return Ok(()),
                Wish::Interrupt => return Err(Failure::Interrupted),
                Wish::Draw => {
                    terminal.draw(|frame| page.draw(frame)).map_err(of_terminal)?;
                }
                Wish::Nothing => {}
            }
        }
        next = Instant::now() + interval;
        if !page.is_stopped {
            let mut sample = Sample::take(options, store)?;
            sample.by_partition(page.by_partition);
            page.rates = Rates::between(&before, &sample);
            page.time = show_time(Some(now()));
            before = sample;
        }
    }
}

impl Page {
    fn wish(&mut self, event: &Event) -> Wish {
        let Event::Key(key) = event else {
            return if matches!(event, Event::Resize(..)) { Wish::Draw } else { Wish::Nothing };
        };
        if key.kind != KeyEventKind::Press {
            return Wish::Nothing;
        }
        match key.code {
            KeyCode::Char('q') | KeyCode::Esc => return Wish::End,
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Wish::Interrupt,
            KeyCode::Char('p') => self.by_partition = !self.by_partition,
            KeyCode::Char(' ') => self.is_stopped = !self.is_stopped,
            KeyCode::Down => self.scroll += 1,
            KeyCode::Up => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::PageDown => self.scroll += 20,
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(20),
            KeyCode::Home => self.scroll = 0,
            _ => return Wish::Nothing,
        }
        Wish::Draw
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        self.scroll = self.scroll.min(self.rates.rows.len().saturating_sub(1));
        let groups = u16::try_from(self.rates.groups.len().min(8)).unwrap_or(8);
        let height = if groups == 0 { 0 } else { groups + 2 };
        let parts = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(2),
            Constraint::Min(3),
            Constraint::Length(height),
            Constraint::Length(1),
        ]);
        let [title, summary, topics, groups, keys] = parts.areas(frame.area());
        let stopped = if self.is_stopped { "  (stopped)" } else { "" };
        frame.render_widget(Line::from(format!("{}  {}{stopped}", self.title, self.time)).bold(), title);
        frame.render_widget(Line::from(self.rates.summary()), summary);
        let rows = self.rates.rows.iter().skip(self.scroll).map(|row| row.cells().to_vec());
        draw_table(frame, topics, &TOPICS, rows);
        draw_table(frame, groups, &GROUPS, self.rates.groups.iter().map(|row| row.cells().to_vec()));
        let words = "q ends   p partitions   space stops   arrows scroll";
        frame.render_widget(Line::from(words).dim(), keys);
    }
}

fn draw_table(frame: &mut Frame<'_>, area: Rect, headings: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<_> = rows.take(usize::from(area.height)).collect();
    let width = |column: usize, heading: &str| {
        let widest = rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
        u16::try_from(widest.max(heading.trim_start_matches('>').len())).unwrap_or(u16::MAX)
    };
    let widths: Vec<_> = headings.iter().enumerate().map(|(at, heading)| width(at, heading)).collect();
    let aligned = |cells: &[String]| {
        let cells = cells.iter().zip(headings).zip(&widths).map(|((cell, heading), width)| {
            let width = usize::from(*width);
            if heading.starts_with('>') { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        Row::new(cells.collect::<Vec<_>>())
    };
    let header: Vec<_> = headings.iter().map(|heading| heading.trim_start_matches('>').to_owned()).collect();
    let table = Table::new(
        rows.iter().map(|row| aligned(row)),
        widths.iter().map(|width| Constraint::Length(*width)),
    )
    .header(aligned(&header).style(Style::new().bold()))
    .column_spacing(2);
    frame.render_widget(table, area);
}
