//! Commits of other processes than the owner, on their way to it: `annals.spool`. A magic, then one frame for each commit.

use crate::format::Malformed;

/// `annspl`, a zero, and the version.
const MAGIC: [u8; 8] = *b"annspl\0\x01";
/// Length and CRC-32 of what follows, 4 bytes each.
const FRAME_HEADER: usize = 8;

/// A record of a commit: key and value, `None` takes the commit back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpooledRecord {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Option<Vec<u8>>,
}

/// What a spool holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SpoolContent {
    /// Each commit, the oldest first. One is all or nothing.
    pub(crate) commits: Vec<Vec<SpooledRecord>>,
    /// Where the last whole one ends. What a process that died in the middle of one has left behind it is nothing.
    pub(crate) end: usize,
}

/// What the file begins with.
pub(crate) fn spool_magic() -> &'static [u8] {
    &MAGIC
}

/// The frame of one commit.
pub(crate) fn encode_spooled(records: &[SpooledRecord]) -> Vec<u8> {
    let mut body = Vec::new();
    for record in records {
        put_bytes(&mut body, Some(&record.key));
        put_bytes(&mut body, record.value.as_deref());
    }
    let mut frame = Vec::with_capacity(FRAME_HEADER + body.len());
    frame.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(crc32fast::hash(&body).to_be_bytes());
    frame.extend(body);
    frame
}

fn put_bytes(body: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let len = bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    body.extend(len.to_be_bytes());
    body.extend(bytes.unwrap_or_default());
}

/// Takes a spool apart.
///
/// # Errors
/// Another magic; a frame that is broken and is not the last.
pub(crate) fn decode_spool(bytes: &[u8]) -> Result<SpoolContent, Malformed> {
    let magic = bytes.get(..MAGIC.len());
    match magic {
        // Its first writer died before it had written so much.
        None => return Ok(SpoolContent::default()),
        Some(found) if found == MAGIC => {}
        Some(_) => return Err(Malformed::invalid(0, "it does not begin as a spool of this version does")),
    }
    decode_frames(bytes, MAGIC.len())
}

/// The frames of a file from a position on.
///
/// # Errors
/// A frame that is broken and is not the last.
pub(super) fn decode_frames(bytes: &[u8], from: usize) -> Result<SpoolContent, Malformed> {
    let mut content = SpoolContent { commits: Vec::new(), end: from };
    while content.end < bytes.len() {
        let rest = bytes.get(content.end..).unwrap_or_default();
        let Some((body, crc)) = frame(rest) else { break };
        let len = FRAME_HEADER + body.len();
        match (crc32fast::hash(body) == crc).then(|| records(body)).flatten() {
            Some(records) => content.commits.push(records),
            // Cut off in the middle, with the bytes of the file already there.
            None if len >= rest.len() => break,
            // A power cut has kept the length and not the bytes.
            None if rest.iter().all(|byte| *byte == 0) => break,
            None => return Err(Malformed::invalid(content.end, "a frame is broken, and others follow it")),
        }
        content.end += len;
    }
    Ok(content)
}

/// The body of the frame that `rest` begins with, and its checksum; `None` when it is not all there.
fn frame(rest: &[u8]) -> Option<(&[u8], u32)> {
    let len = u32::from_be_bytes(rest.get(..4)?.try_into().ok()?);
    let crc = u32::from_be_bytes(rest.get(4..FRAME_HEADER)?.try_into().ok()?);
    let end = FRAME_HEADER.checked_add(usize::try_from(len).ok()?)?;
    Some((rest.get(FRAME_HEADER..end)?, crc))
}

fn records(mut body: &[u8]) -> Option<Vec<SpooledRecord>> {
    let mut records = Vec::new();
    while !body.is_empty() {
        let key = take_bytes(&mut body)??;
        let value = take_bytes(&mut body)?;
        records.push(SpooledRecord { key, value });
    }
    // Zeros that were allocated and never written have a checksum that fits: no commit is empty.
    (!records.is_empty()).then_some(records)
}

fn take_bytes(body: &mut &[u8]) -> Option<Option<Vec<u8>>> {
    let (len, rest) = body.split_at_checked(4)?;
    let len = i32::from_be_bytes(len.try_into().ok()?);
    *body = rest;
    let Ok(len) = usize::try_from(len) else { return Some(None) };
    let (bytes, rest) = body.split_at_checked(len)?;
    *body = rest;
    Some(Some(bytes.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u8) -> SpooledRecord {
        let value = (!number.is_multiple_of(3)).then(|| vec![number; usize::from(number) * 3]);
        SpooledRecord { key: vec![number; 5], value }
    }

    #[test]
    fn what_is_cut_off_anywhere_is_the_commits_before() {
        let commits: Vec<Vec<_>> = (1..5_u8).map(|number| (0..number).map(record).collect()).collect();
        let mut bytes = spool_magic().to_vec();
        let mut ends = vec![bytes.len()];
        for commit in &commits {
            bytes.extend(encode_spooled(commit));
            ends.push(bytes.len());
        }
        assert_eq!(
            decode_spool(&bytes).unwrap(),
            SpoolContent { commits: commits.clone(), end: bytes.len() }
        );
        for cut in 0..bytes.len() {
            let found = decode_spool(&bytes[..cut]).unwrap();
            let whole = ends.iter().filter(|end| **end <= cut).count().saturating_sub(1);
            assert_eq!(found.commits, commits[..whole], "cut at {cut}");
        }
        // The length was there and the bytes were not.
        let mut zeros = bytes.clone();
        zeros[ends[3] + 8..].fill(0);
        assert_eq!(decode_spool(&zeros).unwrap().end, ends[3]);
        let longer = [&bytes[..], &[0; 100]].concat();
        assert_eq!(decode_spool(&longer).unwrap().end, bytes.len(), "a power cut has kept the length");
        let mut broken = bytes.clone();
        broken[ends[1] + FRAME_HEADER + 4] ^= 1;
        assert!(decode_spool(&broken).is_err());
        broken[0] ^= 1;
        assert!(decode_spool(&broken).is_err());
    }
}
