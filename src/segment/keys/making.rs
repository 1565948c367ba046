//! Making the file of a segment out of its batches.
//!
//! It takes as much memory whatever there is in the segment: where there are more entries than may be sorted at once, sorted runs of them
//! are put down in the unnamed file, behind the place that the index takes in it, and merged. What they took is cut off at the end.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::error::{Error, Result};
use crate::format::{KeyEntry, KeyIndexEncoder, KeyStamp, Malformed, PAGE_BYTES, TermHash};
use crate::io::Directory;
use crate::segment::keys::file::{Begun, write_file};
use crate::segment::keys::growing::Growing;
use crate::segment::keys::hit::{Hit, HitRange, Take};
use crate::types::Offset;

/// Goes through the batches of a segment.
pub(in crate::segment) trait Walk {
    /// Terms of records that are held in memory at once, at most.
    fn most_terms(&self) -> usize;

    /// The terms of every record from `base` up to `until`; `None` where those are too many to be held.
    fn walk(&self, until: Offset) -> Result<Option<Growing>>;

    /// Hands out every term of every record of an offset below `until`, in the order of the log.
    fn each(&self, until: Offset, found: &mut dyn FnMut(KeyEntry) -> Result<()>) -> Result<()>;

    /// Runs `write`, unless the segment has left the log.
    fn unless_left(&self, write: &mut dyn FnMut() -> Result<()>) -> Result<()>;
}

/// Entries that are read of a run at once, at least.
const LEAST_READ: usize = 256;

/// Makes the file of the segment that `stamp` tells of.
pub(super) fn make(directory: &Directory, stamp: KeyStamp, walk: &dyn Walk) -> Result<()> {
    write_file(directory, stamp.base, walk, |file| fill(directory, file, stamp, walk))
}

fn fill(directory: &Directory, file: &Begun<'_>, stamp: KeyStamp, walk: &dyn Walk) -> Result<()> {
    let most = walk.most_terms();
    let (mut sorted, mut count) = (Vec::new(), 0_usize);
    walk.each(stamp.next_offset, &mut |entry| {
        count += 1;
        if count <= most {
            sorted.push(entry)
        } else {
            sorted = Vec::new()
        }
        Ok(())
    })?;
    if count <= most {
        sorted.sort_unstable();
        sorted.dedup();
        let hashes = sorted.chunk_by(|one, next| one.hash == next.hash).count();
        return encode(directory, file, (stamp, sorted.len(), hashes), &mut |put| {
            sorted.iter().try_for_each(&mut *put)
        });
    }
    let malformed = |malformed: Malformed| malformed.in_file(file.path());
    // With as many different hashes as entries it is larger than any with fewer.
    let begin = KeyIndexEncoder::new(stamp, count, count).map_err(malformed)?.file_bytes();
    directory.check_space(begin.saturating_add((count * KeyEntry::LEN) as u64))?;
    let runs = Runs::put_down((file, begin), stamp.next_offset, walk)?;
    let (mut entries, mut hashes, mut last) = (0, 0, None);
    runs.merged(&mut |entry: &KeyEntry| {
        entries += 1;
        hashes += usize::from(last != Some(entry.hash));
        last = Some(entry.hash);
        Ok(())
    })?;
    encode(directory, file, (stamp, entries, hashes), &mut |put| runs.merged(put))
}

/// Where the encoder puts entries.
type Put<'a> = dyn FnMut(&KeyEntry) -> Result<()> + 'a;

/// Writes the file of the entries that `each` hands out.
fn encode(
    directory: &Directory,
    file: &Begun<'_>,
    (stamp, entries, hashes): (KeyStamp, usize, usize),
    each: &mut dyn FnMut(&mut Put<'_>) -> Result<()>,
) -> Result<()> {
    let malformed = |malformed: Malformed| malformed.in_file(file.path());
    let mut encoder = KeyIndexEncoder::new(stamp, entries, hashes).map_err(malformed)?;
    let bytes = encoder.file_bytes();
    directory.check_space(bytes)?;
    let mut write = |number: u32, page: &[u8]| file.write_at(page, u64::from(number) * PAGE_BYTES as u64);
    encoder.begin(&mut write)?;
    each(&mut |entry| encoder.push(entry, &mut write))?;
    encoder.finish(&mut write)?;
    file.set_len(bytes)
}

/// Sorted runs of entries in a file.
struct Runs<'a> {
    file: &'a Begun<'a>,
    /// Where each begins and ends.
    places: Vec<std::ops::Range<u64>>,
    /// Entries that are held in memory at once, at most.
    most: usize,
}

