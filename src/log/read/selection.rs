//! What a reader by content looks for, and the hits of it in one segment.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::format::{RawRecord, TAG_HEADER, TYPE_HEADER, TermHash, TermKind};
use crate::log::write::StreamKey;
use crate::segment::{Hit, HitRange, Segment, Take};
use crate::types::{Offset, Query, Words};

/// What is looked for.
#[derive(Debug, Clone)]
pub(crate) enum Selection {
    /// The records of a key.
    Key(Box<[u8]>, TermHash),
    /// What matches a query that names types or tags.
    Query(Query, Vec<Alternative>),
    /// Every record.
    All,
}

impl Selection {
    pub(crate) fn key(key: &[u8]) -> Self {
        Self::Key(key.into(), TermHash::of(TermKind::Key, key))
    }

    pub(crate) fn query(query: &Query) -> Self {
        if query.is_for_all() { Self::All } else { Self::Query(query.clone(), terms(query)) }
    }

    /// The key that is looked for; empty where it is something else.
    pub(crate) fn as_key(&self) -> &[u8] {
        if let Self::Key(key, _) = self { key } else { &[] }
    }

    /// The stream of the key that is looked for.
    pub(crate) fn as_stream(&self) -> StreamKey<'_> {
        match self {
            Self::Key(key, term) => StreamKey { key, term: *term },
            Self::Query(..) | Self::All => StreamKey::new(&[]),
        }
    }

    /// Whether a record is one that is looked for. An index alone does not say so.
    pub(in crate::log) fn matches(&self, record: &RawRecord<'_>) -> bool {
        match self {
            Self::Key(key, _) => record.key == Some(key),
            Self::Query(query, _) => query.parts().any(|(types, tags)| is_of(record, types, tags)),
            Self::All => true,
        }
    }

    /// A look at these segments comes soon. True where what it looks at may have to come from the disk.
    pub(in crate::log) fn prefetch<'a>(
        &self,
        segments: impl Iterator<Item = &'a Arc<Segment>> + Clone,
    ) -> bool {
        let Self::Key(_, term) = self else { return false };
        let mut is_cold = false;
        segments.clone().for_each(|segment| is_cold |= segment.prefetch_look(*term));
        if is_cold {
            segments.for_each(|segment| segment.prefetch_entries(*term));
        }
        is_cold
    }

    /// Where in a segment there may be such records, in the order of their offsets. Of those of a key the last `most`.
    pub(in crate::log) fn hits(
        &self,
        segment: &Arc<Segment>,
        range: Range<Offset>,
        (most, limit): (Option<usize>, usize),
    ) -> Result<Vec<Hit>> {
        let take = most.map_or(Take::All, Take::Last);
        let of = |term: TermHash, take| {
            segment.hits(term, HitRange { from: range.start, until: range.end, take }, limit)
        };
        match self {
            Self::Key(_, term) => of(*term, take),
            Self::All => Ok(Vec::new()),
            Self::Query(_, alternatives) => {
                let mut found = Vec::new();
                for lists in alternatives {
                    let mut all: Option<Vec<Hit>> = None;
                    for terms in lists {
                        let mut any = Vec::new();
                        for term in terms {
                            any.extend(of(*term, Take::All)?);
                        }
                        in_order(&mut any);
                        all = Some(match all {
                            Some(all) => common(&all, &any),
                            None => any,
                        });
                        if all.as_ref().is_some_and(Vec::is_empty) {
                            break;
                        }
                    }
                    found.extend(all.unwrap_or_default());
                }
                in_order(&mut found);
                Ok(found)
            }
        }
    }
}

/// The terms of an alternative of a query: of every list a record has one at least.
type Alternative = Vec<Vec<TermHash>>;

fn terms(query: &Query) -> Vec<Alternative> {
    let of = |(types, tags): (Words<'_>, Words<'_>)| {
        let tags = tags.iter().map(|tag| vec![TermHash::of(TermKind::Tag, tag)]);
        let types: Vec<_> = types.iter().map(|one| TermHash::of(TermKind::Type, one)).collect();
        tags.chain(Some(types).filter(|types| !types.is_empty())).collect()
    };
    query.parts().map(of).collect()
}

/// Whether a record has one of the types, and all of the tags.
fn is_of(record: &RawRecord<'_>, types: &[Box<[u8]>], tags: &[Box<[u8]>]) -> bool {
    let has = |name: &[u8], value: &[u8]| {
        record.headers.raw().any(|header| header.name == name && header.value == Some(value))
    };
    let is_of_type = types.is_empty() || types.iter().any(|one| has(TYPE_HEADER, one));
    is_of_type && tags.iter().all(|tag| has(TAG_HEADER, tag))
}

fn in_order(hits: &mut Vec<Hit>) {
    hits.sort_unstable_by_key(|hit| hit.offset);
    hits.dedup_by_key(|hit| hit.offset);
}

/// What is in both, each in the order of offsets.
fn common(one: &[Hit], other: &[Hit]) -> Vec<Hit> {
    let mut rest = other.iter().peekable();
    let is_in_both = |hit: &&Hit| {
        while rest.next_if(|other| other.offset < hit.offset).is_some() {}
        rest.peek().is_some_and(|other| other.offset == hit.offset)
    };
    one.iter().filter(is_in_both).copied().collect()
}
