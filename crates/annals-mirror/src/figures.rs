//! How far a mirror is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Figures of a mirror at one moment, by topic. They count from its creation.
///
/// ```
/// # use annals_mirror::Figures;
/// fn line(figures: &Figures) -> String {
///     format!("{} records, lag {}", figures.records(), figures.lag())
/// }
/// assert_eq!(line(&Figures::default()), "0 records, lag 0");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Figures {
    /// The figures of each topic.
    pub topics: BTreeMap<String, TopicFigures>,
}

/// Figures of one topic.
///
/// ```
/// # use annals_mirror::TopicFigures;
/// fn is_in_trouble(topic: &TopicFigures) -> bool {
///     topic.failure.is_some()
/// }
/// # assert!(!is_in_trouble(&TopicFigures::default()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TopicFigures {
    /// Records of steps that took effect.
    pub records: u64,
    /// Bytes of their keys, values and headers.
    pub bytes: u64,
    /// Steps that took effect.
    pub steps: u64,
    /// Sessions that ended before the mirror did.
    pub restarts: u64,
    /// Offsets of the source that are not mirrored, when last checked.
    pub lag: u64,
    /// Offsets of groups that were translated and committed.
    pub translated: u64,
    /// Why the last session ended; `None` while a session is running.
    pub failure: Option<String>,
}

impl Figures {
    /// Returns the records of all topics.
    pub fn records(&self) -> u64 {
        self.topics.values().map(|topic| topic.records).sum()
    }

    /// Returns the lag of all topics.
    pub fn lag(&self) -> u64 {
        self.topics.values().map(|topic| topic.lag).sum()
    }
}

/// Where workers note what they did.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Figures>);

impl Board {
    pub(crate) fn note(&self, topic: &str, change: impl FnOnce(&mut TopicFigures)) {
        let mut figures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(figures.topics.entry(topic.to_owned()).or_default());
    }

    pub(crate) fn now(&self) -> Figures {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
