//! What the cluster forgets, and what was mirrored without a map: nothing comes twice, and no group is led past a record.

use std::thread::sleep;
use std::time::Duration;

use annals::{Durability, Record, Store, TopicConfig, TopicPartition};
use futures_executor::block_on;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset};

use crate::broker::{Broker, Running, mirror, run};
use crate::content::{assert_equal, of_cluster, of_store};
use crate::once::{committed, fill, group};

fn admin(servers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", servers).create().unwrap()
}

fn delete_topic(servers: &str, name: &str) {
    let deleted = block_on(admin(servers).delete_topics(&[name], &AdminOptions::new())).unwrap();
    deleted.into_iter().for_each(|outcome| drop(outcome.unwrap()));
    // The deletion reaches the other parts of the broker a moment later.
    sleep(Duration::from_secs(2));
}

/// Commits in the store that the group has `part` quarters of each partition; how many records that are.
fn commit(store: &Store, name: &str, part: usize) -> Vec<usize> {
    let mut consumer = store.consumer(name).unwrap();
    let partitions = store.topic("orders").unwrap().partitions();
    let commit = |partition: &annals::Partition| {
        let offsets: Vec<_> =
            partition.read(..).unwrap().into_iter().map(|record| record.unwrap().offset).collect();
        let at = offsets.len() * part / 4;
        let place = TopicPartition::new("orders", partition.number());
        consumer.assign([place.clone()]).unwrap();
        consumer
            .commit_offsets([(place, offsets.get(at).copied().unwrap_or_else(|| partition.end()))])
            .unwrap();
        at
    };
    partitions.iter().map(commit).collect()
}

/// From which record on the group reads each partition in the cluster.
fn goes_on_at(store: &Store, servers: &str, name: &str) -> Vec<usize> {
    let offsets = committed(&group(servers, name), "orders", 2);
    let starts: Vec<_> = offsets.iter().map(|offset| Offset::Offset(*offset)).collect();
    let rest = of_cluster(servers, "orders", &starts);
    rest.iter().map(|(partition, rest)| of_store(store, "orders", *partition).len() - rest.len()).collect()
}

#[test]
fn what_the_cluster_forgets_is_not_mirrored_again_and_skips_nothing() {
    let Some(broker) = Broker::start() else { return };
    let servers = broker.servers();
    let dir = broker.dir.path().join("here");
    let store = Store::open(&dir).unwrap();
    store.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    fill(&store, "orders", 0..900);
    let own = format!("annals-mirror-{:032x}", store.id());
    let once = ["--topic", "orders", "--once"];
    let out = |words: &[&str]| run(mirror("out", &dir, &servers, words));
    assert!(out(&once).contains("records=600 "));

    // A group that is named later goes on where it stands.
    let middle = commit(&store, "later", 2);
    fill(&store, "orders", 900..1000);
    out(&["--topic", "orders", "--once", "--group", "later"]);
    assert_eq!(goes_on_at(&store, &servers, "later"), middle);

    // As after `offsets.retention.minutes` without a record.
    block_on(admin(&servers).delete_groups(&[&own], &AdminOptions::new())).unwrap();
    assert!(out(&once).contains("records=0 "));
    fill(&store, "orders", 1200..1300);
    assert!(out(&once).contains("records=100 "));
    assert_eq!(assert_equal(&store, &servers, "orders", 2), 800);

    // The map is read when all of it is decided: a transaction of another topic's mirror may lie in front.
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &servers).set("transactional.id", "another topic's");
    let other: BaseProducer = config.create().unwrap();
    other.init_transactions(Duration::from_secs(60)).unwrap();
    other.begin_transaction().unwrap();
    other.send(BaseRecord::to(&own).partition(0).key("prices/0/0").payload("")).unwrap();
    other.flush(Duration::from_secs(60)).unwrap();
    let mut waiting = Running::spawn(mirror("out", &dir, &servers, &once));
    sleep(Duration::from_secs(4));
    assert!(waiting.has_ended().is_none(), "it went on with what it could read");
    other.commit_transaction(Duration::from_secs(60)).unwrap();
    assert!(waiting.wait().success());

    // Without its map, as of an earlier version: records repeat, and none is left out.
    delete_topic(&servers, &own);
    let quarter = commit(&store, "without", 1);
    assert!(out(&["--topic", "orders", "--once", "--group", "without"]).contains("records=0 "));
    let there = goes_on_at(&store, &servers, "without");
    assert!(there.iter().zip(&quarter).all(|(there, here)| there <= here), "{there:?} {quarter:?}");

    // The target is made again: everything comes again, and no old run leads ahead.
    delete_topic(&servers, "orders");
    let quarter = commit(&store, "anew", 1);
    assert!(out(&["--topic", "orders", "--once", "--group", "anew"]).contains("records=800 "));
    assert_eq!(assert_equal(&store, &servers, "orders", 2), 800);
    assert_eq!(goes_on_at(&store, &servers, "anew"), quarter);
    store.topic("orders").unwrap().partition(0).unwrap().append(&[Record::new()], Durability::Disk).unwrap();
    assert!(out(&once).contains("records=1 "));
}
