//! Making a partition of the files of another log: [`source`] says which files make it up, [`inspect`] looks through all of
//! them and changes nothing, [`carry`] brings them over, [`ending`] ends what they have left open.

mod carry;
mod ending;
mod inspect;
mod source;

pub(crate) use inspect::{Adoptee, Inspection};
