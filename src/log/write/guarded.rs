//! Appends that depend on what the log holds.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::TimestampType;
use crate::log::log::Log;
use crate::log::open::Holding;
use crate::log::patience::Patience;
use crate::log::read::Selection;
use crate::log::write::accumulator::Take;
use crate::log::write::append::{Append, Appended};
use crate::log::write::guard::{Guard, NOTHING, UNDECIDED_WAIT, Verdict};
use crate::log::write::known_stream::StreamKey;
use crate::log::write::placement::{NoteTerms, Placed};
use crate::types::{Condition, Durability, Expected, Record};

/// Looks without the lock and then under it, again and again while somebody comes between, for so long and no longer. The last one looks at
/// everything under the lock: nobody comes between.
struct Rounds {
    patience: Patience,
    is_last: bool,
}

impl Rounds {
    fn begin() -> Self {
        Self { patience: Patience::new(UNDECIDED_WAIT), is_last: false }
    }

    fn prepare(&mut self, guards: &mut [Guard], log: &Arc<Log>) -> Result<()> {
        self.is_last = self.patience.has_ended();
        guards.iter_mut().try_for_each(|guard| guard.prepare_within(&mut self.patience, log, NOTHING))
    }
}

/// Something was written for others: readers are told of it when this is let go of.
struct News<'a>(&'a Log);

impl Drop for News<'_> {
    fn drop(&mut self) {
        self.0.watchers.raise();
    }
}

