//! The two processes. The one that receives is this program again.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::Outcome;
use crate::payload::Payloads;
use crate::peers::{ALL, Pause, Peer, Sender};
use crate::watch::{nanos, processor_time};

/// The word that makes the program a receiver.
pub(crate) const READER: &str = "receive";
/// Bytes of a record: the time before its send, its number, and what a record has to say.
pub(crate) const LEN: usize = 100;
/// So long nothing is sent at first.
const IDLE: Duration = Duration::from_millis(500);
/// So many are sent before those that count.
const WARM: usize = 100;

/// What was found of one way, in nanoseconds.
#[derive(Default)]
pub(crate) struct Figures {
    /// From before the send to the record.
    pub(crate) took: Vec<u64>,
    pub(crate) sends: Vec<u64>,
    /// What one who waits uses of a processor, in thousandths.
    pub(crate) idle: Vec<u64>,
}

impl Figures {
    pub(crate) fn add(&mut self, other: Self) {
        self.took.extend(other.took);
        self.sends.extend(other.sends);
        self.idle.extend(other.idle);
    }
}

/// Sends so many records to a process that waits for them, and says what both have found.
pub(crate) fn send(peer: &Peer, dir: &Path, records: usize) -> Outcome<Figures> {
    let mut sender = (peer.send)(dir)?;
    let mut receiver = Command::new(std::env::current_exe()?)
        .args([READER, peer.name])
        .arg(dir)
        .arg(records.to_string())
        .stdout(Stdio::piped())
        .spawn()?;
    let found = send_to(sender.as_mut(), &mut receiver, records);
    if found.is_err() {
        // Whatever it is doing: it is of no use any more, and may have ended by itself.
        drop(receiver.kill());
    }
    let status = receiver.wait()?;
    let found = found.map_err(|error| format!("{}: {error}", peer.name))?;
    if status.success() { Ok(found) } else { Err(format!("{}: the receiver failed", peer.name).into()) }
}

fn send_to(sender: &mut dyn Sender, receiver: &mut Child, records: usize) -> Outcome<Figures> {
    let mut told = BufReader::new(receiver.stdout.take().ok_or("no output")?);
    let mut line = String::new();
    told.read_line(&mut line)?;
    if line != "ready\n" {
        return Err("the receiver did not come so far".into());
    }
    std::thread::sleep(IDLE);
    let payloads = Payloads::new(LEN);
    let mut figures = Figures::default();
    for number in 0..WARM + records {
        let mut value = payloads.get(number).to_vec();
        let before = nanos()?;
        for (at, word) in [before, u64::try_from(number)?].into_iter().enumerate() {
            value[at * 8..(at + 1) * 8].copy_from_slice(&word.to_be_bytes());
        }
        sender.send(&value)?;
        if number >= WARM {
            figures.sends.push(nanos()? - before);
        }
        // Not in step with any who look each millisecond.
        let more = u64::try_from(number)?.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 55;
        std::thread::sleep(Duration::from_micros(500 + more));
    }
    let mut text = String::new();
    told.read_to_string(&mut text)?;
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    figures.idle.push(numbers.next().ok_or("the receiver has told nothing")??);
    figures.took = numbers.collect::<Result<_, _>>()?;
    if figures.took.len() == records { Ok(figures) } else { Err("not all records have come".into()) }
}

/// The process that receives: tells when it is ready, and all figures at its end.
pub(crate) fn read(mut words: impl Iterator<Item = String>) -> Outcome {
    let mut word = || words.next().ok_or("a word is missing");
    let (name, dir, records) = (word()?, word()?, word()?.parse::<usize>()?);
    let peer = ALL.iter().find(|peer| peer.name == name).ok_or("there is no such way")?;
    let mut receiver = (peer.receive)(Path::new(&dir))?;
    let mut came = Vec::with_capacity(WARM + records);
    // What is done once is done.
    if peer.pause != Pause::None {
        receiver.look(&mut |_| Ok(()))?;
    }
    println!("ready");
    let (begin, used) = (Instant::now(), processor_time()?);
    let mut idle = None;
    while came.len() < WARM + records {
        let before = came.len();
        receiver.look(&mut |value| {
            let now = nanos()?;
            let (time, number) = (word_of(value, 0)?, word_of(value, 1)?);
            if number != u64::try_from(came.len())? || value.len() != LEN {
                return Err(format!("record {number} of {} B, and not {}", value.len(), came.len()).into());
            }
            came.push(now - time);
            Ok(())
        })?;
        if idle.is_none() && !came.is_empty() {
            let used = processor_time()?.saturating_sub(used);
            idle = Some(used.as_nanos() * 1000 / begin.elapsed().as_nanos());
        }
        match peer.pause {
            Pause::Sleep(pause) if came.len() == before => std::thread::sleep(pause),
            _ => std::hint::spin_loop(),
        }
    }
    let mut text = idle.unwrap_or_default().to_string();
    came.iter().skip(WARM).for_each(|took| text.push_str(&format!(" {took}")));
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

fn word_of(value: &[u8], number: usize) -> Outcome<u64> {
    let bytes = value.get(number * 8..(number + 1) * 8).ok_or("a short record")?;
    Ok(u64::from_be_bytes(bytes.try_into()?))
}
