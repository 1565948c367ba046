//! A line that is a record: as text, hexadecimal or JSON.

use std::borrow::Cow;

use annals::Record;
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::commands::single::Single;
use crate::failure::{Failure, Outcome};
use crate::show::unhex;

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Bytes as they are.
    Text,
    /// Key and value in hexadecimal.
    Hex,
    /// An object, as `consume --json` prints it.
    Json,
}

impl Format {
    /// How many bytes of a line a byte of a record takes at most.
    pub(crate) fn letters_of_a_byte(self) -> usize {
        match self {
            Self::Text => 1,
            Self::Hex => 2,
            // `\u0000` is one, and a header of three bytes is `{"key":"","value":null},`.
            Self::Json => 8,
        }
    }
}

/// How lines are taken apart. The names are those of Kafka's reader properties.
#[derive(Debug, Clone, Args)]
pub(crate) struct LineReader {
    /// The key stands before the value.
    #[arg(long)]
    parse_key: bool,
    /// What stands between key and value; a tab without it.
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// Headers stand before key and value: `name:value,name:value`, then a tab.
    #[arg(long)]
    parse_headers: bool,
    /// A key, value or value of a header that is this text is null.
    #[arg(long, value_name = "TEXT")]
    null_marker: Option<String>,
    /// The same by Kafka's names: parse.key, key.separator, parse.headers, null.marker.
    #[arg(long, visible_alias = "reader-property", value_name = "KEY=VALUE", value_parser = super::topics::setting_as_it_is)]
    property: Vec<(String, String)>,
}

/// Headers, key and value.
type Parts<'a> = (Headers<'a>, Option<&'a [u8]>, &'a [u8]);

/// A header and its value.
type Headers<'a> = Vec<(&'a str, Option<&'a [u8]>)>;

fn found(words: impl Into<String>) -> Failure {
    Failure::Found(words.into())
}

/// What stands before `separator`, and after it.
fn split_at<'a>(line: &'a [u8], separator: &str) -> Option<(&'a [u8], &'a [u8])> {
    let at = memchr::memmem::find(line, separator.as_bytes())?;
    let (before, rest) = line.split_at_checked(at)?;
    Some((before, rest.get(separator.len()..)?))
}

impl LineReader {
    /// With what `--property` says of it.
    ///
    /// # Errors
    /// What would have no effect, and was meant to have one.
    pub(crate) fn with_properties(&self, format: Format) -> Outcome<Self> {
        let mut reader = self.clone();
        for (key, value) in &self.property {
            let truth = || match value.as_str() {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(Failure::Usage(format!("property {key}={value}: true or false"))),
            };
            match key.as_str() {
                "parse.key" => reader.parse_key = truth()?,
                "parse.headers" => reader.parse_headers = truth()?,
                "key.separator" => reader.key_separator = Some(value.clone()),
                "null.marker" => reader.null_marker = Some(value.clone()),
                _ => return Err(Failure::Usage(format!("there is no property {key} here"))),
            }
        }
        let usage = |words: &str| Err(Failure::Usage(words.to_owned()));
        if reader.key_separator.as_ref().is_some_and(String::is_empty) {
            return usage("the key separator is empty");
        }
        if format == Format::Json {
            let is_plain = reader.key_separator.is_none() && reader.null_marker.is_none();
            if !is_plain || reader.parse_key || reader.parse_headers {
                return usage(
                    "--parse-key, --key-separator, --parse-headers and --null-marker are of lines of text: an object names its parts",
                );
            }
        } else if reader.key_separator.is_some() && !reader.parse_key {
            return usage("--key-separator says where a key ends: --parse-key takes it from there");
        }
        Ok(reader)
    }

