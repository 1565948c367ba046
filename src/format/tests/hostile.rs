//! No bytes make a decoder panic.

use super::random::{Random, each_seed};
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

#[test]
fn arbitrary_bytes() {
    each_seed(2_000, |random| decode_everything(&random.bytes(200)));
}

#[test]
fn mutated_batches() {
    each_seed(1_000, |random| {
        let mut batch = sample(Codec::ALL[random.below(Codec::ALL.len())]);
        for _ in 0..1 + random.below(3) {
            let at = random.below(batch.len());
            batch[at] = random.byte();
        }
        if random.one_in(2) {
            batch.truncate(random.below(batch.len()));
        }
        decode_everything(&batch);
        // Past the CRC, where only the decoders themselves stand between the bytes and the reader.
        if let Ok(header) = BatchHeader::decode(&batch) {
            let _records = records_of(&header, &batch[BatchHeader::LEN..]);
        }
        if let Some(packed) = batch.get(BatchHeader::LEN..) {
            decode_everything(packed);
        }
    });
}

/// A name, or something like one of a file or of a directory.
fn any_name(random: &mut Random) -> String {
    if random.one_in(2) {
        return random.text("a.-_0/\\\0é字 \u{10ffff}", 40);
    }
    let (letters, dash) = (random.text("az.-", 6), ["", "-"][random.below(2)]);
    let number = random.text("0123456789+", 23);
    format!("{letters}{dash}{number}{}", [".log", ".index", ""][random.below(3)])
}

#[test]
fn arbitrary_names() {
    each_seed(5_000, |random| {
        let name = any_name(random);
        if let Some(parsed) = parse_segment_file_name(&name) {
            assert_eq!(segment_file_name(parsed.base, parsed.file), name);
        }
        if let Some(parsed) = parse_partition_dir_name(&name) {
            assert_eq!(partition_dir_name(parsed.topic, parsed.partition), name);
        }
        let _checked = check_topic_name(&name);
    });
}
