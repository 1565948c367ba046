//! One line of JSON.

use std::fmt::{self, Write};

use crate::show::hex;

/// A JSON object as it grows. Its first member is `type`.
#[derive(Debug, Default)]
pub(crate) struct Object(String);

/// A JSON array.
#[derive(Debug, Default)]
pub(crate) struct List(String);

impl Object {
    /// An object inside another, which has no type.
    pub(crate) fn inner() -> Self {
        Self::default()
    }

    pub(crate) fn new(kind: &str) -> Self {
        Self::default().text("type", kind)
    }

    fn name(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        quote(name, &mut self.0);
        self.0.push(':');
    }

    pub(crate) fn raw(mut self, name: &str, json: impl fmt::Display) -> Self {
        self.name(name);
        add(&mut self.0, format_args!("{json}"));
        self
    }

    pub(crate) fn number(self, name: &str, number: impl fmt::Display) -> Self {
        self.raw(name, number)
    }

    pub(crate) fn maybe_number(self, name: &str, number: Option<impl fmt::Display>) -> Self {
        match number {
            Some(number) => self.raw(name, number),
            None => self.raw(name, "null"),
        }
    }

    pub(crate) fn truth(self, name: &str, truth: bool) -> Self {
        self.raw(name, truth)
    }

    pub(crate) fn text(mut self, name: &str, text: &str) -> Self {
        self.name(name);
        quote(text, &mut self.0);
        self
    }

    pub(crate) fn maybe_text(self, name: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(name, text),
            None => self.raw(name, "null"),
        }
    }

    pub(crate) fn list(self, name: &str, list: List) -> Self {
        self.raw(name, list)
    }

    /// Text where it is UTF-8, hexadecimal under another name where not.
    pub(crate) fn bytes(self, name: &str, bytes: Option<&[u8]>) -> Self {
        match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
            None => self.raw(name, "null"),
            Some((Ok(text), _)) => self.text(name, text),
            Some((Err(_), bytes)) => self.text(&format!("{name}_hex"), &hex(bytes)),
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.0)
    }
}

impl List {
    pub(crate) fn of<T>(items: impl IntoIterator<Item = T>, show: impl Fn(T) -> Object) -> Self {
        let mut list = Self::default();
        items.into_iter().for_each(|item| list.add(&show(item).to_string()));
        list
    }

    pub(crate) fn of_texts<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Self {
        let mut list = Self::default();
        for item in items {
            let mut quoted = String::new();
            quote(item.as_ref(), &mut quoted);
            list.add(&quoted);
        }
        list
    }

    fn add(&mut self, json: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(json);
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.0)
    }
}

/// Writing to a `String` cannot fail.
fn add(to: &mut String, arguments: fmt::Arguments<'_>) {
    let Ok(()) = to.write_fmt(arguments) else { return };
}

/// A JSON string. Beyond what JSON asks for, U+007F and U+0080 to U+009F are escaped: terminals obey them.
fn quote(text: &str, to: &mut String) {
    to.push('"');
    let mut plain = 0;
    for (at, letter) in text.char_indices() {
        if !(letter.is_control() || letter == '"' || letter == '\\') {
            continue;
        }
        to.push_str(text.get(plain..at).unwrap_or_default());
        plain = at + letter.len_utf8();
        match letter {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            '\n' => to.push_str("\\n"),
            '\r' => to.push_str("\\r"),
            '\t' => to.push_str("\\t"),
            control => add(to, format_args!("\\u{:04x}", u32::from(control))),
        }
    }
    to.push_str(text.get(plain..).unwrap_or_default());
    to.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_a_parser_reads() {
        let text = "a\"\\\n\t\r\u{1}\u{7f}\u{9b}é end";
        let inner = List::of([1, 2], |n| Object::inner().number("n", n));
        let object = Object::new("sample")
            .text("text", text)
            .bytes("key", Some(b"\xff\x00"))
            .bytes("value", Some(b"v"))
            .bytes("none", None)
            .maybe_number("ratio", Some(0.5))
            .truth("truth", true)
            .list("list", inner)
            .list("texts", List::of_texts(["a", "\""]));
        let line = object.to_string();
        assert!(!line.contains('\u{9b}') && !line.contains('\n'));
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["type"], "sample");
        assert_eq!(read["text"], text);
        assert_eq!(read["key_hex"], "ff00");
        assert_eq!(read["value"], "v");
        assert!(read["none"].is_null());
        assert_eq!(read["list"][1]["n"], 2);
        assert_eq!(read["texts"][1], "\"");
    }
}
