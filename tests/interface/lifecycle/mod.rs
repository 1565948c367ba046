//! From open to close: callbacks that panic, close and call back; closing beside work; forks, renamed directories, what is
//! left over, and what concerns one topic alone.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may stop at what it did not expect, and looks at the files from outside"
)]

#[cfg(test)]
#[cfg(unix)]
mod adopt;
#[cfg(test)]
#[cfg(unix)]
mod adopt_links;
#[cfg(test)]
mod callbacks;
#[cfg(test)]
mod closed;
mod closing;
#[cfg(test)]
mod ending;
#[cfg(all(test, target_os = "linux"))]
mod fork;
#[cfg(all(test, target_os = "linux"))]
mod fork_calls;
#[cfg(all(test, target_os = "linux"))]
mod full_disk;
#[cfg(all(test, target_os = "linux"))]
mod mapped;
#[cfg(all(test, target_os = "linux"))]
mod renamed;
#[cfg(test)]
mod topics;
#[cfg(test)]
mod untouched;
