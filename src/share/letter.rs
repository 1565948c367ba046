//! A dead letter: what of the message is in it, and what it says of it.

use crate::share::burial::Burial;
use crate::topic::{OwnedHeader, OwnedRecord, RecordRef};
use crate::types::Record;

/// Kafka's headers of a dead letter, after those of the record.
pub(super) const TOPIC_HEADER: &str = "__dlq.errors.topic";
pub(super) const PARTITION_HEADER: &str = "__dlq.errors.partition";
pub(super) const OFFSET_HEADER: &str = "__dlq.errors.offset";
pub(super) const GROUP_HEADER: &str = "__dlq.errors.group";
pub(super) const COUNT_HEADER: &str = "__dlq.errors.delivery.count";
pub(super) const MESSAGE_HEADER: &str = "__dlq.errors.message";
/// The id of the message's topic in 32 hexadecimal digits: another topic may have its name later.
pub(super) const TOPIC_ID_HEADER: &str = "annals.letter.topic.id";
/// What the letter is without, a space, and the id of the message's topic in 32 hexadecimal digits.
pub(super) const WITHOUT_HEADER: &str = "annals.letter.without";

/// The message's key, of a letter that has one of its own because its topic is compacted.
pub(super) const KEY_HEADER: &str = "annals.letter.key";
/// Null where the message had no value, of the same: without one a letter would be deleted.
pub(super) const VALUE_HEADER: &str = "annals.letter.value";

/// What each letter says, in this order.
const SAID: [&str; 6] =
    [TOPIC_HEADER, PARTITION_HEADER, OFFSET_HEADER, GROUP_HEADER, COUNT_HEADER, MESSAGE_HEADER];

/// What a letter's own headers take at most: a group's name of 32 KiB, a reason and a topic's name among them.
pub(super) const MOST_HEADER_BYTES: u32 = 64 << 10;
/// So many bytes of a reason are kept.
pub(super) const REASON_MOST_BYTES: usize = 16 << 10;
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
    pub(super) fn of(own: &[OwnedHeader]) -> Option<Self> {
        let header = own.iter().find(|header| header.key == WITHOUT_HEADER)?;
        let text = String::from_utf8_lossy(header.value.as_deref()?).into_owned();
        let (what, topic) = text.split_once(' ').unwrap_or((&text, ""));
        Some(Self { what: what.to_owned(), topic: u128::from_str_radix(topic, 16).ok() })
    }
}

/// How many of a record's last headers are a letter's own; `None` when it is no letter. Whatever stands before them is the
/// message's, whatever it is called: it may have been a letter itself.
fn own_count<'a>(names: impl DoubleEndedIterator<Item = &'a str>) -> Option<usize> {
    let mut names = names.rev().peekable();
    let mut has = |name: &str| usize::from(names.next_if(|next| *next == name).is_some());
    let (without, value, key) = (has(WITHOUT_HEADER), has(VALUE_HEADER), has(KEY_HEADER));
    // Letters of before have none.
    let id = has(TOPIC_ID_HEADER);
    let is_letter = value <= key && SAID.iter().rev().all(|name| has(name) == 1);
    is_letter.then_some(SAID.len() + id + key + value + without)
}

/// Takes a letter's own headers out of its record.
pub(super) fn take_own(record: &mut OwnedRecord) -> Vec<OwnedHeader> {
    let own = own_count(record.headers.iter().map(|header| header.key.as_str())).unwrap_or(0);
    record.headers.split_off(record.headers.len().saturating_sub(own))
}

/// Whether a record is a letter of the queue that a group has, or had, on a topic of that name.
pub(super) fn is_letter_of(record: &RecordRef<'_>, (topic, group): (&str, &str)) -> bool {
    let headers: Vec<_> = record.headers().collect();
    let Some(own) = own_count(headers.iter().map(|header| &*header.key)) else { return false };
    let says = |name: &str, what: &str| {
        let mut own = headers.iter().rev().take(own);
        own.any(|header| header.key == name && header.value == Some(what.as_bytes()))
    };
    says(TOPIC_HEADER, topic) && says(GROUP_HEADER, group)
}

/// The id that a header says.
pub(super) fn topic_id(value: Option<&[u8]>) -> Option<u128> {
    u128::from_str_radix(std::str::from_utf8(value?).ok()?, 16).ok()
}

/// The key of the message of which a record is the letter, if it is one of that topic's.
pub(super) fn letter_key(record: &RecordRef<'_>, topic: &str) -> Option<Vec<u8>> {
    let headers: Vec<_> = record.headers().collect();
    let own = own_count(headers.iter().map(|header| &*header.key))?;
    let find = |name: &str| headers.iter().rev().take(own).find(|header| header.key == name);
    find(TOPIC_HEADER).filter(|header| header.value == Some(topic.as_bytes()))?;
    let key = find(KEY_HEADER).map_or_else(|| record.key(), |header| header.value);
    key.map(<[u8]>::to_vec)
}

/// The id of the topic that the message of a letter was in, where the letter says it.
pub(super) fn letter_topic_id(record: &RecordRef<'_>) -> Option<u128> {
    let headers: Vec<_> = record.headers().collect();
    let own = own_count(headers.iter().map(|header| &*header.key))?;
    let id = headers.iter().rev().take(own).find(|header| header.key == TOPIC_ID_HEADER)?;
    topic_id(id.value)
}

/// What a dead letter says of its message.
pub(super) struct Letter {
    topic: String,
    partition: String,
    offset: String,
    group: String,
    count: String,
    reason: String,
    topic_id: String,
    /// In a compacted topic no two letters have one key.
    own_key: Option<String>,
}

impl Letter {
    pub(super) fn of(
        record: &OwnedRecord,
        (group, topic_id, is_compacted): (&str, u128, bool),
        burial: &Burial<'_>,
    ) -> Self {
        let topic_id = format!("{topic_id:032x}");
        // Another topic of the name has the same offsets.
        let own_key =
            || format!("{}-{}@{} {topic_id} {group}", record.topic, record.partition, record.offset);
        Self {
            own_key: is_compacted.then(own_key),
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
        format!("{} {}", without.text(), self.topic_id)
    }

    pub(super) fn record<'a>(
        &'a self,
        record: &'a OwnedRecord,
        (without, missing): (Without, &'a str),
    ) -> Record<'a> {
        let mut letter = Record::new();
        let key = record.key.as_deref().filter(|_| without != Without::Record);
        let value = record.value.as_deref().filter(|_| without == Without::Nothing);
        match &self.own_key {
            Some(own) => letter = letter.key(own).value(value.unwrap_or_default()),
            None => {
                letter = key.into_iter().fold(letter, Record::key);
                letter = value.into_iter().fold(letter, Record::value);
            }
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
            (TOPIC_ID_HEADER, &self.topic_id),
        ];
        let mut letter = own.into_iter().fold(letter, |letter, (name, value)| letter.header(name, value));
        if self.own_key.is_some() {
            letter = match key {
                Some(key) => letter.header(KEY_HEADER, key),
                None => letter.null_header(KEY_HEADER),
            };
            if value.is_none() {
                letter = letter.null_header(VALUE_HEADER);
            }
        }
        match without {
            Without::Nothing => letter,
            _ => letter.header(WITHOUT_HEADER, missing),
        }
    }
}

/// The first bytes of a text, as many whole characters as fit.
pub(super) fn cut(text: &str, most: usize) -> &str {
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
