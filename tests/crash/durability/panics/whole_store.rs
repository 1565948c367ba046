//! The same for the store as a whole: a panic at each call of the file system, under any path, while the store is opened, while
//! topics are created, changed and deleted, while it is backed up, while it is closed.

use super::*;

use std::collections::{BTreeMap, BTreeSet};

use annals::{Topic, TopicPartition};

use crate::common::copy_dir;

/// A topic that is deleted, and may be made again.
const DOOMED: &str = "doomed";
/// One that is made.
const NEW: &str = "new";
/// One that is taken over from a directory beside the store.
const ADOPTED: &str = "adopted";
/// One that was deleted, and whose files are there.
const LEFT: &str = "left";
const GROUP: &str = "billing";
const AGE: Duration = Duration::from_secs(7777);

/// Any call of the file system. The lock of the directory comes before anything of the store is there.
const ANY: [Call; 16] = [
    Call::Open,
    Call::Create,
    Call::Read,
    Call::Map,
    Call::Len,
    Call::Write,
    Call::SetLen,
    Call::Allocate,
    Call::Sync,
    Call::SyncDir,
    Call::CreateDir,
    Call::Rename,
    Call::Remove,
    Call::RemoveDir,
    Call::List,
    Call::AvailableSpace,
];

/// What is done to the store while something panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Open,
    Create,
    CreateAgain,
    Alter,
    AddPartitions,
    Delete,
    Adopt,
    Backup,
    DeleteGroup,
    Maintain,
    Close,
}

impl Step {
    const ALL: [Self; 11] = [
        Self::Open,
        Self::Create,
        Self::CreateAgain,
        Self::Alter,
        Self::AddPartitions,
        Self::Delete,
        Self::Adopt,
        Self::Backup,
        Self::DeleteGroup,
        Self::Maintain,
        Self::Close,
    ];
}

/// A store whose open has everything to do that an open may have to do after a kill.
fn begin_whole() -> tempfile::TempDir {
    let (before, dir) = (fast_dir(), fast_dir());
    let files = FaultyFileSystem::new();
    let store = on_faulty(before.path(), &files).open().unwrap();
    for topic in [TOPIC, OTHER, DOOMED, LEFT] {
        store.create_topic(topic, TopicConfig::new().partitions(2)).unwrap();
        for partition in 0..2 {
            let record = Record::to(topic).partition(partition).value("before");
            producer(&store, Durability::Disk).send(record).unwrap();
        }
    }
    let mut consumer = store.consumer(GROUP).unwrap();
    consumer.assign([TOPIC, DOOMED, LEFT].map(|topic| (topic, 0))).unwrap();
    let offsets = [TOPIC, DOOMED, LEFT].map(|topic| (TopicPartition::new(topic, 0), 1));
    consumer.commit_offsets(offsets).unwrap();
    drop(consumer);
    let mut tx = store.transaction("moves").unwrap();
    tx.send(Record::to(TOPIC).partition(0).value("moved")).unwrap();
    tx.send(Record::to(OTHER).partition(0).value("moved")).unwrap();
    tx.commit().unwrap();
    files.fail(&[Call::Remove], "left-", (0, Times::ForEver), Fault::Error(5));
    store.delete_topic(LEFT).unwrap();
    let mut tx = store.transaction("undecided").unwrap();
    tx.send(Record::to(TOPIC).partition(1).value("nobody's")).unwrap();
    store.producer().flush().unwrap();
    std::mem::forget(tx);
    kill_and_copy(store, before.path(), dir.path());
    dir
}

/// What the store has answered.
#[derive(Debug, Default)]
struct Answers {
    /// Topic, partition, offset, value.
    sent: Vec<(String, u32, i64, String)>,
    /// Topics that are there, or are not: as far as that is known.
    there: BTreeMap<&'static str, bool>,
    is_altered: bool,
    partitions: u32,
    is_backed_up: bool,
}

impl Answers {
    /// Before anything is done.
    fn new() -> Self {
        let there =
            [(TOPIC, true), (OTHER, true), (DOOMED, true), (NEW, false), (ADOPTED, false), (LEFT, false)];
        Self { there: there.into(), partitions: 2, ..Self::default() }
    }

    fn send(&mut self, store: &Store, topic: &str, value: &str) {
        for partition in 0..2 {
            let record = Record::to(topic).partition(partition).value(value);
            if let Some(Ok(at)) = attempt(|| producer(store, Durability::Disk).send(record)) {
                self.sent.push((topic.to_owned(), partition, at.offset, value.to_owned()));
            }
        }
    }

    /// What a call says of a topic that it makes, or takes away.
    fn note<T>(&mut self, topic: &'static str, is_there: bool, outcome: &Option<annals::Result<T>>) {
        match outcome {
            Some(Ok(_)) => _ = self.there.insert(topic, is_there),
            Some(Err(Error::Poisoned { .. })) | None => _ = self.there.remove(topic),
            // Nothing has happened.
            Some(Err(_)) => {}
        }
    }
}

