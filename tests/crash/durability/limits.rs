//! Limits of the machine at each call: no descriptor, no byte, no inode, no map is left from some call on, until a call of the
//! store fails. Then there is some again, the same call is made once more, and succeeds: a limit is nobody's damage, loses
//! nothing, and needs no other life of the store.

use annals::io::FileSystem;
use annals_testing::MemoryFileSystem;

use super::*;

const ENOMEM: i32 = 12;
const ENFILE: i32 = 23;
const EDQUOT: i32 = 122;

/// What there is no more of, as the calls say that need it.
#[derive(Debug)]
struct Limit {
    name: &'static str,
    calls: &'static [Call],
    fault: Fault,
}

const LIMITS: [Limit; 7] = [
    Limit {
        name: "descriptors of the process",
        calls: &[Call::Open, Call::Create, Call::List],
        fault: Fault::Error(EMFILE),
    },
    Limit {
        name: "descriptors of the machine",
        calls: &[Call::Open, Call::Create, Call::List],
        fault: Fault::Error(ENFILE),
    },
    Limit {
        name: "bytes",
        calls: &[Call::Create, Call::CreateDir, Call::Write, Call::Allocate],
        fault: Fault::Error(ENOSPC),
    },
    Limit {
        name: "bytes of the user",
        calls: &[Call::Create, Call::CreateDir, Call::Write, Call::Allocate],
        fault: Fault::Error(EDQUOT),
    },
    Limit { name: "inodes", calls: &[Call::Create, Call::CreateDir], fault: Fault::Error(ENOSPC) },
    Limit { name: "bytes that the system knows of", calls: &[Call::AvailableSpace], fault: Fault::Short(0) },
    Limit { name: "maps", calls: &[Call::Map], fault: Fault::Error(ENOMEM) },
];

/// What a program holds on to between two steps.
struct Program {
    files: Arc<FaultyFileSystem>,
    store: Option<Store>,
}

type Step = (&'static str, fn(&mut Program) -> annals::Result<()>);

impl Program {
    fn store(&self) -> &Store {
        self.store.as_ref().expect("an open store")
    }

    fn partition(&self, number: u32) -> annals::Result<annals::Partition> {
        self.store().topic(TOPIC)?.partition(number)
    }

    fn append(&self, number: i64, durability: Durability) -> annals::Result<()> {
        let partition = self.partition(u32::from(number % 3 == 2))?;
        let key = (number % 5).to_string();
        partition.append(&[Record::new().key(&key).value(&value_of(number))], durability).map(drop)
    }
}

/// Every kind of call that writes, on segments of a few records. Each may be made again after it has failed.
const STEPS: &[Step] = &[
    ("open", |program| {
        let files = Arc::clone(&program.files) as Arc<dyn FileSystem>;
        let builder = Store::builder("/store").file_system(files).maintain_by_hand();
        program.store = Some(builder.sync_every(Duration::ZERO).open()?);
        Ok(())
    }),
    ("create", |program| {
        let config = TopicConfig::new().segment_bytes(400).index_interval_bytes(100);
        let topic = program.store().ensure_topic(TOPIC, config)?;
        if topic.partition_count() < 2 { program.store().add_partitions(TOPIC, 2).map(drop) } else { Ok(()) }
    }),
    ("append 0", |program| program.append(0, Durability::Disk)),
    ("append 1", |program| program.append(1, Durability::Os)),
    ("append 2", |program| program.append(2, Durability::Disk)),
    ("append 3", |program| program.append(3, Durability::Os)),
    ("append 4", |program| program.append(4, Durability::Os)),
    ("append 5", |program| program.append(5, Durability::Os)),
    ("append 6", |program| program.append(6, Durability::Disk)),
    ("commit", |program| {
        let mut consumer = program.store().consumer("billing")?;
        consumer.assign([(TOPIC, 0)])?;
        consumer.commit_offsets([(TopicPartition::new(TOPIC, 0), 2)])
    }),
    ("append 7", |program| program.append(7, Durability::Os)),
    ("append 9", |program| program.append(9, Durability::Os)),
    ("alter", |program| {
        let changes = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact);
        program.store().alter_topic(TOPIC, changes).map(drop)
    }),
    ("compact", |program| program.store().topic(TOPIC)?.compact().map(drop)),
    ("erase", |program| program.store().topic(TOPIC)?.erase("2").map(drop)),
    ("delete records", |program| program.partition(0)?.delete_records(2).map(drop)),
    ("append 10", |program| program.append(10, Durability::Os)),
    ("maintain", |program| program.store().maintain()),
    ("create another", |program| {
        program.store().ensure_topic("another", TopicConfig::new().partitions(2)).map(drop)
    }),
    ("delete the other", |program| match program.store().delete_topic("another") {
        // It is gone; its files go when the store is opened next.
        Err(Error::UnknownTopic { .. }) => Ok(()),
        deleted => deleted,
    }),
    ("flush", |program| program.store().producer().flush()),
    ("read", |program| {
        for number in 0..2 {
            program.partition(number)?.read(..)?.into_iter().try_for_each(|record| record.map(drop))?;
        }
        Ok(())
    }),
    ("close", |program| {
        let Some(store) = program.store.take() else { return Ok(()) };
        store.close()
    }),
    ("open again", |program| STEPS[0].1(program)),
    ("append 12", |program| program.append(12, Durability::Disk)),
];

