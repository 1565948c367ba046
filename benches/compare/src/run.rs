//! The workloads W1 to W8.

use crate::append::{self, Job};
use crate::harness::Outcome;
use crate::options::Options;
use crate::peer::{Class, Codec, Work};
use crate::results::Results;
use crate::scratch::Scratch;
use crate::{open, peers, read, size};

const ONE_BY_ONE: Job = Job {
    work: Work::W1,
    what: "append 100 B, one call a record",
    len: 100,
    batch: 1,
    records: 300_000,
    class: Class::Memory,
    codec: Codec::None,
    threads: 1,
};

pub(crate) fn run(options: &Options) -> Outcome {
    let scratch = options.scratch()?;
    peers::prepare(scratch.path());
    let mut results = options.results()?;
    for work in Work::ALL.into_iter().filter(|work| options.wants(&work.name())) {
        one(work, options, &scratch, &mut results)?;
    }
    Ok(())
}

fn one(work: Work, options: &Options, scratch: &Scratch, results: &mut Results) -> Outcome {
    match work {
        Work::W1 => {
            for class in [Class::Memory, Class::Os] {
                for threads in [1, 2, 8] {
                    append::run(&Job { class, threads, ..ONE_BY_ONE }, options, scratch, results)?;
                }
            }
            Ok(())
        }
        Work::W2 => {
            let job = Job { work, what: "append 100 B in batches of 100", batch: 100, ..ONE_BY_ONE };
            for threads in [2, 8] {
                append::run(&Job { class: Class::Os, threads, ..job }, options, scratch, results)?;
            }
            in_batches(&job, options, scratch, results)
        }
        Work::W3 => {
            let what = "append 1 KiB in batches of 100";
            in_batches(
                &Job { work, what, len: 1024, batch: 100, records: 40_000, ..ONE_BY_ONE },
                options,
                scratch,
                results,
            )
        }
        Work::W4a => {
            let what = "durable append of 100 B, one sync a record";
            append::run(
                &Job { work, what, class: Class::Disk, records: 800, ..ONE_BY_ONE },
                options,
                scratch,
                results,
            )
        }
        Work::W4b => {
            let what = "durable append of 100 B by 8 threads, all together";
            let job = Job { work, what, class: Class::Disk, records: 2_400, threads: 8, ..ONE_BY_ONE };
            append::run(&job, options, scratch, results)
        }
        Work::W5 | Work::W5k => {
            let (what, len, records) = if work == Work::W5 {
                ("read all, 100 B, every byte touched", 100, 1_000_000)
            } else {
                ("read all, 1 KiB, every byte touched", 1024, 150_000)
            };
            Codec::ALL.into_iter().try_for_each(|codec| {
                read::everything(&read::Job { work, what, len, records, codec }, options, scratch, results)
            })
        }
        Work::W6 => {
            let what = "read one record by its number, anywhere, 100 B";
            let job = read::Job { work, what, len: 100, records: 1_000_000, codec: Codec::None };
            read::points(&job, options, scratch, results)
        }
        Work::W7 => open::run(options, scratch, results),
        Work::W8 => Codec::ALL.into_iter().try_for_each(|codec| size::run(codec, options, scratch, results)),
    }
}

/// In memory, to the operating system, and there with each codec.
fn in_batches(job: &Job, options: &Options, scratch: &Scratch, results: &mut Results) -> Outcome {
    append::run(&Job { class: Class::Memory, ..*job }, options, scratch, results)?;
    for codec in Codec::ALL {
        append::run(&Job { class: Class::Os, codec, ..*job }, options, scratch, results)?;
    }
    Ok(())
}
