//! What went wrong, as a program can act on it whichever backend it has.

use std::fmt;

/// A result of any backend.
pub type Result<T> = std::result::Result<T, Error>;

/// The kind of an error, by what a program can do about it.
///
/// ```
/// use annals_port::{Error, ErrorKind};
/// fn is_to_be_tried_again(error: &Error) -> bool {
///     error.kind() == ErrorKind::Retriable
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such topic or no such partition.
    UnknownTopic,
    /// A topic of that name already exists.
    TopicExists,
    /// Another producer has taken over the transactional id: stop.
    Fenced,
    /// The group has given the partition to another member.
    NotAssigned,
    /// The record cannot be accepted as it is: it is too large, has no key in a compacted topic, or its time is out of range.
    Refused,
    /// The call is not valid here: a commit without a transaction, an unknown setting.
    Invalid,
    /// The same call may succeed later.
    Retriable,
    /// See the message.
    Other,
}

/// An error of a backend.
///
/// ```
/// use annals_port::{Backend, Embedded, ErrorKind, Consume};
/// # let dir = tempfile::tempdir()?;
/// let store = Embedded::open(dir.path())?;
/// let mut consumer = store.consumer("readers")?;
/// let error = consumer.subscribe(&["missing"]).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::UnknownTopic);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    text: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Makes an error; for authors of a backend.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), source: None }
    }

    /// Adds the backend's own error as the source.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns what a program can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<annals::Error> for Error {
    fn from(error: annals::Error) -> Self {
        use annals::Error as E;
        let kind = match &error {
            E::UnknownTopic { .. } | E::UnknownPartition { .. } => ErrorKind::UnknownTopic,
            E::TopicExists { .. } => ErrorKind::TopicExists,
            E::Fenced { .. } => ErrorKind::Fenced,
            E::NotAssigned { .. } => ErrorKind::NotAssigned,
            E::RecordTooLarge { .. } | E::KeyRequired { .. } | E::InvalidTimestamp { .. } => {
                ErrorKind::Refused
            }
            E::InvalidName { .. } | E::InvalidConfig { .. } | E::InvalidArgument { .. } => ErrorKind::Invalid,
            _ if error.is_retriable() => ErrorKind::Retriable,
            _ => ErrorKind::Other,
        };
        Self { kind, text: error.to_string(), source: Some(Box::new(error)) }
    }
}
