//! Where a consumer of a cluster stands, and what its polls hand out.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use annals::{Offset, TopicPartition};
use annals_port::{Error, ErrorKind, Received, Result};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::failure::failed;

/// What a poll hands out at most, as the Java client.
const MOST_RECORDS: usize = 500;
/// Longer than this the client cannot count.
const LONGEST: Duration = Duration::from_secs(20 * 24 * 60 * 60);

/// Shared by the consumer, what the client calls back inside of its polls, and the producer that commits for it.
#[derive(Default)]
pub(super) struct Standing(Mutex<State>);

type Offsets = BTreeMap<TopicPartition, Offset>;

#[derive(Default)]
struct State {
    /// Behind what was handed out, or where it was set. A partition that is taken away is forgotten.
    positions: Offsets,
    /// The first record that was handed out and is not done, which is committed.
    undone: Offsets,
    /// Positions that an open transaction commits.
    claimed: Offsets,
    /// Taken away with something undone: a transaction that has worked on it would be committed without its offsets, and another member
    /// does the same again.
    owed: BTreeSet<TopicPartition>,
    /// Taken away since a poll has looked.
    revoked: BTreeSet<TopicPartition>,
    /// Where the client has to go back to before it is polled.
    back: Offsets,
    /// Met behind records that were handed out.
    error: Option<Error>,
}

impl Standing {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads something else from here on.
    pub(super) fn clear(&self) {
        self.change(|state| *state = State::default());
    }

    /// The group takes them away, if only to give them back.
    pub(super) fn revoke(&self, places: Vec<TopicPartition>) {
        self.change(|state| {
            for place in places {
                let position = state.positions.remove(&place);
                if state.undone.remove(&place).is_some() && state.claimed.get(&place) != position.as_ref() {
                    state.owed.insert(place.clone());
                }
                state.back.remove(&place);
                state.revoked.insert(place);
            }
        });
    }

    /// What `next`, which waits that long, gives, as soon as there is something. A rebalance happens inside of it: what was gathered of
    /// a partition that it takes away is not handed out, for whoever has the partition then begins at what is committed.
    pub(super) fn gather(
        &self,
        timeout: Duration,
        mut next: impl FnMut(Duration) -> Option<KafkaResult<Received>>,
    ) -> Result<Vec<Received>> {
        if let Some(error) = self.change(|state| state.error.take()) {
            return Err(error);
        }
        let deadline = Instant::now() + timeout.min(LONGEST);
        let mut all: Vec<Received> = Vec::new();
        while all.len() < MOST_RECORDS {
            let wait = if all.is_empty() {
                deadline.saturating_duration_since(Instant::now())
            } else {
                Duration::ZERO
            };
            let came = next(wait);
            let revoked = self.change(|state| mem::take(&mut state.revoked));
            if !revoked.is_empty() {
                all.retain(|record| !revoked.contains(&record.topic_partition()));
            }
            match came {
                Some(Ok(record)) => all.push(record),
                Some(Err(error)) if passes(&error) => {}
                Some(Err(error)) => {
                    let error = failed("poll")(error);
                    if all.is_empty() {
                        return Err(error);
                    }
                    // The client goes on behind it: nobody would say it a second time.
                    self.change(|state| state.error = Some(error));
                    break;
                }
                None if !all.is_empty() || Instant::now() >= deadline => break,
                None => {}
            }
        }
        self.change(|state| {
            for record in &all {
                let place = record.topic_partition();
                state.undone.entry(place.clone()).or_insert(record.offset);
                state.positions.insert(place, record.offset + 1);
            }
        });
        Ok(all)
    }

    /// Where it stands in each partition.
    pub(super) fn stands(&self) -> Offsets {
        self.change(|state| state.positions.clone())
    }

    pub(super) fn position(&self, place: &TopicPartition) -> Option<Offset> {
        self.change(|state| state.positions.get(place).copied())
    }

