//! Rows that take turns: A B C A B C. What drifts on the machine drifts under all of them.

use std::path::Path;

use crate::harness::Outcome;
use crate::options::Options;
use crate::payload::{Payloads, Values};
use crate::peer::{AROUND, Codec, Log, Offer, Peer, Setup, Work};
use crate::peers;
use crate::results::{Line, Results, Row};

/// A table: rows that do the same job.
pub(crate) struct Table<'a> {
    pub(crate) work: Work,
    pub(crate) title: String,
    pub(crate) variant: String,
    pub(crate) codec: Codec,
    pub(crate) threads: usize,
    pub(crate) unit: &'static str,
    pub(crate) options: &'a Options,
}

/// A peer in a table.
pub(crate) struct Entrant {
    pub(crate) peer: &'static Peer,
    pub(crate) offer: &'static Offer,
    pub(crate) records: usize,
    pub(crate) samples: Vec<f64>,
}

impl Table<'_> {
    /// Those that do this work and whose offer, if there is one, `choose` finds.
    pub(crate) fn entrants(&self, choose: impl Fn(&'static Peer) -> Option<&'static Offer>) -> Vec<Entrant> {
        let has = |peer: &&&'static Peer| {
            peer.does(self.work)
                && peer.codecs.contains(&self.codec)
                && self.options.wants_row(peer.row_name(self.work))
        };
        let entrant = |peer: &&'static Peer| {
            let offer = choose(peer).filter(|offer| offer.shared || self.threads == 1)?;
            Some(Entrant { peer, offer, records: 0, samples: Vec::new() })
        };
        peers::ALL.iter().filter(has).filter_map(entrant).collect()
    }

    /// Runs `run` for each entrant in turn, so often, and adds what it returns to the samples. The first round does not
    /// count.
    pub(crate) fn take_turns(
        &self,
        entrants: &mut [Entrant],
        mut run: impl FnMut(usize, &Entrant, bool) -> Outcome<f64>,
    ) -> Outcome {
        for repetition in 0..=self.options.repetitions {
            let is_last = repetition == self.options.repetitions;
            for (at, entrant) in entrants.iter_mut().enumerate() {
                let name = entrant.peer.row_name(self.work);
                let sample =
                    run(at, entrant, is_last).map_err(|error| format!("{}: {name}: {error}", self.title))?;
                if repetition > 0 {
                    entrant.samples.push(sample);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn report(&self, entrants: Vec<Entrant>, results: &mut Results) -> Outcome {
        for Entrant { peer, offer, records, samples } in entrants {
            results.add(Line::Row(Row {
                workload: self.work.name(),
                title: self.title.clone(),
                variant: self.variant.clone(),
                class: offer.class.word().into(),
                codec: self.codec.name().into(),
                threads: self.threads,
                row: peer.row_name(self.work).into(),
                who: peer.kind.word().into(),
                call: offer.call.into(),
                note: peer.note.into(),
                records,
                unit: self.unit.into(),
                samples,
            }))?;
        }
        Ok(())
    }
}

/// Opens a log for so many records of `values`.
pub(crate) fn open(
    entrant: &Entrant,
    codec: Codec,
    dir: &Path,
    records: usize,
    payloads: &Payloads,
) -> Outcome<Box<dyn Log>> {
    let setup = Setup {
        class: entrant.offer.class,
        codec,
        bytes: records * payloads.get(0).len(),
        records,
        around: AROUND,
        as_claimed: false,
    };
    (entrant.peer.open)(dir, &setup)
}

/// Appends by so many threads at once, each its share.
pub(crate) fn append(log: &mut Box<dyn Log>, values: &Values, threads: usize) -> Outcome {
    if threads == 1 {
        log.append_run(values)?;
    } else {
        let log = &**log;
        std::thread::scope(|scope| {
            let shares = values.shares(threads).into_iter().enumerate();
            let running: Vec<_> =
                shares.map(|(thread, share)| scope.spawn(move || log.append_share(thread, &share))).collect();
            running.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
        })?;
    }
    log.finish()
}
