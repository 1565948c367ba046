//! The figures of a store, where Prometheus scrapes them.
//!
//! ```sh
//! cargo run --release --manifest-path examples/metrics/Cargo.toml                    # prints one scrape
//! cargo run --release --manifest-path examples/metrics/Cargo.toml -- 127.0.0.1:9184  # serves http://127.0.0.1:9184/metrics
//! cargo run --release --manifest-path examples/metrics/Cargo.toml -- 127.0.0.1:9184 load  # and is at work meanwhile
//! ```
//!
//! The store is a temporary one, or that of the variable `ANNALS_STORE`, so that `annals top` can look at it.
//! Grafana shows them with `docs/grafana/annals.json`.

mod load;

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use annals::{CleanupPolicy, Durability, Record, Store, TopicConfig, WhenFull};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Upper ends of the classes of lengths of time, in seconds: what is handed out has four for each power of two.
const SECONDS: [f64; 12] = [1e-6, 1e-5, 1e-4, 2.5e-4, 1e-3, 2.5e-3, 1e-2, 2.5e-2, 1e-1, 2.5e-1, 1.0, 10.0];

fn main() -> Outcome {
    let dir = tempfile::tempdir()?;
    let handle = PrometheusBuilder::new().set_buckets(&SECONDS)?.install_recorder()?;
    let named = std::env::var_os("ANNALS_STORE");
    let store = open(named.as_ref().map_or(dir.path(), Path::new))?;
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => print!("{}", scrape(&store, &handle)?),
        [address] => serve(&TcpListener::bind(address)?, &store, &handle)?,
        [address, load] if load == "load" => {
            let listener = TcpListener::bind(address)?;
            load::beside(&store, || serve(&listener, &store, &handle))??;
        }
        _ => return Err("arguments: ADDRESS, and load".into()),
    }
    Ok(store.close()?)
}

/// A store in which a little of everything has happened: records at each durability, a group that lags, a compaction, a wait for room.
fn open(path: &Path) -> Outcome<Store> {
    let store = Store::open(path)?;
    store.ensure_topic("orders", TopicConfig::new().partitions(2))?;
    for durability in [Durability::Memory, Durability::Os, Durability::Disk] {
        let producer = store.producer_builder().durability(durability).build()?;
        (0..32).try_for_each(|_| producer.send(Record::to("orders").value("2 apples")).map(drop))?;
        producer.flush()?;
    }
    let mut billing = store.consumer("billing")?;
    billing.subscribe(["orders"])?;
    billing.poll(Duration::from_secs(1))?;
    billing.commit()?;
    store.producer().send(Record::to("orders").value("3 pears"))?;
    let balances = TopicConfig::new().cleanup_policy(CleanupPolicy::Compact);
    let balances = store.ensure_topic("balances", balances)?;
    (0..32)
        .try_for_each(|_| store.producer().send(Record::to("balances").key("alice").value("5")).map(drop))?;
    balances.compact()?;
    let full =
        TopicConfig::new().size_limit(1000, WhenFull::Block).size_limit_max_block(Duration::from_millis(1));
    store.ensure_topic("full", full)?;
    let refused = (0..20).find_map(|_| store.producer().send(Record::to("full").value(&[7; 100])).err());
    assert!(matches!(refused, Some(annals::Error::Full { .. })), "nobody made room");
    Ok(store)
}

/// What Prometheus reads.
fn scrape(store: &Store, handle: &PrometheusHandle) -> Outcome<String> {
    store.report_metrics()?;
    handle.run_upkeep();
    Ok(handle.render())
}

/// One scrape after the other; whatever is asked for, that is the answer.
fn serve(listener: &TcpListener, store: &Store, handle: &PrometheusHandle) -> Outcome {
    println!("http://{}/metrics", listener.local_addr()?);
    for stream in listener.incoming() {
        // Who has gone is no failure of ours.
        if let Err(gone) = answer(&stream?, &scrape(store, handle)?) {
            eprintln!("{gone}");
        }
        // So that something moves in the pictures.
        store.producer().send(Record::to("orders").value("1 plum"))?;
    }
    Ok(())
}

fn answer(stream: &TcpStream, body: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut lines = BufReader::new(stream).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let mut stream = stream;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\n";
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and labels, in order, without the numbers.
    fn shape(scrape: &str) -> Vec<String> {
        let lines = scrape.lines().filter(|line| !line.is_empty());
        let mut shape: Vec<_> = lines
            .map(|line| match line.starts_with('#') {
                true => line.to_owned(),
                false => line.rsplit_once(' ').map_or("", |(series, _)| series).to_owned(),
            })
            .collect();
        shape.sort();
        shape
    }

    /// `ANNALS_BLESS=1` writes what is scraped now.
    #[test]
    fn the_scrape_that_is_kept_has_the_series_of_one_that_is_made_now() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = PrometheusBuilder::new().set_buckets(&SECONDS).unwrap().build_recorder();
        let handle = recorder.handle();
        let store = open(dir.path()).unwrap();
        let now = metrics::with_local_recorder(&recorder, || scrape(&store, &handle).unwrap());
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/grafana/scrape.txt");
        if std::env::var_os("ANNALS_BLESS").is_some() {
            std::fs::write(&kept, &now).unwrap();
        }
        assert_eq!(shape(&std::fs::read_to_string(kept).unwrap()), shape(&now));
    }

    #[test]
    fn a_store_at_work_moves_what_a_store_at_rest_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).unwrap();
        let before = store.stats().unwrap().counters;
        let moves = || {
            let now = store.stats().unwrap().counters;
            let of = |of: fn(&annals::stats::Counters) -> u64| of(&now) > of(&before);
            of(|one| one.syncs)
                && of(|one| one.rolls)
                && of(|one| one.compactions)
                && of(|one| one.removed_records)
                && of(|one| one.waits_for_room)
        };
        let until = std::time::Instant::now() + Duration::from_secs(120);
        let moved = load::beside(&store, || {
            while !moves() && std::time::Instant::now() < until {
                std::thread::sleep(Duration::from_millis(20));
            }
            moves()
        });
        assert!(moved.unwrap(), "{:?}", store.stats().unwrap().counters);
        store.close().unwrap();
    }

    #[test]
    fn what_is_served_is_a_scrape() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| answer(&listener.accept().unwrap().0, "annals_syncs 1\n").unwrap());
            let mut stream = TcpStream::connect(address).unwrap();
            write!(stream, "GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
            let answer = std::io::read_to_string(stream).unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nannals_syncs 1\n")
            );
        });
    }
}
