//! A mirror: its topics, checked, and a worker for each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use annals::{Store, Topic, TopicPartition};

use crate::alike::{Description, collision, differences, differences_of_map, shorter};
use crate::cluster::Cluster;
use crate::error::{Error, Result};
use crate::figures::{Board, Figures};
use crate::inbound::Inbound;
use crate::outbound::Outbound;
use crate::settings::Settings;
use crate::source::Source;

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long the first calls to a cluster are tried at most: one that never answers may be no cluster.
const BEGINNING: Duration = Duration::from_secs(120);

/// A mirror of topics between a store and a cluster. What it promises is in `docs/mirror.md`.
///
/// ```no_run
/// # use annals::Store;
/// # use annals_mirror::{Mirror, Settings};
/// # use std::sync::atomic::AtomicBool;
/// let store = Store::open("shop-log")?;
/// let mirror = Mirror::into_store(Settings::new("127.0.0.1:9092").topic("orders").once(), &store)?;
/// let stop = AtomicBool::new(false);
/// mirror.run(&stop)?;
/// println!("{:?}", store.topic("orders")?.stats()?.records());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Mirror {
    settings: Settings,
    board: Arc<Board>,
    way: Way,
}

enum Way {
    Out(Outbound),
    In(Inbound),
}

/// What a worker needs besides its topic.
pub(crate) struct Context<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) board: &'a Board,
    stop: &'a AtomicBool,
}

impl Context<'_> {
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Mirror {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mirror").field("topics", &self.settings.topics).finish_non_exhaustive()
    }
}

impl Mirror {
    /// Makes a mirror from a store to a cluster. Checks the topics of both sides, and creates those that are missing in the cluster.
    ///
    /// # Errors
    /// [`Differences`](Error::Differences), [`Settings`](Error::Settings), [`Cluster`](Error::Cluster), [`Store`](Error::Store).
    pub fn out(settings: Settings, source: impl Into<Source>) -> Result<Self> {
        let source = source.into();
        patiently(&settings, || Self::begin_out(settings.clone(), source.clone()))
    }

    fn begin_out(settings: Settings, source: Source) -> Result<Self> {
        check(&settings)?;
        let cluster = Cluster::connect(&settings)?;
        let (mut topics, mut found, mut missing) = (BTreeMap::new(), Vec::new(), Vec::new());
        let map = Outbound::name(&source);
        let there = cluster.describe(&with(&settings.topics, &map))?;
        found.extend(there.get(&map).into_iter().flat_map(|there| differences_of_map(&map, there)));
        for name in &settings.topics {
            let topic = source.topic(name)?;
            let ours = Description::of_ours(topic.partitions, &topic.config);
            match there.get(name) {
                Some(theirs) => found.extend(unlike(&settings, name, (&ours, theirs))),
                None if settings.creates => missing.push(name),
                None => found.push(format!("{name}: the cluster has no such topic")),
            }
            topics.insert(name.clone(), (topic, ours));
        }
        let names = if missing.is_empty() { BTreeSet::new() } else { cluster.names()? };
        for name in missing {
            let others = names.iter().chain(&settings.topics).map(String::as_str);
            found.extend(collision(name, others).map(|other| {
                format!(
                    "{name}: the cluster cannot have it beside {other}, because Kafka takes a dot and an underscore in a name for the same; mirror one of them from a topic of another name"
                )
            }));
        }
        if !found.is_empty() {
            return Err(Error::Differences(found));
        }
        for (name, (topic, ours)) in topics.iter().filter(|(name, _)| !there.contains_key(*name)) {
            cluster.create(name, topic.partitions, &ours.for_cluster())?;
        }
        let topics = topics.into_iter().map(|(name, (topic, _))| (name, topic)).collect();
        let way = Way::Out(Outbound::new(cluster, source, topics)?);
        Ok(Self { settings, board: Arc::default(), way })
    }

