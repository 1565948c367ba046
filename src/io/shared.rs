//! Memory that several processes share: a map of a file, as atomic words, on which they can also sleep.
//!
//! A store into a map cannot return an error. As in [`mapped_writes`](super::mapped_writes) a page is stored into only when its
//! blocks are reserved and the system was asked for it, writable, a moment ago.

use std::fmt;

#[cfg(target_os = "linux")]
use std::fs::File;
#[cfg(target_os = "linux")]
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[cfg(target_os = "linux")]
use super::allocate::{Allocated, allocate};
#[cfg(target_os = "linux")]
use super::space::keeps_reserved_blocks;
#[cfg(target_os = "linux")]
use super::ticks::tick;
#[cfg(target_os = "linux")]
use memmap2::{Advice, MmapOptions, MmapRaw};

/// Bytes that are asked for together; a multiple of every page size in use.
const GRAIN: usize = 64 * 1024;
/// Bytes of a word.
const WORD: usize = 8;

/// Words of a file that every process which shares them sees at once. Made by [`FileHandle::share`](super::FileHandle::share).
///
/// ```
/// use annals::io::{FileSystem, OpenMode, OsFileSystem};
/// # let dir = tempfile::tempdir()?;
/// let file = OsFileSystem.open(&dir.path().join("words"), OpenMode::CreateNew)?;
/// if let Some(words) = file.share(0, 65_536)? {
///     println!("{words:?}");
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct SharedMemory {
    #[cfg(target_os = "linux")]
    raw: MmapRaw,
    words: usize,
    /// When the system was asked for its pages last, as a number that is another one in the next moment.
    #[cfg(target_os = "linux")]
    asked: AtomicU64,
}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMemory").field("words", &self.words).finish_non_exhaustive()
    }
}

#[cfg(target_os = "linux")]
impl SharedMemory {
    /// Maps `len` bytes of `file` from `position` on, which get blocks of their own; `None` where blocks are not kept.
    pub(super) fn new(file: &File, position: u64, len: usize) -> io::Result<Option<Self>> {
        if !position.is_multiple_of(GRAIN as u64) || len == 0 || !len.is_multiple_of(GRAIN) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "shared memory comes in pieces of 64 KiB",
            ));
        }
        let end = position.checked_add(len as u64).ok_or(io::ErrorKind::InvalidInput)?;
        if !keeps_reserved_blocks(file)? || allocate(file, end)? != Allocated::Reserved {
            return Ok(None);
        }
        let raw = MmapOptions::new().offset(position).len(len).map_raw(file)?;
        Ok(Some(Self { raw, words: len / WORD, asked: AtomicU64::new(0) }))
    }

    /// A word, by its number.
    #[inline]
    pub(crate) fn word(&self, at: usize) -> Option<&AtomicU64> {
        if at >= self.words {
            return None;
        }
        // SAFETY: the map lives as long as `self` and has `words` words; a map begins at a page, so each word is aligned. The file
        // is never cut while it is shared (its owner only lets it grow), and has blocks for all of it. All that is ever done to
        // these bytes, by this process and by others, are atomic operations of this width.
        #[expect(unsafe_code, reason = "words of a file that others change")]
        Some(unsafe { &*self.raw.as_ptr().cast::<AtomicU64>().add(at) })
    }

    /// So many words, from one on.
    #[inline]
    pub(crate) fn words<const COUNT: usize>(&self, at: usize) -> Option<&[AtomicU64; COUNT]> {
        if at.checked_add(COUNT)? > self.words {
            return None;
        }
        // SAFETY: as in `word`; an array of atomics lies as they do, one behind the other.
        #[expect(unsafe_code, reason = "words of a file that others change")]
        Some(unsafe { &*self.raw.as_ptr().cast::<AtomicU64>().add(at).cast::<[AtomicU64; COUNT]>() })
    }

    /// Whether it can be stored into now. False when the file system does not give its pages any more.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        let now = tick().number();
        self.asked.load(Ordering::Relaxed) == now || self.ask(now)
    }

    #[cold]
    fn ask(&self, now: u64) -> bool {
        let given = self.raw.advise(Advice::PopulateWrite).is_ok();
        if given {
            self.asked.store(now, Ordering::Relaxed);
        }
        given
    }

    /// Sleeps until [`wake`](Self::wake), if the lower half of the word is still `seen`, for `most` at the longest.
    pub(crate) fn wait(&self, at: usize, seen: u32, most: Duration) {
        let Some(word) = self.word(at) else { return };
        let time = libc::timespec {
            tv_sec: libc::time_t::try_from(most.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(i32::try_from(most.subsec_nanos()).unwrap_or(0)),
        };
        // SAFETY: the address is that of an aligned word that lives through the call, and the time is on this stack. The system
        // reads both and changes neither. Whatever it answers, the caller looks again.
        #[expect(unsafe_code, reason = "std has no futex that processes share")]
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                lower_half(word),
                libc::FUTEX_WAIT,
                seen,
                &raw const time,
                std::ptr::null::<u32>(),
                0_u32,
            );
        }
    }

    /// Wakes everybody who sleeps on the word, in any process.
    pub(crate) fn wake(&self, at: usize) {
        let Some(word) = self.word(at) else { return };
        // SAFETY: as for `wait`; the system reads nothing through the address.
        #[expect(unsafe_code, reason = "std has no futex that processes share")]
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                lower_half(word),
                libc::FUTEX_WAKE,
                i32::MAX,
                0_usize,
                0_usize,
                0_u32,
            );
        }
    }
}