    /// The program has set it there; what it was handed before is its own affair.
    pub(super) fn set(&self, place: &TopicPartition, offset: Offset) {
        self.change(|state| {
            state.undone.remove(place);
            state.back.remove(place);
            state.positions.insert(place.clone(), offset);
        });
    }

    /// Where it stands, for a transaction to commit.
    ///
    /// # Errors
    /// `NotAssigned`, where some of what it was handed is another member's by now.
    pub(super) fn claim(&self) -> Result<Offsets> {
        self.change(|state| {
            if let Some(place) = state.owed.first() {
                let text = format!("{place} was given away, and what it was read of it not committed");
                return Err(Error::new(ErrorKind::NotAssigned, text));
            }
            state.claimed = state.positions.clone();
            Ok(state.claimed.clone())
        })
    }

    /// The transaction that has claimed is committed.
    pub(super) fn done(&self) {
        let claimed = self.change(|state| mem::take(&mut state.claimed));
        self.committed(&claimed);
    }

    /// These are committed.
    pub(super) fn committed(&self, offsets: &Offsets) {
        self.change(|state| {
            for (place, offset) in offsets {
                let is_all = state.positions.get(place).is_none_or(|position| position <= offset);
                if is_all {
                    state.undone.remove(place);
                } else if let Some(first) = state.undone.get_mut(place) {
                    *first = *offset;
                }
            }
        });
    }

    /// A commit outside of transactions has no more to say about what was given away: it comes again elsewhere.
    pub(super) fn forgive(&self) {
        self.change(|state| state.owed.clear());
    }

    /// The transaction takes no effect: what is not done comes again.
    pub(super) fn go_back(&self) {
        self.change(|state| {
            state.claimed.clear();
            state.owed.clear();
            let undone = mem::take(&mut state.undone);
            state.positions.extend(undone.clone());
            state.back.extend(undone);
        });
    }

    /// Where the client has to be set before it is polled.
    pub(super) fn back(&self) -> Offsets {
        self.change(|state| state.back.clone())
    }

    /// It is there, or has that partition no more.
    pub(super) fn is_back(&self, place: &TopicPartition) {
        self.change(|state| state.back.remove(place));
    }
}

