//! `dump`: the files of a partition as they are, as Kafka's log dumper shows them.

use std::path::{Path, PathBuf};

use annals::dump::{BatchDump, RecordDump, SegmentDump, SnapshotDump, Stretch};
use annals::{NO_TIMESTAMP, TimestampType};
use clap::Args;

use crate::arguments::once;
use crate::commands::dump_objects as objects;
use crate::failure::{Failure, Outcome};
use crate::interrupt;
use crate::show::{Escaped, Screen, hex};

/// Show what the files of partitions hold. Works beside the process that has the store, and on a broker's files.
///
/// Example: annals dump --print-data-log shop-log/orders-0
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Directories of partitions, or .log files.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Print the records, those of internal topics in words.
    #[arg(long)]
    print_data_log: bool,
    /// Print every entry of the indexes, and the snapshots of producers; without it those that are wrong.
    #[arg(long)]
    indexes: bool,
}

/// What is printed, and how much of it was wrong.
struct Dump<'a> {
    options: &'a Options,
    screen: &'a mut Screen,
    faults: u64,
}

pub(crate) fn run(options: &Options, screen: &mut Screen) -> Outcome {
    let mut dump = Dump { options, screen, faults: 0 };
    for path in &once(&options.paths) {
        dump.path(path)?;
    }
    match dump.faults {
        0 => Ok(()),
        1 => Err(Failure::Found("1 place is damaged or does not fit".to_owned())),
        faults => Err(Failure::Found(format!("{faults} places are damaged or do not fit"))),
    }
}

