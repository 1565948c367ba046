//! Random stores of annals before Kafka's own classes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use annals::{Store, TopicPartition};
use serde_json::Value;

use crate::Answer;
use crate::content::number;
use crate::files::copy;
use crate::java::Java;
use crate::judge::Judge;
use crate::random::Random;
use crate::stores::{Found, Plan};
use crate::tally::{Tally, array};

const GROUPS: [&str; 3] = ["readers", "others", "группа"];
const OFFSETS: &str = "__consumer_offsets-0";

/// Random topics, many to a store, until there were so many.
pub fn run(java: &Java, topics: usize, seed: u64) -> Answer<Tally> {
    let mut scene = Scene { judge: Judge::start(java)?, tally: Tally::default(), seed: 0, copies: 0 };
    let mut random = Random::new(seed);
    while scene.tally.topics < topics {
        scene.seed = random.next();
        let count = 20.min(topics - scene.tally.topics);
        let dir = tempfile::tempdir()?;
        scene
            .one_store(dir.path(), count)
            .map_err(|error| format!("store {} of seed {seed}: {error}", scene.seed))?;
    }
    Ok(scene.tally)
}

/// The store of one seed, whose files are left in a directory.
pub fn one(java: &Java, seed: u64, dir: &Path) -> Answer<Tally> {
    let mut scene = Scene { judge: Judge::start(java)?, tally: Tally::default(), seed, copies: 0 };
    scene.one_store(dir, 20)?;
    Ok(scene.tally)
}

struct Scene {
    judge: Judge,
    tally: Tally,
    /// That of the store.
    seed: u64,
    copies: usize,
}

impl Scene {
    fn one_store(&mut self, dir: &Path, topics: usize) -> Answer<()> {
        let mut random = Random::new(self.seed);
        let (ours, before) = (dir.join("ours"), dir.join("before"));
        let plans: Vec<_> =
            (0..topics).map(|number| Plan::random(format!("topic-{number}"), &mut random)).collect();
        for plan in &plans {
            plan.create(&ours)?;
        }
        let store = Store::builder(&ours).maintain_by_hand().open()?;
        for plan in &plans {
            plan.fill(&store)?;
        }
        commit(&store, &plans, &mut random)?;
        store.close()?;
        for (plan, found) in plans.iter().zip(read(&ours, &plans, &mut random)?) {
            self.compare(dir, &ours, plan, &found)?;
        }
        self.compare_commits(dir, &ours)?;
        // Once more, with what compaction leaves: empty batches, gaps, delete horizons.
        copy(&ours, &before)?;
        let store = Store::builder(&ours).maintain_by_hand().open()?;
        for plan in plans.iter().filter(|plan| plan.is_compacted) {
            let topic = store.topic(&plan.name)?;
            topic.compact()?;
            if plan.forgets {
                topic.compact()?;
            }
        }
        store.close()?;
        for (plan, found) in plans.iter().zip(read(&ours, &plans, &mut random)?) {
            if plan.is_compacted {
                self.compare(dir, &ours, plan, &found)?;
            }
            if plan.is_compacted && !plan.forgets {
                let answer = self.ask(dir, &plan.dir(&before), "compact", plan.index_interval, &found)?;
                let place = format!("store {}, {}, Kafka's cleaner", self.seed, plan.name);
                self.tally.compare_content(&place, &answer, &found)?;
                self.tally.cleanings += 1;
            }
        }
        Ok(())
    }

    /// What Kafka says of a copy.
    fn ask(
        &mut self,
        temporary: &Path,
        dir: &Path,
        what: &str,
        interval: usize,
        found: &Found,
    ) -> Answer<Value> {
        let copied = self.copy(temporary, dir)?;
        let times: Vec<_> = found.times.iter().map(|(time, _)| *time).collect();
        self.judge.ask(&copied, what, found.start, interval, &times)
    }

    /// In a place of its own: Kafka still writes to it for a moment after it has answered.
    fn copy(&mut self, temporary: &Path, dir: &Path) -> Answer<PathBuf> {
        self.copies += 1;
        let name = dir.file_name().ok_or("a directory without a name")?;
        let copied = temporary.join(format!("copy-{}", self.copies)).join(name);
        copy(dir, &copied)?;
        Ok(copied)
    }

    fn compare(&mut self, temporary: &Path, store: &Path, plan: &Plan, found: &Found) -> Answer<()> {
        self.tally.topics += 1;
        for what in ["clean", "unclean"] {
            let answer = self.ask(temporary, &plan.dir(store), what, plan.index_interval, found)?;
            let place = format!("store {}, {}, {what}", self.seed, plan.name);
            self.tally.compare(&place, plan, &answer, found)?;
        }
        Ok(())
    }

