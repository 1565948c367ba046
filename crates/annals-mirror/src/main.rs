//! `annals-mirror`: topics of a store to a Kafka cluster, and from one. `docs/mirror.md` is its contract.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use annals::{Durability, Store, StoreReader};
use annals_mirror::{Error, Figures, Mirror, Settings, Source};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// The exit status of a process that a signal has stopped before it did anything.
const STOPPED: u8 = 130;
/// For how long the cluster may be silent at the start before that is told.
const SILENCE: Duration = Duration::from_secs(2);

/// Topics of an annals store to a Kafka cluster, and from one, exactly once.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    way: Way,
}

#[derive(Debug, Subcommand)]
enum Way {
    /// From the store to the cluster. The store may be open in another process.
    Out(Options),
    /// From the cluster into the store, which this process opens.
    In(Options),
}

#[derive(Debug, Args)]
struct Options {
    /// Directory of the store.
    #[arg(long, env = "ANNALS_STORE")]
    store: PathBuf,
    /// The cluster's brokers, HOST:PORT, separated by commas.
    #[arg(long)]
    servers: String,
    /// A topic to mirror; may be repeated.
    #[arg(long = "topic", required = true)]
    topics: Vec<String>,
    /// A group whose committed offsets are translated; may be repeated.
    #[arg(long = "group")]
    groups: Vec<String>,
    /// End when all is mirrored that was there at the start.
    #[arg(long)]
    once: bool,
    /// A missing topic is an error.
    #[arg(long)]
    no_create: bool,
    /// Go on behind what was deleted before it was mirrored.
    #[arg(long)]
    skip_deleted: bool,
    /// A target that deletes records sooner than the source is no error.
    #[arg(long)]
    shorter_retention: bool,
    /// Replicas of topics that are created in the cluster.
    #[arg(long)]
    replication: Option<u16>,
    /// What a step into the store survives.
    #[arg(long, value_enum, default_value = "disk")]
    durability: Survives,
    /// Records of a step at most, about.
    #[arg(long, default_value_t = 20_000)]
    step_records: usize,
    /// Seconds to try without a step that takes effect.
    #[arg(long)]
    patience: Option<u64>,
    /// A setting of librdkafka, KEY=VALUE; may be repeated.
    #[arg(short = 'X', value_parser = setting)]
    client: Vec<(String, String)>,
    /// Say nothing on the way.
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Survives {
    /// The end of the process.
    Os,
    /// A power cut.
    Disk,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("KEY=VALUE is wanted")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Options {
    fn settings(&self) -> Settings {
        let mut settings = Settings::new(&self.servers).step_records(self.step_records);
        settings = settings.durability(match self.durability {
            Survives::Os => Durability::Os,
            Survives::Disk => Durability::Disk,
        });
        settings = self.topics.iter().fold(settings, |settings, topic| settings.topic(topic));
        settings = self.groups.iter().fold(settings, |settings, group| settings.group(group));
        settings = self.client.iter().fold(settings, |settings, (key, value)| settings.client(key, value));
        if self.once {
            settings = settings.once();
        }
        if self.no_create {
            settings = settings.without_creating();
        }
        if self.skip_deleted {
            settings = settings.skip_deleted();
        }
        if self.shorter_retention {
            settings = settings.shorter_retention();
        }
        if let Some(replicas) = self.replication {
            settings = settings.replication(replicas);
        }
        if let Some(seconds) = self.patience {
            settings = settings.patience(Duration::from_secs(seconds));
        }
        settings
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments.way) {
        Ok(code) => code,
        Err(error) => {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                if !text.contains(&cause.to_string()) {
                    text = format!("{text}: {cause}");
                }
                source = cause.source();
            }
            eprintln!("annals-mirror: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(way: &Way) -> annals_mirror::Result<ExitCode> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
            .map_err(|error| Error::Settings(format!("cannot watch for signals: {error}")))?;
    }
    match way {
        Way::Out(options) => {
            let source = open(&options.store)?;
            let settings = options.settings();
            let Some(mirror) = begin(options, &stop, || Mirror::out(settings, source))? else {
                return Ok(STOPPED.into());
            };
            follow(&mirror, &stop, options.quiet)?;
        }
        Way::In(options) => {
            let store = Store::open(&options.store)?;
            let (settings, into) = (options.settings(), store.clone());
            let Some(mirror) = begin(options, &stop, move || Mirror::into_store(settings, &into))? else {
                store.close()?;
                return Ok(STOPPED.into());
            };
            let outcome = follow(&mirror, &stop, options.quiet);
            outcome.and(store.close().map_err(Error::from))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the mirror on a thread of its own, because a cluster that does not answer holds it up for a minute at a time; nothing where it is to stop
/// before that.
fn begin(
    options: &Options,
    stop: &AtomicBool,
    make: impl FnOnce() -> annals_mirror::Result<Mirror> + Send + 'static,
) -> annals_mirror::Result<Option<Mirror>> {
    let (made, outcome) = mpsc::channel();
    std::thread::spawn(move || drop(made.send(make())));
    let (began, mut next) = (Instant::now(), SILENCE);
    loop {
        match outcome.recv_timeout(Duration::from_millis(100)) {
            Ok(outcome) => return outcome.map(Some),
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::Settings("the mirror's beginning panicked".to_owned()));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if stop.load(Ordering::Relaxed) {
            eprintln!("annals-mirror: stopped before {} answered; nothing was mirrored", options.servers);
            return Ok(None);
        }
        if began.elapsed() >= next {
            next = began.elapsed() + SILENCE * 5;
            if !options.quiet {
                let seconds = began.elapsed().as_secs();
                eprintln!(
                    "annals-mirror: {} has not answered for {seconds} s, still trying",
                    options.servers
                );
            }
        }
    }
}

/// The store beside its owner, or where nobody has opened it here, alone.
fn open(path: &Path) -> annals::Result<Source> {
    match StoreReader::attach(path) {
        Ok(reader) => Ok(Source::Reader(reader)),
        Err(annals::Error::Io { .. } | annals::Error::InvalidArgument { .. }) => {
            Store::open_read_only(path).map(Source::Reader)
        }
        Err(error) => Err(error),
    }
}

/// Runs it and says each second how far it is.
fn follow(mirror: &Mirror, stop: &AtomicBool, is_quiet: bool) -> annals_mirror::Result<()> {
    let (mut told, mut is_told) = (Figures::default(), is_quiet);
    let tell_new = move || {
        if stop.load(Ordering::Relaxed) && !is_told {
            is_told = true;
            eprintln!("annals-mirror: stopping after this step; a second signal ends it at once");
        }
        let now = mirror.figures();
        if !is_quiet && now != told {
            tell(&now);
        }
        told = now;
    };
    let outcome = beside(tell_new, || mirror.run(stop));
    tell_all(&mirror.figures());
    outcome.map(drop)
}

/// Does `work`, and `each_second` beside it until it ends, were it by a panic.
fn beside<T>(each_second: impl FnMut() + Send, work: impl FnOnce() -> T) -> T {
    struct Over<'a>(&'a AtomicBool, Thread);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
            self.1.unpark();
        }
    }
    let mut each_second = each_second;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let teller = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_secs(1));
                each_second();
            }
        });
        let _over = Over(&is_over, teller.thread().clone());
        work()
    })
}

fn tell(figures: &Figures) {
    for (topic, one) in &figures.topics {
        let failure =
            one.failure.as_ref().map_or(String::new(), |failure| format!(", again after: {failure}"));
        eprintln!(
            "{topic}: {} records, {} bytes, {} steps, lag {}, {} restarts{failure}",
            one.records, one.bytes, one.steps, one.lag, one.restarts
        );
    }
}

fn tell_all(figures: &Figures) {
    for (topic, one) in &figures.topics {
        println!(
            "{topic} records={} bytes={} steps={} lag={} restarts={} translated={}",
            one.records, one.bytes, one.steps, one.lag, one.restarts, one.translated
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mirror_that_panics_ends_the_command() {
        let outcome = std::panic::catch_unwind(|| beside(|| {}, || panic!("as planned")));
        assert!(outcome.is_err());
        assert_eq!(beside(|| {}, || 7), 7);
    }
}
