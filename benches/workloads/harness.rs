//! Rows of a workload, run in turn: A B C A B C. What drifts on the machine drifts under all of them.

use std::error::Error;
use std::time::{Duration, Instant};

use crate::payload::Found;
use crate::scratch::Scratch;

pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// What a workload is made from.
pub(crate) struct Scope {
    pub(crate) scratch: Scratch,
    pub(crate) scale: usize,
}

impl Scope {
    /// So many records, or fewer in a quick run.
    pub(crate) fn records(&self, full: usize) -> usize {
        (full / self.scale).max(100)
    }
}

/// One workload: rows that do the same job.
pub(crate) struct Workload {
    pub(crate) title: &'static str,
    /// What every run of every row must find.
    pub(crate) expected: Found,
    pub(crate) rows: Vec<Row>,
}

/// One way to do the job.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// The others are measured against it; without one, against the first.
    pub(crate) is_limit: bool,
    run: Box<dyn FnMut() -> Outcome<Sample>>,
}

impl Row {
    pub(crate) fn new(name: &'static str, run: impl FnMut() -> Outcome<Sample> + 'static) -> Self {
        Self { name, is_limit: false, run: Box::new(run) }
    }

    pub(crate) fn limit(name: &'static str, run: impl FnMut() -> Outcome<Sample> + 'static) -> Self {
        Self { is_limit: true, ..Self::new(name, run) }
    }
}

/// One run of a row.
pub(crate) struct Sample {
    pub(crate) elapsed: Duration,
    /// What was read, or what was there after the writing.
    pub(crate) found: Found,
}

/// Runs `work` and says how long it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<(T, Duration)> {
    let begin = Instant::now();
    let done = work()?;
    Ok((done, begin.elapsed()))
}

/// A workload and its figures.
pub(crate) struct Measured {
    pub(crate) title: &'static str,
    pub(crate) records: usize,
    pub(crate) rows: Vec<Figures>,
}

/// Nanoseconds per record of one row.
pub(crate) struct Figures {
    pub(crate) name: &'static str,
    pub(crate) is_limit: bool,
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    /// Median over the repetitions of this row's time by the limit's in the same repetition.
    pub(crate) ratio: f64,
}

/// Runs every row once to warm it, then `repetitions` times in turn.
pub(crate) fn measure(mut workload: Workload, repetitions: usize) -> Outcome<Measured> {
    let mut times = vec![Vec::new(); workload.rows.len()];
    for repetition in 0..=repetitions {
        for (row, times) in workload.rows.iter_mut().zip(&mut times) {
            let sample = (row.run)()?;
            if sample.found != workload.expected {
                let (found, expected) = (&sample.found, &workload.expected);
                return Err(format!("{}: found {found:?} instead of {expected:?}", row.name).into());
            }
            if repetition > 0 {
                times.push(sample.elapsed.as_secs_f64() * 1e9 / workload.expected.records as f64);
            }
        }
    }
    let limit = workload.rows.iter().position(|row| row.is_limit).unwrap_or(0);
    let figures = |(row, own): (&Row, &Vec<f64>)| {
        let ratios = own.iter().zip(&times[limit]).map(|(own, limit)| own / limit).collect();
        let own = sorted(own.clone());
        Figures {
            name: row.name,
            is_limit: row.is_limit,
            median: median(own.clone()),
            least: own[0],
            most: own[own.len() - 1],
            ratio: median(ratios),
        }
    };
    let rows = workload.rows.iter().zip(&times).map(figures).collect();
    Ok(Measured { title: workload.title, records: workload.expected.records, rows })
}

fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

fn median(values: Vec<f64>) -> f64 {
    let values = sorted(values);
    values[values.len() / 2]
}
