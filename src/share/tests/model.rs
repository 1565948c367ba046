//! Random events in the life of a queue's partition, beside a plain list that says of each record what became of it.
//!
//! `ANNALS_QUEUE_SEEDS=2000 cargo test --lib share::tests::model`

mod checks;

use std::collections::BTreeMap;

use crate::doubles::Random;
use crate::format::DeliveryState;
use crate::share::doubts::Permit;
use crate::share::lanes::Fresh;
use crate::share::runs::{Lock, Span};
use crate::share::selection::{Exhausted, Wish};
use crate::share::share_partition::SharePartition;
use crate::types::{Offset, Timestamp};

const LIMIT: i16 = 4;
const SEEDS: u64 = 60;
const STEPS: usize = 300;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// To be handed out from then on.
    Waiting(Timestamp),
    Out(Lock),
    Done,
    GivenUp,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    fate: Fate,
    count: i16,
    key: Option<u64>,
    is_suspect: bool,
    /// It was handed out in an earlier life, and has not come back in this one.
    was_out: bool,
    is_doubted: bool,
    /// It is out, and others of the process may have to wait for it.
    is_watched: bool,
}

impl Known {
    fn come_back(&mut self) {
        self.is_doubted &= !self.is_watched;
        self.is_watched = false;
    }

    fn is_watched_at(&self, count: i16) -> bool {
        if count == LIMIT { self.was_out } else { self.is_doubted }
    }
}

