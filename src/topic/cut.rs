//! A cut through all partitions of a store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::{Catalog, CatalogTopic};
use crate::io::Directory;
use crate::log::{CutPoint, HeldLog, Log, Plan};
use crate::topic::catalog_file::{CATALOG_FILE, CatalogFile};
use crate::topic::topics::Topics;

/// How often a cut is made again whose records could not be written.
const ATTEMPTS: usize = 3;

/// Which topics are not to be in it.
pub(crate) type TopicsToCut = BTreeSet<String>;

/// Topic id and number: the order in which partitions are locked.
type Place = (u128, u32);

type Held = BTreeMap<Place, HeldLog>;

/// What a cut goes through, and where.
struct Through {
    catalog: Catalog,
    points: Vec<CutPoint>,
    stopped: Duration,
}

/// The store as it was at one moment. Its files are held until this is dropped.
#[derive(Debug)]
pub(crate) struct StoreCut {
    /// The topics that are in it.
    pub(crate) catalog: Catalog,
    /// Its partitions, and what of their files is in it.
    pub(crate) partitions: Vec<(HeldLog, Plan)>,
    /// How long appends were stopped.
    pub(crate) stopped: Duration,
    /// Topics that were deleted since.
    pub(crate) deleted: BTreeSet<String>,
}

impl StoreCut {
    /// The list of topics of a copy, durably: with it the copy is a store.
    pub(crate) fn list_topics(catalog: Catalog, root: &Directory) -> Result<()> {
        CatalogFile::create(root, catalog).map(drop)
    }

    /// Takes that list away, durably: what is left is no store.
    pub(crate) fn unlist_topics(root: &Directory) -> Result<()> {
        root.remove_if_there(CATALOG_FILE)?;
        root.sync()
    }

    /// Whether a directory has a list of topics.
    pub(crate) fn is_listed(root: &Directory) -> Result<bool> {
        root.has(CATALOG_FILE)
    }

    /// The list of topics of a directory, if it has one.
    pub(crate) fn listed_topics(root: &Directory) -> Result<Option<Catalog>> {
        Ok(CatalogFile::read(root)?.map(|file| file.catalog().clone()))
    }
}

impl Topics {
    /// Where they are.
    pub(crate) fn root(&self) -> &Directory {
        &self.root
    }

    /// The most that a batch of them may expand to when it is read.
    pub(crate) fn max_expanded_bytes(&self) -> usize {
        self.context.options.max_expanded_bytes
    }

    /// Cuts through all topics but those of `left_out`.
    pub(crate) fn cut(&self, left_out: &TopicsToCut) -> Result<StoreCut> {
        let mut held = BTreeMap::new();
        for _ in 0..ATTEMPTS {
            let Through { catalog, points, stopped } = self.cut_through(&mut held, left_out)?;
            let mut cut = StoreCut { catalog, partitions: Vec::new(), stopped, deleted: BTreeSet::new() };
            if cut.plan(&mut held, &points)? {
                return Ok(cut);
            }
            // Held again, with the table of now.
            held.clear();
        }
        let why = "records that were accepted could not be written while the cut was made: see to the disk, then try again";
        Err(Error::backup(self.root.path(), why))
    }

    /// Holds what is not held yet, and cuts through all of it.
    fn cut_through(&self, held: &mut Held, left_out: &TopicsToCut) -> Result<Through> {
        loop {
            self.hold_each(held, left_out)?;
            // From here on no topic comes or goes, up to the cut.
            let file = self.catalog.lock();
            file.check()?;
            self.check_open()?;
            let mut catalog = file.catalog().clone();
            catalog.topics.retain(|name, _| !left_out.contains(name));
            catalog.deleted.clear();
            let is_in = |name: &str| catalog.topics.contains_key(name);
            if let Some((_, error)) = self.broken.read().iter().find(|(name, _)| is_in(name)) {
                return Err(error.clone());
            }
            let places = |topic: &CatalogTopic| {
                let id = topic.id;
                (0..topic.partitions).map(move |number| (id, number))
            };
            let listed: BTreeSet<Place> = catalog.topics.values().flat_map(places).collect();
            if listed.iter().eq(held.keys()) {
                let logs: Vec<_> = held.values().collect();
                let cut = Log::cut_through(&logs);
                return Ok(Through { catalog, points: cut.points, stopped: cut.stopped });
            }
            drop(file);
            held.retain(|place, _| listed.contains(place));
        }
    }

    fn hold_each(&self, held: &mut Held, left_out: &TopicsToCut) -> Result<()> {
        let topics = self.all();
        let topics = topics.iter().filter(|topic| !left_out.contains(topic.name()));
        for partition in topics.flat_map(|topic| topic.partitions()) {
            let place = (partition.topic_id(), partition.number());
            if held.contains_key(&place) {
                continue;
            }
            match partition.log().hold_for_copy() {
                Ok(log) => _ = held.insert(place, log),
                // Deleted since the list was made.
                Err(Error::UnknownTopic { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl StoreCut {
    /// Takes over what is held, and says what of it is below the cut. False if some of that could not be written.
    fn plan(&mut self, held: &mut Held, points: &[CutPoint]) -> Result<bool> {
        for (log, point) in std::mem::take(held).into_values().zip(points) {
            match log.plan(*point) {
                Ok(Some(plan)) => self.partitions.push((log, plan)),
                Ok(None) => return Ok(false),
                Err(Error::UnknownTopic { .. }) => self.forget(log.topic_partition().topic()),
                Err(error) => return Err(error),
            }
        }
        let catalog = &self.catalog;
        self.partitions.retain(|(log, _)| catalog.topics.contains_key(log.topic_partition().topic()));
        Ok(true)
    }

    /// The topic was deleted since the cut: it is as if that had been before.
    pub(crate) fn forget(&mut self, topic: &str) {
        self.catalog.topics.remove(topic);
        self.deleted.insert(topic.to_owned());
    }
}
