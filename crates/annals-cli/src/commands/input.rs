//! Lines of standard input or a file, read by a thread of its own: a wait for the next one ends with Ctrl-C.

use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use crate::failure::{Failure, Outcome, open_file};
use crate::interrupt;

const BLOCK_BYTES: usize = 256 << 10;
/// Blocks that are read ahead.
const BLOCKS: usize = 4;
/// For what of a line is no part of a record.
const MORE_OF_LINE_BYTES: usize = 16 << 20;

type Block = io::Result<Vec<u8>>;

/// Lines without their line feeds.
#[derive(Debug)]
pub(super) struct Lines {
    name: String,
    blocks: Receiver<Block>,
    buffer: Vec<u8>,
    /// What comes next in the buffer.
    at: usize,
    /// How long the input is, where that is known.
    pub(super) total_bytes: Option<u64>,
    pub(super) read_bytes: u64,
    /// The number of the last line, from 1.
    pub(super) number: u64,
    has_ended: bool,
    /// A longer line is an error before all of it is in memory.
    most_bytes: usize,
}

impl Lines {
    /// Of a file; of standard input without one.
    pub(super) fn open(path: Option<&Path>) -> Outcome<Self> {
        let (to, blocks) = sync_channel(BLOCKS);
        let mut total_bytes = None;
        let name = match path {
            Some(path) => {
                let file = open_file(&path.to_path_buf())?;
                let facts = file.metadata().map_err(|error| Failure::at("look at", path, error))?;
                if facts.is_dir() {
                    return Err(Failure::Usage(format!("{} is a directory", path.display())));
                }
                total_bytes = facts.is_file().then_some(facts.len());
                start(file, to)?;
                path.display().to_string()
            }
            None => {
                start(io::stdin(), to)?;
                "standard input".to_owned()
            }
        };
        let (buffer, at) = (Vec::new(), 0);
        let (read_bytes, number, has_ended, most_bytes) = (0, 0, false, usize::MAX);
        Ok(Self { name, blocks, buffer, at, total_bytes, read_bytes, number, has_ended, most_bytes })
    }

    /// No record of the topic needs a longer line, where each of its bytes takes `letters` of a line at most.
    pub(super) fn bounded(&mut self, most_record_bytes: usize, letters: usize) {
        self.most_bytes = most_record_bytes.saturating_mul(letters).saturating_add(MORE_OF_LINE_BYTES);
    }

    /// The next line. The last need not end with a line feed.
    pub(super) fn next(&mut self) -> Outcome<Option<&[u8]>> {
        let mut searched = self.at;
        let end = loop {
            let unsearched = self.buffer.get(searched..).unwrap_or_default();
            if let Some(found) = memchr::memchr(b'\n', unsearched) {
                break searched + found;
            }
            searched = self.buffer.len();
            if self.has_ended {
                break searched;
            }
            if searched - self.at > self.most_bytes {
                let (number, most) = (self.number + 1, self.most_bytes);
                let why = "no record that max.message.bytes allows needs that";
                let words = format!("line {number} is longer than {most} bytes: {why}");
                return Err(Failure::Found(words));
            }
            let moved = self.more()?;
            searched -= moved;
        };
        if end == self.buffer.len() && self.at == end {
            return Ok(None);
        }
        let line = self.buffer.get(self.at..end).unwrap_or_default();
        self.at = (end + 1).min(self.buffer.len());
        self.number += 1;
        Ok(Some(line))
    }

    /// Puts the next block behind what is left of the last, and says how far that moved.
    fn more(&mut self) -> Outcome<usize> {
        let block = loop {
            interrupt::check()?;
            match self.blocks.recv_timeout(Duration::from_millis(100)) {
                Ok(block) => break Some(block),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break None,
            }
        };
        let moved = self.at;
        self.buffer.drain(..moved);
        self.at = 0;
        match block {
            None => self.has_ended = true,
            Some(Err(source)) => {
                return Err(Failure::System { what: format!("cannot read {}", self.name), source });
            }
            Some(Ok(block)) => {
                self.read_bytes += block.len() as u64;
                self.buffer.extend_from_slice(&block);
            }
        }
        Ok(moved)
    }
}

/// For what takes lines apart by itself: a wait for more ends with Ctrl-C here too.
impl Read for Lines {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        while self.at == self.buffer.len() && !self.has_ended {
            self.more().map_err(|failure| match failure {
                Failure::System { source, .. } => source,
                other => io::Error::other(other.to_string()),
            })?;
        }
        let mut rest = self.buffer.get(self.at..).unwrap_or_default();
        let read = rest.read(to)?;
        self.at += read;
        Ok(read)
    }
}

/// The thread ends with the input, or when nobody takes its blocks any more, or with the process.
fn start(mut from: impl Read + Send + 'static, to: SyncSender<Block>) -> Outcome {
    let read = move || {
        loop {
            let mut block = vec![0; BLOCK_BYTES];
            let sent = match from.read(&mut block) {
                Ok(0) => return,
                Ok(bytes) => {
                    block.truncate(bytes);
                    to.send(Ok(block))
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    drop(to.send(Err(error)));
                    return;
                }
            };
            if sent.is_err() {
                return;
            }
        }
    };
    let started = thread::Builder::new().name("input".to_owned()).spawn(read);
    started.map(drop).map_err(|source| Failure::System { what: "cannot start a thread".to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(bytes: &[u8]) -> Vec<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("input");
        std::fs::write(&path, bytes).unwrap();
        let mut lines = Lines::open(Some(&path)).unwrap();
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push(line.to_vec());
        }
        assert_eq!(lines.read_bytes, bytes.len() as u64);
        assert_eq!(lines.number, found.len() as u64);
        found
    }

    #[test]
    fn lines_are_those_of_the_input_wherever_blocks_end() {
        assert_eq!(lines_of(b""), Vec::<Vec<u8>>::new());
        assert_eq!(lines_of(b"\n\na"), [&b""[..], b"", b"a"]);
        assert_eq!(lines_of(b"a\nb\n"), [b"a", b"b"]);
        let expected: Vec<_> = (0..90_000_usize).map(|n| vec![b'x'; n % 37]).collect();
        let mut input = expected.join(&b'\n');
        input.push(b'\n');
        assert!(input.len() > 4 * BLOCK_BYTES);
        assert!(lines_of(&input) == expected);
        let long = vec![b'y'; 3 * BLOCK_BYTES + 17];
        assert!(lines_of(&[&long[..], b"\nz"].concat()) == [&long[..], b"z"]);
    }
}
