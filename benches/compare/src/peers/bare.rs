//! The least that each workload can be done with: system calls, a checksum, and no library around them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Mmap, MmapMut};

use crate::harness::Outcome;
use crate::payload::{Found, Values};
use crate::peer::{Class, Kind, Log, Offer, PLAIN, Peer, Setup, Work};
use crate::peers::locked::{Locked, Single};
use crate::scratch::{allocate, file, map, map_mut, zero};
use crate::{framed, kafka};

const BUFFER: usize = 64 << 10;
const BARE: Peer = Peer { kind: Kind::Bare, ..PLAIN };

/// Frames of length, CRC-32C and payload, 64 KiB in a write call.
pub(crate) const BUFFERED: Peer = Peer {
    name: "~buffered, 64 KiB a write",
    offers: &[Offer::alone(Class::Memory, "pwrite of 64 KiB")],
    works: &[Work::W1, Work::W2, Work::W3, Work::W5, Work::W5k, Work::W6],
    reads_as: Some("~frames in a map, CRC checked"),
    open: |dir, _| Ok(Box::new(Buffered::open(dir)?)),
    ..BARE
};

/// Kafka's batches, each full and in one write call.
pub(crate) const KAFKA_64K: Peer = Peer {
    name: "~Kafka batches of 64 KiB",
    offers: &[Offer::alone(Class::Memory, "pwrite of a batch of 64 KiB")],
    works: &[Work::W1, Work::W2, Work::W3, Work::W5, Work::W5k, Work::W8],
    reads_as: Some("~Kafka batches in a map, CRC checked"),
    open: |dir, _| Ok(Box::new(Batches::open(dir, BUFFER)?)),
    ..BARE
};

/// Kafka's batches, one for each call.
pub(crate) const KAFKA_100: Peer = Peer {
    name: "~Kafka batch and pwrite a call",
    offers: &[Offer::alone(Class::Os, "pwrite of a batch")],
    works: &[Work::W1, Work::W2, Work::W3, Work::W8],
    open: |dir, _| Ok(Box::new(Batches::open(dir, 0)?)),
    ..BARE
};

/// Small batches and a sparse index over them.
pub(crate) const KAFKA_4K: Peer = Peer {
    name: "~Kafka sparse index, batches of 4 KiB, CRC checked",
    offers: &[Offer::alone(Class::Memory, "pwrite of a batch of 4 KiB")],
    works: &[Work::W6],
    open: |dir, _| Ok(Box::new(Batches::open(dir, 4 << 10)?)),
    ..BARE
};

/// A frame in a write call.
pub(crate) const PWRITE: Peer = Peer {
    name: "~pwrite a record",
    offers: &[Offer::new(Class::Os, "pwrite of a frame")],
    works: &[Work::W1, Work::W6],
    reads_as: Some("~pread, position known, CRC not checked"),
    open: |dir, _| Ok(Box::new(Frames::open(dir, Before::Growing)?)),
    ..BARE
};

/// Frames stored into a mapped file whose blocks are allocated.
pub(crate) const MMAP: Peer = Peer {
    name: "~store into an allocated, mapped file",
    offers: &[Offer::alone(Class::Os, "a copy into a mapped page")],
    works: &[Work::W1],
    open: |dir, setup| Ok(Box::new(Locked::new(Mapped::open(dir, setup)?))),
    ..BARE
};

/// A frame written over zeros, and a sync.
pub(crate) const OVERWRITE: Peer = Peer {
    name: "~overwrite + fdatasync",
    offers: &[Offer::alone(Class::Disk, "pwrite over written blocks, fdatasync")],
    works: &[Work::W4a],
    open: |dir, setup| Ok(Box::new(Frames::open(dir, Before::Zeros(setup.room()))?)),
    ..BARE
};

