//! Partitions for which there is no room where other processes look.

use std::io;

use annals::{Durability, Error, Record, StoreReader, TopicConfig};

use crate::common::{by_hand, fast_dir, producer};
use crate::hooked::Hooked;

/// More than the first piece has slots for.
const MANY: u32 = 700;

#[test]
fn a_partition_that_a_full_disk_kept_from_being_shown_is_shown_by_maintenance() {
    let dir = fast_dir();
    let hooked = Hooked::new();
    let store = by_hand(dir.path()).file_system(hooked.files()).open().unwrap();
    hooked.at_share(|_| Err(io::ErrorKind::StorageFull.into()));
    store.create_topic("many", TopicConfig::new().partitions(MANY)).unwrap();
    let last = || Record::to("many").partition(MANY - 1).value("2 apples");
    producer(&store, Durability::Disk).send(last()).unwrap();
    hooked.at_share(|_| Ok(()));
    store.maintain().unwrap();
    producer(&store, Durability::Os).send(last()).unwrap();
    let reader = StoreReader::attach(dir.path()).unwrap();
    let partition = reader.topic("many").unwrap().partition(MANY - 1).unwrap();
    assert_eq!((partition.durable(), partition.end()), (1, 2));
    assert_eq!(partition.get(1).unwrap().unwrap().value.as_deref(), Some(&b"2 apples"[..]));
    store.delete_topic("many").unwrap();
    assert!(reader.topic("many").is_err());
}

#[test]
fn retention_did_not_come_to_its_turn_where_showing_partitions_panicked() {
    let (dir, hooked) = (fast_dir(), Hooked::new());
    let store = by_hand(dir.path()).file_system(hooked.files()).open().unwrap();
    hooked.at_share(|_| Err(io::ErrorKind::StorageFull.into()));
    store.create_topic("many", TopicConfig::new().partitions(MANY)).unwrap();
    let old = TopicConfig::new().segment_bytes(4096).retention_bytes(4096);
    let old = store.create_topic("old", old).unwrap().partition(0).unwrap();
    let value = "x".repeat(1000);
    (0..20).for_each(|_| _ = old.append(&[Record::new().value(&value)], Durability::Os).unwrap());
    hooked.at_share(|_| panic!("the program's own file system"));
    let round = store.maintain();
    assert!(matches!(round, Err(Error::Panicked { .. })), "{round:?}");
    assert!(old.start() > 0, "nothing was taken");
    assert_eq!(store.stats().unwrap().callback_panics, 1);
}
