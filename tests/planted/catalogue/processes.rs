//! Several processes: stores that are only read, live readers, groups elsewhere.

use super::*;

const READ_ONLY: Tests = tests("processes", &["read_only::"]);
const LIVE: Tests = tests("processes", &["live::"]);
const PAIR: Tests = tests("processes", &["pair::"]);
const ENDS: Tests = tests("processes", &["ends::"]);
const GROUPS: Tests = tests("processes", &["groups::"]);
const WORKERS: Tests = tests("processes", &["workers::"]);
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
        good: "groups.spool_in(Spool::new(root.clone(), locks, SpoolRole::Owner));",
        bad: "if locks.is_some() {\n            groups.spool_in(Spool::new(root.clone(), locks, SpoolRole::Owner));\n        }",
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
    // Queues elsewhere.
    Bug {
        name: "queue-is-two-processes",
        file: "src/share/step_files.rs",
        good: "&& !locks.try_lock_queue(name)?",
        bad: "&& !locks.try_lock_queue(name)?\n            && false",
        caught_by: &[WORKERS, tests("processes", &["workers_model::"])],
    },
    Bug {
        name: "steps-are-taken-out-before-they-are-durable",
        file: "src/share/folding.rs",
        good: "        self.states.sync()?;\n        files.take_out",
        bad: "        files.take_out",
        caught_by: &[tests("crash", &["durability::steps::"])],
    },
    Bug {
        name: "steps-are-taken-out-before-letters-are-durable",
        file: "src/share/folding.rs",
        good: "        self.topics.write_decided()?;\n",
        bad: "",
        caught_by: &[tests("crash", &["durability::steps::"])],
    },
    Bug {
        name: "steps-are-taken-out-and-written-nowhere",
        file: "src/share/folding.rs",
        good: "if stored(&next) != stored(&inner.state) {",
        bad: "if stored(&next) != stored(&inner.state) && false {",
        caught_by: &[WORKERS, tests("processes", &["workers_model::"])],
    },
    Bug {
        name: "queue-elsewhere-is-taken-before-it-is-folded",
        file: "src/share/away.rs",
        good: "            self.fold_one(files, &name)?;",
        bad: "            drop(self.fold_one(files, &name));",
        caught_by: &[WORKERS],
    },
    Bug {
        name: "letter-that-is-owed-is-written-twice",
        file: "src/share/steps.rs",
        good: "drop(steps.take_owed(|offset| state.is_done(offset)));",
        bad: "drop(steps.take_owed(|_| false));",
        caught_by: &[tests("lib", &["share::steps::"]), tests("crash", &["durability::steps::"])],
    },
    Bug {
        name: "message-whose-letter-is-owed-is-handed-out",
        file: "src/share/steps.rs",
        good: "steps.owed.values().for_each(|owed| state.owe(owed.offset));",
        bad: "",
        caught_by: &[WORKERS],
    },
    Bug {
        name: "letter-that-is-owed-keeps-its-key-waiting",
        file: "src/share/elsewhere.rs",
        good: "        self.leave_lanes(offset, offset);\n",
        bad: "",
        caught_by: &[WORKERS],
    },
    Bug {
        name: "letters-that-are-owed-are-left-out-of-a-merge",
        file: "src/share/steps.rs",
        good: "begin.into_iter().chain(update).chain(owed).collect()",
        bad: "begin.into_iter().chain(update).chain(owed.take(0)).collect()",
        caught_by: &[tests("lib", &["share::steps::", "share::tests::step_files::"])],
    },
    Bug {
        name: "steps-above-the-end-are-folded-into-what-comes-there",
        file: "src/share/folding.rs",
        good: "files.clip(name, (end_of, is_cut))",
        bad: "_ = (end_of, is_cut);\n        Ok(())",
        caught_by: &[WORKERS],
    },
    Bug {
        name: "steps-go-on-where-an-open-has-cut-them",
        file: "src/share/step_files.rs",
        good: "if head.tenure != tenure.head.tenure || (head",
        bad: "if (head",
        caught_by: &[WORKERS, tests("lib", &["share::tests::step_files::"])],
    },
    Bug {
        name: "message-that-is-out-is-forgotten-with-the-owner",
        file: "src/share/elsewhere.rs",
        good: "self.cut_to(written.map_or(0, |(_, run)| run.last + 1).max(self.noted));",
        bad: "_ = written;\n        self.cut_to(self.noted);",
        caught_by: &[WORKERS],
    },
    Bug {
        name: "nobody-elsewhere-is-tried-alone",
        file: "src/share/folding.rs",
        good: "(inner.reader, inner.prepared_for) = (None, 0);",
        bad: "inner.reader = None;",
        caught_by: &[WORKERS],
    },
    Bug {
        name: "what-came-during-a-fold-is-taken-out",
        file: "src/share/step_files.rs",
        good: "let since = bytes.get(folded.end..).unwrap_or_default();",
        bad: "let since: &[u8] = &[];",
        caught_by: &[tests("lib", &["share::tests::step_files::"])],
    },
    Bug {
        name: "group-that-is-deleted-leaves-its-steps",
        file: "src/share/forgetting.rs",
        good: "        self.remove_steps(&locks)?;\n",
        bad: "",
        caught_by: &[WORKERS],
    },
    Bug {
        name: "states-on-a-topic-that-cannot-be-opened-are-forgotten",
        file: "src/share/forgetting.rs",
        good: "matches!(self.topics.by_id(name.topic), Ok(None))",
        bad: "!self.topics.all().iter().any(|topic| topic.id() == name.topic)",
        caught_by: &[WORKERS],
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
