//! Written by annals, read by kafka-protocol.

use std::sync::Arc;

use annals::io::ManualClock;
use annals::{Store, TimestampType, TopicConfig};
use kafka_protocol::records::{self, Compression, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, RecordSet};

use crate::compat::files::{self, TOPIC};
use crate::compat::foreign::{self, CODECS};
use crate::compat::samples::{self, NOON, Sample};

/// The batches of a closed store that holds `batches`.
fn written(config: TopicConfig, batches: &[Vec<Sample>]) -> Vec<RecordSet> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let partition = store.create_topic(TOPIC, config).unwrap().partition(0).unwrap();
    batches.iter().for_each(|batch| files::append(&partition, batch));
    store.close().unwrap();
    let logs = files::logs(dir.path());
    let sets = logs.iter().flat_map(|(base, log)| {
        let sets = foreign::decoded(log);
        let first = sets.first().and_then(|set| set.records.first());
        assert_eq!(
            first.map(|record| record.offset),
            Some(*base),
            "a segment is named after its first offset"
        );
        sets
    });
    sets.collect()
}

fn assert_same(sets: &[RecordSet], batches: &[Vec<Sample>], what: &str) {
    assert_eq!(sets.len(), batches.len(), "{what}");
    let mut offset = 0;
    for (set, batch) in sets.iter().zip(batches) {
        assert_eq!(set.records.len(), batch.len());
        for (record, sample) in set.records.iter().zip(batch) {
            assert_eq!(
                foreign::sample(record),
                sample.clone().with_headers_as_map(),
                "{what}, offset {offset}"
            );
            let about = (record.offset, record.partition_leader_epoch, record.transactional, record.control);
            assert_eq!(about, (offset, 0, false, false));
            assert_eq!((record.producer_id, record.producer_epoch), (NO_PRODUCER_ID, NO_PRODUCER_EPOCH));
            assert_eq!(record.timestamp_type, records::TimestampType::Creation);
            assert!(!record.delete_horizon);
            offset += 1;
        }
    }
}

#[test]
fn every_codec_and_every_kind_of_record() {
    for (codec, compression) in CODECS {
        for (name, samples) in samples::all() {
            let what = format!("{name} in {codec:?}");
            let batches = [samples];
            let sets = written(files::config().compression_type(codec), &batches);
            assert_same(&sets, &batches, &what);
            if matches!(name, "three hundred" | "combinations") {
                assert_eq!(sets[0].compression, compression, "{what}");
            }
            if name == "one" {
                assert_eq!(sets[0].compression, Compression::None, "what does not shrink is stored as it is");
            }
        }
    }
}

#[test]
fn every_level_of_the_codecs_that_have_levels() {
    let batches = [samples::three_hundred()];
    let levels: [(&str, &str, &[i32]); 3] =
        [("gzip", "gzip", &[-1, 1, 9]), ("lz4", "lz4", &[1, 17]), ("zstd", "zstd", &[-100, 1, 12, 19, 22])];
    for (codec, name, levels) in levels {
        for level in levels {
            let key = format!("compression.{name}.level");
            let config = files::config().set("compression.type", codec).set(key, level.to_string());
            assert_same(&written(config, &batches), &batches, &format!("{codec} at level {level}"));
        }
    }
}

#[test]
fn many_batches_in_many_segments() {
    for (codec, _) in CODECS {
        let batches: Vec<_> = samples::three_hundred().chunks(7).map(<[Sample]>::to_vec).collect();
        let config = files::config().segment_bytes(2000).compression_type(codec);
        assert_same(&written(config, &batches), &batches, &format!("{codec:?}"));
    }
}

#[test]
fn append_time_is_in_the_attributes_and_the_largest_timestamp() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(NOON));
    let store = Store::builder(dir.path()).clock(clock.clone()).open().unwrap();
    let config = files::config().message_timestamp_type(TimestampType::LogAppendTime);
    let partition = store.create_topic(TOPIC, config).unwrap().partition(0).unwrap();
    files::append(&partition, &samples::three_hundred());
    clock.set(NOON + 5);
    files::append(&partition, &samples::three_hundred());
    store.close().unwrap();
    let log = &files::logs(dir.path())[&0];
    let sets = foreign::decoded(log);
    let by_log = |record: &records::Record| record.timestamp_type == records::TimestampType::LogAppend;
    assert!(sets.iter().flat_map(|set| &set.records).all(by_log));
    // This decoder leaves it to its caller to take the largest timestamp of the batch for every record.
    let first_len = 12 + u32::from_be_bytes(log[8..12].try_into().unwrap()) as usize;
    for (at, time) in [(0, NOON), (first_len, NOON + 5)] {
        assert_eq!(log[at + 35..at + 43], time.to_be_bytes());
    }
}
