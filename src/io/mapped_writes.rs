//! Small writes without a call of the system: stores into a map of the file.
//!
//! A store cannot return an error. One that the system cannot carry out is a signal that ends the process, so a page is
//! stored into only when
//! - its blocks are reserved, in a file system that keeps them reserved: it cannot run out of space;
//! - the system was asked for it, writable, a moment ago (`MADV_POPULATE_WRITE`, which does return errors).
//!
//! What remains: a file system that dies, and writes the very page back before it does, between two of these looks, a few
//! milliseconds apart. Hosts that must not take that risk read positionally too, and are given no map.
//!
//! Everything else is as with a write: the bytes survive the process as soon as they are stored, and a power cut after a
//! sync of the file's descriptor.

use std::fs::File;
use std::io;
use std::ops::Range;

use memmap2::{Advice, MmapOptions, MmapRaw};

use super::space::keeps_reserved_blocks;
use super::ticks::{Tick, tick};
use crate::locks::{Mutex, MutexGuard};

/// Writes above this many bytes cost less as a call.
const SMALL: usize = 4 * 1024;
/// Small writes without a sync between them before a map is made: who syncs each record gains nothing from one.
const RUN: u32 = 32;
/// Least and most bytes that are made ready at once. Pages made ready are written back whether used or not.
const READY_LEAST: u64 = 64 * 1024;
const READY_MOST: u64 = 2 * 1024 * 1024;
/// Most bytes mapped at once.
const MAP_MOST: u64 = 32 * 1024 * 1024;
/// Positions are rounded to this; a multiple of every page size in use.
const GRAIN: u64 = 64 * 1024;

/// The map of one file, made when it pays.
#[derive(Debug, Default)]
pub(super) struct MappedWrites {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    allowed: bool,
    /// The file has blocks of its own for all bytes below.
    reserved: u64,
    /// Small writes since the last sync.
    run: u32,
    map: Option<Mapped>,
}

#[derive(Debug)]
struct Mapped {
    /// From `start` on.
    raw: MmapRaw,
    start: u64,
    end: u64,
    /// The system has given these pages to be written to, at some time.
    ready: Range<u64>,
    /// Those of them that it was asked for last, and when: no other may be stored into. One that was asked for longer ago
    /// may have been written back since, and the file system may have died.
    trusted: Range<u64>,
    asked: Tick,
}

impl MappedWrites {
    /// From here on small writes may be stored, where the rest allows it.
    pub(super) fn allow(&self) {
        self.state.lock().allowed = true;
    }

    /// Blocks are reserved below `len`.
    pub(super) fn reserved(&self, len: u64) {
        let mut state = self.state.lock();
        state.reserved = state.reserved.max(len);
    }

    /// The file is about to be cut: nothing after its end is ever stored into.
    pub(super) fn forget(&self) {
        let mut state = self.state.lock();
        state.reserved = 0;
        drop_outside(state);
    }

    /// A sync begins. Its pages will be write-protected, and those made ready for nothing written out.
    pub(super) fn sync_begins(&self) {
        drop_outside(self.state.lock());
    }

    /// Stores `bytes` at `position` of `file`, or returns false: then they are to be written.
    #[inline]
    pub(super) fn store(&self, file: &File, bytes: &[u8], position: u64) -> bool {
        if bytes.len() > SMALL {
            return false;
        }
        let mut state = self.state.lock();
        let end = position + bytes.len() as u64;
        if !state.is_ready(position, end) && !state.make_ready(file, position, end) {
            return false;
        }
        state.map.as_ref().is_some_and(|map| map.copy(bytes, position))
    }
}

/// Takes the map away and unmaps it when nobody waits for the lock any more: that can take a while.
fn drop_outside(mut state: MutexGuard<'_, State>) {
    state.run = 0;
    let map = state.map.take();
    drop(state);
    drop(map);
}

impl State {
    #[inline]
    fn is_ready(&self, position: u64, end: u64) -> bool {
        self.map
            .as_ref()
            .is_some_and(|map| map.trusted.start <= position && end <= map.trusted.end && map.asked == tick())
    }

    /// False when the bytes are to be written instead.
    #[cold]
    fn make_ready(&mut self, file: &File, position: u64, end: u64) -> bool {
        if !self.allowed || end > self.reserved {
            return false;
        }
        if !self.map.as_ref().is_some_and(|map| map.start <= position && end <= map.end) {
            self.run += 1;
            if self.run <= RUN && self.map.is_none() {
                return false;
            }
            self.map = None;
            match Mapped::new(file, position, self.reserved) {
                Ok(Some(map)) => self.map = Some(map),
                // Neither is a failure of this write: a call of the system does as well, and tells if that fails too.
                Ok(None) | Err(_) => {
                    self.allowed = false;
                    return false;
                }
            }
        }
        let ready = self.map.as_mut().is_some_and(|map| map.ask(position, end).is_ok());
        if !ready {
            self.map = None;
            self.run = 0;
        }
        ready
    }
}

