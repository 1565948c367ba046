//! redb with `ConcurrencyMode::SingleWriter` (4.5 and later): one process writes, another has the file open to read. Every commit is
//! synced, as others see none that is not. The reader begins a transaction and asks for what is new.

use std::path::Path;

use redb::{Builder, ConcurrencyMode, Database, ReadOnlyDatabase, ReadableDatabase, TableDefinition};

use crate::harness::Outcome;
use crate::peers::{MILLISECOND, Pause, Peer, Receiver, Sender};

pub(crate) const SPINNING: Peer =
    Peer { name: "redb, reads without a pause", pause: Pause::None, send, receive };
pub(crate) const POLLING: Peer = Peer { name: "redb, reads each ms", pause: MILLISECOND, send, receive };

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");

struct Writer {
    db: Database,
    next: u64,
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_concurrency_mode(ConcurrencyMode::SingleWriter);
    builder
}

fn send(dir: &Path) -> Outcome<Box<dyn Sender>> {
    let db = builder().create(dir.join("redb"))?;
    let transaction = db.begin_write()?;
    transaction.open_table(EVENTS)?;
    transaction.commit()?;
    Ok(Box::new(Writer { db, next: 0 }))
}

impl Sender for Writer {
    fn send(&mut self, value: &[u8]) -> Outcome {
        let transaction = self.db.begin_write()?;
        transaction.open_table(EVENTS)?.insert(self.next, value)?;
        transaction.commit()?;
        self.next += 1;
        Ok(())
    }
}

struct Reader {
    db: ReadOnlyDatabase,
    next: u64,
}

fn receive(dir: &Path) -> Outcome<Box<dyn Receiver>> {
    Ok(Box::new(Reader { db: builder().open_read_only(dir.join("redb"))?, next: 0 }))
}

impl Receiver for Reader {
    fn look(&mut self, take: &mut dyn FnMut(&[u8]) -> Outcome) -> Outcome {
        let events = self.db.begin_read()?.open_table(EVENTS)?;
        for event in events.range(self.next..)? {
            let (number, value) = event?;
            self.next = number.value() + 1;
            take(value.value())?;
        }
        Ok(())
    }
}