/// Where the half of a word stands that counts first.
#[cfg(target_os = "linux")]
fn lower_half(word: &AtomicU64) -> *const u32 {
    let halves = word.as_ptr().cast_const().cast::<u32>();
    if cfg!(target_endian = "big") { halves.wrapping_add(1) } else { halves }
}

/// Elsewhere nobody makes one.
#[cfg(not(target_os = "linux"))]
impl SharedMemory {
    pub(crate) fn word(&self, _at: usize) -> Option<&AtomicU64> {
        None
    }

    pub(crate) fn words<const COUNT: usize>(&self, _at: usize) -> Option<&[AtomicU64; COUNT]> {
        None
    }

    pub(crate) fn is_ready(&self) -> bool {
        let _: (Ordering, usize) = (Ordering::Relaxed, GRAIN + WORD);
        false
    }

    pub(crate) fn wait(&self, _at: usize, _seen: u32, _most: Duration) {}

    pub(crate) fn wake(&self, _at: usize) {}
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Option<SharedMemory> {
        SharedMemory::new(&tempfile::tempfile_in("/dev/shm").unwrap(), 0, GRAIN).unwrap()
    }

    #[test]
    fn words_are_those_of_the_file_and_there_are_no_more() {
        let memory = shared().unwrap();
        assert!(memory.is_ready() && memory.is_ready());
        memory.word(8191).unwrap().store(7, Ordering::Relaxed);
        assert_eq!(memory.word(8191).unwrap().load(Ordering::Relaxed), 7);
        assert!(memory.word(8192).is_none());
    }

    #[test]
    fn who_sleeps_is_woken_and_who_comes_late_does_not_sleep() {
        let memory = shared().unwrap();
        let word = memory.word(3).unwrap();
        word.store(5 + (9 << 32), Ordering::SeqCst);
        // Another value than was seen: no sleep.
        memory.wait(3, 4, Duration::from_secs(100));
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| {
                while word.load(Ordering::SeqCst) == 5 + (9 << 32) {
                    memory.wait(3, 5, Duration::from_secs(100));
                }
            });
            word.fetch_add(1, Ordering::SeqCst);
            memory.wake(3);
            sleeper.join().unwrap();
        });
        memory.wait(3, 6, Duration::from_millis(1));
    }
}
