//! What stands around a place where something is put, or where something is taken from.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annals::io::{DirectoryLock, Entry, FileHandle, FileSystem, OpenMode, OsFileSystem};
use annals::{Error, LogSource, Record, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, Times};

/// Names that say what a directory is.
const NAMES: [&str; 4] = ["annals.backup", "annals.backup.new", "annals.topics", "annals.state"];

fn store(path: &Path) -> Store {
    let store = Store::open(path).unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    for number in 0..10 {
        store.producer().send(Record::to("orders").value(&format!("order {number}"))).unwrap();
    }
    store
}

/// What is in a directory, and what a link leads to is not.
fn tree(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(tree(&path));
        }
        found.insert(path.clone(), kind.is_file().then(|| std::fs::read(&path).unwrap()));
    }
    found
}

fn moved_by_a_link(store: &Path, far: &Path) {
    std::fs::rename(store.join("orders-0"), far).unwrap();
    symlink(far, store.join("orders-0")).unwrap();
}

/// A directory or a link of such a name is none of ours.
#[test]
fn a_directory_above_a_target_that_was_called_as_a_list_refused_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    let own = store(&at("own"));
    own.backup(at("source")).unwrap();
    std::fs::write(at("plain"), "of somebody").unwrap();
    for name in NAMES {
        for kind in ["directory", "link to nothing", "link to a file"] {
            let above = at(&format!("{name}, a {kind}"));
            std::fs::create_dir(&above).unwrap();
            match kind {
                "directory" => std::fs::create_dir(above.join(name)).unwrap(),
                "link to nothing" => symlink(at("missing"), above.join(name)).unwrap(),
                _ => symlink(at("plain"), above.join(name)).unwrap(),
            }
            own.backup(above.join("copy")).unwrap();
            annals::backup::restore(at("source"), above.join("restored")).unwrap();
            let restored = Store::builder(above.join("restored")).repair(above.join("taken-out"));
            assert!(restored.unwrap().is_unchanged(), "{name}: {kind}");
        }
    }
    std::fs::create_dir_all(at("var/annals.backup")).unwrap();
    own.backup(at("var/annals.backup/monday")).unwrap();
    std::fs::create_dir_all(at("data/annals.backup")).unwrap();
    own.backup(at("data/annals.backup")).unwrap();
    own.backup(at("data/tuesday")).unwrap();
    own.backup(at("srv/annals.backup")).unwrap();
    own.backup(at("srv/tuesday")).unwrap();
}

#[test]
fn what_may_not_be_looked_at_above_a_target_refused_it() {
    const EACCES: i32 = 13;
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    store(&at("own")).close().unwrap();
    std::fs::create_dir_all(at("above/between")).unwrap();
    symlink(at("above/between"), at("link")).unwrap();
    for denied in [&[Call::Open][..], &[Call::Open, Call::List]] {
        let disk = FaultyFileSystem::new();
        disk.fail(denied, "/above/annals.", (0, Times::ForEver), Fault::Error(EACCES));
        if denied.contains(&Call::List) {
            disk.fail(&[Call::List], "/above", (0, Times::ForEver), Fault::Error(EACCES));
        }
        let repaired = Store::builder(at("own")).file_system(disk.clone()).repair(at("link/new"));
        assert!(repaired.unwrap().is_unchanged());
        assert!(disk.armed() > 0);
        std::fs::remove_dir(at("above/between/new")).unwrap();
    }
    // One that may be listed is known for what it is without being read.
    std::fs::write(at("above/annals.topics"), "of somebody").unwrap();
    let disk = FaultyFileSystem::new();
    disk.fail(&[Call::Open], "/above/annals.", (0, Times::ForEver), Fault::Error(EACCES));
    let repaired = Store::builder(at("own")).file_system(disk).repair(at("link/new"));
    assert!(matches!(repaired, Err(Error::Backup { .. })), "{repaired:?}");
}

#[test]
fn copies_of_a_repair_were_put_into_a_backup() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    let own = store(&at("own"));
    own.backup(at("copies/own")).unwrap();
    own.backup(at("done")).unwrap();
    own.close().unwrap();
    std::fs::create_dir(at("cut-off")).unwrap();
    std::fs::write(at("cut-off/annals.backup.new"), "").unwrap();
    // Its partition is where copies of files of that name would lie.
    store(&at("other")).close().unwrap();
    std::fs::create_dir(at("beside")).unwrap();
    symlink(at("other/orders-0"), at("beside/orders-0")).unwrap();
    // So that there is something to take out.
    std::fs::write(at("own/annals.topics"), "damaged").unwrap();
    let log = at("own/orders-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[70] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let before = tree(dir.path());
    for (copies, refused) in
        [("done", "done"), ("cut-off", "cut-off"), ("copies", "copies/own"), ("beside", "beside/orders-0")]
    {
        match Store::builder(at("own")).repair(at(copies)) {
            Err(Error::Backup { path, .. }) => assert_eq!(path, at(refused)),
            other => panic!("{copies}: {other:?}"),
        }
        assert_eq!(tree(dir.path()), before, "{copies}");
    }
    // Copies of an earlier repair are in nobody's way, nor is a sound store that stands beside where they are to lie.
    let beside = Store::builder(at("other")).repair(dir.path());
    assert!(beside.unwrap().is_unchanged());
    assert!(!Store::builder(at("own")).repair(at("taken-out")).unwrap().is_unchanged());
    std::fs::write(at("own/annals.topics"), "damaged").unwrap();
    assert!(!Store::builder(at("own")).repair(at("taken-out")).unwrap().is_unchanged());
}

