//! Owners and workers that stand still, and who waits for them.

use super::*;

const WAITS: Tests = tests("processes", &["waits::"]);

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "each-look-waits-anew-for-an-owner-that-is-frozen-in-a-change",
        file: "src/log/follow/waits.rs",
        good: "None => follow.standing_until(LONGEST_LOOK).max(ends.shortest),",
        bad: "None => ends.look,",
        caught_by: &[tests("processes", &["frozen::calls_waited"])],
    },
    Bug {
        name: "each-commit-waits-anew-for-a-process-that-is-frozen-in-a-sync",
        file: "src/group/spool_file.rs",
        good: "if self.standing_until(head).has_passed() {",
        bad: "if self.standing_until(head).has_passed() {\n                *self.standing.lock() = None;",
        caught_by: &[tests("processes", &["frozen::each_commit"])],
    },
    Bug {
        name: "who-has-waited-in-vain-waits-for-no-other-sync",
        file: "src/group/spool_file.rs",
        good: ".filter(|(seen, _)| *seen == now);",
        bad: ".filter(|(seen, until)| *seen == now || until.has_passed());",
        caught_by: &[tests("processes", &["frozen::commits_at_disk"])],
    },
    Bug {
        name: "poll-waits-longer-than-it-may",
        file: "src/log/follow/waits.rs",
        good: "ends.call.filter(|call| *call <= ends.look) {",
        bad: "ends.call.filter(|_| ends.looks == u32::MAX) {",
        caught_by: &[WAITS],
    },
    Bug {
        name: "a-take-waits-longer-than-it-may-for-the-file-of-a-queue",
        file: "src/share/step_files.rs",
        good: "let own = call_ends_by(Deadline::after(LONGEST_WAIT));",
        bad: "let own = call_ends_by(Deadline::after(Duration::ZERO));",
        caught_by: &[WAITS],
    },
    Bug {
        name: "who-waits-for-an-open-waits-one-behind-the-other",
        file: "src/log/follow/waits.rs",
        good: "Some(until) => until,",
        bad: "Some(_) => ends.look,",
        caught_by: &[WAITS],
    },
    Bug {
        name: "topic-that-goes-before-a-step-is-no-deleted-topic",
        file: "src/share/away.rs",
        good: "drop(self.queues.topics.look());",
        bad: "",
        caught_by: &[WAITS],
    },
    Bug {
        name: "page-without-a-word-is-in-use",
        file: "src/live/guest.rs",
        good: "0 if !file.is_byte_locked(OWNER_BYTE)? => return Err(not_yet(root)),",
        bad: "",
        caught_by: &[WAITS],
    },
    Bug {
        name: "owner-without-a-page-is-another-version",
        file: "src/live/guest.rs",
        good: "0 => return Err(Error::StoreInUse { path: root.path().to_path_buf(), pid: None }),",
        bad: "",
        caught_by: &[WAITS],
    },
    Bug {
        name: "first-owner-is-not-waited-for",
        file: "src/topic/follow.rs",
        good: "if !matches!(owner, OwnerState::Opening(_)) {",
        bad: "if matches!(owner, OwnerState::Opening(_)) {",
        caught_by: &[WAITS],
    },
    Bug {
        name: "page-that-came-between-two-looks-is-none",
        file: "src/live/guest.rs",
        good: "None => Ok(file.len()? >= PIECE_BYTES as u64),",
        bad: "None => Ok(file.len()? == 1),",
        caught_by: &[WAITS],
    },
    Bug {
        name: "owner-that-stands-before-its-page-is-written-is-not-told-of",
        file: "src/live/guest.rs",
        good: "return Err(still_opening(root));",
        bad: "return Err(not_yet(root));",
        caught_by: &[tests("lib", &["live::tests::who_attaches"])],
    },
    Bug {
        name: "stopped-worker-fails-the-backup",
        file: "src/share/folding.rs",
        good: " && !is_stopped(error))",
        bad: " && (true || !is_stopped(error)))",
        caught_by: &[WAITS],
    },
    Bug {
        name: "stopped-worker-holds-up-an-owner-that-was-closed",
        file: "src/share/uncut.rs",
        good: "if was_closed && ",
        bad: "if !was_closed && ",
        caught_by: &[WAITS],
    },
    Bug {
        name: "who-works-on-a-store-that-was-replaced-is-told-nothing",
        file: "src/io/anchor.rs",
        good: "Ok(there) => Ok(place(&there) != place(&directory.metadata()?)),",
        bad: "Ok(there) => Ok(place(&there).1 == 0 && directory.metadata()?.ino() == 0),",
        caught_by: &[WAITS],
    },
    Bug {
        name: "store-whose-path-cannot-be-looked-at-was-replaced",
        file: "src/io/anchor.rs",
        good: "                Err(_) => Ok(false),\n",
        bad: "                Err(error) => Err(error),\n",
        caught_by: &[WAITS],
    },
    Bug {
        name: "take-waits-for-each-partition-that-cannot-be-seen",
        file: "src/log/follow/waits.rs",
        good: "let call = CALL.get();",
        bad: "let call = CALL.get().map(|call| call.max(Deadline::after(SHORTEST_LOOK)));",
        caught_by: &[tests("processes", &["waits::a_take_of_many"])],
    },
    Bug {
        name: "take-that-had-no-more-time-is-told-to-the-next",
        file: "src/share/worker.rs",
        good: "if is_out_of_time(&error) {",
        bad: "if is_out_of_time(&error) && self.failure.is_some() {",
        caught_by: &[tests("processes", &["waits::a_take_behind_one"])],
    },
];