/// A frame appended to a growing file, and a sync.
pub(crate) const GROW: Peer = Peer {
    name: "~grow + fdatasync",
    offers: &[Offer::alone(Class::Disk, "pwrite at the end of the file, fdatasync")],
    works: &[Work::W4a],
    open: |dir, _| Ok(Box::new(Frames::open(dir, Before::GrowingSynced)?)),
    ..BARE
};

/// Opening that reads every byte once.
pub(crate) const CRC: Peer = Peer {
    name: "~CRC-32C over all of it",
    offers: &[Offer::alone(Class::Memory, "pwrite of 64 KiB")],
    works: &[Work::W7],
    open: |dir, _| {
        let log = Buffered::open(dir)?;
        std::hint::black_box(log.map.as_ref().map(|map| crc_fast::crc32_iscsi(map)));
        Ok(Box::new(log))
    },
    ..BARE
};

/// Written in one run; `map` is what was there when it was opened, or when it was read.
struct Buffered {
    file: File,
    map: Option<Mmap>,
    frame: usize,
}

impl Buffered {
    fn open(dir: &Path) -> Outcome<Self> {
        let file = file(dir)?;
        let map = if file.metadata()?.len() > 0 { Some(map(&file)?) } else { None };
        Ok(Self { file, map, frame: 0 })
    }
}

impl Log for Buffered {
    fn append(&self, _thread: usize, _value: &[u8]) -> Outcome {
        Err("appends in one run only".into())
    }

    fn append_batch(&self, _thread: usize, _values: &[&[u8]]) -> Outcome {
        Err("appends in one run only".into())
    }

    fn append_run(&mut self, values: &Values) -> Outcome {
        let mut buffer = Vec::with_capacity(BUFFER + 4096);
        let mut position = self.file.metadata()?.len();
        for value in values.each() {
            framed::push(&mut buffer, value);
            if buffer.len() >= BUFFER {
                self.file.write_all_at(&buffer, position)?;
                position += buffer.len() as u64;
                buffer.clear();
            }
        }
        self.frame = values.payloads.get(0).len() + framed::HEADER;
        Ok(self.file.write_all_at(&buffer, position)?)
    }

    fn prepare_read(&mut self) -> Outcome {
        self.map = Some(map(&self.file)?);
        Ok(())
    }

    fn read_all(&mut self) -> Outcome<Found> {
        framed::walk(self.map.as_deref().ok_or("not mapped")?)
    }

    #[inline]
    fn read_at(&mut self, number: usize, found: &mut Found) -> Outcome {
        let map = self.map.as_deref().ok_or("not mapped")?;
        let (header, payload) = map[number * self.frame..][..self.frame]
            .split_first_chunk::<{ framed::HEADER }>()
            .ok_or("short")?;
        if crc_fast::crc32_iscsi(payload).to_le_bytes() != header[4..] {
            return Err("a frame is damaged".into());
        }
        found.add(payload);
        Ok(())
    }
}

/// Batches of up to `full` bytes, or one for each call where that is 0.
struct Batches {
    file: File,
    full: usize,
    map: Option<Mmap>,
    /// Base offset and position of the batches, as Kafka's index has them.
    index: Vec<(i64, usize)>,
}

impl Batches {
    fn open(dir: &Path, full: usize) -> Outcome<Self> {
        Ok(Self { file: file(dir)?, full, map: None, index: Vec::new() })
    }
}

impl Log for Batches {
    fn append(&self, _thread: usize, _value: &[u8]) -> Outcome {
        Err("appends in one run only".into())
    }

    fn append_batch(&self, _thread: usize, _values: &[&[u8]]) -> Outcome {
        Err("appends in one run only".into())
    }

    fn append_run(&mut self, values: &Values) -> Outcome {
        let full = if self.full == 0 { 16 << 20 } else { self.full };
        let mut batches = kafka::Batches::new(&self.file, full);
        if self.full > 0 {
            values.each().try_for_each(|value| batches.push(value))?;
            batches.finish()?;
            return Ok(());
        }
        values.in_batches(|batch| {
            batch.iter().try_for_each(|value| batches.push(value))?;
            batches.finish().map(|_| ())
        })
    }

