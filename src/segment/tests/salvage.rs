//! What is sound in a damaged `.log`, and what is said of the rest.

use std::ops::Range;

use super::*;
use crate::format::Malformed;
use crate::segment::scan;

/// Nothing is known but the base, and that no offset was missing.
const GAPLESS: Known = Known {
    base: 0,
    until: Offset::MAX,
    was_gapless: true,
    sealed_bytes: None,
    headers_crc: None,
    interval_bytes: 4096,
};
const SPARSE: Known = Known { was_gapless: false, ..GAPLESS };

/// Offsets 0 to 5 in three batches of two.
fn three() -> [Vec<u8>; 3] {
    [0, 2, 4].map(|base| batch(base, &[b"first", b"second"]))
}

fn len(batches: &[Vec<u8>]) -> u64 {
    batches.iter().map(|batch| batch.len() as u64).sum()
}

fn sealed(batches: &[Vec<u8>]) -> Known {
    let headers: Vec<_> = batches.iter().flat_map(|batch| &batch[..BatchHeader::LEN]).copied().collect();
    let headers_crc = Some(crc32fast::hash(&headers));
    Known { until: 6, sealed_bytes: Some(len(batches)), headers_crc, ..GAPLESS }
}

fn salvaged(bytes: &[u8], known: Known) -> Salvage {
    let place = Place::new();
    salvage(&place.log(known.base, bytes), known, &mut |_, _| Ok(())).unwrap()
}

/// Position, first offset, and whether it was mended.
fn kept(found: &Salvage) -> Vec<(u64, Offset, bool)> {
    found.kept.iter().map(|kept| (kept.position, kept.header.base_offset, kept.is_mended)).collect()
}

fn dropped(found: &Salvage) -> Vec<(Range<u64>, Range<Offset>)> {
    found.dropped.iter().map(|dropped| (dropped.range.clone(), dropped.offsets.clone())).collect()
}

#[test]
fn a_sound_file_is_whole_and_its_summary_is_that_of_a_scan() {
    let batches = three();
    for known in [GAPLESS, SPARSE, sealed(&batches)] {
        let found = salvaged(&batches.concat(), known);
        let size = batches[0].len() as u64;
        assert_eq!(kept(&found), [(0, 0, false), (size, 2, false), (2 * size, 4, false)]);
        assert!(found.dropped.is_empty() && found.is_whole() && found.is_gapless);
        assert!(!found.begins_elsewhere);
        let place = Place::new();
        let mut scan =
            scan(&place.log(0, &batches.concat()), 0, 4096, Offset::MAX, &mut |_, _| None).unwrap();
        scan.index.note_time();
        assert_eq!(found.summary(), summarize(&scan.tally, &scan.index));
        assert_eq!((found.tally.next_offset, found.len), (6, 3 * size));
    }
}

#[test]
fn zeros_behind_the_last_batch_are_nothing_lost_and_no_part_of_it() {
    let batches = three();
    let bytes = [batches.concat(), vec![0; 100]].concat();
    let behind = len(&batches)..len(&batches) + 100;
    // Where it is known where the segment ends, what follows is something.
    for (known, goes) in
        [(GAPLESS, vec![]), (SPARSE, vec![]), (sealed(&batches), vec![(behind.clone(), 6..6)])]
    {
        let found = salvaged(&bytes, known);
        assert_eq!((kept(&found).len(), dropped(&found)), (3, goes));
        assert!(!found.is_whole() && found.is_gapless);
    }
    // One byte that is no zero is something.
    let mut bytes = bytes;
    *bytes.last_mut().unwrap() = 1;
    let found = salvaged(&bytes, GAPLESS);
    assert_eq!(dropped(&found), [(behind, 6..Offset::MAX)]);
}

