//! Calls that fail, or do a part of what they were asked.

use std::path::Path;

use annals_testing::{Fault, Times};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// What is asked of a file system that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Write,
    /// Of a file's length, or of space for it.
    Size,
    Sync,
    /// A name made, changed or taken away.
    Name,
    SyncDir,
}

impl Call {
    const ALL: &'static [Self] = &[Self::Write, Self::Size, Self::Sync, Self::Name, Self::SyncDir];
}

/// Which calls fail, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    calls: &'static [Call],
    times: Times,
    fault: Do,
}

/// What such a call does.
#[derive(Debug, Clone, Copy)]
enum Do {
    /// It fails. Nothing is done; of a sync, what it should have written is lost.
    Error(i32),
    /// A write is done in part, which it says.
    Short,
    /// A write is done in part, and fails.
    Torn(i32),
}

/// Every kind that workloads are tried with.
pub(crate) const KINDS: [Kind; 8] = [
    Kind::new(Call::ALL, Times::Once, Do::Error(EIO)),
    Kind::new(Call::ALL, Times::ForEver, Do::Error(EIO)),
    // A disk that is full: what needs no space goes on.
    Kind::new(&[Call::Write, Call::Size, Call::Name], Times::ForEver, Do::Error(ENOSPC)),
    Kind::new(&[Call::SyncDir], Times::Once, Do::Error(EIO)),
    Kind::new(&[Call::SyncDir], Times::ForEver, Do::Error(EIO)),
    Kind::new(&[Call::Write], Times::Once, Do::Torn(ENOSPC)),
    Kind::new(&[Call::Write], Times::Once, Do::Short),
    Kind::new(&[Call::Sync], Times::ForEver, Do::Error(EIO)),
];

impl Kind {
    const fn new(calls: &'static [Call], times: Times, fault: Do) -> Self {
        Self { calls, times, fault }
    }

    /// One sync fails.
    pub(crate) const ONE_SYNC: Self = Self::new(&[Call::Sync], Times::Once, Do::Error(EIO));
    /// What a write may meet whose failure is definite: nothing, some, or nothing for a while.
    pub(crate) const FAILING_WRITES: [Self; 3] = [
        Self::new(&[Call::Write], Times::Once, Do::Error(EIO)),
        Self::new(&[Call::Write], Times::Once, Do::Torn(ENOSPC)),
        Self::new(&[Call::Write], Times::ForEver, Do::Error(ENOSPC)),
    ];
    /// The disk is full.
    pub(crate) const NO_ROOM: Self = Self::new(&[Call::Write, Call::Size], Times::ForEver, Do::Error(ENOSPC));
}

/// A kind, and when it begins.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) kind: Kind,
    /// Of paths that end so.
    pub(crate) suffix: &'static str,
    /// Calls that still go through.
    pub(crate) left: usize,
    /// How often it struck.
    pub(crate) struck: usize,
}

impl Trouble {
    /// What becomes of this call, if it is one of those that fail. `len` is what a write is to write.
    pub(crate) fn strike(&mut self, call: Call, path: &Path, len: usize) -> Option<Fault> {
        let is_over = self.kind.times == Times::Once && self.struck > 0;
        if is_over || !self.kind.calls.contains(&call) || !path.to_string_lossy().ends_with(self.suffix) {
            return None;
        }
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            return None;
        }
        self.struck += 1;
        Some(match self.kind.fault {
            Do::Error(errno) => Fault::Error(errno),
            Do::Short => Fault::Short(len.div_ceil(2)),
            Do::Torn(errno) => Fault::Torn(len / 2, errno),
        })
    }
}
