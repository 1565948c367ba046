//! Each call of a workload, and of a recovery, fails; what was acknowledged is there.

use super::*;

/// What a workload was told.
#[derive(Debug, Default)]
struct Told {
    /// Partition, offset, value.
    acknowledged: Vec<(u32, Offset, String)>,
    /// Values that were refused for good: they must not be there.
    refused: Vec<(u32, String)>,
    /// Every value that was tried.
    tried: Vec<(u32, String)>,
    committed: Offset,
    commits_tried: Vec<Offset>,
    /// Watches the order of calls.
    files: Option<Arc<FaultyFileSystem>>,
}

impl Told {
    fn send(&mut self, store: &Store, partition: u32, number: i64, durability: Durability) {
        let value = value_of(number);
        let record = Record::to(TOPIC).partition(partition).value(&value);
        let outcome = producer(store, durability).send(record);
        self.tried.push((partition, value.clone()));
        match outcome {
            Ok(at) => {
                if let Some(files) = self.files.as_ref().filter(|_| durability == Durability::Disk) {
                    files.check_acknowledged(&store.path().join(format!("{TOPIC}-{partition}")));
                }
                self.acknowledged.push((partition, at.offset, value));
            }
            // After a failed sync, and only then, nobody knows.
            Err(Error::Io { operation, .. }) if operation != "sync" => self.refused.push((partition, value)),
            Err(_) => {}
        }
    }

    fn commit(&mut self, store: &Store, offset: Offset) {
        let Ok(mut consumer) = store.consumer("billing") else { return };
        if consumer.assign([(TOPIC, 0)]).is_err() {
            return;
        }
        self.commits_tried.push(offset);
        if consumer.commit_offsets([(TopicPartition::new(TOPIC, 0), offset)]).is_ok() {
            self.committed = offset;
        }
    }

    /// Opens the store on a healthy file system, which must work, and compares.
    fn check(&self, dir: &Path, what: &str) {
        let store =
            by_hand(dir).open().unwrap_or_else(|error| panic!("{what}: the store does not open: {error}"));
        let topic = store.ensure_topic(TOPIC, workload_topic());
        let topic = topic.unwrap_or_else(|error| panic!("{what}: the topic cannot be made: {error}"));
        let mut ends = Vec::new();
        for partition in topic.partitions() {
            let number = partition.number();
            let found = records(&partition);
            for (at, (offset, value)) in found.iter().enumerate() {
                assert_eq!(*offset, at as i64, "{what}: a hole in partition {number}");
                let value = String::from_utf8(value.clone()).unwrap();
                assert!(self.tried.contains(&(number, value.clone())), "{what}: {value:?} was never sent");
                assert!(
                    !self.refused.contains(&(number, value.clone())),
                    "{what}: {value:?} was refused and is there"
                );
            }
            for (_, offset, value) in self.acknowledged.iter().filter(|(place, ..)| *place == number) {
                let there = found.get(usize::try_from(*offset).unwrap()).map(|(_, value)| value.as_slice());
                assert_eq!(
                    there,
                    Some(value.as_bytes()),
                    "{what}: offset {offset} of partition {number} was acknowledged"
                );
            }
            ends.push(found.len() as i64);
        }
        let committed =
            store.committed("billing").get(&TopicPartition::new(TOPIC, 0)).map_or(0, |at| at.offset);
        assert!(
            committed >= self.committed && committed <= ends[0],
            "{what}: committed {committed}, told {}",
            self.committed
        );
        assert!(
            committed == 0 || self.commits_tried.contains(&committed),
            "{what}: {committed} was never committed"
        );
        // The store goes on, whatever it went through.
        for (number, end) in (0..).zip(ends) {
            let at = store.producer().send(Record::to(TOPIC).partition(number).value("next"));
            assert_eq!(at.unwrap_or_else(|error| panic!("{what}: {error}")).offset, end, "{what}");
        }
        store.close().unwrap_or_else(|error| panic!("{what}: {error}"));
        let store = by_hand(dir).open().unwrap_or_else(|error| panic!("{what}: after a close: {error}"));
        let mut reports = store.recovery().iter().filter(|report| report.topic_partition.topic() == TOPIC);
        assert!(reports.all(|report| report.clean), "{what}: {:?}", store.recovery());
    }
}

pub(super) fn workload_topic() -> TopicConfig {
    TopicConfig::new().partitions(2).segment_bytes(512).index_interval_bytes(100)
}

/// Rolls, commits, deletes a topic, flushes; errors are noted and tried past. What it leaves is what a kill leaves, or a close.
fn workload(dir: &Path, files: &Arc<FaultyFileSystem>, told: &mut Told, from: i64) -> Option<Store> {
    told.files = Some(Arc::clone(files));
    // Twice, as programs do that are started again.
    let open = || on_faulty(dir, files).sync_every(Duration::ZERO).open();
    let store = open().or_else(|_| open()).ok()?;
    let ensure = || store.ensure_topic(TOPIC, workload_topic());
    if ensure().or_else(|_| ensure()).is_err() {
        return Some(store);
    }
    for number in from..from + 16 {
        let partition = u32::from(number % 3 == 2);
        let durability = if number % 4 == 0 { Durability::Disk } else { Durability::Os };
        told.send(&store, partition, number, durability);
        if number % 5 == 4 {
            let end = store
                .topic(TOPIC)
                .and_then(|topic| topic.partition(0))
                .map_or(0, |partition| partition.end());
            told.commit(&store, end);
        }
    }
    drop(store.ensure_topic("passing", TopicConfig::new()).and_then(|_| store.delete_topic("passing")));
    drop(store.maintain());
    drop(store.producer().flush());
    told.send(&store, 0, from + 16, Durability::Os);
    Some(store)
}

