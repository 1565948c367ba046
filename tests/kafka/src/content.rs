//! A record as it is written, as annals reads it and as Kafka does.

use annals::{OwnedRecord, Record};
use serde_json::Value;

use crate::Answer;
use crate::random::Random;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub offset: i64,
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Null, empty, short, text that compresses, bytes that do not.
fn random_bytes(random: &mut Random) -> Option<Vec<u8>> {
    match random.below(8) {
        0 => None,
        1 => Some(Vec::new()),
        2 | 3 => Some(b"again and again and ".repeat(random.below(12))),
        4 if random.one_in(20) => {
            let len = random.below(2500);
            Some(random.bytes(len))
        }
        _ => {
            let len = random.below(40);
            Some(random.bytes(len))
        }
    }
}

impl Content {
    pub fn random(random: &mut Random, timestamp: i64, keys: usize) -> Self {
        let key = match random.below(10) {
            0 => random_bytes(random),
            _ => Some(format!("key {}", random.below(keys)).into_bytes()),
        };
        let count = random.below(12).saturating_sub(8);
        let headers = (0..count).map(|_| {
            let name = (*random.of(&["", "name", "name", "ключ"])).to_owned();
            (name, random_bytes(random))
        });
        let headers = headers.collect();
        Self { offset: -1, timestamp, key, value: random_bytes(random), headers }
    }

    pub fn record(&self) -> Record<'_> {
        let mut record = Record::new().timestamp(self.timestamp);
        if let Some(key) = &self.key {
            record = record.key(key);
        }
        if let Some(value) = &self.value {
            record = record.value(value);
        }
        for (name, value) in &self.headers {
            record = match value {
                Some(value) => record.header(name, value),
                None => record.null_header(name),
            };
        }
        record
    }

    pub fn read(record: OwnedRecord) -> Self {
        let headers = record.headers.into_iter().map(|header| (header.key, header.value)).collect();
        let OwnedRecord { offset, timestamp, key, value, .. } = record;
        Self { offset, timestamp, key, value, headers }
    }

    /// From what the judge prints.
    pub fn parse(record: &Value) -> Answer<Self> {
        let mut headers = Vec::new();
        for header in record["headers"].as_array().ok_or("no headers")? {
            let name = bytes(&header[0])?.ok_or("a header without a name")?;
            headers.push((String::from_utf8(name)?, bytes(&header[1])?));
        }
        Ok(Self {
            offset: number(&record["offset"])?,
            timestamp: number(&record["timestamp"])?,
            key: bytes(&record["key"])?,
            value: bytes(&record["value"])?,
            headers,
        })
    }
}

pub fn number(value: &Value) -> Answer<i64> {
    value.as_i64().ok_or_else(|| format!("{value} is not a number").into())
}

fn bytes(value: &Value) -> Answer<Option<Vec<u8>>> {
    let Some(digits) = value.as_str() else { return Ok(None) };
    let byte = |at: usize| u8::from_str_radix(digits.get(at..at + 2).unwrap_or("?"), 16);
    Ok(Some((0..digits.len()).step_by(2).map(byte).collect::<Result<_, _>>()?))
}
