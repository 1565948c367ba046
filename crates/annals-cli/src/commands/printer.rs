//! A record as a line.

use std::collections::BTreeMap;
use std::io::{self, Write};

use annals::{Header, Offset, OwnedRecord, RecordRef, Records, Timestamp, TopicConfig, TopicPartition};
use clap::{Args, ValueEnum};

use crate::failure::{Failure, Outcome, of_output};
use crate::show::{Bytes, List, Object, Screen};

/// How records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Bytes as they are; on a terminal without its control characters.
    Text,
    /// Keys, values and headers in hexadecimal.
    Hex,
    /// The same as --json.
    Json,
}

/// What is printed of a record. The names are those of Kafka's formatter properties.
#[derive(Debug, Clone, Args)]
pub(crate) struct Style {
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    parts: Parts,
    /// What stands between the parts.
    #[arg(long, default_value = "\t", value_name = "TEXT", hide_default_value = true)]
    key_separator: String,
    /// What stands for null.
    #[arg(long, default_value = "null", value_name = "TEXT")]
    null_marker: String,
    /// The same by Kafka's names: print.key, print.timestamp, print.partition, print.offset, print.headers, print.value,
    /// key.separator, null.literal.
    #[arg(long, visible_alias = "formatter-property", value_name = "KEY=VALUE", value_parser = super::topics::setting_as_it_is)]
    property: Vec<(String, String)>,
}

/// Which parts.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "a flag of the command line each")]
struct Parts {
    /// The timestamp first.
    #[arg(long)]
    print_timestamp: bool,
    /// Then the partition.
    #[arg(long)]
    print_partition: bool,
    /// Then the offset.
    #[arg(long)]
    print_offset: bool,
    /// Then the headers.
    #[arg(long)]
    print_headers: bool,
    /// Then the key.
    #[arg(long)]
    print_key: bool,
    /// And no value.
    #[arg(long)]
    no_value: bool,
}

impl Style {
    /// With what `--property` says of it.
    pub(crate) fn with_properties(&self) -> Outcome<Self> {
        let mut style = self.clone();
        for (key, value) in &self.property {
            let truth = || match value.as_str() {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(Failure::Usage(format!("property {key}={value}: true or false"))),
            };
            match key.as_str() {
                "print.key" => style.parts.print_key = truth()?,
                "print.timestamp" => style.parts.print_timestamp = truth()?,
                "print.partition" => style.parts.print_partition = truth()?,
                "print.offset" => style.parts.print_offset = truth()?,
                "print.headers" => style.parts.print_headers = truth()?,
                "print.value" => style.parts.no_value = !truth()?,
                "key.separator" => style.key_separator.clone_from(value),
                "null.literal" => style.null_marker.clone_from(value),
                _ => return Err(Failure::Usage(format!("there is no property {key} here"))),
            }
        }
        Ok(style)
    }
}

/// Prints records until there were enough.
#[derive(Debug)]
pub(crate) struct Printer<'a> {
    style: &'a Style,
    screen: &'a mut Screen,
    bytes: Bytes,
    is_json: bool,
    /// What the timestamps of a topic are.
    times: BTreeMap<String, String>,
    /// Records of this key alone.
    pub(crate) key: Option<Vec<u8>>,
    /// How many more are wanted.
    pub(crate) left: u64,
    last: Option<(TopicPartition, Offset)>,
}

impl<'a> Printer<'a> {
    pub(crate) fn new(style: &'a Style, screen: &'a mut Screen) -> Self {
        let bytes = match style.format {
            Format::Hex => Bytes::Hex,
            _ if screen.is_terminal => Bytes::Escaped,
            _ => Bytes::Raw,
        };
        let is_json = screen.json || style.format == Format::Json;
        Self { style, screen, bytes, is_json, times: BTreeMap::new(), key: None, left: u64::MAX, last: None }
    }

    /// What the timestamps of a topic are.
    pub(crate) fn note_times(&mut self, topic: &str, config: &TopicConfig) {
        self.times.insert(topic.to_owned(), config.get("message.timestamp.type").to_owned());
    }

    /// Says whether all were looked at.
    pub(crate) fn print(&mut self, records: &Records) -> Outcome<bool> {
        for record in records {
            if self.left == 0 {
                return Ok(false);
            }
            if self.key.is_some() && self.key.as_deref() != record.key() {
                continue;
            }
            self.record(Shown::of(record)).map_err(of_output)?;
            self.left -= 1;
            if self.left == 0 {
                self.last = Some((record.topic_partition().clone(), record.offset()));
            }
        }
        Ok(self.left > 0)
    }