impl Log {
    /// Appends `records` as one batch, as [`append`](Self::append) does, if every condition holds. `how` leaves none of them in memory.
    pub(crate) fn append_when(
        self: &Arc<Self>,
        conditions: &[Condition],
        records: &[Record<'_>],
        how: &Append,
    ) -> Result<Appended> {
        self.check_process()?;
        let mut guards: Vec<_> = conditions.iter().filter_map(Guard::new).collect();
        self.append_guarded_by(&mut guards, records, how)
    }

    /// The same for one stream.
    pub(crate) fn append_expected(
        self: &Arc<Self>,
        (stream, expected): (StreamKey<'_>, Expected),
        records: &[Record<'_>],
        how: &Append,
    ) -> Result<Appended> {
        if expected == Expected::Any {
            self.check_key_index()?;
            return self.append_of((records, NoteTerms::OfOneKey(stream.term)), how);
        }
        self.meet_prerequisites(Holding::Nothing)?;
        if let Some(appended) = self.append_to_known((stream, expected), records, how)? {
            return Ok(appended);
        }
        let selection = Arc::new(Selection::Key(stream.key.into(), stream.term));
        self.append_guarded_by(Guard::on_stream(&selection, expected).as_mut_slice(), records, how)
    }

    fn append_guarded_by(
        self: &Arc<Self>,
        guards: &mut [Guard],
        records: &[Record<'_>],
        how: &Append,
    ) -> Result<Appended> {
        if guards.is_empty() {
            return self.append(records, how);
        }
        if records.is_empty() {
            return Err(Error::invalid("a batch needs at least one record"));
        }
        self.check_poison()?;
        self.meet_prerequisites(Holding::Nothing)?;
        if self.config().size_limit.is_some() {
            // What is refused takes nothing out.
            self.check_guards(guards)?;
            self.check_room_for(records)?;
        }
        let mut rounds = Rounds::begin();
        let appended = loop {
            rounds.prepare(guards, self)?;
            if let Some(appended) = self.append_guarded((guards, &rounds), records, how)? {
                break appended;
            }
        };
        if how.durability == Durability::Disk {
            self.synced(appended.last_offset)?;
        }
        Ok(appended)
    }

    /// An error when a condition does not hold now.
    fn check_guards(self: &Arc<Self>, guards: &mut [Guard]) -> Result<()> {
        let mut rounds = Rounds::begin();
        loop {
            rounds.prepare(guards, self)?;
            let mut writer = self.writer.lock();
            self.opened(&mut writer)?;
            self.write_with(&mut writer, Take::All);
            if self.holds(guards, &rounds)? {
                return Ok(());
            }
        }
    }

    /// `None` where the conditions have to be looked at again.
    fn append_guarded(
        self: &Arc<Self>,
        (guards, rounds): (&mut [Guard], &Rounds),
        records: &[Record<'_>],
        how: &Append,
    ) -> Result<Option<Appended>> {
        let mut writer = self.writer.lock();
        self.opened(&mut writer)?;
        self.write_with(&mut writer, Take::All);
        if !self.holds(guards, rounds)? {
            return Ok(None);
        }
        // Told on every way out, and after the lock below is let go of.
        let mut _news = None;
        // Nobody gets an offset while this is held.
        let mut accumulator = self.accumulator.lock();
        if !accumulator.is_empty() {
            _news = Some(News(self));
            accumulator = self.write_batches_held(&mut writer, accumulator)?;
            if !self.holds(guards, rounds)? {
                return Ok(None);
            }
        }
        let terms = if accumulator.rules.key_index { NoteTerms::Yes } else { NoteTerms::No };
        // By the rules that it is written by: they may be others at once.
        let timestamp_type = accumulator.rules.timestamp_type;
        let (placed, now) = self.write_alone((&mut writer, accumulator), (records, terms), how)?;
        let own = records.last().and_then(Record::timestamp_millis);
        let timestamp = match timestamp_type {
            TimestampType::CreateTime => own.unwrap_or(now),
            TimestampType::LogAppendTime => now,
        };
        let Placed { first_offset, last_offset, .. } = placed;
        Ok(Some(Appended { first_offset, last_offset, timestamp }))
    }

    /// Whether all of them hold; false where that has to be looked at again, in a round that is not the last.
    fn holds(self: &Arc<Self>, guards: &mut [Guard], rounds: &Rounds) -> Result<bool> {
        for guard in guards {
            let verdict = match rounds.is_last {
                true => guard.judge_for_good(self, NOTHING)?,
                false => guard.judge(self, NOTHING)?,
            };
            match verdict {
                Verdict::Holds => {}
                Verdict::Stale | Verdict::Undecided if !rounds.is_last => return Ok(false),
                Verdict::Stale | Verdict::Undecided | Verdict::No => return Err(guard.conflict(self)),
            }
        }
        Ok(true)
    }
}

#[cfg(all(test, not(annals_shuttle)))]
mod tests {
    use super::*;
    use crate::doubles::{Call, Fault, FaultyFileSystem, Gate, Times};
    use crate::log::LogConfig;
    use crate::log::signal::Signal;
    use crate::log::tests::place::Place;
    use crate::log::tests::{append, config, how};
    use crate::segment::ReadMode;

    /// Conditions on a log that others rewrite all the time are judged in the end: the last round looks under the lock.
    #[test]
    fn the_last_round_looks_again_by_itself() {
        let place = Place::new(ReadMode::Mapped);
        let log = place.open();
        append(&log, 0..10, Durability::Os);
        log.append(&[Record::new().key("erased").value("")], &how(Durability::Os)).unwrap();
        let none = Condition::stream("nobody", Expected::Any);
        assert!(Guard::new(&none).is_none(), "it always holds");
        let query = Condition { on: crate::types::On::None { query: crate::types::Query::all(), since: 11 } };
        let mut guards = vec![Guard::new(&query).unwrap()];
        let mut rounds = Rounds::begin();
        rounds.prepare(&mut guards, &log).unwrap();
        log.erase(&|_| true).unwrap();
        assert!(!log.holds(&mut guards, &rounds).unwrap(), "looked at again in another round");
        rounds.is_last = true;
        assert!(log.holds(&mut guards, &rounds).unwrap());
        let mut rounds = Rounds { patience: Patience::new(std::time::Duration::ZERO), is_last: false };
        rounds.prepare(&mut guards, &log).unwrap();
        assert!(rounds.is_last);
        log.append(&[Record::new().value("in the way")], &how(Durability::Os)).unwrap();
        assert!(matches!(log.holds(&mut guards, &rounds), Err(Error::Conflict { .. })));
    }

    /// Under a guard that is looked at, another's record comes into memory, and is written; what the guard is for is refused then.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "another thread sends while one looks")]
    fn readers_are_told_of_what_was_written_for_others_when_a_guarded_append_is_refused() {
        let disk = FaultyFileSystem::new();
        let place = Place::in_memory(ReadMode::Positional, Arc::clone(&disk) as _);
        let log = place.open();
        append(&log, 0..1, Durability::Os);
        let some = Condition { on: crate::types::On::Some { query: crate::types::Query::all() } };
        let mut guards = vec![Guard::new(&some).unwrap()];
        let mut rounds = Rounds::begin();
        rounds.prepare(&mut guards, &log).unwrap();
        append(&log, 1..2, Durability::Os);
        let gate = Arc::new(Gate::default());
        disk.fail(&[Call::Read], ".log", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
        let guarded = Arc::clone(&log);
        let appending = std::thread::spawn(move || {
            let too_large = Record::new().value(&[b'x'; 600]).timestamp(0);
            guarded.append_guarded((&mut guards, &rounds), &[too_large], &how(Durability::Os))
        });
        gate.await_arrival();
        append(&log, 2..3, Durability::Memory);
        let signal = Arc::new(Signal::default());
        log.watch(&signal);
        let seen = signal.raised();
        gate.open();
        let refused = appending.join().unwrap();
        assert!(matches!(refused, Err(Error::RecordTooLarge { .. })), "{refused:?}");
        assert_eq!(log.end(), 3);
        assert!(signal.raised() > seen, "whoever waits for the record sleeps on");
    }

    /// The settings are others while it waits for the disk.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "another thread changes the settings meanwhile")]
    fn the_time_that_a_guarded_append_told_was_that_of_settings_that_came_later() {
        let disk = FaultyFileSystem::new();
        let place = Place::in_memory(ReadMode::Positional, Arc::clone(&disk) as _);
        let log = place.open();
        append(&log, 0..1, Durability::Disk);
        let some = Condition { on: crate::types::On::Some { query: crate::types::Query::all() } };
        let gate = Arc::new(Gate::default());
        disk.fail(&[Call::Sync], ".log", (0, Times::Once), Fault::Hold(Arc::clone(&gate)));
        let guarded = Arc::clone(&log);
        let appending = std::thread::spawn(move || {
            let record = Record::new().value("paid").timestamp(999_999);
            guarded.append_when(&[some], &[record], &how(Durability::Disk))
        });
        gate.await_arrival();
        let timestamp_type = TimestampType::LogAppendTime;
        log.set_config(LogConfig { timestamp_type, ..config(500) });
        gate.open();
        let told = appending.join().unwrap().unwrap();
        let there = log.get(told.last_offset, |record| record.timestamp).unwrap();
        assert_eq!((told.timestamp, there), (999_999, Some(999_999)));
    }
}
