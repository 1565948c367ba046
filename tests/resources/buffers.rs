//! What large batches take is given back, or handed on to the next one.

use annals::{Durability, Record, Result, Store, TopicConfig};

use super::alone;
use super::soak::Held;

const PARTITIONS: u32 = 40;
const BATCH_BYTES: usize = 2 << 20;

#[test]
#[cfg(target_os = "linux")]
fn a_large_batch_in_each_partition_does_not_keep_its_memory() -> Result<()> {
    let _alone = alone();
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::builder(dir.path()).maintain_by_hand().open()?;
    let config = TopicConfig::new().partitions(PARTITIONS).max_message_bytes(4 << 20);
    let topic = store.create_topic("images", config)?;
    let value: Vec<u8> = (0..BATCH_BYTES).map(|n| u8::try_from(n * n % 251).unwrap()).collect();
    topic.partition(0)?.append(&[Record::new().value(&value)], Durability::Os)?;
    let before = Held::now(dir.path()).resident;
    for number in 0..PARTITIONS {
        topic.partition(number)?.append(&[Record::new().value(&value)], Durability::Os)?;
    }
    let more = Held::now(dir.path()).resident.saturating_sub(before);
    // Eight MiB are kept for all partitions together; what is measured has other tests and the allocator in it.
    assert!(more < 40 << 10, "{more} KiB more than after the first of {PARTITIONS} batches of 2 MiB");
    Ok(())
}
