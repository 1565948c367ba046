//! Where the events of a key, a type or a tag stand in one segment: [`growing`] in memory, [`file`](self::file) beside the `.log`, and
//! [`keys`], which knows what of a segment is where. All of it is a hint: a hit says in which batch to look.

mod file;
mod growing;
#[expect(clippy::module_inception, reason = "the folder and its central type share the field's word")]
mod keys;

pub(crate) use file::remove_other as remove_other_keys;
pub(super) use growing::Growing;
pub(super) use keys::Walk;
pub(crate) use keys::{Hit, HitRange, Keys, NewBatch, Newest, Take};
