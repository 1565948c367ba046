//! Commits of groups in another process than the owner: what is kept of them, whoever dies, is killed or folds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use annals::{Consumer, Durability, Error, Store, StoreReader, TopicConfig};
use annals_testing::Call;
use tempfile::TempDir;

use crate::common::fast_dir;
use crate::groups::{committed, committed_beside, member, read, send};
use crate::hooked::{Hook, Hooked};
use crate::pair::{child, dir_of_child, kill};
use crate::world::{
    EIO, ORDERS, attach, attach_failing, attach_hooked, attach_on, attached, copy_of, make_room, open, owned,
    refuse, restored,
};

#[test]
fn a_commit_is_kept_whoever_dies_and_folding_twice_changes_nothing() {
    let (dir, store, reader) = attached(0);
    send(&store, 20);
    let durable =
        |reader: &StoreReader| member(reader.consumer_builder().commit_durability(Durability::Disk));
    let mut billing = durable(&reader).unwrap();
    billing.commit_offsets([((ORDERS, 0).into(), 3), ((ORDERS, 1).into(), 4)]).unwrap();
    // The owner dies, and commits go on.
    let (killed, spool) = (copy_of(dir.path()), "annals.spool");
    std::mem::forget(store);
    billing.commit_offsets([((ORDERS, 0).into(), 5)]).unwrap();
    assert_eq!(committed(reader.committed("billing")), [5, 4]);
    // What the next owner finds, before and after it has folded.
    let before = std::fs::read(dir.path().join(spool)).unwrap();
    let copy = copy_of(dir.path());
    let next = open(copy.path());
    assert_eq!(committed(next.committed("billing")), [5, 4]);
    assert!(!copy.path().join(spool).exists(), "it was folded");
    let mut home = next.consumer("billing").unwrap();
    home.subscribe([ORDERS]).unwrap();
    home.commit_offsets([((ORDERS, 1).into(), 7)]).unwrap();
    drop(home);
    next.close().unwrap();
    // A crash between the two steps of a fold leaves the commits in both places.
    let twice = copy_of(dir.path());
    let folded = open(twice.path());
    folded.close().unwrap();
    std::fs::write(twice.path().join(spool), &before).unwrap();
    assert_eq!(committed(open(twice.path()).committed("billing")), [5, 4]);
    // What was cut off in the middle of a commit is that commit alone.
    let torn = copy_of(dir.path());
    let began = before[before.len() - 60..].iter().take(30).copied();
    std::fs::write(torn.path().join(spool), before.iter().copied().chain(began).collect::<Vec<_>>()).unwrap();
    assert_eq!(committed(open(torn.path()).committed("billing")), [5, 4]);
    assert_eq!(committed(open(killed.path()).committed("billing")), [3, 4]);
}