/// A store in the middle of its life, and what is beside it.
struct Life<'a> {
    store: &'a Store,
    /// A partition that is taken over.
    adopted: &'a Path,
    backup: &'a Path,
}

/// What a step finds that is not as it should be: files that could not be removed, a list that could not be written.
fn prepare(step: Step, store: &Store, files: &FaultyFileSystem, answers: &mut Answers) {
    match step {
        // The list was to forget the topic.
        Step::Close => files.fail(&[Call::Create], "annals.topics", (1, Times::Once), Fault::Error(28)),
        Step::Maintain => files.fail(&[Call::Remove], "doomed-", (0, Times::ForEver), Fault::Error(5)),
        _ => return,
    }
    answers.note(DOOMED, false, &attempt(|| store.delete_topic(DOOMED)));
    assert_eq!(answers.there.get(DOOMED), Some(&false));
    files.heal();
}

fn act(step: Step, life: &Life<'_>, answers: &mut Answers) {
    let store = life.store;
    let two = || TopicConfig::new().partitions(2);
    match step {
        Step::Open => {}
        Step::Create => answers.note(NEW, true, &attempt(|| store.create_topic(NEW, two()))),
        Step::CreateAgain => {
            answers.note(DOOMED, false, &attempt(|| store.delete_topic(DOOMED)));
            answers.note(DOOMED, true, &attempt(|| store.create_topic(DOOMED, two())));
        }
        Step::Alter => {
            let altered = attempt(|| store.alter_topic(OTHER, TopicConfig::new().retention(AGE)));
            answers.is_altered = matches!(altered, Some(Ok(_)));
        }
        Step::AddPartitions => {
            if let Some(Ok(topic)) = attempt(|| store.add_partitions(OTHER, 3)) {
                answers.partitions = topic.partition_count();
            }
        }
        Step::Delete => answers.note(DOOMED, false, &attempt(|| store.delete_topic(DOOMED))),
        Step::Adopt => {
            let adopt = || store.adopt_topic(ADOPTED, TopicConfig::new(), [life.adopted]);
            answers.note(ADOPTED, true, &attempt(adopt));
        }
        Step::Backup => {
            answers.is_backed_up = matches!(attempt(|| store.backup(life.backup)), Some(Ok(_)));
        }
        Step::DeleteGroup => _ = attempt(|| store.delete_group(GROUP)),
        Step::Maintain => _ = attempt(|| store.maintain()),
        Step::Close => {
            let closed = attempt(|| store.close());
            assert!(closed.is_some(), "a close that panics");
        }
    }
}

/// By the handle of a topic that may be deleted.
fn send_to(topic: &Topic, answers: &mut Answers) {
    for partition in topic.partitions() {
        let appended = attempt(|| partition.append(&[Record::new().value("held")], Durability::Disk));
        if let Some(Ok(at)) = appended {
            let sent = (topic.name().to_owned(), partition.number(), at.last_offset, "held".to_owned());
            answers.sent.push(sent);
        }
    }
}

/// What was answered holds, and the store goes on.
fn check_whole(dir: &Path, backup: &Path, (answers, what): (&Answers, &str)) {
    let store = by_hand(dir).open().unwrap_or_else(|error| panic!("{what}: {error}"));
    let listed: BTreeSet<String> = store.topics().iter().map(|topic| topic.name().to_owned()).collect();
    for (topic, is_there) in &answers.there {
        assert_eq!(listed.contains(*topic), *is_there, "{what}: {topic}, {:?}", store.recovery());
    }
    for (topic, partition, offset, value) in &answers.sent {
        let found = store.topic(topic).and_then(|topic| topic.partition(*partition)?.get(*offset));
        let found = found.unwrap_or_else(|error| panic!("{what}: {topic}-{partition}@{offset}: {error}"));
        let found = found.and_then(|found| found.value);
        assert_eq!(found.as_deref(), Some(value.as_bytes()), "{what}: {topic}-{partition}@{offset}");
    }
    let other = store.topic(OTHER).unwrap();
    assert!(other.partition_count() >= answers.partitions, "{what}");
    if answers.is_altered {
        let age = AGE.as_millis().to_string();
        assert_eq!(other.config().get("retention.ms"), age, "{what}");
    }
    let broken: Vec<_> = store.recovery().iter().filter(|one| one.failure.is_some()).collect();
    assert!(broken.is_empty(), "{what}: {broken:?}");
    for topic in [NEW, DOOMED, ADOPTED, LEFT] {
        let made = store.ensure_topic(topic, TopicConfig::new());
        made.unwrap_or_else(|error| panic!("{what}: {topic}: {error}"));
        producer(&store, Durability::Disk).send(Record::to(topic).value("next")).unwrap();
    }
    store.close().unwrap_or_else(|error| panic!("{what}: {error}"));
    check_backup(backup, (answers, what));
}