struct World {
    random: Random,
    now: Timestamp,
    is_ordered: bool,
    state: SharePartition,
    /// All records there are, looked at or not; what has no entry is no record.
    records: BTreeMap<Offset, Known>,
    end: Offset,
    /// Below it nothing is there any more.
    log_start: Offset,
    /// A suspect that was handed out, until it is answered.
    suspect: Option<Offset>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let is_ordered = random.one_in(2);
        let mut world = Self {
            random,
            now: 1000,
            is_ordered,
            state: SharePartition::new(0),
            records: BTreeMap::new(),
            end: 0,
            log_start: 0,
            suspect: None,
        };
        if is_ordered {
            world.state.keep_order([]);
        }
        world
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..4 => self.send(),
            4..9 => self.take(),
            9..14 => self.answer(),
            14 => self.now += i64::try_from(self.random.below(60)).unwrap(),
            15 if self.random.one_in(6) => self.restart(),
            16 if self.random.one_in(8) => self.retain(),
            17 if self.random.one_in(8) => self.cut(),
            _ => self.now += 1,
        }
        self.check();
    }

    fn send(&mut self) {
        for _ in 0..=self.random.below(6) {
            // Some offsets hold no record.
            self.end += i64::from(self.random.one_in(8));
            let key = (!self.random.one_in(5)).then(|| self.random.below(4));
            let known = Known {
                fate: Fate::Waiting(0),
                count: 0,
                key,
                is_suspect: false,
                was_out: false,
                is_doubted: false,
                is_watched: false,
            };
            self.records.insert(self.end, known);
            self.end += 1;
        }
    }

    fn expire(&mut self) {
        self.state.expire(self.now);
        for (offset, known) in &mut self.records {
            if let Fate::Out(lock) = known.fate
                && lock.until <= self.now
            {
                known.fate = Fate::Waiting(0);
                known.come_back();
                self.suspect = self.suspect.filter(|suspect| suspect != offset);
            }
        }
    }

    /// Whether a record may be handed out now.
    fn is_due(&self, offset: Offset) -> bool {
        let known = self.records[&offset];
        let is_next = || {
            let older = self.records.range(self.state.start()..offset);
            known.key.is_none()
                || !self.is_ordered
                || older.into_iter().all(|(_, other)| {
                    other.key != known.key || matches!(other.fate, Fate::Done | Fate::GivenUp)
                })
        };
        matches!(known.fate, Fate::Waiting(from) if from <= self.now)
            && offset >= self.state.start()
            && !(known.is_suspect && self.suspect.is_some())
            && is_next()
    }

    fn take(&mut self) {
        self.expire();
        let most = 1 + self.random.below(6);
        let due: Vec<_> = self.records.keys().copied().filter(|offset| self.is_due(*offset)).collect();
        // What is out in other states.
        let last = self.random.one_in(2);
        let permit = Permit { last, doubted: last || self.random.one_in(2), until: self.now + 9 };
        let wish = Wish { most, readable: Offset::MAX, exhausted: Exhausted::GivenUp };
        let selection = loop {
            let selection = self.state.select((wish, LIMIT), permit);
            let Some(span) = selection.exhausted else { break selection };
            for offset in span.first..=span.last {
                if let Some(known) = self.records.get_mut(&offset) {
                    assert!(known.count >= LIMIT, "{offset} was given up after {}", known.count);
                    known.fate = Fate::GivenUp;
                }
            }
            self.state.finish(span.first, span.last, DeliveryState::Archived);
        };
        let lock = Lock { until: self.now + 20, ..self.state.new_lock(self.now + 20) };
        let mut taken: Vec<(Offset, i16)> = Vec::new();
        let mut missing = Vec::new();
        for span in &selection.spans {
            for offset in span.first..=span.last {
                match self.records.contains_key(&offset) {
                    true => taken.push((offset, span.count + 1)),
                    false => missing.push(offset),
                }
            }
        }
        self.check_taken(&taken, permit);
        selection.spans.iter().for_each(|span| self.state.acquire(span, lock, LIMIT));
        missing.into_iter().for_each(|offset| self.state.finish(offset, offset, DeliveryState::Archived));
        let mut fresh = Vec::new();
        let room = usize::try_from(most).unwrap().saturating_sub(taken.len());
        let mut next = self.state.end();
        if !selection.is_closed {
            for (offset, known) in self.records.range(self.state.end()..) {
                if fresh.iter().filter(|(_, is_free)| *is_free).count() == room {
                    break;
                }
                let key = known.key.filter(|_| self.is_ordered);
                let is_free = self.state.is_free(Fresh { offset: *offset, key });
                fresh.push((*offset, is_free));
                next = offset + 1;
            }
            for (offset, is_free) in &fresh {
                assert_eq!(
                    *is_free,
                    self.is_due(*offset) && !self.has_key_among(&taken, *offset),
                    "{offset}"
                );
                taken.extend(is_free.then_some((*offset, 1)));
            }
        }
        self.state.extend(&fresh, next, lock);
        if taken.is_empty() && !selection.spans.is_empty() {
            // None of them was there.
            return self.take();
        }
        assert!(
            selection.held_back_until.is_none() || permit != Permit { last: true, doubted: true, ..permit }
        );
        if !due.is_empty() && self.suspect.is_none() && selection.held_back_until.is_none() {
            let was_given_up = due.iter().any(|offset| self.records[offset].fate == Fate::GivenUp);
            assert!(was_given_up || !taken.is_empty(), "{due:?} could be handed out");
        }
        self.note_taken(taken, lock);
    }

    fn note_taken(&mut self, taken: Vec<(Offset, i16)>, lock: Lock) {
        for (offset, count) in taken {
            let known = self.records.get_mut(&offset).unwrap();
            if known.is_suspect {
                self.suspect = Some(offset);
                known.is_suspect = false;
            }
            (known.fate, known.count) = (Fate::Out(lock), count);
            known.is_watched = known.is_watched_at(count);
        }
    }

    fn has_key_among(&self, taken: &[(Offset, i16)], offset: Offset) -> bool {
        let key = self.records[&offset].key;
        self.is_ordered && key.is_some() && taken.iter().any(|(other, _)| self.records[other].key == key)
    }

    fn answer(&mut self) {
        let out = self.records.iter().filter_map(|(offset, known)| match known.fate {
            Fate::Out(lock) => Some((*offset, lock)),
            _ => None,
        });
        let out: Vec<_> = out.collect();
        if out.is_empty() {
            return;
        }
        let (offset, lock) = *self.random.choose(&out);
        self.expire();
        let is_held = lock.until > self.now;
        let known = self.records[&offset];
        let held = self.state.held(offset, lock.id, self.now);
        assert_eq!(held.map(|span| span.count), is_held.then_some(known.count));
        let of_lock =
            |offset: Offset| self.records.get(&offset).is_some_and(|known| known.fate == Fate::Out(lock));
        assert!(held.is_none_or(|span| (span.first..=span.last).all(of_lock)), "{held:?}");
        assert_eq!(self.state.held(offset, lock.id + 1, self.now), None, "another's lock");
        if !is_held {
            return;
        }
        let choice = self.random.below(6);
        // It is still out when its lock is made longer.
        self.suspect = self.suspect.filter(|suspect| *suspect != offset || choice > 4);
        let known = self.records.get_mut(&offset).unwrap();
        match choice {
            0..3 => {
                self.state.finish(offset, offset, DeliveryState::Acknowledged);
                known.fate = Fate::Done;
            }
            3 => {
                self.state.finish(offset, offset, DeliveryState::Archived);
                known.fate = Fate::GivenUp;
            }
            4 => {
                let until = self.now + i64::try_from(self.random.below(30)).unwrap();
                self.state.release(offset, offset, Some(until).filter(|until| *until > self.now));
                known.fate = Fate::Waiting(until);
                known.come_back();
            }
            _ => {
                let lock = Lock { until: self.now + 50, ..lock };
                self.state.renew(offset, lock);
                known.fate = Fate::Out(lock);
            }
        }
    }

    /// What was stored is all that is left; what was out is waiting.
    fn restart(&mut self) {
        let mut next = SharePartition::new(self.state.start());
        next.restore(None, &self.state.batches());
        for known in self.records.values_mut() {
            if matches!(known.fate, Fate::Out(_) | Fate::Waiting(_)) {
                known.fate = Fate::Waiting(0);
            }
            known.is_suspect = false;
            known.is_watched = false;
            known.was_out = known.count > 0;
            known.is_doubted = known.was_out;
        }
        self.suspect = None;
        self.state = next;
        if self.is_ordered {
            let open: Vec<Span> = self.state.open_spans().into();
            let fresh = open.iter().flat_map(|span| self.records.range(span.first..=span.last));
            let fresh = fresh.map(|(offset, known)| Fresh { offset: *offset, key: known.key });
            let fresh: Vec<_> = fresh.collect();
            self.state.keep_order(fresh);
        }
        self.state.suspect_of(LIMIT);
        for (offset, known) in &mut self.records {
            known.is_suspect = self.state.is_suspect(*offset);
            assert!(!known.is_suspect || known.count >= 1, "{offset} was never out");
        }
    }

    /// Retention takes what is old, done or not.
    fn retain(&mut self) {
        let ahead = i64::try_from(self.random.below(10)).unwrap();
        self.log_start = self.log_start.max((self.state.start() + ahead).min(self.end));
        let lost = self.records.range(self.state.start()..self.log_start.max(self.state.start()));
        let lost = lost.filter(|(_, known)| !matches!(known.fate, Fate::Done | Fate::GivenUp)).count();
        let is_counted = self.state.skip_to(self.log_start) >= u64::try_from(lost).unwrap();
        assert!(is_counted, "{lost} records were lost, and are not counted");
        self.suspect = self.suspect.filter(|suspect| *suspect >= self.log_start);
        let log_start = self.log_start;
        for (_, known) in self.records.range_mut(..log_start) {
            if !matches!(known.fate, Fate::Done) {
                known.fate = Fate::GivenUp;
            }
        }
    }

    /// A power cut has taken the last records, and not what was known of them.
    fn cut(&mut self) {
        let least = self.log_start.max(self.end - 4).max(0);
        let end = least + i64::try_from(self.random.below(5)).unwrap();
        self.end = self.end.min(end);
        self.records.retain(|offset, _| *offset < self.end);
        self.restart();
        self.state.cut_to(self.end);
        self.restart();
    }
}

