//! Prints what the files of a partition contain, one JSON object a line: every batch, every record, every index entry and
//! whether it fits the log, and every stretch of bytes that is not a batch.
//!
//! `cargo run --release --example dump -- DIR/orders-0` shows all segments of a partition, `-- PATH/TO/00….log` one of
//! them. The store need not be opened, and may be open elsewhere. Without an argument, a small store is made and shown.
//!
//! Keys and values that are UTF-8 are printed as strings; others in hexadecimal under a name that ends in `_hex`.
//! The exit status is 1 if something is damaged or does not fit.

use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use annals::dump::{BatchDump, RecordDump, SegmentDump, SnapshotDump, Stretch};
use annals::{Codec, Durability, Record, Store, TopicConfig};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<ExitCode> {
    let mut out = Output { to: BufWriter::new(io::stdout().lock()), faults: 0 };
    let shown = match std::env::args_os().nth(1) {
        Some(path) => show(Path::new(&path), &mut out),
        None => show_sample(&mut out),
    };
    match shown.and_then(|()| Ok(out.to.flush()?)) {
        // The reader of the output has seen enough: `dump … | head`.
        Err(error) if error.downcast_ref::<io::Error>().is_some_and(is_broken_pipe) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error),
        Ok(()) => Ok(ExitCode::from(u8::from(out.faults > 0))),
    }
}

fn is_broken_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

fn show(path: &Path, out: &mut Output<'_>) -> Outcome {
    let segments =
        if path.is_dir() { SegmentDump::in_directory(path)? } else { vec![SegmentDump::open(path)?] };
    if segments.is_empty() {
        return Err(format!("{} holds no .log", path.display()).into());
    }
    segments.iter().try_for_each(|segment| show_segment(segment, out))?;
    if path.is_dir() {
        SnapshotDump::in_directory(path)?.iter().try_for_each(|snapshot| show_snapshot(snapshot, out))?;
    }
    Ok(())
}

fn show_sample(out: &mut Output<'_>) -> Outcome {
    let temporary = tempfile::tempdir()?;
    let store = Store::open(temporary.path())?;
    let config = TopicConfig::new().compression_type(Codec::Zstd).index_interval_bytes(100);
    let partition = store.create_topic("sample", config)?.partition(0)?;
    for number in 0..3_i64 {
        let value = format!("{{\"apples\":{number}}}");
        let order = Record::new().key("alice").value(&value).timestamp(1_000 + number);
        let raw = Record::new().key(b"\xff\x00").header("trace", "7f").null_header("note").timestamp(2_000);
        partition.append(&[order, raw], Durability::Os)?;
    }
    store.close()?;
    show(&temporary.path().join("sample-0"), out)
}

fn show_segment(segment: &SegmentDump, out: &mut Output<'_>) -> Outcome {
    let path = segment.path();
    let line = Line::new("segment").text("file", &path.display().to_string());
    out.print(line.number("base_offset", segment.base_offset()).number("bytes", segment.bytes()))?;
    for stretch in segment.stretches() {
        match stretch? {
            Stretch::Batch(batch) => show_batch(&batch, out)?,
            Stretch::Zeros { position, bytes } => {
                out.print(Line::new("zeros").number("position", position).number("bytes", bytes))?;
            }
            Stretch::Unreadable { position, bytes, reason } => {
                out.faults += 1;
                let line = Line::new("unreadable").number("position", position).number("bytes", bytes);
                out.print(line.text("reason", &reason))?;
            }
            other => out.print(Line::new("unknown").text("what", &format!("{other:?}")))?,
        }
    }
    show_indexes(segment, out)
}

fn show_batch(batch: &BatchDump, out: &mut Output<'_>) -> Outcome {
    let line = Line::new("batch")
        .number("position", batch.position)
        .number("bytes", batch.bytes)
        .number("base_offset", batch.base_offset)
        .number("last_offset", batch.last_offset)
        .number("records", batch.record_count)
        .text("codec", &format!("{:?}", batch.codec).to_lowercase())
        .text("timestamp_type", &format!("{:?}", batch.timestamp_type))
        .number("base_timestamp", batch.base_timestamp)
        .number("max_timestamp", batch.max_timestamp)
        .number("leader_epoch", batch.leader_epoch)
        .number("producer_id", batch.producer_id)
        .number("producer_epoch", batch.producer_epoch)
        .number("base_sequence", batch.base_sequence)
        .truth("transactional", batch.is_transactional)
        .truth("control", batch.is_control)
        .truth("delete_horizon", batch.has_delete_horizon)
        .text("crc", &format!("{:08x}", batch.crc))
        .truth("crc_fits", batch.crc_fits);
    out.print(line)?;
    out.faults += usize::from(!batch.crc_fits);
    match batch.records() {
        Ok(records) => records.iter().try_for_each(|record| out.print(record_line(record))),
        Err(error) => {
            out.faults += 1;
            out.print(Line::new("undecodable").text("reason", &error.to_string()))
        }
    }
}

