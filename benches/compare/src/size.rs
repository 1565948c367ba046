//! W8: bytes on the disk for each byte of the user.

use crate::harness::Outcome;
use crate::options::Options;
use crate::payload::{Payloads, Values};
use crate::peer::{Codec, Setup, Work};
use crate::results::Results;
use crate::rows::{Table, append};
use crate::scratch::{Scratch, disk_bytes};

const LEN: usize = 100;

pub(crate) fn run(codec: Codec, options: &Options, scratch: &Scratch, results: &mut Results) -> Outcome {
    let table = Table {
        work: Work::W8,
        title: "disk bytes for each user byte, 100 B in batches of 100, closed cleanly".into(),
        variant: if codec == Codec::None { String::new() } else { codec.name().into() },
        codec,
        threads: 1,
        unit: "bytes/byte",
        options,
    };
    let payloads = Payloads::new(LEN);
    // In the class in which a user would write in batches: each call handed over, where there is such a class.
    let mut entrants = table.entrants(|peer| peer.offer(crate::peer::Class::Os).or(Some(peer.laziest())));
    let records = options.records(1_000_000);
    for entrant in &mut entrants {
        let dir = scratch.fresh()?;
        // Those of a fixed size are told one that fits: their headers are 8 and 9 bytes.
        let class = entrant.offer.class;
        let setup = Setup { class, codec, bytes: records * LEN, records, around: 10, as_claimed: false };
        let mut log = (entrant.peer.open)(dir.path(), &setup)?;
        append(&mut log, &Values::new(&payloads, 0..records, 100), 1)?;
        drop(log);
        entrant.records = records;
        entrant.samples.push(disk_bytes(dir.path())? as f64 / (records * LEN) as f64);
    }
    table.report(entrants, results)
}
