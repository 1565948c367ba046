//! Leader epochs that were damaged. No checksum of a batch covers them and any value is allowed, but the one over all
//! headers of a sealed segment tells that one of them is wrong, and which.

use std::collections::BTreeMap;

use crate::format::BatchHeader;
use crate::segment::salvage::Kept;

/// The polynomial of CRC-32, lowest power in the highest bit.
const POLYNOMIAL: u32 = 0xedb8_8320;
/// Bytes of a header after the leader epoch.
const AFTER_EPOCH: usize = BatchHeader::LEN - 16;

/// Puts leader epochs right if that makes the headers those that were sealed: one that differs, or several in a segment
/// that knew one epoch only. `kept` are all batches of the segment. False when nothing is wrong, or it is something else.
pub(super) fn mend_epochs(kept: &mut [Kept], headers_crc: u32) -> bool {
    let found = crc_of(kept.iter().map(|kept| kept.header));
    if found == headers_crc {
        return false;
    }
    let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
    kept.iter().for_each(|kept| *counts.entry(kept.header.leader_epoch).or_default() += 1);
    if let Some((at, epoch)) = the_one(kept, found ^ headers_crc, &counts) {
        kept.iter_mut().skip(at).take(1).for_each(|kept| put(kept, epoch));
        return true;
    }
    let Some((usual, _)) = counts.into_iter().max_by_key(|(_, count)| *count) else { return false };
    let same = kept.iter().map(|kept| BatchHeader { leader_epoch: usual, ..kept.header });
    let is_so = crc_of(same) == headers_crc;
    if is_so {
        kept.iter_mut().filter(|kept| kept.header.leader_epoch != usual).for_each(|kept| put(kept, usual));
    }
    is_so
}

fn put(kept: &mut Kept, leader_epoch: i32) {
    kept.header.leader_epoch = leader_epoch;
    kept.is_mended = true;
}

fn crc_of(headers: impl Iterator<Item = BatchHeader>) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    headers.for_each(|header| sum.update(&header.encode()));
    sum.finalize()
}

/// The batch whose epoch alone makes the difference between two checksums, and what its epoch was. For every batch there
/// is one epoch that would; it is believed if other batches have it.
///
/// A CRC is linear: the difference of two checksums is what the differing bytes give by themselves, followed by as many
/// zeros as there are bytes after them. So the zeros are taken back, header by header, from the last on.
fn the_one(kept: &[Kept], difference: u32, counts: &BTreeMap<i32, usize>) -> Option<(usize, i32)> {
    let mut after = difference;
    for (at, kept) in kept.iter().enumerate().rev() {
        let epoch_and_difference = before_zeros(after, AFTER_EPOCH);
        let of_epoch = before_zeros(epoch_and_difference, 4).swap_bytes().cast_signed();
        let leader_epoch = kept.header.leader_epoch ^ of_epoch;
        let others = counts.get(&leader_epoch).copied().unwrap_or(0);
        if others > 0 && leader_epoch != kept.header.leader_epoch {
            return Some((at, leader_epoch));
        }
        after = before_zeros(after, BatchHeader::LEN);
    }
    None
}

/// The register of a CRC before it took up so many zero bytes.
fn before_zeros(register: u32, bytes: usize) -> u32 {
    (0..bytes * 8).fold(register, |register, _| match register >> 31 {
        0 => register << 1,
        _ => (register ^ POLYNOMIAL) << 1 | 1,
    })
}
