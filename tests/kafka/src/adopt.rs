//! Files of annals in the directories of brokers, and what their clients then read, commit and append.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use annals::{Store, TopicPartition};
use serde_json::Value;

use crate::Answer;
use crate::cluster::Cluster;
use crate::content::{Content, number};
use crate::java::{Java, ask, here, output};
use crate::random::Random;
use crate::stores::{Found, Plan};
use crate::tally::{Tally, array};
use crate::to_kafka::hand_over;
use crate::way_back::come_back;

/// How many records a producer sends to each partition, before one that is committed, one that is aborted, and one whose transaction stays open.
const APPENDED: usize = 3;

/// What is in each partition.
pub type Expected = BTreeMap<(String, u32), Found>;

/// One store of annals and what it says is in it.
struct Ours {
    dir: PathBuf,
    plans: Vec<Plan>,
    found: Expected,
}

/// Adopts so many random stores into a cluster of so many brokers, and takes the topics back.
pub fn run(java: &Java, brokers: usize, stores: usize, seed: u64) -> Answer<Tally> {
    let dir = tempfile::tempdir()?;
    let mut random = Random::new(seed);
    let mut step = Steps::begin(brokers);
    let stores: Vec<_> =
        (0..stores).map(|number| fill(dir.path(), number, &mut random)).collect::<Answer<_>>()?;
    step.done("stores are filled");
    let mut cluster = Cluster::create(java, dir.path(), brokers)?;
    cluster.start()?;
    step.done("the cluster has started");
    let servers = cluster.servers();
    java.ask(&["adopt", "create", &servers], &created(&stores, brokers))?;
    step.done("topics are created");
    cluster.stop()?;
    step.done("the cluster has stopped");
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
    step.done("files are handed over");
    cluster.start()?;
    step.done("the cluster has started with them");
    let mut tally = Tally::default();
    let mut expected: Expected = stores.iter().flat_map(|ours| ours.found.clone()).collect();
    compare_records(java, &servers, &expected, &mut tally)?;
    step.done("Kafka's consumer has read");
    compare_clients(&servers, &stores, &mut tally)?;
    step.done("other clients have read");
    compare_groups(java, &servers, &commits, &stores, &mut tally)?;
    step.done("groups have gone on");
    append(java, &servers, &mut expected, &mut tally)?;
    compare_records(java, &servers, &expected, &mut tally)?;
    step.done("producers have appended, and Kafka's consumer has read that");
    for broker in 0..brokers {
        look_for_repairs(&cluster.said(broker)?, broker, &mut tally);
    }
    cluster.stop()?;
    step.done("the cluster has stopped");
    for broker in 0..brokers {
        come_back(&cluster.logs(broker), &dir.path().join(format!("back-{broker}")), &expected, &mut tally)?;
        step.done("a broker's files are a store");
    }
    Ok(tally)
}

/// Says how far it is.
struct Steps {
    brokers: usize,
    began: Instant,
}

impl Steps {
    fn begin(brokers: usize) -> Self {
        Self { brokers, began: Instant::now() }
    }

    fn done(&mut self, what: &str) {
        eprintln!("brokers: {}, after {:.0?}: {what}", self.brokers, self.began.elapsed());
    }
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
    }
    transact(&store, &plans, random)?;
    for plan in plans.iter().filter(|plan| plan.is_compacted) {
        store.topic(&plan.name)?.compact()?;
    }
    // Decided or not, each has its end when the store is closed.
    transact(&store, &plans, random)?;
    commit(&store, number, &plans, random)?;
    store.close()?;
    // Only now has each transaction its end in each partition.
    let store = Store::builder(&dir).maintain_by_hand().open()?;
    let mut found = BTreeMap::new();
    for plan in &plans {
        for partition in store.topic(&plan.name)?.partitions() {
            found.insert((plan.name.clone(), partition.number()), Found::read(&partition, random)?);
        }
    }
    store.close()?;
    Ok(Ours { dir, plans, found })
}

