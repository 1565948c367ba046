use super::*;

/// All pages in memory.
struct Whole<'a>(&'a KeyIndexHeader, &'a [u8]);

impl KeyPages for Whole<'_> {
    type Error = &'static str;

    fn page(&mut self, number: u32) -> Result<&[u8], Self::Error> {
        let at = number as usize * PAGE_BYTES;
        let page = self.1.get(at..at + PAGE_BYTES).ok_or("cut")?;
        if self.0.is_sound(number, page) { Ok(page) } else { Err("damaged") }
    }

    fn contradiction(&self) -> Self::Error {
        "contradiction"
    }
}

const STAMP: KeyStamp = KeyStamp { base: 7000, next_offset: 9000, bytes: 1234, headers_crc: 0xfeed };

fn hash(term: u32) -> TermHash {
    TermHash::of(TermKind::Key, format!("key-{term}").as_bytes())
}

/// Three entries for each of so many keys, and as many again for one of them.
fn entries(keys: u32) -> Vec<KeyEntry> {
    let of =
        |term, relative_offset| KeyEntry { hash: hash(term), relative_offset, position: relative_offset * 3 };
    let each = (0..keys * 3).map(|number| of(number % keys, number));
    each.chain((0..keys).map(|number| of(0, keys * 3 + number))).collect()
}

fn found(file: &[u8], term: TermHash) -> Result<Vec<u32>, &'static str> {
    let header = KeyIndexHeader::decode(file.get(..PAGE_BYTES).ok_or("cut")?).map_err(|_| "header")?;
    if header.stamp != STAMP || header.file_bytes() != file.len() as u64 {
        return Err("another");
    }
    let mut pages = Whole(&header, file);
    if !header.may_hold(&mut pages, term)? {
        return Ok(Vec::new());
    }
    let run = header.run(&mut pages, term)?;
    run.map(|number| header.entry(&mut pages, number).map(|entry| entry.relative_offset)).collect()
}

#[test]
fn every_entry_is_found_in_its_order_and_no_other() {
    for keys in [0, 1, 2, 5, 97, 1000, 20_000] {
        let entries = entries(keys);
        let file = encode_key_index(STAMP, entries.clone()).unwrap();
        for term in (0..keys).step_by(keys as usize / 50 + 1) {
            let hash = hash(term);
            let expected: Vec<_> = entries
                .iter()
                .filter(|entry| entry.hash == hash)
                .map(|entry| entry.relative_offset)
                .collect();
            assert_eq!(found(&file, hash), Ok(expected), "{term} of {keys}");
        }
        let strangers = (0..2000).map(|number| hash(1_000_000 + number));
        assert!(strangers.map(|hash| found(&file, hash)).all(|found| found == Ok(Vec::new())));
    }
}

#[test]
fn the_filter_lets_few_strangers_pass() {
    let file = encode_key_index(STAMP, entries(10_000)).unwrap();
    let header = KeyIndexHeader::decode(&file[..PAGE_BYTES]).unwrap();
    let mut pages = Whole(&header, &file);
    let passed = (0..20_000).filter(|number| header.may_hold(&mut pages, hash(1_000_000 + number)).unwrap());
    assert!(passed.count() < 400, "of 20,000");
}

#[test]
fn a_flipped_or_missing_byte_is_an_error_and_never_another_answer() {
    let keys = 900;
    let file = encode_key_index(STAMP, entries(keys)).unwrap();
    let right: Vec<_> = (0..keys).map(|term| found(&file, hash(term)).unwrap()).collect();
    for at in (0..file.len()).step_by(53) {
        let mut damaged = file.clone();
        damaged[at] ^= 0x10;
        for term in (0..keys).step_by(41) {
            if let Ok(found) = found(&damaged, hash(term)) {
                assert_eq!(found, right[term as usize], "byte {at}, key {term}");
            }
        }
        assert!(found(&file[..at], hash(0)).is_err());
    }
}

#[test]
fn a_page_of_another_file_or_place_is_none() {
    let file = encode_key_index(STAMP, entries(900)).unwrap();
    let other = KeyStamp { headers_crc: 1, ..STAMP };
    let stranger = encode_key_index(other, entries(900)).unwrap();
    let header = KeyIndexHeader::decode(&file[..PAGE_BYTES]).unwrap();
    for number in 1..header.pages() {
        let page = |file: &[u8], number: u32| file[number as usize * PAGE_BYTES..][..PAGE_BYTES].to_vec();
        assert!(header.is_sound(number, &page(&file, number)));
        assert!(!header.is_sound(number, &page(&stranger, number)));
        assert!(!header.is_sound(number ^ 1, &page(&file, number)));
    }
}

/// What files rest on stays.
#[test]
fn hashes_are_those_of_murmur() {
    // Computed from the published definition in another language.
    let of = |bytes| [TermKind::Key, TermKind::Type, TermKind::Tag].map(|kind| TermHash::of(kind, bytes).0);
    assert_eq!(of(b"order-17"), [131_331_592_467_244, 82_996_979_283_566, 148_718_330_380_754]);
    assert_eq!(of(b"a longer key-17"), [191_563_610_525_246, 74_076_735_662_371, 192_140_704_606_034]);
}
