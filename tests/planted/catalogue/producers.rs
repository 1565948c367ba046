//! What a partition knows of producers whose records have left it.

use super::*;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "snapshot-removed-before-another-is-there",
        file: "src/log/producers/snapshot_file.rs",
        good: "let name = snapshot_file_name(offset);\n    directory.prepare",
        bad: "let name = snapshot_file_name(offset);\n    directory.remove_if_there(&name)?;\n    directory.prepare",
        caught_by: &[tests("crash", &["named::forgotten"])],
    },
    Bug {
        name: "snapshot-older-than-what-a-crash-left-stays-named",
        file: "src/log/producers/naming.rs",
        good: "if named == Some(base) && snapshot_file::read(&self.directory, base)?.is_some() {",
        bad: "if named.is_some() {",
        caught_by: &[tests("crash", &["named::forgotten"])],
    },
    Bug {
        name: "snapshot-named-before-its-name-is-durable",
        file: "src/log/producers/naming.rs",
        good: "        self.sync_names()?;\n        Ok(Some(base))",
        bad: "        Ok(Some(base))",
        caught_by: &[tests("crash", &["named::"])],
    },
    Bug {
        name: "lost-snapshot-is-not-told",
        file: "src/log/open/known_producers.rs",
        good: "replay_sealed(KnownProducers { table, from, lost }, state, listed)",
        bad: "replay_sealed(KnownProducers { table, from, lost: lost.filter(|_| false) }, state, listed)",
        caught_by: &[tests("crash", &["named::forgotten"])],
    },
    Bug {
        name: "time-of-old-records-is-when-they-were-sent",
        file: "src/log/open/begin.rs",
        good: "producers.wrote_since(found.producers_from, now);",
        bad: "producers.wrote_since(found.state.state().producers_at.unwrap_or(0), now);",
        caught_by: &[tests("crash", &["named::forgotten"])],
    },
    Bug {
        name: "repair-forgets-whose-records-have-left",
        file: "src/log/check/repair/mender.rs",
        good: "known.unwrap_or_default().without_transactions()",
        bad: "known.filter(|_| false).unwrap_or_default().without_transactions()",
        caught_by: &[tests("crash", &["named::forgotten"])],
    },
    Bug {
        name: "producers-of-ended-transactions-stay",
        file: "src/transaction/settling.rs",
        good: "partition.log().forget_ended(producer.id, ended_in)",
        bad: "drop((partition, ended_in))",
        caught_by: &[tests("interface", &["transactions::grown"])],
    },
    Bug {
        name: "producer-forgotten-that-has-begun-again",
        file: "src/log/producers/table.rs",
        good: "producer.epoch == epoch && producer.open.is_none() && producer.batches.is_empty()",
        bad: "producer.epoch == epoch",
        caught_by: &[tests("lib", &["log::producers::"])],
    },
    Bug {
        name: "one-producer-more-than-a-snapshot-can-tell-of",
        file: "src/log/producers/table.rs",
        good: "self.producers.len() >= most &&",
        bad: "self.producers.len() > most &&",
        caught_by: &[tests("lib", &["log::producers::"])],
    },
    Bug {
        name: "producers-forgotten-by-a-clock-that-has-leapt",
        file: "src/log/producers/naming.rs",
        good: "let believed = now.min(self.clock_at_roll",
        bad: "let believed = now.max(self.clock_at_roll",
        caught_by: &[tests("interface", &["transactions::named::a_clock_that_leapt"])],
    },
    Bug {
        name: "name-forgotten-that-somebody-goes-by",
        file: "src/transaction/names.rs",
        good: "Arc::strong_count(named) == 1 &&",
        bad: "Arc::strong_count(named) > 0 &&",
        caught_by: &[tests("lib", &["transaction::names"])],
    },
];
