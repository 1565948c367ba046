//! Streams: the index, what is believed of it, guards, snapshots and projections.

use super::*;

const MODEL: Tests = tests("streams", &["model::"]);

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
        caught_by: &[tests("lib", &["format::key_index"]), tests("streams", &["answers::"])],
    },
    Bug {
        name: "an-entry-of-the-bucket-before-is-lost",
        file: "src/format/key_index.rs",
        good: "entry.hash.bucket(header.buckets) < bucket)",
        bad: "entry.hash.bucket(header.buckets) <= bucket)",
        caught_by: &[tests("lib", &["format::key_index"])],
    },
    Bug {
        name: "a-page-is-believed-without-its-checksum",
        file: "src/segment/keys/file.rs",
        good: "let is_sound = self.header.is_sound(number, page);",
        bad: "let is_sound = self.header.is_sound(number, page) || true;",
        caught_by: &[tests("streams", &["damage::a_damaged_index"])],
    },
    Bug {
        name: "an-index-of-another-time-is-taken",
        file: "src/segment/keys/file.rs",
        good: "if header.stamp != *stamp || file.len()? != header.file_bytes() {",
        bad: "if header.stamp.base != stamp.base || file.len()? != header.file_bytes() {",
        caught_by: &[MODEL, tests("streams", &["answers::an_erased_key"])],
    },
    Bug {
        name: "terms-of-a-gap-are-taken-for-known",
        file: "src/segment/keys/keys.rs",
        good: "let known = growing.filter(|growing| growing.read().until() == header.base_offset);",
        bad: "let known = growing;",
        caught_by: &[tests("streams", &["answers::an_index_that_is_switched_on"])],
    },
    Bug {
        name: "a-stream-loses-its-first-event-after-a-deletion",
        file: "src/log/read/by_content.rs",
        good: "                self.position = start;\n",
        bad: "                self.position = start + 1;\n",
        caught_by: &[MODEL],
    },
    Bug {
        name: "events-of-aborted-transactions-are-handed-out",
        file: "src/log/read/sight.rs",
        good: "_ if self.is_aborted(&header)? => return Ok(Seen::Nothing),",
        bad: "_ if self.is_aborted(&header)? && false => return Ok(Seen::Nothing),",
        caught_by: &[tests("streams", &["guards::a_guard_counts"])],
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
        caught_by: &[tests("streams", &["guards::of_those_who_expect", "guards::transfers_between"])],
    },
    Bug {
        name: "conditions-of-a-transaction-are-not-checked",
        file: "src/stream/transaction.rs",
        good: "Verdict::Stale | Verdict::Undecided | Verdict::No => Err(guard.conflict(log)),",
        bad: "Verdict::Stale | Verdict::Undecided | Verdict::No => Ok(()),",
        caught_by: &[MODEL, tests("streams", &["guards::transfers_between"])],
    },
    Bug {
        name: "a-transaction-is-in-its-own-way",
        file: "src/stream/transaction.rs",
        good: "let is_own = |offset: Offset| own.iter().any(|range| range.contains(&offset));",
        bad: "let is_own = |offset: Offset| own.iter().any(|range| range.contains(&offset)) && false;",
        caught_by: &[tests("streams", &["guards::what_a_transaction_has_written"])],
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
