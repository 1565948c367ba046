//! What a process has said: first what it found in its store, then what it did.
//!
//! | line | before `READY`: found |
//! |---|---|
//! | `F topic partition start end` | a partition |
//! | `R` and a record | a record, whose key and value are what they should be |
//! | `B text` | something that is not as it should be |
//! | `G group topic partition offset` | a committed offset |
//! | `U group topic partition` | one that was set back |
//!
//! | line | behind it: done, and true when it was said |
//! |---|---|
//! | `D`, `A`, `M` and a record | acknowledged at `Disk`, `Os`, `Memory` |
//! | `N topic partition life thread number` | refused with an error |
//! | `S thread` | a flush: all that this thread has said is on the disk |
//! | `c`, `C`, `x`, `X` and a topic | its creation, its deletion: begun, done |
//! | `k`, `K topic partition offset` | records below it deleted: begun, done |
//! | `G group topic partition offset` | a commit, on the disk |
//! | `E text` | an error |

use std::collections::{BTreeMap, BTreeSet};

use crate::Outcome;
use crate::content::{Id, Seen};

pub(crate) const READY: &str = "READY";

pub(crate) type Place = (String, u32);

/// What a store holds.
#[derive(Debug, Default, Clone)]
pub(crate) struct State {
    pub(crate) partitions: BTreeMap<Place, Part>,
    pub(crate) committed: BTreeMap<(String, String, u32), i64>,
    pub(crate) set_back: BTreeSet<(String, String, u32)>,
    pub(crate) wrong: Vec<String>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Part {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) records: BTreeMap<i64, Seen>,
}

/// What was done to it.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) durable: Vec<Seen>,
    /// `Os`, in the order of saying.
    pub(crate) written: Vec<Seen>,
    pub(crate) in_memory: Vec<Seen>,
    /// Acknowledged at any level when the power was failing already: nothing was promised, and what was done because of
    /// them may have been done.
    pub(crate) late: Vec<Seen>,
    /// Topic, partition, life, thread, number.
    pub(crate) refused: BTreeSet<(Place, u64, u64, u64)>,
    pub(crate) creating: BTreeSet<String>,
    pub(crate) created: BTreeSet<String>,
    pub(crate) deleting: BTreeSet<String>,
    pub(crate) deleted: BTreeSet<String>,
    pub(crate) trimming: BTreeMap<Place, i64>,
    pub(crate) trimmed: BTreeMap<Place, i64>,
    pub(crate) committed: BTreeMap<(String, String, u32), i64>,
    pub(crate) errors: Vec<String>,
}

impl State {
    pub(crate) fn of(lines: &[String]) -> Outcome<Self> {
        let mut state = Self::default();
        for line in lines {
            state.take(line).ok_or_else(|| format!("not a line of what was found: {line:?}"))?;
        }
        Ok(state)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["F", topic, partition, start, end] => {
                let place = ((*topic).to_owned(), partition.parse().ok()?);
                let part = self.partitions.entry(place).or_default();
                (part.start, part.end) = (start.parse().ok()?, end.parse().ok()?);
            }
            ["R", rest @ ..] => {
                let seen = Seen::of_words(rest)?;
                let part = self.partitions.entry((seen.topic.clone(), seen.partition)).or_default();
                if let Some(twice) = part.records.insert(seen.offset, seen) {
                    self.wrong.push(format!("an offset was read twice: {twice:?}"));
                }
            }
            ["G", rest @ ..] => {
                let (whom, offset) = committed(rest)?;
                self.committed.insert(whom, offset);
            }
            ["U", group, topic, partition] => {
                let whom = ((*group).to_owned(), (*topic).to_owned(), partition.parse().ok()?);
                self.set_back.insert(whom);
            }
            ["B", ..] => self.wrong.push(line.to_owned()),
            _ => return None,
        }
        Some(())
    }
}

impl Told {
    pub(crate) fn of(lines: &[String]) -> Outcome<Self> {
        let mut told = Self::default();
        for line in lines {
            told.take(line).ok_or_else(|| format!("not a line of what was done: {line:?}"))?;
        }
        Ok(told)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["D", rest @ ..] => self.durable.push(Seen::of_words(rest)?),
            ["A", rest @ ..] => self.written.push(Seen::of_words(rest)?),
            ["M", rest @ ..] => self.in_memory.push(Seen::of_words(rest)?),
            ["N", topic, partition, life, thread, number] => {
                let place = ((*topic).to_owned(), partition.parse().ok()?);
                self.refused.insert((place, life.parse().ok()?, thread.parse().ok()?, number.parse().ok()?));
            }
            ["S", thread] => self.flushed(thread.parse().ok()?),
            ["G", rest @ ..] => {
                let (whom, offset) = committed(rest)?;
                self.committed.insert(whom, offset);
            }
            ["E", ..] => {
                self.errors.push(line.to_owned());
                // It may have been a write of these.
                for Seen { topic, partition, id, .. } in self.in_memory.drain(..) {
                    self.refused.insert(((topic, partition), id.life, id.thread, id.number));
                }
            }
            [kind @ ("k" | "K"), topic, partition, offset] => {
                let all = if *kind == "k" { &mut self.trimming } else { &mut self.trimmed };
                let most = all.entry(((*topic).to_owned(), partition.parse().ok()?)).or_default();
                *most = offset.parse::<i64>().ok()?.max(*most);
            }
            [kind, topic] => {
                let all = match *kind {
                    "c" => &mut self.creating,
                    "C" => &mut self.created,
                    "x" => &mut self.deleting,
                    "X" => &mut self.deleted,
                    _ => return None,
                };
                all.insert((*topic).to_owned());
            }
            _ => return None,
        }
        Some(())
    }

    fn flushed(&mut self, thread: u64) {
        let is_its = |seen: &mut Seen| seen.id.thread == thread;
        self.durable.extend(self.written.extract_if(.., is_its));
        self.durable.extend(self.in_memory.extract_if(.., is_its));
    }

    pub(crate) fn may_be_missing(&self, place: &Place, id: &Id, number: u64) -> bool {
        self.refused.contains(&(place.clone(), id.life, id.thread, number))
    }
}

fn committed(words: &[&str]) -> Option<((String, String, u32), i64)> {
    let [group, topic, partition, offset] = words else { return None };
    let whom = ((*group).to_owned(), (*topic).to_owned(), partition.parse().ok()?);
    Some((whom, offset.parse().ok()?))
}
