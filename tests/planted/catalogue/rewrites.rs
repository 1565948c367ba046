//! Losses that are told to the wrong one, files that are part of nothing, and what happens beside a rewrite.

use super::*;

/// Unit tests, by their names.
const fn of_unit(filters: &'static [&'static str]) -> Tests {
    tests("lib", filters)
}

pub(super) const BUGS: &[Bug] = &[
    // Who is told of a loss.
    Bug {
        name: "loss-of-another-told-to-a-sender",
        file: "src/log/write/append.rs",
        good: "if accumulator.is_lost(placed.last_offset, failures) {",
        bad: "if accumulator.refuses() {",
        caught_by: &[of_unit(&["a_sender_is_told_of_a_loss_if_it_is_its_own"])],
    },
    Bug {
        name: "loss-told-to-a-sender-and-to-no-flush",
        file: "src/log/write/accumulator.rs",
        good: "Refusal::Lost(_) => self.take_untold(),",
        bad: "Refusal::Lost(_) => self.take_lost(),",
        caught_by: &[of_unit(&["a_flush_tells_of_a_loss", "a_close_tells_of_a_loss"])],
    },
    Bug {
        name: "durable-record-lost-by-a-later-failure",
        file: "src/log/write/awaited.rs",
        good: "self.log.accumulator.lock().is_lost(self.offset, self.failures)",
        bad: "self.log.accumulator.lock().failures() != self.failures",
        caught_by: &[of_unit(&["a_wait_for_a_record_that_is_durable"])],
    },
    Bug {
        name: "own-loss-wipes-out-that-of-another-at-its-offset",
        file: "src/log/write/losses.rs",
        good: "if self.by == Some(by) {",
        bad: "if by > 0 {",
        caught_by: &[of_unit(&["a_sender_told_of_its_own_loss"])],
    },
    Bug {
        name: "loss-of-a-later-failure-told-to-an-earlier-sender",
        file: "src/log/write/accumulator.rs",
        good: "Refusal::Lost(lost) if lost.by == by => self.take_untold(),",
        bad: "Refusal::Lost(_) if by > 0 => self.take_untold(),",
        caught_by: &[of_unit(&["a_sender_that_looks_late"])],
    },
    Bug {
        name: "sync-of-what-was-left-uses-up-a-loss",
        file: "src/log/write/stage.rs",
        good: "return self.flush_for_others();",
        bad: "return self.flush();",
        caught_by: &[of_unit(&["a_sync_of_what_an_earlier_life"]), of_unit(&["a_commit_beside_what"])],
    },
    Bug {
        name: "snapshot-uses-up-a-loss",
        file: "src/stream/snapshots.rs",
        good: "events.flush_untold()?;",
        bad: "events.flush()?;",
        caught_by: &[tests("streams", &["projections::a_snapshot_used_up"])],
    },
    // Files that are part of nothing.
    Bug {
        name: "rewrite-that-fails-at-its-end-leaves-its-file",
        file: "src/log/compaction/rewrite.rs",
        good: "match new.inspect_err(|_| self.log.throw_away(&[first.summary.base])) {",
        bad: "match new {",
        caught_by: &[of_unit(&["a_rewrite_that_fails_at_its_end_leaves_no_file"])],
    },
    Bug {
        name: "left-rewrite-in-the-way-of-the-next",
        file: "src/log/compaction/rewrite.rs",
        good: "        drop(log.remove_unfinished());\n",
        bad: "",
        caught_by: &[of_unit(&["what_a_rewrite_could_not_remove"])],
    },
    Bug {
        name: "half-written-files-stay-after-a-kill",
        file: "src/log/open/settle.rs",
        good: "half_written.filter(|name| self.directory.remove_if_there(name).is_err()).count() > 0",
        bad: "half_written.count() == usize::MAX",
        caught_by: &[of_unit(&["what_a_killed_process_was_writing"])],
    },
    Bug {
        name: "old-segments-stay-where-the-last-note-has-no-room",
        file: "src/log/compaction/swap.rs",
        good: "Err(_) if self.poison.get().is_none() => Ok(()),",
        bad: "Err(error) if self.poison.get().is_none() => Err(error),",
        caught_by: &[of_unit(&["a_swap_whose_last_note_has_no_room"])],
    },
    // Beside a rewrite.
    Bug {
        name: "look-made-again-for-what-was-added",
        file: "src/log/segment_list.rs",
        good: "self.missing_in(next).next().is_some() || self.start < next.start",
        bad: "!std::ptr::eq(self, next)",
        caught_by: &[of_unit(&["a_look_at_segments_that_fails"]), of_unit(&["a_compaction_with_damage"])],
    },
    Bug {
        name: "erasure-removes-what-a-roll-writes",
        file: "src/log/table/names.rs",
        good: "        let _writer = self.writer.lock();\n",
        bad: "",
        caught_by: &[of_unit(&["an_erasure_beside_a_roll"])],
    },
    Bug {
        name: "erased-key-in-a-held-file",
        file: "src/log/compaction/erase.rs",
        good: "while self.has_obsolete() {",
        bad: "while false {",
        caught_by: &[of_unit(&["an_erasure_beside_which_a_copy_begins"])],
    },
    Bug {
        name: "rest-of-an-overtaken-run-counts-as-cleaned",
        file: "src/log/compaction/compact.rs",
        good: "let rest = range.start + self.gone_of(run)..range.end;",
        bad: "let rest = range.end..range.end;",
        caught_by: &[of_unit(&["an_old_value_does_not_come_back", "a_compaction_goes_on_with_what_is_left"])],
    },
    Bug {
        name: "tombstone-goes-before-what-it-is-about",
        file: "src/log/compaction/sieve.rs",
        good: " && !self.is_behind_uncleaned.get() =>",
        bad: " =>",
        caught_by: &[of_unit(&["a_tombstone_waits_for_its_horizon"])],
    },
    Bug {
        name: "look-at-the-old-list-counts-for-the-new",
        file: "src/log/table/edit.rs",
        good: "Arc::clone(&list));\n        if takes_out {",
        bad: "Arc::clone(&list));\n        if false {",
        caught_by: &[of_unit(&["a_look_beside_a_deletion_is_stale"])],
    },
    Bug {
        name: "readers-not-told-by-a-refused-guard",
        file: "src/log/write/guarded.rs",
        good: "_news = Some(News(self));",
        bad: "_news = None::<News<'_>>;",
        caught_by: &[of_unit(&["readers_are_told_of_what_was_written_for_others"])],
    },
    // Descriptors.
    Bug {
        name: "sync-wants-a-descriptor-for-nothing",
        file: "src/io/pool.rs",
        good: "let Some(handle) = &state.handle else { return Ok(()) };",
        bad: "let Some(handle) = &state.handle else {\n            drop(state);\n            return self.reopen();\n        };",
        caught_by: &[of_unit(&["a_sync_beside_the_return_of_the_descriptor"])],
    },
    Bug {
        name: "panic-of-one-file-in-another",
        file: "src/io/pool.rs",
        good: "state.failed = caught(sync).err();",
        bad: "state.failed = sync().err();",
        caught_by: &[of_unit(&["a_sync_of_one_file_that_panics"])],
    },
    // What is told of the time, and what lingers wait for.
    Bug {
        name: "time-that-a-record-asked-for-told-to-its-producer",
        file: "src/log/write/stage.rs",
        good: "TimestampType::LogAppendTime => now,",
        bad: "TimestampType::LogAppendTime => own.unwrap_or(now),",
        caught_by: &[of_unit(&["what_a_producer_is_told_of_the_time"])],
    },
    Bug {
        name: "lingers-wait-for-a-key-index",
        file: "src/log/keys.rs",
        good: "if !segment.knows_keys(&stamp) || self.check_going_on().is_err() {",
        bad: "if self.check_going_on().is_err() {",
        caught_by: &[of_unit(&["lingers_and_syncs_do_not_wait"])],
    },
];
