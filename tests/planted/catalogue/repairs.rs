//! Repair, and logs of others.

use super::*;

pub(super) const BUGS: &[Bug] = &[
    // Repair.
    Bug {
        name: "copy-not-synced-before-the-repair",
        file: "src/log/check/copies.rs",
        good: "        target.sync()?;\n        directory.sync()?;",
        bad: "        directory.sync()?;",
        caught_by: &[REPAIR],
    },
    Bug {
        name: "name-of-a-copy-not-synced-before-the-repair",
        file: "src/log/check/copies.rs",
        good: "        target.sync()?;\n        directory.sync()?;",
        bad: "        target.sync()?;",
        caught_by: &[REPAIR],
    },
    Bug {
        name: "directory-of-copies-not-synced-before-the-repair",
        file: "src/log/check/copies.rs",
        good: "        self.directory.sync()?;",
        bad: "",
        caught_by: &[REPAIR],
    },
    Bug {
        name: "repair-does-not-tell-what-it-dropped",
        file: "src/segment/salvage.rs",
        good: "found.dropped.push(Dropped { range, offsets, reason });",
        bad: "drop((range, offsets, reason));",
        caught_by: &[REPAIR],
    },
    Bug {
        name: "any-leap-believed-behind-damage",
        file: "src/segment/salvage.rs",
        good: "if too_far || base.abs_diff",
        bad: "if base.abs_diff",
        caught_by: &[REPAIR],
    },
    Bug {
        name: "other-batches-in-the-place-of-those-sealed",
        file: "src/log/check/verify.rs",
        good: "if headers.finalize() != summary.headers_crc || records",
        bad: "if records",
        caught_by: &[SWEEP],
    },
    Bug {
        name: "leader-epoch-that-changed-is-damage",
        file: "src/segment/scan.rs",
        good: "    BatchHeader::verify_crc(batch)\n",
        bad: "    if header.leader_epoch != 0 {\n        return invalid(\"leader epoch\".to_owned());\n    }\n    BatchHeader::verify_crc(batch)\n",
        caught_by: &[tests("format", &["compat::theirs::"])],
    },
    Bug {
        name: "leader-epoch-not-put-right",
        file: "src/segment/epochs.rs",
        good: "if others > 0 && leader_epoch != kept.header.leader_epoch {",
        bad: "if others > kept.header.total_len() {",
        caught_by: &[tests("format", &["compat::theirs::"]), tests("lib", &["segment::"])],
    },
    Bug {
        name: "compressed-beyond-what-readers-expand",
        file: "src/log/write/writer.rs",
        good: "records <= self.options.max_expanded_bytes && writer",
        bad: "writer",
        caught_by: &[tests("interface", &["limits::"])],
    },
    Bug {
        name: "limit-taken-for-damage",
        file: "src/segment/log_file.rs",
        good: "            Malformed::TooLarge { limit } => {\n                Error::BatchTooLarge",
        bad: "            Malformed::TooLarge { limit } if limit == 7 => {\n                Error::BatchTooLarge",
        caught_by: &[tests("interface", &["limits::"])],
    },
    // Logs of others.
    Bug {
        name: "adopted-before-the-files-are-synced",
        file: "src/log/adopt/carry.rs",
        good: "    target.sync()?;\n    Ok(position)",
        bad: "    Ok(position)",
        caught_by: &[ADOPT],
    },
    Bug {
        name: "adopted-unchecked",
        file: "src/segment/survey.rs",
        good: ".and_then(|()| BatchHeader::verify_crc(batch))",
        bad: ".and_then(|()| Ok(()))",
        caught_by: &[ADOPT],
    },
    Bug {
        name: "adoption-cut-off-is-nobodys",
        file: "src/topic/adopt.rs",
        good: "catalog.change(|catalog| _ = catalog.deleted.insert(entry.id))?;",
        bad: "catalog.change(|_| ())?;",
        caught_by: &[ADOPT],
    },
];
