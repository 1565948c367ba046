//! The state file comes back as it was, or is refused.

use super::*;
use crate::format::Malformed;
use crate::types::Offset;

fn summary(base: Offset) -> SegmentSummary {
    SegmentSummary {
        base,
        next_offset: base + 10,
        bytes: 1000,
        record_count: 10,
        max_timestamp: 77,
        offset_of_max_timestamp: base + 3,
        headers_crc: 1,
        index_interval_bytes: 4096,
        index_entries: 2,
        index_crc: 3,
        time_entries: 4,
        time_index_crc: 5,
        first_timestamp: 70,
        first_append: 71,
        last_append: 72,
        delete_horizon: 73,
        is_sparse: base == 10,
        aborted_entries: 0,
        aborted_crc: 0,
    }
}

fn state() -> PartitionState {
    PartitionState {
        identity: Identity { store: 1 << 100, topic: 2, partition: 3 },
        log_start: 4,
        sealed: vec![summary(0), summary(10)],
        closed: Some(summary(20)),
        cleaned_until: 15,
        pending: vec![10],
        obsolete: vec![2, 3],
        producers_at: None,
        mark: Mark { segment: 20, offset: 25, position: 500 },
        sequence: 7,
    }
}

#[test]
fn comes_back_as_it_was() {
    let mut state = state();
    assert_eq!(PartitionState::decode(&state.encode()), Ok(state.clone()));
    state.closed = None;
    state.sealed.clear();
    assert_eq!(PartitionState::decode(&state.encode()), Ok(state));
}

#[test]
fn the_newer_slot_counts_and_a_torn_one_leaves_the_other() {
    let old = state();
    let mut bytes = old.encode();
    let new =
        PartitionState { mark: Mark { offset: 29, position: 900, ..old.mark }, sequence: 8, ..old.clone() };
    let slot = new.mark.encode(new.sequence);
    let at = usize::try_from(slot.position).unwrap();
    bytes[at..at + 512].copy_from_slice(&slot.bytes);
    assert_eq!(PartitionState::decode(&bytes), Ok(new));
    bytes[at + 100] ^= 1;
    assert_eq!(PartitionState::decode(&bytes), Ok(old));
}

#[test]
fn a_newer_version_is_not_called_damage() {
    let mut bytes = state().encode();
    bytes[11] = 9;
    let expected = Malformed::Unsupported { what: "state file version", found: 9, supported: 2 };
    assert_eq!(PartitionState::decode(&bytes), Err(expected));
}

#[test]
fn every_flipped_bit_and_every_cut_is_seen_or_harmless() {
    let state = state();
    let good = state.encode();
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let decoded = PartitionState::decode(&bytes);
        // The second slot is empty here: bits in it change nothing.
        assert!(decoded.is_err() || decoded == Ok(state.clone()), "bit {bit}: {decoded:?}");
        assert!(decoded.is_err() || (512..1024).contains(&(bit / 8)), "bit {bit} was not seen");
    }
    for len in 0..good.len() {
        assert!(PartitionState::decode(&good[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn segments_that_overlap_or_end_before_they_begin_are_refused() {
    let decoded = |first: SegmentSummary, second: SegmentSummary| {
        let state = PartitionState { sealed: vec![first, second], closed: None, ..state() };
        PartitionState::decode(&state.encode())
    };
    let ends = |next_offset: Offset| SegmentSummary { next_offset, ..summary(0) };
    assert!(decoded(ends(10), summary(10)).is_ok());
    // An empty one, and a gap behind it.
    assert!(decoded(ends(0), summary(10)).is_ok());
    for (first, second) in [
        (ends(11), summary(10)),
        (summary(10), summary(0)),
        (ends(-1), summary(10)),
        (SegmentSummary { next_offset: -3, ..summary(-5) }, summary(10)),
        (SegmentSummary { next_offset: 3, ..summary(-5) }, summary(10)),
        (summary(0), SegmentSummary { next_offset: 9, ..summary(10) }),
    ] {
        assert!(decoded(first, second).is_err(), "{} to {}", first.base, first.next_offset);
    }
}

#[test]
fn many_offsets_come_back_too() {
    let state = PartitionState { pending: (0..70).collect(), obsolete: (100..500).collect(), ..state() };
    assert_eq!(PartitionState::decode(&state.encode()), Ok(state));
}

#[test]
fn what_is_known_of_transactions_comes_back_and_is_a_version_of_its_own() {
    let version = |state: &PartitionState| state.encode()[11];
    assert_eq!(version(&state()), 1);
    let with_producers = PartitionState { producers_at: Some(20), ..state() };
    let aborted = SegmentSummary { aborted_entries: 3, aborted_crc: 9, ..summary(0) };
    let with_aborted = PartitionState { sealed: vec![aborted, summary(10)], ..state() };
    for state in [with_producers, with_aborted] {
        assert_eq!(version(&state), 2);
        assert_eq!(PartitionState::decode(&state.encode()), Ok(state));
    }
}
