//! W5 and W6: reading everything, and one record by its number.

use tempfile::TempDir;

use crate::append::same;
use crate::harness::{Outcome, ns_each, timed};
use crate::options::Options;
use crate::payload::{Payloads, Random, Values};
use crate::peer::{Codec, Log, Work};
use crate::results::Results;
use crate::rows::{Entrant, Table, append, open};
use crate::scratch::Scratch;

/// How logs that are read were written.
const BATCH: usize = 100;

/// A filled log. Dropped in this order: it is closed before its directory goes.
struct Filled {
    log: Box<dyn Log>,
    _dir: TempDir,
}

impl Filled {
    fn new(
        entrant: &Entrant,
        codec: Codec,
        records: usize,
        payloads: &Payloads,
        scratch: &Scratch,
    ) -> Outcome<Self> {
        let dir = scratch.fresh()?;
        let mut log = open(entrant, codec, dir.path(), records, payloads)?;
        log.prepare_append()?;
        append(&mut log, &Values::new(payloads, 0..records, BATCH), 1)?;
        log.prepare_read()?;
        Ok(Self { log, _dir: dir })
    }
}

pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) what: &'static str,
    pub(crate) len: usize,
    pub(crate) records: usize,
    pub(crate) codec: Codec,
}

impl Job {
    fn table<'a>(&self, options: &'a Options) -> Table<'a> {
        let variant = if self.codec == Codec::None { String::new() } else { self.codec.name().into() };
        let (codec, title) = (self.codec, self.what.into());
        Table { work: self.work, title, variant, codec, threads: 1, unit: "ns/record", options }
    }
}

/// Reads everything, each byte touched.
pub(crate) fn everything(job: &Job, options: &Options, scratch: &Scratch, results: &mut Results) -> Outcome {
    let table = job.table(options);
    let payloads = Payloads::new(job.len);
    let mut entrants = table.entrants(|peer| Some(peer.laziest()));
    let full = options.records(job.records);
    let mut logs = Vec::new();
    for entrant in &mut entrants {
        let name = entrant.peer.name;
        let fill = |records| {
            Filled::new(entrant, job.codec, records, &payloads, scratch)
                .map_err(|error| format!("{}: {name}: {error}", job.what))
        };
        // As many records as can be read in the budget; in steps, since there are readers to whom each record costs more
        // the more there are.
        let mut records = 800.min(full);
        loop {
            let mut filled = fill(records)?;
            let (_, elapsed) = timed(|| filled.log.read_all())?;
            let more = (options.budget / elapsed.as_secs_f64()).min(20.0);
            if records == full || more < 2.0 {
                logs.push(filled);
                break;
            }
            records = ((records as f64 * more) as usize / 800 * 800).min(full);
        }
        entrant.records = records;
    }
    table.take_turns(&mut entrants, |at, entrant, _| {
        let log = &mut logs[at].log;
        log.prepare_read()?;
        let (found, elapsed) = timed(|| log.read_all())?;
        same(found, payloads.expected(0..entrant.records))?;
        Ok(ns_each(elapsed, entrant.records))
    })?;
    table.report(entrants, results)
}

/// Reads records by their numbers, in no order.
pub(crate) fn points(job: &Job, options: &Options, scratch: &Scratch, results: &mut Results) -> Outcome {
    let table = job.table(options);
    let payloads = Payloads::new(job.len);
    let mut entrants = table.entrants(|peer| Some(peer.laziest()));
    let records = options.records(job.records);
    let mut random = Random::default();
    let all: Vec<usize> = (0..options.records(100_000)).map(|_| random.below(records)).collect();
    let mut logs = Vec::new();
    for entrant in &mut entrants {
        let name = entrant.peer.name;
        let mut filled = Filled::new(entrant, job.codec, records, &payloads, scratch)
            .map_err(|error| format!("{}: {name}: {error}", job.what))?;
        let few = &all[..20];
        let (_, elapsed) = timed(|| filled.log.read_run(few))?;
        let fits = (options.budget * 1e9 / ns_each(elapsed, few.len())) as usize;
        entrant.records = fits.clamp(few.len(), all.len());
        logs.push(filled);
    }
    table.take_turns(&mut entrants, |at, entrant, _| {
        let numbers = &all[..entrant.records];
        let (found, elapsed) = timed(|| logs[at].log.read_run(numbers))?;
        same(found, payloads.expected(numbers.iter().copied()))?;
        Ok(ns_each(elapsed, numbers.len()))
    })?;
    table.report(entrants, results)
}
