//! yaque: a file of messages for one sender and one receiver. It counts no deliveries.
//!
//! An answer is in memory, and written with `save` (a small file, made anew); a message guarantees a SIGKILL.

use std::path::Path;
use std::sync::{Arc, Mutex};

use yaque::{Receiver, Sender, TryRecvError};

use crate::harness::Outcome;
use crate::jobs::{Class, Jobs, Peer, Worker};
use crate::payload::Found;

pub(crate) const PEER: Peer =
    Peer { name: "yaque, without counts", classes: &[Class::Os, Class::Memory], is_shared: false, open };

struct Yaque {
    sender: Mutex<Sender>,
    receiver: Mutex<Receiver>,
    class: Class,
}

fn open(dir: &Path, class: Class) -> Outcome<Arc<dyn Jobs>> {
    let (sender, receiver) = yaque::channel(dir.join("yaque"))?;
    Ok(Arc::new(Yaque { sender: Mutex::new(sender), receiver: Mutex::new(receiver), class }))
}

impl Jobs for Yaque {
    fn enqueue(&self, values: &[&[u8]]) -> Outcome {
        let mut sender = self.sender.lock().map_err(|_| "another failed")?;
        sender.try_send_batch(values).map_err(|error| format!("yaque: {error:?}"))?;
        Ok(())
    }

    fn worker(self: Arc<Self>) -> Outcome<Box<dyn Worker>> {
        Ok(Box::new(YaqueWorker { jobs: self }))
    }
}

struct YaqueWorker {
    jobs: Arc<Yaque>,
}

impl Worker for YaqueWorker {
    fn work(&mut self, at_a_time: usize, found: &mut Found) -> Outcome<usize> {
        let mut receiver = self.jobs.receiver.lock().map_err(|_| "another failed")?;
        let messages = match receiver.try_recv_batch_up_to(at_a_time) {
            Ok(messages) => messages,
            Err(TryRecvError::QueueEmpty) => return Ok(0),
            Err(TryRecvError::Io(error)) => return Err(error.into()),
        };
        messages.iter().for_each(|message| found.add(message));
        let count = messages.len();
        messages.commit()?;
        if self.jobs.class == Class::Os {
            receiver.save()?;
        }
        Ok(count)
    }
}
