//! `top`: a store at work, page after page.

mod fit;
mod page;
mod rates;

use std::io::IsTerminal;
use std::thread;
use std::time::{Duration, Instant};

use annals::StoreReader;
use clap::Args;

use crate::arguments::Arguments;
use crate::failure::Outcome;
use crate::interrupt;
use crate::open::{Reading, all_are_seen, open_reader};
use crate::show::Screen;
use crate::times::parse_length;
use rates::{Rates, Sample};

/// Show rates, sizes and lag, again and again, until `q`.
///
/// Keys: q ends, p shows partitions instead of topics, arrows and page keys scroll, space stops and goes on. Where there is no
/// terminal, or with --iterations, it prints tables.
///
/// Example: annals top --interval 2s
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often to look.
    #[arg(long, short, value_name = "LENGTH", default_value = "1s", value_parser = parse_length)]
    interval: Duration,
    /// Print so many tables and end.
    #[arg(long, short = 'n', value_name = "N")]
    iterations: Option<u64>,
    /// Show partitions, not topics.
    #[arg(long)]
    partitions: bool,
    /// Leave out the topics that the store keeps for itself.
    #[arg(long)]
    exclude_internal: bool,
}

pub(crate) fn run(options: &Options, arguments: &Arguments, screen: &mut Screen) -> Outcome {
    let interval = options.interval.max(Duration::from_millis(10));
    let store = open_reader(arguments, Reading::Long)?;
    let has_page = options.iterations.is_none() && screen.has_pages && std::io::stdin().is_terminal();
    if has_page && !screen.json {
        return page::run(options, &store, interval);
    }
    print(options, &store, interval, screen)
}

/// Tables, or objects, one after the other.
fn print(options: &Options, store: &StoreReader, interval: Duration, screen: &mut Screen) -> Outcome {
    let mut before = Sample::take(options, store)?;
    let mut left = options.iterations.unwrap_or(u64::MAX);
    while left > 0 {
        sleep(interval, screen)?;
        let now = Sample::take(options, store)?;
        let rates = Rates::between(&before, &now);
        if screen.json {
            rates.objects().iter().try_for_each(|object| screen.object(object))?;
        } else {
            screen.line(rates.summary())?;
            screen.table(&rates.topics())?;
            if !rates.groups.is_empty() {
                screen.table(&rates.group_table())?;
            }
        }
        screen.flush()?;
        before = now;
        left -= 1;
    }
    all_are_seen(store)
}

fn sleep(length: Duration, screen: &Screen) -> Outcome {
    let until = Instant::now() + length;
    loop {
        interrupt::check()?;
        screen.has_reader()?;
        let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
            return Ok(());
        };
        thread::sleep(left.min(Duration::from_millis(100)));
    }
}
