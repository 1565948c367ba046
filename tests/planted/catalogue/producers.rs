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
        file: "src/log/log.rs",
        good: "producers.wrote_since(found.producers_from, context.clock.now());",
        bad: "producers.wrote_since(found.state.state().producers_at.unwrap_or(0), context.clock.now());",
        caught_by: &[tests("crash", &["named::forgotten"])],
    },
    Bug {
        name: "repair-forgets-whose-records-have-left",
        file: "src/log/check/repair/mender.rs",
        good: "known.unwrap_or_default().without_transactions()",
        bad: "known.filter(|_| false).unwrap_or_default().without_transactions()",
        caught_by: &[tests("crash", &["named::forgotten"])],
    },
];
