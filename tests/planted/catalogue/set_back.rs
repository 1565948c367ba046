//! Commits above the end of their partition, in a process that does not own the store.

use super::*;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "a-partition-that-cannot-be-seen-keeps-all-from-its-member",
        file: "src/consumer/consumer.rs",
        good: "        self.role = Role::Member(assignment.generation);",
        bad: "        if let Some(unseen) = found.iter().find_map(|(_, one)| one.committed.as_ref().err()) {\n            return Err(unseen.clone());\n        }\n        self.role = Role::Member(assignment.generation);",
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
        good: "is_same && (is_home || group.has_committed(place, &asked))",
        bad: "is_same && (is_home || durability != Durability::Disk || group.has_committed(place, &asked))",
        caught_by: &[tests("processes", &["set_back::a_commit_of_what"])],
    },
    Bug {
        name: "what-a-look-has-found-is-not-known",
        file: "src/group/group.rs",
        good: "if !known.covers(&seen) {",
        bad: "known.offset = -1;\n        if false {",
        caught_by: &[tests("processes", &["set_back::what_a_look"])],
    },
    Bug {
        name: "closed-consumer-elsewhere-goes-by-what-it-saw-last",
        file: "src/group/progress.rs",
        good: "if self.replayed.is_some() {\n            return group.last_committed(partition, self.topics.owners_life());",
        bad: "if false {\n            return group.last_committed(partition, self.topics.owners_life());",
        caught_by: &[tests("processes", &["set_back::a_consumer_that_was_closed"])],
    },
    Bug {
        name: "fold-goes-by-ends-of-before-the-spool-was-set-back",
        file: "src/group/spool.rs",
        good: "if now == ends {",
        bad: "if now.0.len() <= ends.0.len() {",
        caught_by: &[tests("processes", &["set_back::a_commit_made"])],
    },
    Bug {
        name: "commit-of-an-earlier-life-of-the-owner-is-known",
        file: "src/group/group.rs",
        good: "let of = |one: &Self| (one.topic_id, one.offset, one.life);",
        bad: "let of = |one: &Self| (one.topic_id, one.offset);",
        caught_by: &[tests("processes", &["set_back::a_commit_of_its_own"])],
    },
    Bug {
        name: "closed-consumer-elsewhere-goes-by-an-earlier-life",
        file: "src/group/group.rs",
        good: "((known.topic_id, known.life) == (partition.topic_id(), life)).then_some",
        bad: "(life == life && known.topic_id == partition.topic_id()).then_some",
        caught_by: &[tests("processes", &["set_back::a_consumer_that_was_closed_after_its_reader_took"])],
    },
    Bug {
        name: "member-elsewhere-begins-where-an-earlier-life-has-committed",
        file: "src/consumer/assigned.rs",
        good: "(self.looked_up.committed.is_err() || self.looked_up.life != life)",
        bad: "(self.looked_up.committed.is_err() || life == u64::MAX)",
        caught_by: &[tests("processes", &["set_back::a_consumer_that_looked_up"])],
    },
    Bug {
        name: "position-that-is-set-back-forgets-the-work-below-it",
        file: "src/group/groups.rs",
        good: "Commit::outside(&partition, at).over(Some(commit))",
        bad: "Commit::outside(&partition, at)",
        caught_by: &[
            tests(
                "interface",
                &["transactions::set_back::a_commit_at_disk_over_a_position_that_was_set_back_did"],
            ),
            tests(
                "interface",
                &["transactions::set_back::a_commit_at_disk_over_a_position_that_was_set_back_has"],
            ),
        ],
    },
    Bug {
        name: "beginning-elsewhere-as-it-was-seen-last",
        file: "src/log/read/committed.rs",
        good: "        self.look().map_err(|error| self.explain(error))?;\n        Ok(self.start())",
        bad: "        Ok(self.start())",
        caught_by: &[
            tests("processes", &["positions::a_seek_to_the_beginning"]),
            tests("processes", &["positions::a_consumer_elsewhere_that_had"]),
            tests("processes", &["positions::a_consumer_elsewhere_that_cannot"]),
        ],
    },
];
