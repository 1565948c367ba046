//! What the system or the store refuses, and the status that says so.

use std::path::Path;
use std::process::{Command, Output};

use annals::{Durability, Record, Store, TopicConfig};

use crate::schema::{check, documented};

pub(crate) fn annals(store: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_annals"))
        .arg("--store")
        .arg(store)
        .args(arguments)
        .env_remove("ANNALS_STORE")
        .output()
        .expect("the command runs")
}

fn sh(dir: &Path, script: &str) -> Output {
    Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .env("PATH", crate::transcript::path_with_binary())
        .env("ANNALS_STORE", "shop-log")
        .output()
        .expect("sh runs")
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A store with `count` records in a topic `orders`.
pub(crate) fn filled(path: &Path, count: usize) {
    let store = Store::open(path).unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    let producer = store.producer_builder().durability(Durability::Memory).build().unwrap();
    for number in 0..count {
        producer.send(Record::to("orders").value(&format!("order {number}"))).unwrap();
    }
    store.close().unwrap();
}

#[test]
fn beside_the_process_that_writes_readers_work_and_writers_are_told_who_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop-log");
    filled(&path, 3);
    let store = Store::open(&path).unwrap();
    for verb in [
        &["topics", "create", "--topic", "more"][..],
        &["consume", "--topic", "orders", "--group", "billing"],
        &["produce", "--topic", "orders", "--file", "/dev/null"],
        &["verify"],
        &["repair", "--copies", "/tmp/none"],
        &["groups", "delete", "--group", "billing"],
        &["compact"],
        &["backup", "--to", "/tmp/none"],
    ] {
        let refused = annals(&path, verb);
        assert_eq!(refused.status.code(), Some(5), "{verb:?}: {}", said(&refused));
        assert!(said(&refused).contains(&format!("process {}", std::process::id())), "{}", said(&refused));
    }
    let mut billing = store.consumer("billing").unwrap();
    billing.subscribe(["orders"]).unwrap();
    billing.commit_offsets([(("orders", 0).into(), 1)]).unwrap();
    let printed = |arguments: &[&str]| {
        let output = annals(&path, arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(printed(&["consume", "--topic", "orders"]), "order 0\norder 1\norder 2\n");
    store.producer().send(Record::to("orders").value("order 3")).unwrap();
    assert_eq!(printed(&["consume", "--topic", "orders", "--offset", "-1"]), "order 3\n");
    assert!(printed(&["topics", "list"]).contains("orders\n"));
    assert!(printed(&["topics", "describe", "--topic", "orders", "--json"]).contains("\"end\":4"));
    let group = printed(&["groups", "describe", "--group", "billing", "--json"]);
    assert!(group.contains("\"committed\":1,\"end\":4,\"lag\":3"), "{group}");
    assert!(
        printed(&["groups", "reset", "--group", "billing", "--topic", "orders", "--to-latest"]).contains('4')
    );
    assert!(printed(&["stats"]).contains("billing"));
    assert!(printed(&["top", "-n", "1", "--interval", "20ms"]).contains("orders"));
    let orders = path.join("orders-0");
    let shown = annals(&path, &["dump", "--print-data-log", orders.to_str().unwrap()]);
    assert_eq!(shown.status.code(), Some(0), "{}", said(&shown));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("payload: order 2"));
    store.close().unwrap();
    assert_eq!(annals(&path, &["topics", "list"]).status.code(), Some(0));
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop-log");
    filled(&path, 3);
    let list = path.join("annals.topics");
    let text = std::fs::read_to_string(&list).unwrap();
    let newer = text.replacen("annals.topics 1\n", "annals.topics 99\n", 1);
    assert_ne!(text, newer);
    std::fs::write(&list, &newer).unwrap();
    for verb in
        [&["topics", "list"][..], &["topics", "create", "--topic", "x"], &["consume", "--topic", "orders"]]
    {
        let refused = annals(&path, verb);
        assert_eq!(refused.status.code(), Some(9), "{verb:?}: {}", said(&refused));
        assert!(said(&refused).contains("open it with a newer annals"), "{}", said(&refused));
    }
    assert_eq!(std::fs::read_to_string(&list).unwrap(), newer);
}

/// `id` prints 0 for root, whom no permission stops: the command runs as nobody then.
#[test]
fn what_may_not_be_read_is_refused_by_the_system() {
    let dir = tempfile::tempdir().unwrap();
    filled(&dir.path().join("shop-log"), 3);
    let script = "chmod 755 . && chmod 700 shop-log
        if [ \"$(id -u)\" = 0 ]; then
            exec setpriv --reuid 65534 --regid 65534 --clear-groups annals topics list
        else
            chmod 000 shop-log; annals topics list; status=$?; chmod 700 shop-log; exit $status
        fi";
    let refused = sh(dir.path(), script);
    assert_eq!(refused.status.code(), Some(7), "{}", said(&refused));
    assert!(said(&refused).contains("Permission denied"), "{}", said(&refused));
    let read = sh(dir.path(), "annals consume --topic orders");
    assert_eq!(String::from_utf8_lossy(&read.stdout), "order 0\norder 1\norder 2\n");
}

#[test]
fn what_may_only_be_read_is_verified() {
    let dir = tempfile::tempdir().unwrap();
    filled(&dir.path().join("shop-log"), 3);
    let script = "chmod 755 . && chmod -R a+rX shop-log && rm -f shop-log/.lock
        if [ \"$(id -u)\" = 0 ]; then
            exec setpriv --reuid 65534 --regid 65534 --clear-groups annals verify
        else
            chmod 555 shop-log; annals verify; status=$?; chmod 755 shop-log; exit $status
        fi";
    let sound = sh(dir.path(), script);
    assert_eq!(sound.status.code(), Some(0), "{}", said(&sound));
    assert!(String::from_utf8_lossy(&sound.stdout).ends_with(": sound\n"));
    assert!(!dir.path().join("shop-log/.lock").exists());
}

#[test]
fn a_full_disk_ends_produce_and_what_was_told_of_is_there() {
    let dir = tempfile::tempdir().unwrap();
    filled(&dir.path().join("shop-log"), 1);
    // A limit of the size of files stands for a disk: the system answers with EFBIG where it would with ENOSPC.
    let script = "head -c 4000000 /dev/urandom | base64 > lines
        ulimit -f 1024; annals produce --topic orders --file lines";
    let full = sh(dir.path(), script);
    assert_eq!(full.status.code(), Some(8), "{}", said(&full));
    let told = String::from_utf8(full.stdout).unwrap();
    assert!(sh(dir.path(), "annals verify").status.success());
    // What came before the failure is there, in order, and the next run goes on.
    let lines = std::fs::read_to_string(dir.path().join("lines")).unwrap();
    let read = sh(dir.path(), "annals consume --topic orders");
    let read = String::from_utf8(read.stdout).unwrap();
    let read: Vec<_> = read.lines().skip(1).collect();
    let expected: Vec<_> = lines.lines().take(read.len()).collect();
    assert!(read == expected && read.len() < lines.lines().count(), "{} lines", read.len());
    assert_eq!(told, format!("Sent {} records to orders.\n", read.len()));
    assert!(sh(dir.path(), "echo more | annals produce --topic orders").status.success());
}

#[test]
fn a_full_disk_under_the_output_is_said() {
    let dir = tempfile::tempdir().unwrap();
    filled(&dir.path().join("shop-log"), 10);
    let full = sh(dir.path(), "annals consume --topic orders > /dev/full");
    assert_eq!(full.status.code(), Some(8), "{}", said(&full));
    assert!(said(&full).contains("cannot write to standard output"), "{}", said(&full));
    // A member of a group commits what the output took, and no more.
    assert_eq!(sh(dir.path(), "annals consume --topic orders --group g > /dev/full").status.code(), Some(8));
    let again = sh(dir.path(), "annals consume --topic orders --group g");
    assert_eq!(String::from_utf8_lossy(&again.stdout).lines().count(), 10);
}

/// Puts the beginning of a batch where a write was cut off.
fn tear(store: &Path, documented: &std::collections::BTreeMap<String, std::collections::BTreeSet<String>>) {
    let orders = store.join("orders-0");
    let dumped = annals(store, &["dump", orders.to_str().unwrap(), "--json"]);
    let text = String::from_utf8(dumped.stdout).unwrap();
    assert!(text.lines().all(|line| check(line, documented).is_ok()));
    let mut objects = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let segment = objects.clone().rfind(|object| object["type"] == "segment").unwrap();
    let zeros = objects.rfind(|object| object["type"] == "zeros").unwrap();
    let log = segment["path"].as_str().unwrap();
    let mut bytes = std::fs::read(log).unwrap();
    let at = usize::try_from(zeros["position"].as_u64().unwrap()).unwrap();
    bytes.copy_within(0..30, at);
    std::fs::write(log, bytes).unwrap();
}

/// Objects that need transactions, a store that was not closed, or damage of a kind that no one-liner makes.
#[test]
fn what_no_transcript_prints_is_as_documented_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop-log");
    let store = Store::open(&path).unwrap();
    store.create_topic("orders", TopicConfig::new().index_interval_bytes(64).segment_bytes(400)).unwrap();
    for number in 0..5 {
        let mut tx = store.transaction_builder("t").buffer_bytes(1024).begin().unwrap();
        for _ in 0..50 {
            tx.send(Record::to("orders").key("k").value(&[b'x'; 100])).unwrap();
        }
        if number % 2 == 0 { tx.abort().unwrap() } else { drop(tx.commit().unwrap()) }
    }
    store
        .producer_builder()
        .durability(Durability::Disk)
        .build()
        .unwrap()
        .send(Record::to("orders").value("1"))
        .unwrap();
    // As a kill leaves it, with a torn batch behind what is durable.
    let killed = dir.path().join("killed");
    let copied = Command::new("cp").arg("-r").args([&path, &killed]).status().unwrap();
    assert!(copied.success());
    store.close().unwrap();
    let documented = documented();
    let mut seen = std::collections::BTreeSet::new();
    let mut look = |store: &Path, arguments: &[&str]| {
        let output = annals(store, &[arguments, &["--json"]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        for line in text.lines() {
            seen.insert(check(line, &documented).unwrap());
        }
    };
    look(&path, &["dump", "--indexes", "--print-data-log", path.join("orders-0").to_str().unwrap()]);
    tear(&killed, &documented);
    look(&killed, &["verify"]);
    look(&killed, &["stats"]);
    for kind in [
        "index",
        "time_index",
        "transaction_index",
        "snapshot",
        "producer",
        "recovery",
        "record",
        "torn",
        "verified",
    ] {
        assert!(seen.contains(kind), "{kind} was not printed: {seen:?}");
    }
}

#[test]
fn dead_letters_are_shown_and_sent_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shop-log");
    filled(&path, 3);
    let store = Store::open(&path).unwrap();
    let mut worker = store.queue("orders", "packers").unwrap();
    for message in worker.take(2, std::time::Duration::from_secs(5)).unwrap() {
        message.reject("no box is large enough").unwrap();
    }
    drop(worker);
    store.close().unwrap();
    let documented = documented();
    let printed = |arguments: &[&str]| {
        let output = annals(&path, &[&["queue"], arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", said(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().for_each(|line| drop(check(line, &documented).unwrap()));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<serde_json::Value>>()
    };
    let of_queue = ["--topic", "orders", "--group", "packers"];
    let listed = |unfinished: [u32; 2], handed_out: u32| {
        let queues = printed(&["list"]);
        let find = |topic: &str| queues.iter().find(|queue| queue["topic"] == topic).unwrap();
        let (packers, letters) = (find("orders"), find("orders.packers.dead"));
        assert_eq!((&packers["group"], &letters["letters_of"]), (&"packers".into(), &"orders".into()));
        assert_eq!(
            [&packers["unfinished"], &letters["unfinished"]],
            unfinished.map(serde_json::Value::from).each_ref()
        );
        assert_eq!(packers["handed_out"], handed_out);
    };
    listed([1, 2], 0);
    // A look takes nothing away.
    for _ in 0..2 {
        let letters = printed(&[&["dead-letters"], &of_queue[..]].concat());
        let offsets: Vec<_> = letters.iter().map(|letter| letter["offset"].as_i64().unwrap()).collect();
        assert_eq!(offsets, [0, 1]);
        assert!(letters.iter().all(|letter| letter["reason"] == "no box is large enough"));
        assert_eq!((&letters[1]["value"], &letters[1]["delivery_count"]), (&"order 1".into(), &1.into()));
    }
    let back = printed(&[&["redrive"], &of_queue[..], &["--max-messages", "1"]].concat());
    assert_eq!(back[0]["messages"], 1);
    let letters = printed(&[&["dead-letters"], &of_queue[..]].concat());
    assert_eq!((letters.len(), &letters[0]["offset"]), (1, &1.into()));
    let read = annals(&path, &["consume", "--topic", "orders"]);
    assert_eq!(String::from_utf8_lossy(&read.stdout), "order 0\norder 1\norder 2\norder 0\n");
    let none = annals(&path, &["queue", "redrive", "--topic", "orders", "--group", "nobody"]);
    assert_eq!(none.status.code(), Some(3), "{}", said(&none));
    let service = Store::open(&path).unwrap();
    // Beside it, and each time what it has done by then.
    listed([2, 1], 0);
    let mut worker = service.queue("orders", "packers").unwrap();
    let mut taken = worker.take(2, std::time::Duration::from_secs(5)).unwrap().into_iter();
    listed([2, 1], 2);
    taken.next().unwrap().ack().unwrap();
    taken.next().unwrap().reject("it does not fit").unwrap();
    listed([0, 2], 0);
    let shown = annals(&path, &[&["queue", "dead-letters"], &of_queue[..]].concat());
    assert_eq!(shown.status.code(), Some(5), "{}", said(&shown));
    assert!(
        said(&shown).contains("`annals consume --topic orders.packers.dead --print-headers`"),
        "{}",
        said(&shown)
    );
    let instead = annals(&path, &["consume", "--topic", "orders.packers.dead", "--print-headers"]);
    assert!(
        String::from_utf8_lossy(&instead.stdout).contains("no box is large enough"),
        "{}",
        said(&instead)
    );
}