#[test]
fn a_damaged_batch_goes_alone() {
    let batches = three();
    let size = batches[0].len() as u64;
    for at in 0..3_usize {
        let mut damaged = batches.clone();
        *damaged[at].last_mut().unwrap() ^= 1;
        let others: Vec<_> = (0_u64..3).filter(|other| *other != at as u64).collect();
        for known in [GAPLESS, SPARSE, sealed(&batches)] {
            let found = salvaged(&damaged.concat(), known);
            let expected: Vec<_> =
                others.iter().map(|other| (other * size, 2 * other.cast_signed(), false)).collect();
            assert_eq!(kept(&found), expected, "{known:?}");
            let at = at as u64;
            let first = 2 * at.cast_signed();
            let until = if at == 2 { known.until } else { first + 2 };
            assert_eq!(dropped(&found), [(at * size..(at + 1) * size, first..until)]);
            assert!(!found.is_whole() && !found.begins_elsewhere);
            assert_eq!((found.is_gapless, found.summary().is_sparse), (at == 2, at != 2));
        }
    }
}

#[test]
fn behind_a_wrong_length_the_next_batch_is_looked_for_at_every_byte() {
    let batches = three();
    let size = batches[0].len() as u64;
    for length in [0_i32, 60, 70, 1000, -1] {
        let mut damaged = batches.clone();
        damaged[1][8..12].copy_from_slice(&length.to_be_bytes());
        let found = salvaged(&damaged.concat(), sealed(&batches));
        assert_eq!(kept(&found), [(0, 0, false), (2 * size, 4, false)], "{length}");
        assert_eq!(dropped(&found), [(size..2 * size, 2..4)], "{length}");
    }
}

#[test]
fn a_batch_that_is_a_value_of_a_damaged_one_is_no_batch() {
    let inner = batch(3, &[b"inner"]);
    let outer = batch(2, &[&inner[..], b"second"]);
    let [first, _, last] = three();
    let mut bytes = [&first[..], &outer[..], &last[..]].concat();
    let (from, to) = (first.len(), first.len() + outer.len());
    bytes[to - 1] ^= 1;
    let found = salvaged(&bytes, SPARSE);
    assert_eq!(kept(&found), [(0, 0, false), (to as u64, 4, false)]);
    assert_eq!(dropped(&found), [(from as u64..to as u64, 2..4)]);
}

#[test]
fn a_file_that_ends_early_lacks_what_it_was_known_to_hold() {
    let batches = three();
    let size = batches[0].len() as u64;
    let bytes = batches.concat();
    let two = usize::try_from(2 * size).unwrap();
    for known in [sealed(&batches), Known { sealed_bytes: None, ..sealed(&batches) }] {
        let found = salvaged(&bytes[..two], known);
        assert_eq!(dropped(&found), [(2 * size..2 * size, 4..6)]);
        assert!(!found.is_whole());
        // Torn, it is told once.
        let found = salvaged(&bytes[..two + 10], known);
        assert_eq!(dropped(&found), [(2 * size..2 * size + 10, 4..6)]);
        // With zeros in its place, too.
        let zeros = [&bytes[..two], &[0; 10]].concat();
        assert_eq!(dropped(&salvaged(&zeros, known)), [(2 * size..2 * size + 10, 4..6)]);
    }
    // With gaps before, only the bytes tell.
    let known = Known { was_gapless: false, ..sealed(&batches) };
    assert_eq!(dropped(&salvaged(&bytes[..two], known)).len(), 1);
    for known in [GAPLESS, SPARSE, Known { sealed_bytes: None, ..known }] {
        assert_eq!(dropped(&salvaged(&bytes[..two], known)), []);
    }
}

#[test]
fn what_the_checksum_does_not_cover_is_put_right_where_the_neighbours_tell() {
    let batches = three();
    let size = batches[0].len() as u64;
    let all: Vec<_> = [0, 1, 2].map(|at| (at * size, 2 * at.cast_signed())).into();
    for byte in [0, 7, 12, 15, 16] {
        for at in 0..3 {
            let mut damaged = batches.clone();
            damaged[at][byte] ^= 0x41;
            let found = salvaged(&damaged.concat(), sealed(&batches));
            let expected: Vec<_> =
                (0..).zip(&all).map(|(one, (position, base))| (*position, *base, one == at)).collect();
            assert_eq!(kept(&found), expected, "byte {byte} of batch {at}");
            assert!(found.dropped.is_empty() && !found.is_whole());
            assert_eq!(found.kept[at].header, BatchHeader::decode(&batches[at]).unwrap());
        }
    }
}

