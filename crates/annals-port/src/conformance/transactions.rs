//! Transactions.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use annals::{Record, TopicConfig, TopicPartition};

use super::{Check, Failure, PATIENCE, hold, take, take_nothing, texts, topic};
use crate::error::ErrorKind;
use crate::verbs::{Backend, Consume, Produce};

pub(super) fn checks<B: Backend>() -> Vec<Check<B>> {
    vec![
        Check { name: "a transaction shows whole when it is committed", run: commits },
        Check { name: "an aborted transaction never shows", run: aborts },
        Check { name: "offsets are committed with the records", run: offsets_commit },
        Check { name: "offsets are aborted with the records", run: offsets_abort },
        Check { name: "what was aborted is handed out again", run: goes_back },
        Check { name: "what a group does is done once, whoever joins", run: once },
        Check { name: "a newer producer fences the older one", run: fences },
        Check { name: "a call in the wrong order is told", run: wrong_order },
        Check { name: "a transaction with a failed send is only aborted", run: failed_send },
    ]
}

fn commits<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let name = topic(kafka, format!("{run}-commits"), 2)?;
    let mut producer = kafka.transactional_producer(&format!("{run}-commits"))?;
    let mut consumer = kafka.consumer(&format!("{run}-commits"))?;
    consumer.subscribe(&[&name])?;
    for round in 0..3 {
        producer.begin_transaction()?;
        for number in 0..10_u32 {
            producer.send(Record::to(&name).partition(number % 2).value(&format!("{round}.{number}")))?;
        }
        producer.flush()?;
        take_nothing(&mut consumer)?;
        producer.commit_transaction()?;
        let found = take(&mut consumer, 10)?;
        hold!(texts(&found).iter().all(|text| text.starts_with(&format!("{round}."))), "{:?}", texts(&found));
    }
    Ok(())
}

fn aborts<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let name = topic(kafka, format!("{run}-aborts"), 1)?;
    let mut producer = kafka.transactional_producer(&format!("{run}-aborts"))?;
    let mut consumer = kafka.consumer(&format!("{run}-aborts"))?;
    consumer.subscribe(&[&name])?;
    for value in ["never", "shown"] {
        producer.begin_transaction()?;
        producer.send(Record::to(&name).value(value))?;
        producer.flush()?;
        if value == "never" { producer.abort_transaction()? } else { producer.commit_transaction()? }
    }
    let found = take(&mut consumer, 1)?;
    hold!(texts(&found) == ["shown"], "{:?}", texts(&found));
    take_nothing(&mut consumer)
}

/// Reads "in" and writes "out", in one transaction; where the group stands and what is there afterwards.
fn step<B: Backend>(kafka: &B, run: &str, is_committed: bool) -> Result<(), Failure> {
    let input = topic(kafka, format!("{run}-in"), 1)?;
    let output = topic(kafka, format!("{run}-out"), 1)?;
    let place = TopicPartition::new(input.as_str(), 0);
    let mut first = kafka.producer()?;
    (0..5).try_for_each(|number| first.send(Record::to(&input).value(&number.to_string())))?;
    first.flush()?;
    let mut consumer = kafka.consumer(run)?;
    consumer.subscribe(&[&input])?;
    let found = take(&mut consumer, 5)?;
    let mut producer = kafka.transactional_producer(run)?;
    producer.begin_transaction()?;
    found.iter().try_for_each(|record| producer.send(record.to_record().topic(&output)))?;
    producer.send_offsets(&mut consumer)?;
    if is_committed {
        producer.commit_transaction()?
    } else {
        producer.abort_transaction()?
    }
    consumer.close()?;
    let mut after = kafka.consumer(run)?;
    let expected = is_committed.then_some(5);
    hold!(after.committed(&place)? == expected, "the group has committed {:?}", after.committed(&place)?);
    after.assign(&[(output.as_str(), 0).into()])?;
    if is_committed {
        let found = take(&mut after, 5)?;
        hold!(texts(&found) == ["0", "1", "2", "3", "4"], "{:?}", texts(&found));
        Ok(())
    } else {
        take_nothing(&mut after)
    }
}