fn record_line(record: &RecordDump) -> Line {
    let line = Line::new("record").number("offset", record.offset).number("timestamp", record.timestamp);
    let line = line.bytes("key", record.key.as_deref()).bytes("value", record.value.as_deref());
    let headers = record.headers.iter().map(|header| {
        let header = Line::default().text("key", &header.key).bytes("value", header.value.as_deref());
        header.object()
    });
    let line = line.raw("headers", &format!("[{}]", headers.collect::<Vec<_>>().join(",")));
    match &record.words {
        Some(words) => line.text("words", words),
        None => line,
    }
}

fn show_indexes(segment: &SegmentDump, out: &mut Output<'_>) -> Outcome {
    if let Some(index) = segment.offset_index()? {
        for entry in &index.entries {
            let line = Line::new("index").number("offset", entry.offset).number("position", entry.position);
            out.print_entry(line, entry.misfit.as_deref())?;
        }
        out.print_trailing("index", index.trailing_bytes)?;
    }
    if let Some(index) = segment.time_index()? {
        for entry in &index.entries {
            let line =
                Line::new("timeindex").number("timestamp", entry.timestamp).number("offset", entry.offset);
            out.print_entry(line, entry.misfit.as_deref())?;
        }
        out.print_trailing("timeindex", index.trailing_bytes)?;
    }
    if let Some(index) = segment.transaction_index()? {
        for entry in &index.entries {
            let line = Line::new("txnindex").number("producer_id", entry.producer_id);
            let line =
                line.number("first_offset", entry.first_offset).number("last_offset", entry.last_offset);
            out.print(line.number("last_stable_offset", entry.last_stable_offset))?;
        }
        out.print_unreadable("txnindex", index.unreadable.as_deref())?;
    }
    Ok(())
}

fn show_snapshot(snapshot: &SnapshotDump, out: &mut Output<'_>) -> Outcome {
    let line = Line::new("snapshot").text("file", &snapshot.path.display().to_string());
    out.print(line.number("offset", snapshot.offset))?;
    for producer in &snapshot.producers {
        let line = Line::new("producer")
            .number("producer_id", producer.producer_id)
            .number("producer_epoch", producer.producer_epoch)
            .number("last_sequence", producer.last_sequence)
            .number("last_offset", producer.last_offset)
            .number("offset_delta", producer.offset_delta)
            .number("timestamp", producer.timestamp)
            .number("coordinator_epoch", producer.coordinator_epoch);
        out.print(match producer.open_since {
            Some(offset) => line.number("open_since", offset),
            None => line.raw("open_since", "null"),
        })?;
    }
    out.print_unreadable("snapshot", snapshot.unreadable.as_deref())
}

/// Where the lines go, and how many of them reported something wrong.
struct Output<'a> {
    to: BufWriter<io::StdoutLock<'a>>,
    faults: usize,
}

impl Output<'_> {
    fn print(&mut self, line: Line) -> Outcome {
        Ok(writeln!(self.to, "{}", line.object())?)
    }

    fn print_entry(&mut self, line: Line, misfit: Option<&str>) -> Outcome {
        self.faults += usize::from(misfit.is_some());
        let line = line.truth("fits", misfit.is_none());
        self.print(match misfit {
            Some(reason) => line.text("reason", reason),
            None => line,
        })
    }

    fn print_unreadable(&mut self, file: &str, reason: Option<&str>) -> Outcome {
        let Some(reason) = reason else { return Ok(()) };
        self.faults += 1;
        self.print(Line::new("unreadable").text("file", file).text("reason", reason))
    }

    fn print_trailing(&mut self, file: &str, bytes: usize) -> Outcome {
        if bytes == 0 {
            return Ok(());
        }
        self.faults += 1;
        self.print(Line::new("trailing").text("file", file).number("bytes", bytes))
    }
}

/// A JSON object under construction.
#[derive(Default)]
struct Line(String);

impl Line {
    fn new(kind: &str) -> Self {
        Self::default().text("type", kind)
    }

    fn raw(mut self, name: &str, json: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0 += &format!("{}:{json}", quoted(name));
        self
    }

    fn number(self, name: &str, number: impl std::fmt::Display) -> Self {
        self.raw(name, &number.to_string())
    }

    fn truth(self, name: &str, truth: bool) -> Self {
        self.raw(name, if truth { "true" } else { "false" })
    }

    fn text(self, name: &str, text: &str) -> Self {
        self.raw(name, &quoted(text))
    }

    fn bytes(self, name: &str, bytes: Option<&[u8]>) -> Self {
        match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
            None => self.raw(name, "null"),
            Some((Ok(text), _)) => self.text(name, text),
            Some((Err(_), bytes)) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                self.text(&format!("{name}_hex"), &hex)
            }
        }
    }

    fn object(&self) -> String {
        format!("{{{}}}", self.0)
    }
}

/// A JSON string. Beyond what JSON requires, U+007F and U+0080 to U+009F are escaped, because terminals obey them.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '\n' => quoted += "\\n",
            '\r' => quoted += "\\r",
            '\t' => quoted += "\\t",
            control if control.is_control() => quoted += &format!("\\u{:04x}", u32::from(control)),
            plain => quoted.push(plain),
        }
    }
    quoted + "\""
}
