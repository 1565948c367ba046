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
use crate::commands::top::fit::{Column, cut, fit};
use crate::commands::top::rates::{GROUPS, GROUPS_DROPPED, Rates, Sample, TOPICS, TOPICS_DROPPED};
use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::open::all_are_seen;
use crate::times::{now, show_time};

/// What is on it.
struct Page {
    title: String,
    rates: Rates,
    time: String,
    by_partition: bool,
    is_stopped: bool,
    scroll: usize,
    /// Rows that there was room for.
    visible: usize,
}

/// What a key asks for.
#[derive(PartialEq, Eq)]
enum Wish {
    End,
    /// Ctrl-C, which is no signal here.
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
    let mut earlier: Option<Sample> = None;
    let mut page = Page {
        title: format!("annals top  {}", store.path().display()),
        rates: Rates::between(&before, &before),
        time: show_time(Some(now())),
        by_partition: options.partitions,
        is_stopped: false,
        scroll: 0,
        visible: 1,
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
                Wish::End => return all_are_seen(store),
                Wish::Interrupt => return Err(Failure::Interrupted),
                Wish::Draw => {
                    // Those of the last two looks, told the other way: the next one may be far.
                    if page.by_partition != before.is_by_partition() {
                        before.by_partition(page.by_partition);
                        page.rates = Rates::between(earlier.as_ref().unwrap_or(&before), &before);
                    }
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
            earlier = Some(std::mem::replace(&mut before, sample));
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
            KeyCode::PageDown => self.scroll += self.visible,
            KeyCode::PageUp => self.scroll = self.scroll.saturating_sub(self.visible),
            KeyCode::Home => self.scroll = 0,
            _ => return Wish::Nothing,
        }
        self.scroll = self.scroll.min(self.last_scroll());
        Wish::Draw
    }

    /// The last rows fill the room; below them there is nothing to scroll to.
    fn last_scroll(&self) -> usize {
        self.rates.rows.len().saturating_sub(self.visible)
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
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
        self.visible = usize::from(topics.height).saturating_sub(1).max(1);
        self.scroll = self.scroll.min(self.last_scroll());
        let stopped = if self.is_stopped { "  (stopped)" } else { "" };
        frame.render_widget(Line::from(format!("{}  {}{stopped}", self.title, self.time)).bold(), title);
        frame.render_widget(Line::from(self.rates.summary()), summary);
        let rows = self.rates.rows.iter().skip(self.scroll).map(|row| row.cells().to_vec());
        draw_table(frame, topics, (&TOPICS, &TOPICS_DROPPED), rows);
        draw_table(
            frame,
            groups,
            (&GROUPS, &GROUPS_DROPPED),
            self.rates.groups.iter().map(|row| row.cells().to_vec()),
        );
        let words = "q ends   p partitions   space stops   arrows scroll";
        frame.render_widget(Line::from(words).dim(), keys);
    }
}

fn draw_table(
    frame: &mut Frame<'_>,
    area: Rect,
    (headings, dropped): (&[&str], &[usize]),
    rows: impl Iterator<Item = Vec<String>>,
) {
    let rows: Vec<_> = rows.take(usize::from(area.height)).collect();
    let column = |(at, heading): (usize, &&str)| {
        let widest = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count()).max();
        let width = widest.unwrap_or(0).max(heading.trim_start_matches('>').len());
        Column { at, width, is_number: heading.starts_with('>') }
    };
    let columns = headings.iter().enumerate().map(column).collect();
    let columns = fit(columns, dropped, usize::from(area.width));
    let aligned = |cells: &[String]| {
        let cells = columns.iter().filter_map(|column| Some((column, cells.get(column.at)?)));
        let cells = cells.map(|(column, cell)| {
            let width = column.width;
            if column.is_number { format!("{cell:>width$}") } else { format!("{:<width$}", cut(cell, width)) }
        });
        Row::new(cells.collect::<Vec<_>>())
    };
    let header: Vec<_> = headings.iter().map(|heading| heading.trim_start_matches('>').to_owned()).collect();
    let width = |column: &Column| Constraint::Length(u16::try_from(column.width).unwrap_or(u16::MAX));
    let table = Table::new(rows.iter().map(|row| aligned(row)), columns.iter().map(width))
        .header(aligned(&header).style(Style::new().bold()))
        .column_spacing(2);
    frame.render_widget(table, area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::top::rates;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::KeyEvent;

    fn page(rows: usize) -> Page {
        let row = |number| rates::Row {
            name: format!("a-topic-with-a-long-name-{number:03}"),
            records_per_second: 1_199_800.0,
            records: 123_456_789,
            ..rates::Row::default()
        };
        let rates = Rates { rows: (0..rows).map(row).collect(), ..Rates::default() };
        let (title, time) = ("annals top".to_owned(), String::new());
        Page { title, rates, time, by_partition: false, is_stopped: false, scroll: 0, visible: 1 }
    }

    /// The names' numbers that stand on the page, and all its text.
    fn drawn(page: &mut Page, (width, height): (u16, u16)) -> (Vec<usize>, String) {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| page.draw(frame)).unwrap();
        let text = terminal.backend().to_string();
        let names = text.lines().filter(|line| line.contains("a-topic"));
        let number =
            |line: &str| line.split_whitespace().find_map(|word| word.rsplit_once('-')?.1.parse().ok());
        (names.filter_map(number).collect(), text)
    }

    #[test]
    fn a_page_down_passes_no_row_and_the_last_page_is_full() {
        let mut page = page(100);
        let down = Event::Key(KeyEvent::from(KeyCode::PageDown));
        let mut seen = Vec::new();
        let mut last = Vec::new();
        for _ in 0..20 {
            last = drawn(&mut page, (120, 24)).0;
            seen.extend(last.iter().copied());
            page.wish(&down);
        }
        assert!((0..100).all(|number| seen.contains(&number)), "{seen:?}");
        assert_eq!((last.len(), last.last()), (page.visible, Some(&99)), "{last:?}");
        page.wish(&Event::Key(KeyEvent::from(KeyCode::Up)));
        assert_eq!(drawn(&mut page, (120, 24)).0.last(), Some(&98));
    }

    #[test]
    fn a_narrow_page_shows_whole_numbers_and_names_that_can_be_told_apart() {
        for width in [60, 75, 80] {
            let (names, text) = drawn(&mut page(5), (width, 24));
            assert_eq!(names, [0, 1, 2, 3, 4], "{text}");
            assert_eq!(text.matches(" 1199800 ").count(), 5, "{text}");
        }
    }
}