fn offsets_commit<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    step(kafka, &format!("{run}-with"), true)
}

fn offsets_abort<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    step(kafka, &format!("{run}-without"), false)
}

fn goes_back<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let name = topic(kafka, format!("{run}-back"), 1)?;
    let place = TopicPartition::new(name.as_str(), 0);
    let mut first = kafka.producer()?;
    (0..5).try_for_each(|number| first.send(Record::to(&name).value(&number.to_string())))?;
    first.flush()?;
    let mut consumer = kafka.consumer(&format!("{run}-back"))?;
    consumer.subscribe(&[&name])?;
    let mut producer = kafka.transactional_producer(&format!("{run}-back"))?;
    for _ in 0..2 {
        let found = take(&mut consumer, 5)?;
        hold!(texts(&found) == ["0", "1", "2", "3", "4"], "{:?}", texts(&found));
        producer.begin_transaction()?;
        producer.send_offsets(&mut consumer)?;
        producer.abort_transaction()?;
        let stands = consumer.position(&place)?;
        hold!(stands == Some(0), "after the abort it stands at {stands:?}");
    }
    // What the program says after that stands.
    take(&mut consumer, 5)?;
    producer.begin_transaction()?;
    producer.send_offsets(&mut consumer)?;
    producer.abort_transaction()?;
    consumer.seek(&place, 3)?;
    let found = take(&mut consumer, 2)?;
    hold!(texts(&found) == ["3", "4"], "{:?}", texts(&found));
    Ok(())
}

/// Workers join while there is work.
fn once<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    const RECORDS: u32 = 1200;
    let input = topic(kafka, format!("{run}-once-in"), 4)?;
    let output = topic(kafka, format!("{run}-once-out"), 1)?;
    let mut first = kafka.producer()?;
    let mut reader = kafka.consumer(&format!("{run}-once-reader"))?;
    reader.assign(&[(output.as_str(), 0).into()])?;
    let (mut done, mut workers, began) = (Vec::new(), Vec::new(), Instant::now());
    let mut numbers = 0..RECORDS;
    for round in 0.. {
        for number in numbers.by_ref().take(20) {
            first.send(Record::to(&input).partition(number % 4).value(&number.to_string()))?;
        }
        first.flush()?;
        if round % 15 == 0 && workers.len() < 3 {
            let mut consumer = kafka.consumer(&format!("{run}-once"))?;
            consumer.subscribe(&[&input])?;
            let id = format!("{run}-once-{round}");
            workers.push((consumer, kafka.transactional_producer(&id)?));
        }
        for (consumer, producer) in &mut workers {
            work(consumer, producer, &output)?;
        }
        let found = reader.poll(Duration::from_millis(10))?;
        done.extend(texts(&found));
        if numbers.is_empty() && workers.len() == 3 && done.len() >= RECORDS as usize && found.is_empty() {
            break;
        }
        // Three transactions a round.
        hold!(began.elapsed() < 3 * PATIENCE, "{} records were done of {RECORDS}", done.len());
    }
    let different: BTreeSet<_> = done.iter().collect();
    hold!(different.len() == done.len(), "{} were done twice", done.len() - different.len());
    hold!(done.len() == RECORDS as usize, "{} records were done of {RECORDS}", done.len());
    Ok(())
}

/// A step of a worker: what it was handed goes out, or is left to whoever has it by now.
fn work<C: Consume, P: Produce<Consumer = C>>(
    consumer: &mut C,
    producer: &mut P,
    output: &str,
) -> Result<(), Failure> {
    let found = consumer.poll(Duration::from_millis(20))?;
    if found.is_empty() {
        return Ok(());
    }
    producer.begin_transaction()?;
    found.iter().try_for_each(|record| producer.send(record.to_record().topic(output)))?;
    match producer.send_offsets(consumer).and_then(|()| producer.commit_transaction()) {
        Err(error) if error.kind() == ErrorKind::NotAssigned => producer.abort_transaction()?,
        committed => committed?,
    }
    Ok(())
}