impl Mapped {
    /// Maps `file` from about `position` up to `reserved`; `None` where reserved blocks are not kept.
    fn new(file: &File, position: u64, reserved: u64) -> io::Result<Option<Self>> {
        if !keeps_reserved_blocks(file)? {
            return Ok(None);
        }
        let start = position / GRAIN * GRAIN;
        let end = reserved.min(start + MAP_MOST);
        let Ok(len) = usize::try_from(end - start) else { return Ok(None) };
        let raw = MmapOptions::new().offset(start).len(len).map_raw(file)?;
        let ready = position / GRAIN * GRAIN..position / GRAIN * GRAIN;
        Ok(Some(Self { raw, start, end, ready, trusted: 0..0, asked: Tick::default() }))
    }

    /// Asks for the pages of `position..end` and some after them: of those that were asked for before, what is likely to
    /// be stored into before the next tick; more when they are new.
    fn ask(&mut self, position: u64, end: u64) -> io::Result<()> {
        let now = tick();
        let from = position.min(self.ready.end);
        let mut until = (end + READY_LEAST).min(self.ready.end);
        if end > self.ready.end {
            // As much ahead as was used so far, so that what is written out for nothing stays in proportion.
            let ahead = (self.ready.end - self.ready.start).clamp(READY_LEAST, READY_MOST);
            until = ((end + ahead) / GRAIN * GRAIN).clamp(end, self.end);
        }
        let offset = usize::try_from(from - self.start).map_err(io::Error::other)?;
        let len = usize::try_from(until - from).map_err(io::Error::other)?;
        self.raw.advise_range(Advice::PopulateWrite, offset, len)?;
        self.ready.end = self.ready.end.max(until);
        self.trusted = from..until;
        self.asked = now;
        Ok(())
    }

    /// Copies into pages that are ready.
    #[inline]
    fn copy(&self, bytes: &[u8], position: u64) -> bool {
        let Some(at) = position.checked_sub(self.start).and_then(|at| usize::try_from(at).ok()) else {
            return false;
        };
        if at.checked_add(bytes.len()).is_none_or(|end| end > self.raw.len()) {
            return false;
        }
        // SAFETY: `at..at + bytes.len()` lies within the map, which lives as long as `self`; its pages are there and
        // writable (see the head of this file). The file is not cut below the map's end while the map exists: `forget`
        // comes first. No reference to these bytes exists: readers see other maps, and only what was published to them,
        // which is never stored into again; this thread holds the lock, so that nobody else stores.
        #[expect(unsafe_code, reason = "storing into a file's map")]
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.raw.as_mut_ptr().add(at), bytes.len());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::allocate::{Allocated, allocate};
    use std::os::unix::fs::FileExt;

    fn file(len: u64) -> (File, MappedWrites) {
        let file = tempfile::tempfile_in(".").unwrap();
        let map = MappedWrites::default();
        map.allow();
        if allocate(&file, len).unwrap() == Allocated::Reserved {
            map.reserved(len);
        }
        (file, map)
    }

    fn append(file: &File, map: &MappedWrites, bytes: &[u8], position: u64) -> bool {
        let stored = map.store(file, bytes, position);
        if !stored {
            file.write_all_at(bytes, position).unwrap();
        }
        stored
    }

    #[test]
    fn stores_and_writes_make_one_file() {
        let (file, map) = file(4 << 20);
        let mut expected = Vec::new();
        let mut stored = 0;
        for number in 0..20_000_u32 {
            let record = vec![number.to_le_bytes()[0]; 1 + (number as usize * 7) % 300];
            stored += u32::from(append(&file, &map, &record, expected.len() as u64));
            expected.extend_from_slice(&record);
            if number % 5_000 == 4_999 {
                map.sync_begins();
                file.sync_data().unwrap();
            }
        }
        let mut found = vec![0; expected.len()];
        file.read_exact_at(&mut found, 0).unwrap();
        assert!(found == expected, "the file is what was stored and written");
        if keeps_reserved_blocks(&file).unwrap() {
            assert!(stored > 19_000, "{stored} of 20,000 were stored");
        }
    }

    #[test]
    fn nothing_is_stored_where_no_block_is_reserved() {
        let (file, map) = file(128 << 10);
        let mut position = 0;
        while position < 256 << 10 {
            let stored = append(&file, &map, &[7; 512], position);
            position += 512;
            assert!(!stored || position <= 128 << 10);
        }
        assert_eq!(file.metadata().unwrap().len(), 256 << 10);
    }

    #[test]
    fn a_file_that_is_cut_is_not_stored_into_behind_its_end() {
        let (file, map) = file(1 << 20);
        for number in 0..1_000_u64 {
            append(&file, &map, &[1; 100], number * 100);
        }
        map.forget();
        // Here, as what follows cannot tell where the system refuses the pages.
        let state = map.state.lock();
        assert!(state.map.is_none() && state.reserved == 0, "{state:?}");
        drop(state);
        file.set_len(10_000).unwrap();
        for number in 100..200_u64 {
            assert!(!append(&file, &map, &[2; 100], number * 100), "its blocks are gone");
        }
    }

    #[test]
    fn who_syncs_often_gets_no_map() {
        let (file, map) = file(1 << 20);
        for number in 0..1_000_u64 {
            assert!(!append(&file, &map, &[1; 100], number * 100));
            if number % 8 == 7 {
                map.sync_begins();
            }
        }
    }
}
