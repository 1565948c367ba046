//! The bugs, and who catches each.

/// One bug: a place in the source, and what stands there instead.
pub(crate) struct Bug {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    /// Stands once in the file.
    pub(crate) good: &'static str,
    pub(crate) bad: &'static str,
    /// Each of these must fail.
    pub(crate) caught_by: &'static [Tests],
}

/// A test binary, `lib` for the unit tests, and which of its tests are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tests {
    pub(crate) binary: &'static str,
    pub(crate) filters: &'static [&'static str],
}

const fn tests(binary: &'static str, filters: &'static [&'static str]) -> Tests {
    Tests { binary, filters }
}

const POWER_CUT: Tests = tests("power_cut", &[]);
const DURABILITY: Tests = tests("durability", &[]);
/// Damages one by one, and those that have a name.
const SWEEP: Tests = tests("corruption", &["sweep::"]);
const NAMED: Tests = tests("corruption", &["named::"]);
const REPAIR: Tests = tests("corruption", &["repair::"]);
const CALLBACKS: Tests = tests("lifecycle", &["callbacks::"]);
const CLOSING: Tests = tests("lifecycle", &["closing::"]);
const ADOPT: Tests = tests("lifecycle", &["adopt::"]);
const FORK: Tests = tests("lifecycle", &["fork::"]);
const PARTITION: Tests = tests("lib", &["partition::"]);

pub(crate) const BUGS: &[Bug] = &[
    // A store's life.
    Bug {
        name: "callback-panic-ends-maintenance",
        file: "src/io/caught.rs",
        good: "catch_unwind(AssertUnwindSafe(work))\n        .unwrap_or_else(",
        bad: "Ok::<_, Box<dyn Any + Send>>(AssertUnwindSafe(work).0()).unwrap_or_else(",
        caught_by: &[CALLBACKS],
    },
    Bug {
        name: "closed-without-its-partitions",
        file: "src/store/store.rs",
        good: "caught(|| self.topics.close())",
        bad: "Ok(())",
        caught_by: &[CALLBACKS],
    },
    Bug {
        name: "second-close-does-not-wait",
        file: "src/store/life.rs",
        good: "self.changed.wait(&mut stage);\n                        continue;",
        bad: "return Ok(());",
        caught_by: &[CLOSING],
    },
    Bug {
        name: "child-unlocks-its-parent",
        file: "src/io/os.rs",
        good: "if self.process.id() != std::process::id() {",
        bad: "if self.process.id() == 0 {",
        caught_by: &[FORK],
    },
    Bug {
        name: "child-appends-to-its-parent",
        file: "src/io/process.rs",
        good: "self.forks == FORKS.load(Ordering::Relaxed)",
        bad: "self.forks <= FORKS.load(Ordering::Relaxed)",
        caught_by: &[FORK],
    },
    // Logs of others.
    Bug {
        name: "adopted-before-the-files-are-synced",
        file: "src/log/adopt/carry.rs",
        good: "    target.sync()?;\n    Ok(position)",
        bad: "    Ok(position)",
        caught_by: &[ADOPT],
    },
    Bug {
        name: "adopted-unchecked",
        file: "src/segment/survey.rs",
        good: ".and_then(|()| BatchHeader::verify_crc(batch))",
        bad: ".and_then(|()| Ok(()))",
        caught_by: &[ADOPT],
    },
    Bug {
        name: "adoption-cut-off-is-nobodys",
        file: "src/topic/adopt.rs",
        good: "catalog.change(|catalog| _ = catalog.deleted.insert(entry.id))?;",
        bad: "catalog.change(|_| ())?;",
        caught_by: &[ADOPT],
    },
    // What a sync promises.
    Bug {
        name: "no-data-sync",
        file: "src/log/write/group_sync.rs",
        good: "if let Err(error) = target.file.sync() {",
        bad: "if let Err(error) = target.file.len() {",
        caught_by: &[POWER_CUT, DURABILITY],
    },
    Bug {
        name: "ack-before-sync",
        file: "src/log/write/append.rs",
        good: "Some(outcome) if how.durability == Durability::Disk => {",
        bad: "Some(outcome) if how.durability == Durability::Memory => {",
        caught_by: &[POWER_CUT, DURABILITY],
    },
    Bug {
        name: "durable-published-before-sync",
        file: "src/log/write/group_sync.rs",
        good: "if let Err(error) = target.file.sync() {",
        bad: "self.raise_durable(target.mark.offset);\n        if let Err(error) = target.file.sync() {",
        caught_by: &[DURABILITY],
    },
    Bug {
        name: "failed-sync-tried-again",
        file: "src/io/pool.rs",
        good: "handle.sync_data().map_err(|e| {",
        bad: "handle.sync_data().or_else(|_| handle.sync_data()).map_err(|e| {",
        caught_by: &[DURABILITY],
    },
    Bug {
        name: "failed-sync-does-not-poison",
        file: "src/log/write/group_sync.rs",
        good: "let cause = self.poison_with(error);",
        bad: "let cause = error;",
        caught_by: &[DURABILITY],
    },
    Bug {
        name: "poison-not-checked-by-append",
        file: "src/log/log.rs",
        good: "&& self.poison.get().is_none() && self.process.is_current()",
        bad: "&& self.process.is_current()",
        caught_by: &[DURABILITY],
    },
    // Names and their order.
    Bug {
        name: "no-directory-sync-at-roll",
        file: "src/log/write/roll.rs",
        good: "        self.directory.sync().map_err(|error| self.poison_with(error))?;\n        let mut state",
        bad: "        let mut state",
        caught_by: &[POWER_CUT],
    },
    Bug {
        name: "rename-before-sync-of-the-new-file",
        file: "src/io/directory.rs",
        good: "        file.write_at(bytes, 0)?;\n        file.sync()?;",
        bad: "        file.write_at(bytes, 0)?;",
        caught_by: &[POWER_CUT, DURABILITY],
    },
    Bug {
        name: "replaced-name-not-synced",
        file: "src/io/directory.rs",
        good: "        self.rename(&format!(\"{name}{NEW}\"), name)?;\n        self.sync()",
        bad: "        self.rename(&format!(\"{name}{NEW}\"), name)",
        caught_by: &[POWER_CUT, DURABILITY],
    },
    Bug {
        name: "unlinked-before-the-table-says-so",
        file: "src/log/retain/removal.rs",
        good: "        let start = state.log_start;\n        match open.state.replace(state) {",
        bad: "        let start = state.log_start;\n        self.remove_segments(&gone)?;\n        match open.state.replace(state) {",
        caught_by: &[POWER_CUT, PARTITION],
    },
    Bug {
        name: "swap-before-the-new-name-is-durable",
        file: "src/log/compaction/swap.rs",
        good: "let synced = if new.is_some() { self.directory.sync() } else { Ok(()) };",
        bad: "let synced: Result<()> = Ok(());",
        caught_by: &[POWER_CUT],
    },
    Bug {
        name: "rewritten-segment-not-synced",
        file: "src/segment/new_segment.rs",
        good: "        self.write_out()?;\n        self.file.sync()?;",
        bad: "        self.write_out()?;",
        caught_by: &[POWER_CUT],
    },
    Bug {
        name: "swap-of-what-has-left",
        file: "src/log/compaction/swap.rs",
        good: "let at = state.sealed.iter().position(|segment| segment.base == first)?;",
        bad: "let at = state.sealed.iter().position(|segment| segment.base >= first)?;\n    return Some(at);",
        caught_by: &[PARTITION],
    },
    Bug {
        name: "old-copy-preferred-to-new",
        file: "src/log/open/recovery.rs",
        good: "let temporary = pending.contains(&summary.base);",
        bad: "let temporary = false && pending.contains(&summary.base);",
        caught_by: &[PARTITION],
    },
    Bug {
        name: "removals-forgotten-before-they-are-durable",
        file: "src/log/table/state_file.rs",
        good: "self.has_unsynced_removals |= !removed.is_empty();",
        bad: "",
        caught_by: &[POWER_CUT],
    },
    Bug {
        name: "segment-of-a-failed-roll-stays",
        file: "src/log/write/roll.rs",
        good: "let removed = next.remove(&self.directory).and_then(|()| self.directory.sync());",
        bad: "let removed: Result<()> = Ok(drop(next));",
        caught_by: &[POWER_CUT],
    },
    Bug {
        name: "both-marks-at-risk",
        file: "src/log/table/state_file.rs",
        good: "let sequence = if next.abs_diff(self.synced_sequence).is_multiple_of(2) { next + 1 } else { next };",
        bad: "let sequence = next;",
        caught_by: &[POWER_CUT],
    },
    Bug {
        name: "name-of-the-store-not-synced",
        file: "src/topic/topics.rs",
        good: "                root.sync_above()?;\n",
        bad: "",
        caught_by: &[DURABILITY],
    },
    Bug {
        name: "list-of-topics-believed-as-found",
        file: "src/topic/directories.rs",
        good: "        self.root.sync()?;\n        for directory in unlisted",
        bad: "        for directory in unlisted",
        caught_by: &[DURABILITY],
    },
    Bug {
        name: "name-of-a-rewritten-segment-believed-as-found",
        file: "src/log/open/settle.rs",
        good: "if !is_closed || !found.state.state().pending.is_empty() {",
        bad: "if !is_closed && found.state.state().pending.is_empty() {",
        caught_by: &[DURABILITY],
    },
    Bug {
        name: "name-of-a-new-segment-believed-as-found",
        file: "src/log/open/settle.rs",
        good: "if !is_closed || !found.state.state().pending.is_empty() {",
        bad: "if !found.state.state().pending.is_empty() {",
        caught_by: &[DURABILITY],
    },
    // Recovery.
    Bug {
        name: "page-cache-trusted-after-a-crash",
        file: "src/log/open/settle.rs",
        good: "if synced_bytes == last.tally.bytes {",
        bad: "if synced_bytes <= last.tally.bytes {",
        caught_by: &[POWER_CUT],
    },
    Bug {
        name: "tail-cut-only-in-memory",
        file: "src/log/open/settle.rs",
        good: "        file.set_len(scan.tally.bytes)?;\n        file.sync()",
        bad: "        file.sync()",
        caught_by: &[POWER_CUT],
    },
    Bug {
        name: "cut-not-synced",
        file: "src/log/open/settle.rs",
        good: "        file.sync().map_err(|error| self.poison_with(error))?;\n        let mut index",
        bad: "        let mut index",
        caught_by: &[POWER_CUT],
    },
    Bug {
        name: "copy-of-the-tail-not-synced",
        file: "src/log/open/settle.rs",
        good: "        copy.sync()?;\n",
        bad: "",
        caught_by: &[POWER_CUT],
    },
    Bug {
        name: "recovery-is-not-repeatable",
        file: "src/log/open/settle.rs",
        good: "next.closed = None;",
        bad: "",
        caught_by: &[PARTITION, tests("kill", &[])],
    },
    Bug {
        name: "damage-below-the-mark-is-cut",
        file: "src/log/open/recovery.rs",
        good: "    check_mark(directory, &file, &scans, expected)?;\n",
        bad: "",
        caught_by: &[NAMED, SWEEP],
    },
    Bug {
        name: "zeros-instead-of-a-missing-segment",
        file: "src/log/open/recovery.rs",
        good: "known.iter().find(|base| !names.logs.contains(base) && !leftovers.pending.contains(base))",
        bad: "known.iter().find(|base| false && !names.logs.contains(base) && !leftovers.pending.contains(base))",
        caught_by: &[SWEEP],
    },
    Bug {
        name: "identity-not-checked",
        file: "src/log/open/recovery.rs",
        good: "_ if found == expected => return Ok(()),",
        bad: "_ => return Ok(()),",
        caught_by: &[tests("errors", &["a_directory_of_another"])],
    },
    Bug {
        name: "state-of-another-topic-taken",
        file: "src/log/open/recovery.rs",
        good: "_ if found == expected => return Ok(()),",
        bad: "_ if (found.store, found.partition) == (expected.store, expected.partition) => return Ok(()),",
        caught_by: &[tests("errors", &["a_directory_of_another"])],
    },
    Bug {
        name: "commits-set-back-in-memory-only",
        file: "src/group/groups.rs",
        good: "groups.write(&mut groups.committed.lock(), changes)?;\n            groups.ledger.sync()?;",
        bad: "for Change { group, place, commit } in changes {\n                groups.committed.lock().set(&group, &place, commit);\n            }",
        caught_by: &[POWER_CUT],
    },
    // What belongs to a topic, and positions.
    Bug {
        name: "commit-for-a-name-and-not-a-topic",
        file: "src/group/groups.rs",
        good: "self.topic_id == partition.topic_id()",
        bad: "self.topic_id == partition.topic_id() || self.names_id",
        caught_by: &[tests("groups", &["deletion::"])],
    },
    Bug {
        name: "assignment-of-a-name-and-not-a-topic",
        file: "src/topic/partition.rs",
        good: "self.topic_id == other.topic_id && self.number() == other.number()",
        bad: "self.topic() == other.topic() && self.number() == other.number()",
        caught_by: &[tests("groups", &["deletion::"])],
    },
    Bug {
        name: "changes-of-commits-in-one-batch-whatever-it-takes",
        file: "src/topic/ledger.rs",
        good: "bytes <= most_bytes",
        bad: "bytes <= most_bytes || true",
        caught_by: &[tests("groups", &["large::"]), tests("lib", &["ledger::"])],
    },
    Bug {
        name: "position-without-a-record-not-committed",
        file: "src/consumer/assigned.rs",
        good: "self.reader.as_ref().map(Reader::position)",
        bad: "self.reader.as_ref().map(Reader::position).filter(|at| self.committed.is_some_and(|c| c < *at))",
        caught_by: &[tests("groups", &["positions::a_position_at_the_end"])],
    },
    Bug {
        name: "consumed-deleted-before-its-commit-is-durable",
        file: "src/group/groups.rs",
        good: "if consumed.is_some_and(|consumed| partition.log().has_segment_below(consumed)) {",
        bad: "if consumed.is_some_and(|consumed| consumed < 0) {",
        caught_by: &[tests("groups", &["positions::what_was_consumed"])],
    },
    Bug {
        name: "one-failing-partition-polled-first-for-ever",
        file: "src/consumer/poll.rs",
        good: "self.next = self.after(&place);",
        bad: "self.next = None;",
        caught_by: &[tests("groups", &["fairness::"])],
    },
    // Checks of what is read.
    Bug {
        name: "scan-without-offsets",
        file: "src/segment/scan.rs",
        good: "if header.base_offset != expected {",
        bad: "if false {",
        caught_by: &[SWEEP],
    },
    Bug {
        name: "scan-without-checksum",
        file: "src/segment/scan.rs",
        good: "    BatchHeader::verify_crc(batch)\n}",
        bad: "    let _ = batch;\n    Ok(())\n}",
        caught_by: &[POWER_CUT, SWEEP],
    },
    Bug {
        name: "read-without-checksum",
        file: "src/format/batch_header.rs",
        good: "if computed == stored {",
        bad: "if computed == stored || true {",
        caught_by: &[SWEEP, tests("lib", &["format::"])],
    },
    Bug {
        name: "index-trusted",
        file: "src/segment/cursor.rs",
        good: "(header.last_offset() == last_offset).then(|| {",
        bad: "Some(()).map(|()| {",
        caught_by: &[NAMED],
    },
    Bug {
        name: "length-used-before-its-check",
        file: "src/format/batch_header.rs",
        good: "if self.batch_length < Self::MIN_BATCH_LENGTH {",
        bad: "if false {",
        caught_by: &[tests("lib", &["format::"])],
    },
    Bug {
        name: "topic-file-without-checksum",
        file: "src/format/catalog.rs",
        good: "let body = checked_body(bytes)?;",
        bad: "let body = checked_body(bytes).or_else(|_| std::str::from_utf8(bytes).map_err(|_| Malformed::invalid(0, \"text\")))?;",
        caught_by: &[SWEEP, tests("lib", &["format::"])],
    },
    Bug {
        name: "commits-beyond-the-end-kept",
        file: "src/group/groups.rs",
        good: "&& commit.at.offset <= partition.end()",
        bad: "&& commit.at.offset < Offset::MAX",
        caught_by: &[tests("groups", &[]), POWER_CUT],
    },
    // Failures of writes.
    Bug {
        name: "failed-write-leaves-its-bytes",
        file: "src/segment/active.rs",
        good: "match self.file.set_len(self.tally.bytes) {",
        bad: "match Ok::<(), Error>(()) {",
        caught_by: &[DURABILITY],
    },
    Bug {
        name: "failed-write-keeps-its-offsets",
        file: "src/log/write/accumulator.rs",
        good: "        self.next_offset = next_offset;\n        if let Some((first, last)) = lost {",
        bad: "        let _ = next_offset;\n        if let Some((first, last)) = lost {",
        caught_by: &[DURABILITY, PARTITION],
    },
    Bug {
        name: "waiter-not-told-of-the-failure",
        file: "src/log/write/accumulator.rs",
        good: "batch.tell(|| Err(error.clone()));",
        bad: "batch.tell(|| Ok(()));",
        caught_by: &[PARTITION],
    },
    Bug {
        name: "loss-not-told",
        file: "src/log/write/accumulator.rs",
        good: "self.lost.get_or_insert(Error::Lost { partition, first, last, cause });",
        bad: "drop((partition, first, last, cause));",
        caught_by: &[tests("errors", &["records_in_memory_are_lost"]), PARTITION],
    },
    Bug {
        name: "waiters-sleep-on",
        file: "src/log/write/group_sync.rs",
        good: "self.committer.done.notify_all();",
        bad: "",
        caught_by: &[DURABILITY],
    },
    Bug {
        name: "readers-not-woken",
        file: "src/log/signal.rs",
        good: "        *self.raised.lock() += 1;\n        self.changed.notify_all();",
        bad: "        *self.raised.lock() += 1;",
        caught_by: &[tests("threads", &[])],
    },
    // Deletion.
    Bug {
        name: "retention-believes-any-clock",
        file: "src/log/retain/retention.rs",
        good: "let max_age = policy.max_age.filter(|_| at.is_believable(policy));",
        bad: "let max_age = policy.max_age;",
        caught_by: &[tests("retention", &[])],
    },
    Bug {
        name: "tombstone-dropped-early",
        file: "src/log/compaction/compact.rs",
        good: "horizon: config.now.saturating_add(millis(config.delete_retention)),",
        bad: "horizon: config.now,",
        caught_by: &[tests("lib", &["partition::tests::compaction"])],
    },
    // Stores into maps.
    Bug {
        name: "stored-into-blocks-not-reserved",
        file: "src/io/store_map.rs",
        good: "if !self.allowed || end > self.reserved {",
        bad: "if !self.allowed {",
        caught_by: &[tests("lib", &["io::"])],
    },
    Bug {
        name: "map-kept-over-a-cut",
        file: "src/io/store_map.rs",
        good: "        state.reserved = 0;\n        drop_outside(state);",
        bad: "        drop(state);",
        caught_by: &[tests("lib", &["io::"])],
    },
    // Locks and descriptors.
    Bug {
        name: "lock-by-file-only",
        file: "src/io/os.rs",
        good: "let directory = if cfg!(unix) { Some(File::open(dir)?) } else { None };",
        bad: "let directory: Option<File> = None;",
        caught_by: &[tests("errors", &[])],
    },
    Bug {
        name: "descriptor-closed-unsynced",
        file: "src/io/pool.rs",
        good: "&& self.dirty.swap(false, Ordering::AcqRel)",
        bad: "&& self.dirty.swap(false, Ordering::AcqRel) && false",
        caught_by: &[tests("durability", &["a_descriptor_given_back"])],
    },
    // What a sender does that finds nobody writing.
    Bug {
        name: "own-write-fails-unheard",
        file: "src/log/write/append.rs",
        good: "self.write_batches(&mut writer, batches)?;",
        bad: "drop(self.write_batches(&mut writer, batches));",
        caught_by: &[DURABILITY],
    },
    Bug {
        name: "own-write-leaves-the-open-batch",
        file: "src/log/write/append.rs",
        good: "let batches = accumulator.take(Which::All);",
        bad: "let batches = accumulator.take(Which::Full);",
        caught_by: &[DURABILITY, PARTITION],
    },
    Bug {
        name: "end-published-before-the-write",
        file: "src/log/write/writer.rs",
        good: "        match open.active.append(&header, sealed.bytes) {",
        bad: "        self.offsets.move_end(header.next_offset());\n        match open.active.append(&header, sealed.bytes) {",
        caught_by: &[DURABILITY],
    },
    // Repair.
    Bug {
        name: "copy-not-synced-before-the-repair",
        file: "src/log/check/copies.rs",
        good: "        target.sync()?;\n        self.directory.sync()?;",
        bad: "        self.directory.sync()?;",
        caught_by: &[REPAIR],
    },
    Bug {
        name: "name-of-a-copy-not-synced-before-the-repair",
        file: "src/log/check/copies.rs",
        good: "        target.sync()?;\n        self.directory.sync()?;",
        bad: "        target.sync()?;",
        caught_by: &[REPAIR],
    },
    Bug {
        name: "repair-does-not-tell-what-it-dropped",
        file: "src/segment/salvage.rs",
        good: "found.dropped.push(Dropped { range, offsets, reason: malformed.to_string() });",
        bad: "drop((range, offsets, malformed));",
        caught_by: &[REPAIR],
    },
    Bug {
        name: "any-leap-believed-behind-damage",
        file: "src/segment/salvage.rs",
        good: "if too_far || base.abs_diff",
        bad: "if base.abs_diff",
        caught_by: &[REPAIR],
    },
    Bug {
        name: "other-batches-in-the-place-of-those-sealed",
        file: "src/log/check/verify.rs",
        good: "if headers.finalize() != summary.headers_crc || records",
        bad: "if records",
        caught_by: &[SWEEP],
    },
    Bug {
        name: "leader-epoch-that-changed-is-damage",
        file: "src/segment/scan.rs",
        good: "    BatchHeader::verify_crc(batch)\n",
        bad: "    if header.leader_epoch != 0 {\n        return invalid(\"leader epoch\".to_owned());\n    }\n    BatchHeader::verify_crc(batch)\n",
        caught_by: &[tests("compat", &["theirs::"])],
    },
    Bug {
        name: "leader-epoch-not-put-right",
        file: "src/segment/epochs.rs",
        good: "if others > 0 && leader_epoch != kept.header.leader_epoch {",
        bad: "if others > kept.header.total_len() {",
        caught_by: &[tests("compat", &["theirs::"]), tests("lib", &["segment::"])],
    },
    Bug {
        name: "compressed-beyond-what-readers-expand",
        file: "src/log/write/writer.rs",
        good: "records <= self.options.max_expanded_bytes && writer",
        bad: "writer",
        caught_by: &[tests("limits", &[])],
    },
    Bug {
        name: "limit-taken-for-damage",
        file: "src/segment/log_file.rs",
        good: "            Malformed::TooLarge { limit } => {\n                Error::BatchTooLarge",
        bad: "            Malformed::TooLarge { limit } if limit == 7 => {\n                Error::BatchTooLarge",
        caught_by: &[tests("limits", &[])],
    },
    // Topics.
    Bug {
        name: "deleted-topics-not-listed",
        file: "src/format/catalog.rs",
        good: "for id in &self.deleted {",
        bad: "for id in self.deleted.iter().take(0) {",
        caught_by: &[NAMED, tests("lib", &["format::"])],
    },
    Bug {
        name: "deleted-topic-not-noted",
        file: "src/topic/admin.rs",
        good: "            catalog.deleted.insert(topic.id());\n",
        bad: "",
        caught_by: &[NAMED, POWER_CUT],
    },
    Bug {
        name: "deleted-topic-forgotten-before-its-files",
        file: "src/topic/admin.rs",
        good: "            catalog.deleted.insert(topic.id());\n",
        bad: "            catalog.deleted.clear();\n",
        caught_by: &[NAMED, POWER_CUT],
    },
    Bug {
        name: "unlisted-topic-destroyed",
        file: "src/topic/directories.rs",
        good: "|| listed.deleted.contains(&identity.topic)",
        bad: "|| true",
        caught_by: &[NAMED],
    },
    // Indexes.
    Bug {
        name: "index-files-without-checksum",
        file: "src/segment/index_file.rs",
        good: "(bytes.len() == len && crc32fast::hash(&bytes) == crc)",
        bad: "(bytes.len() == len)",
        caught_by: &[tests("index_files", &[])],
    },
    Bug {
        name: "time-index-leads-past-the-time",
        file: "src/segment/index.rs",
        good: "let entry = after.checked_sub(1).and_then(|at| self.times.get(at));",
        bad: "let entry = self.times.get(after).or(self.times.last());",
        caught_by: &[tests("index_files", &[]), PARTITION],
    },
    Bug {
        name: "age-of-the-active-segment-taken-from-the-time-index",
        file: "src/segment/segment.rs",
        good: "Index::InMemory(index) => index.largest().timestamp,",
        bad: "Index::InMemory(index) => index.times().last().map_or(-1, |time| time.timestamp),",
        caught_by: &[tests("retention", &[])],
    },
    Bug {
        // What the last entry of a file would say that is longer than its entries.
        name: "time-index-padded-with-zeros",
        file: "src/segment/summary.rs",
        good: "max_timestamp: largest.timestamp,",
        bad: "max_timestamp: index.times().last().map_or(0, |_| 0),",
        caught_by: &[tests("retention", &[]), tests("index_files", &[])],
    },
    Bug {
        name: "short-write-taken-for-a-whole-one",
        file: "src/io/file.rs",
        good: "Ok(n) => written += n,",
        bad: "Ok(_) => written = bytes.len(),",
        caught_by: &[DURABILITY],
    },
    Bug {
        name: "write-leaves-the-file-clean",
        file: "src/io/file.rs",
        good: "self.with(\"write\", Effect::Writes, |handle| {",
        bad: "self.with(\"write\", Effect::Reads, |handle| {",
        caught_by: &[DURABILITY],
    },
    Bug {
        name: "zero-frame-accepted",
        file: "src/segment/scan.rs",
        good: "        Err(malformed) => return Ok(Err(malformed)),\n    };\n    let needed",
        bad: "        Err(_) if walk.bytes(position, BatchHeader::LEN)?.iter().all(|byte| *byte == 0) => {\n            scan.tally.bytes += BatchHeader::LEN as u64;\n            return Ok(Ok(()));\n        }\n        Err(malformed) => return Ok(Err(malformed)),\n    };\n    let needed",
        caught_by: &[POWER_CUT],
    },
    Bug {
        name: "single-record-read-unchecked",
        file: "src/log/read/by_offset.rs",
        good: "        BatchHeader::verify_crc(batch.bytes()).ok()?;\n",
        bad: "",
        caught_by: &[SWEEP],
    },
    Bug {
        name: "another-record-taken-for-the-wanted-one",
        file: "src/format/record_at.rs",
        good: "walk.next_record()?.ok().filter(|record| record.offset == offset)",
        bad: "walk.next_record()?.ok()",
        caught_by: &[tests("lib", &["record_at"])],
    },
    Bug {
        name: "a-gap-is-taken-for-missing-offsets",
        file: "src/segment/find.rs",
        good: "header.base_offset == expected || header.base_offset > expected && !self.is_gapless()",
        bad: "header.base_offset >= expected",
        caught_by: &[SWEEP],
    },
    Bug {
        name: "descriptor-of-hints-closed-after-a-sync",
        file: "src/io/pool.rs",
        good: "if effect == Effect::Writes && !self.holds_hints {",
        bad: "if effect == Effect::Writes {",
        caught_by: &[tests("lib", &["pool::"])],
    },
    Bug {
        name: "evicted-tail-forgotten",
        file: "src/log/open/settle.rs",
        good: "if copied.tally.next_offset != scan.tally.next_offset {",
        bad: "if copied.tally.next_offset > scan.tally.next_offset {",
        caught_by: &[POWER_CUT],
    },
];
