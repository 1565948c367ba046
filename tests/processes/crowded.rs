//! Partitions for which there is no room where other processes look.

use std::io;

use annals::{Durability, Record, StoreReader, TopicConfig};

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
