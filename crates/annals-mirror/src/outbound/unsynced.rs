//! What is written and not synced, where nobody is left to do that.

use annals::TopicPartition;

use super::Outbound;
use crate::error::{Error, Result};
use crate::mirror::places;
use crate::source::Bounds;

impl Outbound {
    /// Nothing is left that waits for a sync which nobody does.
    pub(super) fn check_synced(&self, name: &str) -> Result<()> {
        if self.source.is_owned() {
            return Ok(());
        }
        let unsynced = |(place, bounds)| not_synced(place, bounds);
        let bounds = self.source.bounds(name)?;
        let places = places(name, u32::try_from(bounds.len()).unwrap_or(u32::MAX));
        places.into_iter().zip(bounds).find_map(unsynced).map_or(Ok(()), Err)
    }
}

/// What of a partition is beyond its last sync, where there will be no other.
fn not_synced(partition: TopicPartition, bounds: Bounds) -> Option<Error> {
    let Bounds { stable, durable, .. } = bounds;
    (durable < stable).then_some(Error::NotSynced { partition, position: durable, end: stable })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_will_sync_is_told_where_it_begins() {
        let told = |durable| {
            let bounds = Bounds { start: 0, stable: 9, durable };
            not_synced(TopicPartition::new("orders", 0), bounds).map(|error| error.to_string())
        };
        assert_eq!([told(9), told(12)], [None, None]);
        let text = told(5).unwrap();
        assert!(text.starts_with("orders-0: what is at offsets 5 to 9 is not mirrored"), "{text}");
    }
}
