//! Producers and their transactions against a naive reading of the whole log, and against files that Kafka wrote.

mod golden;

use std::collections::BTreeMap;

use super::aborted::AbortedRange;
use super::table::{Fate, Forgotten, ProducerTable, Refusal, Remembered, Sender, Verdict};
use crate::format::tests::random::{Random, each_seed};
use crate::format::{AbortedTransaction, Attributes, BatchHeader, ControlRecord, Ending};
use crate::types::Offset;

const PLAIN: Sender =
    Sender { producer_id: 7, producer_epoch: 1, base_sequence: 0, record_count: 3, is_transactional: false };

fn header(sender: &Sender, base_offset: Offset) -> BatchHeader {
    let plain = Attributes::default();
    BatchHeader {
        base_offset,
        batch_length: 100,
        leader_epoch: 0,
        crc: 0,
        attributes: if sender.is_transactional { plain.with_transactional() } else { plain },
        last_offset_delta: sender.record_count - 1,
        base_timestamp: 5,
        max_timestamp: 5,
        producer_id: sender.producer_id,
        producer_epoch: sender.producer_epoch,
        base_sequence: sender.base_sequence,
        record_count: sender.record_count,
    }
}

fn marker(sender: &Sender, base_offset: Offset) -> BatchHeader {
    let header = header(&Sender { record_count: 1, base_sequence: -1, ..*sender }, base_offset);
    BatchHeader { attributes: Attributes::default().with_transactional().with_control(), ..header }
}

fn ended(ending: Ending) -> ControlRecord {
    ControlRecord::EndOfTransaction { ending, coordinator_epoch: 0 }
}

/// A table that has seen these batches of three records each, at offsets 0, 10, 20 and so on.
fn table_of(senders: &[Sender]) -> ProducerTable {
    let mut table = ProducerTable::default();
    for (at, sender) in (0..).zip(senders) {
        assert_eq!(table.check(sender), Ok(Verdict::Append), "{sender:?}");
        table.note(&header(sender, at * 10));
    }
    table
}

fn counted(base_sequence: i32) -> Sender {
    Sender { base_sequence, ..PLAIN }
}

#[test]
fn an_unknown_producer_may_begin_anywhere_and_goes_on_from_there() {
    let table = table_of(&[counted(40)]);
    assert_eq!(table.check(&counted(43)), Ok(Verdict::Append));
    assert_eq!(table.check(&counted(44)), Err(Refusal::OutOfSequence { expected: 43 }));
    assert_eq!(table.check(&counted(42)), Err(Refusal::OutOfSequence { expected: 43 }));
    assert_eq!((table.last_sequence(7, 1), table.last_sequence(7, 2)), (Some(42), None));
}

#[test]
fn the_last_five_batches_are_known_when_they_come_again() {
    let senders: Vec<_> = (0..6).map(|n| counted(n * 3)).collect();
    let table = table_of(&senders);
    for (at, sender) in (0..).zip(&senders).skip(1) {
        match table.check(sender) {
            Ok(Verdict::Duplicate(Remembered { first_offset, last_offset, .. })) => {
                assert_eq!((first_offset, last_offset), (at * 10, at * 10 + 2));
            }
            other => panic!("{sender:?}: {other:?}"),
        }
    }
    assert_eq!(table.check(&senders[0]), Err(Refusal::OutOfSequence { expected: 18 }));
    let longer = Sender { record_count: 4, ..senders[5] };
    assert_eq!(table.check(&longer), Err(Refusal::OutOfSequence { expected: 18 }), "not the same batch");
}

#[test]
fn counting_goes_on_at_zero_behind_the_greatest_sequence() {
    let table = table_of(&[counted(i32::MAX - 1)]);
    assert_eq!(table.last_sequence(7, 1), Some(0));
    assert_eq!(table.check(&counted(1)), Ok(Verdict::Append));
    let table = table_of(&[counted(i32::MAX - 2)]);
    assert_eq!(table.check(&counted(0)), Ok(Verdict::Append));
    let again = ProducerTable::from_snapshot(&table_of(&[counted(i32::MAX - 1)]).to_snapshot());
    assert!(matches!(again.check(&counted(i32::MAX - 1)), Ok(Verdict::Duplicate(_))));
}

