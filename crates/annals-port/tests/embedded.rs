//! A store does what every backend does.

use std::time::Duration;

use annals::{CleanupPolicy, Durability, Record, TopicConfig};
use annals_port::conformance::{Failure, checks};
use annals_port::{Backend, Consume, Embedded, ErrorKind, Produce};

fn conforms(durability: Durability) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let kafka = Embedded::open(dir.path())?.durability(durability);
    for check in checks::<Embedded>() {
        (check.run)(&kafka, "run").map_err(|failure| format!("{}: {failure}", check.name))?;
    }
    Ok(())
}

#[test]
fn a_store_conforms() -> Result<(), Failure> {
    conforms(Durability::Os)
}

#[test]
fn a_store_conforms_at_disk() -> Result<(), Failure> {
    conforms(Durability::Disk)
}

#[test]
fn a_refused_commit_is_aborted_and_a_transaction_begins_again() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let kafka = Embedded::open(dir.path())?;
    for topic in ["in", "out"] {
        kafka.create_topic(topic, TopicConfig::new().partitions(2))?;
    }
    let mut producer = kafka.transactional_producer("work")?;
    producer.begin_transaction()?;
    for number in 0..2 {
        producer.send(Record::to("in").partition(number).value("v"))?;
    }
    producer.commit_transaction()?;
    let (mut one, mut other) = (kafka.consumer("work")?, kafka.consumer("work")?);
    one.subscribe(&["in"])?;
    assert_eq!(one.poll(Duration::from_secs(5))?.len(), 2);
    producer.begin_transaction()?;
    producer.send(Record::to("out").value("never"))?;
    other.subscribe(&["in"])?;
    assert_eq!(other.poll(Duration::from_secs(5))?.len(), 1);
    let refused = producer.send_offsets(&mut one).and_then(|()| producer.commit_transaction());
    assert!(refused.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotAssigned), "{refused:?}");
    let again = [producer.commit_transaction(), producer.begin_transaction()];
    for told in again {
        assert!(told.as_ref().is_err_and(|error| error.kind() == ErrorKind::Invalid), "{told:?}");
    }
    producer.abort_transaction()?;
    let told = producer.abort_transaction();
    assert!(told.as_ref().is_err_and(|error| error.kind() == ErrorKind::Invalid), "{told:?}");
    producer.begin_transaction()?;
    producer.send(Record::to("out").value("shown"))?;
    producer.commit_transaction()?;
    let mut reader = kafka.consumer("readers")?;
    reader.subscribe(&["out"])?;
    let found = reader.poll(Duration::from_secs(5))?;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].value.as_deref(), Some(&b"shown"[..]));
    Ok(())
}

#[test]
fn topics_of_programs_alone_are_listed() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let kafka = Embedded::open(dir.path())?;
    kafka.create_topic("orders", TopicConfig::new())?;
    // As the mirror makes it.
    kafka.store().create_topic("annals.mirror", TopicConfig::new().cleanup_policy(CleanupPolicy::Compact))?;
    assert_eq!(kafka.topics()?, ["orders"]);
    Ok(())
}
