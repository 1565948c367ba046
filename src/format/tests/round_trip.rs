//! What goes into a batch comes out of it.

use super::random::{Random, each_seed};
use super::*;

fn numbered(base_offset: i64, records: &[Owned]) -> Vec<Owned> {
    records.iter().zip(base_offset..).map(|(record, offset)| Owned { offset, ..record.clone() }).collect()
}

#[test]
fn null_and_empty_are_different() {
    let records = [
        Owned::new(-1, None, None),
        Owned::new(-1, Some(""), Some("")),
        Owned::new(-1, Some("k"), None).with_header("", None).with_header("", Some("")),
        Owned::new(-1, None, Some("v")).with_header("twice", Some("1")).with_header("twice", None),
        Owned::new(-1, None, None).with_header("ключ", Some("значение")),
    ];
    assert_eq!(opened(&sealed(3, &records, &PLAIN)).unwrap(), numbered(3, &records));
}

#[test]
fn timestamps_of_every_distance_survive() {
    let times = [0, 5, -1, i64::MAX, 1, 283_843, 1_234_567_890_123];
    let records: Vec<_> = times.iter().map(|time| Owned::new(*time, None, None)).collect();
    assert_eq!(opened(&sealed(0, &records, &PLAIN)).unwrap(), numbered(0, &records));
    let records: Vec<_> = times.iter().rev().map(|time| Owned::new(*time, None, None)).collect();
    let batch = sealed(0, &records, &PLAIN);
    assert_eq!(opened(&batch).unwrap(), numbered(0, &records));
    assert_eq!(BatchHeader::decode(&batch).unwrap().max_timestamp, i64::MAX);
}

#[test]
fn gaps_in_offsets_are_kept() {
    let mut records = Vec::new();
    for offset_delta in [2, 3, 9] {
        let body: RecordBody<'_> =
            RecordBody { timestamp_delta: -7, offset_delta, key: None, value: None, headers: &[] };
        let before = records.len();
        body.encode(&mut records);
        assert_eq!(records.len() - before, body.encoded_len());
    }
    let (_, batch) = batch_of(&records, 3);
    let opened = opened(&batch).unwrap();
    assert_eq!(opened.iter().map(|record| record.offset).collect::<Vec<_>>(), [102, 103, 109]);
    assert!(opened.iter().all(|record| record.timestamp == 993));
}

#[test]
fn no_record_is_longer_than_what_bounds_it() {
    let long = vec![b'x'; 9000];
    let fields = [None, Some(&long[..0]), Some(&long[..63]), Some(&long[..64]), Some(&long[..])];
    let headers = [Header { key: "key".into(), value: Some(&long) }, Header { key: "".into(), value: None }];
    let headers = [&[][..], &headers[..1], &headers[..]];
    let deltas = [(0, 0), (i64::MAX, i32::MAX), (i64::MIN, i32::MIN)];
    for (key, value) in fields.iter().flat_map(|key| fields.iter().map(move |value| (*key, *value))) {
        for headers in headers {
            let most = RecordBody::most_len(key, value, headers);
            for (timestamp_delta, offset_delta) in deltas {
                let body: RecordBody<'_> = RecordBody { timestamp_delta, offset_delta, key, value, headers };
                // Nor is the bound far off: it decides how many records a batch takes.
                assert!((most - 35..=most).contains(&body.encoded_len()), "{most} for {body:?}");
            }
        }
    }
}

/// Fields whose bytes look like lengths, so that a field taken too long or too short is a record all the same.
#[test]
fn records_full_of_what_could_be_lengths() {
    let bytes = [0, 1, 2, 4, 6];
    let mut fields = vec![None, Some(Vec::new())];
    let mut last = vec![Vec::new()];
    for _ in 0..3 {
        last = last.iter().flat_map(|field| bytes.map(|byte| [&field[..], &[byte]].concat())).collect();
        fields.extend(last.iter().cloned().map(Some));
    }
    for key in &fields {
        let all: Vec<_> = fields
            .iter()
            .map(|value| Owned { key: key.clone(), value: value.clone(), ..Owned::new(7, None, None) })
            .collect();
        assert_eq!(opened(&sealed(0, &all, &PLAIN)), Ok(numbered(0, &all)));
    }
}

#[test]
fn a_retained_empty_batch_has_no_records() {
    let (_, batch) = batch_of(&[], 0);
    assert_eq!(opened(&batch), Ok(Vec::new()));
}

#[test]
fn lengths_around_varint_widths() {
    for len in [0, 1, 62, 63, 64, 65, 8190, 8191, 8192, 8193, 1 << 20, (1 << 20) + 1] {
        let text = "v".repeat(len);
        let records = [Owned::new(9, Some(&text), Some(&text)).with_header(&text, Some(&text))];
        assert_eq!(opened(&sealed(0, &records, &PLAIN)).unwrap(), records, "{len}");
    }
}

fn any_record(random: &mut Random) -> Owned {
    let field = |random: &mut Random| (!random.one_in(4)).then(|| random.bytes(40));
    let timestamp = random.any_width() - 1;
    let (key, value) = (field(random), field(random));
    let headers = (0..random.below(3)).map(|_| (random.text("aß字\0\u{10ffff}", 6), field(random))).collect();
    Owned { offset: 0, timestamp, key, value, headers }
}

#[test]
fn any_batch_in_any_codec() {
    each_seed(100, |random| {
        let base_offset = random.any_width().min(i64::MAX - 100);
        let some: Vec<_> = (0..1 + random.below(19)).map(|_| any_record(random)).collect();
        let records: Vec<_> = some.iter().cycle().take(some.len() * (1 + random.below(3))).cloned().collect();
        for codec in Codec::ALL {
            let how = Seal { compression: Compression::of(codec), ..PLAIN };
            let batch = sealed(base_offset, &records, &how);
            assert_eq!(opened(&batch), Ok(numbered(base_offset, &records)));
        }
    });
}
