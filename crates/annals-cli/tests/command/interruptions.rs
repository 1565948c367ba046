//! Signals, kills and readers that go away in the middle.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::refusals::{annals, filled, said};

fn start(store: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_annals"))
        .arg("--store")
        .arg(store)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts")
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
}

fn lines_of(store: &Path) -> Vec<String> {
    let read = annals(store, &["consume", "--topic", "orders"]);
    assert!(read.status.success(), "{}", said(&read));
    String::from_utf8(read.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// Waits until `produce` has taken what it was given: it opens the store, and reads at once.
fn wait_for_records(store: &Path, bytes: u64) {
    let log = store.join("orders-0/00000000000000000000.log");
    for _ in 0..600 {
        // The file is allocated ahead: what is in it is what is not zero.
        let written = std::fs::read(&log).map_or(0, |all| all.iter().filter(|byte| **byte != 0).count());
        if written as u64 >= bytes {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("nothing was written");
}

#[test]
fn ctrl_c_ends_produce_after_what_it_has_read_is_on_the_disk() {
    for name in ["-INT", "-TERM"] {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("shop-log");
        filled(&store, 0);
        let mut child = start(&store, &["produce", "--topic", "orders", "--durability", "os"]);
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"one\ntwo\nthr").unwrap();
        wait_for_records(&store, 60);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", said(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "Sent 2 records to orders.\n");
        drop(input);
        assert_eq!(lines_of(&store), ["one", "two"]);
        assert!(annals(&store, &["verify"]).status.success());
    }
}

#[test]
fn a_reader_that_goes_away_ends_consume_in_peace() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("shop-log");
    filled(&store, 200_000);
    for arguments in
        [&["consume", "--topic", "orders"][..], &["consume", "--topic", "orders", "--group", "g"]]
    {
        let mut child = start(&store, arguments);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "order 0\n");
        drop(out);
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
    }
    // What was not taken by the reader comes again.
    let again = annals(&store, &["consume", "--topic", "orders", "--group", "g"]);
    let again = String::from_utf8(again.stdout).unwrap();
    let first: usize = again.lines().next().unwrap().strip_prefix("order ").unwrap().parse().unwrap();
    assert!(first < 200_000 && again.ends_with("order 199999\n"), "{first}");
    assert_eq!(again.lines().count(), 200_000 - first);
}

#[test]
fn a_killed_produce_leaves_a_prefix_of_what_it_was_given() {
    for _ in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("shop-log");
        filled(&store, 0);
        let mut child = start(&store, &["produce", "--topic", "orders"]);
        let mut input = child.stdin.take().unwrap();
        let feeder = thread::spawn(move || {
            for number in 0..5_000_000_u32 {
                if writeln!(input, "order {number}").is_err() {
                    return;
                }
            }
        });
        wait_for_records(&store, 100_000);
        child.kill().unwrap();
        child.wait().unwrap();
        feeder.join().unwrap();
        assert!(annals(&store, &["verify"]).status.success());
        let lines = lines_of(&store);
        assert!(lines.len() > 1000, "{}", lines.len());
        assert!(lines.iter().enumerate().all(|(at, line)| *line == format!("order {at}")));
        // And it goes on where it was.
        assert!(annals(&store, &["produce", "--topic", "orders", "--file", "/dev/null"]).status.success());
    }
}

#[test]
fn ctrl_c_ends_consume_after_a_whole_record() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("shop-log");
    filled(&store, 300_000);
    let mut child = start(&store, &["consume", "--topic", "orders"]);
    let mut out = child.stdout.take().unwrap();
    let mut all = vec![0; 1000];
    out.read_exact(&mut all).unwrap();
    signal(&child, "-INT");
    out.read_to_end(&mut all).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    let text = String::from_utf8(all).unwrap();
    assert!(text.ends_with('\n'));
    let lines = text.lines().count();
    assert!(lines < 300_000);
    assert!(text.lines().enumerate().all(|(at, line)| line == format!("order {at}")));
    assert!(annals(&store, &["verify"]).status.success());
}

