//! A broker's directories as topics of a store.

use std::path::Path;

use annals::{Durability, LogSource, Record, Store, TopicConfig};

use crate::Answer;
use crate::adopt::{Expected, compare_lists, names};
use crate::adopt_example::kafka_start;
use crate::content::Content;
use crate::tally::Tally;

/// The log directory of a broker that was stopped, adopted: the records that went there, those that producers appended, nothing of what was
/// aborted or stayed open, and room for more.
pub fn come_back(logs: &Path, dir: &Path, expected: &Expected, tally: &mut Tally) -> Answer<()> {
    let store = Store::builder(dir).maintain_by_hand().open()?;
    for topic in names(expected) {
        let places = expected.iter().filter(|((name, _), _)| name == topic);
        let sources = places.clone().map(|((name, number), _)| {
            let directory = logs.join(format!("{name}-{number}"));
            match kafka_start(&directory) {
                Some(start) => LogSource::new(directory).start(start),
                None => LogSource::new(directory),
            }
        });
        let adopted = store.adopt_topic(topic, TopicConfig::new(), sources)?;
        for (adopted, ((_, number), found)) in adopted.partitions.iter().zip(places) {
            // The open transaction gets its end here.
            let ours = (adopted.aborted, adopted.torn.is_some(), adopted.end);
            if ours != (1, false, found.end + 1) {
                tally.differ(&format!("{topic}-{number}, adopted"), "aborted, torn, end", &found.end, &ours);
            }
        }
    }
    for ((topic, number), found) in expected {
        let place = format!("{topic}-{number}, back from the broker");
        compare(&store, (topic, *number), &found.records, &place, tally)?;
        let partition = store.topic(topic)?.partition(*number)?;
        let placed = partition.append(&[Record::new().key("k").value("more")], Durability::Os)?;
        if placed.first_offset != found.end + 1 {
            tally.differ(&place, "annals appends at", &found.end, &placed.first_offset);
        }
    }
    store.close()?;
    let store = Store::builder(dir).maintain_by_hand().open()?;
    for ((topic, number), found) in expected {
        let partition = store.topic(topic)?.partition(*number)?;
        let Some(last) = partition.read_from(found.end + 1)?.into_iter().next() else {
            tally.differ(
                &format!("{topic}-{number}"),
                "what annals appended is there after an open",
                &(),
                &(),
            );
            continue;
        };
        let mut records = found.records.clone();
        records.push(Content::read(last?));
        compare(&store, (topic, *number), &records, &format!("{topic}-{number}, opened again"), tally)?;
    }
    store.close()?;
    Ok(())
}

fn compare(
    store: &Store,
    (topic, number): (&str, u32),
    expected: &[Content],
    place: &str,
    tally: &mut Tally,
) -> Answer<()> {
    let partition = store.topic(topic)?.partition(number)?;
    let records = partition.read(..)?.into_iter().map(|record| record.map(Content::read));
    compare_lists(place, expected, &records.collect::<Result<Vec<_>, _>>()?, tally);
    Ok(())
}