#[test]
fn a_higher_epoch_begins_at_zero_and_shuts_out_the_lower_one() {
    let mut table = table_of(&[counted(0)]);
    let next = Sender { producer_epoch: 2, ..PLAIN };
    assert_eq!(
        table.check(&Sender { base_sequence: 3, ..next }),
        Err(Refusal::OutOfSequence { expected: 0 })
    );
    assert_eq!(table.check(&next), Ok(Verdict::Append));
    table.note(&header(&next, 10));
    assert_eq!(table.check(&counted(3)), Err(Refusal::Fenced { epoch: 2 }));
    assert_eq!(table.check(&counted(0)), Err(Refusal::Fenced { epoch: 2 }), "nor as a duplicate");
    assert_eq!(table.epoch(7), Some(2));
}

#[test]
fn a_plain_batch_has_no_place_in_a_transaction() {
    let transactional = Sender { is_transactional: true, ..PLAIN };
    let table = table_of(&[transactional]);
    assert_eq!(table.check(&counted(3)), Err(Refusal::InTransaction));
    assert_eq!(table.check(&Sender { base_sequence: 3, ..transactional }), Ok(Verdict::Append));
}

#[test]
fn readers_stop_at_the_oldest_open_transaction_and_compaction_at_the_oldest_without_a_marker() {
    let one = Sender { is_transactional: true, ..PLAIN };
    let other = Sender { producer_id: 8, ..one };
    let mut table = table_of(&[one, other]);
    assert_eq!((table.first_undecided(0), table.unfinished()), (Some(0), Some(0)));
    assert!(table.decide(7, Ending::Commit));
    assert_eq!((table.first_undecided(0), table.unfinished()), (Some(10), Some(0)));
    assert_eq!((table.fate(7, 2), table.fate(8, 10)), (Some(Fate::Committed), Some(Fate::Open)));
    let ending = table.marker(7).unwrap();
    assert_eq!((ending.producer_epoch, ending.ending), (2, Ending::Commit), "the next epoch");
    assert_eq!(table.marker(8), None);
    let raised = Sender { producer_epoch: 2, ..one };
    assert_eq!(table.end(&marker(&raised, 20), ended(Ending::Commit)), None);
    assert_eq!((table.first_undecided(0), table.unfinished()), (Some(10), Some(10)));
    assert_eq!(table.fate(7, 2), None, "the log tells from here on");
    assert_eq!(table.check(&one), Err(Refusal::Fenced { epoch: 2 }));
    let aborted = table.end(&marker(&Sender { producer_epoch: 2, ..other }, 21), ended(Ending::Abort));
    let expected = AbortedTransaction { producer_id: 8, first: 10, last: 21, stable: 22 };
    assert_eq!(aborted, Some(expected));
    assert_eq!((table.first_undecided(0), table.unfinished()), (None, None));
    assert!(!table.decide(7, Ending::Abort));
}

#[test]
fn a_snapshot_keeps_epoch_last_batch_and_open_transaction() {
    let one = Sender { is_transactional: true, ..PLAIN };
    let table = table_of(&[one, Sender { base_sequence: 3, ..one }, Sender { producer_id: 9, ..PLAIN }]);
    let again = ProducerTable::from_snapshot(&table.to_snapshot());
    assert_eq!(again.to_snapshot(), table.to_snapshot());
    assert_eq!(again.open_transactions(), table.open_transactions());
    assert!(matches!(again.check(&Sender { base_sequence: 3, ..one }), Ok(Verdict::Duplicate(_))));
    assert_eq!(again.check(&one), Err(Refusal::OutOfSequence { expected: 6 }), "only the last is kept");
    assert_eq!(again.epoch(9), Some(1));
}