#[test]
fn a_queues_partition_does_what_a_plain_list_says() {
    let seeds =
        std::env::var("ANNALS_QUEUE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    for seed in 0..seeds {
        let mut world = World::new(seed);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (0..STEPS).for_each(|_| world.step());
        }));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

#[test]
fn everything_is_done_in_the_end_and_nothing_is_kept_of_it() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        (0..100).for_each(|_| world.step());
        for _ in 0..10_000 {
            world.take();
            world.now += 30;
            world.expire();
            world.take();
            let out: Vec<_> =
                world.records.iter().filter(|(_, known)| matches!(known.fate, Fate::Out(_))).collect();
            let out: Vec<_> = out.into_iter().map(|(offset, _)| *offset).collect();
            for offset in out {
                world.state.finish(offset, offset, DeliveryState::Acknowledged);
                world.records.get_mut(&offset).unwrap().fate = Fate::Done;
                world.suspect = world.suspect.filter(|suspect| *suspect != offset);
            }
            let is_open = |known: &Known| !matches!(known.fate, Fate::Done | Fate::GivenUp);
            if !world.records.values().any(is_open) {
                break;
            }
        }
        assert_eq!(world.state.figures(), crate::share::runs::Figures::default(), "seed {seed}");
        assert_eq!(world.state.start(), world.state.end());
    }
}
