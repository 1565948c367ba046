//! The campaign of power cuts: a process appends, the power fails, and the next process goes on in the same store.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use annals::Durability;

use crate::common::now;
use crate::device::{Cut, Device, remove};
use crate::judge::Ledger;
use crate::process::{End, Process, life};
use crate::report::READY;
use crate::{Options, Outcome};
use annals_testing::Random;

/// Cuts that one store goes through.
const CUTS_EACH: u64 = 12;

struct Campaign {
    device: Device,
    /// Put in front of the system's calls, to make syncs do nothing.
    preload: Option<String>,
    random: Random,
    acknowledged: usize,
    records: usize,
}

/// `count` cuts, of which none may lose anything.
pub(crate) fn run(options: &Options) -> Outcome {
    let (mut campaign, count) = (Campaign::of(options)?, options.number("count")?);
    let started = now();
    let mut done = 0;
    while done < count {
        let cuts = CUTS_EACH.min(count - done);
        campaign.store(done, cuts)?;
        done += cuts;
        if done % (10 * CUTS_EACH) == 0 {
            println!("{done} cuts in {:.0?}", started.elapsed());
        }
    }
    let Campaign { acknowledged, records, .. } = campaign;
    let each = started.elapsed().as_millis() / u128::from(count.max(1));
    println!(
        "{count} cuts, {acknowledged} records acknowledged as durable, none missing; {records} found; {each} ms a cut"
    );
    if acknowledged as u64 > count { Ok(()) } else { Err("the writers hardly got to work".to_owned()) }
}

/// `count` cuts of a writer whose syncs do nothing. That has to be seen in most of them: the first one of a store is often
/// cut before anything was acknowledged, so each store goes through two.
pub(crate) fn run_unsynced(options: &Options) -> Outcome {
    let (mut campaign, count) = (Campaign::of(options)?, options.number("count")?);
    let mut seen = Vec::new();
    for number in 0..count {
        if let Err(wrong) = campaign.store(number * 2, 2) {
            println!("seen: {wrong:.150}");
            seen.push(wrong);
        }
    }
    let is_loss = |wrong: &&String| ["LOST", "is gone", "damaged"].iter().any(|word| wrong.contains(word));
    let lost = seen.iter().filter(is_loss).count() as u64;
    println!("a writer that does not sync: loss seen in {lost} of {count} stores");
    // Anything else that is seen is a fault of the harness.
    let is_most = lost * 4 >= count * 3 && lost == seen.len() as u64;
    if is_most { Ok(()) } else { Err("the harness does not see a missing sync".to_owned()) }
}

impl Campaign {
    fn of(options: &Options) -> Outcome<Self> {
        let seed = options.number("seed").unwrap_or_else(|_| u64::from(std::process::id()));
        println!("seed {seed}");
        let device = Device::of(options)?;
        let preload = options.text("preload").ok();
        Ok(Self { device, preload, random: Random::new(seed), acknowledged: 0, records: 0 })
    }

    /// One store through some cuts, and a last look.
    fn store(&mut self, first: u64, cuts: u64) -> Outcome {
        let dir = self.device.root.join(format!("store{first}"));
        let mut ledger = Ledger::default();
        let mut before: Option<(End, u64)> = None;
        for number in first..first + cuts {
            let end = self.life(&dir, number).map_err(|wrong| format!("life {number}: {wrong}"))?;
            // One that was cut while it opened has changed nothing.
            if end.found.is_some() {
                self.judge(&mut ledger, before, &end, number)?;
                before = Some((end, number));
            }
        }
        let last = Process::start(life("last", &dir, first + cuts))?.end(usize::MAX)?;
        if !last.status.success() {
            return Err(format!("the last look of store {first}: {}", last.errors));
        }
        self.judge(&mut ledger, before, &last, first + cuts)?;
        self.acknowledged += ledger.acknowledged;
        remove(&dir)
    }

    /// What a life found, against what the one before it was told.
    fn judge(&mut self, ledger: &mut Ledger, before: Option<(End, u64)>, now: &End, number: u64) -> Outcome {
        let (Some((before, life)), Some(found)) = (before, &now.found) else { return Ok(()) };
        self.records += found.partitions.values().map(|part| part.records.len()).sum::<usize>();
        let judged = ledger.judge(found.clone(), &before.told, life, Durability::Disk);
        judged.map_err(|wrong| format!("after the cut of life {life}, seen by {number}: {wrong}"))
    }

    /// A process appends for a while, and the power fails.
    fn life(&mut self, dir: &Path, number: u64) -> Outcome<End> {
        let mut command = life("work", dir, number);
        if let Some(preload) = &self.preload {
            command.env("LD_PRELOAD", preload).env("ANNALS_NO_SYNC", "1");
        }
        let mut process = Process::start(command)?;
        if self.random.below(8) == 0 {
            sleep(Duration::from_micros(self.random.below(8_000)));
        } else {
            // Often while the first append sets right what the last cut left.
            let is_early = self.random.below(4) == 0;
            process.await_line(if is_early { READY } else { "WORKING" })?;
            let most = if is_early { 10_000 } else { 60_000 };
            sleep(Duration::from_micros(self.random.below(most)));
        }
        // Said before the cut is requested. A sync that is under way can still succeed, and lose.
        let counted = process.heard();
        let cut = if self.random.below(3) == 0 { Cut::JournalFlushed } else { Cut::NothingFlushed };
        self.device.cut(cut)?;
        if self.random.below(4) == 0 {
            // A dead disk is seen by the library.
            sleep(Duration::from_millis(5));
        }
        process.kill();
        let end = process.end(counted)?;
        self.device.remount()?;
        let has_failed = end.found.is_none() && end.status.code() == Some(3) && !is_of_the_cut(&end.errors);
        match end.told.errors.first() {
            _ if has_failed => Err(end.errors),
            Some(error) => Err(format!("before the cut: {error}")),
            None => Ok(end),
        }
    }
}

/// Opening met the dead disk.
fn is_of_the_cut(errors: &str) -> bool {
    ["os error 5)", "os error 30)", "os error 117)"].iter().any(|error| errors.contains(error))
}
