//! Copies of an open store.

use super::*;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "cut-without-a-barrier",
        file: "src/log/cut/point.rs",
        good: "            let held: Option<Vec<_>> =",
        bad: "            if logs.len() > 1 {\n                let points = logs.iter().flat_map(|one| Self::cut_through(&[*one]).points).collect();\n                return Cut { points, stopped: stopped.elapsed() };\n            }\n            let held: Option<Vec<_>> =",
        caught_by: &[tests("lib", &["log::tests::cut::"])],
    },
    Bug {
        name: "cut-in-the-middle-of-a-batch",
        file: "src/log/write/accumulator.rs",
        good: "open.take_no_more();",
        bad: "_ = open;",
        caught_by: &[tests("backup", &["load::"])],
    },
    Bug {
        name: "cut-does-not-see-that-a-write-failed",
        file: "src/log/cut/plan.rs",
        good: "if log.accumulator.lock().failures() != point.failures || log.end() < point.end {",
        bad: "if log.end() < point.end {",
        caught_by: &[tests("lib", &["log::tests::cut::"])],
    },
    Bug {
        name: "segments-that-left-under-a-hold-are-forgotten",
        file: "src/log/retain/removal.rs",
        good: "self.hold_back(leaving);",
        bad: "drop(leaving);",
        caught_by: &[tests("lib", &["log::tests::cut::"])],
    },
    Bug {
        name: "hold-forgotten-by-removals",
        file: "src/log/retain/removal.rs",
        good: "Phase::Open(open) if !self.is_held() =>",
        bad: "Phase::Open(open) =>",
        caught_by: &[tests("lib", &["log::tests::cut::"]), tests("backup", &["holds::"])],
    },
    Bug {
        name: "hold-forgotten-by-a-swap",
        file: "src/log/compaction/swap.rs",
        good: "prepared.and_then(|names| self.check_not_held().map(|()| names))",
        bad: "prepared",
        caught_by: &[tests("lib", &["log::tests::cut::"])],
    },
    Bug {
        name: "hold-of-a-backup-counts-for-nothing",
        file: "src/log/cut/hold.rs",
        good: "self.holds.load(Ordering::Acquire) > 0 || self.agenda.is_held()",
        bad: "self.agenda.is_held()",
        caught_by: &[tests("lib", &["log::tests::cut::"])],
    },
    Bug {
        name: "segment-that-grows-is-linked",
        file: "src/log/cut/copy.rs",
        good: "(base, appended, carrier.bring_bytes(source, &name, (target, len))?)",
        bad: "let linked = target.link(source, &name, (&name, crate::io::Link::Hard))?;\n                let how = if linked { How::Linked } else { carrier.bring_bytes(source, &name, (target, len))? };\n                (base, appended, how)",
        caught_by: &[tests("backup", &["files::"])],
    },
    Bug {
        name: "copied-file-is-not-synced",
        file: "src/log/cut/carrier.rs",
        good: "        to.sync()\n",
        bad: "        Ok(())\n",
        caught_by: &[tests("backup", &["faults::"])],
    },
    Bug {
        name: "backup-is-listed-before-its-list-is-synced",
        file: "src/backup/target.rs",
        good: "        file.sync()?;\n        self.root.publish(LIST_FILE)",
        bad: "        self.root.publish(LIST_FILE)",
        caught_by: &[tests("backup", &["faults::"])],
    },
    Bug {
        name: "backup-is-listed-before-its-topics",
        file: "src/backup/make.rs",
        good: "        target.finish_list(&list.encode())?;\n",
        bad: "        target.finish_list(&list.encode())?;\n        target.root.rename(\"annals.topics\", \"x\")?;\n        target.root.sync()?;\n        target.root.rename(\"x\", \"annals.topics\")?;\n        target.root.sync()?;\n",
        caught_by: &[tests("backup", &["faults::"])],
    },
    Bug {
        name: "unfinished-backup-passes-for-a-store",
        file: "src/backup/target.rs",
        good: "        marker.sync()?;\n        target.root.sync()?;\n",
        bad: "        marker.sync()?;\n",
        caught_by: &[tests("backup", &["faults::"])],
    },
    Bug {
        name: "restored-store-has-the-old-identity",
        file: "src/backup/restore.rs",
        good: "catalog.store = random_id();",
        bad: "_ = random_id();",
        caught_by: &[tests("backup", &["files::", "own::"])],
    },
    Bug {
        name: "copy-forgets-its-producers",
        file: "src/log/cut/copy.rs",
        good: "producers_at = Some(base);",
        bad: "producers_at = None;",
        caught_by: &[tests("backup", &["files::"])],
    },
];
