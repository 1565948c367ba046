//! What runs in processes of its own: those that are killed, traced or weighed.

use std::path::Path;
use std::process::{Command, ExitStatus};

use annals::Store;

use crate::batches::append_batches;
use crate::harness::Outcome;
use crate::kill::kill_self;
use crate::payload::{Payloads, Values};
use crate::peer::{AROUND, Class, Codec, Setup};
use crate::peers;

/// What a child appends.
pub(crate) struct Task<'a> {
    pub(crate) peer: &'a str,
    pub(crate) class: Class,
    pub(crate) dir: &'a Path,
    pub(crate) len: usize,
    pub(crate) batch: usize,
    pub(crate) records: usize,
    /// Records that the log may come to hold in all.
    pub(crate) room: usize,
    pub(crate) kill: bool,
    pub(crate) as_claimed: bool,
}

impl Task<'_> {
    /// The arguments that make a child of this program do it.
    pub(crate) fn args(&self) -> Vec<String> {
        vec![
            "child".into(),
            "append".into(),
            self.peer.into(),
            self.class.word().into(),
            self.dir.display().to_string(),
            self.len.to_string(),
            self.batch.to_string(),
            self.records.to_string(),
            self.room.to_string(),
            self.kill.to_string(),
            self.as_claimed.to_string(),
        ]
    }

    pub(crate) fn run(&self) -> Outcome<ExitStatus> {
        Ok(Command::new(std::env::current_exe()?).args(self.args()).status()?)
    }

    /// Runs it; it must end by a SIGKILL.
    pub(crate) fn run_to_its_death(&self) -> Outcome {
        use std::os::unix::process::ExitStatusExt;
        let status = self.run()?;
        if status.signal() == Some(libc::SIGKILL) {
            Ok(())
        } else {
            Err(format!("{}: the child ended with {status} instead of a SIGKILL", self.peer).into())
        }
    }
}

/// What the arguments of a child say. Those that are weighed are left to `weigh`.
pub(crate) fn main<I: Iterator<Item = String>>(mut args: I, weigh: fn(I) -> Outcome) -> Outcome {
    let command = args.next().ok_or("too few arguments")?;
    let mut next = || args.next().ok_or("too few arguments");
    match command.as_str() {
        "append" => {
            let (peer, class, dir) = (next()?, Class::parse(&next()?)?, next()?);
            let task = Task {
                peer: &peer,
                class,
                dir: Path::new(&dir),
                len: next()?.parse()?,
                batch: next()?.parse()?,
                records: next()?.parse()?,
                room: next()?.parse()?,
                kill: next()?.parse()?,
                as_claimed: next()?.parse()?,
            };
            append(&task)
        }
        "annals" => {
            let (dir, what) = (next()?, next()?);
            annals_to_its_death(Path::new(&dir), &what)
        }
        "weigh" => weigh(args),
        other => Err(format!("a child cannot {other}").into()),
    }
}

/// Has a child open this store of annals, append 4 MiB to its first topic (`append`) or a record to each (`touch`), and kill
/// itself.
pub(crate) fn annals_killed(dir: &Path, what: &str) -> Outcome {
    use std::os::unix::process::ExitStatusExt;
    let status =
        Command::new(std::env::current_exe()?).args(["child", "annals"]).arg(dir).arg(what).status()?;
    if status.signal() == Some(libc::SIGKILL) {
        Ok(())
    } else {
        Err(format!("the child ended with {status}").into())
    }
}

fn annals_to_its_death(dir: &Path, what: &str) -> Outcome {
    let store = Store::open(dir)?;
    let payloads = Payloads::new(1024);
    for topic in store.topics().iter().filter(|topic| !topic.name().starts_with("__")) {
        let partition = topic.partition(0)?;
        if what == "append" {
            append_batches(&partition, &payloads, 4_096)?;
            break;
        }
        append_batches(&partition, &payloads, 1)?;
    }
    kill_self();
    Ok(())
}

fn append(task: &Task<'_>) -> Outcome {
    peers::prepare(task.dir.parent().ok_or("a path without a parent")?);
    let peer = peers::named(task.peer)?;
    let setup = Setup {
        class: task.class,
        codec: Codec::None,
        bytes: task.room * task.len,
        records: task.room,
        around: AROUND,
        as_claimed: task.as_claimed,
    };
    let mut log = (peer.open)(task.dir, &setup)?;
    let mut values = Values::new(&Payloads::new(task.len), 0..task.records, task.batch);
    values.kill_behind = task.kill;
    log.append_run(&values)?;
    log.finish()
}