    /// Makes a mirror from a cluster into a store. Checks the topics of both sides, and creates those that are missing in the store.
    ///
    /// # Errors
    /// [`Differences`](Error::Differences), [`Settings`](Error::Settings), [`Cluster`](Error::Cluster), [`Store`](Error::Store).
    pub fn into_store(settings: Settings, store: &Store) -> Result<Self> {
        patiently(&settings, || Self::begin_into(settings.clone(), store))
    }

    fn begin_into(settings: Settings, store: &Store) -> Result<Self> {
        check(&settings)?;
        let cluster = Cluster::connect(&settings)?;
        let theirs = cluster.describe(&settings.topics)?;
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        found.extend(Inbound::circles(&cluster, store, &theirs)?);
        for name in &settings.topics {
            let Some(theirs) = theirs.get(name) else {
                found.push(format!("{name}: the cluster has no such topic"));
                continue;
            };
            match store.topic(name) {
                Ok(ours) => found.extend(unlike(&settings, name, (theirs, &of_topic(&ours)))),
                Err(annals::Error::UnknownTopic { .. }) if settings.creates => missing.push((name, theirs)),
                Err(error @ annals::Error::UnknownTopic { .. }) => found.push(format!("{name}: {error}")),
                Err(error) => return Err(error.into()),
            }
        }
        if !found.is_empty() {
            return Err(Error::Differences(found));
        }
        for (name, theirs) in missing {
            found.extend(create(store, name, theirs)?);
        }
        if !found.is_empty() {
            return Err(Error::Differences(found));
        }
        let way = Way::In(Inbound::new(cluster, store)?);
        Ok(Self { settings, board: Arc::default(), way })
    }

    /// Mirrors until everything is done that was there at the start, if the settings say once, or until `stop` is set.
    ///
    /// # Errors
    /// The first error that ended the work on a topic; the others were mirrored all the same.
    pub fn run(&self, stop: &AtomicBool) -> Result<Figures> {
        let context = Context { settings: &self.settings, board: &self.board, stop };
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let topics = self.settings.topics.iter();
            let context = &context;
            let worker = |topic| {
                move || {
                    let _panics = Panics { board: &self.board, topic };
                    self.work(topic, context)
                }
            };
            let workers: Vec<_> = topics.map(|topic| scope.spawn(worker(topic))).collect();
            workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect()
        });
        for outcome in outcomes {
            match outcome {
                Ok(outcome) => outcome?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(self.figures())
    }

    /// Returns its figures, from any thread.
    pub fn figures(&self) -> Figures {
        self.board.now()
    }

    /// Sessions on one topic, until one ends it.
    fn work(&self, topic: &str, context: &Context<'_>) -> Result<()> {
        let patience = self.settings.effective_patience();
        let (mut last_step, mut steps, mut pause) = (Instant::now(), 0, SHORTEST_PAUSE);
        loop {
            context.board.note(topic, |figures| figures.failure = None);
            let outcome = match &self.way {
                Way::Out(outbound) => outbound.session(topic, context),
                Way::In(inbound) => inbound.session(topic, context),
            };
            let Err(error) = outcome else { return Ok(()) };
            context.board.note(topic, |figures| figures.failure = Some(error.to_string()));
            if context.is_stopped() {
                return Ok(());
            }
            if !error.is_retriable() {
                return Err(error);
            }
            let now = self.board.now().topics.get(topic).map_or(0, |figures| figures.steps);
            if now > steps {
                (last_step, steps, pause) = (Instant::now(), now, SHORTEST_PAUSE);
            }
            if last_step.elapsed() > patience {
                return Err(Error::GaveUp { seconds: patience.as_secs(), last: Box::new(error) });
            }
            context.board.note(topic, |figures| figures.restarts += 1);
            let until = Instant::now() + pause;
            while Instant::now() < until && !context.is_stopped() {
                std::thread::sleep(Duration::from_millis(50));
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Tells of a worker that panics: the others go on, and its panic goes on when they have ended.
struct Panics<'a> {
    board: &'a Board,
    topic: &'a str,
}

impl Drop for Panics<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.board.note(self.topic, |figures| figures.failure = Some("its worker panicked".to_owned()));
        }
    }
}

