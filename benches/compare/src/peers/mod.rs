//! One file for each log that is compared.

pub(crate) mod annals;
mod bare;
mod commitlog;
mod fjall;
mod gather;
pub(crate) mod kafko;
mod lmdb;
mod locked;
mod mrecordlog;
mod okaywal;
mod raft_engine;
mod redb;
#[cfg(feature = "rocksdb")]
mod rocksdb;
mod seglog;
mod sqlite;
mod walrus;

use crate::peer::Peer;

/// All of them, in the order in which they take turns.
pub(crate) const ALL: &[&Peer] = &[
    &bare::BUFFERED,
    &bare::KAFKA_64K,
    &bare::KAFKA_100,
    &bare::KAFKA_4K,
    &bare::PWRITE,
    &bare::MMAP,
    &bare::OVERWRITE,
    &bare::GROW,
    &bare::CRC,
    &gather::PEER,
    &annals::PEER,
    &annals::SMALL_BATCHES,
    &annals::SMALLER_BATCHES,
    &commitlog::PEER,
    &okaywal::PEER,
    &raft_engine::PEER,
    &walrus::PEER,
    &walrus::MAPPED,
    &mrecordlog::PEER,
    &kafko::PEER,
    &seglog::PEER,
    &fjall::PEER,
    &redb::PEER,
    #[cfg(feature = "rocksdb")]
    &rocksdb::PEER,
    &sqlite::PEER,
    &lmdb::PEER,
];

pub(crate) use walrus::prepare;

/// The one of that name.
pub(crate) fn named(name: &str) -> crate::harness::Outcome<&'static Peer> {
    ALL.iter().copied().find(|peer| peer.name == name).ok_or_else(|| format!("no peer {name}").into())
}