#[test]
fn what_another_process_sends_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("shop-log");
    filled(&store, 3);
    let mut producer = start(&store, &["produce", "--topic", "orders", "--durability", "os"]);
    let mut input = producer.stdin.take().unwrap();
    input.write_all(b"one\n").unwrap();
    wait_for_records(&store, 100);
    let mut all = start(&store, &["consume", "--topic", "orders", "--follow", "--offset", "-2"]);
    let mut out = BufReader::new(all.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        line
    };
    assert_eq!([next(), next()], ["order 2\n", "one\n"]);
    for line in ["two", "three"] {
        writeln!(input, "{line}").unwrap();
        assert_eq!(next(), format!("{line}\n"));
    }
    signal(&all, "-INT");
    assert_eq!(all.wait().unwrap().code(), Some(130));
    let some = annals(
        &store,
        &["consume", "--topic", "orders", "--follow", "--from-beginning", "--max-messages", "6"],
    );
    assert_eq!(
        (some.status.code(), some.stdout.split(|byte| *byte == b'\n').count()),
        (Some(0), 7),
        "{}",
        said(&some)
    );
    drop(input);
    assert!(producer.wait().unwrap().success());
    // It begins at the end, and nobody writes any more.
    let none = annals(&store, &["consume", "--topic", "orders", "--follow", "--timeout", "50ms"]);
    assert_eq!((none.status.code(), none.stdout.len()), (Some(0), 0), "{}", said(&none));
}

#[test]
fn ctrl_c_ends_restore_and_leaves_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, copy, again) =
        (dir.path().join("shop-log"), dir.path().join("monday"), dir.path().join("again"));
    filled(&store, 100_000);
    let made = annals(&store, &["backup", "--to", copy.to_str().unwrap()]);
    assert!(made.status.success(), "{}", said(&made));
    let slowly = ["restore", "--from", copy.to_str().unwrap(), "--independent", "--max-rate", "100000"];
    let child = start(&again, &slowly);
    for _ in 0..600 {
        if again.join("orders-0").is_dir() {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert_eq!(said(&output), "annals: interrupted\n");
    assert!(std::fs::read_dir(&again).map_or(0, Iterator::count) == 0);
}

#[test]
fn ctrl_c_ends_import_and_what_was_appended_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("shop-log");
    filled(&store, 0);
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let child = start(&store, &["import", "--topic", "orders", "--from", pipe.to_str().unwrap()]);
    let mut input = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    for number in 0..200_000 {
        writeln!(input, "{{\"value\":\"order {number}\"}}").unwrap();
    }
    // More than a batch, so it has been read.
    wait_for_records(&store, 1_000_000);
    signal(&child, "-INT");
    // Who writes does not go away: the wait for more ends.
    let output = child.wait_with_output().unwrap();
    drop(input);
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    let lines = lines_of(&store);
    assert!(!lines.is_empty());
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(told, format!("Imported {} records into orders.\n", lines.len()));
}

#[test]
fn partitions_that_are_added_later_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("shop-log");
    filled(&store, 1);
    let follow = ["consume", "--topic", "orders", "--follow", "--from-beginning", "--max-messages", "3"];
    let mut follower = start(&store, &follow);
    let mut out = BufReader::new(follower.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(next(), "order 0\n");
    let added = annals(&store, &["topics", "alter", "--topic", "orders", "--partitions", "3"]);
    assert!(added.status.success(), "{}", said(&added));
    for (partition, line) in [("2", "two\n"), ("0", "zero\n")] {
        let mut producer = start(&store, &["produce", "--topic", "orders", "--partition", partition]);
        producer.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
        assert!(producer.wait().unwrap().success());
        assert_eq!(next(), line);
    }
    assert!(follower.wait().unwrap().success());
}

#[test]
fn a_group_follows_beside_the_process_that_writes() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("shop-log");
    filled(&store, 3);
    let mut producer = start(&store, &["produce", "--topic", "orders", "--durability", "os"]);
    let mut input = producer.stdin.take().unwrap();
    input.write_all(b"one\n").unwrap();
    wait_for_records(&store, 100);
    let mut follower = start(&store, &["consume", "--topic", "orders", "--follow", "--group", "g"]);
    let mut out = BufReader::new(follower.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        line
    };
    assert_eq!([next(), next(), next(), next()], ["order 0\n", "order 1\n", "order 2\n", "one\n"]);
    input.write_all(b"two\n").unwrap();
    assert_eq!(next(), "two\n");
    signal(&follower, "-INT");
    assert_eq!(follower.wait().unwrap().code(), Some(130));
    drop(input);
    assert!(producer.wait().unwrap().success());
    // All that was printed is committed, but the last batch perhaps, which a Ctrl-C may overtake.
    let again = annals(&store, &["consume", "--topic", "orders", "--group", "g"]);
    let again = String::from_utf8(again.stdout).unwrap();
    assert!(["", "two\n"].contains(&again.as_str()), "{again}");
}