    fn unless_null<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let is_null = self.null_marker.as_ref().is_some_and(|marker| marker.as_bytes() == bytes);
        (!is_null).then_some(bytes)
    }

    /// Headers, key and value.
    fn take_apart<'a>(&self, line: &'a [u8]) -> Outcome<Parts<'a>> {
        let (headers, rest) = if self.parse_headers {
            let (headers, rest) = split_at(line, "\t").ok_or_else(|| found("no tab after the headers"))?;
            (self.headers(headers)?, rest)
        } else {
            (Vec::new(), line)
        };
        if !self.parse_key {
            return Ok((headers, None, rest));
        }
        let separator = self.key_separator.as_deref().unwrap_or("\t");
        let (key, value) =
            split_at(rest, separator).ok_or_else(|| found(format!("no key separator {separator:?}")))?;
        Ok((headers, Some(key), value))
    }

    fn headers<'a>(&self, text: &'a [u8]) -> Outcome<Headers<'a>> {
        if text.is_empty() || self.unless_null(text).is_none() {
            return Ok(Vec::new());
        }
        let one = |header: &'a [u8]| {
            let (name, value) = split_at(header, ":").ok_or_else(|| found("a header is name:value"))?;
            let name = std::str::from_utf8(name).map_err(|_| found("the name of a header is not UTF-8"))?;
            Ok((name, self.unless_null(value)))
        };
        text.split(|byte| *byte == b',').map(one).collect()
    }

    pub(crate) fn text(
        &self,
        line: &[u8],
        record: Record<'_>,
        send: impl FnOnce(Record<'_>) -> Outcome,
    ) -> Outcome {
        if !self.parse_key && !self.parse_headers {
            return send(with(record, None, self.unless_null(line)));
        }
        let (headers, key, value) = self.take_apart(line)?;
        let record = with_headers(record, headers);
        send(with(record, key.and_then(|key| self.unless_null(key)), self.unless_null(value)))
    }

    pub(crate) fn hex(
        &self,
        line: &[u8],
        record: Record<'_>,
        send: impl FnOnce(Record<'_>) -> Outcome,
    ) -> Outcome {
        let (headers, key, value) = self.take_apart(line)?;
        let bytes = |digits: Option<&[u8]>| match digits.and_then(|digits| self.unless_null(digits)) {
            None => Ok(None),
            Some(digits) => unhex(digits).map(Some).ok_or_else(|| found("not pairs of hexadecimal digits")),
        };
        let (key, value) = (bytes(key)?, bytes(Some(value))?);
        send(with(with_headers(record, headers), key.as_deref(), value.as_deref()))
    }

    pub(crate) fn json(
        &self,
        line: &[u8],
        record: Record<'_>,
        keep_partition: bool,
        send: impl FnOnce(Record<'_>) -> Outcome,
    ) -> Outcome {
        if let Some(plain) = Plain::of(line) {
            return plain.send(record, keep_partition, send);
        }
        let Single(object) = serde_json::from_slice(line).map_err(|error| found(without_line(&error)))?;
        let Some(members) = object.as_object() else { return Err(found("not a JSON object")) };
        only("record", members, &MEMBERS)?;
        let (key, value) = (member(&object, "key")?, member(&object, "value")?);
        let list = match object.get("headers") {
            None | Some(Value::Null) => &[][..],
            Some(Value::Array(list)) => list,
            Some(_) => return Err(found("headers is not a list")),
        };
        list.iter()
            .filter_map(Value::as_object)
            .try_for_each(|header| only("header", header, &MEMBERS_OF_HEADER))?;
        let values = list.iter().map(|header| member(header, "value")).collect::<Outcome<Vec<_>>>()?;
        let mut record = record;
        for (header, value) in list.iter().zip(&values) {
            let name = header.get("key").and_then(Value::as_str);
            let name = name.ok_or_else(|| found("a header has no key"))?;
            record = match value {
                Some(value) => record.header(name, value),
                None => record.null_header(name),
            };
        }
        match object.get("timestamp") {
            None | Some(Value::Null) => {}
            Some(time) => {
                let time = time.as_i64().ok_or_else(|| found("timestamp is not a number of milliseconds"))?;
                record = record.timestamp(time);
            }
        }
        if keep_partition && let Some(partition) = object.get("partition").filter(|one| !one.is_null()) {
            let number = partition.as_u64().and_then(|number| u32::try_from(number).ok());
            record = record.partition(number.ok_or_else(|| found("partition is not a number of one"))?);
        }
        send(with(record, key.as_deref(), value.as_deref()))
    }
}

/// What `consume` prints. Another member is a mistake, and a record without it is another one.
const MEMBERS: [&str; 10] =
    ["key", "value", "headers", "timestamp", "partition", "key_hex", "value_hex", "type", "topic", "offset"];
const MEMBERS_OF_HEADER: [&str; 3] = ["key", "value", "value_hex"];

fn only(whose: &str, members: &serde_json::Map<String, Value>, known: &[&str]) -> Outcome {
    match members.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            Err(found(format!("{name:?} is no member of a {whose}: those are {}", known.join(", "))))
        }
    }
}

