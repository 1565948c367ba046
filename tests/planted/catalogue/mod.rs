//! The bugs, and who catches each.

mod beside;
mod careful;
mod company;
mod copies;
mod decisions;
mod ends;
mod figures;
mod firsts;
mod folded;
mod handed;
mod ids;
mod later;
mod leaving;
mod left_out;
mod letters;
mod lives;
mod order;
mod positions;
mod processes;
mod producers;
mod queues;
mod queues_kept;
mod reading;
mod repairs;
mod rests;
mod rewrites;
mod set_back;
mod streams;
mod syncs;
mod tasks;
mod transactions;
mod upkeep;
mod waits;
mod whole;
mod workers;

/// One bug: a place in the source, and what stands there instead.
pub(crate) struct Bug {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    /// Stands once in the file.
    pub(crate) good: &'static str,
    pub(crate) bad: &'static str,
    /// Each of these must fail.
    pub(crate) caught_by: &'static [Tests],
}

/// A test binary, `lib` for the unit tests, and which of its tests are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tests {
    pub(crate) binary: &'static str,
    pub(crate) filters: &'static [&'static str],
}

const fn tests(binary: &'static str, filters: &'static [&'static str]) -> Tests {
    Tests { binary, filters }
}

const POWER_CUT: Tests = tests("crash", &["power_cut::"]);
const DURABILITY: Tests = tests("crash", &["durability::"]);
/// Damages one by one, and those that have a name.
const SWEEP: Tests = tests("format", &["corruption::sweep::"]);
const NAMED: Tests = tests("format", &["corruption::named::"]);
const REPAIR: Tests = tests("format", &["corruption::repair::"]);
const REPAIR_ENDINGS: Tests = tests("format", &["corruption::endings::"]);
const CALLBACKS: Tests = tests("interface", &["lifecycle::callbacks::"]);
const CLOSING: Tests = tests("interface", &["lifecycle::closing::"]);
const ADOPT: Tests = tests("interface", &["lifecycle::adopt::"]);
const TOPICS: Tests = tests("interface", &["lifecycle::topics::"]);
const FORK: Tests = tests("interface", &["lifecycle::fork::"]);
const RENAMED: Tests = tests("interface", &["lifecycle::renamed::"]);
const PARTITION: Tests = tests("lib", &["log::"]);
/// An end beside work, of a partition and of a store.
const LOG_ENDING: Tests = tests("lib", &["log::tests::ending"]);
const ENDING: Tests = tests("interface", &["lifecycle::ending::"]);

/// All of them; a new room gets a file of its own.
pub(crate) fn bugs() -> impl Iterator<Item = &'static Bug> {
    [
        decisions::BUGS,
        ends::BUGS,
        figures::BUGS,
        firsts::BUGS,
        folded::BUGS,
        handed::BUGS,
        ids::BUGS,
        beside::BUGS,
        later::BUGS,
        leaving::BUGS,
        left_out::BUGS,
        letters::BUGS,
        careful::BUGS,
        company::BUGS,
        copies::BUGS,
        tasks::BUGS,
        lives::BUGS,
        order::BUGS,
        positions::BUGS,
        processes::BUGS,
        producers::BUGS,
        queues::BUGS,
        queues_kept::BUGS,
        reading::BUGS,
        repairs::BUGS,
        rests::BUGS,
        rewrites::BUGS,
        set_back::BUGS,
        streams::BUGS,
        syncs::BUGS,
        transactions::BUGS,
        upkeep::BUGS,
        waits::BUGS,
        whole::BUGS,
        workers::BUGS,
    ]
    .into_iter()
    .flatten()
}
