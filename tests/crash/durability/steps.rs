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
fn worked_on_elsewhere(dir: &Path, gives_up: bool) {
    let store = by_hand(dir).open().unwrap();
    store.create_topic(TOPIC, small_segments()).unwrap();
    for number in 0..8 {
        store.producer().send(Record::to(TOPIC).value(&value_of(number))).unwrap();
    }
    let reader = StoreReader::attach(dir).unwrap();
    store.close().unwrap();
    let mut worker = reader.queue_builder(TOPIC, GROUP).durability(Durability::Disk).build().unwrap();
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

fn put(files: &dyn annals::io::FileSystem, from: &Path, to: &Path) {
    files.create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            put(files, &entry.path(), &to);
            continue;
        }
        let file = files.open(&to, OpenMode::CreateNew).unwrap();
        let bytes = std::fs::read(entry.path()).unwrap();
        assert_eq!(file.write_at(&bytes, 0).unwrap(), bytes.len());
        file.sync_data().unwrap();
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
    worked_on_elsewhere(dir.path(), gives_up);
    let moments = Arc::new(Moments::default());
    let machine = PowerCutFileSystem::on(Disk::new(), Some(Arc::clone(&moments) as _));
    put(&*machine.shared(), dir.path(), Path::new("/store"));
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
