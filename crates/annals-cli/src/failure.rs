//! Why a verb did not do all of what it was asked for, and the status that says so.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use annals::Error;

pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Why a verb failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something was found or left, and was printed already.
    Found(String),
    /// Options or values that make no sense.
    Usage(String),
    /// What was named is not there.
    Missing(String),
    /// What is there is in the way.
    Conflict(String),
    /// The library's answer.
    Store(Error),
    /// Topics that could not be opened, where all were asked for, and why.
    LeftOut(Vec<(String, Error)>),
    /// The library's answer, and what does work.
    Instead(Box<Error>, String),
    /// The system's answer to what the command does itself.
    System { what: String, source: io::Error },
    /// Who read the output has gone.
    ReaderGone,
    /// Ctrl-C, or SIGTERM.
    Interrupted,
}

impl Failure {
    pub(crate) fn at(what: &str, path: &Path, source: io::Error) -> Self {
        Self::System { what: format!("cannot {what} {}", path.display()), source }
    }

    pub(crate) fn no_store(path: &Path) -> Self {
        let words = "holds no store: there is no file annals.topics in it; `annals topics create` makes one";
        Self::Missing(format!("{} {words}", path.display()))
    }

    pub(crate) fn status(&self) -> u8 {
        match self {
            Self::Found(_) => 1,
            Self::Usage(_) => 2,
            Self::Missing(_) => 3,
            Self::Conflict(_) => 4,
            Self::Store(error) => status_of(error),
            Self::Instead(error, _) => status_of(error),
            Self::LeftOut(topics) => topics.first().map_or(6, |(_, error)| match error {
                // The process that has the store does not show the topic, as it could not open it.
                Error::Io { source, .. } if source.kind() == io::ErrorKind::TimedOut => 6,
                error => status_of(error),
            }),
            Self::System { source, .. } => status_of_system(source),
            Self::ReaderGone => 0,
            Self::Interrupted => 130,
        }
    }
}

const OF_DAMAGE: &str = "; `annals verify` lists all damage, `annals repair` takes it out";

fn status_of(error: &Error) -> u8 {
    if error.is_disk_full() {
        return 8;
    }
    match error {
        Error::UnknownTopic { .. }
        | Error::UnknownPartition { .. }
        | Error::OffsetOutOfRange { .. }
        | Error::NoCommittedOffset { .. } => 3,
        Error::TopicExists { .. }
        | Error::TopicMismatch { .. }
        | Error::UnexpectedEnd { .. }
        | Error::Backup { .. }
        | Error::Held { .. }
        | Error::Fenced { .. } => 4,
        Error::StoreLocked { .. } | Error::StoreInUse { .. } | Error::GroupInUse { .. } => 5,
        Error::Corrupt { .. } => 6,
        Error::Poisoned { cause, .. }
        | Error::Lost { cause, .. }
        | Error::Undecided { cause, .. }
        | Error::OffsetNotCommitted { cause, .. } => status_of(cause),
        // The line is what is wrong, and was named.
        Error::Import { cause, .. } if is_of_a_line(cause) => 1,
        Error::Import { cause, .. } => status_of(cause),
        Error::Full { .. } => 8,
        Error::UnsupportedFormat { .. } => 9,
        Error::Io { source, .. } => status_of_system(source),
        Error::InvalidName { .. }
        | Error::InvalidConfig { .. }
        | Error::InvalidArgument { .. }
        | Error::InvalidTimestamp { .. }
        | Error::RecordTooLarge { .. }
        | Error::KeyRequired { .. } => 2,
        _ => 1,
    }
}

/// Whether it is what stands in a line that is wrong.
pub(crate) fn is_of_a_line(error: &Error) -> bool {
    matches!(
        error,
        Error::UnknownPartition { .. }
            | Error::InvalidTimestamp { .. }
            | Error::RecordTooLarge { .. }
            | Error::KeyRequired { .. }
            | Error::InvalidArgument { .. }
    )
}

fn status_of_system(error: &io::Error) -> u8 {
    use io::ErrorKind::{FileTooLarge, NotFound, QuotaExceeded, StorageFull};
    match error.kind() {
        NotFound => 3,
        StorageFull | QuotaExceeded | FileTooLarge => 8,
        _ => 7,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found(words) | Self::Usage(words) | Self::Missing(words) | Self::Conflict(words) => {
                f.write_str(words)
            }
            Self::Store(Error::UnknownTopic { topic, .. }) => {
                write!(f, "unknown topic {topic:?}: `annals topics list` prints those there are")
            }
            Self::Store(Error::StoreInUse { path, pid }) => {
                let by = pid.map(|pid| format!(" by process {pid}")).unwrap_or_default();
                write!(
                    f,
                    "store {} is open for writing{by}, and shows nothing of it to others",
                    path.display()
                )
            }
            Self::Store(error) => {
                write!(f, "{error}")?;
                if error.is_corruption() { f.write_str(OF_DAMAGE) } else { Ok(()) }
            }
            Self::LeftOut(topics) => {
                for (at, (topic, error)) in topics.iter().enumerate() {
                    let begin = if at == 0 { "left out: " } else { "; " };
                    write!(f, "{begin}topic {topic:?} cannot be opened: {error}")?;
                }
                let is_damage = topics.iter().any(|(_, error)| error.is_corruption());
                if is_damage { f.write_str(OF_DAMAGE) } else { Ok(()) }
            }
            Self::Instead(error, instead) => write!(f, "{error}; {instead}"),
            Self::System { what, source } => write!(f, "{what}: {source}"),
            Self::ReaderGone => f.write_str("the reader has gone"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

/// Both that has to be known: what failed at first. A reader that has gone is no failure, and hides none.
pub(crate) fn both(first: Outcome, then: Outcome) -> Outcome {
    match first {
        Err(Failure::ReaderGone) => then.and(first),
        first => first.and(then),
    }
}

/// A failure of writing to standard output.
pub(crate) fn of_output(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::System { what: "cannot write to standard output".to_owned(), source: error },
    }
}

/// Opens a file for reading.
pub(crate) fn open_file(path: &PathBuf) -> Outcome<std::fs::File> {
    std::fs::File::open(path).map_err(|error| Failure::at("open", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_has_gone_hides_no_failure() {
        let gone = || Err(Failure::ReaderGone);
        let full = || Err(Failure::at("write", Path::new("x"), io::ErrorKind::StorageFull.into()));
        let status = |outcome: Outcome| outcome.map_or_else(|failure| failure.status(), |()| 100);
        assert_eq!(status(both(gone(), full())), 8);
        assert_eq!(status(both(gone(), Ok(()))), 0);
        assert_eq!(status(both(full(), gone())), 8);
        assert_eq!(status(both(Ok(()), full())), 8);
        assert_eq!(status(both(Ok(()), Ok(()))), 100);
    }
}
