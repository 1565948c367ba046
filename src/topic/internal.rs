//! Topics that the store keeps for itself: which there are, how they are kept, and that nobody else writes them.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::topic::config::{CleanupPolicy, TopicConfig};

/// A topic that the store keeps for itself, under Kafka's name for it. It is created by the first record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InternalTopic {
    pub(crate) name: &'static str,
    pub(crate) partitions: u32,
    keeps: Keeps,
}

/// How it is kept from growing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    /// The last record of each key is its state: it is compacted.
    LastOfKey,
    /// A record changes what others say. Whoever writes it says what is not needed any more.
    WhatIsNeeded,
}

/// Nothing of the segment that grows can be taken, by compaction or by deletion.
const SEGMENT_BYTES: u32 = 16 << 20;

/// What groups have committed.
pub(crate) static OFFSETS: InternalTopic =
    InternalTopic { name: "__consumer_offsets", partitions: 1, keeps: Keeps::LastOfKey };

/// What was decided about transactions.
pub(crate) static TRANSACTIONS: InternalTopic =
    InternalTopic { name: "__transaction_state", partitions: 1, keeps: Keeps::LastOfKey };

/// What queues have delivered, and what became of it.
pub(crate) static SHARE_STATE: InternalTopic =
    InternalTopic { name: "__share_group_state", partitions: 1, keeps: Keeps::WhatIsNeeded };

/// Records that are to be delivered later: one partition for each step of a ladder, from 16 ms to 12 days.
pub(crate) static DELAYED: InternalTopic =
    InternalTopic { name: "__delayed_messages", partitions: DELAYED_PARTITIONS, keeps: Keeps::WhatIsNeeded };

pub(crate) const DELAYED_PARTITIONS: u32 = 27;

/// Positions that a step of that has at most, each the offset of a group.
pub(crate) const DELAYED_POSITIONS: usize = 8;

/// The group whose offsets are the positions of that number.
pub(crate) fn position_group(number: usize) -> String {
    if number == 0 { DELAYED.name.to_owned() } else { format!("{}.{number}", DELAYED.name) }
}

fn is_position_group(name: &str) -> bool {
    let number = name.strip_prefix(DELAYED.name).and_then(|rest| rest.strip_prefix('.'));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Which ids were sent to topics lately.
pub(crate) static MESSAGE_IDS: InternalTopic =
    InternalTopic { name: "__message_ids", partitions: 1, keeps: Keeps::LastOfKey };

/// All of them.
static ALL: [&InternalTopic; 5] = [&OFFSETS, &TRANSACTIONS, &SHARE_STATE, &DELAYED, &MESSAGE_IDS];

/// The most bytes of one batch: a change that fits is all or nothing. It holds by code and not by the catalog, so that it
/// holds for a store of an earlier version too.
const MOST_BATCH_BYTES: u64 = 16 << 20;

impl InternalTopic {
    /// The one of that name.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        ALL.into_iter().find(|internal| internal.name == name)
    }

    /// Whether a store without it is none. Without what groups have committed, groups stand still and nothing else does; without the
    /// ids, those who send with them.
    pub(super) fn is_vital(&self) -> bool {
        *self != OFFSETS && *self != MESSAGE_IDS
    }

    /// What the catalog lists for it.
    pub(crate) fn config(&self) -> TopicConfig {
        let config = TopicConfig::new().partitions(self.partitions);
        match self.keeps {
            Keeps::LastOfKey => config.cleanup_policy(CleanupPolicy::Compact),
            Keeps::WhatIsNeeded => config.segment_bytes(SEGMENT_BYTES),
        }
    }

    /// Settings that hold for it whatever the catalog lists.
    pub(super) fn fixed(values: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut fixed = values.clone();
        fixed.insert("max.message.bytes".to_owned(), MOST_BATCH_BYTES.to_string());
        fixed.insert("segment.bytes".to_owned(), SEGMENT_BYTES.to_string());
        fixed
    }
}

/// Whether a topic of that name, or a group, is the store's own.
pub(crate) fn is_internal(name: &str) -> bool {
    InternalTopic::find(name).is_some() || is_position_group(name)
}

/// Refuses the use of a group that the store keeps for itself: one with the name of such a topic, with a number behind it or not, whose
/// positions are what that needs.
///
/// # Errors
/// [`InvalidName`](Error::InvalidName).
pub(crate) fn refuse_group(name: &str) -> Result<()> {
    let reason = "the store keeps this group for itself";
    if is_internal(name) {
        Err(Error::InvalidName { kind: "group", name: name.to_owned(), reason })
    } else {
        Ok(())
    }
}

/// Refuses a change by users to the list of topics that is about an internal one.
///
/// # Errors
/// [`InvalidName`](Error::InvalidName).
pub(crate) fn refuse_change(name: &str) -> Result<()> {
    match InternalTopic::find(name) {
        None => Ok(()),
        Some(_) => Err(Error::InvalidName {
            kind: "topic",
            name: name.to_owned(),
            reason: "the store keeps this topic for itself",
        }),
    }
}

/// Refuses a record, or a deletion, that a user has for an internal topic.
///
/// # Errors
/// [`InvalidArgument`](Error::InvalidArgument).
#[inline]
pub(crate) fn refuse_write(is_internal: bool, name: &str) -> Result<()> {
    if is_internal {
        Err(Error::invalid(format!("topic {name:?} is written by the store alone")))
    } else {
        Ok(())
    }
}
