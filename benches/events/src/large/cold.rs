//! Reading streams of which nothing is in memory. On a file system in memory there is no such thing: `--dir` names one on a disk.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use annals::{Offset, Topic};

use crate::harness::Outcome;
use crate::large::{asked, open, process, read};
use crate::works::stream;

/// How often everything is put out of memory, and streams that are asked for each time.
const ROUNDS: usize = 10;
const STREAMS: usize = 20;

/// What is in memory.
#[derive(Clone, Copy, PartialEq)]
enum Warm {
    Nothing,
    Index,
}

pub(super) fn run(dir: &Path, versions: &[Option<Offset>]) -> Outcome {
    println!("\n{:<44} {:>10} {:>10} {:>10}", "cold, for each stream", "µs", "waits", "KiB read");
    let streams = versions.len();
    for (warm, name) in [(Warm::Nothing, "nothing in memory"), (Warm::Index, "the index in memory")] {
        let works: [(&str, &dyn Fn(&Topic, usize) -> Outcome); 3] = [
            ("10 events", &|topic, at| read(topic, at)),
            ("version", &|topic, at| {
                topic.stream(stream(at))?.version()?.ok_or("no event")?;
                Ok(())
            }),
            ("not there", &|topic, at| match topic.get(format!("x{}", stream(at)))? {
                None => Ok(()),
                Some(_) => Err("an event".into()),
            }),
        ];
        for (nth, (what, work)) in works.into_iter().enumerate() {
            let (mut elapsed, mut waits, mut bytes) = (Duration::ZERO, 0, 0);
            for round in 0..ROUNDS {
                put_out(dir, warm)?;
                let (store, topic) = open(dir)?;
                // Opening is another matter, and so is the first look into each file.
                work(&topic, asked(1_000_000 + round, streams))?;
                let before = (Instant::now(), process::major_faults(), process::read_bytes()?);
                for number in 0..STREAMS {
                    work(&topic, asked((nth * ROUNDS + round) * STREAMS + number + 2_000_000, streams))?;
                }
                elapsed += before.0.elapsed();
                waits += process::major_faults() - before.1;
                bytes += process::read_bytes()? - before.2;
                store.close()?;
            }
            let count = (ROUNDS * STREAMS) as f64;
            println!(
                "{:<44} {:>10.0} {:>10.1} {:>10.0}",
                format!("{what}, {name}"),
                elapsed.as_secs_f64() * 1e6 / count,
                waits as f64 / count,
                bytes as f64 / 1024.0 / count
            );
        }
    }
    Ok(())
}

/// Nobody has the files open or mapped.
fn put_out(dir: &Path, warm: Warm) -> Outcome {
    for entry in std::fs::read_dir(dir.join("events-0"))? {
        let path = entry?.path();
        let file = File::open(&path)?;
        file.sync_all()?;
        // SAFETY: the call takes numbers alone.
        #[expect(unsafe_code, reason = "std has no advice")]
        let code = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        if code != 0 {
            return Err(std::io::Error::from_raw_os_error(code).into());
        }
        if warm == Warm::Index && path.extension().is_some_and(|extension| extension != "log") {
            std::io::copy(&mut &file, &mut std::io::sink())?;
        }
    }
    Ok(())
}
