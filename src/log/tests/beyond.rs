//! Who asks for what was not given out, while others write.

use super::place::Place;
use super::*;
use crate::error::Error;
use crate::log::AtEnd;

/// As over a roll that waits for the disk, when whoever writes holds both.
#[test]
fn a_reader_beyond_the_end_slept_without_being_told_while_another_thread_wrote() {
    let place = Place::new(ReadMode::Positional);
    let log = place.open();
    append(&log, 0..3, Durability::Os);
    append(&log, 3..5, Durability::Memory);
    let (_writer, _accumulator) = (log.writer.lock(), log.accumulator.lock());
    let fetch = |offset: Offset| {
        let reader = Reader::new(Arc::clone(&log), offset, Visibility::Written, OnDamage::Fail);
        reader.at_end(AtEnd::WaitsForNobody).fetch(FetchLimits { max_records: 7, max_bytes: 1000 })
    };
    for within in [3, 4, 5] {
        assert!(fetch(within).unwrap().is_empty(), "{within}: it comes when the other thread lets go");
    }
    for beyond in [6, 100] {
        let told = fetch(beyond);
        assert!(
            matches!(told, Err(Error::OffsetOutOfRange { requested, .. }) if requested == beyond),
            "{told:?}"
        );
    }
}
