//! A store at work, so that each figure moves: sends that swell and ebb, readers that fall behind, compaction, limits, transactions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use annals::{CleanupPolicy, Durability, Error, Record, Result, Store, TopicConfig, WhenFull};

/// How often something is done.
const TICK: Duration = Duration::from_millis(20);
/// In so long sends swell and ebb once; a reader rests in it for a while, and a second one comes and goes.
const TIDE: Duration = Duration::from_secs(60);

/// Part of the work, done once in a while.
type Work<'a> = Box<dyn FnMut(Duration) -> Result<()> + Send + 'a>;

/// Works on the store, in threads of its own, as long as `serve` runs.
///
/// # Errors
/// What a topic or a client could not be made for. A thread that fails later says so, and ends.
pub(crate) fn beside<T>(store: &Store, serve: impl FnOnce() -> T) -> Result<T> {
    let works =
        [sends(store)?, reads(store)?, comes_and_goes(store), small_topics(store)?, transfers(store)?];
    let has_ended = AtomicBool::new(false);
    let (has_ended, began) = (&has_ended, Instant::now());
    Ok(thread::scope(|scope| {
        for mut work in works {
            scope.spawn(move || {
                while !has_ended.load(Ordering::Relaxed) {
                    if let Err(error) = work(began.elapsed()) {
                        return eprintln!("load: {error}");
                    }
                    thread::sleep(TICK);
                }
            });
        }
        let served = serve();
        has_ended.store(true, Ordering::Relaxed);
        served
    }))
}

/// Where in the tide: 0 to 1.
fn part_of_tide(at: Duration) -> f64 {
    (at.as_secs_f64() / TIDE.as_secs_f64()).fract()
}

/// At each durability, fewer where it costs more.
fn sends(store: &Store) -> Result<Work<'_>> {
    let producer = |durability| store.producer_builder().durability(durability).build();
    let memory = producer(Durability::Memory)?;
    let (os, disk) = (producer(Durability::Os)?, producer(Durability::Disk)?);
    let mut number = 0_u32;
    Ok(Box::new(move |at| {
        let height = 1.0 + (part_of_tide(at) * std::f64::consts::TAU).sin();
        let wanted = 40 + (height * 100.0) as u32;
        for turn in 0..wanted {
            let producer = match turn {
                0 => &disk,
                _ if turn % 4 == 0 => &os,
                _ => &memory,
            };
            number = number.wrapping_add(1);
            let key = format!("customer {}", number % 1000);
            producer.send(Record::to("orders").key(&key).value("2 apples, 3 pears and a plum"))?;
        }
        Ok(())
    }))
}

/// One group that rests for a third of each tide, and one that keeps up.
fn reads(store: &Store) -> Result<Work<'_>> {
    let (mut billing, mut shipping) = (store.consumer("billing")?, store.consumer("shipping")?);
    billing.subscribe(["orders"])?;
    shipping.subscribe(["orders", "balances"])?;
    Ok(Box::new(move |at| {
        shipping.poll(Duration::ZERO)?;
        shipping.commit()?;
        if part_of_tide(at) > 0.33 {
            billing.poll(Duration::ZERO)?;
            billing.commit()?;
        }
        Ok(())
    }))
}

/// A second member, whose coming and going share the partitions out again.
fn comes_and_goes(store: &Store) -> Work<'_> {
    let mut second = None;
    Box::new(move |at| {
        let is_wanted = part_of_tide(at) > 0.8;
        match &mut second {
            None if is_wanted => second.insert(store.consumer("shipping")?).subscribe(["orders"])?,
            Some(member) if is_wanted => {
                member.poll(Duration::ZERO)?;
                member.commit()?;
            }
            _ => drop(second.take()),
        }
        Ok(())
    })
}

/// Compaction, retention by size, waits for room.
fn small_topics(store: &Store) -> Result<Work<'_>> {
    let compact = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact);
    let balances = store.ensure_topic("balances", compact)?;
    let small = TopicConfig::new().segment_bytes(32 << 10).size_limit(256 << 10, WhenFull::DropOldest);
    store.ensure_topic("recent", small)?;
    let producer = store.producer();
    let mut tick = 0_u32;
    Ok(Box::new(move |_| {
        tick = tick.wrapping_add(1);
        for number in 0..10 {
            let key = format!("account {}", (tick + number) % 50);
            producer.send(Record::to("balances").key(&key).value("5"))?;
            producer.send(Record::to("recent").value(&[7; 200]))?;
        }
        if tick.is_multiple_of(50) {
            balances.compact()?;
        }
        if tick.is_multiple_of(25)
            && let Err(error) = producer.send(Record::to("full").value(&[7; 100]))
            && !matches!(error, Error::Full { .. })
        {
            return Err(error);
        }
        Ok(())
    }))
}

/// One transaction after the other, each open for a while.
fn transfers(store: &Store) -> Result<Work<'_>> {
    store.ensure_topic("payments", TopicConfig::new().partitions(2))?;
    Ok(Box::new(move |_| {
        let mut transfer = store.transaction("transfers")?;
        for account in ["alice", "bob"] {
            transfer.send(Record::to("payments").key(account).value("5"))?;
        }
        thread::sleep(TICK * 10);
        transfer.commit().map(drop)
    }))
}
