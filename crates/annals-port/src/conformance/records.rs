//! Records: what they hold, where they go, in which order.

use std::collections::BTreeMap;

use annals::{Record, TopicConfig};

use super::{Check, Failure, hold, take, take_nothing, texts, topic};
use crate::error::ErrorKind;
use crate::verbs::{Backend, Consume, Produce};

pub(super) fn checks<B: Backend>() -> Vec<Check<B>> {
    vec![
        Check { name: "records come back as they were sent", run: come_back },
        Check { name: "keys go where the Java client puts them", run: places_of_keys },
        Check { name: "records of a partition keep their order", run: order },
        Check { name: "a topic is created once", run: created_once },
        Check { name: "an unknown topic is told", run: unknown_topic },
        Check { name: "an invalid topic is told", run: invalid_topic },
        Check { name: "settings have units", run: units },
        Check { name: "many small records go to a topic of small batches", run: small_batches },
        Check { name: "a record as large as its topic allows is taken", run: largest_record },
        Check { name: "a time before 1970 is refused", run: early_time },
    ]
}

fn come_back<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let name = topic(kafka, format!("{run}-shapes"), 1)?;
    let mut producer = kafka.producer()?;
    let long = "x".repeat(100_000);
    producer.send(Record::to(&name).timestamp(1_700_000_000_000))?;
    producer.send(Record::to(&name).key("").value("").timestamp(1_700_000_000_001))?;
    producer.send(Record::to(&name).key("k").value(&long).timestamp(1_600_000_000_000))?;
    let headers =
        Record::to(&name).key("k").header("a", "1").null_header("a").header("", "").header("b", &[0, 255]);
    producer.send(headers.timestamp(1_700_000_000_002))?;
    producer.flush()?;
    let mut consumer = kafka.consumer(&format!("{run}-shapes"))?;
    consumer.assign(&[(name.as_str(), 0).into()])?;
    let found = take(&mut consumer, 4)?;
    let [nothing, empty, large, headed] = found.as_slice() else { return Err("not four".into()) };
    hold!(nothing.key.is_none() && nothing.value.is_none(), "null came back as {nothing:?}");
    hold!(nothing.timestamp == 1_700_000_000_000, "the time came back as {}", nothing.timestamp);
    let is_empty = |bytes: &Option<Vec<u8>>| bytes.as_deref() == Some(&[]);
    hold!(is_empty(&empty.key) && is_empty(&empty.value), "empty came back as {empty:?}");
    hold!(large.value.as_deref() == Some(long.as_bytes()), "100,000 bytes came back as others");
    hold!(large.timestamp == 1_600_000_000_000, "an earlier time came back as {}", large.timestamp);
    let expected = vec![
        ("a".to_owned(), Some(b"1".to_vec())),
        ("a".to_owned(), None),
        (String::new(), Some(Vec::new())),
        ("b".to_owned(), Some(vec![0, 255])),
    ];
    hold!(headed.headers == expected, "headers came back as {:?}", headed.headers);
    let offsets: Vec<_> = found.iter().map(|record| record.offset).collect();
    hold!(offsets == [0, 1, 2, 3], "they stand at {offsets:?}");
    hold!(
        found.iter().all(|record| record.topic == name && record.partition == 0),
        "they came from elsewhere"
    );
    Ok(())
}

/// Murmur2 as the Java client computes it.
fn murmur2(key: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c ^ u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut fours = key.chunks_exact(4);
    for four in &mut fours {
        let mut word =
            four.iter().rev().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte)).wrapping_mul(M);
        word = (word ^ (word >> 24)).wrapping_mul(M);
        hash = hash.wrapping_mul(M) ^ word;
    }
    let rest = fours.remainder();
    if !rest.is_empty() {
        hash ^= rest.iter().rev().fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
        hash = hash.wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

fn places_of_keys<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let name = topic(kafka, format!("{run}-keys"), 7)?;
    hold!(kafka.partition_count(&name)? == 7, "it has {} partitions", kafka.partition_count(&name)?);
    hold!(kafka.topics()?.contains(&name), "it is not listed");
    let mut producer = kafka.producer()?;
    let keys: Vec<_> = (0..50).map(|number| format!("key {number}")).collect();
    for key in &keys {
        producer.send(Record::to(&name).key(key).value(key))?;
    }
    producer.send(Record::to(&name).key("key 0").value("by name").partition(6))?;
    producer.flush()?;
    let mut consumer = kafka.consumer(&format!("{run}-keys"))?;
    consumer.subscribe(&[&name])?;
    for record in take(&mut consumer, 51)? {
        let key = record.key.clone().unwrap_or_default();
        let is_named = record.value.as_deref() == Some(b"by name");
        let expected = if is_named { 6 } else { (murmur2(&key) & 0x7fff_ffff) % 7 };
        hold!(
            record.partition == expected,
            "{key:?} is in partition {} and not {expected}",
            record.partition
        );
    }
    Ok(())
}

