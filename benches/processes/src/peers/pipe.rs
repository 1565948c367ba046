//! A pipe: nothing is kept.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::harness::Outcome;
use crate::peers::{Pause, Peer, Receiver, Sender};
use crate::sides::LEN;

pub(crate) const ASLEEP: Peer = Peer { name: "a pipe", pause: Pause::None, send, receive };

struct Pipe(File);

fn send(dir: &Path) -> Outcome<Box<dyn Sender>> {
    let path = dir.join("pipe");
    let name = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the name ends with a zero.
    if unsafe { libc::mkfifo(name.as_ptr(), 0o600) } != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    // With the other end, too: the open would wait for the receiver.
    Ok(Box::new(Pipe(OpenOptions::new().read(true).write(true).open(path)?)))
}

impl Sender for Pipe {
    fn send(&mut self, value: &[u8]) -> Outcome {
        Ok(self.0.write_all(value)?)
    }
}

fn receive(dir: &Path) -> Outcome<Box<dyn Receiver>> {
    Ok(Box::new(Pipe(File::open(dir.join("pipe"))?)))
}

impl Receiver for Pipe {
    fn look(&mut self, take: &mut dyn FnMut(&[u8]) -> Outcome) -> Outcome {
        let mut value = [0; LEN];
        self.0.read_exact(&mut value)?;
        take(&value)
    }
}
