//! Consumers and their groups.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use annals::{Record, TopicPartition};

use super::{Check, Failure, PATIENCE, hold, take, take_nothing, texts, topic};
use crate::error::ErrorKind;
use crate::verbs::{Backend, Consume, Produce};

pub(super) fn checks<B: Backend>() -> Vec<Check<B>> {
    vec![
        Check { name: "a group goes on where it committed", run: goes_on },
        Check { name: "what was not committed comes again", run: comes_again },
        Check { name: "groups do not see each other", run: independent },
        Check { name: "given offsets are committed", run: given_offsets },
        Check { name: "a consumer goes back and forth", run: seeks },
        Check { name: "a paused partition is silent", run: pauses },
        Check { name: "members share the partitions", run: shares },
        Check { name: "what it does not read it does not move", run: not_assigned },
        Check {
            name: "what is named twice is read once, and nothing where nothing is named",
            run: named_twice,
        },
        Check { name: "a consumer stands where it will begin", run: stands },
    ]
}

/// A topic with values "0" to "9" in its one partition.
fn ten<B: Backend>(kafka: &B, name: String) -> Result<(String, TopicPartition), Failure> {
    let name = topic(kafka, name, 1)?;
    let mut producer = kafka.producer()?;
    for number in 0..10 {
        producer.send(Record::to(&name).value(&number.to_string()))?;
    }
    producer.flush()?;
    let place = TopicPartition::new(name.as_str(), 0);
    Ok((name, place))
}

fn goes_on<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let (name, place) = ten(kafka, format!("{run}-goes-on"))?;
    let group = format!("{run}-goes-on");
    let mut first = kafka.consumer(&group)?;
    first.subscribe(&[&name])?;
    take(&mut first, 10)?;
    first.commit()?;
    hold!(first.committed(&place)? == Some(10), "committed is {:?}", first.committed(&place)?);
    first.close()?;
    let mut producer = kafka.producer()?;
    producer.send(Record::to(&name).value("10"))?;
    producer.flush()?;
    let mut second = kafka.consumer(&group)?;
    second.subscribe(&[&name])?;
    let found = take(&mut second, 1)?;
    hold!(texts(&found) == ["10"], "it went on with {found:?}");
    Ok(())
}

fn comes_again<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let (name, place) = ten(kafka, format!("{run}-again"))?;
    for _ in 0..2 {
        let mut consumer = kafka.consumer(&format!("{run}-again"))?;
        consumer.subscribe(&[&name])?;
        let found = take(&mut consumer, 10)?;
        hold!(texts(&found).first().is_some_and(|text| text == "0"), "it began with {found:?}");
        hold!(consumer.committed(&place)?.is_none(), "it committed by itself");
        consumer.close()?;
    }
    Ok(())
}

fn independent<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let (name, place) = ten(kafka, format!("{run}-groups"))?;
    for group in ["one", "other"] {
        let mut consumer = kafka.consumer(&format!("{run}-groups-{group}"))?;
        hold!(consumer.committed(&place)?.is_none(), "{group} has committed before it began");
        consumer.subscribe(&[&name])?;
        take(&mut consumer, 10)?;
        consumer.commit()?;
        consumer.close()?;
    }
    Ok(())
}

fn given_offsets<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let (_, place) = ten(kafka, format!("{run}-given"))?;
    let group = format!("{run}-given");
    let mut consumer = kafka.consumer(&group)?;
    consumer.assign(std::slice::from_ref(&place))?;
    consumer.commit_offsets(&[(place.clone(), 4)])?;
    consumer.close()?;
    let mut consumer = kafka.consumer(&group)?;
    consumer.assign(std::slice::from_ref(&place))?;
    let found = take(&mut consumer, 6)?;
    hold!(texts(&found).first().is_some_and(|text| text == "4"), "it went on with {found:?}");
    Ok(())
}

fn seeks<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let (_, place) = ten(kafka, format!("{run}-seeks"))?;
    let mut consumer = kafka.consumer(&format!("{run}-seeks"))?;
    consumer.assign(std::slice::from_ref(&place))?;
    take(&mut consumer, 10)?;
    hold!(consumer.position(&place)? == Some(10), "it stands at {:?}", consumer.position(&place)?);
    consumer.seek(&place, 7)?;
    hold!(consumer.position(&place)? == Some(7), "set to 7, it stands at {:?}", consumer.position(&place)?);
    let found = take(&mut consumer, 3)?;
    hold!(texts(&found) == ["7", "8", "9"], "from 7 on it read {:?}", texts(&found));
    consumer.seek(&place, 0)?;
    consumer.commit()?;
    hold!(
        consumer.committed(&place)? == Some(0),
        "a seek was committed as {:?}",
        consumer.committed(&place)?
    );
    take(&mut consumer, 10)?;
    take_nothing(&mut consumer)
}

fn pauses<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let name = topic(kafka, format!("{run}-pauses"), 2)?;
    let places = [0, 1].map(|number| TopicPartition::new(name.as_str(), number));
    let mut producer = kafka.producer()?;
    let mut send = |value: &str| -> Result<(), Failure> {
        for number in 0..2 {
            producer.send(Record::to(&name).partition(number).value(value))?;
        }
        Ok(producer.flush()?)
    };
    send("before")?;
    let mut consumer = kafka.consumer(&format!("{run}-pauses"))?;
    consumer.assign(&places)?;
    take(&mut consumer, 2)?;
    let [_, second] = &places;
    consumer.pause(std::slice::from_ref(second))?;
    send("while")?;
    let found = take(&mut consumer, 1)?;
    hold!(found.iter().all(|record| record.partition == 0), "the paused one gave {found:?}");
    take_nothing(&mut consumer)?;
    consumer.resume(std::slice::from_ref(second))?;
    let found = take(&mut consumer, 1)?;
    hold!(found.iter().all(|record| record.partition == 1), "then came {found:?}");
    Ok(())
}