#[test]
fn a_log_that_a_link_led_to_was_adopted_from_a_store_that_was_open() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    for name in ["own", "other"] {
        store(&at(name)).close().unwrap();
        moved_by_a_link(&at(name), &at(&format!("far-{name}")));
    }
    symlink(at("other"), at("link")).unwrap();
    let (own, other) = (Store::open(at("own")).unwrap(), Store::open(at("other")).unwrap());
    for (source, why) in [
        ("other/orders-0", "which is open"),
        ("link/orders-0", "which is open"),
        ("link/../other/./orders-0", "which is open"),
        ("own/orders-0", "it lies in this store"),
        ("other/../own/orders-0", "it lies in this store"),
    ] {
        match own.adopt_topic("adopted", TopicConfig::new(), [at(source)]) {
            Err(Error::CannotAdopt { reason, .. }) => assert!(reason.contains(why), "{source}: {reason}"),
            other => panic!("{source}: {other:?}"),
        }
    }
    // Its own lock is what it was.
    assert!(matches!(Store::open(at("own")), Err(Error::StoreLocked { .. })));
    own.producer().send(Record::to("orders").value("one more")).unwrap();
    other.close().unwrap();
    let adopted = own.adopt_topic("adopted", TopicConfig::new(), [at("other/orders-0")]).unwrap();
    assert_eq!(adopted.topic.partition(0).unwrap().end(), 10);
    own.close().unwrap();
    assert!(Store::verify(at("own")).unwrap().is_sound());
    Store::open(at("other")).expect("it is let go of");
}

/// The machine's files, where a lock is that of a file, which a copy does not have.
#[derive(Debug)]
struct LockedByAFile(OsFileSystem);

impl FileSystem for LockedByAFile {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        self.0.open(path, mode)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.0.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir(dir)
    }
    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.remove_dir(dir)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }
    fn lock_dir(&self, dir: &Path) -> io::Result<DirectoryLock> {
        self.0.lock_dir(dir)
    }
    fn lock_dir_shared(&self, dir: &Path) -> io::Result<DirectoryLock> {
        std::fs::metadata(dir.join(".lock")).and_then(|_| self.0.lock_dir_shared(dir))
    }
}

#[test]
fn a_log_of_a_copy_that_has_no_lock_file_was_not_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    store(&at("other")).backup(at("copy")).unwrap();
    assert!(!at("copy/.lock").exists());
    let disk = Arc::new(LockedByAFile(OsFileSystem));
    let own = Store::builder(at("own")).file_system(disk.clone()).open().unwrap();
    let adopted = own.adopt_topic("adopted", TopicConfig::new(), [at("copy/orders-0")]).unwrap();
    assert_eq!(adopted.topic.partition(0).unwrap().end(), 10);
    // A directory above it that is called as a list of topics is none.
    std::fs::create_dir_all(at("above/annals.topics")).unwrap();
    std::fs::rename(at("copy/orders-0"), at("above/orders-0")).unwrap();
    own.adopt_topic("again", TopicConfig::new(), [at("above/orders-0")]).unwrap();
}

/// It was to have room for a copy, though none is made.
#[test]
fn a_log_that_is_linked_was_refused_where_there_is_no_room_for_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    store(&at("other")).close().unwrap();
    std::fs::rename(at("other/orders-0"), at("source")).unwrap();
    let disk = FaultyFileSystem::new();
    let own = Store::builder(at("own")).file_system(disk.clone()).maintain_by_hand().open().unwrap();
    disk.fail(&[Call::AvailableSpace], "own", (0, Times::ForEver), Fault::Short(500));
    let adopt = |source| own.adopt_topic("adopted", TopicConfig::new(), [source]);
    let copied = adopt(LogSource::new(at("source")));
    assert!(copied.is_err_and(|error| error.is_disk_full()));
    let linked = adopt(LogSource::new(at("source")).hard_linked()).unwrap();
    assert_eq!((linked.partitions[0].end, linked.partitions[0].copied_bytes), (10, 0));
}
