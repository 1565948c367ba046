//! Two mirrors of one topic, and one that is stopped before it has begun.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use annals::{Record, Store, TopicConfig};
use annals_mirror::{Error, Mirror, Settings};

use crate::broker::{Broker, mirror};
use crate::content::assert_equal;

/// Ends the writer, also where the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_second_mirror_of_a_topic_fences_the_first_in_the_middle_of_its_steps() {
    let Some(broker) = Broker::start() else { return };
    let store = Store::open(broker.dir.path().join("here")).unwrap();
    store.create_topic("orders", TopicConfig::new().partitions(2)).unwrap();
    let settings = || Settings::new(&broker.servers()).topic("orders").step_records(500);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = Over(&is_over);
        let _writer = scope.spawn(|| {
            let producer = store.producer();
            let value = vec![b'v'; 100];
            while !is_over.load(Ordering::Relaxed) {
                (0..20).for_each(|_| _ = producer.send(Record::to("orders").value(&value)).unwrap());
                sleep(Duration::from_millis(1));
            }
        });
        let mut mirrors = vec![Mirror::out(settings(), &store).unwrap()];
        for round in 0..8 {
            mirrors.push(Mirror::out(settings(), &store).unwrap());
            let [first, second] = &mirrors[round..] else { panic!("two") };
            let stop = AtomicBool::new(false);
            let outcomes = std::thread::scope(|scope| {
                let one = scope.spawn(|| first.run(&stop));
                let steps =
                    |mirror: &Mirror| mirror.figures().topics.get("orders").map_or(0, |one| one.steps);
                while steps(first) < 3 {
                    sleep(Duration::from_millis(10));
                }
                let other = scope.spawn(|| second.run(&stop));
                let began = Instant::now();
                while !one.is_finished() && began.elapsed() < Duration::from_secs(20) {
                    sleep(Duration::from_millis(10));
                }
                sleep(Duration::from_millis(500));
                stop.store(true, Ordering::Relaxed);
                (one.join().unwrap(), other.join().unwrap())
            });
            assert!(matches!(outcomes.0, Err(Error::Fenced { .. })), "round {round}: {outcomes:?}");
            assert!(outcomes.1.is_ok(), "round {round}: {outcomes:?}");
        }
        drop(over);
    });
    Mirror::out(settings().once(), &store).unwrap().run(&AtomicBool::new(false)).unwrap();
    assert_equal(&store, &broker.servers(), "orders", 2);
}

#[test]
fn a_mirror_whose_cluster_does_not_answer_says_so_and_ends_when_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path()).unwrap().close().unwrap();
    for way in ["out", "in"] {
        let mut command = mirror(way, dir.path(), "127.0.0.1:1", &["--topic", "orders"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        sleep(Duration::from_secs(4));
        let began = Instant::now();
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(began.elapsed() < Duration::from_secs(2), "{way}: {:?}, {said}", began.elapsed());
        assert_eq!(output.status.code(), Some(130), "{way}: {said}");
        assert!(said.contains("127.0.0.1:1 has not answered for"), "{way}: {said}");
        assert!(said.contains("stopped before 127.0.0.1:1 answered"), "{way}: {said}");
        Store::open(dir.path()).unwrap().close().unwrap();
    }
}
