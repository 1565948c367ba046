//! Names of topics, partition directories and segment files.

use std::borrow::Cow;

use crate::types::Offset;

const MAX_TOPIC_NAME_LEN: usize = 249;
const OFFSET_DIGITS: usize = 20;

/// Whether Kafka would take `name` for a topic; the error is the reason why not.
pub(crate) fn check_topic_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it is empty");
    }
    if name == "." || name == ".." {
        return Err("`.` and `..` are directories");
    }
    if name.len() > MAX_TOPIC_NAME_LEN {
        return Err("it is longer than 249 characters");
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
        return Err("only ASCII letters, digits, `.`, `_` and `-` are allowed");
    }
    Ok(())
}

/// What two topic names must not share: Kafka's metric names do not tell `.` from `_`.
pub(crate) fn collision_key(name: &str) -> Cow<'_, str> {
    if name.contains('.') { name.replace('.', "_").into() } else { name.into() }
}

/// A file of a segment, by its suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SegmentFile {
    Log,
    Index,
    TimeIndex,
    /// The transactions that were aborted in it; there only if there are any.
    TransactionIndex,
    /// Where the records of a key stand; there only for topics that ask for it.
    KeyIndex,
}

impl SegmentFile {
    pub(crate) const ALL: [Self; 5] =
        [Self::Log, Self::Index, Self::TimeIndex, Self::TransactionIndex, Self::KeyIndex];

    /// The suffix, with its dot.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::Index => ".index",
            Self::TimeIndex => ".timeindex",
            Self::TransactionIndex => ".txnindex",
            Self::KeyIndex => ".keyindex",
        }
    }
}

/// The name of a file of the segment that starts at `base`.
pub(crate) fn segment_file_name(base: Offset, file: SegmentFile) -> String {
    format!("{base:0OFFSET_DIGITS$}{}", file.suffix())
}

const SNAPSHOT: &str = ".snapshot";

/// The name of what was known of a partition's producers when it had come to that offset.
pub(crate) fn snapshot_file_name(offset: Offset) -> String {
    format!("{offset:0OFFSET_DIGITS$}{SNAPSHOT}")
}

/// The offset in what `snapshot_file_name` made; `None` for every other name.
pub(crate) fn parse_snapshot_file_name(name: &str) -> Option<Offset> {
    let digits = name.strip_suffix(SNAPSHOT).filter(|digits| digits.len() == OFFSET_DIGITS)?;
    parse_digits(digits)
}

/// Behind the name of a `.log` that was rewritten and has not taken the old one's place.
const CLEANED: &str = ".cleaned";

/// The name of a `.log` of the segment that starts at `base`, while it is being rewritten.
pub(crate) fn cleaned_log_name(base: Offset) -> String {
    segment_file_name(base, SegmentFile::Log) + CLEANED
}

/// The base of what `cleaned_log_name` made; `None` for every other name.
pub(crate) fn parse_cleaned_log_name(name: &str) -> Option<Offset> {
    let log = parse_segment_file_name(name.strip_suffix(CLEANED)?)?;
    (log.file == SegmentFile::Log).then_some(log.base)
}

/// A segment file's name taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentFileName {
    pub(crate) base: Offset,
    pub(crate) file: SegmentFile,
}

/// Takes apart what `segment_file_name` made; `None` for every other name, so that no two names mean the same file.
pub(crate) fn parse_segment_file_name(name: &str) -> Option<SegmentFileName> {
    let digits = name.get(..OFFSET_DIGITS)?;
    let suffix = name.get(OFFSET_DIGITS..)?;
    let file = SegmentFile::ALL.into_iter().find(|file| file.suffix() == suffix)?;
    Some(SegmentFileName { base: parse_digits(digits)?, file })
}

/// The name of a partition's directory.
pub(crate) fn partition_dir_name(topic: &str, partition: u32) -> String {
    format!("{topic}-{partition}")
}

/// A partition directory's name taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionDirName<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: u32,
}

/// Takes apart what `partition_dir_name` made, at the last `-`; `None` for every other name. The topic is not checked.
pub(crate) fn parse_partition_dir_name(name: &str) -> Option<PartitionDirName<'_>> {
    let (topic, number) = name.rsplit_once('-')?;
    let partition = u32::try_from(i32::try_from(parse_digits(number)?).ok()?).ok()?;
    // `orders-07` would be a second name of `orders-7`.
    let canonical = number == "0" || !number.starts_with('0');
    (!topic.is_empty() && canonical).then_some(PartitionDirName { topic, partition })
}

/// A number of ASCII digits only: `parse` alone would take a sign.
fn parse_digits(digits: &str) -> Option<i64> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names() {
        for name in ["a", "Orders_2.v-1", "__consumer_offsets", "...", "x".repeat(249).as_str()] {
            assert_eq!(check_topic_name(name), Ok(()), "{name}");
        }
        for name in ["", ".", "..", "a b", "a/b", "ä", "a\0", "x".repeat(250).as_str()] {
            assert!(check_topic_name(name).is_err(), "{name}");
        }
        assert_eq!(collision_key("a.b"), collision_key("a_b"));
        assert_ne!(collision_key("a.b"), collision_key("a-b"));
    }

    #[test]
    fn segment_file_names() {
        assert_eq!(segment_file_name(123, SegmentFile::Log), "00000000000000000123.log");
        assert_eq!(segment_file_name(0, SegmentFile::TimeIndex), "00000000000000000000.timeindex");
        for file in SegmentFile::ALL {
            for base in [0, 7, i64::MAX] {
                let parsed = parse_segment_file_name(&segment_file_name(base, file));
                assert_eq!(parsed, Some(SegmentFileName { base, file }));
            }
        }
        for name in [
            "",
            "123.log",
            "00000000000000000123.snapshot",
            "00000000000000000123.log.deleted",
            "+0000000000000000123.log",
            "99999999999999999999.log",
            "000000000000000000123.log",
            "0000000000000000012é.log",
        ] {
            assert_eq!(parse_segment_file_name(name), None, "{name}");
        }
    }

    #[test]
    fn names_of_snapshots() {
        assert_eq!(snapshot_file_name(7), "00000000000000000007.snapshot");
        assert_eq!(parse_snapshot_file_name(&snapshot_file_name(7)), Some(7));
        for name in ["7.snapshot", "00000000000000000007.log", "+0000000000000000007.snapshot", ".snapshot"] {
            assert_eq!(parse_snapshot_file_name(name), None, "{name}");
        }
    }

    #[test]
    fn names_of_rewritten_logs() {
        assert_eq!(cleaned_log_name(7), "00000000000000000007.log.cleaned");
        assert_eq!(parse_cleaned_log_name(&cleaned_log_name(7)), Some(7));
        for name in ["00000000000000000007.log", "00000000000000000007.index.cleaned", ".cleaned"] {
            assert_eq!(parse_cleaned_log_name(name), None, "{name}");
        }
    }

    #[test]
    fn partition_dir_names() {
        assert_eq!(partition_dir_name("a-b", 3), "a-b-3");
        assert_eq!(parse_partition_dir_name("a-b-3"), Some(PartitionDirName { topic: "a-b", partition: 3 }));
        assert_eq!(parse_partition_dir_name("a-0"), Some(PartitionDirName { topic: "a", partition: 0 }));
        for name in ["", "a", "-0", "a-", "a--x", "a-+1", "a-01", "a-00", "a-2147483648", "a-1.deleted"] {
            assert_eq!(parse_partition_dir_name(name), None, "{name}");
        }
    }
}
