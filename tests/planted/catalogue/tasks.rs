//! Tasks that wait.

use super::*;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "each-task-elsewhere-rings-in-turn",
        file: "src/log/signal/elsewhere.rs",
        good: "if is_news && self.raise_here() {",
        bad: "if is_news && (self.raise_here() || self.process.is_current()) {",
        caught_by: &[tests("tasks", &["elsewhere::tasks_that_the_owner"])],
    },
    Bug {
        name: "awaited-flush-uses-up-a-loss-before-it-is-ready",
        file: "src/topic/durable.rs",
        good: "        if !this.waits.is_empty() || this.moved.iter().any(Moved::waits) {\n",
        bad: "        if !this.waits.is_empty() {\n            this.outcome = tell_one_loss(&this.flushed);\n",
        caught_by: &[tests("tasks", &["dropped::a_flush_that_was_dropped"])],
    },
    Bug {
        name: "threads-of-a-reader-stay",
        file: "src/store/reader.rs",
        good: "inner.topics.agenda().stop_tasks(),",
        bad: "drop(inner),",
        caught_by: &[tests("tasks", &["elsewhere::the_threads"])],
    },
    Bug {
        name: "task-does-not-wait-for-the-decision",
        file: "src/transaction/deciding.rs",
        good: "self.note_for_later(&rests_on, later);",
        bad: "ended.places.values().for_each(|written| later.lock().add(&written.partition, written.last));\n                drop(rests_on);",
        caught_by: &[tests("tasks", &["commits::"])],
    },
    Bug {
        name: "future-that-was-ready-works-on",
        file: "src/log/once.rs",
        good: "    *is_over = polled.is_ready();\n",
        bad: "",
        caught_by: &[tests("tasks", &["once::"])],
    },
    Bug {
        name: "waker-kept-without-a-second-look",
        file: "src/log/signal.rs",
        good: "if state.raised != seen {\n            drop(state);",
        bad: "if false {\n            drop(state);",
        caught_by: &[tests("lib", &["log::signal::"])],
    },
    Bug {
        name: "first-waker-is-kept",
        file: "src/log/signal.rs",
        good: "is_some_and(|(known, _)| known.will_wake(waker))",
        bad: "is_some()",
        caught_by: &[tests("tasks", &["wakes::the_last_waker"])],
    },
    Bug {
        name: "waker-is-copied-under-the-lock-of-the-signal",
        file: "src/log/signal.rs",
        good: "        let own = (waker.clone(), Arc::clone(waking));\n",
        bad: "        let held = self.state.lock();\n        let own = (waker.clone(), Arc::clone(waking));\n        drop(held);\n",
        caught_by: &[tests("tasks", &["copied::"])],
    },
    Bug {
        name: "wakers-are-called-under-locks",
        file: "src/log/signal.rs",
        good: "waking.wake(waker);",
        bad: "drop(waking);\n            waker.wake();",
        caught_by: &[tests("tasks", &["ends::"])],
    },
    Bug {
        name: "sync-thread-forgets-one",
        file: "src/upkeep/tasks.rs",
        good: "for (_, waiting) in same {",
        bad: "for (_, waiting) in same.iter().take(same.len().max(3) - 1) {",
        caught_by: &[tests("tasks", &["durable::ten_thousand"])],
    },
    Bug {
        name: "waker-kept-after-the-outcome",
        file: "src/log/write/awaited.rs",
        good: "None => state.waker.replace(own),",
        bad: "None if !self.is_put_down => None,\n                None => state.waker.replace(own),",
        caught_by: &[tests("tasks", &["wakes::no_sync"])],
    },
    Bug {
        name: "durable-though-another-has-the-offset",
        file: "src/log/write/awaited.rs",
        good: "!self.was_written && self.log.accumulator.lock().is_lost(self.offset, self.failures)",
        bad: "false",
        caught_by: &[tests("tasks", &["durable::a_record"])],
    },
];
