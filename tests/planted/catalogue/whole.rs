//! The store as a whole: its open, its list of topics, what deletions leave, the copies of it.

use super::*;

const PANICS: Tests = tests("crash", &["panics::whole_store::a_panic_at_each"]);

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "panic-in-the-list-of-topics-that-counts-for-nothing",
        file: "src/topic/catalog_file.rs",
        good: "let published = caught(|| Ok(self.root.publish(CATALOG_FILE)));",
        bad: "let published: Result<_> = Ok(self.root.publish(CATALOG_FILE));",
        caught_by: &[PANICS],
    },
    Bug {
        name: "panic-in-the-list-of-topics-that-ends-a-close",
        file: "src/topic/catalog_file.rs",
        good: "drop(caught(|| self.change(|_| {})));",
        bad: "drop(self.change(|_| {}));",
        caught_by: &[PANICS],
    },
    Bug {
        name: "panic-of-an-open-that-leaves-its-threads",
        file: "src/store/store.rs",
        good: "        in_drop(|| drop(self.close()));",
        bad: "        if !std::thread::panicking() {\n            in_drop(|| drop(self.close()));\n        }",
        caught_by: &[tests("crash", &["panics::whole_store::an_open_that_panics"])],
    },
    Bug {
        name: "topics-made-together-before-what-is-owed",
        file: "src/store/topics.rs",
        good: "refuse_change(name.as_ref()))?;\n        self.inner.groups.write_what_cannot_wait()?;",
        bad: "refuse_change(name.as_ref()))?;",
        caught_by: &[tests("interface", &["groups::large::an_old_commit"])],
    },
    Bug {
        name: "copy-that-failed-is-cleared-without-a-marker",
        file: "src/backup/target.rs",
        good: "        self.mark()?;\n",
        bad: "",
        caught_by: &[tests("backup", &["faults::a_backup_that_fails_late"])],
    },
    Bug {
        name: "cut-off-copy-is-read",
        file: "src/store/reader.rs",
        good: "        refuse_unfinished(&root)?;\n",
        bad: "",
        caught_by: &[tests("backup", &["faults::a_backup_that_was_cut_off"])],
    },
    Bug {
        name: "deleted-topic-that-cannot-be-read-is-forgotten",
        file: "src/topic/directories.rs",
        good: "                    gone.clear();\n",
        bad: "",
        caught_by: &[tests("crash", &["durability::topics::a_deleted_topic_whose_files_cannot_be_read"])],
    },
    Bug {
        name: "name-of-lost-records-is-taken",
        file: "src/topic/admin.rs",
        good: "names.into_iter().find_map(|name| broken.get(name))",
        bad: "names.into_iter().find_map(|name| broken.get(name).filter(|_| false))",
        caught_by: &[tests("interface", &["lifecycle::topics::no_topic_gets_the_name"])],
    },
    Bug {
        name: "leftover-in-the-name-of-a-partition",
        file: "src/store/failures.rs",
        good: "part: Part::Leftover(topic)",
        bad: "part: Part::Leftover(topic.min(0))",
        caught_by: &[
            tests("interface", &["errors::effects::files_of_an_earlier_topic"]),
            tests("lib", &["store::failures::"]),
        ],
    },
    Bug {
        name: "automatic-commit-that-a-transaction-keeps-is-forgotten",
        file: "src/consumer/commit.rs",
        good: "self.auto_commit.put_off();",
        bad: "self.auto_commit.note(Ok(()));",
        caught_by: &[tests("interface", &["transactions::goes_back::a_poll_that_waits"])],
    },
    Bug {
        name: "records-in-memory-are-written-by-later-settings",
        file: "src/log/write/queued.rs",
        good: "while accumulator.rules.timestamp_type != next.timestamp_type &&",
        bad: "while false && accumulator.rules.timestamp_type != next.timestamp_type &&",
        caught_by: &[tests("interface", &["producer::records_in_memory_got_another_time"])],
    },
    Bug {
        name: "guarded-append-tells-the-time-by-later-settings",
        file: "src/log/write/guarded.rs",
        good: "            self.synced(appended.last_offset)?;\n        }\n        Ok(appended)",
        bad: "            self.synced(appended.last_offset)?;\n        }\n        let by_log = self.config().timestamp_type == TimestampType::LogAppendTime;\n        let timestamp = if by_log { self.clock.now() } else { appended.timestamp };\n        Ok(Appended { timestamp, ..appended })",
        caught_by: &[tests("lib", &["log::write::guarded::"])],
    },
    Bug {
        name: "files-that-are-gone-count-as-open",
        file: "src/io/pool.rs",
        good: "if self.state.get_mut().handle.is_some() {",
        bad: "if self.state.get_mut().handle.is_some() && self.path.as_os_str().is_empty() {",
        caught_by: &[tests("lib", &["io::pool::"])],
    },
    Bug {
        name: "deletion-is-forgotten-before-what-said-whose-it-was-is-gone-for-good",
        file: "src/topic/directories.rs",
        good: "identity = directory.sync().map(|()| None);",
        bad: "",
        caught_by: &[tests("crash", &["durability::topics::a_power_cut_brought_back"])],
    },
    Bug {
        name: "offset-of-what-was-lost-with-its-topic-is-given-out-again",
        file: "src/log/write/writer.rs",
        good: "accumulator.refuse(reason.clone());",
        bad: "let _ = reason;",
        caught_by: &[tests("lib", &["log::tests::losses::an_offset_of_a_partition"])],
    },
];
