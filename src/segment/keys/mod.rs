//! Where the events of a key, a type or a tag stand in one segment: [`growing`] in memory, [`file`](self::file) beside the `.log`, and
//! [`keys`], which knows what of a segment is where. All of it is a hint: a hit says in which batch to look.

mod file;
mod growing;
mod hit;
#[expect(clippy::module_inception, reason = "the folder and its central type share the field's word")]
mod keys;
mod making;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use file::remove_other as remove_other_keys;
pub(super) use growing::Growing;
pub(crate) use hit::{Hit, HitRange, NewBatch, Newest, Take};
pub(crate) use keys::Keys;
pub(super) use making::Walk;
