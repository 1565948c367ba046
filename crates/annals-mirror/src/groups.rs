//! Which offsets of groups are to be translated.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use annals::{Offset, TopicPartition};

use crate::offset_map::{OffsetMap, Translated};

/// How often groups are looked at while records come.
const INTERVAL: Duration = Duration::from_secs(1);

/// What was committed at the last look, so that nothing is asked of the other side when nothing has changed.
#[derive(Debug)]
pub(crate) struct Groups {
    are_any: bool,
    seen: BTreeMap<(String, TopicPartition), Offset>,
    looked: Option<Instant>,
}

impl Groups {
    pub(crate) fn new(groups: &BTreeSet<String>) -> Self {
        Self { are_any: !groups.is_empty(), seen: BTreeMap::new(), looked: None }
    }

    /// Whether it is time for a look.
    pub(crate) fn are_due(&mut self) -> bool {
        let is_due = self.are_any && self.looked.is_none_or(|at| at.elapsed() >= INTERVAL);
        if is_due {
            self.looked = Some(Instant::now());
        }
        is_due
    }

    /// Where the group is on the other side, in the partitions where it has moved and that can be said.
    pub(crate) fn translated(
        &self,
        group: &str,
        committed: &BTreeMap<TopicPartition, Offset>,
        (maps, mirrored): (&BTreeMap<TopicPartition, OffsetMap>, &BTreeMap<TopicPartition, Offset>),
    ) -> BTreeMap<TopicPartition, Offset> {
        let mut wanted = BTreeMap::new();
        for (place, offset) in committed {
            if self.seen.get(&(group.to_owned(), place.clone())) == Some(offset) {
                continue;
            }
            let up_to = mirrored.get(place).copied().unwrap_or(0);
            match maps.get(place).map(|map| map.translate(*offset, up_to)) {
                Some(Translated::Exactly(there) | Translated::Before(there)) => {
                    wanted.insert(place.clone(), there);
                }
                Some(Translated::NotYet) | None => {}
            }
        }
        wanted
    }

    /// What was translated of this is not looked at again until it changes.
    pub(crate) fn note(
        &mut self,
        group: &str,
        committed: &BTreeMap<TopicPartition, Offset>,
        done: &BTreeMap<TopicPartition, Offset>,
    ) {
        for (place, offset) in committed.iter().filter(|(place, _)| done.contains_key(*place)) {
            self.seen.insert((group.to_owned(), place.clone()), *offset);
        }
    }
}
