//! What a log must do to be compared, and what it says of itself.

use std::path::Path;

use crate::harness::Outcome;
use crate::payload::{Found, Values};

/// An open log of one topic, partition, table or queue.
pub(crate) trait Log: Send + Sync {
    /// Appends one record, as far as the class it was opened with says.
    fn append(&self, thread: usize, value: &[u8]) -> Outcome;

    /// Appends records with one call, or one transaction.
    fn append_batch(&self, thread: usize, values: &[&[u8]]) -> Outcome;

    /// What a log that is new does at its first append, and others when they are opened. Belongs to no row's time.
    fn prepare_append(&mut self) -> Outcome {
        Ok(())
    }

    /// Hands over what is in memory, so that it can be read. Belongs to the time of an append.
    fn finish(&mut self) -> Outcome {
        Ok(())
    }

    /// What a reader needs before it can read everything once more. Belongs to no row's time.
    fn prepare_read(&mut self) -> Outcome {
        Ok(())
    }

    /// Reads everything and touches every byte.
    fn read_all(&mut self) -> Outcome<Found>;

    /// Reads everything to see that it is there; in another way where the reader would take all day.
    fn read_back(&mut self) -> Outcome<Found> {
        self.prepare_read()?;
        self.read_all()
    }

    /// Reads the record that was appended as number `number`.
    fn read_at(&mut self, number: usize, found: &mut Found) -> Outcome;

    /// Appends by the only thread there is. Compiled for each log, with its append in the loop.
    fn append_run(&mut self, values: &Values) -> Outcome {
        self.append_share(0, values)
    }

    /// Appends by one thread of several.
    fn append_share(&self, thread: usize, values: &Values) -> Outcome {
        if values.batch == 1 {
            values.each().try_for_each(|value| self.append(thread, value))
        } else {
            values.in_batches(|batch| self.append_batch(thread, batch))
        }
    }

    /// Reads these records one by one.
    fn read_run(&mut self, numbers: &[usize]) -> Outcome<Found> {
        let mut found = Found::default();
        numbers.iter().try_for_each(|number| self.read_at(*number, &mut found))?;
        Ok(found)
    }
}

/// How far a record has gone when the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// In this process; a SIGKILL may take it.
    Memory,
    /// In the operating system; a SIGKILL does not take it.
    Os,
    /// On the disk; a power cut does not take it.
    Disk,
}

impl Class {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Os, Self::Disk];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Os => "survives SIGKILL",
            Self::Disk => "survives power cut",
        }
    }

    /// The word on the command line and in JSON.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Os => "os",
            Self::Disk => "disk",
        }
    }

    pub(crate) fn parse(word: &str) -> Outcome<Self> {
        Self::ALL
            .into_iter()
            .find(|class| class.word() == word)
            .ok_or_else(|| format!("no class {word}").into())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    None,
    Lz4,
    Zstd,
}

impl Codec {
    pub(crate) const ALL: [Self; 3] = [Self::None, Self::Lz4, Self::Zstd];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// The workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    W1,
    W2,
    W3,
    W4a,
    W4b,
    W5,
    W5k,
    W6,
    W7,
    W8,
}

impl Work {
    pub(crate) const ALL: [Self; 10] = [
        Self::W1,
        Self::W2,
        Self::W3,
        Self::W4a,
        Self::W4b,
        Self::W5,
        Self::W5k,
        Self::W6,
        Self::W7,
        Self::W8,
    ];

    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }
}

/// How a log is opened.
/// Enough for a commit of each record.
pub(crate) const AROUND: usize = 64;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) class: Class,
    pub(crate) codec: Codec,
    /// Payload bytes that will be written at most: for logs that have to be told.
    pub(crate) bytes: usize,
    /// Records that will be written at most.
    pub(crate) records: usize,
    /// Bytes of the log's own for each record: for logs that have to be told their size.
    pub(crate) around: usize,
    /// Not the call of that class, but the one of which the peer claims it.
    pub(crate) as_claimed: bool,
}

impl Setup {
    /// Room for so many records, and a little.
    pub(crate) fn room(&self) -> usize {
        self.bytes + self.records * self.around + (64 << 10)
    }
}

/// One class of appends.
pub(crate) struct Offer {
    pub(crate) class: Class,
    /// Which call, and with which settings.
    pub(crate) call: &'static str,
    /// Whether several threads may append.
    pub(crate) shared: bool,
}

impl Offer {
    pub(crate) const fn new(class: Class, call: &'static str) -> Self {
        Self { class, call, shared: true }
    }

    /// Only for one thread.
    pub(crate) const fn alone(class: Class, call: &'static str) -> Self {
        Self { class, call, shared: false }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// System calls with no library around them.
    Bare,
    Annals,
    Peer,
}

impl Kind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Annals => "annals",
            Self::Peer => "peer",
        }
    }
}

/// A log that can be compared.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The crate whose version counts; none for bare calls.
    pub(crate) package: Option<&'static str>,
    pub(crate) offers: &'static [Offer],
    pub(crate) codecs: &'static [Codec],
    /// Workloads that it does.
    pub(crate) works: &'static [Work],
    /// Its name where it reads, when that is another.
    pub(crate) reads_as: Option<&'static str>,
    /// A call that is said to be durable and of which `check-sync` is to tell the truth.
    pub(crate) claim: Option<&'static str>,
    /// What a reader of the table should know.
    pub(crate) note: &'static str,
    pub(crate) open: fn(&Path, &Setup) -> Outcome<Box<dyn Log>>,
}

impl Peer {
    pub(crate) fn offer(&self, class: Class) -> Option<&'static Offer> {
        self.offers.iter().find(|offer| offer.class == class)
    }

    /// The offer that costs least, for filling a log that is to be read.
    pub(crate) fn laziest(&self) -> &'static Offer {
        &self.offers[0]
    }

    pub(crate) fn does(&self, work: Work) -> bool {
        self.works.contains(&work)
    }

    pub(crate) fn row_name(&self, work: Work) -> &'static str {
        match work {
            Work::W5 | Work::W5k | Work::W6 => self.reads_as.unwrap_or(self.name),
            _ => self.name,
        }
    }
}

/// What a log without anything special says of itself.
pub(crate) const PLAIN: Peer = Peer {
    name: "",
    kind: Kind::Peer,
    package: None,
    offers: &[],
    codecs: &[Codec::None],
    works: &Work::ALL,
    reads_as: None,
    claim: None,
    note: "",
    open: |_, _| Err("nothing to open".into()),
};
