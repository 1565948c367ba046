//! The store's topic file, `annals.topics`: a text that people can read.
//!
//! ```text
//! annals.topics 1
//! store 00112233445566778899aabbccddeeff
//! topic orders 0123456789abcdef0123456789abcdef 3
//! config orders retention.ms 604800000
//! crc32 89abcdef
//! ```
//!
//! One `topic` line per topic (name, id, partitions), one `config` line per setting that was given, in Kafka's keys and
//! values; one `deleted` line per topic (id) whose files may still be there; the last line holds the CRC-32 of all bytes
//! before it. The file is replaced whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::lines::LineFile;
use super::{Malformed, check_topic_name};

const FILE: LineFile =
    LineFile { first: "annals.topics ", version: 1, what: "topic file version", is_none: "not a topic file" };

/// More partitions of a topic than any process could keep open.
pub(crate) const MOST_PARTITIONS: u32 = 100_000;

/// All topics of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Catalog {
    /// Random, made with the store.
    pub(crate) store: u128,
    pub(crate) topics: BTreeMap<String, CatalogTopic>,
    /// Ids of topics that were deleted and whose files may still be there. The files of any other topic that is not listed
    /// are not to be removed: this may be an earlier list.
    pub(crate) deleted: BTreeSet<u128>,
}

/// One topic of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CatalogTopic {
    /// Random, made with the topic.
    pub(crate) id: u128,
    pub(crate) partitions: u32,
    /// Settings that differ from the defaults: Kafka's keys and values.
    pub(crate) config: BTreeMap<String, String>,
}

impl Catalog {
    /// The whole file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut text = FILE.begin();
        // Writing to a string cannot fail.
        let mut line = |arguments: std::fmt::Arguments<'_>| text.write_fmt(arguments).unwrap_or_default();
        line(format_args!("store {:032x}\n", self.store));
        for (name, topic) in &self.topics {
            line(format_args!("topic {name} {:032x} {}\n", topic.id, topic.partitions));
            for (key, value) in &topic.config {
                line(format_args!("config {name} {key} {value}\n"));
            }
        }
        for id in &self.deleted {
            line(format_args!("deleted {id:032x}\n"));
        }
        LineFile::end(text)
    }

    /// Reads the whole file.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut catalog = Self { store: 0, topics: BTreeMap::new(), deleted: BTreeSet::new() };
        FILE.read(bytes, &mut |line| catalog.read_line(line))?;
        Ok(catalog)
    }

    fn read_line(&mut self, line: &str) -> Option<()> {
        let (kind, rest) = line.split_once(' ')?;
        match kind {
            "store" => self.store = u128::from_str_radix(rest, 16).ok()?,
            "topic" => {
                let mut words = rest.split(' ');
                // Names become paths: one with a slash would lead out of the store.
                let name = words.next().filter(|name| check_topic_name(name).is_ok())?.to_owned();
                let id = u128::from_str_radix(words.next()?, 16).ok()?;
                let partitions = words
                    .next()?
                    .parse()
                    .ok()
                    .filter(|partitions| (1..=MOST_PARTITIONS).contains(partitions))?;
                self.topics.insert(name, CatalogTopic { id, partitions, config: BTreeMap::new() });
            }
            "config" => {
                let mut words = rest.splitn(3, ' ');
                let topic = self.topics.get_mut(words.next()?)?;
                topic.config.insert(words.next()?.to_owned(), words.next()?.to_owned());
            }
            "deleted" => _ = self.deleted.insert(u128::from_str_radix(rest, 16).ok()?),
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog() -> Catalog {
        let config = [("cleanup.policy", "compact,delete"), ("retention.ms", "-1")];
        let config = config.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let topics = [
            ("orders".to_owned(), CatalogTopic { id: 7, partitions: 3, config }),
            (
                "payments.eu".to_owned(),
                CatalogTopic { id: u128::MAX, partitions: 1, config: BTreeMap::new() },
            ),
        ];
        Catalog { store: 0xabc, topics: topics.into(), deleted: [5, u128::MAX].into() }
    }

    #[test]
    fn comes_back_as_it_was() {
        assert_eq!(Catalog::decode(&catalog().encode()), Ok(catalog()));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let good = catalog().encode();
        for bit in 0..good.len() * 8 {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Catalog::decode(&bytes).is_err(), "bit {bit}");
        }
        for len in 0..good.len() {
            assert!(Catalog::decode(&good[..len]).is_err(), "{len} bytes");
        }
    }

    /// The file of one topic line, with a checksum that fits.
    fn file_with(line: &str) -> Vec<u8> {
        let text = format!("annals.topics 1\nstore 1\n{line}\n");
        format!("{text}crc32 {:08x}\n", crc32fast::hash(text.as_bytes())).into_bytes()
    }

    #[test]
    fn names_that_lead_out_of_the_store_are_refused() {
        assert!(Catalog::decode(&file_with("topic orders 7 1")).is_ok());
        for line in ["topic ../orders 7 1", "topic /etc/orders 7 1", "topic  7 1", "topic .. 7 1"] {
            assert!(Catalog::decode(&file_with(line)).is_err(), "{line}");
        }
    }

    #[test]
    fn a_line_that_means_nothing_is_named_with_its_position() {
        let file = file_with("topic orders 7 1\nnonsense here");
        let text = String::from_utf8(file.clone()).unwrap();
        match Catalog::decode(&file) {
            Err(Malformed::Invalid { at, why }) => {
                assert_eq!(Some(at), text.find("nonsense"));
                assert!(why.contains("nonsense here"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_topic_without_partitions_is_refused() {
        assert!(Catalog::decode(&file_with("topic orders 7 0")).is_err());
    }

    #[test]
    fn a_topic_of_more_partitions_than_any_may_have_is_refused() {
        assert!(Catalog::decode(&file_with("topic orders 7 100000")).is_ok());
        assert!(Catalog::decode(&file_with("topic orders 7 100001")).is_err());
        assert!(Catalog::decode(&file_with("topic orders 7 4294967295")).is_err());
    }

    #[test]
    fn a_newer_version_is_not_called_damage() {
        let text = String::from_utf8(catalog().encode()).unwrap().replacen("topics 1", "topics 2", 1);
        let expected = Malformed::Unsupported { what: "topic file version", found: 2, supported: 1 };
        assert_eq!(Catalog::decode(text.as_bytes()), Err(expected));
    }

    #[test]
    fn what_has_no_version_that_ever_was_is_no_topic_file() {
        let text = String::from_utf8(catalog().encode()).unwrap();
        let newest = format!("topics {}", u32::MAX);
        assert!(matches!(
            Catalog::decode(text.replacen("topics 1", &newest, 1).as_bytes()),
            Err(Malformed::Unsupported { found: u32::MAX, .. })
        ));
        for first in ["topics 0", "topics -1", "topics 4294967296", "topics one", "topics", "groups 2"] {
            let text = text.replacen("topics 1", first, 1);
            assert_eq!(
                Catalog::decode(text.as_bytes()),
                Err(Malformed::invalid(0, "not a topic file")),
                "{first}"
            );
        }
    }
}
