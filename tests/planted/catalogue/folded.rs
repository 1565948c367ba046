//! Queues elsewhere and an owner that folds beside failures, deletions and its own close.

use super::*;

const FOLDED: Tests = tests("processes", &["workers_folded::"]);

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "steps-that-cannot-be-read-at-the-open-are-not-cut",
        file: "src/share/uncut.rs",
        good: "Err(failed @ Error::Io { .. }) => return Err(failed),",
        bad: "",
        caught_by: &[FOLDED],
    },
    Bug {
        name: "steps-that-are-not-listed-at-the-open-hold-nothing-back",
        file: "src/share/uncut.rs",
        good: "uncut.is_any = true;",
        bad: "",
        caught_by: &[FOLDED],
    },
    Bug {
        name: "owner-that-shows-nothing-takes-what-others-have",
        file: "src/live/opened.rs",
        good: "locks: Self::lock_unseen(root)?",
        bad: "locks: Self::lock_unseen(root).and(Ok(None))?",
        caught_by: &[FOLDED],
    },
    Bug {
        name: "partition-of-another-topic-stops-folds",
        file: "src/share/folding.rs",
        good: "not_ended.of(slots.flat_map(unsettled))?;",
        bad: "if slots.flat_map(unsettled).count() < usize::MAX {\n                return Err(*not_ended.error);\n            }",
        caught_by: &[FOLDED],
    },
    Bug {
        name: "group-is-deleted-beside-a-fold",
        file: "src/share/forgetting.rs",
        good: "let locks = self.lock_all_of(group, &folding)?;",
        bad: "let locks = self.lock_all_of(group, &folding)?;\n            drop(folding);",
        caught_by: &[FOLDED],
    },
    Bug {
        name: "store-is-closed-beside-a-fold",
        file: "src/share/away.rs",
        good: "*self.away.folding.lock() = Folding::Over;",
        bad: "",
        caught_by: &[FOLDED],
    },
    Bug {
        name: "fold-that-failed-is-not-tried-again",
        file: "src/share/folding.rs",
        good: "goes_on |= !is_damage(&error) && !matches!(error, Error::StoreClosed { .. });",
        bad: "",
        caught_by: &[FOLDED],
    },
    Bug {
        name: "what-is-passed-over-elsewhere-is-told-to-nobody",
        file: "src/share/look.rs",
        good: "self.tell_passed_over(place, inner, (&reading.fresh, reading.next));",
        bad: "_ = (&reading.fresh, reading.next);",
        caught_by: &[tests("processes", &["workers_passed::"])],
    },
    Bug {
        name: "what-is-passed-over-elsewhere-is-written-in-another-life",
        file: "src/share/passed.rs",
        good: "inner.seen_life == Some(guest.life());",
        bad: "inner.seen_life == Some(guest.life()) || true;",
        caught_by: &[tests("processes", &["workers_passed::what_was_passed_over_elsewhere_in"])],
    },
    Bug {
        name: "sender-that-waits-does-not-look-what-is-done-elsewhere",
        file: "src/share/enqueuer.rs",
        good: "let look = self.look_for_room(&limit.group);",
        bad: "let look = waiting.deadline;",
        caught_by: &[tests("processes", &["workers_waited::"])],
    },
    Bug {
        name: "what-was-erased-before-a-fold-is-taken-for-there",
        file: "src/share/folding.rs",
        good: "inner.known = inner.known.after_fold();",
        bad: "_ = inner.known.after_fold();",
        caught_by: &[tests("processes", &["workers_passed::a_limit_of_the_owner"])],
    },
];
