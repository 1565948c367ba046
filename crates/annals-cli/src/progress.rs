//! Bars for what takes longer than a second.

use std::time::{Duration, Instant};

use crate::show::is_dumb;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Progress of one piece of work, on standard error, and only on a terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    began: Instant,
    is_shown: bool,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Bytes,
    Offsets,
    Partitions,
}

impl Progress {
    /// Of `total`; `None` when nobody knows how much there is.
    pub(crate) fn new(total: Option<u64>, unit: Unit) -> Self {
        let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
        bar.set_draw_target(ProgressDrawTarget::hidden());
        let template = match (unit, total) {
            (Unit::Bytes, Some(_)) => {
                "{bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} {msg}"
            }
            (Unit::Bytes, None) => "{spinner} {binary_bytes} {binary_bytes_per_sec} {msg}",
            (Unit::Offsets, _) => "{bar:30} {human_pos}/{human_len} offsets {per_sec} {eta} {msg}",
            (Unit::Partitions, _) => "{bar:30} {pos}/{len} partitions {eta} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar, began: Instant::now(), is_shown: false }
    }

    /// It has become known how much there is.
    pub(crate) fn of(&self, total: u64) {
        self.bar.set_length(total);
    }

    /// So much is done by now.
    pub(crate) fn at(&mut self, done: u64) {
        if !self.is_shown && !is_dumb() && self.began.elapsed() >= Duration::from_secs(1) {
            self.is_shown = true;
            // Hidden by itself where standard error is no terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(done);
    }

    pub(crate) fn say(&self, words: String) {
        self.bar.set_message(words);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
