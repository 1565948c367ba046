//! Several processes: stores that are only read.

use super::*;

const READ_ONLY: Tests = tests("processes", &["read_only::"]);

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "read-only-store-can-be-written",
        file: "src/store/reader.rs",
        good: "let root = builder.root()?.read_only().anchored()?;",
        bad: "let root = builder.root()?.anchored()?;",
        caught_by: &[READ_ONLY],
    },
    Bug {
        name: "read-only-takes-no-lock",
        file: "src/io/directory.rs",
        good: "Ok(lock) => Ok(Some(lock)),",
        bad: "Ok(_) => Ok(None),",
        caught_by: &[READ_ONLY],
    },
    Bug {
        name: "read-only-judges-no-transaction",
        file: "src/transaction/recovery.rs",
        good: "places.values().for_each(|written| _ = written.partition.log().decide(producer.id, ending));",
        bad: "_ = (producer, ending);",
        caught_by: &[READ_ONLY],
    },
    Bug {
        name: "read-only-commits-what-was-left-open",
        file: "src/transaction/recovery.rs",
        good: "            Verdict::TakenBack(_) => Ending::Abort,\n            Verdict::Unknown => continue,\n        };\n        places.values()",
        bad: "            Verdict::TakenBack(_) => Ending::Commit,\n            Verdict::Unknown => continue,\n        };\n        places.values()",
        caught_by: &[READ_ONLY],
    },
];
