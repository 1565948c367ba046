//! W1 to W4: appending.

use crate::harness::{Outcome, ns_each, timed};
use crate::options::Options;
use crate::payload::{Found, Payloads, Values};
use crate::peer::{Class, Codec, Work};
use crate::results::Results;
use crate::rows::{Entrant, Table, append, open};
use crate::scratch::Scratch;

/// What is appended.
pub(crate) struct Job {
    pub(crate) work: Work,
    pub(crate) what: &'static str,
    pub(crate) len: usize,
    pub(crate) batch: usize,
    /// Records of a run, if there is time for them.
    pub(crate) records: usize,
    pub(crate) class: Class,
    pub(crate) codec: Codec,
    pub(crate) threads: usize,
}

pub(crate) fn run(job: &Job, options: &Options, scratch: &Scratch, results: &mut Results) -> Outcome {
    let threads = if job.threads == 1 { "1 thread".into() } else { format!("{} threads", job.threads) };
    let codec = if job.codec == Codec::None { String::new() } else { format!(", {}", job.codec.name()) };
    let table = Table {
        work: job.work,
        title: job.what.into(),
        variant: format!("{}, {threads}{codec}", job.class.name()),
        codec: job.codec,
        threads: job.threads,
        unit: if job.class == Class::Disk { "µs/record" } else { "ns/record" },
        options,
    };
    let bench = Bench { job, payloads: Payloads::new(job.len), scratch, budget: options.budget };
    let mut entrants = table.entrants(|peer| peer.offer(job.class));
    let full = options.records(job.records);
    for entrant in &mut entrants {
        let name = entrant.peer.name;
        entrant.records =
            bench.fit(entrant, full).map_err(|error| format!("{}: {name}: {error}", job.what))?;
    }
    let in_unit = if job.class == Class::Disk { 1e-3 } else { 1.0 };
    table.take_turns(&mut entrants, |_, entrant, is_last| {
        Ok(bench.once(entrant, entrant.records, is_last)? * in_unit)
    })?;
    table.report(entrants, results)
}

struct Bench<'a> {
    job: &'a Job,
    payloads: Payloads,
    scratch: &'a Scratch,
    budget: f64,
}

impl Bench<'_> {
    /// So many records as fit into the budget, by a short run, whose result is checked.
    fn fit(&self, entrant: &Entrant, full: usize) -> Outcome<usize> {
        let unit = 800;
        let few = (full / 20).next_multiple_of(unit).min(full);
        let each = self.once(entrant, few, true)?;
        let fits = (self.budget * 1e9 / each) as usize / unit * unit;
        Ok(fits.clamp(unit.min(full), full))
    }

    /// One run in a new directory; ns a record.
    fn once(&self, entrant: &Entrant, records: usize, check: bool) -> Outcome<f64> {
        let Self { job, payloads, scratch, .. } = self;
        let dir = scratch.fresh()?;
        let mut log = open(entrant, job.codec, dir.path(), records, payloads)?;
        log.prepare_append()?;
        let values = Values::new(payloads, 0..records, job.batch);
        let ((), elapsed) = timed(|| append(&mut log, &values, job.threads))?;
        if check {
            same(log.read_back()?, payloads.expected(0..records))?;
        }
        Ok(ns_each(elapsed, records))
    }
}

/// What was read must be what was written.
pub(crate) fn same(found: Found, expected: Found) -> Outcome {
    if found == expected { Ok(()) } else { Err(format!("found {found:?} instead of {expected:?}").into()) }
}