#[test]
fn nothing_is_put_right_where_the_neighbours_do_not_tell() {
    let batches = three();
    let size = batches[0].len() as u64;
    let with = |at: usize, byte: usize| {
        let mut damaged = batches.clone();
        damaged[at][byte] ^= 0x41;
        damaged
    };
    // Nobody knows where the last one ends.
    for known in [GAPLESS, Known { until: 7, sealed_bytes: None, ..GAPLESS }] {
        assert_eq!(kept(&salvaged(&with(2, 16).concat(), known)), [(0, 0, false), (size, 2, false)]);
    }
    // Offsets may be missing in front of it.
    assert_eq!(kept(&salvaged(&with(1, 16).concat(), SPARSE)), [(0, 0, false), (2 * size, 4, false)]);
    // The batch behind it is not the next one.
    let mut damaged = with(1, 16);
    damaged[2] = batch(5, &[b"first"]);
    assert_eq!(kept(&salvaged(&damaged.concat(), GAPLESS)), [(0, 0, false), (2 * size, 5, false)]);
    // Its checksum does not fit either.
    let mut damaged = with(1, 16);
    *damaged[1].last_mut().unwrap() ^= 1;
    assert_eq!(kept(&salvaged(&damaged.concat(), GAPLESS)), [(0, 0, false), (2 * size, 4, false)]);
}

#[test]
fn what_the_caller_holds_against_a_batch_counts() {
    let batches = three();
    let place = Place::new();
    let log = place.log(0, &batches.concat());
    let mut judge = |header: &BatchHeader, bytes: &[u8]| {
        assert_eq!(BatchHeader::decode(bytes).as_ref(), Ok(header));
        match header.base_offset {
            2 => Err(Malformed::invalid(0, "not that one")),
            _ => Ok(()),
        }
    };
    let found = salvage(&log, GAPLESS, &mut judge).unwrap();
    let size = batches[0].len() as u64;
    assert_eq!(kept(&found), [(0, 0, false), (2 * size, 4, false)]);
    assert!(found.dropped[0].reason.contains("not that one"), "{:?}", found.dropped);
}

#[test]
fn an_offset_too_far_on_is_not_believed() {
    let [first, mut second, _] = three();
    *second.last_mut().unwrap() ^= 1;
    let size = first.len() as u64;
    let far = |base: Offset, known: Known| {
        let bytes = [&first[..], &second[..], &batch(base, &[b"far"])[..]].concat();
        kept(&salvaged(&bytes, known)).len()
    };
    // 1024 offsets for each byte that is lost, and no more.
    let most = 2 + 1024 * (size.cast_signed() + 1) - 1;
    assert_eq!((far(most, GAPLESS), far(most + 1, GAPLESS)), (2, 1));
    // Where offsets were missing already there may be more, but not more than a segment spans.
    let most = Offset::from(i32::MAX);
    assert_eq!((far(most, SPARSE), far(most + 1, SPARSE)), (2, 1));
}

#[test]
fn an_offset_that_leaps_over_those_that_follow_is_not_believed() {
    let [first, second, last] = three();
    let size = first.len() as u64;
    let third = |bytes: &[u8]| {
        let found = salvaged(&[&first[..], bytes, &last[..]].concat(), SPARSE);
        (kept(&found).iter().map(|kept| kept.1).collect::<Vec<_>>(), dropped(&found))
    };
    let mut leaps = second.clone();
    // Offsets 3 and 4, and the next batch begins with 4.
    leaps[7] = 3;
    assert_eq!(third(&leaps), (vec![0, 4], vec![(size..2 * size, 2..4)]));
    leaps[7] = 9;
    assert_eq!(third(&leaps), (vec![0, 4], vec![(size..2 * size, 2..4)]));
    // What ends where the next begins leaps over nothing.
    assert_eq!(third(&batch(3, &[b"one"])), (vec![0, 3, 4], vec![]));
}