/// Of a text of one line.
fn without_line(error: &serde_json::Error) -> String {
    let words = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    words.strip_suffix(&place).map_or(words.clone(), |what| format!("{what} at column {}", error.column()))
}

/// Most lines: an object as it should be, without headers. It is read into no tree of values, which takes four times as long.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Plain<'a> {
    #[serde(rename = "type")]
    kind: IgnoredAny,
    topic: IgnoredAny,
    offset: IgnoredAny,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: Option<Cow<'a, str>>,
    key_hex: Option<IgnoredAny>,
    value_hex: Option<IgnoredAny>,
    headers: Option<Vec<IgnoredAny>>,
    timestamp: Option<i64>,
    partition: Option<u32>,
}

impl<'a> Plain<'a> {
    /// `None` where it is anything else, or wrong: that is looked at, and told, by the tree.
    fn of(line: &'a [u8]) -> Option<Self> {
        // A list would be taken for the members in their order.
        line.iter().find(|byte| !byte.is_ascii_whitespace()).filter(|byte| **byte == b'{')?;
        let plain: Self = serde_json::from_slice(line).ok()?;
        let is_plain = plain.key_hex.is_none()
            && plain.value_hex.is_none()
            && plain.headers.as_ref().is_none_or(Vec::is_empty);
        is_plain.then_some(plain)
    }

    fn send(
        &'a self,
        mut record: Record<'a>,
        keep_partition: bool,
        send: impl FnOnce(Record<'_>) -> Outcome,
    ) -> Outcome {
        if let Some(time) = self.timestamp {
            record = record.timestamp(time);
        }
        if let Some(partition) = self.partition.filter(|_| keep_partition) {
            record = record.partition(partition);
        }
        let bytes = |text: &'a Option<Cow<'a, str>>| text.as_deref().map(str::as_bytes);
        send(with(record, bytes(&self.key), bytes(&self.value)))
    }
}

fn with<'a>(record: Record<'a>, key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Record<'a> {
    let record = match key {
        Some(key) => record.key(key),
        None => record,
    };
    match value {
        Some(value) => record.value(value),
        None => record,
    }
}

fn with_headers<'a>(record: Record<'a>, headers: Headers<'a>) -> Record<'a> {
    headers.into_iter().fold(record, |record, (name, value)| match value {
        Some(value) => record.header(name, value),
        None => record.null_header(name),
    })
}

