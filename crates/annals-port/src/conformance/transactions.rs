//! Transactions.

use annals::{Record, TopicPartition};

use super::{Check, Failure, hold, take, take_nothing, texts, topic};
use crate::error::ErrorKind;
use crate::verbs::{Backend, Consume, Produce};

pub(super) fn checks<B: Backend>() -> Vec<Check<B>> {
    vec![
        Check { name: "a transaction shows whole when it is committed", run: commits },
        Check { name: "an aborted transaction never shows", run: aborts },
        Check { name: "offsets are committed with the records", run: offsets_commit },
        Check { name: "offsets are aborted with the records", run: offsets_abort },
        Check { name: "a newer producer fences the older one", run: fences },
        Check { name: "a call in the wrong order is told", run: wrong_order },
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
