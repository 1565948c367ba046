//! Checks of what every backend has in common. A backend's tests run all of them; each check makes its own topics and groups, so that the
//! checks can run against a cluster that others use, too.
//!
//! ```
//! use annals_port::{Embedded, conformance};
//! # let dir = tempfile::tempdir()?;
//! let kafka = Embedded::open(dir.path())?;
//! for check in conformance::checks::<Embedded>() {
//!     (check.run)(&kafka, "first-run").map_err(|failure| format!("{}: {failure}", check.name))?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod groups;
mod records;
mod transactions;

use std::time::{Duration, Instant};

use annals::TopicConfig;

use crate::verbs::{Backend, Consume, Received};

/// Why a check failed.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A check of one thing that every backend does.
///
/// ```
/// # use annals_port::{Embedded, conformance};
/// let names: Vec<_> = conformance::checks::<Embedded>().iter().map(|check| check.name).collect();
/// assert!(names.contains(&"records come back as they were sent"));
/// ```
#[derive(Debug)]
pub struct Check<B> {
    /// What the backend does, as a sentence.
    pub name: &'static str,
    /// Runs the check, with names that begin with the second argument: a different one for each run.
    pub run: fn(&B, &str) -> Result<(), Failure>,
}

/// Returns all checks.
pub fn checks<B: Backend>() -> Vec<Check<B>> {
    let mut all = records::checks();
    all.extend(groups::checks());
    all.extend(transactions::checks());
    all
}

/// How long a check waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it waits for what must not.
const SILENCE: Duration = Duration::from_millis(400);

/// An error where something does not hold.
macro_rules! hold {
    ($what:expr, $($words:tt)*) => {
        if !$what {
            return Err(format!($($words)*).into());
        }
    };
}
pub(crate) use hold;

/// A topic of that many partitions.
fn topic<B: Backend>(kafka: &B, name: String, partitions: u32) -> Result<String, Failure> {
    kafka.create_topic(&name, TopicConfig::new().partitions(partitions))?;
    Ok(name)
}

/// So many records, in the order in which they came.
fn take<C: Consume>(consumer: &mut C, count: usize) -> Result<Vec<Received>, Failure> {
    let began = Instant::now();
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(consumer.poll(Duration::from_millis(200))?);
        hold!(began.elapsed() < PATIENCE, "{} records came of {count}", all.len());
    }
    hold!(all.len() == count, "{} records came instead of {count}", all.len());
    Ok(all)
}

/// Nothing comes.
fn take_nothing<C: Consume>(consumer: &mut C) -> Result<(), Failure> {
    let began = Instant::now();
    while began.elapsed() < SILENCE {
        let records = consumer.poll(Duration::from_millis(100))?;
        hold!(records.is_empty(), "{} records came that must not", records.len());
    }
    Ok(())
}

fn texts(records: &[Received]) -> Vec<String> {
    let text =
        |record: &Received| String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
    records.iter().map(text).collect()
}
