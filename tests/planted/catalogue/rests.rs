//! What commits rest on: what they have seen and what they are laid over, on the disk before anybody is told.

use super::*;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "deletion-that-nobody-knows-of-stands-for-a-sync",
        file: "src/topic/admin.rs",
        good: "stored.as_ref().err().cloned();",
        bad: "stored.as_ref().err().filter(|_| false).cloned();",
        caught_by: &[tests("interface", &["transactions::laid_over::a_deletion_of"])],
    },
    Bug {
        name: "a-timer-for-every-thousand-commits",
        file: "src/transaction/finish.rs",
        good: "outstanding.timer.is_some_and(|ticket| ticket.deadline() <= deadline)",
        bad: "outstanding.timer.take().is_some_and(|ticket| ticket.deadline() <= deadline)",
        caught_by: &[tests("lib", &["transaction::tests::settling::tasks_that"])],
    },
    Bug {
        name: "later-position-does-not-rest-on-the-work-below-it",
        file: "src/group/pending.rs",
        good: "change.before(committed)?.moved_in)",
        bad: "change.before(committed)?.moved_in.filter(|_| false))",
        caught_by: &[tests(
            "interface",
            &["transactions::laid_over::a_later", "transactions::laid_over::a_sche"],
        )],
    },
    Bug {
        name: "commit-at-disk-goes-over-work-that-is-taken-back",
        file: "src/group/commit.rs",
        good: "[one.written_in, one.moved_in]).flatten().collect()",
        bad: "[one.written_in, one.moved_in]).flatten().take(0).collect()",
        caught_by: &[tests("interface", &["transactions::laid_over::a_commit_at_disk"])],
    },
    Bug {
        name: "a-place-of-its-own-stands-for-all-of-the-partition",
        file: "src/transaction/deciding.rs",
        good: "written.is_some_and(|written| written.last >= last)",
        bad: "{ let _ = last; written.is_some() }",
        caught_by: &[tests("interface", &["transactions::laid_over::a_later_position_stood_over_work_in"])],
    },
    Bug {
        name: "a-task-waits-for-nothing-that-it-commits-over",
        file: "src/consumer/commit.rs",
        good: "stored.as_ref().filter(|_| is_laid_over)",
        bad: "stored.as_ref().filter(|_| false && is_laid_over)",
        caught_by: &[tests("interface", &["transactions::laid_over::a_task"])],
    },
    Bug {
        name: "one-position-keeps-automatic-commits-from-the-disk",
        file: "src/group/commit.rs",
        good: "Err(error) if request.kind == CommitKind::Automatic => {\n                    // One",
        bad: "Err(error) if false && request.kind == CommitKind::Automatic => {\n                    // One",
        caught_by: &[tests("interface", &["transactions::laid_over::one_position"])],
    },
    Bug {
        name: "what-a-durable-commit-has-seen-not-synced",
        file: "src/transaction/resting.rs",
        good: "below.values().for_each(|one| seen.add_unsynced(one));",
        bad: "drop(below);",
        caught_by: &[
            tests("lib", &["transaction::tests::deciding"]),
            tests("crash", &["power_cut::transactions"]),
        ],
    },
    Bug {
        name: "what-a-condition-looks-at-not-seen",
        file: "src/transaction/shares.rs",
        good: "if last >= 0 {",
        bad: "if last >= 0 && !share.is_looked_at {",
        caught_by: &[
            tests("interface", &["transactions::seen"]),
            tests("crash", &["power_cut::transactions"]),
        ],
    },
    Bug {
        name: "what-a-commit-of-one-partition-has-seen-not-noted",
        file: "src/transaction/shares.rs",
        good: "if ends_with.is_some() && !gathered.conditions.is_empty() {",
        bad: "if false {",
        caught_by: &[tests("interface", &["transactions::seen"])],
    },
    Bug {
        name: "what-those-have-seen-that-a-commit-has-seen-not-noted",
        file: "src/transaction/resting.rs",
        good: "known.complete(&mut seen);\n        let rests_on",
        bad: "let rests_on",
        caught_by: &[tests("interface", &["transactions::seen"])],
    },
    Bug {
        name: "commit-that-rests-on-a-failed-sync-undecided",
        file: "src/transaction/deciding.rs",
        good: "seen.bring_over()",
        bad: "Ok(())",
        caught_by: &[tests("interface", &["transactions::seen"])],
    },
    Bug {
        name: "what-an-earlier-life-has-committed-taken-for-durable",
        file: "src/transaction/recovery.rs",
        good: "left.for_each(|partition| unsynced.add(partition, partition.end() - 1));",
        bad: "drop(left);",
        caught_by: &[
            tests("lib", &["transaction::tests::deciding"]),
            tests("interface", &["transactions::seen"]),
        ],
    },
    Bug {
        name: "marker-before-what-it-rests-on",
        file: "src/transaction/finish.rs",
        good: "let may_end = |one: &Ended| one.is_synced || one.ending == Ending::Abort;",
        bad: "let may_end = |_: &Ended| true;",
        caught_by: &[tests("lib", &["transaction::tests::deciding"])],
    },
    Bug {
        name: "one-partition-left-out-of-the-round",
        file: "src/transaction/finish.rs",
        good: "self.places.values().for_each(|written| round.add(",
        bad: "self.places.values().skip(1).for_each(|written| round.add(",
        caught_by: &[tests("lib", &["transaction::tests::deciding"])],
    },
    Bug {
        name: "inputs-left-out-of-the-round",
        file: "src/transaction/finish.rs",
        good: "self.inputs.iter().for_each(",
        bad: "self.inputs.iter().take(0).for_each(",
        caught_by: &[
            tests("lib", &["transaction::tests::deciding"]),
            tests("lib", &["transaction::tests::participants"]),
        ],
    },
    Bug {
        name: "decision-left-out-of-the-round",
        file: "src/transaction/finish.rs",
        good: "round.add(&decisions, last);",
        bad: "drop((decisions, last));",
        caught_by: &[tests("lib", &["transaction::tests::deciding"])],
    },
];
