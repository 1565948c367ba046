//! The records of a topic as lines of text.

use std::io::Write;
use std::path::Path;

use crate::error::{Error, Result};
use crate::format::{put_bytes, put_text};
use crate::topic::record_ref::RecordRef;
use crate::topic::topic::Topic;
use crate::types::Offset;

/// Bytes of lines that are gathered before they are written.
const CHUNK: usize = 64 << 10;

impl Topic {
    /// Writes the records of the topic as JSON objects, one per line: partition after partition, in the order of their offsets. It writes committed
    /// records, up to the ends at the time of the call; what is appended meanwhile is not included. Returns the number of records.
    ///
    /// `docs/backup.md` describes the format; `annals consume --json` prints the same. It holds some batches and 64 KiB of text in memory.
    ///
    /// ```
    /// # use annals::{Record, Store, TopicConfig};
    /// # let dir = tempfile::tempdir()?;
    /// # let store = Store::open(dir.path())?;
    /// let orders = store.create_topic("orders", TopicConfig::new())?;
    /// store.producer().send(Record::to("orders").key("alice").value("2 apples").timestamp(5))?;
    /// let mut lines = Vec::new();
    /// assert_eq!(orders.export(&mut lines)?, 1);
    /// assert_eq!(
    ///     String::from_utf8(lines.clone())?,
    ///     "{\"type\":\"record\",\"topic\":\"orders\",\"partition\":0,\"offset\":0,\"timestamp\":5,\
    ///      \"key\":\"alice\",\"value\":\"2 apples\",\"headers\":[]}\n"
    /// );
    /// let again = store.create_topic("again", TopicConfig::new())?;
    /// assert_eq!(again.import(&*lines)?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Corrupt`](Error::Corrupt), [`Io`](Error::Io): also when `to` fails. Lines that were written stay.
    pub fn export(&self, mut to: impl Write) -> Result<u64> {
        let partitions = self.partitions();
        partitions.iter().try_for_each(|partition| partition.log().write_accepted())?;
        let ends: Vec<Offset> = partitions.iter().map(|partition| partition.end()).collect();
        let mut lines = String::new();
        let mut count = 0;
        for (partition, end) in partitions.iter().zip(ends) {
            let mut reader = partition.walk(partition.start()..end)?;
            loop {
                let records = reader.fetch()?;
                if records.is_empty() {
                    break;
                }
                for record in &records {
                    put_line(&mut lines, record);
                    count += 1;
                    if lines.len() >= CHUNK {
                        write_out(&mut to, &mut lines)?;
                    }
                }
            }
        }
        write_out(&mut to, &mut lines)?;
        to.flush().map_err(failed)?;
        Ok(count)
    }
}

fn put_line(out: &mut String, record: RecordRef<'_>) {
    out.push_str("{\"type\":\"record\",\"topic\":");
    put_text(out, record.topic());
    let (partition, offset, timestamp) = (record.partition(), record.offset(), record.timestamp());
    out.push_str(&format!(",\"partition\":{partition},\"offset\":{offset},\"timestamp\":{timestamp},"));
    put_bytes(out, "key", record.key());
    out.push(',');
    put_bytes(out, "value", record.value());
    out.push_str(",\"headers\":[");
    for (number, header) in record.headers().enumerate() {
        out.push_str(if number == 0 { "{\"key\":" } else { ",{\"key\":" });
        put_text(out, &header.key);
        out.push(',');
        put_bytes(out, "value", header.value);
        out.push('}');
    }
    out.push_str("]}\n");
}

fn write_out(to: &mut impl Write, lines: &mut String) -> Result<()> {
    to.write_all(lines.as_bytes()).map_err(failed)?;
    lines.clear();
    Ok(())
}

fn failed(error: std::io::Error) -> Error {
    Error::io(Path::new("the export"), "write", error)
}
