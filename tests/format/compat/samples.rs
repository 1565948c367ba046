//! Records to try.

use annals::{OwnedRecord, Record};

/// The time of most samples.
pub(crate) const NOON: i64 = 1_700_000_000_000;

/// Headers in order.
type Headers = Vec<(String, Option<Vec<u8>>)>;

/// A record that knows nothing of either implementation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Headers,
}

impl Sample {
    pub(crate) fn new(timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Self {
        let (key, value) = (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec));
        Self { timestamp, key, value, headers: Vec::new() }
    }

    pub(crate) fn record(&self) -> Record<'_> {
        let mut record = Record::new().timestamp(self.timestamp);
        if let Some(key) = &self.key {
            record = record.key(key);
        }
        if let Some(value) = &self.value {
            record = record.value(value);
        }
        for (key, value) in &self.headers {
            record = match value {
                Some(value) => record.header(key, value),
                None => record.null_header(key),
            };
        }
        record
    }

    pub(crate) fn read(record: OwnedRecord) -> Self {
        let headers = record.headers.into_iter().map(|header| (header.key, header.value)).collect();
        Self { timestamp: record.timestamp, key: record.key, value: record.value, headers }
    }

    /// The same, as an implementation keeps it whose headers are a map in order of first insertion.
    pub(crate) fn with_headers_as_map(mut self) -> Self {
        let mut map: Headers = Vec::new();
        for (key, value) in self.headers {
            match map.iter_mut().find(|(known, _)| *known == key) {
                Some(known) => known.1 = value,
                None => map.push((key, value)),
            }
        }
        self.headers = map;
        self
    }
}

/// Null, empty and non-empty keys and values with every kind of header list; times run backwards.
pub(crate) fn every_combination() -> Vec<Sample> {
    let bytes: [Option<&[u8]>; 3] = [None, Some(b""), Some(b"\0\xff some bytes")];
    let mut samples = Vec::new();
    for key in bytes {
        for value in bytes {
            for headers in header_lists() {
                let timestamp = NOON - 1000 * i64::try_from(samples.len()).unwrap();
                samples.push(Sample { headers, ..Sample::new(timestamp, key, value) });
            }
        }
    }
    samples
}

fn header_lists() -> Vec<Headers> {
    let header = |key: &str, value: Option<&[u8]>| (key.to_owned(), value.map(<[u8]>::to_vec));
    let repeats = vec![header("h", Some(b"1")), header("other", None), header("h", Some(b"2"))];
    vec![
        vec![],
        vec![header("h", Some(b"1"))],
        vec![header("h", None)],
        vec![header("", Some(b"")), header("empty", Some(b"")), header("null", None)],
        repeats,
        vec![header("h", Some(b"last is null")), header("h", None), header("ключ", Some(b"\xff\0"))],
    ]
}

/// A full batch of ordinary records.
pub(crate) fn three_hundred() -> Vec<Sample> {
    let sample = |number: i64| {
        let (key, value) = (format!("key {}", number % 17), format!("the value of record {number}"));
        Sample::new(NOON + number * 7 % 100, Some(key.as_bytes()), Some(value.as_bytes()))
    };
    (0..300).map(sample).collect()
}

/// Values of a mebibyte: one that compresses to nothing, one that does not compress at all.
pub(crate) fn large() -> Vec<Sample> {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    let incompressible: Vec<_> = (0..1 << 20).map(|_| noise()).collect();
    vec![
        Sample::new(NOON, Some(b"same"), Some(&vec![b'x'; 1 << 20])),
        Sample::new(NOON - 1, Some(b"noise"), Some(&incompressible)),
    ]
}

/// Every set of samples, by name.
pub(crate) fn all() -> Vec<(&'static str, Vec<Sample>)> {
    let far =
        [0, i64::from(u32::MAX) + 1, 1, NOON, 0].map(|time| Sample::new(time, None, Some(b"far apart")));
    vec![
        ("combinations", every_combination()),
        ("three hundred", three_hundred()),
        ("large", large()),
        ("far apart", far.to_vec()),
        ("one", vec![Sample::new(NOON, None, None)]),
    ]
}