/// Everything that can be read in the end, and what is committed.
fn contents(store: &Store) -> String {
    let topic = store.topic(TOPIC).expect("the topic");
    let all: Vec<_> = topic.partitions().iter().map(|one| (one.start(), records(one))).collect();
    let names: Vec<_> = store.topics().iter().map(|topic| topic.name().to_owned()).collect();
    let committed: Vec<_> = store.committed("billing").values().map(|one| one.offset).collect();
    format!("{all:?} {names:?} {committed:?}")
}

/// The steps, with a limit from the call of that number on; what is there in the end, and whether the limit was felt.
fn live(limit: &Limit, nth: usize) -> (String, bool) {
    let disk = Arc::new(MemoryFileSystem::new());
    let files = FaultyFileSystem::over(Arc::clone(&disk) as _);
    files.fail(limit.calls, "", (nth, Times::ForEver), limit.fault.clone());
    let is_room = matches!(limit.fault, Fault::Error(ENOSPC | EDQUOT) | Fault::Short(_));
    let mut program = Program { files: Arc::clone(&files), store: None };
    let mut felt = None;
    for (name, step) in STEPS {
        let Err(error) = step(&mut program) else { continue };
        let at = format!("{} from call {nth} on, {name}: {error} ({error:?})", limit.name);
        assert!(felt.is_none(), "{at}, and there is some again since {felt:?}");
        assert!(error.is_retriable(), "{at}");
        assert_eq!(error.is_disk_full(), is_room, "{at}");
        files.heal();
        let again = step(&mut program);
        assert!(again.is_ok(), "{at}; then {again:?}");
        felt = Some(at);
    }
    let struck = files.trace().iter().any(|done| done.struck);
    files.heal();
    let last = contents(program.store());
    // What a kill leaves, too.
    std::mem::forget(program.store);
    let files = MemoryFileSystem::over(&annals_testing::Image::new(disk.files()));
    let next = Store::builder("/store").file_system(Arc::new(files)).maintain_by_hand().open();
    assert_eq!(contents(&next.expect("the next life")), last, "{felt:?}");
    (last, struck)
}

fn at_each_call(limit: &Limit, step: usize) {
    let (undisturbed, _) = live(limit, usize::MAX);
    let mut calls = 0;
    loop {
        let (found, struck) = live(limit, calls);
        assert_eq!(found, undisturbed, "{} from call {calls} on", limit.name);
        if !struck {
            break;
        }
        calls += step;
    }
    println!("{}: {calls} calls", limit.name);
    assert!(calls > 2, "{}: {calls} calls", limit.name);
}

#[test]
fn a_limit_at_each_call_is_nobodys_damage() {
    let is_whole = std::env::var_os("ANNALS_FAULTS").is_some();
    for (number, limit) in LIMITS.iter().enumerate() {
        at_each_call(limit, if is_whole || number == 0 { 1 } else { 3 });
    }
}

/// One call that needs a descriptor finds none, in a store that holds files. Some of these give theirs back and the call is made
/// again: whoever has called the store notices nothing.
#[test]
fn a_descriptor_that_is_wanting_comes_from_the_files_that_the_store_holds() {
    let (undisturbed, _) = live_without_one(usize::MAX);
    let mut calls = 0;
    loop {
        let (found, struck) = live_without_one(calls);
        assert_eq!(found, undisturbed, "at call {calls}");
        if !struck {
            break;
        }
        calls += 1;
    }
    println!("{calls} calls");
    assert!(calls > 100, "{calls} calls");
}

/// The steps, where the call of that number after the first append has no descriptor; what is there in the end, and whether there was
/// such a call.
fn live_without_one(nth: usize) -> (String, bool) {
    let files = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
    let mut program = Program { files: Arc::clone(&files), store: None };
    for (name, step) in STEPS {
        match *name {
            "append 1" => files.fail(LIMITS[0].calls, "", (nth, Times::Once), LIMITS[0].fault.clone()),
            "close" => files.heal(),
            _ => {}
        }
        step(&mut program).unwrap_or_else(|error| panic!("{name}, without a descriptor at {nth}: {error}"));
    }
    (contents(program.store()), files.trace().iter().any(|done| done.struck))
}

/// Either the open fails, and the next one does not, or all topics are there.
#[test]
fn an_open_that_found_no_descriptor_once_opened_the_store_without_a_topic() {
    let disk = MemoryFileSystem::new();
    let mut program = Program { files: FaultyFileSystem::over(Arc::new(disk.clone())), store: None };
    STEPS
        .iter()
        .for_each(|(name, step)| step(&mut program).unwrap_or_else(|error| panic!("{name}: {error}")));
    let undisturbed = contents(program.store());
    program.store().close().expect("a close");
    let image = annals_testing::Image::new(disk.files());
    let mut failed = 0;
    for nth in 0.. {
        let files = FaultyFileSystem::over(Arc::new(MemoryFileSystem::over(&image)));
        files.fail(LIMITS[0].calls, "", (nth, Times::Once), LIMITS[0].fault.clone());
        let open = || Store::builder("/store").file_system(files.clone()).maintain_by_hand().open();
        let store = match open() {
            Ok(store) => store,
            Err(error) => {
                assert!(error.is_retriable(), "at {nth}: {error}");
                failed += 1;
                open().expect("there is one again")
            }
        };
        let struck = files.trace().iter().any(|done| done.struck);
        files.heal();
        assert_eq!(contents(&store), undisturbed, "at {nth}");
        if !struck {
            break;
        }
    }
    assert!(failed > 0);
}
