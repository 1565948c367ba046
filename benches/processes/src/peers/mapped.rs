//! What Chronicle Queue does, and no more: a file that both map, a word before each record that says when it is there, and a reader that
//! looks at that word without a pause. It is not read back, checked, rolled or removed. And the same with a reader that sleeps on the word
//! (`futex`): what the system needs to wake it.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::MmapMut;

use crate::harness::Outcome;
use crate::peers::{Pause, Peer, Receiver, Sender};

pub(crate) const SPINNING: Peer =
    Peer { name: "a mapped file without a pause", pause: Pause::None, send, receive };

pub(crate) const ASLEEP: Peer = Peer {
    name: "a mapped file, asleep on its word",
    pause: Pause::None,
    send: send_and_wake,
    receive: sleep,
};

const LEN: usize = 64 << 20;
const WORD: usize = size_of::<u64>();

struct Mapped {
    map: MmapMut,
    at: usize,
}

fn open(dir: &Path) -> Outcome<Mapped> {
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(dir.join("mapped"))?;
    file.set_len(LEN.try_into()?)?;
    // SAFETY: nobody cuts the file; the receiver reads bytes only after it has seen their word, which the sender stores after them.
    let map = unsafe { MmapMut::map_mut(&file)? };
    Ok(Mapped { map, at: 0 })
}

impl Mapped {
    /// The word before the next record: its length, 0 while it is not there.
    fn word(&self) -> Outcome<&AtomicU64> {
        let word = self.map.get(self.at..self.at + WORD).ok_or("the file is full")?;
        // SAFETY: it is of eight bytes that stay mapped as long as `self`, `at` is a multiple of eight, and all access to them is atomic.
        Ok(unsafe { AtomicU64::from_ptr(word.as_ptr().cast_mut().cast()) })
    }

    fn pass(&mut self, len: usize) {
        self.at += WORD + len.next_multiple_of(WORD);
    }
}

fn send(dir: &Path) -> Outcome<Box<dyn Sender>> {
    let mut mapped = open(dir)?;
    // As Chronicle's pretoucher does.
    mapped.map.fill(0);
    Ok(Box::new(mapped))
}

impl Sender for Mapped {
    fn send(&mut self, value: &[u8]) -> Outcome {
        let at = self.at + WORD;
        self.map.get_mut(at..at + value.len()).ok_or("the file is full")?.copy_from_slice(value);
        self.word()?.store(value.len().try_into()?, Ordering::Release);
        self.pass(value.len());
        Ok(())
    }
}

fn receive(dir: &Path) -> Outcome<Box<dyn Receiver>> {
    let mapped = open(dir)?;
    // So that the first look at a page is no fault.
    std::hint::black_box(mapped.map.iter().step_by(4096).map(|byte| u64::from(*byte)).sum::<u64>());
    Ok(Box::new(mapped))
}

impl Receiver for Mapped {
    fn look(&mut self, take: &mut dyn FnMut(&[u8]) -> Outcome) -> Outcome {
        loop {
            let len = usize::try_from(self.word()?.load(Ordering::Acquire))?;
            if len == 0 {
                return Ok(());
            }
            let at = self.at + WORD;
            take(self.map.get(at..at + len).ok_or("a record without an end")?)?;
            self.pass(len);
        }
    }
}

/// One that wakes, or sleeps.
struct Asleep(Mapped);

fn send_and_wake(dir: &Path) -> Outcome<Box<dyn Sender>> {
    let mut mapped = open(dir)?;
    mapped.map.fill(0);
    Ok(Box::new(Asleep(mapped)))
}

fn sleep(dir: &Path) -> Outcome<Box<dyn Receiver>> {
    Ok(Box::new(Asleep(open(dir)?)))
}

impl Sender for Asleep {
    fn send(&mut self, value: &[u8]) -> Outcome {
        let word = std::ptr::from_ref(self.0.word()?);
        self.0.send(value)?;
        // SAFETY: the word stays mapped as long as `self`. Without a waiter it does nothing.
        unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, i32::MAX) };
        Ok(())
    }
}

impl Receiver for Asleep {
    fn look(&mut self, take: &mut dyn FnMut(&[u8]) -> Outcome) -> Outcome {
        let word = std::ptr::from_ref(self.0.word()?);
        let most = libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        // SAFETY: the word stays mapped as long as `self`, and `most` as long as the call. It returns when the first half of the word is not 0,
        // where a length stands on machines whose low bytes come first.
        unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, 0, &raw const most) };
        self.0.look(take)
    }
}
