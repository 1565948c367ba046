//! What a process says, a line at a time, through a pipe that outlives it.

use std::io::Write;

use annals::Store;

use crate::content::{Id, Seen};
use crate::report::READY;

/// Says one line. One write: lines of several threads do not mix, and a pipe takes it whole. Nobody to tell is the end.
pub(crate) fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(7);
    }
}

/// Says an error, in one line.
pub(crate) fn tell_error(what: &str, error: &dyn std::fmt::Display) {
    tell(&format!("E {what}: {}\n", error.to_string().replace('\n', " ")));
}

/// Reads all that is in the store and says it.
pub(crate) fn tell_found(store: &Store) {
    let mut lines = String::new();
    if let Err(error) = find(store, &mut lines) {
        lines += &format!("B {}\n", error.to_string().replace('\n', " "));
    }
    tell(&format!("{lines}{READY}\n"));
}

fn find(store: &Store, lines: &mut String) -> annals::Result<()> {
    for topic in store.topics().iter().filter(|topic| !topic.name().starts_with("__")) {
        for partition in topic.partitions() {
            let (name, number) = (topic.name(), partition.number());
            *lines += &format!("F {name} {number} {} {}\n", partition.start(), partition.end());
            find_records(&partition, lines)?;
        }
    }
    for group in store.groups() {
        for (at, committed) in store.committed(&group) {
            *lines += &format!("G {group} {} {} {}\n", at.topic(), at.partition(), committed.offset);
        }
    }
    for back in store.offset_resets() {
        let at = &back.topic_partition;
        *lines += &format!("U {} {} {}\n", back.group, at.topic(), at.partition());
    }
    Ok(())
}

fn find_records(partition: &annals::Partition, lines: &mut String) -> annals::Result<()> {
    let mut reader = partition.read(..)?;
    loop {
        let records = reader.fetch()?;
        if records.is_empty() {
            return Ok(());
        }
        for record in &records {
            let (topic, partition) = (record.topic().to_owned(), record.partition());
            let (offset, timestamp) = (record.offset(), record.timestamp());
            let id = Id::of_value(record.value().unwrap_or_default());
            let is_sound = |id: &Id| record.key() == id.key(&topic).as_deref().map(str::as_bytes);
            match id.filter(is_sound) {
                Some(id) => *lines += &Seen { topic, partition, offset, timestamp, id }.line('R'),
                None => {
                    let [key, value] = [record.key(), record.value()].map(described);
                    *lines += &format!(
                        "B {topic} {partition} {offset}: no record of ours, at {timestamp}, key {key}, value {value}\n"
                    );
                }
            }
        }
    }
}

/// For whoever looks into what should not be there.
fn described(bytes: Option<&[u8]>) -> String {
    match bytes {
        Some(bytes) => format!("of {} bytes: {}", bytes.len(), bytes[..bytes.len().min(80)].escape_ascii()),
        None => "none".to_owned(),
    }
}
