//! tephra: the stream is an event's only tag, and an append fails if an event of that tag came after the one that its sender has seen.
//! Its writer is a thread; each batch that it makes of what waits is synced, and there is no setting for less.

use std::path::Path;
use std::sync::{Arc, Mutex};

use tephra::{
    AppendCondition, Event, EventType, Position, Query, QueryItem, SegmentConfig, SegmentSet, Tag, Tags,
    WriteCoordinator, WriteHandle, WriterConfig,
};

use super::{Events, Peer};
use crate::harness::Outcome;
use crate::payload::Found;

pub(crate) const PEER: Peer = Peer { name: "tephra, a tag for each stream", open };

/// Of its own examples.
const SEGMENT_BYTES: usize = 256 << 20;

struct Tephra {
    writer: Mutex<Option<WriteCoordinator>>,
    events: WriteHandle,
    kind: EventType,
}

fn open(dir: &Path) -> Outcome<Arc<dyn Events>> {
    let set = SegmentSet::open(dir, SegmentConfig::new(SEGMENT_BYTES))?;
    let (writer, events) = WriteCoordinator::start(set, WriterConfig::default())?;
    Ok(Arc::new(Tephra { writer: Mutex::new(Some(writer)), events, kind: EventType::new("event")? }))
}

fn tags(stream: &str) -> Outcome<Tags> {
    Ok(Tags::new([Tag::new(stream)?])?)
}

fn query(stream: &str) -> Outcome<Query> {
    Ok(Query::item(QueryItem::with_tags(tags(stream)?)))
}

impl Tephra {
    fn count(&self, query: &Query, found: &mut Found) -> Outcome {
        let mut events = self.events.read(query, Position::ZERO, None);
        while let Some(event) = events.next() {
            found.add(event?.event.data());
        }
        Ok(())
    }
}

impl Events for Tephra {
    fn append(&self, stream: &str, expected: Option<u64>, events: &[&[u8]]) -> Outcome<u64> {
        let tags = tags(stream)?;
        let mut condition = AppendCondition::new(query(stream)?);
        if let Some(position) = expected {
            condition = condition.after(Position::new(position));
        }
        let encode = |event: &&[u8]| Event::new(&self.kind, &tags, event);
        let encoded = events.iter().map(encode).collect::<Result<Vec<_>, _>>()?;
        let count = u64::try_from(encoded.len())?;
        let placed = self.events.append(encoded, Some(condition))?;
        Ok(placed.first.get() + count - 1)
    }

    fn read(&self, stream: &str, found: &mut Found) -> Outcome {
        self.count(&query(stream)?, found)
    }

    fn read_all(&self, found: &mut Found) -> Outcome {
        self.count(&Query::all(), found)
    }

    fn close(&self) -> Outcome {
        if let Some(writer) = self.writer.lock().map_err(|_| "another failed")?.take() {
            drop(writer.shutdown());
        }
        Ok(())
    }
}
