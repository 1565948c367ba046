//! Makes checksums right, so that an input gets past them to what they protect.

use crate::format::BatchHeader;

const BLOCK: usize = 512;

/// The checksums of a partition's state file: head, both mark slots, and the table with its length.
pub(super) fn partition_state(bytes: &mut [u8]) {
    let (blocks, body) = bytes.split_at_mut(bytes.len().min(3 * BLOCK));
    for block in blocks.chunks_exact_mut(BLOCK) {
        put_crc(block);
    }
    if let (Ok(len), Some(field)) = (u32::try_from(body.len()), body.first_chunk_mut::<4>()) {
        *field = len.to_be_bytes();
    }
    put_crc(body);
}

/// CRC-32 of everything before the last four bytes, into them.
fn put_crc(bytes: &mut [u8]) {
    if let Some((data, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32fast::hash(data).to_be_bytes();
    }
}

/// The checksum of a producer snapshot.
pub(super) fn producer_snapshot(bytes: &mut [u8]) {
    let crc = crc_fast::crc32_iscsi(bytes.get(6..).unwrap_or_default());
    if let Some(field) = bytes.get_mut(2..6) {
        field.copy_from_slice(&crc.to_be_bytes());
    }
}

/// A topic file with these lines: the last one is replaced by the checksum.
pub(super) fn topic_file(bytes: &mut Vec<u8>) {
    if let Some(at) = bytes.windows(7).rposition(|window| window == b"\ncrc32 ") {
        bytes.truncate(at + 1);
    }
    let crc = format!("crc32 {:08x}\n", crc32fast::hash(bytes));
    bytes.extend_from_slice(crc.as_bytes());
}

/// The checksums of the batches of a `.log`, as far as they can be walked.
pub(super) fn log(bytes: &mut [u8]) {
    let mut rest = bytes;
    while let Ok(mut header) = BatchHeader::decode(rest) {
        let Some((batch, behind)) = rest.split_at_mut_checked(header.total_len()) else { return };
        if header.stamp(batch).is_err() {
            return;
        }
        rest = behind;
    }
}

/// Makes a batch of any bytes that are long enough: one that goes at `offset`, with a checksum that fits.
pub(super) fn forged_batch(bytes: &[u8], offset: i64) -> Option<Vec<u8>> {
    let mut batch = bytes.to_vec();
    let len = i32::try_from(batch.len().checked_sub(BatchHeader::PREFIX)?).ok()?;
    batch.get_mut(..8)?.copy_from_slice(&offset.to_be_bytes());
    batch.get_mut(8..12)?.copy_from_slice(&len.to_be_bytes());
    batch.get_mut(12..17)?.copy_from_slice(&[0, 0, 0, 0, 2]);
    let mut header = BatchHeader::decode(&batch).ok()?;
    header.stamp(&mut batch).ok()?;
    Some(batch)
}

/// The checksums of a `.keyindex`: that of the first page, and those of the others, which begin with it.
pub(super) fn key_index(bytes: &mut [u8]) {
    let mut seed = None;
    for (number, page) in (0..).zip(bytes.chunks_exact_mut(crate::format::PAGE_BYTES)) {
        let Some((data, crc)) = page.split_last_chunk_mut::<4>() else { continue };
        let mut hasher = crc32fast::Hasher::new_with_initial(seed.map_or(0, |seed: u32| seed ^ number));
        hasher.update(data);
        let sum = hasher.finalize();
        seed.get_or_insert(sum);
        *crc = sum.to_be_bytes();
    }
}
