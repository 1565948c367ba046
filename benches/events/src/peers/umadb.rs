//! umadb-core, the engine of UmaDB without its server: the stream is an event's only tag, and an append fails if an event of that tag
//! came after the one that its sender has seen. Each append is a commit that is synced, and there is no setting for less. It says on the
//! standard output what it opens.

use std::path::Path;
use std::sync::Arc;

use umadb_core::db::UmaDb;
use umadb_core::mvcc::{Mvcc, StorageOptions};
use umadb_dcb::{DcbAppendCondition, DcbEvent, DcbEventStoreSync, DcbQuery, DcbQueryItem};

use super::{Events, Peer};
use crate::harness::Outcome;
use crate::payload::Found;

pub(crate) const PEER: Peer = Peer { name: "umadb-core, a tag for each stream", open };

/// Events of one read: it gives them in a vector.
const AT_ONCE: u32 = 10_000;

struct Uma(UmaDb);

fn open(dir: &Path) -> Outcome<Arc<dyn Events>> {
    let pages = Mvcc::new(false, StorageOptions::default().db_path(dir))?;
    Ok(Arc::new(Uma(UmaDb::from_arc(Arc::new(pages)))))
}

fn query(stream: &str) -> DcbQuery {
    DcbQuery::new().item(DcbQueryItem::new().tags([stream]))
}

impl Events for Uma {
    fn append(&self, stream: &str, expected: Option<u64>, events: &[&[u8]]) -> Outcome<u64> {
        let condition = DcbAppendCondition::new(query(stream)).after(expected);
        let event = |event: &&[u8]| DcbEvent::new().event_type("event").tags([stream]).data(*event);
        Ok(self.0.append(events.iter().map(event).collect(), Some(condition), None)?)
    }

    fn read(&self, stream: &str, found: &mut Found) -> Outcome {
        for event in self.0.read(Some(query(stream)), None, false, None)? {
            found.add(&event?.event.data);
        }
        Ok(())
    }

    fn read_all(&self, found: &mut Found) -> Outcome {
        let mut next = 1;
        loop {
            let before = next;
            for event in self.0.read(None, Some(next), false, Some(AT_ONCE))? {
                let event = event?;
                next = event.position + 1;
                found.add(&event.event.data);
            }
            if next == before {
                return Ok(());
            }
        }
    }
}
