//! The same work under tokio, smol, and threads that block.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annals::{Consumer, Durability, Error, Record, Records, Store, TopicConfig};
use futures_core::Stream;

use super::{block_on, offsets};

const WORKERS: usize = 4;
const RECORDS: u32 = 2_000;

type Seen = Arc<Mutex<BTreeSet<(u32, i64)>>>;

fn store(path: &std::path::Path) -> Store {
    let store = Store::open(path).unwrap();
    store.create_topic("orders", TopicConfig::new().partitions(WORKERS as u32)).unwrap();
    store
}

fn workers(store: &Store) -> Vec<Consumer> {
    let worker = |_| {
        let mut worker = store.consumer("billing").unwrap();
        worker.subscribe(["orders"]).unwrap();
        worker
    };
    (0..WORKERS).map(worker).collect()
}

async fn work(mut worker: Consumer, seen: Seen) {
    loop {
        let records = match worker.next().await {
            Ok(records) => records,
            Err(Error::StoreClosed { .. }) => return,
            Err(error) => panic!("{error}"),
        };
        for one in offsets(&records) {
            assert!(seen.lock().unwrap().insert(one), "{one:?} came twice");
        }
        match worker.commit_async().await {
            Ok(()) | Err(Error::StoreClosed { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Each at `Disk`, and none on a thread of its own.
async fn produce(store: Store, first: u32) {
    let producer = store.producer();
    for number in (first..RECORDS).step_by(WORKERS) {
        let sent = producer.send(Record::to("orders").partition(number % WORKERS as u32).value("x")).unwrap();
        if number % 16 == first {
            let partition = store.topic("orders").unwrap().partition(sent.partition).unwrap();
            partition.durable_through(sent.offset).await.unwrap();
        }
    }
}

fn is_done(seen: &Seen) -> bool {
    seen.lock().unwrap().len() == RECORDS as usize
}

#[test]
fn under_tokio() {
    let dir = tempfile::tempdir().unwrap();
    let (store, seen) = (store(dir.path()), Seen::default());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let workers: Vec<_> =
            workers(&store).into_iter().map(|one| tokio::spawn(work(one, Arc::clone(&seen)))).collect();
        let producers: Vec<_> =
            (0..WORKERS as u32).map(|first| tokio::spawn(produce(store.clone(), first))).collect();
        for producer in producers {
            producer.await.unwrap();
        }
        while !is_done(&seen) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        store.close().unwrap();
        for worker in workers {
            worker.await.unwrap();
        }
    });
}

#[test]
fn under_tokio_beside_a_timer_that_wins() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let mut consumer = store.consumer_builder().build().unwrap();
    consumer.assign([("orders", 0)]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let (mut read, mut timeouts) = (0, 0);
        while read < 20 {
            tokio::select! {
                records = consumer.next() => read += records.unwrap().len(),
                () = tokio::time::sleep(Duration::from_micros(200)) => {
                    timeouts += 1;
                    if timeouts % 3 == 0 {
                        store.producer().send(Record::to("orders").partition(0).value("x")).unwrap();
                    }
                }
            }
        }
        assert_eq!(read, 20);
    });
}

#[test]
fn under_smol() {
    let dir = tempfile::tempdir().unwrap();
    let (store, seen) = (store(dir.path()), Seen::default());
    smol::block_on(async {
        let workers: Vec<_> =
            workers(&store).into_iter().map(|one| smol::spawn(work(one, Arc::clone(&seen)))).collect();
        let producers: Vec<_> =
            (0..WORKERS as u32).map(|first| smol::spawn(produce(store.clone(), first))).collect();
        for producer in producers {
            producer.await;
        }
        while !is_done(&seen) {
            smol::Timer::after(Duration::from_millis(1)).await;
        }
        store.close().unwrap();
        for worker in workers {
            worker.await;
        }
    });
}

#[test]
fn without_a_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let (store, seen) = (store(dir.path()), Seen::default());
    std::thread::scope(|scope| {
        for worker in workers(&store) {
            let seen = Arc::clone(&seen);
            scope.spawn(|| block_on(work(worker, seen)));
        }
        for first in 0..WORKERS as u32 {
            let store = store.clone();
            scope.spawn(move || block_on(produce(store, first)));
        }
        while !is_done(&seen) {
            std::thread::sleep(Duration::from_millis(1));
        }
        store.close().unwrap();
    });
}

async fn next<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

#[test]
fn streams_hand_out_everything_and_end() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path());
    let orders = store.topic("orders").unwrap().partition(0).unwrap();
    for _ in 0..10 {
        orders.append(&[Record::new().value("x")], Durability::Os).unwrap();
    }
    let mut consumer = store.consumer("billing").unwrap();
    consumer.subscribe(["orders"]).unwrap();
    let mut stream = consumer.into_stream();
    let mut range = orders.read(2..9).unwrap().into_stream();
    let of_range = block_on(async {
        let mut read = Vec::new();
        while let Some(records) = next(&mut range).await {
            read.extend(offsets(&records.unwrap()));
        }
        assert!(next(&mut range).await.is_none());
        read
    });
    assert_eq!(of_range, (2..9).map(|offset| (0, offset)).collect::<Vec<_>>());
    assert_eq!(range.into_inner().position(), 9);
    let first: Records = block_on(next(&mut stream)).unwrap().unwrap();
    assert_eq!(first.len(), 10);
    stream.consumer().commit().unwrap();
    assert_eq!(store.committed("billing").len(), WORKERS);
    store.close().unwrap();
    assert!(matches!(block_on(next(&mut stream)), Some(Err(Error::StoreClosed { .. }))));
    assert!(block_on(next(&mut stream)).is_none());
    drop(stream.into_inner());
}