#[derive(Debug, Clone, Copy)]
enum Ending {
    Kill,
    Close,
}

fn every_call_fails(fault: &Fault, times: Times, ending: Ending, step: usize) {
    let calls = each_fails(&Call::MUTATING, fault, times, (ending, step));
    assert!(calls > 60, "the workload is smaller than it should be");
}

fn each_fails(calls: &[Call], fault: &Fault, times: Times, (ending, step): (Ending, usize)) -> usize {
    let mut nth = 0;
    loop {
        let (dir, copy) = (fast_dir(), fast_dir());
        let files = FaultyFileSystem::watching_order();
        files.fail(calls, "", (nth, times), fault.clone());
        let mut told = Told::default();
        let store = workload(dir.path(), &files, &mut told, 0);
        let end = match (store, ending) {
            (Some(store), Ending::Kill) => {
                kill_and_copy(store, dir.path(), copy.path());
                copy.path()
            }
            (store, _) => {
                drop(store);
                dir.path()
            }
        };
        let struck = files.trace().iter().find(|done| done.struck).cloned();
        let Some(struck) = struck else { break };
        told.check(
            end,
            &format!(
                "{fault:?} {times:?} at call {nth} ({:?} of {:?}), then {ending:?}",
                struck.call, struck.path
            ),
        );
        nth += step;
    }
    assert!(nth > 0, "the workload makes no {calls:?}");
    println!("{fault:?} {times:?} {ending:?}: {nth} calls");
    nth
}

/// 1 when every call is to fail for ever too.
fn step() -> usize {
    if std::env::var_os("ANNALS_FAULTS").is_some() { 1 } else { 3 }
}

#[test]
fn every_call_fails_once_and_the_process_is_killed() {
    every_call_fails(&Fault::Error(EIO), Times::Once, Ending::Kill, 1);
}

#[test]
fn every_call_fails_once_and_the_store_is_closed() {
    every_call_fails(&Fault::Error(ENOSPC), Times::Once, Ending::Close, 1);
}

#[test]
fn every_call_fails_for_ever_and_the_process_is_killed() {
    every_call_fails(&Fault::Error(ENOSPC), Times::ForEver, Ending::Kill, step());
}

#[test]
fn every_call_fails_for_ever_and_the_store_is_closed() {
    every_call_fails(&Fault::Error(EIO), Times::ForEver, Ending::Close, step());
}

/// One kind of call stops working while all others go on.
#[test]
fn every_kind_of_call_fails_for_ever_from_some_point() {
    for call in Call::MUTATING {
        for ending in [Ending::Kill, Ending::Close] {
            each_fails(&[call], &Fault::Error(EIO), Times::ForEver, (ending, 1));
        }
    }
}

#[test]
fn every_write_is_torn() {
    every_call_fails(&Fault::Torn(33, EIO), Times::Once, Ending::Kill, 1);
}

/// The second fault comes while the first is being recovered from.
#[test]
fn every_call_of_a_recovery_fails() {
    for times in [Times::Once, Times::ForEver] {
        let dir = fast_dir();
        let mut before = Told::default();
        let store = workload(dir.path(), &FaultyFileSystem::watching_order(), &mut before, 0).unwrap();
        before.send(&store, 0, 100, Durability::Os);
        before.send(&store, 1, 101, Durability::Os);
        std::mem::forget(store);
        // Something of a batch that was not written whole.
        let last = files_of(dir.path(), "orders-0", ".log").pop().unwrap();
        let mut log = std::fs::read(&last).unwrap();
        let end = usize::try_from(batch_ends(&log).last().unwrap().0).unwrap();
        log.truncate(end);
        log.extend_from_slice(&[7; 45]);
        std::fs::write(&last, log).unwrap();
        let mut nth = 0;
        loop {
            let (copy, end) = (fast_dir(), fast_dir());
            copy_dir(dir.path(), copy.path());
            let files = FaultyFileSystem::watching_order();
            let all = [&Call::MUTATING[..], &[Call::Open, Call::Read, Call::Len, Call::List]].concat();
            files.fail(&all, "", (nth, times), Fault::Error(EIO));
            let mut told = Told { acknowledged: before.acknowledged.clone(), ..Told::default() };
            told.tried.clone_from(&before.tried);
            (told.committed, told.commits_tried) = (before.committed, before.commits_tried.clone());
            if let Some(store) = workload(copy.path(), &files, &mut told, 1000) {
                kill_and_copy(store, copy.path(), end.path());
            } else {
                copy_dir(copy.path(), end.path());
            }
            let Some(struck) = files.trace().iter().find(|done| done.struck).cloned() else { break };
            told.check(
                end.path(),
                &format!("{times:?} at call {nth} ({:?} of {:?})", struck.call, struck.path),
            );
            nth += if times == Times::Once { 1 } else { step() };
        }
        println!("recovery {times:?}: {nth} calls");
        assert!(nth > 60);
    }
}
