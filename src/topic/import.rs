//! Records from lines of text.

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{RecordBody, RecordLine, partition_for_key};
use crate::topic::partition::Partition;
use crate::topic::topic::Topic;
use crate::types::{Durability, Header, Record};

/// The most bytes of a line, where no record of the topic needs more.
const MOST_LINE_BYTES: usize = 64 << 20;
/// Bytes of a line that one of a record takes at most: `\u0000` is one, and a header of three is `{"key":"","value":null},`.
const LETTERS_OF_A_BYTE: usize = 8;
/// Bytes of records that are appended together.
const BATCH: usize = 1 << 20;

/// Where the records of an import go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    /// To the partition that their line names.
    TheirPartition,
    /// To that of their key.
    ThatOfTheirKey,
}

/// An import under way.
struct Import<'a> {
    partitions: &'a [Partition],
    to: To,
    /// Those of one partition, each with its line.
    pending: Vec<(u64, RecordLine)>,
    bytes: usize,
    number: usize,
    line: u64,
    appended: u64,
}

impl Topic {
    /// Appends a record for each line, which is a JSON object as [`export`](Self::export) writes it, to the partition that the line names, or to
    /// the first one if it names none. Offsets are new. Empty lines are skipped. Returns the number of records, once they survive a power
    /// cut. A member that `export` does not write, or that occurs twice, is an error of its line.
    ///
    /// Consecutive lines for one partition are appended together, 1 MiB at a time. It holds one such batch and one line in memory; a line
    /// may have 64 MiB, or eight times `max.message.bytes` where that is more.
    ///
    /// # Errors
    /// [`Import`](Error::Import) with the faulty line and the number of records appended by then: those of all lines before it.
    pub fn import(&self, from: impl BufRead) -> Result<u64> {
        self.import_to(from, To::TheirPartition)
    }

    /// Appends a record for each line as [`import`](Self::import) does, but to the partition of its key, as a Kafka producer does: for lines
    /// of a topic with another number of partitions. A record without a key goes to the partition that its line names or, where the topic has
    /// fewer, to that number modulo the number of partitions.
    ///
    /// # Errors
    /// As for [`import`](Self::import), except that no line is refused for its partition.
    pub fn import_by_key(&self, from: impl BufRead) -> Result<u64> {
        self.import_to(from, To::ThatOfTheirKey)
    }

    fn import_to(&self, mut from: impl BufRead, to: To) -> Result<u64> {
        let partitions = self.partitions();
        partitions.iter().try_for_each(|partition| partition.log().check_open())?;
        let mut import = Import {
            partitions: &partitions,
            to,
            pending: Vec::new(),
            bytes: 0,
            number: 0,
            line: 0,
            appended: 0,
        };
        let most_record_bytes = partitions.iter().map(|one| one.log().most_batch_bytes()).max().unwrap_or(0);
        let most_bytes = most_record_bytes.saturating_mul(LETTERS_OF_A_BYTE).max(MOST_LINE_BYTES);
        let mut line = Vec::new();
        loop {
            import.line += 1;
            match read_line(&mut from, &mut line, most_bytes) {
                Ok(true) => import.take(&line)?,
                Ok(false) => break,
                Err(error) => return Err(import.stop(error)),
            }
        }
        import.append()?;
        self.make_durable().map_err(|error| import.failed(import.line, error))?;
        Ok(import.appended)
    }
}

