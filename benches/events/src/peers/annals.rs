//! annals: one topic with a key index, one partition.

use std::path::Path;
use std::sync::Arc;

use annals::{Expected, Record, Store, Topic, TopicConfig};

use super::{Events, Peer};
use crate::harness::Outcome;
use crate::payload::Found;

pub(crate) const PEER: Peer = Peer { name: "annals", open };

struct Annals {
    store: Store,
    topic: Topic,
}

fn open(dir: &Path) -> Outcome<Arc<dyn Events>> {
    let store = Store::open(dir)?;
    let topic = store.ensure_topic("events", TopicConfig::new().key_index(true))?;
    Ok(Arc::new(Annals { store, topic }))
}

impl Events for Annals {
    fn append(&self, stream: &str, expected: Option<u64>, events: &[&[u8]]) -> Outcome<u64> {
        let expected = match expected {
            Some(version) => Expected::Version(i64::try_from(version)?),
            None => Expected::NoStream,
        };
        let appended = match events {
            [event] => self.topic.append_to(stream, expected, &[Record::new().value(*event)])?,
            events => {
                let records: Vec<_> = events.iter().map(|event| Record::new().value(*event)).collect();
                self.topic.append_to(stream, expected, &records)?
            }
        };
        Ok(u64::try_from(appended.last_offset)?)
    }

    fn read(&self, stream: &str, found: &mut Found) -> Outcome {
        let mut reader = self.topic.stream(stream)?.read(..)?;
        loop {
            let events = reader.fetch()?;
            if events.is_empty() {
                return Ok(());
            }
            events.iter().for_each(|event| found.add(event.value().unwrap_or_default()));
        }
    }

    fn read_all(&self, found: &mut Found) -> Outcome {
        let mut reader = self.topic.partition(0)?.read(..)?;
        loop {
            let events = reader.fetch()?;
            if events.is_empty() {
                return Ok(());
            }
            events.iter().for_each(|event| found.add(event.value().unwrap_or_default()));
        }
    }

    fn close(&self) -> Outcome {
        Ok(self.store.close()?)
    }
}
