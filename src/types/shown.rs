//! Bytes as `{:?}` prints them: text where they are text, escaped bytes where they are not.

use std::fmt;

/// ```text
/// "2 apples"
/// b"\x00\x01"
/// ```
pub(crate) struct Shown<'a>(pub(crate) &'a [u8]);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match str::from_utf8(self.0) {
            Ok(text) => fmt::Debug::fmt(text, f),
            Err(_) => write!(f, "b\"{}\"", self.0.escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Shown;
    use crate::types::Record;

    #[test]
    fn text_is_shown_as_text_and_anything_else_as_bytes() {
        assert_eq!(format!("{:?}", Shown("2 Äpfel\n".as_bytes())), r#""2 Äpfel\n""#);
        assert_eq!(format!("{:?}", Shown(b"")), r#""""#);
        assert_eq!(format!("{:?}", Shown(b"a\xff\"\0")), r#"b"a\xff\"\x00""#);
    }

    #[test]
    fn a_record_to_send_shows_what_it_holds() {
        let record = Record::to("orders").key("alice").header("trace", &[0xfe]).null_header("none");
        assert_eq!(
            format!("{record:?}"),
            "Record { topic: Some(\"orders\"), partition: None, timestamp: None, key: Some(\"alice\"), value: None, \
             headers: [Header { key: \"trace\", value: Some(b\"\\xfe\") }, Header { key: \"none\", value: None }] }"
        );
    }
}