#[test]
fn producers_are_forgotten_by_age_but_not_in_the_middle_of_a_transaction() {
    let mut table =
        table_of(&[Sender { is_transactional: true, ..PLAIN }, Sender { producer_id: 8, ..PLAIN }]);
    table.expire(5, Forgotten::All);
    assert_eq!((table.epoch(7), table.epoch(8)), (Some(1), Some(1)), "written at 5");
    table.expire(6, Forgotten::All);
    assert_eq!((table.epoch(7), table.epoch(8)), (Some(1), None));
    table.end(&marker(&Sender { is_transactional: true, ..PLAIN }, 9), ended(Ending::Commit));
    table.expire(99, Forgotten::WithoutEnds);
    assert_eq!(table.epoch(7), Some(1), "another partition has yet to get the end");
    table.expire(99, Forgotten::All);
    assert_eq!(table.epoch(7), None);
}

#[test]
fn a_marker_for_nothing_raises_the_epoch_and_aborts_nothing() {
    let mut table = table_of(&[PLAIN]);
    let raised = Sender { producer_epoch: 4, ..PLAIN };
    assert_eq!(table.end(&marker(&raised, 10), ended(Ending::Abort)), None);
    assert_eq!(table.epoch(7), Some(4));
    assert_eq!(table.end(&marker(&raised, 11), ControlRecord::Other(2)), None);
}

/// One step of a random log.
#[derive(Debug, Clone, Copy)]
enum Step {
    Send { producer_id: i64, record_count: i32, is_transactional: bool },
    End { producer_id: i64, ending: Ending },
}

fn step(random: &mut Random) -> Step {
    let producer_id = i64::try_from(random.below(4)).unwrap();
    let ending = if random.one_in(2) { Ending::Commit } else { Ending::Abort };
    if random.below(5) < 2 {
        return Step::End { producer_id, ending };
    }
    let record_count = i32::try_from(1 + random.below(3)).unwrap();
    Step::Send { producer_id, record_count, is_transactional: random.one_in(2) }
}

/// A log, by batches, and for each record what a look at the whole log makes of it.
#[derive(Default)]
struct Naive {
    end: Offset,
    open: BTreeMap<i64, Vec<Offset>>,
    batches: Vec<(i64, Offset)>,
    aborted: Vec<Offset>,
}

#[test]
fn every_aborted_record_is_found_from_wherever_one_looks() {
    each_seed(2_000, |random| {
        let size = i64::try_from(1 + random.below(19)).unwrap();
        let steps: Vec<_> = (0..random.below(60)).map(|_| step(random)).collect();
        let (mut table, mut naive, mut indexes) =
            (ProducerTable::default(), Naive::default(), BTreeMap::<Offset, Vec<AbortedTransaction>>::new());
        let mut epochs = [0_i16; 4];
        for step in steps {
            let at = naive.end;
            match step {
                Step::Send { producer_id, record_count, is_transactional } => {
                    let epoch = &mut epochs[usize::try_from(producer_id).unwrap()];
                    let sender = Sender {
                        producer_id,
                        producer_epoch: *epoch,
                        base_sequence: -1,
                        record_count,
                        is_transactional,
                    };
                    if !is_transactional && naive.open.contains_key(&producer_id) {
                        assert_eq!(table.check(&sender), Err(Refusal::InTransaction));
                        continue;
                    }
                    assert_eq!(table.check(&sender), Ok(Verdict::Append));
                    table.note(&header(&sender, at));
                    naive.end += i64::from(record_count);
                    if is_transactional {
                        naive.batches.push((producer_id, at));
                        naive.open.entry(producer_id).or_default().push(at);
                    }
                }
                Step::End { producer_id, ending } => {
                    let epoch = &mut epochs[usize::try_from(producer_id).unwrap()];
                    *epoch += 1;
                    let sender = Sender { producer_id, producer_epoch: *epoch, ..PLAIN };
                    let aborted = table.end(&marker(&sender, at), ended(ending));
                    naive.end += 1;
                    let open = naive.open.remove(&producer_id);
                    assert_eq!(aborted.is_some(), ending == Ending::Abort && open.is_some());
                    if let Some(aborted) = aborted {
                        indexes.entry(at / size * size).or_default().push(aborted);
                        naive.aborted.extend(open.unwrap_or_default());
                    }
                }
            }
            let oldest = naive.open.values().filter_map(|open| open.first()).min().copied();
            assert_eq!(table.first_undecided(0), oldest);
            let again = ProducerTable::from_snapshot(&table.to_snapshot());
            assert_eq!(again.first_undecided(0), oldest);
        }
        let stable = table.first_undecided(0).unwrap_or(naive.end);
        for from in (0..naive.end).step_by(usize::try_from(size).unwrap()) {
            let until = (from + size).min(stable);
            let lists = indexes.range(from..).map(|(_, list)| Ok::<_, ()>(list));
            let range = AbortedRange::gather(from, until, lists).unwrap();
            for (producer_id, offset) in naive.batches.iter().filter(|(_, at)| (from..until).contains(at)) {
                let expected = naive.aborted.contains(offset);
                assert_eq!(range.holds(*producer_id, *offset), expected, "offset {}", offset);
                assert!(!range.holds(producer_id + 10, *offset));
            }
        }
    });
}

