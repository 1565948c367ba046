//! Several processes: stores that are only read, live readers, groups elsewhere.

use super::*;

const READ_ONLY: Tests = tests("processes", &["read_only::"]);
const LIVE: Tests = tests("processes", &["live::"]);
const PAIR: Tests = tests("processes", &["pair::"]);
const ENDS: Tests = tests("processes", &["ends::"]);
const GROUPS: Tests = tests("processes", &["groups::"]);
const LOOKS: Tests = tests("processes", &["looks::"]);
const PAGE: Tests = tests("lib", &["live::"]);

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "read-only-store-can-be-written",
        file: "src/store/reader.rs",
        good: "let root = builder.root()?.read_only().anchored()?;",
        bad: "let root = builder.root()?.anchored()?;",
        caught_by: &[READ_ONLY],
    },
    Bug {
        name: "read-only-takes-no-lock",
        file: "src/io/directory.rs",
        good: "Ok(lock) => Ok(Some(lock)),",
        bad: "Ok(_) => Ok(None),",
        caught_by: &[READ_ONLY],
    },
    Bug {
        name: "read-only-judges-no-transaction",
        file: "src/transaction/recovery.rs",
        good: "places.values().for_each(|written| _ = written.partition.log().decide(producer.id, ending));",
        bad: "_ = (producer, ending);",
        caught_by: &[READ_ONLY],
    },
    Bug {
        name: "read-only-commits-what-was-left-open",
        file: "src/transaction/recovery.rs",
        good: "            Verdict::Aborted | Verdict::TakenBack(_) => Ending::Abort,",
        bad: "            Verdict::Aborted | Verdict::TakenBack(_) => Ending::Commit,",
        caught_by: &[READ_ONLY],
    },
    // Live readers.
    Bug {
        name: "live-sequence-not-compared",
        file: "src/live/slot.rs",
        good: "if self.load(word::SEQUENCE, Ordering::Relaxed) == before {",
        bad: "if self.load(word::SEQUENCE, Ordering::Relaxed) >= before {",
        caught_by: &[PAGE],
    },
    Bug {
        name: "live-end-shown-before-the-write",
        file: "src/log/show.rs",
        good: "let end = self.end();",
        bad: "let end = self.end() + 1;",
        caught_by: &[LIVE, ENDS],
    },
    Bug {
        name: "live-wake-up-lost",
        file: "src/live/slot.rs",
        good: "self.memory.store(self.at + word::WANTED, 1, Ordering::SeqCst);",
        bad: "self.memory.store(self.at + word::WANTED, 0, Ordering::SeqCst);",
        caught_by: &[PAIR, PAGE],
    },
    Bug {
        name: "live-growing-file-is-mapped",
        file: "src/segment/segment.rs",
        good: "let log = LogFile::open(directory.clone(), name, ReadMode::Positional, file);",
        bad: "let log = LogFile::open(directory.clone(), name, ReadMode::Mapped, file);",
        caught_by: &[PAIR],
    },
    Bug {
        name: "live-aborted-is-stable",
        file: "src/log/producers/table.rs",
        good: "undecided.into_iter().chain(aborting).min()",
        bad: "undecided.into_iter().chain(aborting.filter(|_| false)).min()",
        caught_by: &[PAIR],
    },
    Bug {
        name: "live-life-of-before-is-believed",
        file: "src/live/owner.rs",
        good: "owner.clear();",
        bad: "",
        caught_by: &[PAGE],
    },
    Bug {
        name: "live-memory-lingers-for-others",
        file: "src/log/write/append.rs",
        good: "if is_wanted_elsewhere {",
        bad: "if is_wanted_elsewhere && false {",
        caught_by: &[PAIR],
    },
    Bug {
        name: "live-files-of-another-life-are-kept",
        file: "src/log/follow/table.rs",
        good: "if !known.is_of(life) {",
        bad: "if !known.is_of(life) && false {",
        caught_by: &[LOOKS],
    },
    Bug {
        name: "live-file-that-is-not-there-is-not-looked-for-again",
        file: "src/log/follow/follow.rs",
        good: "const MOST_LOOKS_ANEW: u32 = 10;",
        bad: "const MOST_LOOKS_ANEW: u32 = 0;",
        caught_by: &[LOOKS],
    },
    Bug {
        name: "live-slots-shown-later-are-not-looked-for",
        file: "src/live/guest.rs",
        good: "            && let Some(slot) = cached().filter(is_its)\n        {\n            return Ok(Some(slot));",
        bad: "        {\n            return Ok(cached().filter(is_its));",
        caught_by: &[LOOKS],
    },
    // Groups elsewhere.
    Bug {
        name: "spool-is-taken-out-before-its-commits-are-durable",
        file: "src/group/spool.rs",
        good: "        self.ledger.sync()?;\n        spool.take_out",
        bad: "        spool.take_out",
        caught_by: &[tests("crash", &["durability::derived::a_commit"])],
    },
    Bug {
        name: "spool-is-not-folded-where-nobody-can-attach",
        file: "src/store/store.rs",
        good: "self.groups.spool_in(Spool::new(self.root.clone(), locks, SpoolRole::Owner));",
        bad: "if locks.is_some() {\n            self.groups.spool_in(Spool::new(self.root.clone(), locks, SpoolRole::Owner));\n        }",
        caught_by: &[tests("crash", &["durability::derived::"])],
    },
    Bug {
        name: "derived-file-stops-a-partition",
        file: "src/log/table/names.rs",
        good: "drop(names.directory().remove_if_there(&segment_file_name(base, SegmentFile::KeyIndex)));",
        bad: "names.directory().remove_if_there(&segment_file_name(base, SegmentFile::KeyIndex))?;",
        caught_by: &[tests("crash", &["durability::derived::"])],
    },
    Bug {
        name: "spool-stays-over-what-was-folded",
        file: "src/group/follow.rs",
        good: "committed.uncover();",
        bad: "",
        caught_by: &[GROUPS],
    },
    Bug {
        name: "spool-is-folded-after-the-group-is-used",
        file: "src/group/spool.rs",
        good: "SpoolRole::Owner => self.fold(),",
        bad: "SpoolRole::Owner => Ok(()),",
        caught_by: &[GROUPS],
    },
    Bug {
        name: "spool-is-folded-again-and-again",
        file: "src/group/spool.rs",
        good: "spool.take_out(&commits, bytes)?;",
        bad: "_ = bytes;",
        caught_by: &[GROUPS],
    },
    Bug {
        name: "spool-frame-is-not-checked",
        file: "src/format/spool.rs",
        good: "match (crc32fast::hash(body) == crc).then(|| records(body)).flatten() {",
        bad: "match (crc > 0).then(|| records(body)).flatten() {",
        caught_by: &[tests("lib", &["format::spool::"])],
    },
    Bug {
        name: "group-is-two-processes",
        file: "src/group/spool.rs",
        good: "if !spool.try_lock_group(group)? {",
        bad: "if !spool.try_lock_group(group)? && false {",
        caught_by: &[GROUPS],
    },
    // What a dead owner has left open, for those who read it in other processes.
    Bug {
        name: "what-a-dead-owner-left-open-judged-by-nobody",
        file: "src/topic/follow.rs",
        good: "if topic == TRANSACTIONS.name {",
        bad: "if topic == TRANSACTIONS.name || true {",
        caught_by: &[tests("processes", &["left::"])],
    },
    Bug {
        name: "what-was-read-between-two-owners-taken-back-by-the-next",
        file: "src/log/follow/left.rs",
        good: "shown.stable.max(self.stable)",
        bad: "shown.stable",
        caught_by: &[tests("processes", &["left::"])],
    },
];