fn shares<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let name = topic(kafka, format!("{run}-shares"), 4)?;
    let group = format!("{run}-shares");
    let (mut one, mut other) = (kafka.consumer(&group)?, kafka.consumer(&group)?);
    one.subscribe(&[&name])?;
    other.subscribe(&[&name])?;
    let began = Instant::now();
    loop {
        one.poll(Duration::from_millis(100))?;
        other.poll(Duration::from_millis(100))?;
        let (of_one, of_other) = (one.assignment()?, other.assignment()?);
        let all: BTreeSet<_> = of_one.iter().chain(&of_other).collect();
        if of_one.len() == 2 && of_other.len() == 2 && all.len() == 4 {
            break;
        }
        hold!(began.elapsed() < PATIENCE, "they have {of_one:?} and {of_other:?}");
    }
    let mut producer = kafka.producer()?;
    for number in 0..4 {
        producer.send(Record::to(&name).partition(number).value("v"))?;
    }
    producer.flush()?;
    let (mut seen, began) = (Vec::new(), Instant::now());
    while seen.len() < 4 {
        for consumer in [&mut one, &mut other] {
            let assignment = consumer.assignment()?;
            let found = consumer.poll(Duration::from_millis(100))?;
            let is_theirs = found.iter().all(|record| assignment.contains(&record.topic_partition()));
            hold!(is_theirs, "a member read of a partition that is not its own");
            seen.extend(found);
        }
        hold!(began.elapsed() < PATIENCE, "only {} came", seen.len());
    }
    hold!(seen.len() == 4, "{} records came of 4", seen.len());
    one.commit()?;
    other.commit()?;
    one.close()?;
    let began = Instant::now();
    while other.assignment()?.len() < 4 {
        let found = other.poll(Duration::from_millis(100))?;
        hold!(found.is_empty(), "what was committed came again: {found:?}");
        hold!(began.elapsed() < PATIENCE, "the one that is left has {:?}", other.assignment()?);
    }
    take_nothing(&mut other)
}

fn not_assigned<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let (_, place) = ten(kafka, format!("{run}-elsewhere"))?;
    let other = ten(kafka, format!("{run}-not-assigned"))?.1;
    // What a member that has nothing commits could take the place of another's.
    let mut idle = kafka.consumer(&format!("{run}-idle"))?;
    let idle = idle.commit_offsets(&[(other.clone(), 1)]);
    let mut consumer = kafka.consumer(&format!("{run}-elsewhere"))?;
    consumer.assign(&[place])?;
    take(&mut consumer, 10)?;
    // Outside of the group's assignments nobody is in the way.
    consumer.commit_offsets(&[(other.clone(), 1)])?;
    let outcomes = [
        idle,
        consumer.seek(&other, 0),
        consumer.position(&other).map(drop),
        consumer.pause(std::slice::from_ref(&other)),
    ];
    for outcome in outcomes {
        let is_told = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotAssigned);
        hold!(is_told, "it said {outcome:?}");
    }
    Ok(())
}

fn named_twice<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let (name, place) = ten(kafka, format!("{run}-twice"))?;
    let mut consumer = kafka.consumer(&format!("{run}-twice"))?;
    consumer.assign(&[place.clone(), place.clone()])?;
    hold!(consumer.assignment()? == [place], "assigned twice, it reads {:?}", consumer.assignment()?);
    take(&mut consumer, 10)?;
    take_nothing(&mut consumer)?;
    consumer.subscribe(&[])?;
    hold!(consumer.assignment()?.is_empty(), "it reads {:?}", consumer.assignment()?);
    take_nothing(&mut consumer)?;
    consumer.subscribe(&[&name, &name])?;
    take(&mut consumer, 10)?;
    take_nothing(&mut consumer)
}

fn stands<B: Backend>(kafka: &B, run: &str) -> Result<(), Failure> {
    let (_, place) = ten(kafka, format!("{run}-stands"))?;
    let group = format!("{run}-stands");
    let mut consumer = kafka.consumer(&group)?;
    consumer.assign(std::slice::from_ref(&place))?;
    let position = consumer.position(&place)?;
    hold!(position == Some(0), "before its first poll it stands at {position:?}");
    consumer.commit_offsets(&[(place.clone(), 4)])?;
    consumer.close()?;
    let mut consumer = kafka.consumer(&group)?;
    consumer.assign(std::slice::from_ref(&place))?;
    let position = consumer.position(&place)?;
    hold!(position == Some(4), "where the group has committed 4, it stands at {position:?}");
    let began = Instant::now();
    let outcome = consumer.seek(&place, -5);
    let is_told = outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::Invalid);
    hold!(is_told, "set to -5, it said {outcome:?}");
    hold!(began.elapsed() < PATIENCE / 6, "it said so after {:?}", began.elapsed());
    let found = take(&mut consumer, 6)?;
    hold!(texts(&found).first().is_some_and(|text| text == "4"), "it began with {found:?}");
    Ok(())
}
