//! Which mutant is on. Generated into the copy that `tests/mutants` tests, and in no other build.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// The site that is changed and how, or one of the values below. Tests read it with every evaluation of a site, so this is
/// one load and two comparisons.
static ON: AtomicU32 = AtomicU32::new(UNREAD);

const SPECIAL: u32 = 1 << 31;
const UNREAD: u32 = SPECIAL;
const TRACE: u32 = SPECIAL | 1;
const NONE: u32 = SPECIAL >> 1;

/// The sites that the trace already has.
static SEEN: [AtomicBool; 1 << 14] = [const { AtomicBool::new(false) }; 1 << 14];

/// Which of its changed forms the site has: 0 is none, the source as it was.
#[inline]
pub(crate) fn at(site: u32) -> u32 {
    let on = ON.load(Ordering::Relaxed);
    if on & SPECIAL != 0 {
        return first(site, on);
    }
    if on >> 8 == site { on & 0xff } else { 0 }
}

#[cold]
#[inline(never)]
fn first(site: u32, on: u32) -> u32 {
    if on == UNREAD {
        ON.store(read(), Ordering::Relaxed);
        return at(site);
    }
    if !SEEN[site as usize].load(Ordering::Relaxed) && !SEEN[site as usize].swap(true, Ordering::Relaxed) {
        let path = std::env::var_os("ANNALS_MUTANT_TRACE").expect("set when this began");
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(format!("{site}\n").as_bytes())).expect("a trace");
    }
    0
}

fn read() -> u32 {
    if std::env::var_os("ANNALS_MUTANT_TRACE").is_some() {
        return TRACE;
    }
    match std::env::var("ANNALS_MUTANT") {
        Ok(text) => text.parse().expect("a number of a mutant"),
        Err(_) => NONE,
    }
}
