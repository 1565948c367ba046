use super::*;
use crate::doubles::{Call, Fault, FaultyFileSystem, Gate, Times};
use crate::io::OsFileSystem;

#[test]
fn a_write_that_a_sync_overtook_leaves_the_file_dirty() {
    let dir = tempfile::tempdir().unwrap();
    let pool = FilePool::new(Arc::new(OsFileSystem), 1);
    let file = pool.open(&dir.path().join("a"), OpenMode::CreateNew).unwrap();
    file.sync().unwrap();
    assert!(!file.dirty.load(Ordering::SeqCst));
    file.with(Effect::Writes, |handle| {
        file.sync()?;
        handle.write_at(b"late", 0).map(drop).map_err(|e| Error::io(file.path(), "write", e))
    })
    .unwrap();
    assert!(file.dirty.load(Ordering::SeqCst));
    // Another file takes the only descriptor, after a sync; the first takes it back and reads what it wrote.
    let other = pool.open(&dir.path().join("b"), OpenMode::CreateNew).unwrap();
    assert!(file.state.read().handle.is_none() && !file.dirty.load(Ordering::SeqCst));
    let read = file.with(Effect::Reads, |handle| Ok(handle.len().unwrap()));
    assert_eq!(read.unwrap(), 4);
    assert!(other.state.read().handle.is_none());
}

#[test]
fn a_file_of_hints_gives_its_descriptor_back_without_a_sync() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hints");
    drop(OsFileSystem.open(&path, OpenMode::CreateNew).unwrap());
    let pool = FilePool::new(Arc::new(OsFileSystem), 2);
    assert!(!pool.is_crowded());
    let hints = pool.open_for_hints(&path).unwrap();
    assert!(pool.is_crowded());
    let write = |handle: &dyn FileHandle| Ok(handle.write_at(b"new", 0).unwrap());
    assert_eq!(hints.with(Effect::Writes, write).unwrap(), 3);
    assert!(!hints.dirty.load(Ordering::SeqCst), "it would be synced before its descriptor is closed");
}

#[test]
fn files_in_use_are_spared_for_so_long_only() {
    let dir = tempfile::tempdir().unwrap();
    let pool = FilePool::new(Arc::new(OsFileSystem), 3 * MOST_SPARED);
    let open = |number: usize| pool.open(&dir.path().join(number.to_string()), OpenMode::CreateNew).unwrap();
    let files: Vec<_> = (0..3 * MOST_SPARED).map(open).collect();
    let _one_more = open(3 * MOST_SPARED);
    let closed = |file: &&Arc<PooledFile>| file.state.read().handle.is_none();
    assert_eq!(files.iter().filter(closed).count(), 1);
    // Those that were looked at stand at the end now, and are not known to be used any more.
    assert_eq!(files.iter().position(|file| closed(&file)), Some(MOST_SPARED));
}

/// A file whose descriptor somebody else takes back while it is synced: what was written is on the disk then.
#[test]
fn a_sync_beside_the_return_of_the_descriptor_does_not_need_another_one() {
    const OUT_OF_DESCRIPTORS: Fault = Fault::Error(24);
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    for number in 0..50 {
        let fs = FaultyFileSystem::new();
        let pool = FilePool::new(Arc::clone(&fs) as _, 8);
        let file = pool.open(&dir.path().join(number.to_string()), OpenMode::CreateNew).unwrap();
        fs.fail(&[Call::Open], "", (0, Times::ForEver), OUT_OF_DESCRIPTORS);
        let [syncs, is_over] = [false, false].map(AtomicBool::new);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !syncs.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
                // Between two of its steps.
                while !file.give_back() {}
                is_over.store(true, Ordering::Release);
            });
            while !is_over.load(Ordering::Acquire) {
                (0..20).for_each(|_| file.sync().unwrap());
                syncs.store(true, Ordering::Release);
                std::thread::yield_now();
            }
        });
        file.sync().unwrap();
    }
}

#[test]
fn a_sync_of_one_file_that_panics_is_nothing_to_who_needs_its_descriptor_for_another() {
    let dir = tempfile::tempdir().unwrap();
    let fs = FaultyFileSystem::new();
    let pool = FilePool::new(Arc::clone(&fs) as _, 1);
    let one = pool.open(&dir.path().join("one"), OpenMode::CreateNew).unwrap();
    fs.fail(&[Call::Sync], "one", (0, Times::Once), Fault::Panic);
    let another = pool.open(&dir.path().join("another"), OpenMode::CreateNew).unwrap();
    another.sync().unwrap();
    assert!(one.has_failed());
    assert!(one.sync().is_err() && one.with(Effect::Reads, |_| Ok(())).is_err());
}

/// Somebody takes a descriptor back, for which a file has to be synced, on a slow disk. Nobody else waits for that.
#[test]
fn a_sync_of_one_file_that_gives_its_descriptor_back_held_up_who_opens_another() {
    let dir = tempfile::tempdir().unwrap();
    let fs = FaultyFileSystem::new();
    let pool = FilePool::new(Arc::clone(&fs) as _, 2);
    let open = |name: &str| pool.open(&dir.path().join(name), OpenMode::CreateNew).unwrap();
    let gate = Arc::new(Gate::default());
    fs.fail(&[Call::Sync], "slow", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
    let slow = open("slow");
    let quick = open("quick");
    slow.used.store(false, Ordering::Release);
    std::thread::scope(|scope| {
        let takes_it = scope.spawn(|| open("takes it"));
        gate.await_arrival();
        let (done, is_done) = std::sync::mpsc::channel();
        scope.spawn(move || {
            drop((open("another"), quick.with(Effect::Reads, |handle| Ok(handle.len().unwrap()))));
            done.send(()).unwrap();
        });
        let went_on = is_done.recv_timeout(std::time::Duration::from_secs(10)).is_ok();
        gate.open();
        takes_it.join().unwrap();
        assert!(went_on, "it waited for the sync of a file that is nothing to it");
    });
    assert!(slow.state.read().handle.is_none() && !slow.has_failed());
}

/// As those of segments are, when others follow them.
#[test]
fn files_that_were_dropped_counted_as_open_and_had_others_give_their_descriptors_back() {
    let dir = tempfile::tempdir().unwrap();
    let pool = FilePool::new(Arc::new(OsFileSystem), 8);
    let open = |number: usize| pool.open(&dir.path().join(number.to_string()), OpenMode::CreateNew).unwrap();
    let kept = open(0);
    (1..100).for_each(|number| drop(open(number)));
    assert!(!pool.is_crowded());
    assert!(kept.state.read().handle.is_some(), "it gave its own back, and nobody needed it");
    assert!(pool.open.lock().len() <= 2 * FEW, "what is gone is not kept");
    // What gave its descriptor back, and is dropped then, had none.
    kept.used.store(false, Ordering::Release);
    pool.close_idle(1);
    assert!(kept.state.read().handle.is_none());
    drop(kept);
    assert_eq!(pool.held.load(Ordering::Acquire), 0);
}
