//! Reading a partition from an offset on.

mod damage;
mod expand;
#[expect(clippy::module_inception, reason = "the folder and its central type share the field's word")]
mod reader;
mod walk;

pub use damage::OnDamage;
pub(crate) use reader::{FetchLimits, Reader, Visibility};
