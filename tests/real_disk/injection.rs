//! The campaign of failing calls: `strace` fails the n-th call of a kind, or kills the process there, for every n.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use annals::Durability;

use crate::common::now;
use crate::device::{Cut, Device, command, remove};
use crate::judge::Ledger;
use crate::process::{End, Process, life};
use crate::report::State;
use crate::{Options, Outcome};

/// What is failed, and how. A call that the workload does not make costs nothing.
const FAULTS: [(&str, &[&str]); 17] = [
    ("write", &["error=EIO", "signal=KILL"]),
    ("pwrite64", &["error=EIO", "error=ENOSPC", "signal=KILL", "short"]),
    ("pwritev", &["error=EIO", "error=ENOSPC", "signal=KILL"]),
    ("fdatasync", &["error=EIO", "error=ENOSPC", "signal=KILL"]),
    ("fsync", &["error=EIO", "error=ENOSPC", "signal=KILL"]),
    ("msync", &["error=EIO", "signal=KILL"]),
    ("ftruncate", &["error=EIO", "error=ENOSPC", "signal=KILL"]),
    ("fallocate", &["error=EIO", "error=ENOSPC", "signal=KILL"]),
    ("rename", &["error=EIO", "error=ENOSPC", "signal=KILL"]),
    ("renameat2", &["error=EIO", "error=ENOSPC", "signal=KILL"]),
    ("unlink", &["error=EIO", "signal=KILL"]),
    ("rmdir", &["error=EIO", "signal=KILL"]),
    ("mkdir", &["error=EIO", "error=ENOSPC", "signal=KILL"]),
    ("openat", &["error=EIO", "error=ENOSPC", "error=EMFILE", "signal=KILL"]),
    ("pread64", &["error=EIO"]),
    ("mmap", &["error=EIO", "signal=KILL"]),
    ("madvise", &["error=EIO", "error=ENOMEM", "signal=KILL"]),
];

struct Campaign {
    /// With one, the power fails after each run.
    device: Option<Device>,
    dir: PathBuf,
    /// Makes the n-th `pwrite64` a short one.
    preload: String,
    trace: PathBuf,
    /// What a process that was killed has left, in the directory beside: the store that each run begins with. Without it,
    /// each begins with none.
    left: State,
    /// Runs in which something failed that the process was told of.
    told_of: u64,
    killed: u64,
    /// Runs that were to be killed and ended by themselves.
    missed: u64,
    lives: u64,
}

pub(crate) fn run(options: &Options) -> Outcome {
    let device = Device::of(options).ok();
    let root = PathBuf::from(options.text("at")?);
    let trace = PathBuf::from(options.text("trace")?);
    let preload = options.text("preload")?;
    // Several campaigns at a time share the calls.
    let (every, skip) = (options.number("every").unwrap_or(1).max(1), options.number("skip").unwrap_or(0));
    let dir = root.join("injected");
    let left = State::default();
    let mut campaign =
        Campaign { device, dir, preload, trace, left, told_of: 0, killed: 0, missed: 0, lives: 0 };
    let started = now();
    if options.text("recovery").is_ok() {
        campaign.leave()?;
    }
    let (before, all) = campaign.calls()?;
    let mut runs = 0;
    for (call, faults) in FAULTS {
        let (before, all) = (before.get(call).copied().unwrap_or(0), all.get(call).copied().unwrap_or(0));
        for fault in faults {
            for number in (before + 1 + skip..=all).step_by(usize::try_from(every).unwrap_or(1)) {
                let once = campaign.once(call, fault, number);
                once.map_err(|wrong| format!("{call}:{fault} at call {number}: {wrong}"))?;
                runs += 1;
            }
            if all > before {
                println!("{call}:{fault} at {} calls; {runs} runs, {:.0?}", all - before, started.elapsed());
            }
        }
    }
    let Campaign { told_of, killed, missed, .. } = campaign;
    println!(
        "{runs} runs, {told_of} in which a call of the library failed, {killed} killed, {:.0?}",
        started.elapsed()
    );
    let has_struck = killed > runs / 10 && missed < killed / 20 && told_of > runs / 10;
    if has_struck { Ok(()) } else { Err(format!("the faults hardly struck: {missed} were to be killed")) }
}

