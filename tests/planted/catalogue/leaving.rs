//! A close beside work on the files that processes share, and what such a file holds after failures.

use super::*;

const SPOOL_FILE: Tests = tests("lib", &["group::tests::spool_file::"]);
const STEP_FILES: Tests = tests("lib", &["share::tests::step_files::"]);
const STEPS_LOST: Tests = tests("lib", &["share::tests::step_files_lost::"]);

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "a-file-written-anew-stands-for-the-commit-of-another",
        file: "src/group/spool_file.rs",
        good: "if found < end || !still_ends_so(&file, own)? {",
        bad: "if found < end && head.id == id {",
        caught_by: &[SPOOL_FILE],
    },
    Bug {
        name: "a-reader-is-left-in-a-child-as-in-its-parent",
        file: "src/store/reader.rs",
        good: "if !self.queues.process.is_current() {",
        bad: "if false {",
        caught_by: &[tests("interface", &["lifecycle::fork::a_reader"])],
    },
    Bug {
        name: "reader-that-goes-waits-for-no-commit",
        file: "src/group/spool_file.rs",
        good: "        drop(self.changing.lock());\n",
        bad: "",
        caught_by: &[tests("processes", &["leaving::a_commit_elsewhere_beside_the_end"])],
    },
    Bug {
        name: "reader-that-goes-waits-for-no-sync-of-steps",
        file: "src/share/step_files.rs",
        good: "            drop(file.syncing.lock());\n",
        bad: "",
        caught_by: &[tests("processes", &["leaving::the_end_of_a_reader"])],
    },
    Bug {
        name: "close-gives-locks-back-before-commits-are-folded",
        file: "src/share/away.rs",
        good: "        self.groups.leave_spool();\n",
        bad: "",
        caught_by: &[tests("processes", &["leaving::a_commit_elsewhere"])],
    },
    Bug {
        name: "steps-are-cut-with-the-list-of-topics",
        file: "src/share/uncut.rs",
        good: "self.topics.opened(name.topic)?.partition(",
        bad: "self.topics.by_id(name.topic).ok()??.partition(",
        caught_by: &[tests("processes", &["leaving::a_flush"])],
    },
    Bug {
        name: "what-is-done-is-open-again-by-older-steps",
        file: "src/share/queue_steps.rs",
        good: "batch.state == DeliveryState::Available;",
        bad: "batch.state == DeliveryState::Available && batch.count < 0;",
        caught_by: &[
            tests("crash", &["durability::steps::a_message"]),
            tests("lib", &["share::queue_steps::tests::what_is_done"]),
        ],
    },
    Bug {
        name: "answers-elsewhere-have-no-limit",
        file: "src/share/tenure.rs",
        good: "> self.bounds.full {",
        bad: "> self.bounds.full && false {",
        caught_by: &[STEP_FILES],
    },
    Bug {
        name: "queue-elsewhere-that-was-full-stays-so",
        file: "src/share/tenure.rs",
        good: "if end < self.bounds.most {",
        bad: "if end < self.bounds.most && false {",
        caught_by: &[STEP_FILES],
    },
    Bug {
        name: "steps-are-taken-out-where-others-stand",
        file: "src/share/step_files.rs",
        good: "if head.id != folded.id || !still_ends_so(&file, folded.last)? {",
        bad: "_ = still_ends_so(&file, folded.last)?;\n            if head.id != folded.id {",
        caught_by: &[STEPS_LOST],
    },
    Bug {
        name: "commits-are-taken-out-where-others-stand",
        file: "src/group/spool_file.rs",
        good: "if head.id != folded.id || !still_ends_so(&file, folded.last)? {",
        bad: "if head.id != folded.id {",
        caught_by: &[SPOOL_FILE],
    },
    Bug {
        name: "commit-behind-a-sync-that-failed",
        file: "src/group/spool_file.rs",
        good: "if !head.marks.is_doubtful || self.is_synced_now(&file)? {",
        bad: "if !head.marks.is_doubtful || self.is_synced_now(&file).is_ok() {",
        caught_by: &[SPOOL_FILE],
    },
    Bug {
        name: "reader-ends-in-the-middle-of-a-sync-of-a-commit",
        file: "src/group/spool_file.rs",
        good: "        drop(self.appends.write());\n",
        bad: "",
        caught_by: &[tests("processes", &["leaving::the_end_of_a_reader_waits_for_the_sync_of_a_commit"])],
    },
    Bug {
        name: "cut-is-written-before-anybody-is-told",
        file: "src/share/owed.rs",
        good: "self.cut_what_is_left(|name| name == slot.steps)?;",
        bad: "drop(self.cut_what_is_left(|name| name == slot.steps));",
        caught_by: &[tests("processes", &["leaving::a_worker_is_told"])],
    },
    Bug {
        name: "worker-elsewhere-does-not-ask-who-has-opened",
        file: "src/share/away.rs",
        good: "            files.check_tenure(&place.slot.steps)?;\n",
        bad: "",
        caught_by: &[tests("processes", &["leaving::a_worker_is_told"])],
    },
    Bug {
        name: "deleted-group-whose-names-are-not-synced",
        file: "src/share/folding.rs",
        good: "        files.root.sync()\n",
        bad: "        Ok(())\n",
        caught_by: &[tests("processes", &["leaving::a_group_that_is_deleted_again"])],
    },
];
