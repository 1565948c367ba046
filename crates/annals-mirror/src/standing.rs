//! Where a partition that is mirrored out goes on, and what its map is to say of a stretch that it does not know.

use annals::{Offset, TopicPartition};

use crate::cluster::{Commit, Ends};
use crate::error::{Error, Result};
use crate::offset_map::{Changes, Noted, Run};
use crate::source::Bounds;

/// What both sides say of a partition when a session begins. Nothing of the topic is under way any more.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    pub(crate) place: &'a TopicPartition,
    pub(crate) topic_id: u128,
    /// Of the mirror's group. Kafka forgets it together with the topic, and `offsets.retention.minutes` after the last one.
    pub(crate) commit: Option<&'a Commit>,
    /// This is not forgotten.
    pub(crate) noted: &'a Noted,
    pub(crate) source: Bounds,
    /// In the cluster, records that are not decided counted.
    pub(crate) target: Ends,
}

/// Where a partition goes on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) position: Offset,
    /// What is to be written to the map before anything else.
    pub(crate) changes: Changes,
}

pub(crate) fn id_text(id: u128) -> String {
    format!("{id:032x}")
}

impl Known<'_> {
    pub(crate) fn standing(&self, skips_deleted: bool) -> Result<Standing> {
        let position = self.position()?;
        let Bounds { start, stable, .. } = self.source;
        if position > stable {
            return Err(self.diverged(position, format!("and the store's records end at {stable}")));
        }
        if position < start && !skips_deleted {
            return Err(Error::Deleted { partition: self.place.clone(), position, start });
        }
        Ok(Standing { position: position.max(start), changes: self.changes(position) })
    }

    fn position(&self) -> Result<Offset> {
        let other = "which was an offset of another topic of that name";
        let Noted { map, others } = self.noted;
        let Some(commit) = self.commit else {
            return match (map.position(), others.position()) {
                // In a topic that has nothing of it, nothing comes twice.
                _ if self.is_target_another() => Ok(self.source.start),
                (Some(position), _) => Ok(position),
                (None, Some(position)) => Err(self.diverged(position, other.to_owned())),
                (None, None) => Ok(self.source.start),
            };
        };
        let (position, id) = (commit.offset, id_text(self.topic_id));
        if commit.metadata != id {
            return Err(self.diverged(position, format!("{other}: {:?} and not {id:?}", commit.metadata)));
        }
        if self.is_target_another() && map.position().is_some_and(|noted| position >= noted) {
            let (end, brought) = (self.target.end, map.last().map_or(0, |last| last.target_next));
            return Err(self.diverged(
                position,
                format!(
                    "for which the cluster's records went up to {brought}, and they end at {end} now: they were lost there, or the topic was made again while a mirror ran; to mirror it from the start, stop the mirror, delete the topic in the cluster once more, and start again"
                ),
            ));
        }
        Ok(position)
    }

    /// Whether the target ends in front of what was brought there.
    fn is_target_another(&self) -> bool {
        let last = self.noted.map.last().or(self.noted.others.last());
        last.is_some_and(|last| last.target_next > self.target.end)
    }

    /// A run is kept only as long as it is known to be of these two topics, and what was mirrored without a run gets a coarse one: offsets
    /// would be led past the records in it.
    fn changes(&self, position: Offset) -> Changes {
        let mut changes = Changes::default();
        changes.removed.extend(self.noted.others.keys());
        let map = &self.noted.map;
        let mut last = map.last();
        if self.is_target_another() || last.is_some_and(|last| position < last.source_next) {
            changes.removed.extend(map.keys());
            last = None;
        }
        let source = last.map_or(0, |last| last.source_next);
        let target = last.map_or(self.target.start, |last| last.target_next);
        // Behind the last record that was brought there, the target has the end mark of its transaction and no other record.
        let is_empty = last.is_some() && self.target.end <= target + 1;
        if self.commit.is_some() && source < position && !is_empty {
            let hole =
                Run { source, source_next: position, target, target_next: self.target.end, is_coarse: true };
            changes.removed.retain(|key| *key != source);
            changes.set.insert(source, hole);
        }
        changes
    }

    fn diverged(&self, position: Offset, reason: String) -> Error {
        Error::Diverged { partition: self.place.clone(), position, reason }
    }
}

#[cfg(test)]
mod tests;
