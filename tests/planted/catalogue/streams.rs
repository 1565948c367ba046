//! Streams: the index, what is believed of it, guards, snapshots and projections.

use super::*;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "a-hit-is-believed",
        file: "src/log/read/sight.rs",
        good: "if !self.selection.matches(&record) {",
        bad: "if false {",
        caught_by: &[tests("streams", &["damage::a_hit_that_leads"])],
    },
    Bug {
        name: "the-filter-forgets-a-key",
        file: "src/format/key_index.rs",
        good: "        for bit in hash.bits() {\n",
        bad: "        for bit in hash.bits().skip(1) {\n",
        caught_by: &[tests("streams", &["damage::a_damaged_index"])],
    },
    Bug {
        name: "a-page-is-believed-without-its-checksum",
        file: "src/segment/keys/file.rs",
        good: "let is_sound = self.header.is_sound(number, page);",
        bad: "let is_sound = self.header.is_sound(number, page) || true;",
        caught_by: &[tests("streams", &["damage::a_damaged_index"])],
    },
    Bug {
        name: "a-guard-overlooks-what-is-not-decided",
        file: "src/log/read/sight.rs",
        good: "Some(Fate::Open) => is_undecided = true,",
        bad: "Some(Fate::Open) => return Ok(Seen::Nothing),",
        caught_by: &[tests("streams", &["guards::a_guard_counts"])],
    },
    Bug {
        name: "a-guard-is-judged-outside-the-lock",
        file: "src/log/write/guard.rs",
        good: "        if end > self.until {\n",
        bad: "        if false {\n",
        caught_by: &[tests("streams", &["guards::what_is_to_be_there_once"])],
    },
    Bug {
        name: "a-snapshot-of-another-topic-counts",
        file: "src/stream/snapshots.rs",
        good: "if record.header(OF_TOPIC) != Some(id) {",
        bad: "if false {",
        caught_by: &[tests("streams", &["projections::a_snapshot"])],
    },
    Bug {
        name: "a-projection-passes-over-what-has-failed",
        file: "src/stream/projection.rs",
        good: "            self.projection.go_back(self.records);\n",
        bad: "",
        caught_by: &[tests("streams", &["projections::a_failed_step"])],
    },
];
