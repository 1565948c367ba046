//! The one error type: what happened, where, and what can be done.

#[expect(clippy::module_inception, reason = "the module and its central type share the field's word")]
mod error;
mod kinds;
mod making;
mod words;

pub use error::{Error, Result};
pub(crate) use kinds::is_out_of_descriptors;
