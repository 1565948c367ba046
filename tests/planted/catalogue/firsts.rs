//! What comes before the first append, or the first look.

use super::*;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "latest-begins-where-each-member-first-looks",
        file: "src/group/group.rs",
        good: "        begun.offset\n",
        bad: "        begun.offset.max(end)\n",
        caught_by: &[tests("interface", &["groups::positions::a_rebalance_before"])],
    },
    Bug {
        name: "latest-is-remembered-for-ever",
        file: "src/group/group.rs",
        good: "members.begun.retain(|place, _| partitions.contains_key(place.topic()));",
        bad: "",
        caught_by: &[tests("interface", &["groups::positions::a_group_that_nobody"])],
    },
    Bug {
        name: "store-between-two-links-is-not-looked-for",
        file: "src/io/leads.rs",
        good: ".filter(|_| names.len() <= MOST_LINKS)",
        bad: ".filter(|_| names.len() < 1)",
        caught_by: &[tests("interface", &["lifecycle::adopt_links::"])],
    },
    Bug {
        name: "flush-says-ok-of-what-ends-the-partition-in-the-middle-of-it",
        file: "src/log/write/group_sync.rs",
        good: "there may be nothing left to sync.\n        self.check_poison()?;",
        bad: "there may be nothing left to sync.",
        caught_by: &[tests("interface", &["errors::first_append::a_flush_said_ok"])],
    },
    Bug {
        name: "awaited-flush-passes-over-a-loss-of-what-was-poisoned-since",
        file: "src/topic/flushing.rs",
        good: "filter(|partition| partition.log().has_lost());",
        bad: "filter(|partition| partition.log().has_lost()).take(0);",
        caught_by: &[tests("interface", &["errors::first_append::a_loss"])],
    },
    Bug {
        name: "wait-gives-the-last-failure-for-the-cause-of-an-earlier-loss",
        file: "src/log/write/losses.rs",
        good: "checked_sub(since + 1)?",
        bad: "checked_sub(1 + since * 0)?",
        caught_by: &[
            tests("interface", &["errors::first_append::a_failed_write"]),
            tests("lib", &["log::write::losses::"]),
        ],
    },
    Bug {
        name: "what-was-found-is-forgotten-by-a-first-append-that-poisons",
        file: "src/log/open/settle.rs",
        good: "let Begun { active, appended } = settled?;",
        bad: "if self.poison.get().is_some() { writer.phase = Phase::Closed; }\n        let Begun { active, appended } = settled?;",
        caught_by: &[tests("interface", &["errors::first_append::one_partition"])],
    },
    Bug {
        name: "loss-told-of-a-topic-that-was-deleted",
        file: "src/log/write/append.rs",
        good: "Err(gone @ Error::UnknownTopic { .. }) => gone,",
        bad: "",
        caught_by: &[tests("interface", &["errors::first_append::an_append_into_memory"])],
    },
    Bug {
        name: "leap-before-the-first-look-is-believed",
        file: "src/log/open/begin.rs",
        good: "if last_append < 0 { now } else { last_append.min(now) }",
        bad: "last_append.min(now)",
        caught_by: &[tests("interface", &["leaps::a_clock_that_leapt_before_the_first_look_took"])],
    },
    Bug {
        name: "leap-since-an-open-is-measured-from-an-append-of-before",
        file: "src/log/open/begin.rs",
        good: "last_append.min(now) }",
        bad: "last_append }",
        caught_by: &[tests("interface", &["leaps::a_clock_that_leapt_before_the_first_look_of_a_life"])],
    },
];
