//! Setting a whole store right: the list of topics first, then each partition by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{
    Catalog, CatalogTopic, Identity, MOST_PARTITIONS, check_topic_name, parse_partition_dir_name,
};
use crate::io::{Directory, EntryKind, random_id};
use crate::log::{Copies, Damage, Log, Repair, RepairReport};
use crate::topic::catalog_file::{CATALOG_FILE, CatalogFile};
use crate::topic::internal::InternalTopic;
use crate::topic::settings::Settings;
use crate::topic::topics::{TopicContext, new_catalog};

/// Repairs the store in `root`. What goes is copied into `copies` first.
pub(crate) fn repair(root: &Directory, context: &TopicContext, copies: Directory) -> Result<RepairReport> {
    let mut report = RepairReport::default();
    if !root.exists()? {
        return Err(Error::invalid(format!("{} is no directory", root.path().display())));
    }
    if CatalogFile::read(root).is_ok_and(|catalog| catalog.is_none())
        && !partitions_in(root)?.iter().any(|found| found.identity.is_some() || found.had_records)
    {
        let why = "is no store: it has neither a list of topics nor a partition";
        return Err(Error::invalid(format!("{} {why}", root.path().display())));
    }
    let copies = Copies::open(copies)?;
    let catalog = match repair_catalog(root, &copies, &mut report)? {
        Some(catalog) => catalog,
        None => return Ok(report),
    };
    for (name, topic) in &catalog.topics {
        let settings = Settings::stored(topic)?;
        for partition in 0..topic.partitions {
            let identity = Identity { store: catalog.store, topic: topic.id, partition };
            let log_context = context.of_partition(root, name.as_str(), identity);
            report.partitions += 1;
            Log::repair(log_context, Arc::clone(settings.log()), &copies, &mut report)?;
        }
    }
    root.sync()?;
    Ok(report)
}

/// The list of topics, after those that it should list and does not were added. `None` when it is of a newer version.
fn repair_catalog(root: &Directory, copies: &Copies, report: &mut RepairReport) -> Result<Option<Catalog>> {
    let (mut catalog, mut why) = match CatalogFile::read(root) {
        Ok(Some(file)) => (file.catalog().clone(), None),
        Ok(None) => (new_catalog(), Some("the file was missing".to_owned())),
        Err(Error::Corrupt { reason, .. }) => (new_catalog(), Some(reason)),
        Err(error) => match Damage::told_by(&error) {
            Some(damage) => {
                report.refused.push(damage);
                return Ok(None);
            }
            None => return Err(error),
        },
    };
    let there = partitions_in(root)?;
    if why.is_some() {
        // Most of the partitions must agree whose they are: one may have been copied here.
        let mut votes: BTreeMap<u128, usize> = BTreeMap::new();
        there
            .iter()
            .filter_map(|found| found.identity)
            .for_each(|found| *votes.entry(found.store).or_default() += 1);
        catalog.store =
            votes.iter().max_by_key(|(_, count)| **count).map_or(catalog.store, |(store, _)| *store);
    }
    let adopted = adopt(&mut catalog, &there, why.is_some());
    if !adopted.is_empty() && why.is_none() {
        why = Some("it does not list partitions that hold records".to_owned());
    }
    let Some(why) = why else { return Ok(Some(catalog)) };
    let copy = copies.keep_file(root, CATALOG_FILE)?;
    root.replace_file(CATALOG_FILE, &catalog.encode())?;
    let mut reason = format!("{why}; these topics now have the settings of a new topic: {adopted:?}");
    let unknown: Vec<_> = adopted.iter().filter(|name| has_new_id(&catalog, &there, name)).collect();
    if !unknown.is_empty() {
        // An id that is taken for another topic's of that name would have groups begin where they never were.
        reason += &format!(
            "; nothing tells the ids of these, and they have new ones: what groups have committed of them is lost, and so is what their \
             queues had done: {unknown:?}"
        );
    }
    let path = root.join(CATALOG_FILE);
    report.repairs.push(Repair::of_whole_file(path, reason, copy));
    Ok(Some(catalog))
}

