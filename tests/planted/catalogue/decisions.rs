//! Commits: what is asked before anything is taken, what a panic leaves in the middle, and whose a group is meanwhile.

use super::*;

const ROOM: Tests = tests("interface", &["transactions::room"]);
const POISONED: Tests = tests("interface", &["transactions::poisoned"]);
const SEEN: Tests = tests("interface", &["transactions::seen"]);
const STEPS: Tests = tests("crash", &["panicked_step::"]);
const ELSEWHERE: Tests = tests("processes", &["groups::a_group_"]);

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "decision-that-cannot-be-ended-is-in-the-way-of-all",
        file: "src/log/producers/clearing.rs",
        good: "if transactions.any(|one| self.left.contains(&one)) {",
        bad: "if transactions.any(|one| self.left.contains(&one)) || true {",
        caught_by: &[POISONED],
    },
    Bug {
        name: "done-of-a-queue-removed-before-its-answers-are-durable",
        file: "src/share/queues.rs",
        good: "self.keep(self.of_partition(partition).values().flatten())",
        bad: "self.states.sync()",
        caught_by: &[POISONED],
    },
    Bug {
        name: "commit-at-os-on-what-cannot-be-synced",
        file: "src/transaction/deciding.rs",
        good: "return own.check_sound();",
        bad: "return Ok(());",
        caught_by: &[POISONED],
    },
    Bug {
        name: "position-that-stays-keeps-others-from-being-committed",
        file: "src/group/pending.rs",
        good: "if there.is_some_and(|commit| stays(commit, partition, clearing)) {",
        bad: "if there.is_some_and(|commit| stays(commit, partition, clearing)) && false {",
        caught_by: &[POISONED],
    },
    Bug {
        name: "decisions-of-an-earlier-life-are-taken-for-durable",
        file: "src/topic/ledger.rs",
        good: "committed.of(record.offset())",
        bad: "committed.of(record.offset()).filter(|_| false)",
        caught_by: &[POISONED],
    },
    Bug {
        name: "decisions-that-cannot-be-ended-are-tried-by-every-commit",
        file: "src/transaction/finish.rs",
        good: "outstanding.tried = left.len().min(outstanding.ended.len());",
        bad: "outstanding.tried = 0;",
        caught_by: &[tests("lib", &["transaction::tests::settling"])],
    },
    Bug {
        name: "record-is-cancelled-in-the-middle-of-its-move",
        file: "src/share/holds.rs",
        good: "self.check_decided(&steps, (&topic, &key_matches))?;",
        bad: "",
        caught_by: &[tests("queue", &["cancelled::"])],
    },
    Bug {
        name: "room-made-before-the-participants-are-asked",
        file: "src/transaction/coordinator.rs",
        good: "let asked = match Asked::ask(deciding.participants) {",
        bad: "let pieces = deciding.pieces.by_place.values();\n        pieces.for_each(|piece| drop(piece.partition.log().check_room(piece.bytes())));\n        let asked = match Asked::ask(deciding.participants) {",
        caught_by: &[ROOM],
    },
    Bug {
        name: "refused-after-a-wait-for-room",
        file: "src/transaction/shares.rs",
        good: "drop(checked(shares, gathered, producer)?);\n        let Some(first)",
        bad: "let Some(first)",
        caught_by: &[ROOM],
    },
    Bug {
        name: "wait-for-room-with-what-others-need-to-make-it",
        file: "src/transaction/coordinator.rs",
        good: "self.settings.waits_for_room && contributions.is_empty();",
        bad: "self.settings.waits_for_room;",
        caught_by: &[ROOM],
    },
    Bug {
        name: "records-judged-by-the-clock-of-the-commit",
        file: "src/transaction/shares.rs",
        good: "stage.were_given(given);",
        bad: "_ = given;",
        caught_by: &[tests("interface", &["transactions::in_time"])],
    },
    Bug {
        name: "producers-counted-that-only-look-at-a-partition",
        file: "src/transaction/shares.rs",
        good: "if !share.records.is_empty() {\n            stage.log()",
        bad: "if share.is_looked_at || !share.records.is_empty() {\n            stage.log()",
        caught_by: &[tests("lib", &["transaction::tests::conditions"])],
    },
    Bug {
        name: "panic-behind-a-decision-taken-for-an-abort",
        file: "src/transaction/deciding.rs",
        good: "asked.know(Outcome::Unknown);",
        bad: "",
        caught_by: &[STEPS],
    },
    Bug {
        name: "panic-behind-what-readers-see-taken-for-unknown",
        file: "src/transaction/deciding.rs",
        good: "is_applied();",
        bad: "drop(is_applied);",
        caught_by: &[STEPS],
    },
    Bug {
        name: "decision-in-the-middle-of-two-panics-left-to-nobody",
        file: "src/transaction/undertaken.rs",
        good: "if let Some(undertaken) = self.undertaken.take() {",
        bad: "if let Some(undertaken) = self.undertaken.take().filter(|one| !one.is_for_disk) {",
        caught_by: &[tests("queue", &["panics::a_message_came_back"])],
    },
    Bug {
        name: "decision-in-the-middle-of-a-panic-left-to-nobody",
        file: "src/transaction/undertaken.rs",
        good: "self.of.outstanding.lock().undertaken.push(undertaken);",
        bad: "drop(undertaken);",
        caught_by: &[STEPS],
    },
    Bug {
        name: "decision-in-the-middle-of-a-panic-taken-for-none",
        file: "src/transaction/undertaken.rs",
        good: "Ok(Some(offset)) => first = first.and(self.take_effect(one, (offset, None), || {})),",
        bad: "Ok(Some(_)) => self.take_no_effect(one),",
        caught_by: &[tests("queue", &["panics::a_message_came_back"])],
    },
    Bug {
        name: "panic-in-a-write-that-may-be-whole-taken-for-an-abort",
        file: "src/transaction/giving_up.rs",
        good: "if self.may_be_whole {",
        bad: "if false {",
        caught_by: &[STEPS],
    },
    Bug {
        name: "markers-of-which-a-panic-took-the-writer-not-come-back-to",
        file: "src/transaction/in_hand.rs",
        good: "self.of.remind_if_there();",
        bad: "",
        caught_by: &[STEPS],
    },
    Bug {
        name: "task-waits-for-what-an-earlier-life-has-left",
        file: "src/transaction/deciding.rs",
        good: "self.resting.add_left(&mut later.left);",
        bad: "self.resting.add_left(&mut later.rests_on);",
        caught_by: &[SEEN],
    },
    Bug {
        name: "input-that-no-sync-reaches-found-behind-the-decision",
        file: "src/transaction/deciding.rs",
        good: "seen.through.bring_over()",
        bad: "seen.through.check_sound()",
        caught_by: &[SEEN],
    },
    Bug {
        name: "group-given-to-another-process-before-its-transaction-ends",
        file: "src/consumer/commit.rs",
        good: "let taken = Some(Arc::new(TakenGroup::new(&self.groups, group.name())?));",
        bad: "let taken = None.filter(|_: &Arc<TakenGroup>| TakenGroup::new(&self.groups, group.name()).is_ok());",
        caught_by: &[ELSEWHERE],
    },
    Bug {
        name: "undecided-partition-wakes-polls",
        file: "src/consumer/auto_commit.rs",
        good: "Ok(why) if why.as_ref().is_none_or(is_for_good));",
        bad: "Ok(None));",
        caught_by: &[tests("lib", &["consumer::auto_commit::"])],
    },
    Bug {
        name: "commits-beside-an-undecided-one-done-again",
        file: "src/consumer/commit.rs",
        good: "!partitions.iter().any(|one| one.is_same(partition))",
        bad: "partitions.iter().all(|one| one.is_same(partition) && false)",
        caught_by: &[tests(
            "interface",
            &["transactions::undecided", "transactions::told::what_was_committed"],
        )],
    },
    Bug {
        name: "positions-that-were-left-out-count-as-committed",
        file: "src/consumer/commit.rs",
        good: "!partitions.iter().any(|one| one.is_same(partition))",
        bad: "!partitions.iter().any(|one| one.is_same(partition) && false)",
        caught_by: &[tests("interface", &["transactions::told::what_was_committed"])],
    },
];
