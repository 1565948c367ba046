//! kafko: a topic of one partition, whose task writes for all producers; each call is a message to it and an answer.
//!
//! `send` guarantees a SIGKILL; `send` and `Partition::sync` a power cut. Values are compressed one by one. Calls are driven on
//! the runtime's threads, one task for each thread of the workload.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use kafko::{Compression, Consumer, Kafko, LogConfig, Producer, Record, Topic};
use std::sync::Arc;
use tokio::runtime::Runtime;

use crate::harness::Outcome;
use crate::payload::{Found, Values};
use crate::peer::{Class, Codec, Log, Offer, PLAIN, Peer, Setup};

pub(crate) const PEER: Peer = Peer {
    name: "kafko",
    package: Some("kafko"),
    offers: &[
        Offer::new(Class::Os, "send, send_batch"),
        Offer::new(Class::Disk, "send, send_batch and Partition::sync"),
    ],
    codecs: &Codec::ALL,
    note: "compresses value by value; each read of a record reads the rest of its segment",
    open,
    ..PLAIN
};

const TOPIC: &str = "events";

struct Broker {
    /// Before the runtime, so that it can shut down on it.
    broker: Option<Kafko>,
    producer: Producer,
    topic: Arc<Topic>,
    sync: bool,
    /// Where its only partition's segments are.
    log: PathBuf,
    runtime: Runtime,
}

pub(crate) fn runtime() -> Outcome<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

fn open(dir: &Path, setup: &Setup) -> Outcome<Box<dyn Log>> {
    let runtime = runtime()?;
    let compression = match setup.codec {
        Codec::None => Compression::None,
        Codec::Lz4 => Compression::Lz4,
        Codec::Zstd => Compression::Zstd,
    };
    let config = LogConfig { compression, ..LogConfig::default() };
    let (broker, producer, topic) = runtime.block_on(async {
        let broker = Kafko::open_with_config(dir, config).await?;
        if !broker.has_topic(TOPIC).await {
            broker.create_topic(TOPIC).await?;
        }
        let producer = broker.producer_for(TOPIC).await?;
        let topic = broker.topic(TOPIC).await;
        Ok::<_, kafko::KafkoError>((broker, producer, topic))
    })?;
    let topic = topic.ok_or("no topic")?;
    let sync = setup.class == Class::Disk;
    let log = partition_directory(dir)?;
    Ok(Box::new(Broker { broker: Some(broker), producer, topic, sync, log, runtime }))
}

/// The directory below `dir` that holds segments.
fn partition_directory(dir: &Path) -> Outcome<PathBuf> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            return Ok(dir.to_owned());
        }
        if path.is_dir()
            && let Ok(found) = partition_directory(&path)
        {
            return Ok(found);
        }
    }
    Err("no segment".into())
}

impl Broker {
    async fn send(&self, value: &[u8]) -> Outcome {
        self.producer.send(None, Bytes::copy_from_slice(value)).await?;
        self.synced().await
    }

    async fn send_batch(&self, values: &[&[u8]]) -> Outcome {
        let items = values.iter().map(|value| (None, Bytes::copy_from_slice(value))).collect();
        self.producer.send_batch(items).await?;
        self.synced().await
    }

    async fn synced(&self) -> Outcome {
        if self.sync {
            self.topic.partition(0).ok_or("no partition")?.sync().await?;
        }
        Ok(())
    }

    async fn consumer(&self) -> Outcome<Consumer> {
        Ok(self.broker.as_ref().ok_or("not open")?.consumer_for(TOPIC).await?)
    }
}

impl Log for Broker {
    fn append(&self, _thread: usize, value: &[u8]) -> Outcome {
        self.runtime.block_on(self.send(value))
    }

    fn append_batch(&self, _thread: usize, values: &[&[u8]]) -> Outcome {
        self.runtime.block_on(self.send_batch(values))
    }

    fn append_share(&self, _thread: usize, values: &Values) -> Outcome {
        // One entry into the runtime, as a program that is async already has.
        self.runtime.block_on(async {
            if values.batch == 1 {
                for value in values.each() {
                    self.send(value).await?;
                }
                return Ok(());
            }
            for first in values.numbers.clone().step_by(values.batch) {
                let behind = values.numbers.end.min(first + values.batch);
                let batch: Vec<_> = (first..behind).map(|number| values.payloads.get(number)).collect();
                self.send_batch(&batch).await?;
            }
            values.end();
            Ok(())
        })
    }

    fn read_all(&mut self) -> Outcome<Found> {
        self.runtime.block_on(async {
            let mut found = Found::default();
            let end = self.topic.partition(0).ok_or("no partition")?.high_water_mark();
            let mut consumer = self.consumer().await?;
            for _ in 0..end {
                found.add(consumer.next_record().await?.value());
            }
            Ok(found)
        })
    }

    fn read_back(&mut self) -> Outcome<Found> {
        // Its reader reads the rest of the segment for each record: the file itself is quadratically faster.
        let bytes = std::fs::read(self.log.join("00000000000000000000.log"))?;
        let (mut rest, mut found) = (&bytes[..], Found::default());
        while !rest.is_empty() {
            found.add(Record::decode(&mut rest)?.value());
        }
        Ok(found)
    }

    fn read_at(&mut self, number: usize, found: &mut Found) -> Outcome {
        self.read_run(&[number]).map(|one| *found = one)
    }

    fn read_run(&mut self, numbers: &[usize]) -> Outcome<Found> {
        self.runtime.block_on(async {
            let mut found = Found::default();
            let partition = self.topic.partition(0).ok_or("no partition")?;
            for number in numbers {
                let record = partition.read_record_at(*number as u64).await?.ok_or("a record is missing")?;
                found.add(record.value());
            }
            Ok(found)
        })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(broker) = self.broker.take() {
            // Nothing can be done about a failure here, and nothing depends on it.
            let _ = self.runtime.block_on(broker.shutdown());
        }
    }
}
