//! Transactions whose commits are waited for by tasks.

use std::sync::Arc;

use annals::{Durability, Error, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, MemoryFileSystem, PowerCutFileSystem, Times};

use super::block_on;

fn accounts(store: &Store) {
    store.create_topic("accounts", TopicConfig::new().partitions(3)).unwrap();
}

/// The records of all partitions, those that count.
fn count(store: &Store) -> usize {
    let partitions = store.topic("accounts").unwrap().partitions();
    let read = |partition: &annals::Partition| partition.read(..).unwrap().into_iter().count();
    partitions.iter().map(read).sum()
}

#[test]
fn a_commit_that_is_ready_survives_a_power_cut_as_a_whole() {
    let machine = PowerCutFileSystem::new();
    let store = Store::builder("/store").file_system(machine.shared()).open().unwrap();
    accounts(&store);
    store.create_topic("orders", TopicConfig::new()).unwrap();
    let mut billing = store.consumer("billing").unwrap();
    billing.subscribe(["orders"]).unwrap();
    let mut expected = 0;
    for round in 0..9_usize {
        store.producer().send(Record::to("orders").value("2 apples")).unwrap();
        let mut tx = store.transaction("transfer").unwrap();
        // In one partition, in several, with what was read.
        let partitions = [1, 2, 3][round % 3];
        for partition in 0..partitions {
            tx.send(Record::to("accounts").partition(partition).value("1")).unwrap();
        }
        if round % 3 == 2 {
            assert!(!block_on(billing.next()).unwrap().is_empty());
            tx.commit_offsets(&billing).unwrap();
        }
        let committing = tx.commit_async();
        expected += partitions as usize;
        assert_eq!(count(&store), expected, "it is decided before it is waited for");
        let committed = block_on(committing).unwrap();
        assert_eq!(committed.batches.len(), partitions as usize);
        for seed in 0..4 {
            let after = machine.cut_power(seed);
            let again = Store::builder("/store").file_system(after.shared()).open().unwrap();
            assert_eq!(count(&again), expected, "round {round}, seed {seed}");
            if round % 3 == 2 {
                let read = again.committed("billing")[&("orders", 0).into()].offset;
                assert_eq!(read, i64::try_from(round).unwrap() + 1, "round {round}, seed {seed}");
                // What was read to come to it is there as well.
                assert!(again.topic("orders").unwrap().partition(0).unwrap().end() >= read);
            }
        }
    }
}

#[test]
fn a_commit_whose_sync_fails_is_undecided_and_a_dropped_one_stands() {
    let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let store = Store::builder("/store").file_system(disk.clone()).maintain_by_hand().open().unwrap();
    accounts(&store);
    let begin = |partitions: &[u32]| {
        let mut tx = store.transaction_builder("transfer").durability(Durability::Disk).begin().unwrap();
        for partition in partitions {
            tx.send(Record::to("accounts").partition(*partition).value("1")).unwrap();
        }
        tx
    };
    block_on(begin(&[0, 1, 2]).commit_async()).unwrap();
    drop(begin(&[0, 1]).commit_async());
    assert_eq!(count(&store), 5);
    let mut late = begin(&[0]).commit_async();
    block_on(&mut late).unwrap();
    assert!(matches!(block_on(&mut late), Err(Error::InvalidArgument { .. })), "it is ready once");
    // Nothing was written: nothing is waited for.
    assert!(block_on(begin(&[]).commit_async()).unwrap().batches.is_empty());
    let fenced = begin(&[0]);
    drop(begin(&[0]));
    assert!(matches!(block_on(fenced.commit_async()), Err(Error::Fenced { .. })));
    disk.fail(&[Call::Sync], "accounts-1", (0, Times::ForEver), Fault::Error(5));
    let failed = block_on(begin(&[0, 1]).commit_async()).unwrap_err();
    assert!(matches!(failed, Error::Undecided { .. }), "{failed}");
}

/// Nobody polls them, and nobody else writes their ends meanwhile.
#[test]
fn commits_of_tasks_wait_for_no_disk_however_many_there_are() {
    let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let builder = Store::builder("/store").file_system(Arc::clone(&disk) as _);
    let store = builder.maintain_by_hand().open().unwrap();
    accounts(&store);
    let commit = || {
        let mut tx = store.transaction("transfer").unwrap();
        for partition in 0..2 {
            tx.send(Record::to("accounts").partition(partition).value("1")).unwrap();
        }
        tx.commit_async()
    };
    block_on(commit()).unwrap();
    disk.forget();
    for _ in 0..2500 {
        drop(commit());
    }
    assert_eq!(disk.count(Call::Sync, ""), 0);
    store.producer().flush().unwrap();
    let accounts = store.topic("accounts").unwrap();
    let ends = [0, 1].map(|number| accounts.partition(number).unwrap().end());
    assert_eq!(ends, [2 * 2501; 2], "all have their ends");
}
