//! Files of annals in the directories of brokers, and what their clients then read, commit and append.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use annals::{Durability, Record, Store, TopicPartition};
use serde_json::Value;

use crate::Answer;
use crate::cluster::Cluster;
use crate::content::{Content, number};
use crate::files::copy;
use crate::java::{Java, ask, here, output};
use crate::random::Random;
use crate::stores::{Found, Plan};
use crate::tally::{Tally, array};
use crate::to_kafka::hand_over;

/// How many records a producer sends to each partition.
const APPENDED: usize = 3;

/// One store of annals and what it says is in it.
struct Ours {
    dir: PathBuf,
    plans: Vec<Plan>,
    found: BTreeMap<(String, u32), Found>,
}

/// Adopts so many random stores into a cluster of so many brokers.
pub fn run(java: &Java, brokers: usize, stores: usize, seed: u64) -> Answer<Tally> {
    let dir = tempfile::tempdir()?;
    let mut random = Random::new(seed);
    let stores: Vec<_> =
        (0..stores).map(|number| fill(dir.path(), number, &mut random)).collect::<Answer<_>>()?;
    let mut cluster = Cluster::create(java, dir.path(), brokers)?;
    cluster.start()?;
    let servers = cluster.servers();
    java.ask(&["adopt", "create", &servers], &created(&stores, brokers))?;
    cluster.stop()?;
    let mut commits = String::new();
    for ours in &stores {
        let topics: Vec<_> = ours.plans.iter().map(|plan| plan.name.clone()).collect();
        for broker in 0..brokers {
            let list = hand_over(&ours.dir, &cluster.logs(broker), &topics)?;
            if broker == 0 {
                commits += &list;
            }
        }
    }
    cluster.start()?;
    let mut tally = Tally::default();
    compare_records(java, &servers, &stores, &mut tally)?;
    compare_clients(&servers, &stores, &mut tally)?;
    compare_groups(java, &servers, &commits, &stores, &mut tally)?;
    append(java, &servers, &stores, &mut tally)?;
    for broker in 0..brokers {
        look_for_repairs(&cluster.said(broker)?, broker, &mut tally);
    }
    cluster.stop()?;
    come_back(&cluster.logs(0), dir.path(), &stores, &mut tally)?;
    Ok(tally)
}

/// The first broker's files as a store of annals: the records that went there, those that a producer appended, and room for more.
fn come_back(logs: &Path, temporary: &Path, stores: &[Ours], tally: &mut Tally) -> Answer<()> {
    let back = temporary.join("back");
    for (topic, number) in stores.iter().flat_map(|ours| ours.found.keys()) {
        copy(&logs.join(format!("{topic}-{number}")), &back.join(format!("{topic}-{number}")))?;
    }
    Store::builder(&back).maintain_by_hand().repair(temporary.join("copies"))?;
    let store = Store::builder(&back).maintain_by_hand().open()?;
    for ((topic, number), found) in stores.iter().flat_map(|ours| &ours.found) {
        let place = format!("{topic}-{number}, back from the broker");
        let partition = store.topic(topic)?.partition(*number)?;
        let records: Vec<_> = partition
            .read(..)?
            .into_iter()
            .map(|record| record.map(Content::read))
            .collect::<Result<_, _>>()?;
        // A repair does not know the broker's checkpoint: what stands before the start is read again.
        let ours: Vec<_> = records.into_iter().filter(|record| record.offset >= found.start).collect();
        let (old, new) = ours.split_at(ours.len().saturating_sub(APPENDED));
        compare_lists(&place, old, &found.records, tally);
        let texts = new.iter().map(|record| record.value.clone().unwrap_or_default());
        let expected = (0..APPENDED).map(|number| format!("from Kafka {number}").into_bytes());
        if !texts.eq(expected) || partition.end() != found.end + APPENDED as i64 {
            tally.differ(&place, "what was appended", &partition.end(), &new);
        }
        let placed = partition.append(&[Record::new().key("k").value("more")], Durability::Os)?;
        if placed.first_offset != found.end + APPENDED as i64 {
            tally.differ(&place, "annals appends at", &found.end, &placed.first_offset);
        }
    }
    store.close()?;
    Ok(())
}