#[test]
fn a_snapshot_that_lags_behind_the_log_contradicts_it_and_one_that_knows_more_does_not() {
    let mut told = ProducerTable::default();
    told.note(&header(&PLAIN, 0));
    let mut further = told.clone();
    further.note(&header(&counted(3), 10));
    let mut open = told.clone();
    open.note(&header(&Sender { producer_id: 8, is_transactional: true, ..PLAIN }, 20));
    assert_eq!(told.contradicted_by(&told), None);
    assert_eq!(told.contradicted_by(&further), None, "what was compacted away since");
    assert_eq!(told.contradicted_by(&open), None);
    assert_eq!(told.contradicted_by(&ProducerTable::default()), None, "forgotten");
    assert!(further.contradicted_by(&told).is_some());
    assert!(open.contradicted_by(&told).is_some(), "a crash would take its records for committed");
}

#[test]
fn sequences_go_on_at_0_behind_the_greatest() {
    let last = Sender { base_sequence: i32::MAX - 1, record_count: 5, ..PLAIN };
    let table = table_of(&[last]);
    assert_eq!(table.last_sequence(7, 1), Some(2), "two of the five fit before it");
    assert_eq!(table.check(&counted(3)), Ok(Verdict::Append));
    assert_eq!(table.check(&counted(0)), Err(Refusal::OutOfSequence { expected: 3 }));
    assert!(matches!(table.check(&last), Ok(Verdict::Duplicate(_))));
    let full = table_of(&[Sender { base_sequence: i32::MAX - 2, ..PLAIN }]);
    assert_eq!(full.check(&counted(0)), Ok(Verdict::Append));
}

#[test]
fn a_producer_is_forgotten_when_its_transaction_is_over_and_nothing_came_since() {
    let sender = Sender { is_transactional: true, ..PLAIN };
    let after = Sender { producer_epoch: 2, ..sender };
    let mut table = ProducerTable::default();
    table.note(&header(&sender, 0));
    table.forget_ended(7, 2);
    assert_eq!(table.epoch(7), Some(1), "it is open");
    table.end(&marker(&after, 3), ended(Ending::Commit));
    table.forget_ended(7, 1);
    assert_eq!(table.epoch(7), Some(2), "another one ended in that epoch");
    let mut over = table.clone();
    over.forget_ended(7, 2);
    assert!(over.is_empty());
    table.note(&header(&after, 4));
    table.forget_ended(7, 2);
    assert_eq!(table.epoch(7), Some(2), "the next one is open");
}

#[test]
fn no_more_producers_are_taken_than_a_snapshot_can_tell_of() {
    let mut table = ProducerTable::default();
    for producer_id in [7, 8] {
        assert!(!table.has_no_room_for(producer_id, 2));
        table.note(&header(&Sender { producer_id, ..PLAIN }, producer_id));
    }
    assert!(table.has_no_room_for(9, 2));
    assert!(!table.has_no_room_for(8, 2), "it is known already");
}
