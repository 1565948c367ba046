//! The key of the first record of a batch, without decoding the rest: who looks up what this process has written asks no more.

use super::batch_header::BatchHeader;
use super::short_varint::ShortVarints;
use crate::types::Offset;

/// The key of the record of `offset`, where it is the first of the batch at the front of `bytes`, and the batch a plain one: not
/// compressed, of no transaction. `None` does not mean that the record has none. The CRC is not looked at.
#[inline]
pub(crate) fn first_key(bytes: &[u8], offset: Offset) -> Option<&[u8]> {
    let header = BatchHeader::first_chunk(bytes)?;
    if !BatchHeader::is_plain_at(header, offset) {
        return None;
    }
    let mut varints = ShortVarints::at(bytes, BatchHeader::LEN)?;
    varints.take()?;
    // Attributes of records mean nothing.
    varints.skip_byte();
    let (_timestamp_delta, offset_delta) = (varints.take()?, varints.take()?);
    if offset_delta != 0 {
        return None;
    }
    let at = BatchHeader::LEN + varints.taken()?;
    let mut varints = ShortVarints::at(bytes, at)?;
    let len = varints.take().filter(|len| len & 1 == 0)?;
    let at = at + varints.taken()?;
    bytes.get(at..at + usize::try_from(len >> 1).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{
        BatchBuilder, Codec, Compression, Compressor, NewRecord, ProducerStamp, Seal, TimestampType,
    };

    const VALUE: [u8; 300] = [b'x'; 300];

    fn batch(key: Option<&[u8]>, codec: Codec, producer: Option<ProducerStamp>) -> Vec<u8> {
        let mut builder = BatchBuilder::new(1000, 0);
        for timestamp in [5, 900_000] {
            builder.append(&NewRecord { timestamp, key, value: Some(&VALUE), headers: &[] });
        }
        producer.into_iter().for_each(|producer| builder.stamp(producer));
        let seal = Seal {
            compression: Compression::of(codec),
            timestamp_type: TimestampType::CreateTime,
            append_time: 0,
        };
        builder.seal(&seal, &mut Compressor::default()).unwrap().bytes.to_vec()
    }

    #[test]
    fn it_is_the_key_of_the_first_record_and_of_no_other() {
        let long = vec![b'k'; 100_000];
        for key in [&b""[..], b"k", b"order-17", &long[..63], &long[..64], &long[..9000], &long] {
            let mut bytes = batch(Some(key), Codec::None, None);
            assert_eq!(first_key(&bytes, 1000), Some(key), "{} bytes", key.len());
            assert_eq!(first_key(&bytes, 1001), None, "the second record");
            assert_eq!(first_key(&bytes, 999), None);
            // What follows in the file.
            bytes.extend_from_slice(&VALUE);
            assert_eq!(first_key(&bytes, 1000), Some(key));
        }
        assert_eq!(first_key(&batch(None, Codec::None, None), 1000), None, "null is no key");
    }

    #[test]
    fn of_any_but_a_plain_batch_it_says_nothing() {
        let stamp = |is_transactional| ProducerStamp {
            producer_id: 7,
            producer_epoch: 0,
            base_sequence: 0,
            is_transactional,
        };
        assert_eq!(first_key(&batch(Some(b"k"), Codec::Lz4, None), 1000), None);
        assert_eq!(first_key(&batch(Some(b"k"), Codec::None, Some(stamp(true))), 1000), None);
        assert_eq!(first_key(&batch(Some(b"k"), Codec::None, Some(stamp(false))), 1000), Some(&b"k"[..]));
    }

    #[test]
    fn cut_anywhere_it_is_the_key_or_nothing() {
        let bytes = batch(Some(b"order-17"), Codec::None, None);
        for len in 0..bytes.len() {
            assert!(first_key(&bytes[..len], 1000).is_none_or(|key| key == b"order-17"));
        }
    }
}
