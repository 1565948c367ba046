//! What becomes of the source while a mirror out goes on.

use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::Duration;

use annals::{Durability, Error as StoreError, Record, Store, TopicConfig};
use annals_mirror::{Error, Mirror, Settings};

use crate::broker::Broker;

fn append(store: &Store, count: usize) {
    let value = vec![b'v'; 1000];
    let records = vec![Record::new().value(&value); 1000];
    let partition = store.topic("orders").unwrap().partition(0).unwrap();
    for _ in 0..count / 1000 {
        partition.append(&records, Durability::Os).unwrap();
    }
    partition.flush().unwrap();
}

#[test]
fn what_is_deleted_or_made_again_meanwhile() {
    let Some(broker) = Broker::start() else { return };
    let stop = AtomicBool::new(false);
    let settings = Settings::new(&broker.servers()).topic("orders").once();
    let store = Store::open(broker.dir.path().join("here")).unwrap();
    let config = || TopicConfig::new().segment_bytes(1 << 20);
    let topic = store.create_topic("orders", config()).unwrap();
    append(&store, 100_000);

    // Retention overtakes the mirror, which is to go on behind it.
    let mirror = Mirror::out(settings.clone().skip_deleted().step_records(100), &store).unwrap();
    let figures = std::thread::scope(|scope| {
        let running = scope.spawn(|| mirror.run(&stop));
        while mirror.figures().topics.get("orders").is_none_or(|figures| figures.steps == 0) {
            sleep(Duration::from_millis(1));
        }
        match topic.partition(0).unwrap().delete_records(99_000) {
            Ok(_) | Err(StoreError::Held { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        running.join().unwrap().unwrap()
    });
    assert!((1000..100_000).contains(&figures.records()), "nothing was skipped: {figures:?}");
    assert_eq!(figures.lag(), 0);

    // A topic that is another one when the next session begins.
    let mirror = Mirror::out(settings, &store).unwrap();
    store.delete_topic("orders").unwrap();
    store.create_topic("orders", config()).unwrap();
    append(&store, 110_000);
    let outcome = mirror.run(&stop);
    assert!(matches!(outcome, Err(Error::Diverged { .. })), "{outcome:?}");
}