/// Text under the name, or hexadecimal under the name with `_hex`.
fn member(object: &Value, name: &str) -> Outcome<Option<Vec<u8>>> {
    match (object.get(name), object.get(format!("{name}_hex"))) {
        (Some(Value::String(text)), None) => Ok(Some(text.clone().into_bytes())),
        (None | Some(Value::Null), None | Some(Value::Null)) => Ok(None),
        (None | Some(Value::Null), Some(Value::String(digits))) => {
            unhex(digits.as_bytes()).map(Some).ok_or_else(|| found(format!("{name}_hex is not hexadecimal")))
        }
        _ => Err(found(format!("{name} is not a string: write objects and numbers as the text of one"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(parse_key: bool, parse_headers: bool) -> LineReader {
        let null_marker = Some("NULL".to_owned());
        LineReader { parse_key, key_separator: None, parse_headers, null_marker, property: Vec::new() }
    }

    fn shown(read: impl FnOnce(&mut dyn FnMut(Record<'_>) -> Outcome) -> Outcome) -> Result<String, String> {
        let mut shown = String::new();
        let outcome = read(&mut |record| {
            let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            let headers: Vec<_> = record.headers().iter().map(|one| (&one.key, text(one.value))).collect();
            shown = format!(
                "{:?} {:?} {headers:?} {:?} {:?}",
                text(record.key_bytes()),
                text(record.value_bytes()),
                record.timestamp_millis(),
                record.partition_number()
            );
            Ok(())
        });
        outcome.map(|()| shown).map_err(|failure| failure.to_string())
    }

    #[test]
    fn text_is_taken_apart_as_kafkas_reader_does() {
        let text = |key, headers, line: &str| {
            shown(|send| reader(key, headers).text(line.as_bytes(), Record::new(), send))
        };
        assert_eq!(text(false, false, "a\tb").unwrap(), r#"None Some("a\tb") [] None None"#);
        assert_eq!(text(false, false, "NULL").unwrap(), "None None [] None None");
        assert_eq!(text(true, false, "a\tb\tc").unwrap(), r#"Some("a") Some("b\tc") [] None None"#);
        assert_eq!(text(true, false, "\t").unwrap(), r#"Some("") Some("") [] None None"#);
        assert_eq!(text(true, false, "NULL\tNULL").unwrap(), "None None [] None None");
        assert_eq!(text(true, false, "ab").unwrap_err(), r#"no key separator "\t""#);
        assert_eq!(
            text(true, true, "x:1,y:NULL\ta\tb").unwrap(),
            r#"Some("a") Some("b") [("x", Some("1")), ("y", None)] None None"#
        );
        assert_eq!(text(false, true, "\tb").unwrap(), r#"None Some("b") [] None None"#);
        assert_eq!(text(false, true, "x\tb").unwrap_err(), "a header is name:value");
    }

    #[test]
    fn hexadecimal_is_bytes() {
        let hex = |line: &str| shown(|send| reader(true, false).hex(line.as_bytes(), Record::new(), send));
        assert_eq!(hex("61\t6263").unwrap(), r#"Some("a") Some("bc") [] None None"#);
        assert_eq!(hex("NULL\t").unwrap(), r#"None Some("") [] None None"#);
        assert!(hex("61\t626").is_err());
    }

    #[test]
    fn json_is_what_consume_prints() {
        let json = |line: &str, keep| {
            shown(|send| reader(false, false).json(line.as_bytes(), Record::new(), keep, send))
        };
        let line = r#"{"type":"record","partition":3,"offset":9,"timestamp":7,"key":"a","value_hex":"6263","headers":[{"key":"x","value":null},{"key":"x","value_hex":"64"}]}"#;
        assert_eq!(
            json(line, false).unwrap(),
            r#"Some("a") Some("bc") [("x", None), ("x", Some("d"))] Some(7) None"#
        );
        assert!(json(line, true).unwrap().ends_with("Some(7) Some(3)"));
        assert_eq!(json("{}", true).unwrap(), "None None [] None None");
        let plain =
            r#" {"type":"record","partition":3,"timestamp":7,"key":null,"value":"a\n\u00e9","headers":[]}"#;
        assert_eq!(json(plain, true).unwrap(), r#"None Some("a\né") [] Some(7) Some(3)"#);
        assert!(Plain::of(plain.as_bytes()).is_some() && Plain::of(line.as_bytes()).is_none());
        // A partition that is not looked at may be anything.
        assert_eq!(
            json(r#"{"value":"b","partition":"x","timestamp":-1}"#, false).unwrap(),
            "None Some(\"b\") [] Some(-1) None"
        );
        let twice = json(r#"{"value":"a","value":"b"}"#, false).unwrap_err();
        assert!(twice.starts_with("\"value\" is there twice"), "{twice}");
        for wrong in [
            "",
            "[]",
            r#"["a","b"]"#,
            r#"{"headers":[["x","y",null]]}"#,
            "7",
            r#"{"value":{"a":1}}"#,
            r#"{"value":"a","value_hex":"61"}"#,
            r#"{"key_hex":"6"}"#,
            r#"{"headers":{}}"#,
            r#"{"headers":[{"value":"x"}]}"#,
            r#"{"timestamp":"now"}"#,
            r#"{"vlaue":"5"}"#,
            r#"{"value":null,"value":"b"}"#,
            r#"{"offset":1,"offset":2}"#,
            r#"{"headers":[{"key":"x","value":"1","value":"2"}]}"#,
            r#"{"headers":[],"headers":[{"key":"x","value":"1"}]}"#,
            r#"{"value":"5","headers":[{"name":"x","key":"y"}]}"#,
        ] {
            assert!(json(wrong, true).is_err(), "{wrong}");
        }
        assert!(json(r#"{"partition":-1}"#, true).is_err());
    }
}
