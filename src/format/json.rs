//! Records as lines of JSON, for people and other programs.
//!
//! ```text
//! {"type":"record","topic":"orders","partition":0,"offset":17,"timestamp":1732862067123,"key":"alice","value":"2 apples","headers":[{"key":"trace","value":"7f"}]}
//! ```
//!
//! Bytes that are UTF-8 stand under their name, others in hexadecimal under the name with `_hex`. Null is null.

use super::Malformed;
use crate::types::{Offset, Timestamp};

/// How deep members that are not looked at may be nested.
const DEPTH: usize = 64;
/// The letters of a name that are told.
const NAME_LETTERS: usize = 64;

/// What an export writes. Another member is a mistake: a misspelt `value` would be a record of null.
const MEMBERS: [&str; 10] =
    ["key", "value", "headers", "timestamp", "partition", "key_hex", "value_hex", "type", "topic", "offset"];
const MEMBERS_OF_HEADER: [&str; 3] = ["key", "value", "value_hex"];

/// A record as a line tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RecordLine {
    pub(crate) partition: Option<u32>,
    pub(crate) offset: Option<Offset>,
    pub(crate) timestamp: Option<Timestamp>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Puts `name` and bytes, or null.
pub(crate) fn put_bytes(out: &mut String, name: &str, bytes: Option<&[u8]>) {
    let text = bytes.map(std::str::from_utf8);
    out.push('"');
    out.push_str(name);
    match (bytes, text) {
        (Some(bytes), Some(Err(_))) => {
            out.push_str("_hex\":\"");
            bytes.iter().for_each(|byte| out.push_str(&format!("{byte:02x}")));
            out.push('"');
        }
        (_, Some(Ok(text))) => {
            out.push_str("\":");
            put_text(out, text);
        }
        _ => out.push_str("\":null"),
    }
}

/// Puts a string.
pub(crate) fn put_text(out: &mut String, text: &str) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

impl RecordLine {
    /// Reads a line. A member that none has, or that is there twice, is a fault.
    pub(crate) fn decode(line: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(line)
            .map_err(|error| Malformed::invalid(error.valid_up_to(), "not UTF-8"))?;
        let mut reader = Reader { text, at: 0 };
        let mut found = Self::default();
        let mut names = Names::of("record", &MEMBERS);
        reader.object(&mut |reader, name| {
            names.take(reader, name)?;
            found.member(reader, name)
        })?;
        reader.space();
        if reader.at < text.len() {
            return reader.fault("something follows the object");
        }
        Ok(found)
    }

    fn member(&mut self, reader: &mut Reader<'_>, name: &str) -> Result<(), Malformed> {
        match name {
            "partition" => self.partition = reader.number("a partition")?,
            "offset" => self.offset = reader.number("an offset")?,
            "timestamp" => self.timestamp = reader.number("a number of milliseconds")?,
            "key" | "key_hex" => reader.bytes(name == "key_hex", &mut self.key)?,
            "value" | "value_hex" => reader.bytes(name == "value_hex", &mut self.value)?,
            "headers" if reader.takes_word("null") => {}
            "headers" => {
                self.headers.clear();
                reader.list(&mut |reader| {
                    let (mut key, mut value) = (None, None);
                    let mut names = Names::of("header", &MEMBERS_OF_HEADER);
                    reader.object(&mut |reader, name| {
                        names.take(reader, name)?;
                        let into = if name == "key" { &mut key } else { &mut value };
                        reader.bytes(name == "value_hex", into)
                    })?;
                    let Some(key) = key.and_then(|key| String::from_utf8(key).ok()) else {
                        return reader.fault("a header has no key");
                    };
                    self.headers.push((key, value));
                    Ok(())
                })?;
            }
            _ => reader.skip(0)?,
        }
        Ok(())
    }
}

/// The members of an object, each of which may be there once.
struct Names {
    whose: &'static str,
    known: &'static [&'static str],
    /// A bit for each known one that was there.
    seen: u16,
}

impl Names {
    fn of(whose: &'static str, known: &'static [&'static str]) -> Self {
        Self { whose, known, seen: 0 }
    }

    fn take(&mut self, reader: &Reader<'_>, name: &str) -> Result<(), Malformed> {
        let told = || name.chars().take(NAME_LETTERS).collect::<String>();
        let Some(at) = self.known.iter().position(|known| *known == name) else {
            let known = self.known.join(", ");
            return reader.fault(format!("{:?} is no member of a {}: those are {known}", told(), self.whose));
        };
        if self.seen & (1 << at) != 0 {
            return reader.fault(format!("{:?} is there twice", told()));
        }
        self.seen |= 1 << at;
        Ok(())
    }
}

/// Reads JSON from front to back.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn fault<T>(&self, why: impl Into<std::borrow::Cow<'static, str>>) -> Result<T, Malformed> {
        Err(Malformed::Invalid { at: self.at, why: why.into() })
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn takes(&mut self, letter: char) -> bool {
        self.space();
        let is_there = self.rest().starts_with(letter);
        self.at += if is_there { letter.len_utf8() } else { 0 };
        is_there
    }

    fn takes_word(&mut self, word: &str) -> bool {
        self.space();
        let is_there = self.rest().starts_with(word);
        self.at += if is_there { word.len() } else { 0 };
        is_there
    }

