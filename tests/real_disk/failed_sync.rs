//! The campaign of failed syncs: the kernel takes pages for clean that never reached the disk, and a new process reads them.
//!
//! Ten records are acknowledged. Ten more are written while the disk fails all writes, so that the sync fails. The disk works
//! again; a new process opens the store, appends ten and is told they are durable. The power fails. Of every four of these
//! processes one has its pages evicted before it appends.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use crate::content::Seen;
use crate::device::{Cut, Device, remove};
use crate::process::{Process, life};
use crate::report::State;
use crate::{Options, Outcome};

/// As with a real disk, nothing but the file that makes the disk fail is known of it.
struct Campaign {
    device: Device,
    switch: PathBuf,
    /// `ten`, of annals, or `naive`, of a log that believes what it reads.
    log: String,
    /// Processes that were told of evicted pages.
    told: Cell<u64>,
    /// File systems that went down with the disk: a write of their own journal was among those that failed.
    down: Cell<u64>,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let campaign = Campaign::of(options, "ten")?;
    let count = options.number("count")?;
    for number in 0..count {
        campaign.once(number)?.map_err(|wrong| format!("run {number}: {wrong}"))?;
    }
    println!(
        "{count} failed syncs, each followed by a new process and a power cut: nothing acknowledged is missing; {} \
         processes were told that pages had gone, {} file systems had gone down",
        campaign.told.get(),
        campaign.down.get()
    );
    Ok(())
}

/// The same with a log that is known to lose: the campaign has to see it.
pub(crate) fn run_naive(options: &Options) -> Outcome {
    let campaign = Campaign::of(options, "naive")?;
    let count = options.number("count")?;
    let mut lost = 0;
    for number in 0..count {
        if let Err(wrong) = campaign.once(number)? {
            println!("seen: {wrong:.150}");
            lost += u64::from(wrong.contains("LOST"));
        }
    }
    println!("a log that believes the page cache: records lost in {lost} of {count} runs");
    if lost * 10 >= count * 9 { Ok(()) } else { Err("the harness does not see lost records".to_owned()) }
}

impl Campaign {
    fn of(options: &Options, log: &str) -> Outcome<Self> {
        let switch = options.text("switch")?.into();
        Ok(Self {
            device: Device::of(options)?,
            switch,
            log: log.to_owned(),
            told: Cell::default(),
            down: Cell::default(),
        })
    }

    /// The outer error is of the harness, the inner one of the log.
    fn once(&self, number: u64) -> Outcome<Outcome> {
        let dir = self.device.root.join(format!("{}{number}", self.log));
        let mut first = Process::start(life(&self.log, &dir, number * 2 + number % 2))?;
        first.await_line("TEN")?;
        fs::write(&self.switch, "").map_err(|error| error.to_string())?;
        first.go_on()?;
        first.await_line("END")?;
        let first = first.end(usize::MAX)?;
        fs::remove_file(&self.switch).map_err(|error| error.to_string())?;
        let errors = &first.told.errors;
        if first.told.durable.len() != 10 || !errors.iter().any(|error| error.contains("os error 5")) {
            return Ok(Err(format!(
                "{} acknowledged, errors: {errors:?} {}",
                first.told.durable.len(),
                first.errors
            )));
        }
        if self.log == "ten" && !is_poisoned(errors) {
            return Ok(Err(format!("it goes on after a failed sync: {errors:?}")));
        }
        let mut second = self.after_restart(&dir, number)?;
        let heard = second.heard();
        self.device.cut(if number.is_multiple_of(3) { Cut::JournalFlushed } else { Cut::NothingFlushed })?;
        second.kill();
        let second = second.end(heard)?;
        self.device.remount()?;
        if second.told.durable.len() != 10 {
            return Ok(Err(format!("after the restart: {:?} {}", second.told.errors, second.errors)));
        }
        let last = Process::start(life(&self.log, &dir, number * 2 + 3))?.end(usize::MAX)?;
        let told = first.told.durable.iter().chain(&second.told.durable);
        let judged = match last.found {
            Some(found) => judge(&found, told),
            None => Err(format!("LOST: it does not open: {}", last.errors)),
        };
        remove(&dir)?;
        Ok(judged)
    }
}

impl Campaign {
    /// A process on the disk that works again, when it has appended. One under which the pages went that only memory had is
    /// told so before anything is acknowledged, and starts again.
    fn after_restart(&self, dir: &Path, number: u64) -> Outcome<Process> {
        let is_evicted = self.log == "ten" && number % 4 == 1;
        let kind = if is_evicted { "ten-after-eviction" } else { &self.log };
        let mut process = Process::start(life(kind, dir, number * 2 + 2))?;
        process.await_line("TEN")?;
        if !process.has_ended()? {
            return Ok(process);
        }
        let ended = process.end(usize::MAX)?;
        if !ended.told.durable.is_empty() {
            return Err(format!("after the restart: {:?} {}", ended.told.durable, ended.errors));
        } else if ended.errors.contains("reopen the store") {
            self.told.update(|told| told + 1);
        } else if ended.errors.contains("os error 5") {
            self.down.update(|down| down + 1);
            self.device.remount()?;
        } else {
            return Err(format!("after the restart: {}", ended.errors));
        }
        let mut process = Process::start(life(&self.log, dir, number * 2 + 2))?;
        process.await_line("TEN")?;
        Ok(process)
    }
}

/// Every call behind the failed sync was refused, and at least the first of them as such.
fn is_poisoned(errors: &[String]) -> bool {
    let after: Vec<_> = errors.iter().filter(|error| error.starts_with("E after")).collect();
    after.len() == 2 && after[0].contains("poison")
}

fn judge<'a>(found: &State, told: impl Iterator<Item = &'a Seen>) -> Outcome {
    if let Some(wrong) = found.wrong.first() {
        return Err(wrong.clone());
    }
    let Some(part) = found.partitions.values().next() else { return Err("LOST: the topic".to_owned()) };
    for seen in told {
        let there = part.records.get(&seen.offset);
        if there != Some(seen) {
            return Err(format!(
                "LOST: {seen:?} was acknowledged, found {there:?}, {} records",
                part.records.len()
            ));
        }
    }
    if part.records.keys().copied().eq(0..part.end) {
        Ok(())
    } else {
        Err(format!("a hole: {:?}", part.records.keys()))
    }
}

/// The directory of a log, as the naive one keeps it.
pub(crate) fn naive_file(dir: &Path) -> PathBuf {
    dir.with_extension("log")
}
