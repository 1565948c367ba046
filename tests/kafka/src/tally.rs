//! What was compared, and what differed.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde_json::Value;

use crate::Answer;
use crate::content::{Content, number};
use crate::stores::{Found, Plan};

#[derive(Debug, Default)]
pub struct Tally {
    pub topics: usize,
    pub segments: usize,
    pub batches: usize,
    pub empty_batches: usize,
    pub records: usize,
    pub look_ups: usize,
    pub cleanings: usize,
    pub commits: usize,
    /// Deviations that are meant, by name: `README.md` has the reason of each.
    pub meant: BTreeMap<&'static str, usize>,
    pub differences: Vec<String>,
}

pub fn array<'a>(answer: &'a Value, name: &str) -> Answer<&'a Vec<Value>> {
    answer[name].as_array().ok_or_else(|| format!("no {name} in {answer}").into())
}

fn is_empty(batch: &Value) -> bool {
    batch["records"].as_array().is_some_and(Vec::is_empty)
}

/// Whether Kafka looks in vain: it searches only the first segment that has a batch of that time or later, though all such
/// records may be gone from it, cleaned or below the start.
fn stops_early(answer: &Value, found: &Found, time: i64) -> Answer<bool> {
    let segments: Vec<_> = array(answer, "segments")?.iter().map(number).collect::<Result<_, _>>()?;
    let batches = array(answer, "records")?;
    let late = |batch: &&Value| batch["max"].as_i64().is_some_and(|max| max >= time);
    let Some(batch) = batches.iter().find(late) else { return Ok(false) };
    let base = number(&batch["base"])?;
    let next = segments.iter().copied().find(|segment| *segment > base).unwrap_or(i64::MAX);
    let inside = found.records.iter().filter(|record| record.timestamp >= time && record.offset < next);
    Ok(inside.count() == 0)
}

impl Tally {
    fn mean(&mut self, deviation: &'static str) {
        *self.meant.entry(deviation).or_default() += 1;
    }

    pub fn differ(&mut self, place: &str, what: &str, theirs: &dyn Debug, ours: &dyn Debug) {
        let (theirs, ours) = (format!("{theirs:?}"), format!("{ours:?}"));
        let cut = |text: &str| text.chars().take(600).collect::<String>();
        self.differences.push(format!("{place}: {what}: Kafka {}, annals {}", cut(&theirs), cut(&ours)));
    }

    /// All that Kafka says of a partition against what annals says.
    pub fn compare(&mut self, place: &str, plan: &Plan, answer: &Value, found: &Found) -> Answer<()> {
        if let Some(failure) = answer["failed"].as_str() {
            self.differ(place, "Kafka fails", &failure, &());
            return Ok(());
        }
        self.compare_content(place, answer, found)?;
        self.compare_seeks(place, answer)?;
        self.compare_files(place, plan, answer)
    }

    /// Records, ends and times.
    pub fn compare_content(&mut self, place: &str, answer: &Value, found: &Found) -> Answer<()> {
        if let Some(failure) = answer["failed"].as_str() {
            self.differ(place, "Kafka fails", &failure, &());
            return Ok(());
        }
        let mut records = Vec::new();
        let batches = array(answer, "records")?;
        for batch in batches {
            if number(&batch["epoch"])? != 0 || number(&batch["producer"])? != -1 {
                self.differ(place, "leader epoch or producer", batch, &(0, -1));
            }
            for record in array(batch, "records")? {
                records.push(Content::parse(record)?);
            }
            self.empty_batches += usize::from(is_empty(batch));
        }
        // What stands before the start is still in the first segment.
        records.retain(|record| record.offset >= found.start);
        if records != found.records {
            let first = records.iter().zip(&found.records).position(|(theirs, ours)| theirs != ours);
            let at = first.unwrap_or(records.len().min(found.records.len()));
            let counts = format!("record {at} of {} and {}", records.len(), found.records.len());
            self.differ(place, &counts, &records.get(at), &found.records.get(at));
        }
        let ends = (number(&answer["start"])?, number(&answer["end"])?, number(&answer["stable"])?);
        let first_segment = array(answer, "segments")?.first().map_or(Ok(-1), number)?;
        let is_later = ends.0 == first_segment
            && ends.0 > found.start
            && found.records.first().is_none_or(|record| record.offset >= ends.0);
        if is_later && (ends.1, ends.2) == (found.end, found.end) {
            self.mean("a start before the first segment");
        } else if ends != (found.start, found.end, found.end) {
            self.differ(place, "start, end, last stable offset", &ends, &(found.start, found.end));
        }
        for (time, ours) in &found.times {
            let theirs = answer["times"][time.to_string()].as_str().unwrap_or("?");
            if theirs == "none" && ours != "none" && stops_early(answer, found, *time)? {
                self.mean("a time in a later segment");
            } else if theirs != ours {
                self.differ(place, &format!("first at {time}"), &theirs, ours);
            }
        }
        self.segments += array(answer, "segments")?.len();
        self.batches += batches.len();
        self.records += records.len();
        self.look_ups += found.times.len();
        Ok(())
    }

    /// The batches that a fetch begins with: Kafka finds them through the indexes.
    fn compare_seeks(&mut self, place: &str, answer: &Value) -> Answer<()> {
        let batches = array(answer, "records")?;
        for seek in array(answer, "seeks")? {
            let (offset, base) = (number(&seek[0])?, number(&seek[1])?);
            let holds = |batch: &&Value| batch["last"].as_i64().is_some_and(|last| last >= offset);
            let expected =
                batches.iter().find(holds).map_or(-1, |batch| batch["base"].as_i64().unwrap_or(-2));
            if base != expected {
                self.differ(place, &format!("a fetch from {offset} begins with"), &base, &expected);
            }
        }
        Ok(())
    }

    /// What the dump finds, and what loading changed. `README.md` lists what is passed over here, and why.
    fn compare_files(&mut self, place: &str, plan: &Plan, answer: &Value) -> Answer<()> {
        for finding in array(answer, "dump")?.iter().filter_map(Value::as_str) {
            let is_gap =
                finding.contains(" is followed by ") && (plan.is_compacted || finding.starts_with("  -1 "));
            if !is_gap && !finding.starts_with("Non-consecutive offsets in ") {
                self.differ(place, "dump-log", &finding, &());
            }
        }
        for file in array(answer, "changed")?.iter().filter_map(Value::as_str) {
            if file.ends_with(".timeindex") && array(answer, "records")?.iter().any(is_empty) {
                self.mean("a time index without empty batches");
            } else if !file.ends_with(".snapshot") && !file.starts_with("leader-epoch-checkpoint") {
                self.differ(place, "loading changes", &file, &());
            }
        }
        Ok(())
    }
}