fn of_topic(topic: &Topic) -> Description {
    Description::of_ours(topic.partition_count(), &topic.config())
}

/// In what the target of a topic does not fit the source, as far as that is not allowed.
fn unlike(settings: &Settings, name: &str, (source, target): (&Description, &Description)) -> Vec<String> {
    let mut found = differences(name, source, target);
    if !settings.keeps_less {
        found.extend(shorter(name, source, target));
    }
    found
}

/// Creates a topic of the store that was missing; in what it does not fit, where another was faster.
fn create(store: &Store, name: &str, theirs: &Description) -> Result<Vec<String>> {
    match store.create_topic(name, theirs.for_store()) {
        Ok(_) => Ok(Vec::new()),
        Err(annals::Error::TopicExists { .. }) => {
            Ok(differences(name, theirs, &of_topic(&store.topic(name)?)))
        }
        Err(error) => Err(error.into()),
    }
}

fn with(names: &BTreeSet<String>, one: &str) -> BTreeSet<String> {
    names.iter().cloned().chain([one.to_owned()]).collect()
}

/// Tries again what may pass.
fn patiently<T>(settings: &Settings, begin: impl Fn() -> Result<T>) -> Result<T> {
    let patience = settings.effective_patience().min(BEGINNING);
    let began = Instant::now();
    loop {
        match begin() {
            Err(last) if last.is_retriable() => {
                if began.elapsed() > patience {
                    return Err(Error::GaveUp { seconds: patience.as_secs(), last: Box::new(last) });
                }
                std::thread::sleep(SHORTEST_PAUSE * 5);
            }
            other => return other,
        }
    }
}

fn check(settings: &Settings) -> Result<()> {
    if settings.topics.is_empty() {
        return Err(Error::Settings("name the topics that are to be mirrored".to_owned()));
    }
    if let Some(own) =
        settings.topics.iter().find(|topic| topic.starts_with("__") || *topic == crate::inbound::MAP)
    {
        return Err(Error::Settings(format!(
            "{own:?} is a topic that a store or a cluster keeps for itself"
        )));
    }
    Ok(())
}

/// All partitions of a topic.
pub(crate) fn places(topic: &str, partitions: u32) -> Vec<TopicPartition> {
    (0..partitions).map(|number| TopicPartition::new(topic, number)).collect()
}

#[cfg(test)]
mod tests {
    use annals::TopicConfig;

    use super::*;

    #[test]
    fn a_worker_that_panics_is_told_while_others_go_on() {
        let board = Board::default();
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let _panics = Panics { board: &board, topic: "orders" };
                panic!("as planned");
            });
            assert!(worker.join().is_err());
        });
        assert_eq!(board.now().topics["orders"].failure.as_deref(), Some("its worker panicked"));
        drop(Panics { board: &board, topic: "prices" });
        assert!(!board.now().topics.contains_key("prices"));
    }

    #[test]
    fn a_topic_that_another_has_made_first_is_compared() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let mut theirs = of_topic(&store.create_topic("theirs", TopicConfig::new().partitions(2)).unwrap());
        theirs.given.insert("retention.ms".to_owned(), "1000".to_owned());
        assert_eq!(create(&store, "orders", &theirs).unwrap(), [""; 0]);
        assert_eq!(store.topic("orders").unwrap().config().get("retention.ms"), "1000");
        // Settings that are not compared may differ by now; the number of partitions may not.
        theirs.given.insert("retention.ms".to_owned(), "2000".to_owned());
        assert_eq!(create(&store, "orders", &theirs).unwrap(), [""; 0]);
        theirs.partitions = 3;
        assert_eq!(create(&store, "orders", &theirs).unwrap().len(), 1);
    }
}
