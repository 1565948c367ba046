//! One failure in the upkeep of a partition, and what it keeps from being done.

use super::*;

const UPKEEP: Tests = tests("interface", &["errors::upkeep::"]);
const LEFT: Tests = tests("lib", &["log::tests::left::"]);
const BEFORE_APPEND: Tests = tests("lib", &["log::tests::before_append::"]);

const FORGOTTEN: Tests = tests("crash", &["named::forgotten::"]);

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "roll-without-room-ends-retention",
        file: "src/store/caretaker.rs",
        good: "let rolled = partition.log().roll_if_idle(self.clock.now());",
        bad: "let rolled = partition.log().roll_if_idle(self.clock.now()).map(Ok::<bool, Error>)?;",
        caught_by: &[UPKEEP],
    },
    Bug {
        name: "what-fails-first-ends-the-upkeep-of-a-partition",
        file: "src/store/caretaker.rs",
        good: "self.failures.note_failure(failing, &error, &partition.log().upkeeps);\n                    first = first.and(Err(error));",
        bad: "self.failures.note_failure(failing, &error, &partition.log().upkeeps);\n                    first = first.and(Err(error));\n                    break;",
        caught_by: &[UPKEEP],
    },
    Bug {
        name: "parts-of-an-upkeep-wait-for-each-other",
        file: "src/store/failures.rs",
        good: "Self { place: place.clone(), deleted: None, of }",
        bad: "Self { place: place.clone(), deleted: None, of: of.min(Upkeep::Retention) }",
        caught_by: &[UPKEEP, tests("lib", &["store::failures::"])],
    },
    Bug {
        name: "compaction-while-ids-cannot-be-read",
        file: "src/store/caretaker.rs",
        good: "Upkeep::Compaction if kept.of(partition.number()).is_err() =>",
        bad: "Upkeep::Compaction if kept.of(partition.number()).is_err() && false =>",
        caught_by: &[tests("queue", &["ids_beside::no_compaction"])],
    },
    Bug {
        name: "roll-of-what-goes-gives-up-no-index",
        file: "src/log/retain/removal.rs",
        good: "self.with_room_of_indexes(open, Open::table, |log, open| log.roll_to(open, open.active.next_offset()))",
        bad: "self.roll_to(open, open.active.next_offset())",
        caught_by: &[tests("lib", &["log::tests::removal::a_full_disk_is_freed_of_everything"])],
    },
    Bug {
        name: "roll-without-room-keeps-what-is-sealed",
        file: "src/log/retain/removal.rs",
        good: "Err(error) if self.poison.get().is_none() && !policy.is_all_or_nothing => {",
        bad: "Err(error) if self.poison.get().is_none() && error.is_corruption() => {",
        caught_by: &[UPKEEP],
    },
    Bug {
        name: "append-that-is-refused-takes-out-what-is-sealed",
        file: "src/log/retain/removal.rs",
        good: "Err(error) if self.poison.get().is_none() && !policy.is_all_or_nothing => {",
        bad: "Err(error) if self.poison.get().is_none() => {",
        caught_by: &[UPKEEP],
    },
    Bug {
        name: "roll-is-not-tried-in-the-room-that-was-made",
        file: "src/log/retain/removal.rs",
        good: "is_err_and(Error::is_disk_full) && !swept.removed.is_empty() {",
        bad: "is_err_and(Error::is_disk_full) && false {",
        caught_by: &[UPKEEP],
    },
    Bug {
        name: "upkeep-has-succeeded-before-its-roll-has",
        file: "src/store/caretaker.rs",
        good: "        rolled?;\n        consumed?;\n",
        bad: "        partition.log().upkeeps.note_success(Upkeep::Retention);\n        rolled?;\n        consumed?;\n",
        caught_by: &[UPKEEP],
    },
    Bug {
        name: "file-that-stays-keeps-all-behind-it",
        file: "src/log/table/names.rs",
        good: "outcome.and(directory.remove_if_there(&name))",
        bad: "outcome.and_then(|()| directory.remove_if_there(&name))",
        caught_by: &[UPKEEP],
    },
    Bug {
        name: "segment-that-stays-keeps-all-behind-it",
        file: "src/log/table/names.rs",
        good: "failed => removed.outcome = removed.outcome.and(failed),",
        bad: "failed => return Removed { outcome: failed, ..removed },",
        caught_by: &[UPKEEP, LEFT],
    },
    Bug {
        name: "segment-that-stays-is-forgotten",
        file: "src/log/table/names.rs",
        good: "Ok(()) => removed.gone.push(*base),",
        bad: "Ok(()) => removed.gone = bases.to_vec(),",
        caught_by: &[LEFT],
    },
    Bug {
        name: "refused-append-drops-what-is-sealed-before-the-log-is-ready",
        file: "src/log/retain/removal.rs",
        good: "        if policy.is_all_or_nothing {\n",
        bad: "        if policy.is_all_or_nothing && policy.max_age.is_some() {\n",
        caught_by: &[BEFORE_APPEND],
    },
    Bug {
        name: "front-goes-though-the-snapshot-was-lost",
        file: "src/log/retain/front.rs",
        good: "if found.report.lost_snapshot.is_some())",
        bad: "if found.report.lost_snapshot.is_some() && found.is_half_settled)",
        caught_by: &[FORGOTTEN],
    },
    Bug {
        name: "full-disk-takes-the-snapshot-that-stands-for-a-lost-one",
        file: "src/log/producers/naming.rs",
        good: "Ok(None) => snapshot_file::newest_below(&self.directory, named),",
        bad: "Ok(None) => Ok(None),",
        caught_by: &[FORGOTTEN],
    },
    Bug {
        name: "retention-copies-the-tail-first",
        file: "src/log/retain/removal.rs",
        good: "if reasons.len() > writer.phase.sealed() {",
        bad: "if reasons.len() <= facts.len() {",
        caught_by: &[BEFORE_APPEND],
    },
    Bug {
        name: "deletion-copies-the-tail-first",
        file: "src/log/retain/delete_records.rs",
        good: "if before > self.sealed_below(&writer, Offset::MAX)?.1 {",
        bad: "if before > self.start() {",
        caught_by: &[BEFORE_APPEND],
    },
    Bug {
        name: "deletion-makes-no-room-of-what-is-sealed",
        file: "src/log/retain/delete_records.rs",
        good: "if made.segments == 0 {",
        bad: "if made.segments < usize::MAX {",
        caught_by: &[BEFORE_APPEND],
    },
    Bug {
        name: "half-a-copy-of-the-tail-stays",
        file: "src/log/open/settle.rs",
        good: "if copied.is_err() {",
        bad: "if copied.is_err() && from > scan.tally.bytes {",
        caught_by: &[BEFORE_APPEND],
    },
    Bug {
        name: "first-append-takes-files-that-somebody-copies",
        file: "src/log/open/settle.rs",
        good: "        if !self.is_held() {\n",
        bad: "        {\n",
        caught_by: &[BEFORE_APPEND],
    },
    Bug {
        name: "files-go-by-a-table-that-a-power-cut-takes-back",
        file: "src/log/retain/front.rs",
        good: "                self.sync_names()?;\n                self.name_rewritten(found)?;\n",
        bad: "                self.name_rewritten(found)?;\n",
        caught_by: &[BEFORE_APPEND],
    },
    Bug {
        name: "segment-without-its-name-goes-from-a-log-as-found",
        file: "src/log/retain/front.rs",
        good: "        self.finish_swaps(found)?;\n",
        bad: "",
        caught_by: &[BEFORE_APPEND],
    },
    Bug {
        name: "nothing-is-forgotten-while-a-segment-stays",
        file: "src/log/retain/removal.rs",
        good: "self.forget_obsolete(&removed.gone);",
        bad: "removed.outcome.is_ok().then(|| self.forget_obsolete(&removed.gone));",
        caught_by: &[LEFT],
    },
    Bug {
        name: "segment-that-stays-keeps-what-a-rewrite-has-left",
        file: "src/log/compaction/trim.rs",
        good: "trimmed.and(removed).and(self.remove_left_by_rewrites())",
        bad: "trimmed.and(removed).and_then(|()| self.remove_left_by_rewrites())",
        caught_by: &[LEFT],
    },
    Bug {
        name: "deletion-takes-what-came-after-it-asked",
        file: "src/log/retain/delete_records.rs",
        good: "if self.needed_from() < before {",
        bad: "if self.needed_from() < before && false {",
        caught_by: &[
            tests("lib", &["log::tests::needed::a_deletion"]),
            tests("queue", &["ids_beside::an_id"]),
        ],
    },
];
