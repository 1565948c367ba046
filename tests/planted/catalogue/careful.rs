//! What survives a power cut, as other processes are shown it.

use super::*;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "start-that-moves-shows-nothing-to-others",
        file: "src/log/producers/state.rs",
        good: "        self.show_durable();\n        self.watchers.raise();\n    }\n\n    /// Everything below",
        bad: "    }\n\n    /// Everything below",
        caught_by: &[tests("processes", &["careful::a_careful_reader_waited"])],
    },
    Bug {
        name: "transaction-without-its-end-is-shown-as-kept",
        file: "src/log/show.rs",
        good: "kept: self.kept() }",
        bad: "kept: self.durable() }",
        caught_by: &[tests("processes", &["careful::a_careful_reader_elsewhere"])],
    },
    Bug {
        name: "end-of-a-transaction-is-looked-for-in-an-old-list",
        file: "src/log/read/walk.rs",
        good: "header.attributes.is_transactional() && self.list_changed()",
        bad: "header.attributes.is_transactional() && self.list_changed() && header.record_count < 0",
        caught_by: &[tests("lib", &["log::tests::transactions::"])],
    },
    Bug {
        name: "kept-is-believed-before-its-end-is-seen",
        file: "src/log/producers/state.rs",
        good: ".min(self.durable()).min(self.stable()),",
        bad: ".min(self.durable()),",
        caught_by: &[tests("lib", &["store::reader::"])],
    },
    Bug {
        name: "transaction-that-a-dead-owner-has-not-ended-is-taken-for-kept",
        file: "src/log/follow/table.rs",
        good: "durable.min(unfinished.unwrap_or(end))",
        bad: "durable.min(unfinished.map_or(end, |_| end))",
        caught_by: &[tests("processes", &["careful::a_careful_reader_was"])],
    },
];