/// What the client gets over by itself.
fn passes(error: &KafkaError) -> bool {
    let passing = [
        Code::BrokerTransportFailure,
        Code::AllBrokersDown,
        Code::OperationTimedOut,
        Code::RequestTimedOut,
        Code::NotLeaderForPartition,
        Code::LeaderNotAvailable,
        Code::CoordinatorLoadInProgress,
        Code::CoordinatorNotAvailable,
        Code::NotCoordinator,
    ];
    error.rdkafka_error_code().is_some_and(|code| passing.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: u32) -> TopicPartition {
        TopicPartition::new("orders", partition)
    }

    fn record(partition: u32, offset: Offset) -> Received {
        Received { topic: "orders".to_owned(), partition, offset, ..Received::default() }
    }

    /// A poll to which that comes.
    fn poll(standing: &Standing, came: Vec<KafkaResult<Received>>) -> Result<Vec<Received>> {
        let mut came = came.into_iter();
        standing.gather(Duration::ZERO, |_| came.next())
    }

    fn is_not_assigned(standing: &Standing) -> bool {
        standing.claim().is_err_and(|error| error.kind() == ErrorKind::NotAssigned)
    }

    #[test]
    fn what_is_taken_away_in_a_poll_is_not_handed_out_by_it() {
        let standing = Standing::default();
        let mut calls = 0..;
        let found = standing.gather(Duration::ZERO, |_| match calls.next() {
            Some(0) => Some(Ok(record(0, 7))),
            Some(1) => Some(Ok(record(1, 3))),
            Some(2) => {
                standing.revoke(vec![place(0), place(1)]);
                // It came back, and begins at what is committed.
                Some(Ok(record(1, 0)))
            }
            _ => None,
        });
        assert_eq!(found.unwrap(), [record(1, 0)]);
        assert_eq!(standing.stands(), Offsets::from([(place(1), 1)]));
        assert_eq!(standing.claim().unwrap(), Offsets::from([(place(1), 1)]), "nothing is owed");
    }

    #[test]
    fn a_poll_goes_on_waiting_where_all_it_had_was_taken_away() {
        let standing = Standing::default();
        let mut calls = 0..;
        let found = standing.gather(Duration::from_secs(60), |_| match calls.next() {
            Some(0) => Some(Ok(record(0, 7))),
            Some(1) => {
                standing.revoke(vec![place(0)]);
                None
            }
            Some(2) => Some(Ok(record(1, 0))),
            _ => None,
        });
        assert_eq!(found.unwrap(), [record(1, 0)]);
    }

    #[test]
    fn an_error_behind_records_is_told_by_the_next_poll() {
        let standing = Standing::default();
        let bad = KafkaError::MessageConsumption(Code::BadMessage);
        let found = poll(&standing, vec![Ok(record(0, 0)), Err(bad), Ok(record(0, 2))]);
        assert_eq!(found.unwrap(), [record(0, 0)]);
        let told = poll(&standing, vec![Ok(record(0, 2))]);
        assert!(told.is_err_and(|error| error.to_string().contains("Bad message")));
        assert_eq!(poll(&standing, vec![Ok(record(0, 2))]).unwrap(), [record(0, 2)], "once");
    }

    #[test]
    fn an_error_is_of_what_was_read_when_it_was_met() {
        let standing = Standing::default();
        let bad = KafkaError::MessageConsumption(Code::BadMessage);
        poll(&standing, vec![Ok(record(0, 0)), Err(bad)]).unwrap();
        standing.clear();
        assert_eq!(poll(&standing, vec![Ok(record(1, 0))]).unwrap(), [record(1, 0)]);
    }

    #[test]
    fn what_was_handed_out_and_taken_away_is_owed_to_a_transaction() {
        let standing = Standing::default();
        poll(&standing, vec![Ok(record(0, 0)), Ok(record(1, 0))]).unwrap();
        standing.revoke(vec![place(0), place(1)]);
        assert!(is_not_assigned(&standing));
        assert!(is_not_assigned(&standing), "until it is aborted");
        standing.go_back();
        assert!(standing.claim().unwrap().is_empty());
        assert!(standing.back().is_empty(), "whoever has it begins at what is committed");
    }

    #[test]
    fn nothing_is_owed_of_what_is_committed_or_claimed() {
        let standing = Standing::default();
        poll(&standing, vec![Ok(record(0, 0)), Ok(record(1, 0)), Ok(record(2, 0))]).unwrap();
        standing.committed(&Offsets::from([(place(0), 1)]));
        standing.claim().unwrap();
        standing.revoke(vec![place(0), place(1)]);
        assert_eq!(standing.claim().unwrap(), Offsets::from([(place(2), 1)]));
        standing.done();
        poll(&standing, vec![Ok(record(2, 1))]).unwrap();
        standing.revoke(vec![place(2)]);
        assert!(is_not_assigned(&standing), "what came after the claim is");
        standing.forgive();
        assert!(standing.claim().is_ok());
    }

    #[test]
    fn an_abort_takes_it_back_to_what_is_done() {
        let standing = Standing::default();
        poll(&standing, vec![Ok(record(0, 5)), Ok(record(1, 0))]).unwrap();
        standing.claim().unwrap();
        standing.done();
        poll(&standing, vec![Ok(record(0, 6)), Ok(record(0, 7))]).unwrap();
        standing.claim().unwrap();
        standing.go_back();
        assert_eq!(standing.stands(), Offsets::from([(place(0), 6), (place(1), 1)]));
        assert_eq!(standing.back(), Offsets::from([(place(0), 6)]));
        standing.set(&place(0), 9);
        assert!(standing.back().is_empty(), "the program has said otherwise");
    }
}