fn fill(dir: &Path, number: usize, random: &mut Random) -> Answer<Ours> {
    let dir = dir.join(format!("store-{number}"));
    let mut plans = Vec::new();
    for topic in 0..1 + random.below(3) {
        let mut plan = Plan::random(format!("store-{number}-topic-{topic}"), random);
        plan.partitions = 1 + random.below(3) as u32;
        plan.create(&dir)?;
        plans.push(plan);
    }
    let store = Store::builder(&dir).maintain_by_hand().open()?;
    for plan in &plans {
        plan.fill(&store)?;
        if plan.is_compacted {
            store.topic(&plan.name)?.compact()?;
        }
    }
    commit(&store, number, &plans, random)?;
    let mut found = BTreeMap::new();
    for plan in &plans {
        for partition in store.topic(&plan.name)?.partitions() {
            found.insert((plan.name.clone(), partition.number()), Found::read(&partition, random)?);
        }
    }
    store.close()?;
    Ok(Ours { dir, plans, found })
}

fn commit(store: &Store, number: usize, plans: &[Plan], random: &mut Random) -> Answer<()> {
    let mut consumer = store.consumer(&format!("group-{number}"))?;
    for plan in plans {
        let topic = store.topic(&plan.name)?;
        consumer
            .assign(topic.partitions().iter().map(|partition| (plan.name.as_str(), partition.number())))?;
        for partition in topic.partitions() {
            let len = (partition.end() - partition.start()) as usize;
            let offset = partition.start() + random.below(len + 1) as i64;
            consumer
                .commit_offsets([(TopicPartition::new(plan.name.as_str(), partition.number()), offset)])?;
        }
    }
    Ok(())
}

/// The topics as Kafka is to create them. Nothing is to go before it was compared.
fn created(stores: &[Ours], brokers: usize) -> String {
    let mut lines = String::new();
    for plan in stores.iter().flat_map(|ours| &ours.plans) {
        lines += &format!(
            "{}\t{}\t{brokers}\tmin.cleanable.dirty.ratio\t1\tmin.compaction.lag.ms\t9000000000000",
            plan.name, plan.partitions
        );
        if plan.is_compacted {
            lines += "\tcleanup.policy\tcompact";
        }
        lines.push('\n');
    }
    lines
}

fn names(stores: &[Ours]) -> impl Iterator<Item = &str> {
    stores.iter().flat_map(|ours| &ours.plans).map(|plan| plan.name.as_str())
}

