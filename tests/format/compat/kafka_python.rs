//! A third implementation, kafka-python, which keeps every header. Ignored unless asked for, since it needs Python packages:
//! `ANNALS_PYTHON=venv/bin/python cargo test --test format compat::kafka_python -- --ignored`; see `kafka_python.py` for which.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use annals::io::ManualClock;
use annals::{Store, TimestampType};

use crate::compat::files::{self, TOPIC};
use crate::compat::foreign::CODECS;
use crate::compat::samples::{self, NOON, Sample};

fn kafka_python(arguments: &[&str], input: &str) -> Vec<u8> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("format/compat/kafka_python.py");
    let python = std::env::var_os("ANNALS_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let mut command = Command::new(python);
    command.arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "kafka_python.py {arguments:?}");
    output.stdout
}

fn hex(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "-".to_owned() };
    bytes.iter().fold("x".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// The records as the script prints them.
fn lines(base: i64, samples: &[Sample], timestamp_type: u8) -> String {
    let line = |(offset, sample): (i64, &Sample)| {
        let (key, value) = (hex(sample.key.as_deref()), hex(sample.value.as_deref()));
        let mut line = format!("{offset} {} {timestamp_type} {key} {value}", sample.timestamp);
        for (name, value) in &sample.headers {
            write!(line, " {}={}", hex(Some(name.as_bytes())), hex(value.as_deref())).unwrap();
        }
        line + "\n"
    };
    (base..).zip(samples).map(line).collect()
}

fn read_by_kafka_python(store: &Path) -> String {
    let mut text = Vec::new();
    for base in files::logs(store).into_keys() {
        let path = files::partition_dir(store).join(format!("{base:020}.log"));
        text.extend(kafka_python(&["read", path.to_str().unwrap()], ""));
    }
    String::from_utf8(text).unwrap()
}

#[test]
#[ignore = "needs Python packages"]
fn kafka_python_reads_ours() {
    for (codec, _) in CODECS {
        for (name, samples) in samples::all() {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path()).unwrap();
            let config = files::config().compression_type(codec);
            let partition = store.create_topic(TOPIC, config).unwrap().partition(0).unwrap();
            files::append(&partition, &samples);
            store.close().unwrap();
            assert!(read_by_kafka_python(dir.path()) == lines(0, &samples, 0), "{name} in {codec:?}");
        }
    }
}

#[test]
#[ignore = "needs Python packages"]
fn kafka_python_reads_append_times() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path()).clock(Arc::new(ManualClock::at(NOON + 3))).open().unwrap();
    let config = files::config().message_timestamp_type(TimestampType::LogAppendTime);
    let partition = store.create_topic(TOPIC, config).unwrap().partition(0).unwrap();
    let mut samples = samples::every_combination();
    files::append(&partition, &samples);
    store.close().unwrap();
    samples.iter_mut().for_each(|sample| sample.timestamp = NOON + 3);
    assert_eq!(read_by_kafka_python(dir.path()), lines(0, &samples, 1));
}

#[test]
#[ignore = "needs Python packages"]
fn kafka_python_writes_what_we_read() {
    for codec in 0..CODECS.len() {
        for (_, samples) in samples::all() {
            let bytes = kafka_python(&["write", "1", &codec.to_string()], &lines(1, &samples, 0));
            let expected: Vec<_> = [files::first_record()].into_iter().chain((1..).zip(samples)).collect();
            let dir = files::killed_store_with(&bytes);
            files::assert_read(dir.path(), &bytes, &expected, i64::try_from(expected.len()).unwrap());
        }
    }
}
