//! Whose batches a file holds: a sound file in the place of another would pass for what was written there.

use crate::format::{BatchHeader, Mark};
use crate::log::check::repair::inventory::Source;
use crate::segment::Salvage;

/// Whether a file's batches, sound as they may be, are others than those that were written to it.
pub(super) fn is_foreign(salvage: &Salvage, source: &Source) -> bool {
    let Some(summary) = &source.summary else {
        return source.was_gapless && salvage.begins_elsewhere
            || source.mark.is_some_and(|mark| contradicts(salvage, &mark));
    };
    // It reaches the end that was sealed, and something else follows.
    let last = salvage.dropped.last();
    let has_grown =
        last.is_some_and(|last| last.range.start == summary.bytes && last.range.end == salvage.len);
    if salvage.is_whole() || has_grown && salvage.dropped.len() == 1 {
        let found = salvage.summary();
        return found.headers_crc != summary.headers_crc || found.record_count != summary.record_count;
    }
    let is_cut = salvage.len < summary.bytes
        && salvage.dropped.iter().all(|dropped| dropped.range.end == salvage.len)
        && !salvage.kept.iter().any(|kept| kept.is_mended);
    if salvage.len != summary.bytes && !is_cut && !has_grown {
        return true;
    }
    // The summary's is that of the first batch that has one: which that was is known up to the first that is missing.
    let until = salvage.dropped.first().map_or(salvage.len, |dropped| dropped.range.start);
    let has_time = |header: &BatchHeader| header.record_count > 0 && header.max_timestamp >= 0;
    let first = salvage.kept.iter().find(|kept| has_time(&kept.header)).filter(|kept| kept.position < until);
    let begins_otherwise = first.is_some_and(|first| first.header.max_timestamp != summary.first_timestamp);
    begins_otherwise || salvage.kept.iter().any(|kept| kept.header.max_timestamp > summary.max_timestamp)
}

/// Whether a sound batch lies where none can, if a batch of the mark's offset began at its position.
fn contradicts(salvage: &Salvage, mark: &Mark) -> bool {
    salvage.kept.iter().any(|kept| {
        let end = kept.position + kept.header.total_len() as u64;
        kept.position < mark.position && mark.position < end
            || kept.position == mark.position && kept.header.base_offset != mark.offset
            || end == mark.position && kept.header.next_offset() != mark.offset
    })
}