fn parse(lines: &str) -> Answer<Vec<Value>> {
    Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn place(answer: &Value) -> Answer<(String, u32)> {
    let topic = answer["topic"].as_str().ok_or("no topic")?.to_owned();
    Ok((topic, u32::try_from(number(&answer["partition"])?)?))
}

/// Every record at its offset, in every partition, with all replicas in sync.
fn compare_records(java: &Java, servers: &str, stores: &[Ours], tally: &mut Tally) -> Answer<()> {
    let asked: String = names(stores).map(|name| format!("{name}\n")).collect();
    let answers = parse(&java.ask(&["adopt", "read", servers], &asked)?)?;
    let expected: BTreeMap<_, _> = stores.iter().flat_map(|ours| &ours.found).collect();
    if answers.len() != expected.len() {
        tally.differ("all", "partitions", &answers.len(), &expected.len());
    }
    for answer in &answers {
        let place = place(answer)?;
        let found = expected.get(&place).ok_or("an unknown partition")?;
        let records: Vec<_> = array(answer, "records")?.iter().map(Content::parse).collect::<Answer<_>>()?;
        let place = format!("{place:?}");
        let ends = (number(&answer["start"])?, number(&answer["end"])?, number(&answer["behind"])?);
        if ends != (found.start, found.end, 0) {
            tally.differ(&place, "start, end, replicas behind", &ends, &(found.start, found.end));
        }
        compare_lists(&place, &records, &found.records, tally);
        tally.topics += 1;
    }
    Ok(())
}

/// The same through clients that are not Kafka's own, where Python can fetch them.
fn compare_clients(servers: &str, stores: &[Ours], tally: &mut Tally) -> Answer<()> {
    let Some(python) = python() else { return Ok(()) };
    let asked: String = stores
        .iter()
        .flat_map(|ours| &ours.plans)
        .map(|plan| format!("{}\t{}\n", plan.name, plan.partitions))
        .collect();
    let expected: BTreeMap<_, _> = stores.iter().flat_map(|ours| &ours.found).collect();
    for client in ["kafka-python", "librdkafka"] {
        let mut command = Command::new(&python);
        command.arg(here().join("clients.py")).args([client, servers]);
        let answers = parse(&ask(&mut command, &asked)?)?;
        if answers.len() != expected.len() {
            tally.differ(client, "partitions", &answers.len(), &expected.len());
        }
        for answer in &answers {
            let place = place(answer)?;
            let found = expected.get(&place).ok_or("an unknown partition")?;
            let records: Vec<_> =
                array(answer, "records")?.iter().map(Content::parse).collect::<Answer<_>>()?;
            compare_lists(&format!("{place:?}, {client}"), &records, &found.records, tally);
        }
    }
    Ok(())
}

fn compare_lists(place: &str, theirs: &[Content], ours: &[Content], tally: &mut Tally) {
    if theirs != ours {
        let at = theirs.iter().zip(ours).position(|(theirs, ours)| theirs != ours);
        let at = at.unwrap_or(theirs.len().min(ours.len()));
        tally.differ(place, "records", &theirs.get(at), &ours.get(at));
    }
    tally.records += theirs.len();
}

/// An interpreter that has the clients of `requirements.txt`.
fn python() -> Option<PathBuf> {
    let home = here().join("target/python");
    let python = home.join("bin/python");
    let prepared = (|| {
        if !python.exists() {
            output(Command::new("python3").args(["-m", "venv"]).arg(&home))?;
        }
        output(
            Command::new(&python)
                .args(["-m", "pip", "install", "-q", "-r"])
                .arg(here().join("requirements.txt")),
        )
    })();
    match prepared {
        Ok(_) => Some(python),
        Err(error) => {
            println!("SKIPPED: kafka-python and librdkafka cannot be fetched: {error}");
            None
        }
    }
}

/// Members go on where the groups had committed.
fn compare_groups(java: &Java, servers: &str, list: &str, stores: &[Ours], tally: &mut Tally) -> Answer<()> {
    java.ask(&["adopt", "commit", servers], &list.replace(',', "\t"))?;
    let mut committed = BTreeMap::new();
    for line in list.lines() {
        if let [_, topic, partition, offset] = line.split(',').collect::<Vec<_>>()[..] {
            committed.insert((topic.to_owned(), partition.parse::<u32>()?), offset.parse::<i64>()?);
        }
    }
    let mut asked = String::new();
    for (group, ours) in stores.iter().enumerate() {
        for plan in &ours.plans {
            asked += &format!("group-{group}\t{}\n", plan.name);
        }
    }
    let expected: BTreeMap<_, _> = stores.iter().flat_map(|ours| &ours.found).collect();
    for answer in parse(&java.ask(&["adopt", "go-on", servers], &asked)?)? {
        let topic = answer["topic"].as_str().ok_or("no topic")?;
        for (partition, first) in answer["first"].as_object().ok_or("no partitions")? {
            let place = (topic.to_owned(), partition.parse()?);
            let ours = committed.get(&place).ok_or("nothing committed")?;
            let records = &expected.get(&place).ok_or("an unknown partition")?.records;
            let next = records.iter().map(|record| record.offset).find(|offset| offset >= ours);
            let first = number(first)?;
            if first != *ours && Some(first) != next {
                tally.differ(&format!("{place:?}"), "a group goes on at", &first, ours);
            }
            tally.commits += 1;
        }
    }
    Ok(())
}

/// What a producer appends stands where the records of annals end.
fn append(java: &Java, servers: &str, stores: &[Ours], tally: &mut Tally) -> Answer<()> {
    let asked: String = names(stores).map(|name| format!("{name}\t{APPENDED}\n")).collect();
    let mut next: BTreeMap<_, _> =
        stores.iter().flat_map(|ours| &ours.found).map(|(place, found)| (place.clone(), found.end)).collect();
    for answer in parse(&java.ask(&["adopt", "append", servers], &asked)?)? {
        let place = place(&answer)?;
        let next = next.get_mut(&place).ok_or("an unknown partition")?;
        let offset = number(&answer["offset"])?;
        if offset != *next {
            tally.differ(&format!("{place:?}"), "a producer's record stands at", &offset, next);
        }
        *next += 1;
        tally.batches += 1;
    }
    Ok(())
}

/// Whatever sounds like a repair, a warning or an error, but for what every orderly start of a lone controller says.
fn look_for_repairs(said: &str, broker: usize, tally: &mut Tally) {
    let is_bad = |line: &&str| {
        let words = ["Corrupt", "corrupt", "invalid", "-stray", "Truncating to", "runcating log"];
        line.starts_with("WARN") || line.starts_with("ERROR") || words.iter().any(|word| line.contains(word))
    };
    let ordinary = ["Performing controller activation"];
    for line in said.lines().filter(is_bad) {
        if !ordinary.iter().any(|words| line.contains(words)) {
            tally.differ(&format!("broker {broker}"), "says", &line, &());
        }
    }
}