/// What a power cut leaves of commits at `Os`: the length without the bytes, or some of the bytes, in any order.
#[test]
fn commits_at_os_that_a_power_cut_takes_leave_those_at_disk() {
    let (dir, store) = owned(0);
    send(&store, 20);
    store.close().unwrap();
    let reader = attach(dir.path());
    let spool = || std::fs::read(dir.path().join("annals.spool")).unwrap();
    let mut ends = Vec::new();
    for offset in 3..8 {
        let durability = if offset == 3 { Durability::Disk } else { Durability::Os };
        let mut billing = member(reader.consumer_builder().commit_durability(durability)).unwrap();
        billing.commit_offsets([((ORDERS, 0).into(), offset)]).unwrap();
        ends.push(spool().len());
    }
    let whole = spool();
    let zeros = |from: usize, until: usize| {
        let mut bytes = whole.clone();
        bytes[from..until].fill(0);
        bytes
    };
    // All of them; one in the middle; the header of one.
    let cases = [
        (zeros(ends[0], ends[4]), 3),
        (zeros(ends[1], ends[2]), 4),
        (zeros(ends[2], ends[2] + 8), 5),
        (zeros(ends[3] + 9, ends[4]), 6),
    ];
    for (bytes, expected) in cases {
        let cut = copy_of(dir.path());
        std::fs::write(cut.path().join("annals.spool"), bytes).unwrap();
        let read_only = Store::open_read_only(cut.path()).unwrap();
        assert_eq!(committed(read_only.committed("billing")), [expected]);
        drop(read_only);
        let attached = StoreReader::attach(cut.path()).unwrap();
        assert_eq!(committed(attached.committed("billing")), [expected]);
        let mut billing = member(attached.consumer_builder()).unwrap();
        billing.commit_offsets([((ORDERS, 1).into(), 2)]).unwrap();
        drop(billing);
        let store = open(cut.path());
        assert_eq!(committed(store.committed("billing")), [expected, 2]);
        assert!(store.consumer("billing").is_ok());
    }
    // What was synced is not lost unnoticed.
    let mut damaged = whole.clone();
    damaged[ends[0] - 3] ^= 1;
    std::fs::write(dir.path().join("annals.spool"), damaged).unwrap();
    let store = open(dir.path());
    assert!(matches!(store.consumer("billing"), Err(Error::Corrupt { .. })));
    // It is a matter of groups alone.
    let attached = attach(dir.path());
    assert!(matches!(attached.consumer("billing"), Err(Error::Corrupt { .. })));
    assert_eq!(attached.topic(ORDERS).unwrap().partition(1).unwrap().end(), 10);
    drop(attached);
    store.close().unwrap();
    Store::open_read_only(dir.path()).unwrap();
}

/// A position that is known may be in the cache alone: committed at `Os`, or with a sync that failed.
#[test]
fn a_commit_at_disk_of_what_is_committed_already_is_synced_too() {
    let (dir, store) = owned(0);
    send(&store, 20);
    let (hooked, syncs) = (Hooked::new(), Arc::new(AtomicU32::new(0)));
    let reader = attach_on(dir.path(), hooked.files());
    let (counted, fails) = (Arc::clone(&syncs), Arc::new(AtomicBool::new(false)));
    let failing = Arc::clone(&fails);
    hooked.at_sync(move |path| {
        if !path.to_string_lossy().contains("annals.spool") {
            return Ok(());
        }
        counted.fetch_add(1, Ordering::SeqCst);
        if failing.swap(false, Ordering::SeqCst) { Err(std::io::Error::from_raw_os_error(5)) } else { Ok(()) }
    });
    let synced = || syncs.swap(0, Ordering::SeqCst) > 0;
    let mut at_os = member(reader.consumer_builder()).unwrap();
    assert_eq!(read(&mut at_os), 20);
    at_os.commit().unwrap();
    _ = synced();
    smol::block_on(at_os.commit_async()).unwrap();
    assert!(synced(), "it was committed at Os, and then for the disk");
    smol::block_on(at_os.commit_async()).unwrap();
    assert!(!synced(), "this process has synced it");
    at_os.commit_offsets([((ORDERS, 0).into(), 3)]).unwrap();
    at_os.commit_offsets([((ORDERS, 0).into(), 10)]).unwrap();
    smol::block_on(at_os.commit_async()).unwrap();
    assert!(synced(), "a power cut could have left 3");
    drop(at_os);
    send(&store, 2);
    let mut at_disk = member(reader.consumer_builder().commit_durability(Durability::Disk)).unwrap();
    assert_eq!(read(&mut at_disk), 2);
    fails.store(true, Ordering::SeqCst);
    assert!(at_disk.commit().is_err());
    assert_eq!(at_disk.committed((ORDERS, 0)), Some(11));
    _ = synced();
    at_disk.commit().unwrap();
    assert!(synced(), "the sync that failed was the only one");
}

#[test]
fn a_backup_holds_what_was_committed_elsewhere_before_it_began() {
    let (dir, store, _reader, _billing) = committed_beside();
    assert_eq!(committed(restored(&store, dir.path()).committed("billing")), [7]);
}

