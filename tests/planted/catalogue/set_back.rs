//! Commits above the end of their partition, in a process that does not own the store.

use super::*;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "a-partition-that-cannot-be-seen-keeps-all-from-its-member",
        file: "src/consumer/consumer.rs",
        good: "        self.role = Role::Member(assignment.generation);",
        bad: "        if let Some((_, Err(unseen))) = found.iter().find(|(_, one)| one.is_err()) {\n            return Err(unseen.clone());\n        }\n        self.role = Role::Member(assignment.generation);",
        caught_by: &[tests("processes", &["set_back::a_partition_whose"])],
    },
    Bug {
        name: "member-elsewhere-begins-at-an-end-that-it-cannot-see",
        file: "src/group/progress.rs",
        good: "end => end?,",
        bad: "end => end.unwrap_or(Offset::MAX),",
        caught_by: &[tests("processes", &["set_back::a_member_that_could_not_see"])],
    },
    Bug {
        name: "commit-elsewhere-read-before-the-end-alone",
        file: "src/group/progress.rs",
        good: "let Some(at) = of(&committed, group.name(), partition) else { break };",
        bad: "let (_, at) = (&committed, before.clone());",
        caught_by: &[tests("processes", &["set_back::a_member_began"])],
    },
    Bug {
        name: "figure-elsewhere-read-before-the-end-alone",
        file: "src/group/progress.rs",
        good: "                    drop(self.look());\n                    read()\n",
        bad: "                    seen.clone()\n",
        caught_by: &[tests("processes", &["set_back::a_member_began"])],
    },
    Bug {
        name: "what-was-seen-above-an-end-is-known",
        file: "src/group/commit.rs",
        good: "is_same && (is_home || group.has_committed(&partition, offset, durability))",
        bad: "is_same && (is_home || durability != Durability::Disk || group.has_committed(&partition, offset, durability))",
        caught_by: &[tests("processes", &["set_back::a_commit_of_what"])],
    },
    Bug {
        name: "what-a-look-has-found-is-not-known",
        file: "src/group/group.rs",
        good: "if !known.is(partition, offset) {",
        bad: "known.offset = -1;\n        if false {",
        caught_by: &[tests("processes", &["set_back::what_a_look"])],
    },
    Bug {
        name: "closed-consumer-elsewhere-goes-by-what-it-saw-last",
        file: "src/group/progress.rs",
        good: "if self.replayed.is_some() {\n            return group.last_committed(partition);",
        bad: "if false {\n            return group.last_committed(partition);",
        caught_by: &[tests("processes", &["set_back::a_consumer_that_was_closed"])],
    },
    Bug {
        name: "fold-goes-by-ends-of-before-the-spool-was-set-back",
        file: "src/group/spool.rs",
        good: "if now == ends {",
        bad: "if now.0.len() <= ends.0.len() {",
        caught_by: &[tests("processes", &["set_back::a_commit_made"])],
    },
];
