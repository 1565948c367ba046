//! The settings of a topic: their names and ranges, their text, and the typed values made of it.

mod compaction_settings;
mod kafka_value;
#[expect(clippy::module_inception, reason = "the room and its central type share the word")]
mod settings;
mod suggestion;
mod table;

pub(super) use kafka_value::format_duration;
pub(crate) use settings::Settings;
pub(super) use table::{KEY_INDEX, default_of};