/// A directory that is named like a partition.
struct Found {
    topic: String,
    number: u32,
    /// What its state file says, if that can be read.
    identity: Option<Identity>,
    had_records: bool,
}

fn partitions_in(root: &Directory) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in root.list()?.into_iter().filter(|entry| entry.kind == EntryKind::Directory) {
        let Some(name) = parse_partition_dir_name(&entry.name) else { continue };
        // More than a topic can have: it is nobody's, and listing it would ask for all that are missing before it.
        if check_topic_name(name.topic).is_err() || name.partition >= MOST_PARTITIONS {
            continue;
        }
        let directory = root.child(&entry.name);
        let had_records = match Log::identity_in(&directory)? {
            Some(_) => Log::had_records(&directory)?,
            None => !Log::is_unfinished(&directory)?,
        };
        let identity = Log::identity_left_in(&directory)?;
        found.push(Found { topic: name.topic.to_owned(), number: name.partition, identity, had_records });
    }
    // Of two topics of one name the first partition decides, whatever order a directory is listed in.
    found.sort_by(|a, b| (&a.topic, a.number).cmp(&(&b.topic, b.number)));
    Ok(found)
}

/// Lists what is there and not listed. Returns the names of the topics whose settings nobody knows.
fn adopt(catalog: &mut Catalog, there: &[Found], is_lost: bool) -> Vec<String> {
    let mut adopted = Vec::new();
    let ours = |found: &&Found| {
        let is_ours = found.identity.is_none_or(|identity| identity.store == catalog.store);
        // Beside a list that can be read, what has no state file is no more than what a crash leaves.
        is_ours && if is_lost { true } else { found.identity.is_some() && found.had_records }
    };
    let ours: Vec<_> = there.iter().filter(ours).collect();
    for found in &ours {
        let ids = ids_of(&found.topic, &ours);
        // Of two topics of one name nobody knows which it is of that tells nothing.
        let is_disputed = found.identity.is_none() && ids.len() > 1;
        let known = ids.first().copied().filter(|_| !is_disputed);
        let id = found.identity.map(|identity| identity.topic).or(known);
        if id.is_some_and(|id| catalog.deleted.contains(&id)) {
            continue;
        }
        let partitions = found.number + 1;
        match catalog.topics.get_mut(&found.topic) {
            Some(listed) if id.is_none_or(|id| id == listed.id) && !is_disputed => {
                if listed.partitions < partitions {
                    listed.partitions = partitions;
                    adopted.push(found.topic.clone());
                }
            }
            // An earlier topic of that name, or a stranger.
            Some(_) => {}
            None => {
                let internal =
                    InternalTopic::find(&found.topic).map(|internal| internal.config().values().clone());
                let config = internal.unwrap_or_default();
                let entry = CatalogTopic { id: id.unwrap_or_else(random_id), partitions, config };
                catalog.topics.insert(found.topic.clone(), entry);
                adopted.push(found.topic.clone());
            }
        }
    }
    adopted.sort();
    adopted.dedup();
    adopted
}

/// The ids that partitions of that name tell: more than one where there were two topics of it.
fn ids_of(topic: &str, there: &[&Found]) -> BTreeSet<u128> {
    let its = there.iter().filter(|found| found.topic == topic);
    its.filter_map(|found| found.identity).map(|identity| identity.topic).collect()
}

/// Whether the id of a user's topic is one that no file has told.
fn has_new_id(catalog: &Catalog, there: &[Found], name: &str) -> bool {
    let Some(topic) = catalog.topics.get(name) else { return false };
    let tells = |found: &Found| found.identity.is_some_and(|identity| identity.topic == topic.id);
    InternalTopic::find(name).is_none() && !there.iter().any(tells)
}

#[cfg(test)]
mod tests;
