//! What the command prints: lines, tables, objects, bytes.

mod bytes;
mod count;
mod object;
mod screen;
mod table;

pub(crate) use bytes::{Bytes, Escaped, Tame, hex, unhex};
pub(crate) use count::count;
pub(crate) use object::{List, Object};
pub(crate) use screen::{Screen, complain_as_object, is_dumb};
pub(crate) use table::Table;
