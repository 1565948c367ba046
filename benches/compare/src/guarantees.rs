//! Whether the calls do what their class says: what a SIGKILL leaves, and how many syncs an append makes.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use crate::child::Task;
use crate::harness::Outcome;
use crate::options::Options;
use crate::payload::Payloads;
use crate::peer::{AROUND, Class, Codec, Kind, Peer, Setup, Work};
use crate::peers;
use crate::results::{Kill, Line, Sync};
use crate::scratch::Scratch;

const LEN: usize = 100;

/// Every row and what it offers.
pub(crate) fn list() -> Outcome {
    for peer in peers::ALL {
        println!("{}: {}", peer.name, if peer.note.is_empty() { "-" } else { peer.note });
        for offer in peer.offers {
            println!("    {}: {}", offer.class.name(), offer.call);
        }
    }
    Ok(())
}

/// A child appends records one by one and kills itself behind the last; what is left is counted.
pub(crate) fn check_kill(options: &Options) -> Outcome {
    let scratch = options.scratch()?;
    peers::prepare(scratch.path());
    let mut results = options.results()?;
    let records = if options.scale > 1 { 1_007 } else { 10_007 };
    let mut wrong = Vec::new();
    for peer in peers::ALL
        .iter()
        .filter(|peer| peer.kind != Kind::Bare && peer.does(Work::W1) && options.wants_row(peer.name))
    {
        for offer in peer.offers {
            let kill = left_by_kill(peer, offer.class, offer.call, records, &scratch)
                .map_err(|error| format!("{}, {}: {error}", peer.name, offer.class.word()))?;
            if !kill.sound || (offer.class > Class::Memory && kill.found != records) {
                wrong.push(format!("{}, {}", peer.name, offer.class.word()));
            }
            results.add(Line::Kill(kill))?;
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("not what the class says: {}", wrong.join("; ")).into())
    }
}

fn left_by_kill(peer: &Peer, class: Class, call: &str, records: usize, scratch: &Scratch) -> Outcome<Kill> {
    let dir = scratch.fresh()?;
    let task = Task {
        peer: peer.name,
        class,
        dir: dir.path(),
        len: LEN,
        batch: 1,
        records,
        room: records,
        kill: true,
        as_claimed: false,
    };
    task.run_to_its_death()?;
    let setup =
        Setup { class, codec: Codec::None, bytes: records * LEN, records, around: AROUND, as_claimed: false };
    let mut log = (peer.open)(dir.path(), &setup)?;
    let found = log.read_back()?;
    let sound = found == Payloads::new(LEN).expected(0..found.records);
    let (row, call) = (peer.name.into(), call.into());
    Ok(Kill { row, class: class.word().into(), call, appended: records, found: found.records, sound })
}

/// Children append few and many records under strace; the difference belongs to the appends.
pub(crate) fn check_sync(options: &Options) -> Outcome {
    let scratch = options.scratch()?;
    let mut results = options.results()?;
    let mut wrong = Vec::new();
    for peer in peers::ALL.iter().filter(|peer| options.wants_row(peer.name)) {
        let disk = peer.offer(Class::Disk).map(|offer| (Class::Disk, offer.call, false));
        let claim = peer.claim.map(|call| (Class::Os, call, true));
        for (class, call, as_claimed) in disk.into_iter().chain(claim) {
            let sync = syncs(peer, class, as_claimed, &scratch)?;
            let all = sync.fsync + sync.fdatasync;
            // Below one a record: a sync of a file that is opened synchronously is in its writes.
            if class == Class::Disk && all < 1.0 && sync.synchronous_files == 0 {
                wrong.push(peer.name);
            }
            results.add(Line::Sync(Sync { call: call.into(), ..sync }))?;
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("no sync for each append: {}", wrong.join("; ")).into())
    }
}

fn syncs(peer: &Peer, class: Class, as_claimed: bool, scratch: &Scratch) -> Outcome<Sync> {
    const FEW: usize = 50;
    const MANY: usize = 250;
    let (few, many) =
        (traced(peer, class, as_claimed, FEW, scratch)?, traced(peer, class, as_claimed, MANY, scratch)?);
    let each = |call: &str| {
        let count = |calls: &HashMap<String, usize>| calls.get(call).copied().unwrap_or(0) as f64;
        (count(&many) - count(&few)) / (MANY - FEW) as f64
    };
    Ok(Sync {
        row: peer.name.into(),
        class: class.word().into(),
        call: String::new(),
        appended: MANY - FEW,
        fsync: each("fsync"),
        fdatasync: each("fdatasync"),
        msync: each("msync"),
        sync_file_range: each("sync_file_range"),
        synchronous_files: many.get("O_SYNC").copied().unwrap_or(0),
    })
}

/// System calls by name, and files opened synchronously as `O_SYNC`.
fn traced(
    peer: &Peer,
    class: Class,
    as_claimed: bool,
    records: usize,
    scratch: &Scratch,
) -> Outcome<HashMap<String, usize>> {
    let dir = scratch.fresh()?;
    let trace = scratch.fresh()?;
    let trace = trace.path().join("trace");
    let task = Task {
        peer: peer.name,
        class,
        dir: dir.path(),
        len: LEN,
        batch: 1,
        records,
        room: 1000,
        kill: false,
        as_claimed,
    };
    let status = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=fsync,fdatasync,msync,sync_file_range,openat", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe()?)
        .args(task.args())
        .status()
        .map_err(|error| format!("strace: {error}"))?;
    if !status.success() {
        return Err(format!("{}: the traced child ended with {status}", peer.name).into());
    }
    count_calls(&trace, dir.path())
}

fn count_calls(trace: &Path, dir: &Path) -> Outcome<HashMap<String, usize>> {
    let (mut calls, dir) = (HashMap::new(), dir.display().to_string());
    for line in std::fs::read_to_string(trace)?.lines() {
        // `1234  fsync(3) = 0`; a call that another thread interrupted comes back as `resumed`.
        let Some((_, call)) = line.split_once(' ') else { continue };
        let Some((name, rest)) = call.trim_start().split_once('(') else { continue };
        if name == "openat" {
            if rest.contains(&dir) && (rest.contains("O_DSYNC") || rest.contains("O_SYNC")) {
                *calls.entry("O_SYNC".into()).or_insert(0) += 1;
            }
        } else if !name.contains(' ') {
            *calls.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    Ok(calls)
}
