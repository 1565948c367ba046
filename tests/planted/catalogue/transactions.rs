//! Transactions.

use super::*;

pub(super) const BUGS: &[Bug] = &[
    // Transactions.
    Bug {
        name: "decision-about-an-earlier-transaction-counts",
        file: "src/transaction/recovery.rs",
        good: ".find(|(decided, same)| decided.has_same_epoch == *same);",
        bad: ".find(|_| true);",
        caught_by: &[tests("crash", &["power_cut::transactions::"])],
    },
    Bug {
        name: "single-record-above-an-open-transaction",
        file: "src/log/read/by_offset.rs",
        good: "if !is_plain || header.next_offset() > self.stable() {",
        bad: "if !is_plain || header.next_offset() > self.end() {",
        caught_by: &[tests("lib", &["tests::transactions::"])],
    },
];