/// A member whose commit another process has seen, and that one's files do what the test wants.
struct Seen {
    _dir: TempDir,
    store: Store,
    _reader: StoreReader,
    billing: Consumer,
    hooked: Arc<Hooked>,
    other: StoreReader,
}

fn committed_and_seen() -> Seen {
    let (dir, store, reader) = attached(0);
    send(&store, 20);
    let mut billing = member(reader.consumer_builder()).unwrap();
    let (hooked, other) = attach_hooked(dir.path());
    billing.commit_offsets([((ORDERS, 0).into(), 5)]).unwrap();
    assert_eq!(committed(other.committed("billing")), [5]);
    Seen { _dir: dir, store, _reader: reader, billing, hooked, other }
}

#[test]
fn a_commit_that_was_folded_during_a_look_does_not_give_way_to_an_older_one() {
    let Seen { _dir, store, _reader, mut billing, hooked, other } = committed_and_seen();
    // The next look reads the list of topics behind the spool: in between there is a commit, and a fold.
    store.create_topic("another", TopicConfig::new()).unwrap();
    let folding = store.clone();
    hooked.at_open(move |path| {
        if !path.ends_with("annals.topics") {
            return Ok(Hook::Stays);
        }
        billing.commit_offsets([((ORDERS, 0).into(), 6)]).unwrap();
        assert_eq!(committed(folding.committed("billing")), [6]);
        Ok(Hook::IsOver)
    });
    let during = committed(other.committed("billing"));
    assert!(during == [5] || during == [6], "{during:?}");
    assert!(hooked.is_over(), "it was not reached");
    assert_eq!(committed(other.committed("billing")), [6]);
}

/// The process to be killed: every line it has written was true before it was written.
#[test]
fn commits_until_it_is_killed() {
    let Some(dir) = dir_of_child() else { return };
    let reader = attach(&dir);
    let mut billing = member(reader.consumer_builder()).unwrap();
    loop {
        for record in &billing.poll(Duration::from_millis(1)).unwrap() {
            let next = record.offset() + 1;
            billing.commit_offsets([((ORDERS, record.partition()).into(), next)]).unwrap();
            println!("c {} {next}", record.partition());
        }
    }
}

/// Consumers elsewhere are killed in the middle of their commits, while the owner folds; now and then the owner is another one.
#[test]
fn no_commit_is_lost_or_taken_back_when_its_process_is_killed() {
    use std::io::{BufRead, BufReader};
    let kills = crate::common::count_from_env("ANNALS_PROCESS_KILLS", 12);
    let seed = crate::common::count_from_env("ANNALS_SEED", std::process::id() as usize);
    let mut random = annals_testing::Random::new(seed as u64);
    let dir = fast_dir();
    let mut store = open(dir.path());
    let mut told = [0, 0];
    for life in 0..kills {
        let what = format!("ANNALS_SEED={seed}, life {life}");
        send(&store, 300);
        let mut child = child("commits::commits_until_it_is_killed", dir.path(), 0);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut take = |line: String| {
            let mut words = line.split(' ');
            let (Some("c"), Some(partition), Some(next)) = (words.next(), words.next(), words.next()) else {
                return;
            };
            let (partition, next): (usize, i64) = (partition.parse().unwrap(), next.parse().unwrap());
            assert!(next > told[partition], "{what}: {next} after {}", told[partition]);
            told[partition] = next;
        };
        for _ in 0..random.below(200) + 10 {
            lines.next().into_iter().for_each(&mut take);
            if random.below(20) == 0 {
                drop(store.committed("billing"));
            }
        }
        kill(child);
        // The last line may be cut off.
        lines.filter(|line| line.split(' ').count() == 3).for_each(take);
        if random.below(3) == 0 {
            store.close().unwrap();
            store = open(dir.path());
        }
        if life % 8 == 7 {
            // Or each life would read the commits of all before it.
            store.topic("__consumer_offsets").unwrap().compact().unwrap();
            let orders = store.topic(ORDERS).unwrap();
            for (partition, told) in orders.partitions().iter().zip(told) {
                partition.delete_records(told).unwrap();
            }
        }
        let mut home = store.consumer("billing").unwrap();
        home.subscribe([ORDERS]).unwrap();
        for (partition, told) in (0..).zip(told) {
            let found = home.committed((ORDERS, partition)).unwrap_or(0);
            // One commit may have been made and not told.
            assert!(found == told || found == told + 1, "{what}: {found}, told {told}");
        }
        read(&mut home);
        home.commit().unwrap();
        told = [0, 1].map(|partition| home.committed((ORDERS, partition)).unwrap());
    }
}