impl Import<'_> {
    fn failed(&self, line: u64, cause: Error) -> Error {
        Error::Import { line, records: self.appended, cause: Arc::new(cause) }
    }

    /// The end of an import at a line that cannot be taken: what stands before it is there.
    fn stop(&mut self, cause: Error) -> Error {
        match self.append() {
            Ok(()) => self.failed(self.line, cause),
            Err(error) => error,
        }
    }

    fn take(&mut self, line: &[u8]) -> Result<()> {
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        let found = match RecordLine::decode(line) {
            Ok(found) => found,
            Err(malformed) => return Err(self.stop(Error::invalid(malformed.to_string()))),
        };
        let number = self.partition_of(&found);
        let bytes = bytes_of(&found);
        let most = self.partitions.get(number).map_or(BATCH, |one| one.log().most_batch_bytes().min(BATCH));
        if number != self.number || self.bytes + bytes > most {
            self.append()?;
        }
        if self.pending.is_empty() {
            (self.number, self.bytes) = (number, 0);
        }
        self.bytes += bytes;
        self.pending.push((self.line, found));
        Ok(())
    }

    fn partition_of(&self, found: &RecordLine) -> usize {
        let count = u32::try_from(self.partitions.len()).unwrap_or(u32::MAX);
        let of_key = found.key.as_deref().filter(|_| self.to == To::ThatOfTheirKey);
        let named = found.partition.unwrap_or(0);
        let number = match (of_key, self.to) {
            (Some(key), _) => partition_for_key(key, count),
            (None, To::ThatOfTheirKey) => named.checked_rem(count).unwrap_or(0),
            (None, To::TheirPartition) => named,
        };
        usize::try_from(number).unwrap_or(usize::MAX)
    }

    /// Appends what was gathered.
    fn append(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        let Some((first_line, _)) = pending.first() else { return Ok(()) };
        let records: Vec<_> = pending.iter().map(|(_, found)| record_of(found)).collect();
        let Some(partition) = self.partitions.get(self.number) else {
            let why = format!(
                "partition {} is none of the {} of the topic: Topic::import_by_key (`annals import --by-key`) goes by the keys, and takes the number \
                 modulo those that there are where a line has none",
                self.number,
                self.partitions.len()
            );
            return Err(self.failed(*first_line, Error::invalid(why)));
        };
        match partition.append(&records, Durability::Os) {
            Ok(_) => self.appended += records.len() as u64,
            // One of them is at fault: those before it are to be there, and its line is to be told.
            Err(refusal) if is_of_a_record(&refusal) => {
                for ((line, _), record) in pending.iter().zip(&records) {
                    let appended = partition.append(std::slice::from_ref(record), Durability::Os);
                    appended.map_err(|error| self.failed(*line, error))?;
                    self.appended += 1;
                }
            }
            Err(error) => return Err(self.failed(*first_line, error)),
        }
        Ok(())
    }
}

/// Whether a batch was refused, all of it, for what a record in it is like.
fn is_of_a_record(refusal: &Error) -> bool {
    matches!(
        refusal,
        Error::KeyRequired { .. } | Error::InvalidTimestamp { .. } | Error::RecordTooLarge { .. }
    )
}

fn record_of(found: &RecordLine) -> Record<'_> {
    let mut record = Record::new();
    if let Some(key) = &found.key {
        record = record.key(key);
    }
    if let Some(value) = &found.value {
        record = record.value(value);
    }
    if let Some(timestamp) = found.timestamp {
        record = record.timestamp(timestamp);
    }
    found.headers.iter().fold(record, |record, (name, value)| match value {
        Some(value) => record.header(name, value),
        None => record.null_header(name),
    })
}

fn bytes_of(found: &RecordLine) -> usize {
    let header =
        |(name, value): &'_ (String, Option<Vec<u8>>)| name.len() + value.as_ref().map_or(0, Vec::len) + 20;
    let none: &[Header<'_>] = &[];
    RecordBody::most_len(found.key.as_deref(), found.value.as_deref(), none)
        + found.headers.iter().map(header).sum::<usize>()
}

/// Reads a line, without its end. False at the end of all.
fn read_line(from: &mut impl BufRead, line: &mut Vec<u8>, most_bytes: usize) -> Result<bool> {
    line.clear();
    loop {
        let there = match from.fill_buf() {
            Ok(there) => there,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io(Path::new("the import"), "read", error)),
        };
        if there.is_empty() {
            return Ok(!line.is_empty());
        }
        let end = there.iter().position(|byte| *byte == b'\n');
        let taken = there.get(..end.unwrap_or(there.len())).unwrap_or(there);
        if line.len() + taken.len() > most_bytes {
            return Err(Error::invalid(format!("a line has {most_bytes} bytes at most")));
        }
        line.extend_from_slice(taken);
        let used = taken.len() + usize::from(end.is_some());
        from.consume(used);
        if end.is_some() {
            return Ok(true);
        }
    }
}