    fn expect(&mut self, letter: char) -> Result<(), Malformed> {
        if self.takes(letter) { Ok(()) } else { self.fault(format!("{letter:?} is missing")) }
    }

    fn object(
        &mut self,
        member: &mut dyn FnMut(&mut Self, &str) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.expect('{')?;
        if self.takes('}') {
            return Ok(());
        }
        loop {
            let name = self.string()?;
            self.expect(':')?;
            member(self, &name)?;
            if self.takes('}') {
                return Ok(());
            }
            self.expect(',')?;
        }
    }

    fn list(&mut self, item: &mut dyn FnMut(&mut Self) -> Result<(), Malformed>) -> Result<(), Malformed> {
        self.expect('[')?;
        if self.takes(']') {
            return Ok(());
        }
        loop {
            item(self)?;
            if self.takes(']') {
                return Ok(());
            }
            self.expect(',')?;
        }
    }

    /// Any value, which nobody looks at.
    fn skip(&mut self, depth: usize) -> Result<(), Malformed> {
        if depth > DEPTH {
            return self.fault("nested too deep");
        }
        self.space();
        match self.rest().chars().next() {
            Some('"') => self.string().map(drop),
            Some('{') => self.object(&mut |reader, _| reader.skip(depth + 1)),
            Some('[') => self.list(&mut |reader| reader.skip(depth + 1)),
            _ => {
                let rest = self.rest();
                let word = rest.find([',', '}', ']', ' ', '\t']).unwrap_or(rest.len());
                let is_word = matches!(rest.get(..word), Some("null" | "true" | "false"));
                let is_number = rest.get(..word).is_some_and(|word| word.parse::<f64>().is_ok());
                if !is_word && !is_number {
                    return self.fault("no value");
                }
                self.at += word;
                Ok(())
            }
        }
    }

    fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<Option<T>, Malformed> {
        if self.takes_word("null") {
            return Ok(None);
        }
        let rest = self.rest();
        let end = rest.find(|letter: char| letter != '-' && !letter.is_ascii_digit()).unwrap_or(rest.len());
        match rest.get(..end).and_then(|digits| digits.parse().ok()) {
            Some(number) => {
                self.at += end;
                Ok(Some(number))
            }
            None => self.fault(format!("not {what}")),
        }
    }

    /// A string as bytes, or null, into what is not there yet.
    fn bytes(&mut self, is_hex: bool, into: &mut Option<Vec<u8>>) -> Result<(), Malformed> {
        if self.takes_word("null") {
            return Ok(());
        }
        if into.is_some() {
            return self.fault("it is there twice, as text and in hexadecimal");
        }
        let text = self.string()?;
        *into = if is_hex { Some(self.unhex(&text)?) } else { Some(text.into_bytes()) };
        Ok(())
    }

    fn unhex(&self, digits: &str) -> Result<Vec<u8>, Malformed> {
        let pair = |pair: &[u8]| {
            let text = std::str::from_utf8(pair).ok().filter(|_| pair.iter().all(u8::is_ascii_hexdigit))?;
            u8::from_str_radix(text, 16).ok().filter(|_| pair.len() == 2)
        };
        let bytes: Option<Vec<_>> = digits.as_bytes().chunks(2).map(pair).collect();
        bytes.map_or_else(|| self.fault("not pairs of hexadecimal digits"), Ok)
    }

    fn string(&mut self) -> Result<String, Malformed> {
        if !self.takes('"') {
            return self.fault("not a string: write objects and numbers as the text of one");
        }
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let plain = rest.find(['"', '\\']).unwrap_or(rest.len());
            let Some((before, behind)) = rest.split_at_checked(plain) else { return self.fault("no string") };
            if before.bytes().any(|byte| byte < b' ') {
                return self.fault("a control character in a string");
            }
            text.push_str(before);
            let ends = behind.starts_with('"');
            self.at += plain + usize::from(!behind.is_empty());
            if ends {
                return Ok(text);
            }
            if behind.is_empty() {
                return self.fault("the string does not end");
            }
            text.push(self.escaped()?);
        }
    }

    /// What a backslash, which was read, stands for.
    fn escaped(&mut self) -> Result<char, Malformed> {
        let Some(letter) = self.rest().chars().next() else { return self.fault("the string does not end") };
        self.at += letter.len_utf8();
        Ok(match letter {
            '"' | '\\' | '/' => letter,
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let unit = self.unit()?;
                let is_high = (0xd800..0xdc00).contains(&unit);
                if is_high && self.rest().starts_with("\\u") {
                    self.at += 2;
                    let low = Some(self.unit()?).filter(|low| (0xdc00..0xe000).contains(low));
                    let pair = low.map(|low| 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
                    return pair.and_then(char::from_u32).map_or_else(|| self.fault("half a character"), Ok);
                }
                return char::from_u32(unit).map_or_else(|| self.fault("half a character"), Ok);
            }
            _ => return self.fault("an unknown escape"),
        })
    }

    fn unit(&mut self) -> Result<u32, Malformed> {
        let digits =
            self.rest().get(..4).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(unit) => {
                self.at += 4;
                Ok(unit)
            }
            None => self.fault("\\u needs four hexadecimal digits"),
        }
    }
}

#[cfg(test)]
mod tests;
