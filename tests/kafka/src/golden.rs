//! Makes `tests/golden/kafka`: directories that a broker wrote, and what Kafka's consumers and tools say is in them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Answer;
use crate::cluster::Cluster;
use crate::files::copy;
use crate::java::{Java, output};

/// Where plain `cargo test` finds it.
fn destination() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/kafka")
}

/// Writes the golden files anew, through a broker that is started three times.
pub fn make(java: &Java) -> Answer<()> {
    let dir = tempfile::tempdir()?;
    let results = dir.path().join("results");
    let mut cluster = Cluster::create(java, dir.path(), 1)?;
    for act in ["first", "second", "third"] {
        cluster.start()?;
        let servers = cluster.servers();
        println!("{act}");
        java.judge(&["golden", act, &servers, &results.to_string_lossy()])?;
        cluster.stop()?;
    }
    let golden = destination();
    if golden.exists() {
        fs::remove_dir_all(&golden)?;
    }
    copy(&cluster.logs(0), &golden.join("logs"))?;
    copy(&results, &golden.join("expected"))?;
    dump(java, &golden.join("logs"), &golden.join("dumps"))
}

/// Kafka's own dump of every file, with the decoder that belongs to its topic.
fn dump(java: &Java, logs: &Path, dumps: &Path) -> Answer<()> {
    fs::create_dir_all(dumps)?;
    for entry in fs::read_dir(logs)? {
        let partition = entry?.path();
        if !partition.is_dir() {
            continue;
        }
        let name = partition.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let decoder = match name.as_str() {
            "__consumer_offsets-0" => "--offsets-decoder",
            "__transaction_state-0" => "--transaction-log-decoder",
            "__share_group_state-0" => "--share-group-state-decoder",
            _ => "--deep-iteration",
        };
        let mut files: Vec<_> = fs::read_dir(&partition)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        files.retain(|file| {
            let kind = file.extension().unwrap_or_default();
            ["log", "index", "timeindex", "txnindex", "snapshot"].iter().any(|wanted| kind == *wanted)
        });
        files.sort();
        let files: Vec<_> = files.iter().map(|file| file.to_string_lossy().into_owned()).collect();
        let mut command = java.command(256, "org.apache.kafka.tools.DumpLogSegments");
        command.args([decoder, "--files", &files.join(",")]);
        let text = output(&mut command)?;
        let here = format!("{}/", logs.canonicalize()?.display());
        fs::write(
            dumps.join(format!("{name}.txt")),
            text.replace(&here, "").replace(&format!("{}/", logs.display()), ""),
        )?;
    }
    Ok(())
}
