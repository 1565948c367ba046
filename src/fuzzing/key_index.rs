//! A `.keyindex`: whatever it holds, a look at it ends, and stays inside it; and what was written is found.

use std::collections::BTreeMap;

use crate::format::{
    KeyEntry, KeyIndexHeader, KeyPages, KeyStamp, PAGE_BYTES, TermHash, TermKind, encode_key_index,
};
use crate::fuzzing::input::Input;
use crate::fuzzing::repair;

/// A file in memory.
struct File<'a> {
    header: KeyIndexHeader,
    bytes: &'a [u8],
}

impl KeyPages for File<'_> {
    type Error = &'static str;

    fn page(&mut self, number: u32) -> Result<&[u8], Self::Error> {
        let at = number as usize * PAGE_BYTES;
        let page = self.bytes.get(at..at + PAGE_BYTES).ok_or("cut")?;
        if self.header.is_sound(number, page) { Ok(page) } else { Err("damaged") }
    }

    fn contradiction(&self) -> Self::Error {
        "contradiction"
    }
}

fn open(bytes: &[u8]) -> Option<File<'_>> {
    let header = KeyIndexHeader::decode(bytes.get(..PAGE_BYTES)?).ok()?;
    (header.file_bytes() == bytes.len() as u64).then_some(File { header, bytes })
}

fn found(file: &mut File<'_>, hash: TermHash) -> Result<Vec<KeyEntry>, &'static str> {
    let header = file.header;
    if !header.may_hold(file, hash)? {
        return Ok(Vec::new());
    }
    let run = header.run(file, hash)?;
    assert!(run.start <= run.end && run.end <= header.entries());
    // As many as there are bytes for, whatever the file says.
    assert!(run.len() <= file.bytes.len());
    run.map(|number| header.entry(file, number)).collect()
}

/// Any bytes as a `.keyindex`, as they are and with every checksum made right; and as entries, that come out of a file again.
pub fn key_index(data: &[u8]) {
    let mut repaired = data.to_vec();
    repaired.resize(data.len().next_multiple_of(PAGE_BYTES), 0);
    repair::key_index(&mut repaired);
    for bytes in [data, &repaired] {
        let Some(mut file) = open(bytes) else { continue };
        for term in [&b""[..], b"a", b"order-17"] {
            // What comes of it is looked at in the batch: that it comes to an end is what counts here.
            drop(found(&mut file, TermHash::of(TermKind::Key, term)));
        }
    }
    let stamp = KeyStamp { base: 7, next_offset: 9_000, bytes: 1_000, headers_crc: 5 };
    let mut input = Input::new(data);
    let mut expected: BTreeMap<TermHash, Vec<KeyEntry>> = BTreeMap::new();
    while !input.is_empty() {
        let hash = TermHash::of(TermKind::Tag, &[input.byte()]);
        let (relative_offset, position) = (u32::from(input.u16()), u32::from(input.u16()));
        expected.entry(hash).or_default().push(KeyEntry { hash, relative_offset, position });
    }
    let entries: Vec<_> = expected.values().flatten().copied().collect();
    let encoded = encode_key_index(stamp, entries);
    let Ok(bytes) = encoded else { return };
    let opened = open(&bytes);
    assert!(opened.is_some(), "a file that was just written");
    let Some(mut file) = opened else { return };
    let stranger = TermHash::of(TermKind::Key, b"no tag");
    expected.entry(stranger).or_default();
    for (hash, mut entries) in expected.into_iter().rev().take(16) {
        entries.sort_unstable();
        entries.dedup();
        assert_eq!(found(&mut file, hash), Ok(entries));
    }
}
