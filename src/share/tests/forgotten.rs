//! What is forgotten with a topic.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::doubles::MemoryFileSystem;
use crate::io::{Clock, Directory, ManualClock};
use crate::locks::Ordering;
use crate::share::id_log::IdLog;
use crate::share::ids::Window;
use crate::topic::{TopicConfig, TopicContext, Topics};
use crate::upkeep::Agenda;

/// How often it is asked which topics there are when one of so many is deleted, all of which have ids.
fn questions(count: usize) -> u64 {
    let root = Directory::new(Arc::new(MemoryFileSystem::new()), Path::new("/store"));
    root.ensure().unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_000_000));
    let agenda = Arc::new(Agenda::new(Duration::MAX, Duration::MAX));
    let topics = Arc::new(Topics::open(root, TopicContext::of_tests(&clock, &agenda)).unwrap());
    let ids = IdLog::new(Arc::clone(&topics));
    let window = Window { time: Duration::from_secs(60), most: 10 };
    for number in 0..count {
        let topic = topics.create(&format!("t{number}"), &TopicConfig::new()).unwrap();
        ids.open(&topic, (window, clock.now())).unwrap();
    }
    topics.delete("t0").unwrap();
    let before = topics.questions.load(Ordering::Relaxed);
    assert_eq!(ids.rings(), count);
    ids.forget_deleted();
    assert_eq!(ids.rings(), count - 1);
    topics.questions.load(Ordering::Relaxed) - before
}

/// Each question goes through all topics.
#[test]
fn a_deletion_asks_no_oftener_for_topics_where_more_of_them_have_ids() {
    assert_eq!([4, 40].map(questions), [1, 1]);
}
