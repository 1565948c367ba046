//! The quick decoder takes what nearly all records are, and nothing that the careful one would not take in the same way.

use super::*;

/// Records of every kind, with timestamps before and after the first one's, and no more varints in front of a key than fit
/// into one word. The last is long enough that eight bytes can be
/// taken wherever a length begins.
fn ordinary() -> Vec<Owned> {
    let long = "v".repeat(9000);
    let fields = [None, Some(""), Some("k"), Some(&long[..63]), Some(&long[..64]), Some(&long[..])];
    let times = [0, 1, -1, 63, -64, 64, -65, 8191, -8192];
    let mut records = Vec::new();
    for (key, value) in fields.iter().flat_map(|key| fields.iter().map(move |value| (*key, *value))) {
        let time = 5_000_000 + times[records.len() / 3 % times.len()];
        let plain = Owned::new(time, key, value);
        records.extend([
            plain.clone(),
            plain.clone().with_header("one", Some("value")),
            plain.with_header("", None).with_header("two", Some("")),
        ]);
    }
    records.push(Owned::new(5_000_000, None, Some(&long)));
    records
}

#[test]
fn ordinary_records_are_taken_by_the_quick_one() {
    let records = ordinary();
    let batch = sealed(70, &records, &PLAIN);
    let header = BatchHeader::decode(&batch).unwrap();
    let bytes = &batch[BatchHeader::LEN..];
    let mut walk = RecordIter::new(&header, bytes);
    for (record, offset) in records.iter().zip(70..) {
        let taken = walk.quick_next();
        assert_eq!(taken, walk.careful_next(), "{offset}");
        let (span, end) = taken.unwrap();
        assert!(own(span.of(bytes, 70)) == Owned { offset, ..record.clone() }, "{offset}");
        walk.next_record();
        assert_eq!(walk.position(), end);
    }
    assert!(walk.next_record().is_none());
}

/// Batches as short as they can be and all the same quick, so that every byte of theirs can be changed.
fn short_batches() -> Vec<Vec<u8>> {
    let filler = Owned::new(9, Some("0123456789"), Some("0123456789"));
    let records = [
        Owned::new(7, None, None),
        Owned::new(9, Some("k"), None),
        Owned::new(6, None, Some("\0\0\0")),
        Owned::new(9, Some("k"), Some("v")).with_header("h", Some("x")).with_header("i", None),
    ];
    records.map(|record| sealed(0, &[record, filler.clone()], &PLAIN)).into()
}

/// Whoever passes over records must come to those that the careful one finds, and not behind the bytes.
fn assert_passes_over(header: &BatchHeader, bytes: &[u8], sound: Option<&[i64]>) {
    for wanted in 0..4 {
        let mut walk = RecordIter::new(header, bytes);
        let passed = walk.skip_below(wanted);
        assert!(walk.position() <= bytes.len());
        if let Some(offsets) = sound {
            assert_eq!(passed, Ok(()));
            let next = walk.next_record().map(|record| record.unwrap().offset);
            assert_eq!(next, offsets.iter().copied().find(|offset| *offset >= wanted));
        }
    }
}

#[test]
fn whatever_the_quick_one_takes_the_careful_one_takes_in_the_same_way() {
    for batch in short_batches() {
        let header = BatchHeader::decode(&batch).unwrap();
        let good = &batch[BatchHeader::LEN..];
        for (at, byte) in (0..good.len()).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
            let mut bytes = good.to_vec();
            bytes[at] = byte;
            let mut walk = RecordIter::new(&header, &bytes);
            let mut offsets = Vec::new();
            while walk.remaining() > 0 {
                let (quick, careful) = (walk.quick_next(), walk.careful_next());
                assert!(quick.is_none() || quick == careful, "byte {byte} at {at}: {quick:?}, {careful:?}");
                // Which of them takes it is nobody's concern.
                match walk.next_record().unwrap() {
                    Ok(record) => offsets.push(record.offset),
                    Err(_) => break,
                }
            }
            let is_sound =
                offsets.len() == 2 && walk.next_record().is_none() && walk.position() == good.len();
            assert_passes_over(&header, &bytes, is_sound.then_some(&offsets[..]));
        }
    }
}

#[test]
fn a_record_that_ends_behind_the_batch_is_not_passed_over() {
    let batch = &short_batches()[0];
    let header = BatchHeader::decode(batch).unwrap();
    let mut bytes = batch[BatchHeader::LEN..].to_vec();
    // Both records are there for whoever looks at their fields; the second says that it is longer.
    let second = 1 + usize::from(bytes[0] / 2);
    bytes[second] += 2;
    let mut walk = RecordIter::new(&header, &bytes);
    assert_eq!(walk.skip_below(1), Ok(()));
    assert!(matches!(walk.skip_below(2), Err(Malformed::Invalid { at, .. }) if at == second));
}

/// The varints in front of a key's bytes may be more than the word that the quick one takes them from.
#[test]
fn lengths_that_do_not_fit_into_one_word_are_left_to_the_careful_one() {
    let text = vec![b'x'; 10_000];
    let lens = [0, 1, 63, 64, 100, 8191, 8192, 10_000];
    for (timestamp_delta, offset_delta) in [(1, 1), (100, 9000), (-1_000_000, 9000), (1_000_000, 1_000_000)] {
        for (key, value) in lens.iter().flat_map(|key| lens.map(|value| (*key, value))) {
            let (key, value) = (Some(&text[..key]), Some(&text[..value]));
            let mut bytes = Vec::new();
            let body: RecordBody<'_> = RecordBody { timestamp_delta, offset_delta, key, value, headers: &[] };
            body.encode(&mut bytes);
            bytes.extend([0; 8]);
            let (header, _) = batch_of(&bytes, 2);
            let header = BatchHeader { last_offset_delta: offset_delta, ..header };
            let walk = RecordIter::new(&header, &bytes);
            let (quick, careful) = (walk.quick_next(), walk.careful_next());
            assert!(careful.is_some() && (quick.is_none() || quick == careful), "{quick:?}, {careful:?}");
        }
    }
}
