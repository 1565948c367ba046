//! The store as a whole: its open, its list of topics, what deletions leave, the copies of it.

use super::*;

const PANICS: Tests = tests("crash", &["panics::whole_store::a_panic_at_each"]);

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "panic-in-the-list-of-topics-that-counts-for-nothing",
        file: "src/topic/catalog_file.rs",
        good: "let published = caught(|| Ok(self.root.publish(CATALOG_FILE)));",
        bad: "let published: Result<_> = Ok(self.root.publish(CATALOG_FILE));",
        caught_by: &[PANICS],
    },
    Bug {
        name: "panic-in-the-list-of-topics-that-ends-a-close",
        file: "src/topic/catalog_file.rs",
        good: "drop(caught(|| self.change(|_| {})));",
        bad: "drop(self.change(|_| {}));",
        caught_by: &[PANICS],
    },
    Bug {
        name: "panic-of-an-open-that-leaves-its-threads",
        file: "src/store/store.rs",
        good: "        drop(self.close());",
        bad: "        if !std::thread::panicking() {\n            drop(self.close());\n        }",
        caught_by: &[tests("crash", &["panics::whole_store::an_open_that_panics"])],
    },
    Bug {
        name: "topics-made-together-before-what-is-owed",
        file: "src/store/topics.rs",
        good: "refuse_change(name.as_ref()))?;\n        self.inner.groups.write_what_cannot_wait()?;",
        bad: "refuse_change(name.as_ref()))?;",
        caught_by: &[tests("interface", &["groups::large::an_old_commit"])],
    },
];
