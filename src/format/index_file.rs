//! Whole index files: entries one after the other, each greater than the one before.

use super::{Malformed, OffsetIndexEntry, TimeIndexEntry};

pub(crate) fn encode_offset_index(entries: &[OffsetIndexEntry]) -> Vec<u8> {
    entries.iter().flat_map(OffsetIndexEntry::encode).collect()
}

pub(crate) fn encode_time_index(entries: &[TimeIndexEntry]) -> Vec<u8> {
    entries.iter().flat_map(TimeIndexEntry::encode).collect()
}

pub(crate) fn decode_offset_index(bytes: &[u8]) -> Result<Vec<OffsetIndexEntry>, Malformed> {
    let (chunks, []) = bytes.as_chunks::<{ OffsetIndexEntry::LEN }>() else {
        return Err(Malformed::invalid(bytes.len(), "an index of parts of entries"));
    };
    let entries =
        chunks.iter().map(|chunk| OffsetIndexEntry::decode(chunk)).collect::<Result<Vec<_>, _>>()?;
    let grows = |a: &OffsetIndexEntry, b: &OffsetIndexEntry| {
        a.relative_offset < b.relative_offset && a.position < b.position
    };
    check_order(&entries, grows)?;
    Ok(entries)
}

pub(crate) fn decode_time_index(bytes: &[u8]) -> Result<Vec<TimeIndexEntry>, Malformed> {
    let (chunks, []) = bytes.as_chunks::<{ TimeIndexEntry::LEN }>() else {
        return Err(Malformed::invalid(bytes.len(), "an index of parts of entries"));
    };
    let entries = chunks.iter().map(|chunk| TimeIndexEntry::decode(chunk)).collect::<Result<Vec<_>, _>>()?;
    let grows = |a: &TimeIndexEntry, b: &TimeIndexEntry| {
        a.timestamp < b.timestamp && a.relative_offset < b.relative_offset
    };
    check_order(&entries, grows)?;
    Ok(entries)
}

fn check_order<T>(entries: &[T], grows: impl Fn(&T, &T) -> bool) -> Result<(), Malformed> {
    if entries.windows(2).all(|pair| matches!(pair, [a, b] if grows(a, b))) {
        Ok(())
    } else {
        Err(Malformed::invalid(0, "index entries that do not grow"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_come_back_and_disorder_is_seen() {
        let entry = |relative_offset, position| OffsetIndexEntry { relative_offset, position };
        let good = [entry(3, 100), entry(9, 200)];
        assert_eq!(decode_offset_index(&encode_offset_index(&good)), Ok(good.to_vec()));
        assert!(decode_offset_index(&encode_offset_index(&[good[1], good[0]])).is_err());
        assert!(decode_offset_index(&encode_offset_index(&good)[..15]).is_err());
        let entry = |timestamp, relative_offset| TimeIndexEntry { timestamp, relative_offset };
        let good = [entry(-5, 1), entry(7, 2)];
        assert_eq!(decode_time_index(&encode_time_index(&good)), Ok(good.to_vec()));
        assert!(decode_time_index(&encode_time_index(&[good[0], good[0]])).is_err());
    }
}
