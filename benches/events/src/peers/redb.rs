//! redb: a table of events by position and one of positions by stream and version; an append is a transaction that is not synced.

use std::path::Path;
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Events, Peer};
use crate::harness::Outcome;
use crate::payload::Found;

pub(crate) const PEER: Peer = Peer { name: "redb, two tables, lost with its process", open };

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const STREAMS: TableDefinition<'_, (&str, u64), u64> = TableDefinition::new("streams");

struct Redb(Database);

fn open(dir: &Path) -> Outcome<Arc<dyn Events>> {
    let db = Database::create(dir.join("redb"))?;
    let transaction = db.begin_write()?;
    transaction.open_table(LOG)?;
    transaction.open_table(STREAMS)?;
    transaction.commit()?;
    Ok(Arc::new(Redb(db)))
}

impl Events for Redb {
    fn append(&self, stream: &str, expected: Option<u64>, events: &[&[u8]]) -> Outcome<u64> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_durability(Durability::None)?;
        let mut version = expected.map_or(0, |version| version + 1);
        {
            let (mut log, mut streams) = (transaction.open_table(LOG)?, transaction.open_table(STREAMS)?);
            let is_there = match expected {
                Some(last) => streams.get((stream, last))?.is_some(),
                None => true,
            };
            if !is_there || streams.get((stream, version))?.is_some() {
                return Err("a conflict".into());
            }
            let next = log.last()?.map_or(0, |(last, _)| last.value() + 1);
            for (position, event) in (next..).zip(events) {
                log.insert(position, *event)?;
                streams.insert((stream, version), position)?;
                version += 1;
            }
        }
        transaction.commit()?;
        Ok(version - 1)
    }

    fn read(&self, stream: &str, found: &mut Found) -> Outcome {
        let transaction = self.0.begin_read()?;
        let (log, streams) = (transaction.open_table(LOG)?, transaction.open_table(STREAMS)?);
        for entry in streams.range((stream, 0)..=(stream, u64::MAX))? {
            found.add(log.get(entry?.1.value())?.ok_or("no such event")?.value());
        }
        Ok(())
    }

    fn read_all(&self, found: &mut Found) -> Outcome {
        for entry in self.0.begin_read()?.open_table(LOG)?.iter()? {
            found.add(entry?.1.value());
        }
        Ok(())
    }

    fn close(&self) -> Outcome {
        // One that is durable makes all before it so.
        Ok(self.0.begin_write()?.commit()?)
    }
}
