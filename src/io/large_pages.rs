//! Tables in memory that are looked at anywhere.

/// Bytes of a large page.
#[cfg(target_os = "linux")]
const LARGE: usize = 2 << 20;

/// A vector with room for so many values, in large pages where the system has them: a look anywhere in it finds its page at once.
/// Nothing but time depends on it.
pub(crate) fn roomy<T>(count: usize) -> Vec<T> {
    let values = Vec::with_capacity(count);
    #[cfg(target_os = "linux")]
    advise(&values);
    values
}

#[cfg(target_os = "linux")]
fn advise<T>(values: &Vec<T>) {
    let begin = values.as_ptr().cast::<u8>();
    let skip = begin.align_offset(LARGE);
    let bytes = values.capacity().saturating_mul(size_of::<T>());
    let Some(rest) = bytes.checked_sub(skip).map(|rest| rest / LARGE * LARGE).filter(|rest| *rest > 0) else {
        return;
    };
    // SAFETY: the range lies within the vector's own memory, and the advice changes no byte of it.
    #[expect(unsafe_code, reason = "std gives no advice on memory")]
    let _code =
        unsafe { libc::madvise(begin.wrapping_add(skip).cast_mut().cast(), rest, libc::MADV_HUGEPAGE) };
}
