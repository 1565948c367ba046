//! Looks at what the owner of a store in another process shows, as many as there is time for: `ANNALS_PROCESS_LOOKS` is their number.

use std::path::Path;
use std::thread;
use std::time::Duration;

use annals::{Durability, Error, Partition, PartitionView, Record, StoreReader};
use annals_testing::Random;

use crate::common::{count_from_env, fast_dir, now};
use crate::pair::{PARTITIONS, STEPS, child, kill, of_child, open, say, value_at, wait_for, write_to};

/// Sends as fast as it can to one partition; to the other goes, on another thread, whatever changes files.
#[test]
fn writes_without_a_pause_until_it_is_killed() {
    let Some((dir, mut random)) = of_child() else { return };
    let store = open(&dir);
    say("open");
    let partition = store.topic(STEPS).unwrap().partition(0).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| send_without_a_pause(&partition));
        loop {
            write_to(&store, 1, &mut random);
        }
    });
}

fn send_without_a_pause(partition: &Partition) {
    loop {
        for _ in 0..2_000 {
            let value = value_at(0, partition.next_offset());
            partition.append(&[Record::new().value(&value)], Durability::Os).unwrap();
        }
        partition.delete_records(partition.end() - 1_000).unwrap();
    }
}

/// What one partition has shown so far.
#[derive(Default)]
struct Seen {
    /// Start, stable, durable, end.
    shown: [i64; 4],
    looks: u64,
    /// Of these, how often the end was another one.
    news: u64,
    records: u64,
}

impl Seen {
    /// Four looks: none sees less than one before it, and none more than there is.
    fn look(&mut self, partition: &PartitionView) {
        let shown = [partition.start(), partition.stable(), partition.durable(), partition.end()];
        let goes_on = shown.iter().zip(self.shown).all(|(now, before)| *now >= before);
        let is_bounded = shown.iter().all(|one| *one <= shown[3]);
        assert!(goes_on && is_bounded, "{}: {shown:?} after {:?}", partition.number(), self.shown);
        self.looks += 4;
        self.news += u64::from(shown[3] > self.shown[3]);
        self.shown = shown;
    }

    /// The last record that was shown, and one of those before it: each is there as it was written, or is gone by now.
    fn read(&mut self, partition: &PartitionView, random: &mut Random) {
        let [start, .., end] = self.shown;
        let Ok(among @ 1..) = u64::try_from(end - start) else { return };
        for offset in [end - 1, start + i64::try_from(random.below(among)).unwrap()] {
            match partition.get(offset) {
                Ok(Some(record)) => {
                    let (value, expected) = (record.value.unwrap(), value_at(partition.number(), offset));
                    assert!(value == expected.as_bytes() || value == b"aborted", "offset {offset}");
                    self.records += 1;
                }
                // Retention was faster; or it is an end mark, which only the one with transactions has.
                Err(Error::OffsetOutOfRange { .. }) => {}
                Ok(None) if partition.number() == 1 => {}
                Ok(None) => panic!("offset {offset} was shown, and is not there"),
                Err(error) => panic!("offset {offset}: {error}"),
            }
        }
    }
}

/// One record is read in so many looks.
const LOOKS_A_RECORD: u64 = 400;

fn look_at(dir: &Path, number: u32, looks: u64) -> Seen {
    let reader = StoreReader::attach(dir).unwrap();
    let partition = reader.topic(STEPS).unwrap().partition(number).unwrap();
    let (mut seen, mut random) = (Seen::default(), Random::new(u64::from(number)));
    // However seldom the writer gets to work: some of it is seen.
    let until = now() + Duration::from_secs(60);
    while seen.looks < looks || (seen.news.min(seen.records) < 20 && now() < until) {
        (0..LOOKS_A_RECORD / 4).for_each(|_| seen.look(&partition));
        seen.read(&partition, &mut random);
    }
    seen
}

#[test]
fn no_look_at_what_another_process_shows_goes_back_or_sees_what_was_not_written() {
    let looks = count_from_env("ANNALS_PROCESS_LOOKS", 100_000) as u64;
    let dir = fast_dir();
    open(dir.path()).close().unwrap();
    let mut writer = child("ends::writes_without_a_pause_until_it_is_killed", dir.path(), 3);
    let lines = wait_for(&mut writer, "open");
    let seen = thread::scope(|scope| {
        let readers: Vec<_> = (0..PARTITIONS)
            .map(|number| {
                let dir = dir.path();
                scope.spawn(move || look_at(dir, number, looks / u64::from(PARTITIONS)))
            })
            .collect();
        readers.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
    });
    // It has not ended by itself.
    kill(writer);
    drop(lines);
    for (number, seen) in seen.iter().enumerate() {
        let (looks, news, records, end) = (seen.looks, seen.news, seen.records, seen.shown[3]);
        println!(
            "partition {number}: {looks} looks, {news} saw another end, {records} records read, {end} written"
        );
        assert!(news > 10 && records > 10, "hardly anything was written");
    }
}