fn fences<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let name = topic(kafka, format!("{run}-fences"), 1)?;
    let id = format!("{run}-fences");
    let mut older = kafka.transactional_producer(&id)?;
    older.begin_transaction()?;
    older.send(Record::to(&name).value("older"))?;
    older.flush()?;
    let mut newer = kafka.transactional_producer(&id)?;
    newer.begin_transaction()?;
    newer.send(Record::to(&name).value("newer"))?;
    newer.commit_transaction()?;
    let outcome = older.commit_transaction();
    hold!(
        outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Fenced),
        "the older one was told {outcome:?}"
    );
    // Neither then nor later.
    let outcome = older
        .begin_transaction()
        .and_then(|()| older.send(Record::to(&name).value("older")))
        .and_then(|()| older.commit_transaction());
    hold!(
        outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Fenced),
        "beginning again it was told {outcome:?}"
    );
    let mut consumer = kafka.consumer(&id)?;
    consumer.subscribe(&[&name])?;
    let found = take(&mut consumer, 1)?;
    hold!(texts(&found) == ["newer"], "{:?}", texts(&found));
    take_nothing(&mut consumer)
}

fn wrong_order<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let name = topic(kafka, format!("{run}-wrong"), 1)?;
    let is_told = |outcome: crate::Result<()>, what: &str| -> Result<(), Failure> {
        let is_told = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Invalid);
        hold!(is_told, "{what} was answered with {outcome:?}");
        Ok(())
    };
    let mut producer = kafka.producer()?;
    is_told(producer.begin_transaction(), "a transaction without an id")?;
    let mut producer = kafka.transactional_producer(&format!("{run}-wrong"))?;
    is_told(producer.commit_transaction(), "a commit of nothing")?;
    is_told(producer.send(Record::to(&name).value("v")), "a record outside of a transaction")?;
    producer.begin_transaction()?;
    is_told(producer.begin_transaction(), "a second begin")?;
    producer.send(Record::to(&name).value("v"))?;
    producer.commit_transaction()?;
    let mut consumer = kafka.consumer(&format!("{run}-wrong"))?;
    consumer.subscribe(&[&name])?;
    take(&mut consumer, 1)?;
    Ok(())
}

/// What was sent before and after must not be there without the record that failed.
fn failed_send<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let name = topic(kafka, format!("{run}-failed"), 1)?;
    let (small, missing) = (format!("{run}-failed-small"), format!("{run}-failed-missing"));
    kafka.create_topic(&small, TopicConfig::new().max_message_bytes(2000))?;
    let large = "v".repeat(3000);
    let failing = [
        (Record::to(&small).value(&large), ErrorKind::Refused),
        (Record::to(&name).value("v").timestamp(-2), ErrorKind::Refused),
        (Record::to(&name).value("v").partition(7), ErrorKind::UnknownTopic),
        (Record::to(&missing).value("v"), ErrorKind::UnknownTopic),
    ];
    let mut producer = kafka.transactional_producer(&name)?;
    for (record, kind) in failing {
        let is_told = |outcome: crate::Result<()>, what: &str| -> Result<(), Failure> {
            let is_told = outcome.as_ref().is_err_and(|error| error.kind() == kind);
            hold!(is_told, "{what} was answered with {outcome:?}");
            Ok(())
        };
        producer.begin_transaction()?;
        producer.send(Record::to(&name).value("never"))?;
        is_told(producer.send(record).and_then(|()| producer.flush()), "the record that fails")?;
        is_told(producer.commit_transaction(), "the commit")?;
        is_told(producer.commit_transaction(), "the same commit again")?;
        let outcome = producer.send(Record::to(&name).value("never"));
        let is_invalid = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Invalid);
        hold!(is_invalid, "a record after that was answered with {outcome:?}");
        producer.abort_transaction()?;
    }
    producer.begin_transaction()?;
    producer.send(Record::to(&name).value("shown"))?;
    producer.commit_transaction()?;
    let mut consumer = kafka.consumer(&name)?;
    consumer.subscribe(&[&name])?;
    let found = take(&mut consumer, 1)?;
    hold!(texts(&found) == ["shown"], "{:?}", texts(&found));
    take_nothing(&mut consumer)
}
