//! What a decoder can say about bytes it was given; the layer above knows which file and offset they came from.

use std::borrow::Cow;
use std::path::Path;

use crate::error::Error;

/// Why bytes could not be decoded. Never an I/O failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// The bytes break a rule of the format.
    #[error("at byte {at}: {why}")]
    Invalid {
        /// Position within the slice given to the decoder.
        at: usize,
        /// The rule that is broken.
        why: Cow<'static, str>,
    },

    /// More than the caller allows. Damage is not implied: whoever wrote it was allowed more.
    #[error("it expands to more than {limit} bytes")]
    TooLarge {
        /// What the caller allows, in bytes.
        limit: usize,
    },

    /// A later version of the format than this crate knows: damage is not implied.
    #[error("{what} {found} is not supported: at most {supported}")]
    Unsupported {
        /// Which version number it is.
        what: &'static str,
        /// The version found.
        found: u32,
        /// The highest version known.
        supported: u32,
    },

    /// The bytes end too early. Kept apart from `Invalid` so that a scanner can tell a torn tail from damage.
    #[error("{needed} bytes are needed, {available} are there")]
    Truncated {
        /// Bytes that the decoder needs.
        needed: usize,
        /// Bytes that it has.
        available: usize,
    },
}

impl Malformed {
    /// A broken rule. Out of line, so that no decoder's fast path carries the construction of an error.
    #[cold]
    #[inline(never)]
    pub(crate) fn invalid(at: usize, why: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid { at, why: why.into() }
    }

    /// What is wrong with a file of ours that was read whole.
    pub(crate) fn in_file(self, path: &Path) -> Error {
        let path = path.to_path_buf();
        let position = match &self {
            Self::Unsupported { what, found, supported } => {
                return Error::UnsupportedFormat { path, what, found: *found, supported: *supported };
            }
            Self::Invalid { at, .. } => *at as u64,
            Self::Truncated { available, .. } => *available as u64,
            Self::TooLarge { .. } => 0,
        };
        let reason = match self {
            Self::Invalid { why, .. } => why.into(),
            other => other.to_string(),
        };
        Error::corrupt(path, position, None, reason)
    }

    /// The same, seen from a slice in which the decoder's slice begins at `offset`.
    pub(crate) fn shifted(self, offset: usize) -> Self {
        match self {
            Self::Invalid { at, why } => Self::Invalid { at: at + offset, why },
            Self::Truncated { needed, available } => {
                Self::Truncated { needed: needed + offset, available: available + offset }
            }
            other => other,
        }
    }

    /// Bytes that are not there.
    #[cold]
    #[inline(never)]
    pub(crate) fn truncated(needed: usize, available: usize) -> Self {
        Self::Truncated { needed, available }
    }

    /// A version beyond ours.
    #[cold]
    pub(crate) fn unsupported(what: &'static str, found: u32, supported: u32) -> Self {
        Self::Unsupported { what, found, supported }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_from_a_larger_slice_lies_and_ends_farther_on() {
        assert_eq!(Malformed::invalid(3, "why").shifted(10), Malformed::invalid(13, "why"));
        assert_eq!(Malformed::truncated(9, 5).shifted(10), Malformed::truncated(19, 15));
        let newer = Malformed::unsupported("state file version", 3, 2);
        assert_eq!(newer.clone().shifted(10), newer);
    }
}
