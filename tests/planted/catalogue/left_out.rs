//! Positions that cannot be committed: what of the others is.

use super::*;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "a-position-that-has-moved-on-rests-on-how-it-was-committed-before",
        file: "src/group/commit.rs",
        good: "one.written_in.filter(|_| stays)",
        bad: "one.written_in.filter(|_| stays || one.at.offset >= 0)",
        caught_by: &[tests("interface", &["transactions::left_out::an_untouched"])],
    },
    Bug {
        name: "one-position-that-cannot-settle-refuses-a-commit-by-hand",
        file: "src/group/commit.rs",
        good: "CommitKind::Given => keep(",
        bad: "CommitKind::Given | CommitKind::Positions => keep(",
        caught_by: &[tests("interface", &["transactions::left_out::an_untouched"])],
    },
    Bug {
        name: "given-offsets-are-committed-in-part",
        file: "src/group/commit.rs",
        good: "CommitKind::Given => keep(&self.laid_over(group, &request.positions))?,",
        bad: "CommitKind::Given => {}",
        caught_by: &[tests("interface", &["transactions::left_out::given"])],
    },
    Bug {
        name: "undecided-partition-refuses-a-commit-by-hand",
        file: "src/group/commit.rs",
        good: "Err(undecided) if kind != CommitKind::Given => {",
        bad: "Err(undecided) if kind == CommitKind::Automatic => {",
        caught_by: &[tests("interface", &["transactions::undecided::an_undecided"])],
    },
    Bug {
        name: "untouched-position-is-in-the-way-for-what-stands-there",
        file: "src/group/pending.rs",
        good: "is_unsound || is_behind_unsound()",
        bad: "is_unsound || (false && is_behind_unsound())",
        caught_by: &[tests("interface", &["transactions::left_out::an_untouched"])],
    },
    Bug {
        name: "position-that-a-transaction-leaves-out-counts-as-committed",
        file: "src/group/pending.rs",
        good: "claim.note_applied(self.committed_of(pending)),",
        bad: "claim.note_applied(pending.positions.iter()),",
        caught_by: &[tests("interface", &["transactions::left_out::an_untouched"])],
    },
];