#[test]
fn a_file_of_another_segment_begins_elsewhere() {
    let bytes = three().concat();
    let known = Known { base: 100, ..GAPLESS };
    let found = salvaged(&bytes, known);
    assert!(found.kept.is_empty() && found.begins_elsewhere);
    assert_eq!(dropped(&found), [(0..bytes.len() as u64, 100..Offset::MAX)]);
    let known = Known { until: 3, ..SPARSE };
    assert_eq!(kept(&salvaged(&bytes, known)), [(0, 0, false)], "what goes beyond the end is not its own");
    // A damaged one proves nothing.
    let mut damaged = bytes;
    damaged[60] ^= 1;
    assert!(!salvaged(&damaged, known).begins_elsewhere);
}

#[test]
fn own_batches_behind_one_of_another_segment_do_not_make_it_begin_here() {
    let own = batch(100, &[b"own"]);
    let bytes = [&three()[0][..], &own[..]].concat();
    let found = salvaged(&bytes, Known { base: 100, ..GAPLESS });
    assert_eq!(kept(&found), [(three()[0].len() as u64, 100, false)]);
    assert!(found.begins_elsewhere);
}

#[test]
fn where_nothing_is_missing_a_batch_that_leaps_is_not_believed() {
    let [first, _, last] = three();
    let size = first.len() as u64;
    let bytes = [first, last].concat();
    let found = salvaged(&bytes, GAPLESS);
    assert_eq!(kept(&found), [(0, 0, false)]);
    assert_eq!(dropped(&found), [(size..2 * size, 2..Offset::MAX)]);
    assert_eq!(kept(&salvaged(&bytes, SPARSE)), [(0, 0, false), (size, 4, false)]);
}

/// Batches of one record each, of these leader epochs.
fn of_epochs(epochs: &[i32]) -> Vec<Vec<u8>> {
    let batches = epochs.iter().zip(0..).map(|(epoch, base)| {
        let mut bytes = batch(base, &[b"value"]);
        bytes[12..16].copy_from_slice(&epoch.to_be_bytes());
        bytes
    });
    batches.collect()
}

#[test]
fn a_leader_epoch_that_differs_from_what_was_sealed_is_put_right() {
    let epochs = |found: &Salvage| found.kept.iter().map(|kept| kept.header.leader_epoch).collect::<Vec<_>>();
    for sealed_epochs in [[0; 6], [-1; 6], [3, 3, 4, 4, 7, 7], [0, 9, 0, 9, 0, 9]] {
        let batches = of_epochs(&sealed_epochs);
        for (at, bit) in (0..6).flat_map(|at| (0..32).map(move |bit| (at, bit))) {
            let mut damaged = batches.clone();
            damaged[at][12 + bit / 8] ^= 1 << (bit % 8);
            let found = salvaged(&damaged.concat(), sealed(&batches));
            assert_eq!(epochs(&found), sealed_epochs);
            let mended: Vec<_> = found.kept.iter().map(|kept| kept.is_mended).collect();
            assert_eq!(mended.iter().filter(|is| **is).count(), 1);
            assert!(mended[at] && !found.is_whole() && found.dropped.is_empty());
            let whole = salvaged(&batches.concat(), sealed(&batches));
            assert_eq!(found.summary(), whole.summary());
        }
    }
    // Several, in a segment that knew one epoch only.
    let batches = of_epochs(&[5; 6]);
    let found = salvaged(&of_epochs(&[5, 6, 5, 5, 7, 5]).concat(), sealed(&batches));
    assert_eq!(epochs(&found), [5; 6]);
    // An epoch that no other batch has is not made up, and where nothing is known every one stays.
    let alone = of_epochs(&[0, 1]);
    let damaged = of_epochs(&[0, 3]).concat();
    assert_eq!(epochs(&salvaged(&damaged, Known { until: 2, ..sealed(&alone) })), [0, 3]);
    assert_eq!(epochs(&salvaged(&of_epochs(&[4, 0, -1]).concat(), GAPLESS)), [4, 0, -1]);
}
