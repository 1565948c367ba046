//! umadb-core, the engine of UmaDB without its server: the stream is an event's only tag, and an append fails if an event of that tag
//! came after the one that its sender has seen. Each append is a commit that is synced, and there is no setting for less. Its appends take no
//! lock themselves, and two at once damage it: there is a mutex around them. It says on the standard output what it opens.

use std::path::Path;
use std::sync::{Arc, Mutex};

use umadb_core::db::UmaDb;
use umadb_core::mvcc::{Mvcc, StorageOptions};
use umadb_dcb::{DcbAppendCondition, DcbEvent, DcbEventStoreSync, DcbQuery, DcbQueryItem};

use super::{Events, Peer};
use crate::harness::Outcome;
use crate::payload::Found;

pub(crate) const PEER: Peer = Peer { name: "umadb-core, a tag for each stream", open };

/// Events of one read: it gives them in a vector.
const AT_ONCE: u32 = 10_000;

/// Its own cache, in megabytes; without one it decodes every page at every look.
const CACHE: usize = 256;

struct Uma {
    store: UmaDb,
    writing: Mutex<()>,
}

fn open(dir: &Path) -> Outcome<Arc<dyn Events>> {
    let pages = Mvcc::new(false, StorageOptions::default().db_path(dir).page_cache_max_mb(CACHE))?;
    Ok(Arc::new(Uma { store: UmaDb::from_arc(Arc::new(pages)), writing: Mutex::new(()) }))
}

fn query(stream: &str) -> DcbQuery {
    DcbQuery::new().item(DcbQueryItem::new().tags([stream]))
}

impl Events for Uma {
    fn append(&self, stream: &str, expected: Option<u64>, events: &[&[u8]]) -> Outcome<u64> {
        let condition = DcbAppendCondition::new(query(stream)).after(expected);
        let event = |event: &&[u8]| DcbEvent::new().event_type("event").tags([stream]).data(*event);
        let events = events.iter().map(event).collect();
        let _writing = self.writing.lock().map_err(|_| "another failed")?;
        Ok(self.store.append(events, Some(condition), None)?)
    }

    fn read(&self, stream: &str, found: &mut Found) -> Outcome {
        for event in self.store.read(Some(query(stream)), None, false, None)? {
            found.add(&event?.event.data);
        }
        Ok(())
    }

    fn read_all(&self, found: &mut Found) -> Outcome {
        let mut next = 1;
        loop {
            let before = next;
            for event in self.store.read(None, Some(next), false, Some(AT_ONCE))? {
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
