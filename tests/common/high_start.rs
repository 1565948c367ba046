//! A partition that begins at any offset. No call makes one begin there, so its state file is written here, from the layout that
//! the crate documents: a second description of that file.

use std::fs;
use std::path::Path;

/// Pads to 508 bytes and adds their CRC-32.
fn block(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(508, 0);
    let crc = crc32fast::hash(&bytes);
    bytes.extend(crc.to_be_bytes());
    bytes
}

/// Turns a partition of one segment, which was appended to and closed, into an empty one whose records before `base` were deleted.
pub(crate) fn begin_at(dir: &Path, base: i64) {
    for extension in ["log", "index", "timeindex"] {
        let name = |base: i64| dir.join(format!("{base:020}.{extension}"));
        fs::remove_file(name(0)).unwrap();
        fs::write(name(base), []).unwrap();
    }
    let state = fs::read(dir.join("annals.state")).unwrap();
    let mut mark = 0x616e_6d6b_u32.to_be_bytes().to_vec();
    let (sequence, position) = (1000_u64, 0_u64);
    mark.extend(sequence.to_be_bytes());
    mark.extend(base.to_be_bytes());
    mark.extend(base.to_be_bytes());
    mark.extend(position.to_be_bytes());
    let mut body = 72_u32.to_be_bytes().to_vec();
    // Store, topic and partition stay.
    body.extend(&state[1540..1576]);
    let (start, cleaned_until) = (base, base);
    body.extend(start.to_be_bytes());
    body.extend(cleaned_until.to_be_bytes());
    let (is_closed, segments, pending, obsolete) = (0_u32, 0_u32, 0_u32, 0_u32);
    for count in [is_closed, segments, pending, obsolete] {
        body.extend(count.to_be_bytes());
    }
    let len = u32::try_from(body.len() + 4).unwrap();
    body[..4].copy_from_slice(&len.to_be_bytes());
    let crc = crc32fast::hash(&body);
    body.extend(crc.to_be_bytes());
    let head = state[..512].to_vec();
    fs::write(dir.join("annals.state"), [head, block(mark), vec![0; 512], body].concat()).unwrap();
}