#[test]
fn figures_and_members_elsewhere_read_again_and_again_all_commits_that_wait() {
    let (dir, store, reader) = attached(0);
    send(&store, 20);
    for group in 0..30 {
        let mut one = reader.consumer(&format!("group-{group}")).unwrap();
        one.assign([(ORDERS, 0)]).unwrap();
        (0..10).for_each(|offset| one.commit_offsets([((ORDERS, 0).into(), offset)]).unwrap());
    }
    let (files, other) = attach_failing(dir.path());
    let read = |what: &str, of: &mut dyn FnMut()| {
        files.forget();
        of();
        let reads = files.trace().into_iter().filter(|done| done.call == Call::Read);
        let bytes: u64 =
            reads.filter(|done| done.path.ends_with("annals.spool")).map(|done| done.bytes).sum();
        assert!(bytes < 2_000, "{what}: {bytes} bytes");
    };
    let lag_of = |stats: &annals::stats::ReaderStats| stats.groups.iter().map(|one| one.lag()).sum::<u64>();
    read("stats", &mut || assert_eq!(lag_of(&other.stats().unwrap()), 30));
    read("groups", &mut || assert_eq!(other.groups().len(), 30));
    read("committed", &mut || assert_eq!(committed(other.committed("group-7")), [9]));
    read("lag", &mut || assert_eq!(other.lag("group-7").lag(), 1));
    let mut member = other.consumer("shipping").unwrap();
    read("subscribe", &mut || member.subscribe([ORDERS]).unwrap());
    read("lag of a member", &mut || _ = member.lag().unwrap());
    drop(member);
    let mut one = reader.consumer("group-7").unwrap();
    one.assign([(ORDERS, 0)]).unwrap();
    one.commit_offsets([((ORDERS, 0).into(), 4)]).unwrap();
    read("one more", &mut || assert_eq!(committed(other.committed("group-7")), [4]));
    (0..100).for_each(|_| one.commit_offsets([((ORDERS, 0).into(), 3)]).unwrap());
    assert_eq!(committed(other.committed("group-7")), [3]);
    one.commit_offsets([((ORDERS, 0).into(), 4)]).unwrap();
    read("one behind many", &mut || assert_eq!(committed(other.committed("group-7")), [4]));
    // What the owner takes out is seen where it was put.
    assert_eq!(committed(store.committed("group-7")), [4]);
    assert_eq!(committed(other.committed("group-7")), [4]);
    one.commit_offsets([((ORDERS, 0).into(), 2)]).unwrap();
    read("one in another file", &mut || assert_eq!(lag_of(&other.stats().unwrap()), 29 + 8));
}

#[test]
fn a_look_that_failed_behind_the_spool_hid_what_it_had_read_there_from_the_next() {
    let Seen { _dir, store, _reader, mut billing, hooked, other } = committed_and_seen();
    billing.commit_offsets([((ORDERS, 0).into(), 6)]).unwrap();
    billing.commit_offsets([((ORDERS, 1).into(), 4)]).unwrap();
    // The look reads the list of topics behind the spool.
    store.create_topic("another", TopicConfig::new()).unwrap();
    refuse(&hooked, "annals.topics", EIO);
    assert_eq!(committed(other.committed("billing")), [5]);
    make_room(&hooked);
    assert_eq!(committed(other.committed("billing")), [6, 4]);
}
