//! A web service over a log. `POST /orders` appends the body and answers when it survives a power cut. `GET /orders` follows all orders
//! as server-sent events; who comes back with `Last-Event-ID` goes on behind that one, and misses nothing.
//!
//! ```sh
//! cargo run --release --manifest-path examples/sse/Cargo.toml             # tries it: CLIENTS clients (400), 100 orders
//! ulimit -n 4096 ; CLIENTS=1000 cargo run --release --manifest-path examples/sse/Cargo.toml
//! cargo run --release --manifest-path examples/sse/Cargo.toml -- 127.0.0.1:8080 ./shop-log
//! curl -d '2 apples' 127.0.0.1:8080/orders ; curl -N 127.0.0.1:8080/orders
//! ```
//!
//! Each client has a reader of its own, and none a thread: a reader at the end costs what a future costs. annals calls the wakers of all of
//! them on one thread, and syncs for all orders on another, many with one sync.

use std::convert::Infallible;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use annals::{Durability, Partition, PartitionReader, Record, Store, TopicConfig};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use futures_util::{Stream, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// What handlers are given.
struct Shop {
    orders: Partition,
}

fn main() -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut arguments = std::env::args().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(address), Some(path)) => {
            // Opening waits for a disk: before the runtime has anything to do.
            let store = open(Path::new(&path))?;
            runtime.block_on(async { serve(TcpListener::bind(address).await?, &store).await })
        }
        _ => {
            let temporary = tempfile::tempdir()?;
            let store = open(temporary.path())?;
            runtime.block_on(try_it(&store))?;
            Ok(store.close()?)
        }
    }
}

fn open(path: &Path) -> annals::Result<Store> {
    let store = Store::open(path)?;
    store.ensure_topic("orders", TopicConfig::new())?;
    Ok(store)
}

async fn serve(listener: TcpListener, store: &Store) -> Outcome {
    let shop = Arc::new(Shop { orders: store.topic("orders")?.partition(0)? });
    let router = Router::new().route("/orders", get(follow).post(order)).with_state(shop);
    Ok(axum::serve(listener, router).await?)
}

/// Sending is short; the wait for the disk is a future.
async fn order(State(shop): State<Arc<Shop>>, body: Bytes) -> Result<String, (StatusCode, String)> {
    let failed = |error: annals::Error| {
        let status = if error.is_retriable() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        (status, error.to_string())
    };
    let sent = shop.orders.append(&[Record::new().value(&body)], Durability::Os).map_err(failed)?;
    shop.orders.durable_through(sent.last_offset).await.map_err(failed)?;
    Ok(format!("{}\n", sent.last_offset))
}

async fn follow(
    State(shop): State<Arc<Shop>>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, (StatusCode, String)> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse::<i64>().ok());
    // What is gone by now is passed over: the first that is left is the next.
    let from = last.map_or(0, |last| last.saturating_add(1)).clamp(shop.orders.start(), shop.orders.end());
    let reader =
        shop.orders.read_from(from).map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    Ok(Sse::new(events(reader)).keep_alive(KeepAlive::default()))
}

/// Every record as an event, as it comes. A client that leaves drops this, and with it the reader.
fn events(reader: PartitionReader) -> impl Stream<Item = Result<Event, Infallible>> {
    let waiting: Vec<Event> = Vec::new();
    stream::unfold((reader, waiting), async |(mut reader, mut waiting)| {
        loop {
            if let Some(event) = waiting.pop() {
                return Some((Ok(event), (reader, waiting)));
            }
            // The store was closed, or the topic deleted: the stream ends, and the client comes back with its last id.
            let records = reader.next().await.ok()??;
            let event = |record: annals::RecordRef<'_>| {
                let text = String::from_utf8_lossy(record.value().unwrap_or_default()).replace('\r', "\n");
                Event::default().id(record.offset().to_string()).data(text)
            };
            waiting.extend(records.iter().map(event));
            waiting.reverse();
        }
    })
}

/// Many clients, some of which come back, and orders: everybody sees all of them, once, in order.
async fn try_it(store: &Store) -> Outcome {
    const ORDERS: i64 = 100;
    // Two descriptors each, as both ends are in this process.
    let clients = std::env::var("CLIENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(400);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let another = store.clone();
    let server = tokio::spawn(async move { serve(listener, &another).await });
    let followers: Vec<_> = (0..clients)
        .map(|number| {
            tokio::spawn(async move {
                // Every other one leaves in the middle.
                let first = if number % 2 == 0 { ORDERS } else { ORDERS / 2 };
                let mut seen = ids(address, None, first).await?;
                if first < ORDERS {
                    seen.extend(ids(address, seen.last().copied(), ORDERS - first).await?);
                }
                Outcome::Ok(seen)
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let sends: Vec<_> = (0..ORDERS).map(|number| tokio::spawn(send(address, number))).collect();
    for send in sends {
        send.await??;
    }
    for client in followers {
        let seen = client.await??;
        assert_eq!(seen, (0..ORDERS).collect::<Vec<_>>());
    }
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    println!(
        "{clients} clients saw {ORDERS} orders, each once and in order; {threads} threads in this process"
    );
    server.abort();
    Ok(())
}

async fn send(address: std::net::SocketAddr, number: i64) -> Outcome {
    let mut stream = TcpStream::connect(address).await?;
    let body = format!("{number} apples");
    let request = format!(
        "POST /orders HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(answer.into()) }
}

/// The ids of the next `count` events behind `last`.
async fn ids(address: std::net::SocketAddr, last: Option<i64>, count: i64) -> Outcome<Vec<i64>> {
    let mut stream = TcpStream::connect(address).await?;
    let last = last.map(|last| format!("Last-Event-ID: {last}\r\n")).unwrap_or_default();
    stream.write_all(format!("GET /orders HTTP/1.1\r\nHost: shop\r\n{last}\r\n").as_bytes()).await?;
    let mut text = String::new();
    let mut bytes = [0; 4096];
    loop {
        let found: Vec<i64> =
            text.lines().filter_map(|line| line.strip_prefix("id: ")?.trim().parse().ok()).collect();
        // The last line may not be whole: an event is when the next line is there.
        let whole =
            found.len().saturating_sub(usize::from(!text.ends_with("\n\n") && !text.ends_with("\r\n")));
        if i64::try_from(whole)? >= count {
            return Ok(found.into_iter().take(usize::try_from(count)?).collect());
        }
        let read = stream.read(&mut bytes).await?;
        if read == 0 {
            return Err("the stream has ended".into());
        }
        text.push_str(&String::from_utf8_lossy(bytes.get(..read).unwrap_or_default()));
    }
}
