//! A log as one would write it first: frames in a file, `fdatasync` before an acknowledgement, and after a restart it goes on
//! behind what reads well. It is here to lose records.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::Outcome;
use crate::acknowledgements::{tell, tell_error};
use crate::content::{Id, PLAIN, Seen};
use crate::failed_sync::naive_file;
use crate::report::READY;

/// As `life::ten`.
pub(crate) fn ten(dir: &Path, life: u64) -> Outcome {
    let path = naive_file(dir);
    let (end, count) = found(&std::fs::read(&path).unwrap_or_default());
    tell(&format!("F {PLAIN} 0 0 {count}\n{READY}\n"));
    let opened = open(&path, end);
    let mut file = opened.map_err(|error| format!("open: {error}"))?;
    let append = |file: &mut File, number: u64| -> io::Result<()> {
        let id = Id { life, thread: 0, number, first: number, count: 1 };
        let value = id.long_value();
        file.write_all(&u64::try_from(value.len()).unwrap_or_default().to_le_bytes())?;
        file.write_all(&value)?;
        file.sync_data()?;
        let (topic, offset) = (PLAIN.to_owned(), count + number as i64);
        tell(&Seen { topic, partition: 0, offset, timestamp: 0, id }.line('D'));
        Ok(())
    };
    for number in 0..10 {
        append(&mut file, number).map_err(|error| format!("append: {error}"))?;
    }
    tell("TEN\n");
    if io::stdin().read_line(&mut String::new()).unwrap_or_default() > 0 {
        for number in 10..20 {
            if let Err(error) = append(&mut file, number) {
                tell_error("append", &error);
            }
        }
        tell("END\n");
    }
    Ok(())
}

/// A new log is there with its name. One that was there is cut behind the last good frame.
fn open(path: &Path, end: u64) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    file.set_len(end)?;
    file.sync_all()?;
    if let Some(parent) = path.parent() {
        File::open(parent)?.sync_all()?;
    }
    file.flush()?;
    Ok(file)
}

/// Where the good frames end, and how many there are; says each of them.
fn found(bytes: &[u8]) -> (u64, i64) {
    let (mut at, mut count) = (0, 0);
    while let Some((length, rest)) = bytes[at..].split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some(id) = rest.get(..length).and_then(Id::of_value) else { break };
        let topic = PLAIN.to_owned();
        tell(&Seen { topic, partition: 0, offset: count, timestamp: 0, id }.line('R'));
        at += 8 + length;
        count += 1;
    }
    (at as u64, count)
}
