//! One program over a store or over a cluster: which one is an argument.
//!
//! ```sh
//! cargo run --example one_program -- /tmp/shop-log        # a directory: no broker
//! cargo run --example one_program -- 127.0.0.1:9092       # a cluster
//! ```
//!
//! Orders come in, each is invoiced once, in one transaction with the offset of the order.

use std::time::Duration;

use annals::{Record, TopicConfig};
use annals_mirror::Remote;
use annals_port::{Backend, Consume, Embedded, ErrorKind, Produce, Result};

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let place = std::env::args().nth(1).ok_or("say where: a directory, or HOST:PORT of a broker")?;
    let is_cluster = place.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let invoices = if is_cluster { shop(&Remote::new(&place))? } else { shop(&Embedded::open(&place)?)? };
    println!("{invoices} invoices at {place}");
    Ok(())
}

/// Takes in ten orders and writes what they cost. It knows nothing of what stands behind it.
pub(crate) fn shop(kafka: &impl Backend) -> Result<usize> {
    for topic in ["orders", "invoices"] {
        match kafka.create_topic(topic, TopicConfig::new().partitions(3)) {
            Err(error) if error.kind() == ErrorKind::TopicExists => {}
            other => other?,
        }
    }
    let mut producer = kafka.producer()?;
    for number in 0..10 {
        let customer = format!("customer {}", number % 4);
        producer.send(Record::to("orders").key(&customer).value(&format!("{number} apples")))?;
    }
    producer.flush()?;

    let mut orders = kafka.consumer("billing")?;
    orders.subscribe(&["orders"])?;
    let mut invoices = kafka.transactional_producer("billing")?;
    let (mut written, mut idle) = (0, 0);
    while written < 10 && idle < 20 {
        let taken = orders.poll(Duration::from_secs(1))?;
        if taken.is_empty() {
            idle += 1;
            continue;
        }
        invoices.begin_transaction()?;
        for order in &taken {
            let apples = String::from_utf8_lossy(order.value.as_deref().unwrap_or_default()).into_owned();
            let apples: u32 = apples.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
            let mut invoice = Record::to("invoices");
            let price = format!("{}.50", apples * 2);
            if let Some(key) = &order.key {
                invoice = invoice.key(key);
            }
            invoices.send(invoice.value(&price))?;
        }
        invoices.send_offsets(&mut orders)?;
        invoices.commit_transaction()?;
        written += taken.len();
    }
    orders.close()?;
    Ok(written)
}