#[test]
fn nobody_is_followed_for_by_a_reader_that_has_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("shop-log");
    filled(&store, 0);
    let verbs = [
        &["consume", "--topic", "orders", "--follow"][..],
        &["consume", "--topic", "orders", "--follow", "--group", "g"],
        &["top", "--interval", "1h"],
    ];
    for arguments in verbs {
        let mut child = start(&store, arguments);
        drop(child.stdout.take());
        let mut waited = 0;
        while child.try_wait().unwrap().is_none() {
            waited += 1;
            assert!(waited < 300, "{arguments:?} goes on");
            thread::sleep(Duration::from_millis(50));
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn ctrl_c_ends_a_backup_that_waits_for_its_pace() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("shop-log");
    filled(&store, 1000);
    let to = dir.path().join("copy");
    let slow = ["backup", "--independent", "--max-rate", "1", "--to", to.to_str().unwrap()];
    let child = start(&store, &slow);
    thread::sleep(Duration::from_millis(1000));
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
}

/// The pipe is full in the middle: what comes and goes then is nothing to a reader that has an end.
#[test]
fn what_comes_while_consume_and_export_print_is_not_theirs_and_what_goes_does_not_end_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop-log");
    filled(&path, 200_000);
    let store = annals::Store::open(&path).unwrap();
    let late = || store.producer().send(annals::Record::to("orders").value("late")).unwrap();
    let partition = store.topic("orders").unwrap().partition(0).unwrap();
    for verb in [&["consume", "--topic", "orders"][..], &["export", "--topic", "orders", "--to", "-"]] {
        let mut child = start(&path, verb);
        let mut out = child.stdout.take().unwrap();
        let mut all = vec![0; 1];
        out.read_exact(&mut all).unwrap();
        late();
        let end = partition.end();
        if verb[0] == "consume" {
            // All but what is printed by now, and what came late.
            partition.delete_records(end - 1).unwrap();
            for number in 0..200_000 {
                let value = format!("more {number}");
                store.producer().send(annals::Record::to("orders").value(&value)).unwrap();
            }
        }
        out.read_to_end(&mut all).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""), "{verb:?}");
        let text = String::from_utf8(all).unwrap();
        let lates = text.lines().filter(|line| line.contains("late")).count();
        assert_eq!(lates, usize::from(verb[0] == "export"), "{verb:?}");
        assert!(verb[0] == "export" || !text.contains("more"), "{verb:?}");
    }
    store.close().unwrap();
}

/// It was looked for a wish to end after each 1,024 records, which take as many waits for a disk.
#[test]
fn ctrl_c_does_not_wait_for_a_thousand_syncs() {
    for _ in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("shop-log");
        filled(&store, 0);
        let mut child = start(&store, &["produce", "--topic", "orders", "--durability", "disk"]);
        let mut input = child.stdin.take().unwrap();
        // All of them in one piece of the input.
        input.write_all("0123456789\n".repeat(20_000).as_bytes()).unwrap();
        wait_for_records(&store, 1_000);
        signal(&child, "-INT");
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", said(&output));
        let sent = String::from_utf8(output.stdout).unwrap();
        let sent: usize = sent.split(' ').nth(1).unwrap().parse().unwrap();
        assert_eq!(lines_of(&store).len(), sent);
        if !sent.is_multiple_of(1024) {
            return;
        }
    }
    panic!("it ended after a multiple of 1,024 records three times");
}

/// Nobody has named an offset: the first record that is left is as good.
#[test]
fn what_went_meanwhile_ended_who_had_named_a_time_or_the_last_records() {
    for start in [["--from-time", "1"], ["--offset", "-100000"]] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shop-log");
        filled(&path, 200_000);
        let store = annals::Store::open(&path).unwrap();
        let partition = store.topic("orders").unwrap().partition(0).unwrap();
        let mut child = start_with(&path, start);
        let mut out = child.stdout.take().unwrap();
        let mut all = vec![0; 1];
        out.read_exact(&mut all).unwrap();
        partition.delete_records(199_990).unwrap();
        out.read_to_end(&mut all).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""), "{start:?}");
        assert!(String::from_utf8(all).unwrap().ends_with("order 199999\n"), "{start:?}");
        store.close().unwrap();
    }
}

fn start_with(store: &Path, options: [&str; 2]) -> Child {
    start(store, &["consume", "--topic", "orders", options[0], options[1]])
}

/// What a transaction has written so far is there before who begins at the end.
#[test]
fn who_follows_from_the_end_was_printed_what_open_transactions_had_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop-log");
    filled(&path, 3);
    let store = annals::Store::open(&path).unwrap();
    let mut tx = store.transaction_builder("t").buffer_bytes(0).begin().unwrap();
    tx.send(annals::Record::to("orders").value("of a transaction")).unwrap();
    for level in ["read_committed", "read_uncommitted"] {
        let follow =
            ["consume", "--topic", "orders", "--follow", "--timeout", "300ms", "--isolation-level", level];
        let none = annals(&path, &follow);
        assert_eq!(
            (none.status.code(), String::from_utf8_lossy(&none.stdout).as_ref()),
            (Some(0), ""),
            "{level}"
        );
    }
    tx.commit().unwrap();
    store.close().unwrap();
}