    /// The last that was wanted.
    pub(crate) fn printed_up_to(&self) -> Option<(TopicPartition, Offset)> {
        self.last.clone()
    }

    pub(crate) fn has_reader(&self) -> Outcome {
        self.screen.has_reader()
    }

    pub(crate) fn flush(&mut self) -> Outcome {
        self.screen.flush()
    }

    /// One that was handed out by a queue.
    pub(crate) fn message(&mut self, record: &OwnedRecord) -> Outcome {
        let headers = record.headers.iter();
        let headers = headers.map(|one| Header { key: one.key.as_str().into(), value: one.value.as_deref() });
        let shown = Shown {
            topic: &record.topic,
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers,
        };
        self.record(shown).map_err(of_output)
    }

    fn record<'r>(&mut self, record: Shown<'r, impl Iterator<Item = Header<'r>>>) -> io::Result<()> {
        if self.is_json {
            return writeln!(self.screen.out(), "{}", record.object());
        }
        let Self { style, screen, bytes, times, .. } = self;
        let Style { parts, key_separator, null_marker, .. } = style;
        let (separator, null) = (key_separator.as_bytes(), null_marker.as_bytes());
        let out = screen.out();
        // Between parts, and not behind the last of them, as Kafka's.
        let mut has_part = false;
        if parts.print_timestamp {
            between(&mut has_part, separator, out)?;
            let kind = times.get(record.topic).map_or("CreateTime", String::as_str);
            write!(out, "{kind}:{}", record.timestamp)?;
        }
        if parts.print_partition {
            between(&mut has_part, separator, out)?;
            write!(out, "Partition:{}", record.partition)?;
        }
        if parts.print_offset {
            between(&mut has_part, separator, out)?;
            write!(out, "Offset:{}", record.offset)?;
        }
        if parts.print_headers {
            between(&mut has_part, separator, out)?;
            let mut is_first = true;
            for header in record.headers {
                if !is_first {
                    out.write_all(b",")?;
                }
                is_first = false;
                bytes.write(header.key.as_bytes(), out)?;
                out.write_all(b":")?;
                maybe(*bytes, header.value, null, out)?;
            }
            if is_first {
                out.write_all(b"NO_HEADERS")?;
            }
        }
        if parts.print_key {
            between(&mut has_part, separator, out)?;
            maybe(*bytes, record.key, null, out)?;
        }
        if !parts.no_value {
            between(&mut has_part, separator, out)?;
            maybe(*bytes, record.value, null, out)?;
        }
        out.write_all(b"\n")
    }
}

/// Writes what stands between two parts, in front of all but the first.
fn between(has_part: &mut bool, separator: &[u8], out: &mut impl Write) -> io::Result<()> {
    if std::mem::replace(has_part, true) { out.write_all(separator) } else { Ok(()) }
}

fn maybe(bytes: Bytes, value: Option<&[u8]>, null: &[u8], out: &mut impl Write) -> io::Result<()> {
    match value {
        Some(value) => bytes.write(value, out),
        None => out.write_all(null),
    }
}

/// What is printed of a record, however it came.
struct Shown<'r, H> {
    topic: &'r str,
    partition: u32,
    offset: Offset,
    timestamp: Timestamp,
    key: Option<&'r [u8]>,
    value: Option<&'r [u8]>,
    headers: H,
}

impl<'r> Shown<'r, ()> {
    fn of(record: RecordRef<'r>) -> Shown<'r, impl Iterator<Item = Header<'r>>> {
        Shown {
            topic: record.topic(),
            partition: record.partition(),
            offset: record.offset(),
            timestamp: record.timestamp(),
            key: record.key(),
            value: record.value(),
            headers: record.headers(),
        }
    }
}

impl<'r, H: Iterator<Item = Header<'r>>> Shown<'r, H> {
    fn object(self) -> Object {
        let headers = List::of(self.headers, |header| {
            Object::inner().text("key", &header.key).bytes("value", header.value)
        });
        Object::new("record")
            .text("topic", self.topic)
            .number("partition", self.partition)
            .number("offset", self.offset)
            .number("timestamp", self.timestamp)
            .bytes("key", self.key)
            .bytes("value", self.value)
            .list("headers", headers)
    }
}

/// A record as programs read it.
pub(super) fn record_object(record: RecordRef<'_>) -> Object {
    Shown::of(record).object()
}
