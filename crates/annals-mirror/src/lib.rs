//! Mirrors topics of an [`annals`] store to a Kafka cluster, and from one, exactly once. `docs/mirror.md` is the contract.
//!
//! ```no_run
//! use annals::Store;
//! use annals_mirror::{Mirror, Settings};
//! use std::sync::atomic::AtomicBool;
//!
//! let store = Store::open("shop-log")?;
//! let settings = Settings::new("127.0.0.1:9092").topic("orders").once();
//! let mirror = Mirror::out(settings, &store)?;
//! let figures = mirror.run(&AtomicBool::new(false))?;
//! println!("{} records", figures.records());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod alike;
mod cluster;
mod error;
mod figures;
mod groups;
mod inbound;
mod mirror;
mod offset_map;
mod outbound;
mod remote;
mod settings;
mod source;
mod standing;

pub use error::{Error, Result};
pub use figures::{Figures, TopicFigures};
pub use mirror::Mirror;
pub use offset_map::{OffsetMap, Run, Translated};
pub use remote::{Remote, RemoteConsumer, RemoteProducer};
pub use settings::Settings;
pub use source::Source;
