//! SQLite through rusqlite: a table in WAL mode, `synchronous = OFF`, which a SIGKILL takes nothing of. The reader asks for
//! `data_version`, and for what is new when that has changed.

use std::path::Path;

use rusqlite::Connection;

use crate::harness::Outcome;
use crate::peers::{MILLISECOND, Pause, Peer, Receiver, Sender};

pub(crate) const SPINNING: Peer =
    Peer { name: "sqlite, data_version without a pause", pause: Pause::None, send, receive };
pub(crate) const POLLING: Peer =
    Peer { name: "sqlite, data_version each ms", pause: MILLISECOND, send, receive };

struct Sqlite {
    db: Connection,
    version: i64,
    next: i64,
}

fn open(dir: &Path) -> Outcome<Sqlite> {
    let db = Connection::open(dir.join("sqlite"))?;
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;")?;
    Ok(Sqlite { db, version: 0, next: 0 })
}

fn send(dir: &Path) -> Outcome<Box<dyn Sender>> {
    let sqlite = open(dir)?;
    sqlite.db.execute_batch("CREATE TABLE events (id INTEGER PRIMARY KEY, body BLOB NOT NULL);")?;
    Ok(Box::new(sqlite))
}

impl Sender for Sqlite {
    fn send(&mut self, value: &[u8]) -> Outcome {
        self.db.prepare_cached("INSERT INTO events (body) VALUES (?1)")?.execute([value])?;
        Ok(())
    }
}

fn receive(dir: &Path) -> Outcome<Box<dyn Receiver>> {
    Ok(Box::new(open(dir)?))
}

impl Receiver for Sqlite {
    fn look(&mut self, take: &mut dyn FnMut(&[u8]) -> Outcome) -> Outcome {
        let version = self.db.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if version == self.version {
            return Ok(());
        }
        self.version = version;
        let mut events = self.db.prepare_cached("SELECT id, body FROM events WHERE id >= ?1 ORDER BY id")?;
        let mut rows = events.query([self.next])?;
        while let Some(row) = rows.next()? {
            self.next = row.get::<_, i64>(0)? + 1;
            take(row.get_ref(1)?.as_blob()?)?;
        }
        Ok(())
    }
}