impl Dump<'_> {
    fn path(&mut self, path: &Path) -> Outcome {
        let facts = std::fs::metadata(path).map_err(|error| Failure::at("look at", path, error))?;
        if !facts.is_dir() {
            return self.segment(&SegmentDump::open(path)?);
        }
        let segments = SegmentDump::in_directory(path)?;
        if segments.is_empty() {
            return Err(Failure::Missing(format!("{} holds no .log", path.display())));
        }
        segments.iter().try_for_each(|segment| self.segment(segment))?;
        SnapshotDump::in_directory(path)?.iter().try_for_each(|snapshot| self.snapshot(snapshot))
    }

    fn segment(&mut self, segment: &SegmentDump) -> Outcome {
        let path = segment.path();
        let words = format!("Dumping {}\nLog starting offset: {}", path.display(), segment.base_offset());
        self.screen.either(|| objects::segment(segment), words)?;
        for stretch in segment.stretches() {
            interrupt::check()?;
            match stretch? {
                Stretch::Batch(batch) => self.batch(&path, &batch)?,
                Stretch::Zeros { position, bytes } => {
                    let words = format!("position: {position} zeros: {bytes}");
                    self.screen.either(|| objects::zeros(position, bytes), words)?;
                }
                Stretch::Unreadable { position, bytes, reason } => {
                    self.unreadable(&path, Some(position), Some(bytes), &reason)?;
                }
                other => self.unreadable(&path, None, None, &format!("{other:?}"))?,
            }
        }
        self.indexes(segment)
    }

    fn unreadable(
        &mut self,
        path: &Path,
        position: Option<u64>,
        bytes: Option<u64>,
        reason: &str,
    ) -> Outcome {
        self.faults += 1;
        let place = position.map(|position| format!(" position: {position}")).unwrap_or_default();
        let words = format!("UNREADABLE {}{place}: {reason}", path.display());
        self.screen.either(|| objects::unreadable(path, position, bytes, reason), words)
    }

    fn batch(&mut self, path: &Path, batch: &BatchDump) -> Outcome {
        self.faults += u64::from(!batch.crc_fits);
        self.screen.either(|| objects::batch(batch), batch_line(batch))?;
        if !self.options.print_data_log && batch.crc_fits {
            return Ok(());
        }
        match batch.records() {
            Ok(records) if self.options.print_data_log => records.iter().try_for_each(|record| {
                self.screen.either(|| objects::record(record), record_line(batch.timestamp_type, record))
            }),
            Ok(_) => Ok(()),
            Err(error) => {
                // It is one place, also where the checksum has said so.
                self.faults -= u64::from(!batch.crc_fits);
                self.unreadable(path, Some(batch.position), Some(batch.bytes), &error.to_string())
            }
        }
    }

    fn indexes(&mut self, segment: &SegmentDump) -> Outcome {
        let path = segment.path();
        if let Some(index) = segment.offset_index()? {
            for entry in &index.entries {
                let words = format!("offset: {} position: {}", entry.offset, entry.position);
                self.entry(|| objects::offset_entry(entry), words, entry.misfit.as_deref())?;
            }
            self.trailing(&path.with_extension("index"), index.trailing_bytes)?;
        }
        if let Some(index) = segment.time_index()? {
            for entry in &index.entries {
                let words = format!("timestamp: {} offset: {}", entry.timestamp, entry.offset);
                self.entry(|| objects::time_entry(entry), words, entry.misfit.as_deref())?;
            }
            self.trailing(&path.with_extension("timeindex"), index.trailing_bytes)?;
        }
        if let Some(index) = segment.transaction_index()? {
            for entry in &index.entries {
                let words = format!(
                    "producerId: {} firstOffset: {} lastOffset: {} lastStableOffset: {}",
                    entry.producer_id, entry.first_offset, entry.last_offset, entry.last_stable_offset
                );
                self.entry(|| objects::aborted_entry(entry), words, None)?;
            }
            if let Some(reason) = &index.unreadable {
                self.unreadable(&path.with_extension("txnindex"), None, None, reason)?;
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        object: impl FnOnce() -> crate::show::Object,
        words: String,
        misfit: Option<&str>,
    ) -> Outcome {
        self.faults += u64::from(misfit.is_some());
        if !self.options.indexes && misfit.is_none() {
            return Ok(());
        }
        let misfit = misfit.map(|reason| format!(" MISFIT: {reason}")).unwrap_or_default();
        self.screen.either(object, words + &misfit)
    }

    fn trailing(&mut self, path: &Path, bytes: usize) -> Outcome {
        if bytes == 0 {
            return Ok(());
        }
        self.unreadable(path, None, Some(bytes as u64), "bytes behind the last entry")
    }

    fn snapshot(&mut self, snapshot: &SnapshotDump) -> Outcome {
        if let Some(reason) = &snapshot.unreadable {
            self.unreadable(&snapshot.path, None, None, reason)?;
        }
        if !self.options.indexes {
            return Ok(());
        }
        let words = format!("Dumping {}\nOffset: {}", snapshot.path.display(), snapshot.offset);
        self.screen.either(|| objects::snapshot(snapshot), words)?;
        for producer in &snapshot.producers {
            let open = producer.open_since.map_or_else(|| "None".to_owned(), |offset| offset.to_string());
            let words = format!(
                "producerId: {} producerEpoch: {} lastSequence: {} lastOffset: {} lastTimestamp: {} currentTxnFirstOffset: {open}",
                producer.producer_id,
                producer.producer_epoch,
                producer.last_sequence,
                producer.last_offset,
                producer.timestamp,
            );
            self.screen.either(|| objects::producer(producer), words)?;
        }
        Ok(())
    }
}

/// Kafka's names and order.
fn batch_line(batch: &BatchDump) -> String {
    format!(
        "baseOffset: {} lastOffset: {} count: {} baseSequence: {} producerId: {} producerEpoch: {} partitionLeaderEpoch: {} \
         isTransactional: {} isControl: {} position: {} {}: {} size: {} compresscodec: {} crc: {} isvalid: {}",
        batch.base_offset,
        batch.last_offset,
        batch.record_count,
        batch.base_sequence,
        batch.producer_id,
        batch.producer_epoch,
        batch.leader_epoch,
        batch.is_transactional,
        batch.is_control,
        batch.position,
        time_name(batch.timestamp_type),
        batch.max_timestamp,
        batch.bytes,
        format!("{:?}", batch.codec).to_lowercase(),
        batch.crc,
        batch.crc_fits,
    )
}

fn time_name(kind: TimestampType) -> &'static str {
    match kind {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

fn record_line(kind: TimestampType, record: &RecordDump) -> String {
    let time = match record.timestamp {
        NO_TIMESTAMP => "NoTimestamp".to_owned(),
        time => format!("{}: {time}", time_name(kind)),
    };
    let size = |bytes: Option<&[u8]>| bytes.map_or_else(|| "-1".to_owned(), |bytes| bytes.len().to_string());
    let (key, value) = (record.key.as_deref(), record.value.as_deref());
    let names: Vec<_> = record.headers.iter().map(|header| header.key.as_str()).collect();
    let line = format!(
        "| offset: {} {time} keySize: {} valueSize: {} headerKeys: [{}]",
        record.offset,
        size(key),
        size(value),
        names.join(","),
    );
    let words = record.words.as_deref().map_or_else(String::new, |words| format!(" {words}"));
    // Key and value of what waits for its time are a program's own.
    if !words.is_empty() && !names.contains(&"annals.deliver.to") {
        return line + &words;
    }
    let part = |name: &str, bytes: Option<&[u8]>| match bytes {
        Some(bytes) if std::str::from_utf8(bytes).is_err() => format!(" {name}Hex: {}", hex(bytes)),
        Some(bytes) => format!(" {name}: {}", Escaped(bytes)),
        None => String::new(),
    };
    format!("{line}{words}{}{}", part("key", key), part("payload", value))
}
