//! A real Kafka judges what annals writes, and annals reads what a real Kafka wrote. `README.md` says how it is run.

mod cluster;
mod golden;
mod java;

use java::Java;

/// What a step of this program answers; nothing here tells one failure from another.
type Answer<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Answer<()> {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let java = match Java::prepare() {
        Ok(java) => java,
        Err(error) => {
            println!("SKIPPED: no Java, no Maven, or no way to fetch Kafka: {error}");
            return Ok(());
        }
    };
    match words.first().map(String::as_str) {
        Some("golden") => golden::make(&java),
        other => Err(format!("what is {other:?}?").into()),
    }
}
