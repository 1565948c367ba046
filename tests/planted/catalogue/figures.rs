//! Figures and events.

use super::*;

const FIGURES: Tests = tests("interface", &["figures::"]);

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "time-of-the-first-record-read-with-each-look",
        file: "src/log/stats.rs",
        good: "Some(known).filter(|_| is_current);",
        bad: "Some(known).filter(|_| !is_current);",
        caught_by: &[tests("interface", &["figures::figures_that"])],
    },
    Bug {
        name: "a-deleted-topic-takes-its-counts-along",
        file: "src/log/log.rs",
        good: "self.figures.add_gone(std::mem::take(&mut writer.appended));",
        bad: "writer.appended = Default::default();",
        caught_by: &[FIGURES],
    },
    Bug {
        name: "a-topic-that-is-deleted-just-now-lessens-what-was-appended",
        file: "src/figures/counters.rs",
        good: "told.fetch_max(*all, Ordering::Relaxed).max(*all)",
        bad: "told.swap(*all, Ordering::Relaxed).min(*all)",
        caught_by: &[tests("lib", &["figures::"])],
    },
    Bug {
        name: "a-class-of-lengths-ends-too-early",
        file: "src/figures/histogram.rs",
        good: "(quarter * (STEPS + step + 1)) << power",
        bad: "(quarter * (STEPS + step)) << power",
        caught_by: &[tests("lib", &["figures::"])],
    },
    Bug {
        name: "nobody-is-woken-to-tell-of-an-event",
        file: "src/figures/event.rs",
        good: "let is_first = waiting.len() == 1;",
        bad: "let is_first = false;",
        caught_by: &[FIGURES],
    },
    Bug {
        name: "a-partition-is-poisoned-each-time-it-is-asked",
        file: "src/log/poison.rs",
        good: "if is_first {",
        bad: "if is_first || cfg!(unix) {",
        caught_by: &[FIGURES],
    },
    Bug {
        name: "writes-that-came-too-late-counted-as-failures",
        file: "src/log/write/writer.rs",
        good: "        if was_tried(error) {",
        bad: "        if was_tried(error) || self.end() >= 0 {",
        caught_by: &[tests("interface", &["deletions_beside_senders"])],
    },
    Bug {
        name: "a-position-beyond-an-end-stops-the-whole-commit",
        file: "src/group/commit.rs",
        good: "Err(beyond) if kind != CommitKind::Given => {",
        bad: "Err(beyond) if kind != CommitKind::Given && offset < 0 => {",
        caught_by: &[tests("interface", &["one_partition_sought_beyond"])],
    },
    Bug {
        name: "what-was-left-out-hides-that-the-rest-may-be-taken-back",
        file: "src/group/commit.rs",
        good: "left_out.tell_of_committed(",
        bad: "left_out.tell(",
        caught_by: &[tests("interface", &["poisoned::that_a_commit_at_disk"])],
    },
    Bug {
        name: "positions-behind-what-a-dropped-transaction-had-are-claimed",
        file: "src/group/endings.rs",
        good: "        if untaken.goes_back {\n",
        bad: "        if untaken.goes_back && untaken.done.len() == usize::MAX {\n",
        caught_by: &[tests("lib", &["transaction::tests::claims::"])],
    },
    Bug {
        name: "a-transaction-that-is-over-renews-its-claim",
        file: "src/group/endings.rs",
        good: "        is_current\n    }",
        bad: "        is_current || cfg!(unix)\n    }",
        caught_by: &[tests("lib", &["transaction::tests::claims::"])],
    },
    Bug {
        name: "whoever-is-beyond-the-end-while-others-write-is-within",
        file: "src/log/write/queued.rs",
        good: "        offset <= self.given_out.get()",
        bad: "        self.accumulator.try_lock().is_none_or(|accumulator| offset <= accumulator.next_offset())",
        caught_by: &[tests("lib", &["log::tests::beyond::"])],
    },
    Bug {
        name: "pace-of-a-clock-that-was-set-back-stays-in-its-minute",
        file: "src/share/pace.rs",
        good: "-1..=0 => self,",
        bad: "..=0 => self,",
        caught_by: &[tests("lib", &["share::pace::"])],
    },
    Bug {
        name: "what-waits-has-no-age-by-a-clock-that-was-set-back",
        file: "src/share/stats.rs",
        good: "Ok(sent.map(age))",
        bad: "Ok(sent.filter(|sent| *sent <= now).map(age))",
        caught_by: &[tests("queue", &["letters::what_waits_had_no_age"])],
    },
];