    fn prepare_read(&mut self) -> Outcome {
        let map = map(&self.file)?;
        let (mut position, mut last) = (0, 0);
        self.index.clear();
        while let Some(batch) = kafka::Batch::first(&map[position..]) {
            if self.index.is_empty() || position - last > 4096 {
                self.index.push((batch.base_offset, position));
                last = position;
            }
            position += batch.len();
        }
        self.map = Some(map);
        Ok(())
    }

    fn read_all(&mut self) -> Outcome<Found> {
        kafka::walk(self.map.as_deref().ok_or("not mapped")?)
    }

    #[inline]
    fn read_at(&mut self, number: usize, found: &mut Found) -> Outcome {
        let bytes = self.map.as_deref().ok_or("not mapped")?;
        let offset = i64::try_from(number)?;
        let behind = self.index.partition_point(|(base, _)| *base <= offset);
        let (_, mut position) = self.index[behind - 1];
        loop {
            let batch = kafka::Batch::first(&bytes[position..]).ok_or("an offset is missing")?;
            if offset >= batch.base_offset + i64::from(batch.count) {
                position += batch.len();
                continue;
            }
            batch.check()?;
            let nth = usize::try_from(offset - batch.base_offset)?;
            found.add(batch.values().nth(nth).ok_or("an offset is missing")?);
            return Ok(());
        }
    }
}

enum Before {
    Growing,
    GrowingSynced,
    Zeros(usize),
}

/// A write call for each frame.
struct Frames {
    file: File,
    end: AtomicU64,
    sync: bool,
}

impl Frames {
    fn open(dir: &Path, before: Before) -> Outcome<Self> {
        let file = file(dir)?;
        if let Before::Zeros(len) = before {
            zero(&file, len)?;
        }
        Ok(Self { file, end: AtomicU64::new(0), sync: !matches!(before, Before::Growing) })
    }
}

impl Log for Frames {
    #[inline]
    fn append(&self, _thread: usize, value: &[u8]) -> Outcome {
        let mut frame = Vec::with_capacity(value.len() + framed::HEADER);
        framed::push(&mut frame, value);
        let position = self.end.fetch_add(frame.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(&frame, position)?;
        if self.sync {
            self.file.sync_data()?;
        }
        Ok(())
    }

    fn append_batch(&self, thread: usize, values: &[&[u8]]) -> Outcome {
        values.iter().try_for_each(|value| self.append(thread, value))
    }

    fn read_all(&mut self) -> Outcome<Found> {
        framed::walk(&map(&self.file)?)
    }

    #[inline]
    fn read_at(&mut self, number: usize, found: &mut Found) -> Outcome {
        const FRAME: usize = 100 + framed::HEADER;
        let mut frame = [0; FRAME];
        self.file.read_exact_at(&mut frame, (number * FRAME) as u64)?;
        found.add(&frame[framed::HEADER..]);
        Ok(())
    }
}

struct Mapped {
    map: MmapMut,
    end: usize,
}

impl Mapped {
    fn open(dir: &Path, setup: &Setup) -> Outcome<Self> {
        let file = file(dir)?;
        allocate(&file, setup.room())?;
        Ok(Self { map: map_mut(&file)?, end: 0 })
    }
}

impl Single for Mapped {
    #[inline]
    fn append(&mut self, value: &[u8]) -> Outcome {
        self.end += framed::store(&mut self.map[self.end..], value);
        Ok(())
    }

    fn append_batch(&mut self, values: &[&[u8]]) -> Outcome {
        values.iter().try_for_each(|value| self.append(value))
    }

    fn read_all(&mut self) -> Outcome<Found> {
        framed::walk(&self.map)
    }

    fn read_at(&mut self, _number: usize, _found: &mut Found) -> Outcome {
        Err("reads everything only".into())
    }
}
