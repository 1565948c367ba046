//! Opening a partition whose last segment ends in arbitrary bytes.

use crate::error::{Error, Result};
use crate::format::Codec;
use crate::fuzzing::input::Input;
use crate::fuzzing::memory::{Files, Memory};
use crate::fuzzing::reference::Plain;
use crate::fuzzing::repair;
use crate::fuzzing::store_files::{NOW, clock, file_of, open, read_from};
use crate::topic::{Partition, TopicConfig};
use crate::types::{Durability, Record};

const PARTITION: &str = "t-0";
const LOG: &str = "00000000000000000000.log";

/// A partition as a process left it that was killed.
#[derive(Debug)]
struct Left {
    files: Files,
    /// Bytes and next offset after each batch; the first are zero.
    ends: Vec<(usize, i64)>,
    /// How many of the batches were synced.
    synced: usize,
    records: Vec<Plain>,
}

/// A few batches, cut off anywhere, and any bytes after them, as they are or as a batch that claims to go there.
/// Everything that is whole is kept, as a prefix; what was synced and is not there is an error that changes nothing; and
/// the log goes on after what was kept.
pub fn recovery(data: &[u8]) {
    let mut input = Input::new(data);
    let left = leave(&mut input);
    let Ok(mut left) = left else {
        assert!(left.is_ok(), "{left:?}");
        return;
    };
    let path = file_of(PARTITION, LOG);
    let log = left.files.entry(path).or_default();
    log.truncate(left.ends.last().map_or(0, |end| end.0));
    let how = input.byte();
    let cut = input.u16();
    if how & 1 != 0 {
        log.truncate(usize::from(cut) % (log.len() + 1));
    }
    let cut = log.len();
    let whole = left.ends.iter().rev().find(|end| end.0 <= cut).map_or(0, |end| end.1);
    let tail = input.rest();
    let forged = if how & 2 == 0 { None } else { repair::forged_batch(tail, whole) };
    log.extend_from_slice(forged.as_deref().unwrap_or(tail));
    let (synced_bytes, synced_end) = left.ends.get(left.synced).copied().unwrap_or_default();

    let memory = Memory::with(left.files.clone());
    let store = open(&memory, &clock());
    let Ok(store) = store else {
        assert!(store.is_ok(), "one topic stops one topic: {store:?}");
        return;
    };
    assert!(memory.files() == left.files, "opening changes nothing");
    match store.topic("t").and_then(|topic| topic.partition(0)) {
        Ok(partition) => {
            let end = partition.end();
            assert!(end >= whole && end >= synced_end, "{end} of {whole}, {synced_end} synced");
            assert!(holds(&partition, &left.records, whole));
            let outcome = goes_on(&memory, &store, &left.records, whole);
            assert!(outcome.is_ok(), "{outcome:?}");
        }
        Err(error) => {
            assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
            assert!(cut < synced_bytes, "{error}");
            assert!(store.recovery().iter().any(|report| report.failure.is_some()), "the open reports it");
        }
    }
}

fn leave(input: &mut Input<'_>) -> Result<Left> {
    let choice = input.byte();
    let codec = Codec::from_id(choice % 5).unwrap_or_default();
    // Without a batch the partition is as its creation closed it.
    let batches = 1 + usize::from(input.byte() % 4);
    let synced = usize::from(input.byte()) % (batches + 1);
    let memory = Memory::with(Files::new());
    let store = open(&memory, &clock())?;
    let topic = store.create_topic("t", TopicConfig::new().compression_type(codec))?;
    let partition = topic.partition(0)?;
    let mut ends = vec![(0, 0)];
    for number in 0..batches {
        let value = format!("value {number} ").repeat(4 + number);
        let records: Vec<_> =
            (0..=number % 3).map(|_| Record::new().key("key").value(&value).timestamp(NOW)).collect();
        partition.append(&records, Durability::Os)?;
        ends.push((usize::try_from(partition.bytes()).unwrap_or_default(), partition.end()));
        if number + 1 == synced {
            partition.flush()?;
        }
    }
    let records = read_from(&partition, 0)?;
    Ok(Left { files: memory.files(), ends, synced, records })
}

/// The first records are those that were appended. What stands behind `whole` may be anything with a right checksum.
fn holds(partition: &Partition, records: &[Plain], whole: i64) -> bool {
    let expected = records.iter().take_while(|record| record.offset < whole);
    let found = partition.read(..whole).map(IntoIterator::into_iter);
    found.is_ok_and(|found| {
        let found: Result<Vec<_>> = found.collect();
        found.is_ok_and(|found| {
            let same = |(found, expected): (&crate::topic::OwnedRecord, &&Plain)| {
                found.offset == expected.offset && found.key == expected.key && found.value == expected.value
            };
            let expected: Vec<_> = expected.collect();
            found.len() == expected.len() && found.iter().zip(&expected).all(same)
        })
    })
}

/// Appends after what was kept, and looks again after a power cut.
fn goes_on(memory: &Memory, store: &crate::store::Store, records: &[Plain], whole: i64) -> Result<()> {
    let partition = store.topic("t")?.partition(0)?;
    let end = partition.end();
    let record = Record::new().key("new").value("behind").timestamp(NOW);
    let first = partition.append(&[record], Durability::Disk)?.first_offset;
    assert_eq!(first, end);
    let memory = Memory::with(memory.durable_files());
    let store = open(&memory, &clock())?;
    let partition = store.topic("t")?.partition(0)?;
    assert_eq!(partition.end(), end + 1);
    assert!(store.recovery().iter().all(|report| report.torn.is_none()));
    assert!(holds(&partition, records, whole));
    let last = read_from(&partition, end)?;
    assert!(matches!(&last[..], [last] if last.value.as_deref() == Some(b"behind")));
    store.close()
}
