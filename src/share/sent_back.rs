//! What says of a record that it was a dead letter and was sent back: for the queue of one group, in one topic.

use crate::share::letter::topic_id;
use crate::topic::{OwnedRecord, RecordRef};
use crate::types::Record;

/// The last header of such a record: other queues pass over it.
const GROUP_HEADER: &str = "annals.redrive.group";
/// The one before it, the id of the topic in 32 hexadecimal digits: a copy in another topic was not sent back there. Records of before have none.
const TOPIC_HEADER: &str = "annals.redrive.topic.id";

/// The record, which says so.
pub(super) fn say<'a>(record: Record<'a>, (topic_id, group): (&'a str, &'a str)) -> Record<'a> {
    record.header(TOPIC_HEADER, topic_id).header(GROUP_HEADER, group)
}

/// Has a record that may have been sent back before say nothing of it.
pub(super) fn take_out(record: &mut OwnedRecord) {
    if record.headers.pop_if(|header| header.key == GROUP_HEADER).is_some() {
        record.headers.pop_if(|header| header.key == TOPIC_HEADER);
    }
}

/// Whether a record in the topic of that id was not sent back there for the queue of another group.
pub(super) fn is_sent_to(record: &RecordRef<'_>, (topic, group): (u128, &str)) -> bool {
    let (mut before, mut last) = (None, None);
    for header in record.headers() {
        before = last.replace(header);
    }
    let Some(last) = last.filter(|header| header.key == GROUP_HEADER) else { return true };
    let was_here = before
        .filter(|header| header.key == TOPIC_HEADER)
        .is_none_or(|header| topic_id(header.value) == Some(topic));
    !was_here || last.value == Some(group.as_bytes())
}

/// Whether a record was a dead letter that was sent back, here or where it was copied from, and had room to say so.
pub(super) fn was_sent_back(record: &RecordRef<'_>) -> bool {
    record.headers().last().is_some_and(|header| header.key == GROUP_HEADER)
}