impl Campaign {
    /// How many calls of each kind the process makes before it first looks at its store, which are the loader's and the
    /// runtime's, and in all.
    fn calls(&mut self) -> Outcome<(BTreeMap<String, u64>, BTreeMap<String, u64>)> {
        self.begin()?;
        let mut command = Command::new("strace");
        command.arg("-o").arg(&self.trace);
        let end = self.process(command)?;
        if !end.status.success() || !end.told.errors.is_empty() {
            return Err(format!("without a fault: {:?} {}", end.told.errors, end.errors));
        }
        let text = fs::read_to_string(&self.trace).map_err(|error| error.to_string())?;
        let (mut before, mut all) = (BTreeMap::new(), BTreeMap::<String, u64>::new());
        for line in text.lines() {
            if let Some((call, _)) = line.split_once('(') {
                *all.entry(call.to_owned()).or_default() += 1;
            }
            if before.is_empty()
                && line.contains(self.dir.to_str().unwrap_or_default())
                && !line.starts_with("execve")
            {
                before = all.clone();
            }
        }
        Ok((before, all))
    }

    /// A store with a torn end, for faults in the recovery and behind it.
    fn leave(&mut self) -> Outcome {
        let mut tracer = Command::new("strace");
        // In a write of the last round, which leaves records that no sync covered.
        tracer.args([
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=pwrite64",
            "-e",
            "inject=pwrite64:signal=KILL:when=120",
        ]);
        self.process(tracer)?;
        let seen = Process::start(life("look", &self.dir, 0))?.end(usize::MAX)?;
        self.left = seen.found.ok_or_else(|| format!("it does not open: {}", seen.errors))?;
        // What it left is on the disk, and may not be lost by a recovery either.
        command(Command::new("sync").arg("-f").arg(&self.dir))?;
        std::fs::rename(&self.dir, self.dir.with_extension("left")).map_err(|error| error.to_string())
    }

    /// The store as each run finds it.
    fn begin(&self) -> Outcome {
        remove(&self.dir)?;
        let left = self.dir.with_extension("left");
        if left.exists() {
            command(Command::new("cp").arg("-a").arg(&left).arg(&self.dir))?;
            command(Command::new("sync").arg("-f").arg(&self.dir))?;
        }
        Ok(())
    }

    fn process(&mut self, mut tracer: Command) -> Outcome<End> {
        self.lives += 1;
        let workload = life("little", &self.dir, self.lives);
        tracer.arg(workload.get_program()).args(workload.get_args());
        Process::start(tracer)?.end(usize::MAX)
    }

    fn once(&mut self, call: &str, fault: &str, number: u64) -> Outcome {
        self.begin()?;
        let mut tracer = Command::new("strace");
        if fault == "short" {
            tracer = Command::new("env");
            tracer.arg(format!("LD_PRELOAD={}", self.preload)).arg(format!("ANNALS_SHORT_WRITE={number}"));
        } else {
            tracer.args(["-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
            tracer.args(["-e", &format!("inject={call}:{fault}:when={number}")]);
        }
        let end = self.process(tracer)?;
        let number_of_life = self.lives;
        let was_killed = end.status.code().is_none() || end.status.code() == Some(137);
        self.killed += u64::from(was_killed);
        self.told_of += u64::from(!end.told.errors.is_empty() || end.status.code() == Some(3));
        // The last calls of a kind are not made in every run.
        self.missed += u64::from(fault.starts_with("signal") && !was_killed);
        // A failed sync takes back what was only written.
        let is_sync = call.ends_with("sync") && !was_killed;
        let survives = if is_sync { Durability::Disk } else { Durability::Os };
        self.look("look", &end, number_of_life, survives)?;
        if let Some(device) = &self.device {
            device.cut(Cut::NothingFlushed)?;
            device.remount()?;
        }
        let survives = if self.device.is_some() { Durability::Disk } else { survives };
        self.look("last", &end, number_of_life, survives)
    }

    /// What is there is judged, and with `last` the store is as good as any.
    fn look(&self, kind: &str, end: &End, number: u64, survives: Durability) -> Outcome {
        let seen = Process::start(life(kind, &self.dir, self.lives + 1_000_000))?.end(usize::MAX)?;
        if !seen.status.success() {
            return Err(format!("it does not go on: {}", seen.errors));
        }
        let found = seen.found.ok_or_else(|| format!("it does not open: {}", seen.errors))?;
        Ledger::of(self.left.clone()).judge(found, &end.told, number, survives)
    }
}
