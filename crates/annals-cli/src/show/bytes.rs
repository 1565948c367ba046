//! Keys and values as text.

use std::fmt::{self, Write as _};
use std::io::{self, Write};

/// Lower case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The bytes that hexadecimal digits stand for; `None` when they are not pairs of them.
pub(crate) fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    let digit = |letter: u8| char::from(letter).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// How keys, values and headers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bytes {
    /// As they are.
    Raw,
    /// For a terminal, which obeys control characters: those are escaped.
    Escaped,
    Hex,
}

impl Bytes {
    pub(crate) fn write(self, bytes: &[u8], to: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Raw => to.write_all(bytes),
            Self::Escaped => write!(to, "{}", Escaped(bytes)),
            Self::Hex => to.write_all(hex(bytes).as_bytes()),
        }
    }
}

/// Bytes as text for a terminal: control characters and what is no UTF-8 as `\x1b`.
pub(crate) struct Escaped<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '\\' => f.write_str("\\\\")?,
                    '\t' => f.write_str("\t")?,
                    control if control.is_control() => {
                        let mut room = [0; 4];
                        for byte in control.encode_utf8(&mut room).bytes() {
                            write!(f, "\\x{byte:02x}")?;
                        }
                    }
                    plain => write!(f, "{plain}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Lines for a terminal: other control characters than their ends and tabs as `\x1b`.
pub(crate) struct Tame<'a>(pub(crate) &'a str);

impl fmt::Display for Tame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            if !letter.is_control() || matches!(letter, '\n' | '\t') {
                f.write_char(letter)?;
                continue;
            }
            letter.encode_utf8(&mut [0; 4]).bytes().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_goes_there_and_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unhex(hex(&all).as_bytes()), Some(all));
        assert_eq!(hex(&[0xff, 0x00, 0x1a]), "ff001a");
        assert_eq!(unhex(b"FF0"), None);
        assert_eq!(unhex(b"zz"), None);
        assert_eq!(unhex(b""), Some(Vec::new()));
    }

    #[test]
    fn a_terminal_is_sent_no_control_characters() {
        assert_eq!(Escaped(b"a\x1b[31mb\xff\\").to_string(), "a\\x1b[31mb\\xff\\\\");
        assert_eq!(Escaped("\u{9b}31m é".as_bytes()).to_string(), "\\xc2\\x9b31m é");
        assert_eq!(Tame("a\x1b[31m\\\n\u{9b}é").to_string(), "a\\x1b[31m\\\n\\xc2\\x9bé");
    }
}
