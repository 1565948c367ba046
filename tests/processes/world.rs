//! What most of these tests begin with: a topic of orders, the owner of its store, a process that is attached to it, a worker.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use annals::io::FileSystem;
use annals::{Message, Record, Store, StoreBuilder, StoreReader, TopicConfig, Worker};
use annals_testing::FaultyFileSystem;
use tempfile::TempDir;

use crate::common::{by_hand, copy_dir, fast_dir, now};
use crate::hooked::{FailingShared, Hook, Hooked};

pub(crate) const ORDERS: &str = "orders";
/// The group of the workers.
pub(crate) const GROUP: &str = "shipping";

pub(crate) const EIO: i32 = 5;
pub(crate) const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

pub(crate) fn open(dir: &Path) -> Store {
    with_orders(by_hand(dir))
}

pub(crate) fn open_on(dir: &Path, files: Arc<dyn FileSystem>) -> Store {
    with_orders(by_hand(dir).file_system(files))
}

fn with_orders(builder: StoreBuilder) -> Store {
    let store = builder.open().unwrap();
    store.ensure_topic(ORDERS, TopicConfig::new().partitions(2)).unwrap();
    store
}

pub(crate) fn attach(dir: &Path) -> StoreReader {
    StoreReader::attach(dir).unwrap()
}

pub(crate) fn attach_on(dir: &Path, files: Arc<dyn FileSystem>) -> StoreReader {
    Store::builder(dir).file_system(files).attach().unwrap()
}

/// A reader whose files do what the test wants.
pub(crate) fn attach_hooked(dir: &Path) -> (Arc<Hooked>, StoreReader) {
    let hooked = Hooked::new();
    let reader = attach_on(dir, hooked.files());
    (hooked, reader)
}

/// A reader whose calls can be told to fail and to wait.
pub(crate) fn attach_failing(dir: &Path) -> (Arc<FaultyFileSystem>, StoreReader) {
    let files = FaultyFileSystem::new();
    let reader = attach_on(dir, failing(&files));
    (files, reader)
}

/// The files of somebody whom others see.
pub(crate) fn failing(files: &Arc<FaultyFileSystem>) -> Arc<dyn FileSystem> {
    Arc::new(FailingShared(Arc::clone(files)))
}

/// An owner with so many orders in the first partition.
pub(crate) fn owned(count: i64) -> (TempDir, Store) {
    let dir = fast_dir();
    let store = open(dir.path());
    send(&store, count);
    (dir, store)
}

/// The same, and a process that is attached.
pub(crate) fn attached(count: i64) -> (TempDir, Store, StoreReader) {
    let (dir, store) = owned(count);
    let reader = attach(dir.path());
    (dir, store, reader)
}

/// The same, and a worker there.
pub(crate) fn worked(count: i64) -> (TempDir, Store, StoreReader, Worker) {
    let (dir, store, reader) = attached(count);
    let worker = reader.queue(ORDERS, GROUP).unwrap();
    (dir, store, reader, worker)
}

/// The same, where the owner's files do what the test wants.
pub(crate) fn worked_on(hooked: &Arc<Hooked>, count: i64) -> (TempDir, Store, StoreReader, Worker) {
    let dir = fast_dir();
    let store = open_on(dir.path(), hooked.files());
    send(&store, count);
    let reader = attach(dir.path());
    let worker = reader.queue(ORDERS, GROUP).unwrap();
    (dir, store, reader, worker)
}

/// Sends to the first partition: the value is the offset.
pub(crate) fn send(store: &Store, count: i64) {
    let partition = store.topic(ORDERS).unwrap().partition(0).unwrap();
    for _ in 0..count {
        let value = partition.next_offset().to_string();
        store.producer().send(Record::to(ORDERS).partition(0).value(&value)).unwrap();
    }
}

pub(crate) fn take(worker: &mut Worker, most: usize) -> Vec<Message> {
    worker.take(most, Duration::ZERO).unwrap().into_iter().collect()
}

/// What the owner's worker gets.
pub(crate) fn take_at_home(store: &Store) -> Vec<Message> {
    take(&mut store.queue(ORDERS, GROUP).unwrap(), 9)
}

pub(crate) fn offsets(messages: &[Message]) -> Vec<i64> {
    messages.iter().map(|message| message.offset).collect()
}

/// Offsets, and how often each was handed out.
pub(crate) fn counts(messages: &[Message]) -> Vec<(i64, u16)> {
    messages.iter().map(|message| (message.offset, message.delivery_count())).collect()
}

pub(crate) fn ack_all(messages: impl IntoIterator<Item = Message>) {
    messages.into_iter().for_each(|message| message.ack().unwrap());
}

/// The files of steps that are there.
pub(crate) fn steps(dir: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.to_string_lossy().contains("annals.steps.")).collect()
}

pub(crate) fn letters(store: &Store) -> Vec<(i64, u16, String)> {
    let taken = store.dead_letters(ORDERS, GROUP).and_then(|mut letters| letters.take(100));
    let letters = taken.unwrap_or_default();
    letters.into_iter().map(|letter| (letter.offset, letter.delivery_count, letter.reason.clone())).collect()
}

pub(crate) fn copy_of(dir: &Path) -> TempDir {
    let copy = fast_dir();
    copy_dir(dir, copy.path());
    copy
}

/// What is there when the owner is killed.
pub(crate) fn killed(store: Store, dir: &Path) -> TempDir {
    std::mem::forget(store);
    copy_of(dir)
}

/// A store made of a backup of this one, both of them in `dir`.
pub(crate) fn restored(store: &Store, dir: &Path) -> Store {
    store.backup(dir.join("monday")).unwrap();
    annals::backup::restore(dir.join("monday"), dir.join("again")).unwrap();
    open(&dir.join("again"))
}

/// How long the log of a topic's first partition is.
pub(crate) fn length_of(store: &Store, topic: &str) -> u64 {
    store.topic(topic).unwrap().partition(0).unwrap().bytes()
}

/// A power cut leaves so much of that log.
pub(crate) fn cut_log(dir: &Path, topic: &str, length: u64) {
    let log = dir.join(format!("{topic}-0/00000000000000000000.log"));
    std::fs::File::options().write(true).open(log).unwrap().set_len(length).unwrap();
}

/// No file with such a name can be opened any more.
pub(crate) fn refuse(hooked: &Hooked, name: &'static str, error: i32) {
    hooked.at_open(move |path| match path.to_string_lossy().contains(name) {
        true => Err(std::io::Error::from_raw_os_error(error)),
        false => Ok(Hook::Stays),
    });
}

/// No such file finds room any more.
pub(crate) fn fill(hooked: &Hooked, name: &'static str) {
    refuse(hooked, name, ENOSPC);
}

pub(crate) fn make_room(hooked: &Hooked) {
    hooked.at_open(|_| Ok(Hook::IsOver));
}

/// Waits until something is so, for a while.
pub(crate) fn wait_for(is_so: impl Fn() -> bool, most: Duration) -> bool {
    let until = now() + most;
    while !is_so() && now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
    is_so()
}

/// Does something on a thread of its own. Says whether it is done.
pub(crate) fn beside(act: impl FnOnce() + Send + 'static) -> Arc<AtomicBool> {
    let is_done = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&is_done);
    std::thread::spawn(move || {
        act();
        done.store(true, Ordering::SeqCst);
    });
    is_done
}

pub(crate) fn is_done_in(most: Duration, done: &AtomicBool) -> bool {
    wait_for(|| done.load(Ordering::SeqCst), most)
}
