//! How a queue works: the same for all its workers.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use crate::consumer::StartFrom;
use crate::error::{Error, Result};
use crate::log::OnDamage;
use crate::share::retry::RetryPolicy;
use crate::share::selection::NO_LIMIT;
use crate::types::Durability;

/// Kafka's `group.share.delivery.count.limit`.
const DELIVERY_LIMIT: i16 = 5;
/// Kafka's `group.share.record.lock.duration.ms`.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// What becomes of messages that are given up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum DeadLetterTopic {
    /// A topic of the queue's own, made for the first of them.
    #[default]
    Own,
    Named(String),
    /// Nothing is kept of them.
    None,
}

/// What all workers of a queue agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) delivery_limit: i16,
    pub(super) retry: RetryPolicy,
    pub(super) dead_letters: DeadLetterTopic,
    pub(super) is_ordered: bool,
    pub(super) durability: Durability,
    pub(super) start_from: StartFrom,
    pub(super) on_damage: OnDamage,
    pub(super) counts_written: bool,
    /// Its records are dead letters, of which it hands out those of the group's queue on that topic.
    pub(super) letters_of: Option<Arc<str>>,
}

/// What a worker asks for; what it leaves out is as it is, or the default.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    pub(super) delivery_limit: Option<u16>,
    pub(super) retry: Option<RetryPolicy>,
    pub(super) dead_letters: Option<DeadLetterTopic>,
    pub(super) is_ordered: Option<bool>,
    pub(super) durability: Option<Durability>,
    pub(super) start_from: Option<StartFrom>,
    pub(super) on_damage: Option<OnDamage>,
    pub(super) counts_written: Option<bool>,
    pub(super) letters_of: Option<Arc<str>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            delivery_limit: DELIVERY_LIMIT,
            retry: RetryPolicy::default(),
            dead_letters: DeadLetterTopic::default(),
            is_ordered: false,
            durability: Durability::default(),
            start_from: StartFrom::default(),
            on_damage: OnDamage::Fail,
            counts_written: true,
            letters_of: None,
        }
    }
}

impl Settings {
    /// The first of them that is not as in others, by the name that a builder gives it; where it is a number or a word, both.
    pub(super) fn other_than(&self, others: &Self) -> Option<String> {
        let both = |name: &str, own: &dyn Debug, other: &dyn Debug| {
            Some(format!("{name} is {other:?} there, and not {own:?}"))
        };
        let differs = |name: &str| Some(format!("{name} differs there"));
        if self.delivery_limit != others.delivery_limit {
            return both("delivery_limit", &self.delivery_limit, &others.delivery_limit);
        }
        if self.retry != others.retry {
            return differs("retry_policy");
        }
        if self.dead_letters != others.dead_letters {
            return both("dead_letter_topic", &self.dead_letters, &others.dead_letters);
        }
        if self.is_ordered != others.is_ordered {
            return both("ordered_by_key", &self.is_ordered, &others.is_ordered);
        }
        if self.durability != others.durability {
            return both("durability", &self.durability, &others.durability);
        }
        if self.start_from != others.start_from {
            return both("start_from", &self.start_from, &others.start_from);
        }
        if self.on_damage != others.on_damage {
            return both("on_damage", &self.on_damage, &others.on_damage);
        }
        if self.counts_written != others.counts_written {
            return both("count_in_memory", &!self.counts_written, &!others.counts_written);
        }
        (self != others).then(|| "a setting differs there".to_owned())
    }
}

impl Asked {
    /// The settings that come of it where `others` hold otherwise.
    pub(super) fn or(&self, others: &Settings) -> Result<Settings> {
        let delivery_limit = match self.delivery_limit {
            None => others.delivery_limit,
            Some(0) => {
                let key = "group.share.delivery.count.limit";
                return Err(Error::config(key, 0, "at least 1: nothing would be handed out"));
            }
            Some(limit) => i16::try_from(limit).unwrap_or(NO_LIMIT),
        };
        Ok(Settings {
            delivery_limit,
            retry: self.retry.unwrap_or(others.retry),
            dead_letters: self.dead_letters.clone().unwrap_or_else(|| others.dead_letters.clone()),
            is_ordered: self.is_ordered.unwrap_or(others.is_ordered),
            durability: self.durability.unwrap_or(others.durability),
            start_from: self.start_from.unwrap_or(others.start_from),
            on_damage: self.on_damage.unwrap_or(others.on_damage),
            counts_written: self.counts_written.unwrap_or(others.counts_written),
            letters_of: self.letters_of.clone(),
        })
    }
}
