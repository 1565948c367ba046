//! Payloads: events of a week of earthquakes as JSON, with their numbers drawn anew, so that they compress as real events do
//! and no two are the same.

use std::ops::Range;
use std::sync::Arc;

const EVENTS: &str = include_str!("../../../examples/data/earthquakes.tsv");
/// Different payloads: few enough to be in a cache, as what a program has just made is.
const COUNT: usize = 1024;
/// The most that all of them take.
const MOST_BYTES: usize = 8 << 20;

/// Payloads of one length, used in turn.
#[derive(Clone)]
pub(crate) struct Payloads {
    bytes: Arc<[u8]>,
    len: usize,
    count: usize,
}

/// What is in a log: enough to see that nothing is missing and nothing else came instead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
    /// Sum of all payloads' words: takes every byte into account, and no order.
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
        let count = (MOST_BYTES / len).clamp(1, COUNT);
        let mut random = Random::default();
        let mut bytes = Vec::with_capacity(count * len);
        for number in 0..count {
            let end = (number + 1) * len;
            while bytes.len() < end {
                let event = json[random.below(json.len())];
                bytes.extend(event.bytes().map(|byte| match byte {
                    b'0'..=b'9' => b'0' + u8::try_from(random.below(10)).unwrap_or(0),
                    other => other,
                }));
            }
            bytes.truncate(end);
        }
        Self { bytes: bytes.into(), len, count }
    }

    /// The payload of record `number`.
    #[inline]
    pub(crate) fn get(&self, number: usize) -> &[u8] {
        let at = number % self.count * self.len;
        &self.bytes[at..at + self.len]
    }

    /// What a log of these records holds.
    pub(crate) fn expected(&self, numbers: impl IntoIterator<Item = usize>) -> Found {
        let mut found = Found::default();
        numbers.into_iter().for_each(|number| found.add(self.get(number)));
        found
    }
}

/// Records to append: which, and how many with one call.
#[derive(Clone)]
pub(crate) struct Values {
    pub(crate) payloads: Payloads,
    pub(crate) numbers: Range<usize>,
    /// Records in one call.
    pub(crate) batch: usize,
    /// Once the last one is appended this process kills itself, before anything can be finished.
    pub(crate) kill_behind: bool,
}

impl Values {
    pub(crate) fn new(payloads: &Payloads, numbers: Range<usize>, batch: usize) -> Self {
        Self { payloads: payloads.clone(), numbers, batch, kill_behind: false }
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = &[u8]> {
        self.numbers.clone().map(|number| self.payloads.get(number)).chain(std::iter::from_fn(|| {
            self.end();
            None
        }))
    }

    /// Calls `append` for each batch.
    #[inline]
    pub(crate) fn in_batches<E>(&self, mut append: impl FnMut(&[&[u8]]) -> Result<(), E>) -> Result<(), E> {
        let mut batch = Vec::with_capacity(self.batch);
        for first in self.numbers.clone().step_by(self.batch) {
            let behind = self.numbers.end.min(first + self.batch);
            batch.clear();
            batch.extend((first..behind).map(|number| self.payloads.get(number)));
            append(&batch)?;
        }
        self.end();
        Ok(())
    }

    /// The shares of so many threads.
    pub(crate) fn shares(&self, threads: usize) -> Vec<Self> {
        let each = self.numbers.len().div_ceil(threads).next_multiple_of(self.batch);
        let first = self.numbers.clone().step_by(each);
        first
            .map(|first| Self { numbers: first..self.numbers.end.min(first + each), ..self.clone() })
            .collect()
    }

    /// Behind the last append.
    pub(crate) fn end(&self) {
        if self.kill_behind {
            crate::kill::kill_self();
        }
    }
}

/// xorshift64 (Marsaglia 2003), the same numbers in every run.
pub(crate) struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound
    }
}
