//! Kafka's bytes: every layout that is written to or read from a file, as pure functions of slices and values.

mod aborted;
mod attributes;
mod backup_list;
mod batch_builder;
mod batch_header;
mod batch_rewrite;
mod batch_terms;
mod bytes;
mod catalog;
mod codec;
mod compression;
mod delivery;
mod end_marker;
mod first_key;
mod index_entry;
mod index_file;
mod json;
mod key_index;
mod lines;
mod malformed;
mod marks;
mod message_id;
mod murmur2;
mod name;
mod offset_commit;
mod producer_snapshot;
mod record;
mod record_at;
mod record_iter;
mod record_span;
mod share_state;
mod short_varint;
mod sip_hash;
mod spool;
mod state;
mod steps;
#[cfg(test)]
pub(crate) mod tests;
mod transaction_state;
mod varint;

pub(crate) use aborted::{AbortedTransaction, decode_aborted, encode_aborted};
pub(crate) use attributes::Attributes;
pub use attributes::TimestampType;
pub(crate) use backup_list::{BackedUpPartition, BackedUpSegment, BackupList};
pub(crate) use batch_builder::{BatchBuilder, NewRecord, ProducerStamp, Seal, SealedBatch};
pub(crate) use batch_header::{BatchHeader, sequence_after};
pub(crate) use batch_rewrite::{BatchRewriter, Outcome, RecordFate, RewriteRules};
pub(crate) use batch_terms::BatchTerms;
pub(crate) use catalog::{Catalog, CatalogTopic, MOST_PARTITIONS};
pub use codec::Codec;
pub(crate) use compression::{Compression, Compressor, Decompressor};
pub(crate) use delivery::{DELIVER_AT_HEADER, DELIVER_TO_HEADER, Delivery};
pub(crate) use end_marker::{ControlRecord, EndMarker, Ending};
pub(crate) use first_key::first_key;
pub(crate) use index_entry::{OffsetIndexEntry, TimeIndexEntry};
pub(crate) use index_file::{decode_offset_index, decode_time_index, encode_offset_index, encode_time_index};
pub(crate) use json::{RecordLine, put_bytes, put_text};
pub(crate) use key_index::{
    KeyEntry, KeyIndexEncoder, KeyIndexHeader, KeyPages, KeyStamp, PAGE_BYTES, TAG_HEADER, TYPE_HEADER,
    TermHash, TermKind, encode_key_index, for_each_term,
};
pub(crate) use malformed::Malformed;
pub(crate) use marks::{HeadChange, SyncMarks};
pub(crate) use message_id::{IdKey, IdMark, IdRing, SentId};
pub(crate) use murmur2::partition_for_key;
pub(crate) use name::{
    SegmentFile, check_topic_name, cleaned_log_name, collision_key, parse_cleaned_log_name,
    parse_partition_dir_name, parse_segment_file_name, parse_snapshot_file_name, partition_dir_name,
    segment_file_name, snapshot_file_name,
};
pub(crate) use offset_commit::{CommitKey, OffsetCommitValue};
pub(crate) use producer_snapshot::{ProducerEntry, decode_producer_snapshot, encode_producer_snapshot};
pub(crate) use record::{RawRecord, RecordBody};
pub(crate) use record_at::record_at;
pub(crate) use record_iter::{Place as RecordPlace, RecordIter};
pub(crate) use record_span::RecordSpan;
pub(crate) use share_state::{DeliveryState, ShareKey, ShareKind, ShareSnapshot, ShareUpdate, StateBatch};
pub(crate) use sip_hash::sip_hash_128;
pub(crate) use spool::{FrameMark, SpoolContent, SpoolHead, SpooledRecord, decode_frames, encode_spooled};
pub(crate) use state::{Identity, Mark, PartitionState, SegmentSummary};
pub(crate) use steps::{OwedLetter, Step, StepsHead, StepsId, decode_steps, encode_step};
pub(crate) use transaction_state::{
    CLIENT_VERSION, DecisionEnd, ENDS_HEADER, TopicPartitions, TransactionState, TransactionStatus,
    decode_ends, decode_transaction_key, encode_ends, encode_transaction_key,
};