fn order<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let name = topic(kafka, format!("{run}-order"), 3)?;
    let mut producer = kafka.producer()?;
    for number in 0..3000_u32 {
        producer.send(Record::to(&name).partition(number % 3).value(&number.to_string()))?;
    }
    producer.flush()?;
    let mut consumer = kafka.consumer(&format!("{run}-order"))?;
    consumer.subscribe(&[&name])?;
    let found = take(&mut consumer, 3000)?;
    let mut last: BTreeMap<u32, (i64, u32)> = BTreeMap::new();
    for record in &found {
        let text = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
        let number: u32 = text.parse()?;
        hold!(number % 3 == record.partition, "{number} is in partition {}", record.partition);
        if let Some((offset, before)) = last.insert(record.partition, (record.offset, number)) {
            hold!(offset < record.offset, "offset {} follows {offset}", record.offset);
            hold!(before + 3 == number, "{number} follows {before}");
        }
    }
    take_nothing(&mut consumer)
}

fn created_once<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let name = topic(kafka, format!("{run}-created"), 2)?;
    let again = kafka.create_topic(&name, TopicConfig::new().partitions(2));
    hold!(
        again.as_ref().is_err_and(|error| error.kind() == ErrorKind::TopicExists),
        "the second time it said {again:?}"
    );
    Ok(())
}

fn unknown_topic<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let name = format!("{run}-missing");
    let counted = kafka.partition_count(&name);
    hold!(
        counted.as_ref().is_err_and(|error| error.kind() == ErrorKind::UnknownTopic),
        "asked for partitions it said {counted:?}"
    );
    let mut producer = kafka.producer()?;
    let sent = producer.send(Record::to(&name).value("v")).and_then(|()| producer.flush());
    hold!(
        sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::UnknownTopic),
        "a record for it was answered with {sent:?}"
    );
    let known = topic(kafka, format!("{run}-known"), 1)?;
    producer.send(Record::to(&known).value("v"))?;
    producer.flush()?;
    let mut consumer = kafka.consumer(&format!("{run}-known"))?;
    consumer.subscribe(&[&known])?;
    let found = take(&mut consumer, 1)?;
    hold!(texts(&found) == ["v"], "the next record came as {found:?}");
    Ok(())
}

fn invalid_topic<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    topic(kafka, format!("{run}-dots.and"), 1)?;
    // Differs from it in `.` and `_` alone; a topic that every cluster keeps for itself.
    for name in [&format!("{run}-dots_and"), "__consumer_offsets", "a b", ""] {
        let created = kafka.create_topic(name, TopicConfig::new());
        let is_told = created.as_ref().is_err_and(|error| error.kind() == ErrorKind::Invalid);
        hold!(is_told, "the creation of {name:?} was answered with {created:?}");
    }
    Ok(())
}

fn units<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let config = TopicConfig::new().set("retention.ms", "7d").set("max.message.bytes", "1MiB");
    kafka.create_topic(&format!("{run}-units"), config)?;
    let created =
        kafka.create_topic(&format!("{run}-no-units"), TopicConfig::new().set("retention.ms", "soon"));
    let is_told = created.as_ref().is_err_and(|error| error.kind() == ErrorKind::Invalid);
    hold!(is_told, "retention.ms=soon was answered with {created:?}");
    Ok(())
}

fn small_batches<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let name = format!("{run}-small");
    kafka.create_topic(&name, TopicConfig::new().max_message_bytes(2000))?;
    let mut producer = kafka.producer()?;
    let value = "v".repeat(100);
    (0..200).try_for_each(|_| producer.send(Record::to(&name).value(&value)))?;
    producer.flush()?;
    let mut consumer = kafka.consumer(&name)?;
    consumer.subscribe(&[&name])?;
    take(&mut consumer, 200)?;
    Ok(())
}

fn largest_record<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let name = format!("{run}-large");
    kafka.create_topic(&name, TopicConfig::new().max_message_bytes(1_048_588))?;
    let mut producer = kafka.producer()?;
    let value = "v".repeat(1_048_000);
    producer.send(Record::to(&name).value(&value))?;
    producer.flush()?;
    let mut consumer = kafka.consumer(&name)?;
    consumer.subscribe(&[&name])?;
    let found = take(&mut consumer, 1)?;
    hold!(texts(&found) == [value], "it came back as another");
    Ok(())
}

fn early_time<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let name = topic(kafka, format!("{run}-early"), 1)?;
    let mut producer = kafka.producer()?;
    let sent = producer.send(Record::to(&name).value("early").timestamp(-2)).and_then(|()| producer.flush());
    let is_told = sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::Refused);
    hold!(is_told, "a record of 1969 was answered with {sent:?}");
    producer.send(Record::to(&name).value("v"))?;
    producer.flush()?;
    let mut consumer = kafka.consumer(&name)?;
    consumer.subscribe(&[&name])?;
    let found = take(&mut consumer, 1)?;
    hold!(texts(&found) == ["v"], "the next record came as {found:?}");
    Ok(())
}
