//! What groups have committed in a store that another process owns.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::group::committed::{Commit, Committed};
use crate::group::groups::Groups;
use crate::group::spool::{Spool, Spooled};
use crate::group::spool_read::Seen;
use crate::io::Clock;
use crate::topic::{Ledger, OFFSETS, Partition, Replay, Topics};
use crate::types::Offset;

/// How far the records of commits were read.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    until: Until,
    /// What was read of the spool is laid over them, and nothing else.
    is_laid: bool,
    /// Some are of topics that were not there by their names.
    has_unnamed: bool,
}

#[derive(Debug, Default)]
struct Until {
    /// The topic's id, and how often something was taken out of it.
    of: Option<(u128, u64)>,
    next: Offset,
}

/// What a look has found in the topic of commits.
struct News {
    found: Found,
    /// How far it was read by that.
    until: Until,
}

enum Found {
    /// All that there is: a compaction takes tombstones away, and what they have deleted must not stay known.
    Anew(Committed),
    /// Keys and values of what came since.
    Since(Vec<(Vec<u8>, Option<Vec<u8>>)>),
}

impl News {
    fn read(partition: &Partition, before: &Until) -> Result<Self> {
        let of = Some((partition.topic_id(), partition.log().rewrites()));
        let is_same = before.of == of;
        let (mut anew, mut since) = (Committed::default(), Vec::new());
        let mut until = Until { of, next: if is_same { before.next } else { 0 } };
        let mut reader = partition.walk(until.next..Offset::MAX)?;
        loop {
            let records = reader.fetch()?;
            if records.is_empty() {
                break;
            }
            for record in &records {
                let (key, value) = (record.key().unwrap_or_default(), record.value());
                if is_same {
                    since.push((key.to_vec(), value.map(<[u8]>::to_vec)));
                } else {
                    // What is not understood counts for nothing: the owner names it.
                    drop(anew.replay(key, value));
                }
            }
            until.next = reader.position();
        }
        let found = if is_same { Found::Since(since) } else { Found::Anew(anew) };
        Ok(Self { found, until })
    }

    fn is_nothing(&self) -> bool {
        matches!(&self.found, Found::Since(records) if records.is_empty())
    }
}

impl Groups {
    /// The groups of a store that another process owns. Each look sees what they have committed by then.
    pub(crate) fn attach(topics: Arc<Topics>, clock: Arc<dyn Clock>, spool: Spool) -> Result<Arc<Self>> {
        let ledger = Ledger::new(Arc::clone(&topics), &OFFSETS);
        let groups = Self::with((topics, clock), ledger, Committed::default(), Some(Replayed::default()));
        groups.spool_in(spool);
        match groups.look() {
            Err(failed @ Error::Io { .. }) => Err(failed),
            // Damage is returned by calls about groups. The rest of the store is none of that.
            Ok(()) | Err(_) => Ok(Arc::new(groups)),
        }
    }

    /// Sees what was committed since the last look. A store of this process has nothing to look for.
    pub(crate) fn look(&self) -> Result<()> {
        let Some(replayed) = &self.replayed else { return Ok(()) };
        let mut replayed = replayed.lock();
        // From here on, so that no commit of this process comes in between.
        let mut committed = self.committed.lock();
        // First: what is taken out of there meanwhile was put into the topic before.
        let spooled = self.spooled()?;
        // Where the look fails below, the next one lays all of it over.
        let was_laid = std::mem::take(&mut replayed.is_laid);
        let news = match self.topics.get(OFFSETS.name) {
            Ok(topic) => Some(News::read(&topic.partition(0)?, &replayed.until)?),
            // Nothing was committed yet, or nothing was folded.
            Err(Error::UnknownTopic { .. }) => None,
            Err(error) => return Err(error),
        };
        // From here on nothing fails: a look that cannot see leaves what was seen before.
        let is_as_it_was = was_laid && !replayed.has_unnamed && news.as_ref().is_none_or(News::is_nothing);
        match &spooled {
            Some(Spooled { seen: Seen::Since(since), .. }) if is_as_it_was => {
                since.commits().for_each(|change| committed.cover(change.clone()));
            }
            _ => {
                // What was laid over the topic may be older than what it has by now, and is in the spool no more.
                committed.uncover();
                if let Some(news) = news {
                    self.take_in(news, (&mut replayed, &mut committed));
                }
                let all = spooled.iter().flat_map(|spooled| spooled.read.commits());
                all.for_each(|change| committed.cover(change.clone()));
            }
        }
        replayed.is_laid = true;
        Ok(())
    }

    fn take_in(&self, news: News, (replayed, committed): (&mut Replayed, &mut Committed)) {
        replayed.until = news.until;
        match news.found {
            Found::Anew(found) => *committed = found,
            Found::Since(records) => {
                for (key, value) in records {
                    drop(committed.replay(&key, value.as_deref()));
                }
            }
        }
        let unnamed = || committed.iter().filter(|(_, _, commit)| !commit.names_id);
        let named: Vec<_> = unnamed()
            .filter_map(|(group, place, commit)| {
                let topic = self.topics.get(place.topic()).ok()?;
                Some((Arc::clone(group), place.clone(), Commit { topic_id: topic.id(), ..commit.clone() }))
            })
            .collect();
        replayed.has_unnamed = unnamed().next().is_some();
        named.into_iter().for_each(|(group, place, bound)| committed.set(&group, &place, Some(bound)));
    }

    /// Where a partition ends by now, as its owner shows it or its files hold it: an error where that cannot be seen. After a power cut a commit may
    /// lie above. As long as no owner has set it back, whether there is one or not, it is taken for that end.
    pub(super) fn end_by_now(partition: &Partition) -> Result<Offset> {
        partition.log().left_in()?;
        Ok(partition.end())
    }
}

#[cfg(test)]
impl Groups {
    /// How many commits are known of a group.
    pub(crate) fn known_commits(&self, group: &str) -> usize {
        self.find(group).map_or(0, |group| group.known_commits())
    }
}
