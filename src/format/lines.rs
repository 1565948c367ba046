//! A file of lines that people can read: the first says what it is and in which version, the last is a checksum of all before it.

use super::Malformed;

const LAST: &str = "crc32 ";

/// A kind of such files.
pub(super) struct LineFile {
    /// What stands in front of the version in the first line.
    pub(super) first: &'static str,
    pub(super) version: u32,
    /// What the version is called where it is not known.
    pub(super) what: &'static str,
    /// What is said of a file that is of another kind.
    pub(super) is_none: &'static str,
}

impl LineFile {
    /// The first line.
    pub(super) fn begin(&self) -> String {
        format!("{}{}\n", self.first, self.version)
    }

    /// The whole file, from all lines but the last.
    pub(super) fn end(mut text: String) -> Vec<u8> {
        let crc = crc32fast::hash(text.as_bytes());
        text.push_str(&format!("{LAST}{crc:08x}\n"));
        text.into_bytes()
    }

    /// Hands out the lines between the first and the last. `take` returns nothing for one that means nothing.
    pub(super) fn read(
        &self,
        bytes: &[u8],
        take: &mut dyn FnMut(&str) -> Option<()>,
    ) -> Result<(), Malformed> {
        self.check_version(bytes)?;
        let body = checked_body(bytes)?;
        let mut at = 0;
        for (number, line) in body.split_terminator('\n').enumerate() {
            // The first says the version.
            if number > 0 {
                take(line).ok_or_else(|| Malformed::invalid(at, format!("no such line: {line:?}")))?;
            }
            at += line.len() + 1;
        }
        Ok(())
    }

    fn check_version(&self, bytes: &[u8]) -> Result<(), Malformed> {
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let version = std::str::from_utf8(first).ok().and_then(|line| line.strip_prefix(self.first));
        match version.and_then(|version| version.parse::<u32>().ok()) {
            Some(found) if found == self.version => Ok(()),
            Some(found) if found > self.version => {
                Err(Malformed::Unsupported { what: self.what, found, supported: self.version })
            }
            _ => Err(Malformed::invalid(0, self.is_none)),
        }
    }
}

fn checked_body(bytes: &[u8]) -> Result<&str, Malformed> {
    const LAST_LEN: usize = LAST.len() + 9;
    let at = bytes.len().saturating_sub(LAST_LEN);
    let (body, last) = bytes.split_at_checked(at).unwrap_or_default();
    let expected = format!("{LAST}{:08x}\n", crc32fast::hash(body));
    if last != expected.as_bytes() {
        return Err(Malformed::invalid(at, "the checksum does not fit"));
    }
    std::str::from_utf8(body).map_err(|_| Malformed::invalid(0, "not UTF-8"))
}
