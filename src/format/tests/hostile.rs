//! No bytes make a decoder panic.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn decode_everything(bytes: &[u8]) {
    let _opened = opened(bytes);
    let _entries = (OffsetIndexEntry::decode(bytes), TimeIndexEntry::decode(bytes));
    let _commits = (CommitKey::decode(bytes), OffsetCommitValue::decode(bytes));
    for codec in Codec::ALL {
        let mut out = Vec::new();
        let result = Decompressor::default().decompress(codec, bytes, 4096, &mut out);
        assert!(out.len() <= 4096);
        assert!(result.is_ok() || out.is_empty());
    }
    let count = i32::try_from(bytes.len()).unwrap();
    let (header, _) = batch_of(bytes, count);
    RecordIter::new(&header, bytes).for_each(drop);
    RecordIter::resume(&header, bytes, bytes.len() / 2, count).for_each(drop);
    RecordIter::resume(&header, bytes, bytes.len() + 1, count).for_each(drop);
}

fn sample(codec: Codec) -> Vec<u8> {
    let record = Owned::new(5, Some("key"), Some(&"value ".repeat(30))).with_header("h", Some("x"));
    let records = vec![record; 8];
    sealed(0, &records, &Seal { compression: Compression::of(codec), ..PLAIN })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn arbitrary_bytes(bytes in vec(any::<u8>(), 0..200)) {
        decode_everything(&bytes);
    }

    #[test]
    fn mutated_batches(
        id in 0..5_u8,
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut batch = sample(Codec::from_id(id).unwrap());
        for (place, byte) in &edits {
            let at = place.index(batch.len());
            batch[at] = *byte;
        }
        if is_cut {
            batch.truncate(cut.index(batch.len()));
        }
        decode_everything(&batch);
        // Past the CRC, where only the decoders themselves stand between the bytes and the reader.
        if let Ok(header) = BatchHeader::decode(&batch) {
            let _records = records_of(&header, &batch[BatchHeader::LEN..]);
        }
        if let Some(packed) = batch.get(BatchHeader::LEN..) {
            decode_everything(packed);
        }
    }

    #[test]
    fn arbitrary_names(name in ".{0,40}", number in "[a-z.-]{0,5}-?[0-9+]{0,22}(.log|.index|)") {
        for name in [name, number] {
            if let Some(parsed) = parse_segment_file_name(&name) {
                prop_assert_eq!(segment_file_name(parsed.base, parsed.file), name.clone());
            }
            if let Some(parsed) = parse_partition_dir_name(&name) {
                prop_assert_eq!(partition_dir_name(parsed.topic, parsed.partition), name.clone());
            }
            let _checked = check_topic_name(&name);
        }
    }
}
