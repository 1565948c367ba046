//! Queues: what a worker is handed, its answers, and what a crash leaves of them.

use super::*;

const ANSWERS: Tests = tests("queue", &["answers::"]);
const LIFE: Tests = tests("queue", &["life::"]);
const LATER: Tests = tests("queue", &["later::"]);
const ORDER: Tests = tests("queue", &["order::"]);
const POWER: Tests = tests("queue", &["power::"]);
const MODEL: Tests = tests("queue", &["model::"]);
const STATES: Tests = tests("lib", &["share::"]);

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "answer-not-written",
        file: "src/share/queue.rs",
        good: "self.queues.states.write(&place.slot, &mut inner, (&batches, now))?;",
        bad: "self.queues.states.write(&place.slot, &mut inner, (&[], now))?;",
        caught_by: &[ANSWERS, POWER, MODEL],
    },
    Bug {
        name: "delivery-counted-in-memory",
        file: "src/share/queue.rs",
        good: "if !self.settings.counts_written {",
        bad: "if true {",
        caught_by: &[LIFE, POWER],
    },
    Bug {
        name: "lock-of-a-dead-worker-kept",
        file: "src/share/runs.rs",
        good: "if *time <= now { self.span(*first) } else { None }",
        bad: "if *time <= now && false { self.span(*first) } else { None }",
        caught_by: &[ANSWERS, MODEL],
    },
    Bug {
        name: "lock-ends-late",
        file: "src/share/runs.rs",
        good: "if *time <= now { self.span(*first) } else { None }",
        bad: "if *time < now { self.span(*first) } else { None }",
        caught_by: &[ANSWERS, STATES],
    },
    Bug {
        name: "answer-of-anybody-taken",
        file: "src/share/share_partition.rs",
        good: "RunState::Acquired(held) if held.id == lock && held.until > now => {",
        bad: "RunState::Acquired(held) if held.until > now => {",
        caught_by: &[STATES, ANSWERS],
    },
    Bug {
        name: "delay-ignored",
        file: "src/share/queue.rs",
        good: "let due = (!delay.is_zero()).then(|| until(now, delay));",
        bad: "let due = (!delay.is_zero() && false).then(|| until(now, delay));",
        caught_by: &[ANSWERS, MODEL],
    },
    Bug {
        name: "delivery-limit-ignored",
        file: "src/share/share_partition.rs",
        good: "count >= limit && limit != NO_LIMIT",
        bad: "count > limit && limit != NO_LIMIT",
        caught_by: &[STATES, MODEL, ANSWERS],
    },
    Bug {
        name: "key-free-once-released",
        file: "src/share/share_partition.rs",
        good: "None => self.let_go(first, last, count),",
        bad: "None => { self.leave_lanes(first, last); self.let_go(first, last, count) }",
        caught_by: &[STATES, MODEL],
    },
    Bug {
        name: "key-order-forgotten-over-a-restart",
        file: "src/share/queue.rs",
        good: "inner.state.keep_order(records);",
        bad: "inner.state.keep_order(records.into_iter().take(0));",
        caught_by: &[ORDER, MODEL],
    },
    Bug {
        name: "suspects-go-out-in-company",
        file: "src/share/queue.rs",
        good: "if inner.prepared_for == 0 {",
        bad: "if false {",
        caught_by: &[tests("queue", &["life::a_message_that_ends"])],
    },
    Bug {
        name: "letter-without-the-end-of-its-message",
        file: "src/share/burial.rs",
        good: "tx.take_part(|| Buried { contribution }, |_| {});",
        bad: "drop(contribution);",
        caught_by: &[POWER, MODEL],
    },
    Bug {
        name: "answer-outside-of-its-transaction",
        file: "src/share/answers.rs",
        good: "entries.push(entry);",
        bad: "drop(entry);",
        caught_by: &[ANSWERS, POWER],
    },
    Bug {
        name: "state-beyond-the-end-kept",
        file: "src/share/queues.rs",
        good: "partition.is_some_and(|partition| found.state.cut_to(partition.end()));",
        bad: "partition.is_some_and(|partition| found.state.cut_to(partition.end().max(i64::MAX - 9)));",
        caught_by: &[tests("queue", &["life::what_a_power_cut"])],
    },
    Bug {
        name: "cut-state-not-written",
        file: "src/share/queues.rs",
        good: "owed.push(Arc::clone(&slot));",
        bad: "drop(Arc::clone(&slot));",
        caught_by: &[tests("queue", &["life::what_a_power_cut"])],
    },
    Bug {
        name: "update-of-an-earlier-snapshot-counts",
        file: "src/share/state_log.rs",
        good: ".filter(|found| found.epoch == update.epoch)",
        bad: ".filter(|_| true)",
        caught_by: &[STATES],
    },
    Bug {
        name: "one-lock-answers-for-all",
        file: "src/share/queue.rs",
        good: "Some(span) if (span.first..=span.last).contains(offset) => Some(span),",
        bad: "Some(span) if span.count > 0 => Some(span),",
        caught_by: &[ANSWERS],
    },
    Bug {
        name: "states-pruned-that-a-quiet-queue-needs",
        file: "src/share/tidy.rs",
        good: "needed = needed.min(inner.accounts.snapshot_at);",
        bad: "needed = needed.min(inner.accounts.snapshot_at.max(end));",
        caught_by: &[tests("queue", &["scale::"])],
    },
    Bug {
        name: "queues-do-not-keep-segments",
        file: "src/group/consumed.rs",
        good: "self.consumed_by_groups(partition).and(by_others)",
        bad: "self.consumed_by_groups(partition).and(Consumed::Nobody).and(if false { by_others } else { Consumed::Nobody })",
        caught_by: &[tests("queue", &["life::segments_go"])],
    },
    Bug {
        name: "later-is-at-the-end-of-the-first-step",
        file: "src/share/schedule.rs",
        good: "if held.at > now {",
        bad: "if held.at > now && false {",
        caught_by: &[LATER],
    },
    Bug {
        name: "scheduled-twice-after-a-kill",
        file: "src/share/schedule.rs",
        good: "tx.take_part(|| PendingOffsets::new(&self.groups), |offsets| offsets.set(pending));",
        bad: "drop(pending);",
        caught_by: &[tests("queue", &["later::each"])],
    },
    Bug {
        name: "ids-forgotten-over-a-restart",
        file: "src/share/ids.rs",
        good: "for (at, id) in found {",
        bad: "for (at, id) in found.into_iter().take(0) {",
        caught_by: &[tests("queue", &["enqueue::"])],
    },
    Bug {
        name: "what-lies-before-is-passed-over",
        file: "src/log/read/reader.rs",
        good: "let is_further_on = position > self.position;",
        bad: "let is_further_on = position > 0;",
        caught_by: &[MODEL],
    },
    Bug {
        name: "what-one-queue-has-done-goes",
        file: "src/share/done.rs",
        good: "|all, slot| common(&all, &done(slot))",
        bad: "|all, slot| common(&all, &done(slot).into_iter().map(|_| 0..=Offset::MAX).take(1).collect())",
        caught_by: &[tests("queue", &["done::"])],
    },
    Bug {
        name: "answers-less-durable-than-what-follows",
        file: "src/share/done.rs",
        good: "self.states.sync()?;",
        bad: "_ = self.states.partition();",
        caught_by: &[tests("queue", &["done::"])],
    },
    Bug {
        name: "letters-of-other-topics-handed-out",
        file: "src/share/queue.rs",
        good: "record.header(TOPIC_HEADER) == Some(topic.as_bytes());",
        bad: "(record.header(TOPIC_HEADER) == Some(topic.as_bytes()) || true);",
        caught_by: &[tests("queue", &["letters::"])],
    },
    Bug {
        name: "letters-replace-each-other",
        file: "src/share/burial.rs",
        good: "let is_compacted = topic.settings().compaction().is_some();",
        bad: "let is_compacted = topic.settings().compaction().is_some() && records.is_empty();",
        caught_by: &[tests("queue", &["letters::"])],
    },
    Bug {
        name: "limit-counts-what-is-no-message",
        file: "src/share/enqueuer.rs",
        good: "count.saturating_sub(backlogs.gaps(partition, (&limit.group, *end)))",
        bad: "count.saturating_sub(0 * backlogs.gaps(partition, (&limit.group, *end)))",
        caught_by: &[tests("queue", &["enqueue::"])],
    },
    Bug {
        name: "sent-back-to-everybody",
        file: "src/share/queue.rs",
        good: "record.header(REDRIVE_HEADER).is_none_or(|of| of == group.as_bytes())",
        bad: "record.header(REDRIVE_HEADER).is_none_or(|_| true)",
        caught_by: &[tests("queue", &["letters::"])],
    },
];
