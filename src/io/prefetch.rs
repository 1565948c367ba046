//! Telling the processor what is about to be read.

/// Bytes that come into the cache together.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Has `bytes` brought into the cache, all at once: whoever reads them from front to back would wait for the first few lines
/// one by one. Nothing but time depends on it.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(crate) fn prefetch(bytes: &[u8]) {
    use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    for line in bytes.chunks(LINE) {
        // SAFETY: the address is that of a byte of a slice; a prefetch reads nothing that the program could see, and cannot
        // fault, whatever became of the file behind a map.
        #[expect(unsafe_code, reason = "std has no prefetch")]
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast());
        }
    }
}

/// Has the pages of `bytes` read from the disk, where they lie in a map of a file, without waiting for them. What is there already costs
/// a call of the system.
pub(crate) fn will_need(bytes: &[u8]) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        let begin = bytes.as_ptr();
        let skip = begin.addr() % PAGE;
        let begin = begin.wrapping_sub(skip).cast_mut();
        // SAFETY: these are the pages in which the slice lies, and the advice changes nothing in them.
        #[expect(unsafe_code, reason = "std gives no advice on memory")]
        let _code = unsafe { libc::madvise(begin.cast(), bytes.len() + skip, libc::MADV_WILLNEED) };
    }
    // Elsewhere nothing is advised: the pages are read when they are looked at.
    #[cfg(not(target_os = "linux"))]
    let _ = bytes;
}

/// Nothing on processors for which stable Rust has no prefetch.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(crate) fn prefetch(_bytes: &[u8]) {}
