//! The examples of `annals-port`, each the very file, over a store or over a cluster.
//!
//! ```sh
//! cargo run --example ported -- quickstart /tmp/shop-log        # a directory: no broker
//! cargo run --example ported -- job_queue 127.0.0.1:9092        # a cluster, which has none of its topics yet
//! ```

#[path = "../../annals-port/examples/event_store.rs"]
#[expect(dead_code, reason = "it has a main function of its own")]
mod event_store;
#[path = "../../annals-port/examples/job_queue.rs"]
#[expect(dead_code, reason = "it has a main function of its own")]
mod job_queue;
#[path = "../../annals-port/examples/quickstart.rs"]
#[expect(dead_code, reason = "it has a main function of its own")]
mod quickstart;

use annals_mirror::Remote;
use annals_port::{Backend, Embedded, Result};

type Outcome = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Outcome {
    let mut words = std::env::args().skip(1);
    let (name, place) =
        words.next().zip(words.next()).ok_or("say which, and where: a directory, or HOST:PORT")?;
    if place.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        one(&name, || Ok(Remote::new(&place)))
    } else {
        one(&name, || Embedded::open(&place))
    }
}

fn one<B: Backend + Sync>(name: &str, open: impl Fn() -> Result<B>) -> Outcome
where
    B::Consumer: Send,
{
    match name {
        "quickstart" => quickstart::run(open),
        "job_queue" => job_queue::run(open),
        "event_store" => event_store::run(open),
        other => Err(format!("there is no example {other}").into()),
    }
}

/// All of them, for the tests.
#[cfg_attr(not(test), expect(dead_code, reason = "for the tests"))]
pub(crate) fn all<B: Backend + Sync>(open: impl Fn() -> Result<B>) -> Outcome
where
    B::Consumer: Send,
{
    ["quickstart", "job_queue", "event_store"].into_iter().try_for_each(|name| {
        let began = std::time::Instant::now();
        one(name, &open).map_err(|error| format!("{name}: {error}"))?;
        println!("{name}: {:.1?}", began.elapsed());
        Ok(())
    })
}
