//! The list of a backup, `annals.backup`: a text that people can read. It is written last, so a directory with one is whole.
//!
//! ```text
//! annals.backup 1
//! store 00112233445566778899aabbccddeeff
//! id 0123456789abcdef0123456789abcdef
//! time 1732862067123
//! partition orders 0 0123456789abcdef0123456789abcdef 100 5000
//! segment 100 4000 1048576 89abcdef linked
//! crc32 89abcdef
//! ```

use std::fmt::Write;
use std::str::FromStr;

use super::lines::LineFile;
use super::{Malformed, check_topic_name};
use crate::types::{Offset, Timestamp};

const FILE: LineFile = LineFile {
    first: "annals.backup ",
    version: 1,
    what: "backup list version",
    is_none: "not the list of a backup",
};

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BackupList {
    /// Of the store that it is a backup of.
    pub(crate) store: u128,
    /// Random, made with the backup.
    pub(crate) id: u128,
    /// The backup from which files were taken that had not changed since.
    pub(crate) parent: Option<u128>,
    /// When the cut was made.
    pub(crate) time: Timestamp,
    pub(crate) partitions: Vec<BackedUpPartition>,
}

/// One partition in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BackedUpPartition {
    pub(crate) topic: String,
    pub(crate) number: u32,
    pub(crate) topic_id: u128,
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    /// Oldest first.
    pub(crate) segments: Vec<BackedUpSegment>,
}

/// One segment in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BackedUpSegment {
    pub(crate) base: Offset,
    pub(crate) next_offset: Offset,
    pub(crate) bytes: u64,
    /// CRC-32 over the headers of its batches, which hold the checksums of what is in them.
    pub(crate) headers_crc: u32,
    /// A word that says how it came: for people.
    pub(crate) how: String,
}

impl BackupList {
    /// The whole file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut text = FILE.begin();
        // Writing to a string cannot fail.
        let mut line = |arguments: std::fmt::Arguments<'_>| text.write_fmt(arguments).unwrap_or_default();
        line(format_args!("store {:032x}\nid {:032x}\n", self.store, self.id));
        if let Some(parent) = self.parent {
            line(format_args!("parent {parent:032x}\n"));
        }
        line(format_args!("time {}\n", self.time));
        for partition in &self.partitions {
            let BackedUpPartition { topic, number, topic_id, start, end, segments } = partition;
            line(format_args!("partition {topic} {number} {topic_id:032x} {start} {end}\n"));
            for BackedUpSegment { base, next_offset, bytes, headers_crc, how } in segments {
                line(format_args!("segment {base} {next_offset} {bytes} {headers_crc:08x} {how}\n"));
            }
        }
        LineFile::end(text)
    }

    /// Reads the whole file.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut list = Self { store: 0, id: 0, parent: None, time: 0, partitions: Vec::new() };
        FILE.read(bytes, &mut |line| list.read_line(line))?;
        Ok(list)
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        let (kind, rest) = line.split_once(' ')?;
        let mut words = rest.split(' ');
        match kind {
            "store" => self.store = hexadecimal(words.next())?,
            "id" => self.id = hexadecimal(words.next())?,
            "parent" => self.parent = Some(hexadecimal(words.next())?),
            "time" => self.time = decimal(words.next())?,
            "partition" => self.partitions.push(BackedUpPartition {
                // Names become paths: one with a slash would lead out of the directory.
                topic: words.next().filter(|name| check_topic_name(name).is_ok())?.to_owned(),
                number: decimal(words.next())?,
                topic_id: hexadecimal(words.next())?,
                start: decimal(words.next())?,
                end: decimal(words.next())?,
                segments: Vec::new(),
            }),
            "segment" => {
                let segment = BackedUpSegment {
                    base: decimal(words.next()).filter(|base| *base >= 0)?,
                    next_offset: decimal(words.next())?,
                    bytes: decimal(words.next())?,
                    headers_crc: u32::from_str_radix(words.next()?, 16).ok()?,
                    how: words.next()?.to_owned(),
                };
                self.partitions.last_mut()?.segments.push(segment);
            }
            _ => return None,
        }
        words.next().is_none().then_some(())
    }
}

fn decimal<T: FromStr>(word: Option<&str>) -> Option<T> {
    word?.parse().ok()
}

fn hexadecimal(word: Option<&str>) -> Option<u128> {
    u128::from_str_radix(word?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> BackupList {
        let segment = BackedUpSegment {
            base: 100,
            next_offset: 4000,
            bytes: 1 << 20,
            headers_crc: 0x89ab_cdef,
            how: "linked".to_owned(),
        };
        let partition = BackedUpPartition {
            topic: "orders".to_owned(),
            number: 3,
            topic_id: 7,
            start: 100,
            end: 5000,
            segments: vec![segment],
        };
        BackupList {
            store: 0xabc,
            id: 5,
            parent: Some(4),
            time: 1_732_862_067_123,
            partitions: vec![partition],
        }
    }

    #[test]
    fn comes_back_as_it_was() {
        for parent in [None, Some(u128::MAX)] {
            let list = BackupList { parent, ..list() };
            assert_eq!(BackupList::decode(&list.encode()), Ok(list));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let good = list().encode();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(BackupList::decode(&bytes).is_err(), "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(BackupList::decode(&good[..len]).is_err(), "{len} bytes");
        }
    }

    #[test]
    fn lines_that_lead_out_of_the_directory_or_mean_nothing_are_refused() {
        let file = |line: &str| {
            let text = format!("annals.backup 1\nstore 1\nid 2\ntime 3\n{line}\n");
            format!("{text}crc32 {:08x}\n", crc32fast::hash(text.as_bytes())).into_bytes()
        };
        assert!(BackupList::decode(&file("partition orders 0 7 0 9")).is_ok());
        for line in [
            "partition ../orders 0 7 0 9",
            "partition orders 0 7 0",
            "partition orders 0 7 0 9 9",
            "segment 0 9 100 1 linked",
            "partition orders 0 7 0 9\nsegment -1 9 100 1 linked",
            "nonsense",
            "",
        ] {
            assert!(BackupList::decode(&file(line)).is_err(), "{line}");
        }
    }

    #[test]
    fn a_newer_version_is_not_called_damage() {
        let text = String::from_utf8(list().encode()).unwrap().replacen("backup 1", "backup 2", 1);
        let expected = Malformed::Unsupported { what: "backup list version", found: 2, supported: 1 };
        assert_eq!(BackupList::decode(text.as_bytes()), Err(expected));
    }
}
