//! seglog: one segment file of a fixed size, allocated at the start; a buffer of 16 KiB.
//!
//! `append` leaves a record in the buffer; even what was flushed is rolled back when it is opened, up to the last commit marker.
//! `commit` writes a marker and syncs, which guarantees a power cut. There is nothing between.

use std::path::{Path, PathBuf};

use seglog::read::{ReadHint, Reader};
use seglog::write::Writer;

use crate::harness::Outcome;
use crate::payload::Found;
use crate::peer::{Class, Log, Offer, PLAIN, Peer, Setup};
use crate::peers::locked::{Locked, Single};

pub(crate) const PEER: Peer = Peer {
    name: "seglog",
    package: Some("seglog"),
    offers: &[
        Offer::new(Class::Memory, "append; a mutex around it"),
        Offer::new(Class::Disk, "append and commit; a mutex around it"),
    ],
    note: "one file of a fixed size; a reader by position, which the caller keeps",
    open,
    ..PLAIN
};

struct Segment {
    path: PathBuf,
    writer: Writer<0>,
    reader: Option<Reader<0>>,
    /// Where each record begins: the caller of seglog keeps them.
    positions: Vec<u64>,
    class: Class,
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Log>> {
    let path = dir.join("segment");
    let writer = if path.exists() {
        let size = usize::try_from(path.metadata()?.len())?;
        Writer::open(&path, size, 0)?
    } else {
        Writer::create(&path, setup.room(), 0)?
    };
    let positions = Vec::with_capacity(setup.records);
    Ok(Box::new(Locked::new(Segment { path, writer, reader: None, positions, class: setup.class })))
}

impl Segment {
    fn committed(&mut self) -> Outcome {
        if self.class == Class::Disk {
            self.writer.commit(self.positions.len() as u64)?;
        }
        Ok(())
    }
}

impl Single for Segment {
    #[inline]
    fn append(&mut self, value: &[u8]) -> Outcome {
        self.positions.push(self.writer.append_data(value)?.0);
        self.committed()
    }

    fn append_batch(&mut self, values: &[&[u8]]) -> Outcome {
        for value in values {
            self.positions.push(self.writer.append_data(value)?.0);
        }
        self.committed()
    }

    fn finish(&mut self) -> Outcome {
        Ok(self.writer.flush_writer()?)
    }

    fn prepare_read(&mut self) -> Outcome {
        // A reader sees what was synced.
        self.writer.sync()?;
        self.reader = Some(Reader::open(&self.path, Some(self.writer.flushed_offset()))?);
        Ok(())
    }

    fn read_all(&mut self) -> Outcome<Found> {
        let mut found = Found::default();
        let mut records = self.reader.as_mut().ok_or("no reader")?.iter(0);
        while let Some(record) = records.next_record()? {
            found.add(&record.data);
        }
        Ok(found)
    }

    #[inline]
    fn read_at(&mut self, number: usize, found: &mut Found) -> Outcome {
        let position = self.positions[number];
        let record = self.reader.as_mut().ok_or("no reader")?.read_record(position, ReadHint::Random)?;
        found.add(&record.data);
        Ok(())
    }
}
