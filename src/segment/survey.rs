//! Looking through a `.log` that somebody else wrote: every batch must be whole and lie in its place. The first that does not is
//! named.

use crate::error::Result;
use crate::format::{AbortedTransaction, BatchHeader, Malformed};
use crate::segment::log_file::Walk;
use crate::segment::scan::{Tail, tail};
use crate::segment::summary::Tally;
use crate::segment::{Judge, LogFile, SparseIndex, Witness};
use crate::types::Offset;

/// What the batches of a file add up to.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) tally: Tally,
    pub(crate) index: SparseIndex,
    /// The transactions whose ABORT marker is among them.
    pub(crate) aborted: Vec<AbortedTransaction>,
    /// Of the first batch.
    pub(crate) first_offset: Option<Offset>,
    /// No offset is missing from the base on.
    pub(crate) is_gapless: bool,
    /// CRC-32 of all their bytes: whoever copies them can tell that they are the ones that were looked at.
    pub(crate) content: crc32fast::Hasher,
    /// What is behind them and is no batch; zeros are nothing.
    pub(crate) misfit: Option<Misfit>,
}

/// Where the batches of a file end before the file does.
#[derive(Debug)]
pub(crate) struct Misfit {
    /// Up to the last byte that is not zero.
    pub(crate) bytes: u64,
    pub(crate) reason: String,
    /// The file ends before the batch does that begins there.
    pub(crate) is_cut_off: bool,
}

/// What the file's place asks of its batches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The file's name: no offset is below it.
    pub(crate) base: Offset,
    /// Where the next file begins.
    pub(crate) until: Offset,
    /// How many bytes of it count, where that is known.
    pub(crate) bytes: Option<u64>,
    pub(crate) interval_bytes: u32,
}

/// Why a batch is none.
enum Fault {
    CutOff(Malformed),
    Wrong(Malformed),
}

/// Walks all batches of `log`. `judge` looks into each that is sound by itself, `witness` sees each that counts.
pub(crate) fn survey(
    log: &LogFile,
    bounds: Bounds,
    judge: Judge<'_>,
    witness: Witness<'_>,
) -> Result<Survey> {
    let len = bounds.bytes.unwrap_or(log.len()?);
    let mut found = Survey {
        tally: Tally::new(bounds.base),
        index: SparseIndex::new(bounds.base, bounds.interval_bytes),
        aborted: Vec::new(),
        first_offset: None,
        is_gapless: true,
        content: crc32fast::Hasher::new(),
        misfit: None,
    };
    let mut walk = Walk::new(log, len);
    while found.tally.bytes < len {
        let position = found.tally.bytes;
        let Err(fault) = next(&mut walk, &mut found, (bounds, len), judge, witness)? else { continue };
        let (malformed, is_cut_off) = match fault {
            Fault::CutOff(malformed) => (malformed, true),
            Fault::Wrong(malformed) => (malformed, false),
        };
        if let Malformed::TooLarge { .. } = malformed {
            return Err(log.damaged(position, found.tally.next_offset, malformed));
        }
        if let Tail::Torn { bytes, reason } = tail(&mut walk, position, len, &malformed)? {
            found.misfit = Some(Misfit { bytes, reason, is_cut_off });
        }
        break;
    }
    found.index.note_time();
    Ok(found)
}

fn next(
    walk: &mut Walk<'_>,
    found: &mut Survey,
    (bounds, len): (Bounds, u64),
    judge: Judge<'_>,
    witness: Witness<'_>,
) -> Result<std::result::Result<(), Fault>> {
    let position = found.tally.bytes;
    let available = len - position;
    let cut_off = |needed: usize| {
        let available = usize::try_from(available).unwrap_or(usize::MAX);
        Ok(Err(Fault::CutOff(Malformed::Truncated { needed, available })))
    };
    if available < BatchHeader::LEN as u64 {
        return cut_off(BatchHeader::LEN);
    }
    let header = match BatchHeader::decode(walk.bytes(position, BatchHeader::LEN)?) {
        Ok(header) => header,
        Err(malformed) => {
            let older = older_format(walk, position, available)?;
            return Ok(Err(Fault::Wrong(older.unwrap_or(malformed))));
        }
    };
    let needed = header.total_len();
    if needed as u64 > available {
        return cut_off(needed);
    }
    let batch = walk.bytes(position, needed)?.get(..needed).unwrap_or_default();
    let expected = found.tally.next_offset;
    let judged = in_place(&header, (expected, position), bounds)
        .and_then(|()| BatchHeader::verify_crc(batch))
        .and_then(|()| judge(&header, batch));
    if let Err(malformed) = judged {
        return Ok(Err(Fault::Wrong(malformed)));
    }
    found.first_offset.get_or_insert(header.base_offset);
    found.is_gapless &= header.base_offset == expected;
    found.index.note(&header, position);
    found.tally.add(&header, batch.get(..BatchHeader::LEN).unwrap_or_default());
    found.content.update(batch);
    found.aborted.extend(witness(&header, batch.get(BatchHeader::LEN..).unwrap_or_default()));
    Ok(Ok(()))
}

/// What is wrong with a message of a format that came before batches: nothing, but that it cannot be read. Its checksum says that
/// it is one.
fn older_format(walk: &mut Walk<'_>, position: u64, available: u64) -> Result<Option<Malformed>> {
    let prefix = walk.bytes(position, BatchHeader::UNCHECKED)?;
    let Some([_, _, _, _, _, _, _, _, len @ .., c0, c1, c2, c3, magic]) =
        prefix.first_chunk::<{ BatchHeader::UNCHECKED }>()
    else {
        return Ok(None);
    };
    let (len, magic) = (u64::from(u32::from_be_bytes(*len)), *magic);
    let crc = u32::from_be_bytes([*c0, *c1, *c2, *c3]);
    let Some(needed) = usize::try_from(len + 12).ok().filter(|_| magic < 2 && len + 12 <= available) else {
        return Ok(None);
    };
    let message = walk.bytes(position, needed)?.get(16..needed).unwrap_or_default();
    let why = format!(
        "a message of format {magic}, from before Kafka 0.11: have a broker copy the topic to a new one"
    );
    Ok((crc32fast::hash(message) == crc).then(|| Malformed::invalid(16, why)))
}

/// Whether a batch may lie where it does. Offsets may be missing before it.
fn in_place(
    header: &BatchHeader,
    (expected, position): (Offset, u64),
    bounds: Bounds,
) -> std::result::Result<(), Malformed> {
    let invalid = |why: String| Err(Malformed::invalid(0, why));
    let (base, next) = (header.base_offset, header.next_offset());
    if base < expected && position == 0 {
        return invalid(format!("offset {base} is below {expected}, the name of the file"));
    }
    if base < expected {
        return invalid(format!("offsets go back: {base} comes where {expected} or a later one must"));
    }
    if next > bounds.until {
        let until = bounds.until;
        return invalid(format!(
            "offsets {base} to {} overlap the next file, which begins at {until}",
            next - 1
        ));
    }
    let most = u64::from(i32::MAX.unsigned_abs());
    if header.last_offset().abs_diff(bounds.base) > most {
        let name = bounds.base;
        return invalid(format!(
            "offset {} is too far from {name}, the name of the file",
            header.last_offset()
        ));
    }
    if position + header.total_len() as u64 > most {
        return invalid(format!("a segment has {most} bytes at most"));
    }
    Ok(())
}
