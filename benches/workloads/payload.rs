//! Payloads: pieces of JSON from a week of earthquakes, numbered, so that they compress as real events do.

use std::rc::Rc;

const EVENTS: &str = include_str!("../../examples/data/earthquakes.tsv");
/// Different payloads; a power of two. Few enough to be in a cache, as what a program has just made is.
const COUNT: usize = 1024;

/// `COUNT` payloads of one length, used in turn.
#[derive(Clone)]
pub(crate) struct Payloads {
    bytes: Rc<[u8]>,
    len: usize,
}

/// What is in a log: enough to see that nothing is missing and nothing else came instead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    /// Sum of all payloads' words: takes every byte into account.
    pub(crate) sum: u64,
}

impl Found {
    /// Counts a payload and touches each of its bytes.
    #[inline]
    pub(crate) fn add(&mut self, payload: &[u8]) {
        self.records += 1;
        self.bytes += payload.len();
        let (words, rest) = payload.as_chunks::<8>();
        let words = words.iter().fold(0_u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
        let rest = rest.iter().fold(0_u64, |sum, byte| sum.wrapping_add(u64::from(*byte)));
        self.sum = self.sum.wrapping_add(words).wrapping_add(rest);
    }
}

impl Payloads {
    pub(crate) fn new(len: usize) -> Self {
        let json: Vec<&str> = EVENTS.lines().filter_map(|line| line.split('\t').nth(2)).collect();
        let mut bytes = Vec::with_capacity(COUNT * len);
        for number in 0..COUNT {
            let mut text = format!("{{\"seq\":{number},\"events\":[");
            for event in json.iter().cycle().skip(number) {
                text.push_str(event);
                text.push(',');
                if text.len() >= len {
                    break;
                }
            }
            bytes.extend_from_slice(&text.as_bytes()[..len]);
        }
        Self { bytes: bytes.into(), len }
    }

    /// The payload of record `number`.
    #[inline]
    pub(crate) fn get(&self, number: usize) -> &[u8] {
        let at = number % COUNT * self.len;
        &self.bytes[at..at + self.len]
    }

    /// Length of each.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// What a log of the first `records` payloads holds.
    pub(crate) fn expected(&self, records: usize) -> Found {
        self.expected_at(0..records)
    }

    /// What reading these records finds.
    pub(crate) fn expected_at(&self, numbers: impl IntoIterator<Item = usize>) -> Found {
        let mut found = Found::default();
        numbers.into_iter().for_each(|number| found.add(self.get(number)));
        found
    }
}
