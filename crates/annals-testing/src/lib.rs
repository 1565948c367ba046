//! Disks that fail, disks that lose power, and a clock that is set by hand: what the test of a program that uses
//! [`annals`] needs to see how the program reacts.
//!
//! Everything here implements the public traits of [`annals::io`] and is put under a store with
//! [`StoreBuilder::file_system`](annals::StoreBuilder::file_system) and [`StoreBuilder::clock`](annals::StoreBuilder::clock).
//!
//! | to see what happens when | take |
//! |---|---|
//! | a write, a sync, any call fails, is cut short, or takes long | [`FaultyFileSystem`] |
//! | the process is killed | [`MemoryFileSystem::files`], [`PowerCutFileSystem::restart`] |
//! | the power is cut | [`PowerCutFileSystem::cut_power`] |
//! | a day passes | [`ManualClock`] |
//! | nothing special, but fast and without a directory | [`MemoryFileSystem`] |
//!
//! To see whether a program copes with a full disk:
//!
//! ```
//! use annals::{Record, Store, TopicConfig};
//! use annals_testing::{Call, Fault, FaultyFileSystem, MemoryFileSystem, Times};
//! use std::sync::Arc;
//!
//! let disk = FaultyFileSystem::over(Arc::new(MemoryFileSystem::new()));
//! let store = Store::builder("/store").file_system(disk.clone()).open()?;
//! store.create_topic("orders", TopicConfig::new())?;
//! let producer = store.producer();
//! producer.send(Record::to("orders").value("first"))?;
//!
//! disk.fail(&[Call::Write, Call::Allocate], "orders-0", (0, Times::ForEver), Fault::Error(28)); // ENOSPC
//! let refused = producer.send(Record::to("orders").value("second")).expect_err("the disk is full");
//! assert!(refused.is_disk_full());
//!
//! disk.heal(); // there is room again
//! assert_eq!(producer.send(Record::to("orders").value("third"))?.offset, 1);
//! # Ok::<(), annals::Error>(())
//! ```
//!
//! To see whether what was acknowledged survives a power cut:
//!
//! ```
//! use annals::{Durability, Record, Store, TopicConfig};
//! use annals_testing::PowerCutFileSystem;
//!
//! let machine = PowerCutFileSystem::new();
//! let store = Store::builder("/store").file_system(machine.shared()).open()?;
//! let orders = store.create_topic("orders", TopicConfig::new())?.partition(0)?;
//! orders.append(&[Record::new().value("paid")], Durability::Disk)?;
//! orders.append(&[Record::new().value("hoped for")], Durability::Os)?;
//!
//! for seed in 0..20 {
//!     let after = machine.cut_power(seed); // the machine continues: there can be as many cuts as wanted
//!     let store = Store::builder("/store").file_system(after.shared()).open()?;
//!     let orders = store.topic("orders")?.partition(0)?;
//!     assert!((1..=2).contains(&orders.end()), "what was acknowledged as durable is there");
//! }
//! # Ok::<(), annals::Error>(())
//! ```

mod call;
mod fault;
mod faulty;
mod image;
mod memory;
mod memory_file;
mod order;
pub mod power_cut;
mod random;

pub use annals::io::{Clock, ManualClock};
pub use call::{Call, Done};
pub use fault::{Fault, Gate, PLANTED, Times};
pub use faulty::FaultyFileSystem;
pub use image::{Files, Image};
pub use memory::MemoryFileSystem;
pub use power_cut::PowerCutFileSystem;
pub use random::Random;
