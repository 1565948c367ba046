//! Queues and transactions beside others: who waits for whom, what is forgotten meanwhile, and what a panic leaves.

use super::*;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "cut-state-left-to-those-who-hold-it",
        file: "src/share/owed.rs",
        good: "self.write_owed_of(is_own, Holding::Nothing)",
        bad: "Ok(())",
        caught_by: &[tests("queue", &["cut::an_answer"])],
    },
    Bug {
        name: "cut-state-that-cannot-be-written-keeps-all-others",
        file: "src/share/owed.rs",
        good: "queues.write_owed_of(|of| of.topic == id, holding)",
        bad: "queues.write_owed_of(|_| id > 0, holding)",
        caught_by: &[tests("processes", &["waits::a_worker_that_is_stopped_where_an_open_has_to_cut"])],
    },
    Bug {
        name: "transaction-goes-on-after-a-panic-of-its-send",
        file: "src/transaction/transaction.rs",
        good: "self.failed = Some(Error::Panicked { message: \"while the transaction was written\".to_owned() });",
        bad: "",
        caught_by: &[tests("interface", &["transactions::panics::"])],
    },
    Bug {
        name: "state-that-is-forgotten-is-written-again",
        file: "src/share/forgetting.rs",
        good: "held.get_mut(written).into_iter().flatten().for_each(|inner| inner.is_forgotten = true);",
        bad: "drop(held.get_mut(written));",
        caught_by: &[
            tests("queue", &["forgotten::a_queue_that_is_deleted_while"]),
            tests("queue", &["forgotten::a_queue_that_is_deleted_before"]),
        ],
    },
    Bug {
        name: "worker-comes-while-its-group-is-deleted",
        file: "src/share/forgetting.rs",
        good: "let queues = working(&in_use);",
        bad: "let queues = working(&in_use); drop(in_use); let in_use = Box::new(());",
        caught_by: &[tests("queue", &["forgotten::answers_of_a_worker"])],
    },
    Bug {
        name: "state-made-twice",
        file: "src/share/queues.rs",
        good: "over what the other's has become.\n        let _making = in_time(|| self.making.try_lock(), || self.making.lock(), path)?;",
        bad: "",
        caught_by: &[tests("queue", &["forgotten::a_letter_that_was_discarded"])],
    },
    Bug {
        name: "messages-that-were-read-before-a-panic-stand-in-their-own-way",
        file: "src/share/look.rs",
        good: "self.inner.state.forget(&self.reading.fresh);",
        bad: "if !std::thread::panicking() { self.inner.state.forget(&self.reading.fresh); }",
        caught_by: &[tests("queue", &["panics::messages_of_a_queue"])],
    },
    Bug {
        name: "groups-told-of-a-topic-with-a-state-held",
        file: "src/share/burial.rs",
        good: "self.queues.news.add(name);",
        bad: "self.queues.groups.topic_changed(&name);",
        caught_by: &[tests("queue", &["forgotten::a_commit_of_offsets"])],
    },
    Bug {
        name: "partition-that-cannot-be-synced-keeps-all-later-transactions",
        file: "src/transaction/settling.rs",
        good: "if self.waiting.len() >= self.look_at {",
        bad: "if false {",
        caught_by: &[tests("lib", &["transaction::tests::settling"])],
    },
    Bug {
        name: "end-forgotten-by-age-that-another-partition-lacks",
        file: "src/log/producers/naming.rs",
        good: "if self.clearing.needs_ends() {",
        bad: "if false {",
        caught_by: &[tests("interface", &["transactions::weeks::"])],
    },
    Bug {
        name: "end-forgotten-by-age-that-another-partition-could-not-sync",
        file: "src/transaction/ends_needed.rs",
        good: "self.ends_needed.are_any() || lacks_ends()",
        bad: "self.ends_needed.are_any() || (lacks_ends() && false)",
        caught_by: &[tests(
            "interface",
            &["transactions::weeks::a_transaction_is_whole_where_one_partition_synced"],
        )],
    },
    Bug {
        name: "ends-that-were-just-written-are-taken-for-missing",
        file: "src/transaction/settling.rs",
        good: "settled.since <= time && !settled.is_durable()",
        bad: "!settled.is_durable()",
        caught_by: &[tests("lib", &["transaction::tests::settling::ends_are_needed"])],
    },
    Bug {
        name: "panic-while-markers-are-written-keeps-later-decisions",
        file: "src/transaction/deciding.rs",
        good: "let _outstanding = OutstandingFrom { of: self, from };",
        bad: "let _ = std::mem::ManuallyDrop::new(OutstandingFrom { of: self, from });",
        caught_by: &[tests("lib", &["transaction::tests::deciding::decisions_are_let_go_of"])],
    },
    Bug {
        name: "transaction-that-waits-for-no-room-waits-for-nobody-else",
        file: "src/transaction/coordinator.rs",
        good: "if self.settings.holding == Holding::Locks {",
        bad: "if self.settings.holding == Holding::Locks || !self.settings.waits_for_room {",
        caught_by: &[tests("lib", &["transaction::tests::conditions::what_a_partition_requires"])],
    },
    Bug {
        name: "end-forgotten-by-age-that-a-topic-lacks-which-cannot-be-opened",
        file: "src/transaction/recovery.rs",
        good: "ends_needed.keep_through(Offset::MAX);",
        bad: "",
        caught_by: &[tests("interface", &["transactions::weeks::a_transaction_is_whole_where_one_topic"])],
    },
    Bug {
        name: "commit-of-a-task-syncs-for-all-that-wait",
        file: "src/transaction/deciding.rs",
        good: "self.follow_later(ended)",
        bad: "self.follow(ended)",
        caught_by: &[tests("tasks", &["commits::commits_of_tasks"])],
    },
];
