//! The manual: the programs in its chapters are run here, the commands by the tests of `crates/annals-cli`.
#![doc = include_str!("../docs/manual/index.md")]

#[doc = include_str!("../docs/manual/first.md")]
pub mod first {}
#[doc = include_str!("../docs/manual/layout.md")]
pub mod layout {}
#[doc = include_str!("../docs/manual/exactly_once.md")]
pub mod exactly_once {}
#[doc = include_str!("../docs/manual/queues.md")]
pub mod queues {}
#[doc = include_str!("../docs/manual/asynchronous.md")]
pub mod asynchronous {}
#[doc = include_str!("../docs/manual/processes.md")]
pub mod processes {}
#[doc = include_str!("../docs/manual/backup.md")]
pub mod backup {}
#[doc = include_str!("../docs/manual/history.md")]
pub mod history {}
#[doc = include_str!("../docs/manual/settings.md")]
pub mod settings {}
#[doc = include_str!("../docs/manual/monitoring.md")]
pub mod monitoring {}
#[doc = include_str!("../docs/manual/kafka.md")]
pub mod kafka {}
#[doc = include_str!("../docs/manual/sizes.md")]
pub mod sizes {}
#[doc = include_str!("../docs/manual/names.md")]
pub mod names {}
