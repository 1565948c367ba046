//! Room for the records of a transaction.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::log::RoomWait;
use crate::topic::Partition;
use crate::transaction::pieces::{Pieces, Place, place_of};

/// The waits of one commit for room: one for each partition, however often it tries.
#[derive(Default)]
pub(super) struct RoomWaits<'a>(BTreeMap<Place, Option<RoomWait<'a>>>);

impl<'a> RoomWaits<'a> {
    /// Returns when there is room for so many bytes, as far as others are to make it.
    pub(super) fn wait(&mut self, partition: &'a Partition, bytes: u64) -> Result<()> {
        let wait = self.0.entry(place_of(partition)).or_default();
        partition.log().wait_for_room(bytes, wait)
    }

    /// The same in the partition that `full` says is full; `full` itself where nobody waits for that.
    pub(super) fn wait_where_full(&mut self, pieces: &'a Pieces, full: Error) -> Result<()> {
        let Error::Full { partition, .. } = &full else { return Err(full) };
        let mut pieces = pieces.by_place.values();
        match pieces.find(|piece| piece.partition.topic_partition() == partition) {
            Some(piece) if piece.partition.log().blocks_when_full() => {
                self.wait(&piece.partition, piece.bytes())
            }
            _ => Err(full),
        }
    }
}
