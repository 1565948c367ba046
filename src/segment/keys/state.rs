//! What of a segment's terms is known at some moment.

use std::ops::Range;
use std::sync::Arc;

use crate::format::{KeyEntry, KeyStamp, TermHash};
use crate::locks::RwLock;
use crate::segment::keys::file::{KeyFile, NoAnswer};
use crate::segment::keys::growing::{Growing, Place};
use crate::segment::keys::hit::{Hit, HitRange, Take};
use crate::types::Offset;

pub(super) type Part = Arc<RwLock<Growing>>;

/// The terms of the older records of a segment.
#[derive(Debug, Clone)]
pub(super) enum Before {
    /// There are none.
    Nothing,
    /// Nobody has looked. A file may tell of those that the stamp covers.
    Unknown(Option<KeyStamp>),
    File(Arc<KeyFile>, KeyStamp),
    Memory(Part),
}

/// First `before`, up to where `growing` begins; where that is missing, up to its end.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) before: Before,
    pub(super) growing: Option<Part>,
}

impl Before {
    /// How many terms it holds in memory.
    pub(super) fn in_memory(&self) -> usize {
        if let Self::Memory(part) = self { part.read().len() } else { 0 }
    }

    /// How many terms it is known to be of.
    pub(super) fn terms(&self) -> usize {
        if let Self::File(file, _) = self { file.terms() } else { self.in_memory() }
    }
}

impl State {
    /// Where `growing` begins.
    fn begins(&self) -> Offset {
        self.growing.as_ref().map_or(Offset::MAX, |part| part.read().from())
    }

    pub(super) fn hits(&self, hash: TermHash, range: HitRange) -> std::result::Result<Vec<Hit>, NoAnswer> {
        let most = match range.take {
            Take::All => usize::MAX,
            Take::Last(most) => most,
        };
        let begins = self.begins();
        // Newest first.
        let mut hits = match &self.growing {
            Some(part) if range.until > begins => of_part(part, hash, range.from..range.until, most),
            _ => Vec::new(),
        };
        let until = range.until.min(begins);
        if range.from < until && hits.len() < most {
            let left = most - hits.len();
            match &self.before {
                Before::Nothing | Before::Unknown(_) => {}
                Before::Memory(part) => hits.extend(of_part(part, hash, range.from..until, left)),
                Before::File(file, _) => {
                    let take = if most == usize::MAX { Take::All } else { Take::Last(left) };
                    let older = file.hits(hash, &HitRange { until, take, ..range })?;
                    hits.extend(older.into_iter().rev());
                }
            }
        }
        hits.reverse();
        Ok(hits)
    }

    pub(super) fn entries(&self) -> std::result::Result<Vec<KeyEntry>, NoAnswer> {
        let begins = self.begins();
        let mut entries = match &self.before {
            Before::Nothing | Before::Unknown(_) => Vec::new(),
            Before::File(file, _) => file.all()?,
            Before::Memory(part) => part.read().entries().collect(),
        };
        if let Some(part) = &self.growing {
            let part = part.read();
            let relative = u32::try_from(begins.saturating_sub(part.base())).unwrap_or(u32::MAX);
            // Both may know of what came while the older ones were found out.
            entries.retain(|entry| entry.relative_offset < relative);
            entries.extend(part.entries());
        }
        Ok(entries)
    }
}

fn of_part(part: &Part, hash: TermHash, range: Range<Offset>, most: usize) -> Vec<Hit> {
    let mut hits = Vec::new();
    let mut next = Some(Place::Newest(hash));
    while let Some(place) = next {
        next = part.read().walk(place, &range, (most, &mut hits));
    }
    hits
}