    /// What Kafka's group coordinator would load against what annals answers.
    fn compare_commits(&mut self, temporary: &Path, store: &Path) -> Answer<()> {
        let copied = self.copy(temporary, &store.join(OFFSETS))?;
        let answer = self.judge.ask(&copied, "unclean", 0, 4096, &[])?;
        let mut theirs = BTreeMap::new();
        for commit in array(&answer, "commits")?.iter().filter(|commit| commit["offset"].is_i64()) {
            let text = |name: &str| commit[name].as_str().unwrap_or("?").to_owned();
            let partition = format!("{}-{}", text("topic"), commit["partition"]);
            let content = (
                number(&commit["offset"])?,
                number(&commit["epoch"])?,
                text("metadata"),
                number(&commit["time"])?,
            );
            theirs.insert((text("group"), partition), content);
        }
        let open = Store::builder(store).maintain_by_hand().open()?;
        let mut ours = BTreeMap::new();
        for group in GROUPS {
            for (partition, found) in open.committed(group) {
                let partition = format!("{}-{}", partition.topic(), partition.partition());
                // annals knows no leader epochs of commits: -1 is Kafka's word for that.
                ours.insert(
                    (group.to_owned(), partition),
                    (found.offset, -1, found.metadata.clone(), found.timestamp),
                );
            }
        }
        open.close()?;
        if theirs != ours {
            self.tally.differ(&format!("store {}", self.seed), "commits", &theirs, &ours);
        }
        self.tally.commits += ours.len();
        Ok(())
    }
}

fn commit(store: &Store, plans: &[Plan], random: &mut Random) -> Answer<()> {
    for _ in 0..=random.below(30) {
        let plan = random.of(plans);
        let partition = store.topic(&plan.name)?.partition(0)?;
        let len = (partition.end() - partition.start()) as usize;
        let offset = partition.start() + random.below(len + 1) as i64;
        let group = *random.of(&GROUPS);
        let mut consumer = store.consumer_builder().group(group).build()?;
        consumer.assign([(plan.name.as_str(), 0)])?;
        let metadata = *random.of(&["", "by hand", "примечание"]);
        consumer.commit_with_metadata([(TopicPartition::new(plan.name.as_str(), 0), offset)], metadata)?;
        drop(consumer);
        if random.one_in(10) {
            store.delete_group(group)?;
        }
    }
    Ok(())
}

fn read(store: &Path, plans: &[Plan], random: &mut Random) -> Answer<Vec<Found>> {
    let store = Store::builder(store).maintain_by_hand().open()?;
    let found =
        plans.iter().map(|plan| Found::read(&store.topic(&plan.name)?.partition(0)?, random)).collect();
    store.close()?;
    found
}

/// A damage that a comparison must notice: its name, the ending of the file, what it does to the bytes.
type Damage = (&'static str, &'static str, fn(&mut Vec<u8>));

const DAMAGES: [Damage; 6] = [
    ("an index entry one offset on", ".index", |bytes| bytes[3] = bytes[3].wrapping_add(1)),
    ("an index entry at another batch", ".index", |bytes| bytes[7] = bytes[7].wrapping_add(61)),
    ("a time entry one millisecond on", ".timeindex", |bytes| bytes[7] = bytes[7].wrapping_add(1)),
    ("a record's last byte", ".log", |bytes| {
        if let Some(byte) = bytes.last_mut() {
            *byte ^= 1;
        }
    }),
    ("a leader epoch", ".log", |bytes| bytes[15] = 5),
    ("the last byte cut", ".log", |bytes| {
        bytes.pop();
    }),
];

/// Whether the comparisons notice: each damage to a good directory must make one differ.
pub fn prove(java: &Java) -> Answer<()> {
    let mut scene = Scene { judge: Judge::start(java)?, tally: Tally::default(), seed: 7, copies: 0 };
    let mut random = Random::new(7);
    let dir = tempfile::tempdir()?;
    let ours = dir.path().join("ours");
    let plan = Plan::plain("topic".to_owned());
    plan.create(&ours)?;
    let store = Store::builder(&ours).maintain_by_hand().open()?;
    plan.fill(&store)?;
    store.close()?;
    let found = read(&ours, std::slice::from_ref(&plan), &mut random)?.remove(0);
    scene.compare(dir.path(), &ours, &plan, &found)?;
    if !scene.tally.differences.is_empty() {
        return Err(format!("without any damage: {:?}", scene.tally.differences).into());
    }
    for (name, ending, harm) in DAMAGES {
        let damaged = dir.path().join(name.replace(' ', "_"));
        copy(&plan.dir(&ours), &plan.dir(&damaged))?;
        let file = plan.dir(&damaged).join(format!("{:020}{ending}", found.records[0].offset));
        let mut bytes = fs::read(&file)?;
        harm(&mut bytes);
        fs::write(&file, bytes)?;
        scene.compare(dir.path(), &damaged, &plan, &found)?;
        if scene.tally.differences.is_empty() {
            return Err(format!("nothing notices {name}").into());
        }
        println!("noticed: {name}: {}", scene.tally.differences[0].chars().take(160).collect::<String>());
        scene.tally.differences.clear();
    }
    Ok(())
}