impl<'a> Runs<'a> {
    fn put_down((file, begin): (&'a Begun<'a>, u64), until: Offset, walk: &dyn Walk) -> Result<Self> {
        let most = walk.most_terms().max(1);
        let mut runs = Self { file, places: Vec::new(), most };
        let (mut chunk, mut at) = (Vec::with_capacity(most), begin);
        walk.each(until, &mut |entry| {
            chunk.push(entry);
            if chunk.len() == most { runs.put(&mut chunk, &mut at) } else { Ok(()) }
        })?;
        runs.put(&mut chunk, &mut at)?;
        Ok(runs)
    }

    fn put(&mut self, chunk: &mut Vec<KeyEntry>, at: &mut u64) -> Result<()> {
        /// Entries of one write.
        const AT_ONCE: usize = 4096;
        chunk.sort_unstable();
        let begin = *at;
        let mut bytes = Vec::with_capacity(AT_ONCE * KeyEntry::LEN);
        for part in chunk.chunks(AT_ONCE) {
            bytes.clear();
            part.iter().for_each(|entry| entry.encode(&mut bytes));
            self.file.write_at(&bytes, *at)?;
            *at += bytes.len() as u64;
        }
        chunk.clear();
        if *at > begin {
            self.places.push(begin..*at);
        }
        Ok(())
    }

    /// Hands out all entries in their order, and none twice.
    fn merged(&self, put: &mut Put<'_>) -> Result<()> {
        let each = (self.most / self.places.len().max(1)).clamp(LEAST_READ, LEAST_READ << 6);
        let mut runs: Vec<_> =
            self.places.iter().map(|place| Run::new(self.file, place.clone(), each)).collect();
        let mut heads = BinaryHeap::with_capacity(runs.len());
        for (number, run) in runs.iter_mut().enumerate() {
            heads.extend(run.next()?.map(|entry| Reverse((entry, number))));
        }
        let mut last = None;
        while let Some(Reverse((entry, number))) = heads.pop() {
            if last != Some(entry) {
                put(&entry)?;
                last = Some(entry);
            }
            if let Some(run) = runs.get_mut(number) {
                heads.extend(run.next()?.map(|entry| Reverse((entry, number))));
            }
        }
        Ok(())
    }
}

/// One run, as it is read.
struct Run<'a> {
    file: &'a Begun<'a>,
    /// What was not read yet.
    rest: std::ops::Range<u64>,
    /// Bytes that are read at once.
    stretch: usize,
    bytes: Vec<u8>,
    at: usize,
}

impl<'a> Run<'a> {
    fn new(file: &'a Begun<'a>, rest: std::ops::Range<u64>, entries: usize) -> Self {
        Self { file, rest, stretch: entries * KeyEntry::LEN, bytes: Vec::new(), at: 0 }
    }

    fn next(&mut self) -> Result<Option<KeyEntry>> {
        if self.at == self.bytes.len() {
            let left = usize::try_from(self.rest.end - self.rest.start).unwrap_or(usize::MAX);
            self.bytes.resize(self.stretch.min(left), 0);
            let read = self.file.read_up_to(&mut self.bytes, self.rest.start)?;
            if read != self.bytes.len() {
                let cut = std::io::ErrorKind::UnexpectedEof.into();
                return Err(Error::io(self.file.path(), "read", cut));
            }
            self.rest.start += read as u64;
            self.at = 0;
        }
        let entry = self.bytes.get(self.at..).and_then(KeyEntry::decode);
        self.at += entry.map_or(0, |_| KeyEntry::LEN);
        Ok(entry)
    }
}

/// The hits of a hash out of the batches alone, for a segment of which neither memory nor a file holds the terms.
pub(super) fn look_through(
    walk: &dyn Walk,
    hash: TermHash,
    (base, range): (Offset, &HitRange),
) -> Result<Vec<Hit>> {
    let most = match range.take {
        Take::All => usize::MAX,
        Take::Last(most) => most,
    };
    let mut hits: VecDeque<Hit> = VecDeque::new();
    walk.each(range.until, &mut |entry| {
        let offset = base + i64::from(entry.relative_offset);
        let is_wanted = entry.hash == hash && (range.from..range.until).contains(&offset);
        // A term that a record has twice.
        if is_wanted && hits.back().is_none_or(|last| last.offset != offset) {
            hits.push_back(Hit { offset, position: u64::from(entry.position) });
            if hits.len() > most {
                hits.pop_front();
            }
        }
        Ok(())
    })?;
    Ok(hits.into())
}