/// It is whole, or it is nothing that opens.
fn check_backup(backup: &Path, (answers, what): (&Answers, &str)) {
    if answers.is_backed_up {
        let verified = annals::backup::verify(backup).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(verified.is_sound(), "{what}");
    } else if backup.is_dir() && backup.read_dir().unwrap().next().is_some() {
        assert!(by_hand(backup).open().is_err(), "{what}: a part of a backup is a store");
        if annals::backup::verify(backup).is_err() {
            assert!(Store::open_read_only(backup).is_err(), "{what}: a part of a backup is read as a store");
        }
    }
}

/// False when there is no such call.
fn panics_in(step: Step, left: Left, (before, nth): (&Path, usize)) -> bool {
    let (dir, aside) = (fast_dir(), fast_dir());
    copy_dir(before, dir.path());
    let (adopted, backup) = (before.join("others-1"), aside.path().join("backup"));
    let (files, what) = (FaultyFileSystem::new(), format!("{step:?} {left:?}, call {nth}"));
    let open = || on_faulty(dir.path(), &files).open();
    let arm = || files.fail(&ANY, "", (nth, Times::Once), Fault::Panic);
    if step == Step::Open {
        arm();
        drop(attempt(open));
    }
    // Whatever is left of an open that panicked gives the store back.
    let is_over = step == Step::Open && files.armed() > 0;
    files.heal();
    let store = open().unwrap_or_else(|error| panic!("{what}: {error}"));
    // Kept, as a program keeps them.
    let topics = store.topics();
    let mut answers = Answers::new();
    prepare(step, &store, &files, &mut answers);
    if step != Step::Open {
        arm();
    }
    act(step, &Life { store: &store, adopted: &adopted, backup: &backup }, &mut answers);
    let is_over = is_over || files.armed() > 0;
    files.heal();
    // By somebody who knows nothing of it.
    topics.iter().for_each(|topic| send_to(topic, &mut answers));
    if step == Step::Close {
        assert!(answers.sent.is_empty(), "{what}: a partition takes records after the close");
    } else {
        [NEW, TOPIC, OTHER, DOOMED].iter().for_each(|topic| answers.send(&store, topic, "last"));
    }
    let copy = fast_dir();
    let end = match left {
        Left::ByAKill => {
            copy_dir(dir.path(), copy.path());
            drop(store);
            copy.path()
        }
        Left::ByAClose => {
            drop(attempt(|| store.close()));
            let before = answers.sent.len();
            topics.iter().for_each(|topic| send_to(topic, &mut answers));
            assert_eq!(answers.sent.len(), before, "{what}: a partition takes records after the close");
            drop(store);
            dir.path()
        }
    };
    check_whole(end, &backup, (&answers, &what));
    !is_over
}

fn panics_in_each(left: Left, least: usize) {
    keep_quiet();
    let before = begin_whole();
    let mut all = 0;
    // Where the one end has nothing to show that the other has not.
    let but = if matches!(left, Left::ByAKill) { Step::Close } else { Step::Open };
    for step in Step::ALL.into_iter().filter(|step| *step != but) {
        let before = before.path().to_owned();
        let (sender, counted) = mpsc::channel();
        in_time("a panic at each call of the whole store", move || {
            let (mut nth, mut wrong) = (0, Vec::new());
            loop {
                match catch_unwind(AssertUnwindSafe(|| panics_in(step, left, (&before, nth)))) {
                    Ok(false) => break,
                    Ok(true) => {}
                    Err(_) => wrong.push(nth),
                }
                nth += 1;
            }
            assert!(wrong.is_empty(), "{step:?} {left:?}: wrong after calls {wrong:?} of {nth}");
            println!("{step:?} {left:?}: {nth} calls");
            sender.send(nth).unwrap();
        });
        all += counted.recv().unwrap();
    }
    assert!(all >= least, "{all} calls");
}

#[test]
fn a_panic_at_each_call_of_the_whole_store_before_a_close_leaves_errors_alone() {
    panics_in_each(Left::ByAClose, 400);
}

#[test]
fn a_panic_at_each_call_of_the_whole_store_before_a_kill_leaves_errors_alone() {
    panics_in_each(Left::ByAKill, 400);
}

#[test]
fn an_open_that_panics_gives_the_store_back_with_its_threads() {
    keep_quiet();
    in_time("an open that panics", || {
        let before = begin_whole();
        let mut nth = 0;
        loop {
            let dir = fast_dir();
            copy_dir(before.path(), dir.path());
            let files = FaultyFileSystem::new();
            files.fail(&ANY, "", (nth, Times::Once), Fault::Panic);
            let open = || Store::builder(dir.path()).file_system(Arc::clone(&files) as _).open();
            let first = attempt(open);
            let is_over = files.armed() > 0;
            files.heal();
            if !matches!(first, Some(Ok(_))) {
                let again = open().unwrap_or_else(|error| panic!("call {nth}: {error}"));
                producer(&again, Durability::Disk).send(Record::to(TOPIC).value("goes on")).unwrap();
                again.close().unwrap();
            }
            if is_over {
                break;
            }
            nth += 1;
        }
        assert!(nth > 50, "{nth} calls");
        println!("an open: {nth} calls");
    });
}
