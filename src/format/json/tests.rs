use super::*;

fn text(line: &str) -> Result<RecordLine, Malformed> {
    RecordLine::decode(line.as_bytes())
}

#[test]
fn every_string_comes_back_as_it_was() {
    let mut all: String = (0..0x300).filter_map(char::from_u32).collect();
    all.push_str("\u{2028}\u{ffff}\u{10000}\u{10ffff}");
    let mut line = String::from("{");
    put_bytes(&mut line, "key", Some(all.as_bytes()));
    line.push(',');
    put_bytes(&mut line, "value", Some(&[0xff, 0, 0x80]));
    line.push('}');
    let found = text(&line).unwrap();
    assert_eq!(found.key.unwrap(), all.as_bytes());
    assert_eq!(found.value.unwrap(), [0xff, 0, 0x80]);
}

#[test]
fn what_others_write_is_read() {
    let found = text(
        r#" { "type" : "record", "topic": [1.5e3, {"a": [true, "]"]}], "partition":3, "timestamp": -1,
             "key": "a\/\u00e9\ud83d\ude00\"", "value_hex": "00Ff", "headers": [ {"value":null, "key":""}, {"key":"k","value":"v"} ] } "#,
    );
    let found = found.unwrap();
    assert_eq!((found.partition, found.timestamp, found.offset), (Some(3), Some(-1), None));
    assert_eq!(found.key.unwrap(), "a/é😀\"".as_bytes());
    assert_eq!(found.value.unwrap(), [0, 0xff]);
    assert_eq!(found.headers, [(String::new(), None), ("k".to_owned(), Some(b"v".to_vec()))]);
    assert_eq!(text("{}").unwrap(), RecordLine::default());
    assert_eq!(text(r#"{"key":null,"headers":null,"key_hex":null}"#).unwrap(), RecordLine::default());
}

#[test]
fn a_member_that_no_record_has_or_that_is_there_twice_is_named() {
    let why = |line: &str| text(line).unwrap_err().to_string();
    for (line, name) in [
        (r#"{"vlaue":"v"}"#, r#""vlaue" is no member of a record: those are key, value, "#),
        (r#"{"key":"k","Value":null}"#, r#""Value" is no member of a record"#),
        (
            r#"{"headers":[{"key":"k","vlaue":"v"}]}"#,
            r#""vlaue" is no member of a header: those are key, value, "#,
        ),
        (r#"{"headers":[{"key_hex":"61"}]}"#, r#""key_hex" is no member of a header"#),
        (r#"{"timestamp":1,"timestamp":2}"#, r#""timestamp" is there twice"#),
        (r#"{"key":null,"key":"a"}"#, r#""key" is there twice"#),
        (r#"{"headers":[],"headers":[]}"#, r#""headers" is there twice"#),
        (r#"{"headers":[{"key":"k","value":null,"value":"v"}]}"#, r#""value" is there twice"#),
    ] {
        assert!(why(line).contains(name), "{line}: {}", why(line));
    }
    let each = MEMBERS.map(|name| format!("\"{name}\":null")).join(",");
    assert_eq!(text(&format!("{{{each}}}")).unwrap(), RecordLine::default());
    assert!(why(&format!("{{\"{}\":1}}", "x".repeat(1 << 20))).len() < 400);
}

#[test]
fn what_is_no_record_is_refused_and_nothing_panics() {
    for line in [
        "",
        "[]",
        "{",
        r#"{"key":1}"#,
        r#"{"key":"a","key_hex":"61"}"#,
        r#"{"key_hex":"6"}"#,
        r#"{"key_hex":"+6"}"#,
        r#"{"key":"a"} x"#,
        r#"{"key":"\ud800"}"#,
        r#"{"key":"\ud800A"}"#,
        r#"{"key":"\ud800\u0041"}"#,
        r#"{"key":"\udbff\udbff"}"#,
        r#"{"key":"\q"}"#,
        r#"{"partition":-1}"#,
        r#"{"partition":1.5}"#,
        r#"{"headers":[{"value":"v"}]}"#,
        r#"{"type":nothing}"#,
        "{\"key\":\"\n\"}",
    ] {
        assert!(text(line).is_err(), "{line}");
    }
    assert!(text(&format!("{{\"type\":{}", "[".repeat(100_000))).is_err());
    let good = r#"{"type":"record","partition":0,"key":"aé\n","headers":[{"key":"k","value_hex":"ff"}]}"#;
    for len in 0..good.len() {
        assert!(RecordLine::decode(&good.as_bytes()[..len]).is_err(), "{len}");
    }
}
