//! A dead letter: what of the message is in it, and what it says of it.

use crate::share::burial::Burial;
use crate::topic::OwnedRecord;
use crate::types::Record;

/// Kafka's headers of a dead letter, behind those of the record.
pub(super) const TOPIC_HEADER: &str = "__dlq.errors.topic";
pub(super) const PARTITION_HEADER: &str = "__dlq.errors.partition";
pub(super) const OFFSET_HEADER: &str = "__dlq.errors.offset";
pub(super) const GROUP_HEADER: &str = "__dlq.errors.group";
pub(super) const COUNT_HEADER: &str = "__dlq.errors.delivery.count";
pub(super) const MESSAGE_HEADER: &str = "__dlq.errors.message";
/// What the letter is without, a space, and the id of the message's topic in 32 hexadecimal digits.
pub(super) const WITHOUT_HEADER: &str = "annals.letter.without";

/// What a letter's own headers take at most: a group's name of 32 KiB, a reason and a topic's name among them.
pub(super) const MOST_HEADER_BYTES: u32 = 64 << 10;
/// So many bytes of a reason are kept.
const REASON_MOST_BYTES: usize = 16 << 10;
/// And so many where not even the key fits.
const SHORT_REASON_BYTES: usize = 128;

/// What a letter leaves out because its topic takes no record so large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Without {
    Nothing,
    Value,
    ValueAndHeaders,
    /// It says where the message is, and no more.
    Record,
}

impl Without {
    /// What to leave out next.
    pub(super) fn more(self) -> Option<Self> {
        match self {
            Self::Nothing => Some(Self::Value),
            Self::Value => Some(Self::ValueAndHeaders),
            Self::ValueAndHeaders => Some(Self::Record),
            Self::Record => None,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Value => "value",
            Self::ValueAndHeaders => "value,headers",
            Self::Record => "key,value,headers",
        }
    }
}

/// What a letter says that is not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) what: String,
    /// The topic in which the rest is.
    pub(super) topic: Option<u128>,
}

impl Missing {
    pub(super) fn of(record: &OwnedRecord) -> Option<Self> {
        let text = String::from_utf8_lossy(record.header(WITHOUT_HEADER)?).into_owned();
        let (what, topic) = text.split_once(' ').unwrap_or((&text, ""));
        Some(Self { what: what.to_owned(), topic: u128::from_str_radix(topic, 16).ok() })
    }
}

/// What a dead letter says of its message.
pub(super) struct Letter {
    topic: String,
    partition: String,
    offset: String,
    group: String,
    count: String,
    reason: String,
    topic_id: u128,
}

impl Letter {
    pub(super) fn of(record: &OwnedRecord, (group, topic_id): (&str, u128), burial: &Burial<'_>) -> Self {
        Self {
            topic: record.topic.to_string(),
            partition: record.partition.to_string(),
            offset: record.offset.to_string(),
            group: group.to_owned(),
            count: burial.span.count.to_string(),
            reason: cut(burial.reason, REASON_MOST_BYTES).to_owned(),
            topic_id,
        }
    }

    /// What the letter is without, for its header.
    pub(super) fn missing(&self, without: Without) -> String {
        format!("{} {:032x}", without.text(), self.topic_id)
    }

    pub(super) fn record<'a>(
        &'a self,
        record: &'a OwnedRecord,
        (without, missing): (Without, &'a str),
    ) -> Record<'a> {
        let mut letter = Record::new();
        if let Some(key) = record.key.as_deref().filter(|_| without != Without::Record) {
            letter = letter.key(key);
        }
        if let Some(value) = record.value.as_deref().filter(|_| without == Without::Nothing) {
            letter = letter.value(value);
        }
        if matches!(without, Without::Nothing | Without::Value) {
            for header in &record.headers {
                letter = match &header.value {
                    Some(value) => letter.header(&header.key, value),
                    None => letter.null_header(&header.key),
                };
            }
        }
        let kept = if without == Without::Record { SHORT_REASON_BYTES } else { REASON_MOST_BYTES };
        let own = [
            (TOPIC_HEADER, self.topic.as_str()),
            (PARTITION_HEADER, &self.partition),
            (OFFSET_HEADER, &self.offset),
            (GROUP_HEADER, &self.group),
            (COUNT_HEADER, &self.count),
            (MESSAGE_HEADER, cut(&self.reason, kept)),
        ];
        let letter = own.into_iter().fold(letter, |letter, (name, value)| letter.header(name, value));
        match without {
            Without::Nothing => letter,
            _ => letter.header(WITHOUT_HEADER, missing),
        }
    }
}

/// The first bytes of a text, as many whole characters as fit.
fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!([0, 1, 2, 3, 9].map(|most| cut("aüb", most)), ["", "a", "a", "aü", "aüb"]);
    }
}
