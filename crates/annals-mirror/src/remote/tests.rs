//! Against librdkafka's cluster in this process, where time and brokers are at hand.

use std::time::{Duration, Instant};

use annals::{Record, TopicPartition};
use annals_port::{Backend, Consume, ErrorKind, Produce};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::Remote;

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster(topics: &[(&str, i32)]) -> (Cluster, Remote) {
    let cluster = MockCluster::new(1).unwrap();
    for (name, partitions) in topics {
        cluster.create_topic(name, *partitions, 1).unwrap();
    }
    let remote = Remote::new(&cluster.bootstrap_servers());
    (cluster, remote)
}

fn kind<T: std::fmt::Debug>(outcome: annals_port::Result<T>) -> ErrorKind {
    outcome.unwrap_err().kind()
}

#[test]
fn partitions_without_a_leader_are_counted() {
    let (cluster, kafka) = cluster(&[("orders", 3)]);
    cluster.partition_leader("orders", 1, None).unwrap();
    assert_eq!(kafka.partition_count("orders").unwrap(), 3);
    assert_eq!(kafka.partitions("orders").unwrap().led, 2, "for who waits until it can be written to");
}

#[test]
fn topics_of_programs_alone_are_listed() {
    let map = format!("annals-mirror-{:032x}", 0x5eed_u128);
    let (_cluster, kafka) = cluster(&[("orders", 1), (&map, 1), ("annals-mirror-2", 1), ("__offsets", 1)]);
    let mut names = kafka.topics().unwrap();
    names.sort();
    assert_eq!(names, ["annals-mirror-2", "orders"]);
}

#[test]
fn a_commit_that_takes_too_long_is_gone_on_with() {
    let (cluster, kafka) = cluster(&[("orders", 1)]);
    for ends in [Ends::ByCommit, Ends::ByAbort] {
        let mut producer = kafka.transactional_producer("work").unwrap();
        producer.begin_transaction().unwrap();
        producer.send(Record::to("orders").value("2 apples")).unwrap();
        producer.flush().unwrap();
        cluster.broker_round_trip_time(1, Duration::from_secs(2)).unwrap();
        producer.patience = Duration::from_millis(300);
        assert_eq!(kind(producer.commit_transaction()), ErrorKind::Retriable);
        assert_eq!(kind(producer.begin_transaction()), ErrorKind::Invalid);
        assert_eq!(kind(producer.send(Record::to("orders").value("late"))), ErrorKind::Invalid);
        if ends == Ends::ByAbort {
            assert_eq!(kind(producer.abort_transaction()), ErrorKind::Retriable, "it is not known yet");
        }
        cluster.broker_round_trip_time(1, Duration::ZERO).unwrap();
        producer.patience = Duration::from_secs(30);
        if ends == Ends::ByAbort {
            assert_eq!(kind(producer.abort_transaction()), ErrorKind::Invalid, "it took effect");
        } else {
            producer.commit_transaction().unwrap();
        }
        producer.begin_transaction().unwrap();
        producer.abort_transaction().unwrap();
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Ends {
    ByCommit,
    ByAbort,
}

#[test]
fn what_was_given_away_is_told_to_the_transaction_that_has_worked_on_it() {
    let (_cluster, kafka) = cluster(&[("orders", 2)]);
    let kafka = kafka.client("session.timeout.ms", "6000").client("heartbeat.interval.ms", "200");
    let mut first = kafka.producer().unwrap();
    for number in 0..20 {
        first.send(Record::to("orders").partition(number % 2).value("v")).unwrap();
    }
    first.flush().unwrap();
    let (mut one, mut other) = (kafka.consumer("work").unwrap(), kafka.consumer("work").unwrap());
    one.subscribe(&["orders"]).unwrap();
    let (mut found, began) = (0, Instant::now());
    while found < 20 {
        found += one.poll(Duration::from_millis(200)).unwrap().len();
        assert!(began.elapsed() < Duration::from_secs(60), "{found} came");
    }
    let mut producer = kafka.transactional_producer("work").unwrap();
    producer.begin_transaction().unwrap();
    other.subscribe(&["orders"]).unwrap();
    while one.assignment().unwrap().len() != 1 {
        one.poll(Duration::from_millis(50)).unwrap();
        other.poll(Duration::from_millis(50)).unwrap();
        assert!(began.elapsed() < Duration::from_secs(60), "it keeps both");
    }
    assert_eq!(kind(producer.send_offsets(&mut one)), ErrorKind::NotAssigned);
    assert_eq!(kind(producer.commit_transaction()), ErrorKind::NotAssigned);
    producer.abort_transaction().unwrap();
    producer.begin_transaction().unwrap();
    producer.send_offsets(&mut one).unwrap();
    producer.commit_transaction().unwrap();
}

#[test]
fn a_producer_that_is_dropped_in_a_transaction_takes_the_consumer_back() {
    let (_cluster, kafka) = cluster(&[("orders", 1)]);
    let mut first = kafka.producer().unwrap();
    first.send(Record::to("orders").value("2 apples")).unwrap();
    first.flush().unwrap();
    let place = TopicPartition::new("orders", 0);
    let mut consumer = kafka.consumer("work").unwrap();
    consumer.assign(std::slice::from_ref(&place)).unwrap();
    for _ in 0..2 {
        assert_eq!(consumer.poll(Duration::from_secs(30)).unwrap().len(), 1);
        let mut producer = kafka.transactional_producer("work").unwrap();
        producer.begin_transaction().unwrap();
        producer.send_offsets(&mut consumer).unwrap();
        drop(producer);
        assert_eq!(consumer.position(&place).unwrap(), Some(0));
    }
}

#[test]
fn a_cluster_that_tells_no_settings_keeps_one_record_waiting() {
    let (_cluster, kafka) = cluster(&[("orders", 1), ("bills", 1)]);
    let mut began = Instant::now();
    for number in 0..3 {
        let mut producer = kafka.producer().unwrap();
        for topic in ["orders", "bills"] {
            producer.send(Record::to(topic).value("2 apples")).unwrap();
        }
        producer.flush().unwrap();
        if number == 0 {
            began = Instant::now();
        }
    }
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}