/// Transactions over all partitions: some are committed, some aborted after they were written.
fn transact(store: &Store, plans: &[Plan], random: &mut Random) -> Answer<()> {
    for number in 0..random.below(5) {
        let mut transaction =
            store.transaction_builder(&format!("writer-{number}")).buffer_bytes(0).begin()?;
        for _ in 0..1 + random.below(12) {
            let plan = random.of(plans);
            let time = 1_700_000_000_000 + random.below(100_000) as i64;
            let mut content = Content::random(random, time, 9);
            content.key.get_or_insert_default();
            let partition = random.below(plan.partitions as usize) as u32;
            transaction.send(content.record().topic(&plan.name).partition(partition))?;
        }
        match random.below(3) {
            0 => transaction.abort()?,
            1 => drop(transaction),
            _ => drop(transaction.commit()?),
        }
    }
    Ok(())
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

pub fn names(expected: &Expected) -> BTreeSet<&str> {
    expected.keys().map(|(topic, _)| topic.as_str()).collect()
}

fn parse(lines: &str) -> Answer<Vec<Value>> {
    Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

fn place(answer: &Value) -> Answer<(String, u32)> {
    let topic = answer["topic"].as_str().ok_or("no topic")?.to_owned();
    Ok((topic, u32::try_from(number(&answer["partition"])?)?))
}

/// Every record at its offset, in every partition, with all replicas in sync.
fn compare_records(java: &Java, servers: &str, expected: &Expected, tally: &mut Tally) -> Answer<()> {
    let asked: String = names(expected).iter().map(|name| format!("{name}\n")).collect();
    let answers = parse(&java.ask(&["adopt", "read", servers], &asked)?)?;
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

pub fn compare_lists(place: &str, theirs: &[Content], ours: &[Content], tally: &mut Tally) {
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
            let found = expected.get(&place).ok_or("an unknown partition")?;
            // A poll may have taken it over what readers of committed records do not see, but over no record.
            let next = found.records.iter().map(|record| record.offset).find(|offset| offset >= ours);
            let first = number(first)?;
            if !(*ours..=next.unwrap_or(found.end)).contains(&first) {
                tally.differ(&format!("{place:?}"), "a group goes on at", &first, ours);
            }
            tally.commits += 1;
        }
    }
    Ok(())
}

/// What producers append stands where the records of annals end. One transaction is committed, one aborted, one stays open.
fn append(java: &Java, servers: &str, expected: &mut Expected, tally: &mut Tally) -> Answer<()> {
    let asked: String = names(expected).iter().map(|name| format!("{name}\t{APPENDED}\n")).collect();
    for answer in parse(&java.ask(&["adopt", "append", servers], &asked)?)? {
        let place = place(&answer)?;
        let found = expected.get_mut(&place).ok_or("an unknown partition")?;
        let record = Content::parse(&answer["record"])?;
        if record.offset != found.end {
            tally.differ(&format!("{place:?}"), "a producer's record stands at", &record.offset, &found.end);
        }
        let fate = answer["fate"].as_str().ok_or("no fate")?;
        // The mark of its end stands behind it.
        found.end += if fate == "committed" || fate == "aborted" { 2 } else { 1 };
        if fate == "alone" || fate == "committed" {
            found.records.push(record);
        }
        tally.batches += 1;
    }
    let (sent, whole) = (tally.batches, expected.len() * (APPENDED + 3));
    if sent != whole {
        tally.differ("all", "records of producers", &sent, &whole);
    }
    Ok(())
}

/// Whatever sounds like a repair, a warning or an error, but for what every orderly start of a lone controller says.
fn look_for_repairs(said: &str, broker: usize, tally: &mut Tally) {
    let is_bad = |line: &&str| {
        let words = ["Corrupt", "corrupt", "invalid", "-stray", "Truncating to", "runcating log"];
        line.starts_with("WARN") || line.starts_with("ERROR") || words.iter().any(|word| line.contains(word))
    };
    // Of a controller that starts, of brokers that are up before it, of a busy machine, and of a follower that has nothing to cut.
    let ordinary = [
        "Performing controller activation",
        "could not be established. Node may not be available.",
        "Exceptionally slow controller event",
        "Unexpected error handling request RequestHeader(apiKey=CONTROLLER_REGISTRATION",
        "Auto topic creation failed for __consumer_offsets with error 'TOPIC_ALREADY_EXISTS'",
        " has no effect as the largest offset in the log is ",
    ];
    // A follower that has not heard yet of the leader it has now waits until it does; anything else that stops it is an error, too.
    let waits = |line: &str| {
        let partition = line.strip_suffix(" marked as failed").and_then(|line| line.rsplit(' ').next());
        partition.is_some_and(|name| said.contains(&format!("Partition {name} has an older epoch")))
    };
    for line in said.lines().filter(is_bad) {
        if !ordinary.iter().any(|words| line.contains(words)) && !waits(line) {
            tally.differ(&format!("broker {broker}"), "says", &line, &());
        }
    }
}
