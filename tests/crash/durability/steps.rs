//! What queues elsewhere have done is folded: the process dies, or the power fails, at every call of that.

use annals::StoreReader;
use annals::io::OpenMode;
use annals_testing::power_cut::{Change, Disk, Observer, PowerCutFileSystem};

use super::*;

const GROUP: &str = "shipping";

/// The disk before each call, from the moment on when it is told to look.
#[derive(Default)]
struct Moments(Mutex<Option<Vec<Disk>>>);

impl Observer for Moments {
    fn before(&self, disk: &mut Disk, _: &Change<'_>) -> Option<Fault> {
        self.0.lock().unwrap().iter_mut().for_each(|seen| seen.push(disk.clone()));
        None
    }
}

/// A store whose owner is gone, and what a worker elsewhere has left in it.
fn worked_on_elsewhere(dir: &Path, gives_up: bool, durability: Durability) {
    let store = by_hand(dir).open().unwrap();
    store.create_topic(TOPIC, small_segments()).unwrap();
    for number in 0..8 {
        store.producer().send(Record::to(TOPIC).value(&value_of(number))).unwrap();
    }
    let reader = StoreReader::attach(dir).unwrap();
    store.close().unwrap();
    let mut worker = reader.queue_builder(TOPIC, GROUP).durability(durability).build().unwrap();
    let mut taken = worker.take(5, Duration::ZERO).unwrap().into_iter();
    let mut next = || taken.next().unwrap();
    next().ack().unwrap();
    next().ack().unwrap();
    if !gives_up {
        next().ack().unwrap();
        next().release(Duration::ZERO).unwrap();
        next().ack().unwrap();
        return;
    }
    next().reject("no").unwrap();
    next().release(Duration::ZERO).unwrap();
    next().reject("neither").unwrap();
}

/// Where the frames of a file of steps end of which so many are on the disk.
fn end_of_frames(bytes: &[u8], count: usize) -> usize {
    const HEAD: usize = 56;
    (0..count).fold(HEAD, |at, _| {
        let len = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        at + 8 + usize::try_from(len).unwrap()
    })
}

/// Makes a store of files, of which all is on the disk but what `unsynced` says of a file's bytes.
fn put(
    files: &dyn annals::io::FileSystem,
    (from, to): (&Path, &Path),
    unsynced: &dyn Fn(&Path, &[u8]) -> Option<usize>,
) {
    files.create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            put(files, (&entry.path(), &to), unsynced);
            continue;
        }
        let file = files.open(&to, OpenMode::CreateNew).unwrap();
        let bytes = std::fs::read(entry.path()).unwrap();
        let synced = unsynced(&to, &bytes).unwrap_or(bytes.len());
        assert_eq!(file.write_at(&bytes[..synced], 0).unwrap(), synced);
        file.sync_data().unwrap();
        if synced < bytes.len() {
            file.write_at(&bytes[synced..], synced as u64).unwrap();
        }
    }
    files.sync_dir(to).unwrap();
}

fn open(machine: &PowerCutFileSystem) -> Store {
    Store::builder("/store").file_system(machine.shared()).maintain_by_hand().open().unwrap()
}

fn judge(machine: &PowerCutFileSystem, gives_up: bool, what: &str) {
    let store = open(machine);
    if gives_up {
        let letters = store.dead_letters(TOPIC, GROUP).unwrap().take(9).unwrap();
        let letters: Vec<_> = letters.iter().map(|letter| (letter.offset, letter.reason.clone())).collect();
        assert_eq!(letters, [(2, "no".to_owned()), (4, "neither".to_owned())], "{what}");
    }
    let mut worker = store.queue(TOPIC, GROUP).unwrap();
    let taken = worker.take(9, Duration::ZERO).unwrap();
    let counts: Vec<_> = taken.iter().map(|one| (one.offset, one.delivery_count())).collect();
    assert_eq!(counts, [(3, 2), (5, 1), (6, 1), (7, 1)], "{what}");
}

#[test]
fn every_call_of_a_fold_may_be_the_last() {
    [true, false].into_iter().for_each(fold_with);
}

/// What makes letters durable makes the states durable, too: without any they are by themselves.
fn fold_with(gives_up: bool) {
    let dir = fast_dir();
    worked_on_elsewhere(dir.path(), gives_up, Durability::Disk);
    let moments = Arc::new(Moments::default());
    let machine = PowerCutFileSystem::on(Disk::new(), Some(Arc::clone(&moments) as _));
    put(&*machine.shared(), (dir.path(), Path::new("/store")), &|_, _| None);
    machine.shared().sync_dir(Path::new("/")).unwrap();
    *moments.0.lock().unwrap() = Some(Vec::new());
    open(&machine).close().unwrap();
    let seen = moments.0.lock().unwrap().take().unwrap();
    for (at, disk) in seen.iter().enumerate() {
        let machine = PowerCutFileSystem::on(disk.clone(), None);
        judge(&machine.restart(), gives_up, &format!("killed at {at} of {}", seen.len()));
        for seed in 0..2 {
            let (machine, what) = (PowerCutFileSystem::on(disk.clone(), None), format!("cut {seed} at {at}"));
            judge(&machine.cut_power(seed + at as u64 * 2), gives_up, &format!("{what} of {}", seen.len()));
        }
    }
    assert!(seen.len() > 20, "{}", seen.len());
}

/// The system has written that messages were handed out, and not yet that they were given up: a fold makes their letters durable before.
#[test]
fn a_message_whose_letter_outlives_the_step_that_owed_it_does_not_come_again() {
    let dir = fast_dir();
    worked_on_elsewhere(dir.path(), true, Durability::Os);
    let moments = Arc::new(Moments::default());
    let machine = PowerCutFileSystem::on(Disk::new(), Some(Arc::clone(&moments) as _));
    let is_steps = |path: &Path| path.to_string_lossy().contains("annals.steps");
    let unsynced = |path: &Path, bytes: &[u8]| is_steps(path).then(|| end_of_frames(bytes, 2));
    put(&*machine.shared(), (dir.path(), Path::new("/store")), &unsynced);
    machine.shared().sync_dir(Path::new("/")).unwrap();
    *moments.0.lock().unwrap() = Some(Vec::new());
    open(&machine).close().unwrap();
    let seen = moments.0.lock().unwrap().take().unwrap();
    let mut written = 0;
    for (at, disk) in seen.iter().enumerate() {
        for seed in 0..3 {
            let machine = PowerCutFileSystem::on(disk.clone(), None).cut_power(seed + at as u64 * 3);
            written += judge_letters(&machine, &format!("cut {seed} at {at} of {}", seen.len()));
        }
    }
    assert!(written > 20 && seen.len() > 20, "{written} {}", seen.len());
}

/// What was given up has its letter, or comes again. Says how many letters there are.
fn judge_letters(machine: &PowerCutFileSystem, what: &str) -> usize {
    let store = open(machine);
    let letters = store.dead_letters(TOPIC, GROUP).and_then(|mut letters| letters.take(9));
    let letters: Vec<_> = letters.unwrap_or_default().iter().map(|letter| letter.offset).collect();
    let taken = store.queue(TOPIC, GROUP).unwrap().take(9, Duration::ZERO).unwrap();
    let taken: Vec<_> = taken.iter().map(|one| one.offset).collect();
    for offset in [2, 4] {
        let found = [&letters, &taken].map(|of| of.iter().filter(|one| **one == offset).count());
        assert_eq!(found.iter().sum::<usize>(), 1, "{what}: offset {offset}, {letters:?} {taken:?}");
    }
    letters.len()
}
