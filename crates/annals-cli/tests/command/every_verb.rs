//! Every verb in every situation that a shell meets: what it answers, and that the store is sound afterwards.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use annals::Store;
use tempfile::TempDir;

use crate::refusals::said;

/// What a verb needs of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Reading,
    /// To have it open alone, or to write.
    Writing,
    /// It makes one where there is none.
    Making,
    /// It works on files, or on none.
    Nothing,
}

/// Each with what makes it do and print something in the world below.
const VERBS: &[(&str, Needs)] = &[
    ("topics list", Needs::Reading),
    ("topics describe", Needs::Reading),
    ("topics create --topic new", Needs::Making),
    ("topics alter --topic orders --config retention.ms=30d", Needs::Writing),
    ("topics delete --topic orders", Needs::Writing),
    ("produce --topic orders --file lines", Needs::Writing),
    ("consume --topic orders", Needs::Reading),
    ("consume --topic orders --group shipping", Needs::Writing),
    ("groups list", Needs::Reading),
    ("groups describe", Needs::Reading),
    ("groups reset --group billing --topic orders --to-earliest", Needs::Reading),
    ("groups reset --group billing --topic orders --to-earliest --execute", Needs::Writing),
    ("groups delete --group billing", Needs::Writing),
    ("queue list", Needs::Reading),
    ("queue take --topic orders --group packers", Needs::Reading),
    ("queue dead-letters --topic orders --group packers", Needs::Writing),
    ("queue redrive --topic orders --group packers", Needs::Writing),
    ("tx list", Needs::Reading),
    ("stats", Needs::Reading),
    ("top --iterations 1 --interval 10ms", Needs::Reading),
    ("plan --target-rate 5 --producer-rate 2 --consumer-rate 2", Needs::Nothing),
    ("dump shop-log/orders-0", Needs::Nothing),
    ("verify", Needs::Writing),
    ("repair --copies taken-out", Needs::Writing),
    ("compact --topic prices", Needs::Writing),
    ("retention", Needs::Writing),
    ("erase --topic orders --key a", Needs::Writing),
    ("delete-records --topic orders --partition 0 --offset 1", Needs::Writing),
    ("backup --to copy", Needs::Writing),
    ("restore --from backup --store restored", Needs::Nothing),
    ("export --topic orders --to orders.jsonl", Needs::Reading),
    ("import --topic orders --from lines.jsonl", Needs::Writing),
    ("adopt --topic taken files/orders-0", Needs::Making),
    ("completions bash", Needs::Nothing),
    ("manual", Needs::Nothing),
];
/// One has something to do only after a process has died, the other becomes another program, which `mirror.rs` puts in its place.
const ELSEWHERE: [&str; 2] = ["tx abort", "mirror"];

/// A store, and what verbs are given, made once and copied for each.
struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = "annals topics create --topic orders --config retention.bytes=100 --config segment.bytes=200
            annals topics create --topic prices --config cleanup.policy=compact
            for i in 1 2 3 4; do printf 'a\\tthis is order number %s\\n' $i | annals produce --topic orders --parse-key; done
            printf 'a\\t1\\na\\t2\\n' | annals produce --topic prices --parse-key
            annals consume --topic orders --group billing --max-messages 1
            annals queue take --topic orders --group packers --max-messages 1 --reject no
            annals backup --to backup && cp -r shop-log files
            seq 100 > lines && printf '{\"value\":\"5\"}\\n' > lines.jsonl";
        let made = sh(dir.path(), &format!("set -e\n{script}"));
        assert!(made.status.success(), "{}", said(&made));
        Self { dir }
    }

    /// As it was made.
    fn again(&self) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let all = PathBuf::from(self.dir.path()).join(".");
        assert!(Command::new("cp").arg("-r").args([&*all, dir.path()]).status().unwrap().success());
        dir
    }
}

fn command(dir: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir).env("PATH", crate::transcript::path_with_binary());
    command.env("ANNALS_STORE", "shop-log").env_remove("NO_COLOR");
    command
}

fn sh(dir: &Path, script: &str) -> Output {
    command(dir, "sh").args(["-c", script]).output().expect("sh runs")
}

fn annals(dir: &Path, verb: &str) -> Command {
    let mut annals = command(dir, "annals");
    annals.args(verb.split(' '));
    annals
}

fn expect(dir: &Path, verb: &str, status: i32) {
    let output = annals(dir, verb).output().unwrap();
    assert_eq!(output.status.code(), Some(status), "{verb}: {}", said(&output));
    if status != 0 {
        let words = said(&output);
        assert!(words.starts_with("annals: ") || words.starts_with("error: "), "{verb}: {words}");
    }
}

/// The verbs that `annals help` names.
fn leaves() -> BTreeSet<String> {
    let listed = |above: &str| {
        let output = annals(Path::new("."), format!("help {above}").trim()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let rows = text.split("Commands:\n").nth(1).unwrap_or_default();
        let rows = rows.lines().take_while(|row| !row.is_empty()).filter(|row| !row.starts_with("   "));
        let names = rows.filter_map(|row| row.split_whitespace().next().map(str::to_owned));
        names.filter(|name| name != "help").collect::<Vec<_>>()
    };
    let mut leaves = BTreeSet::new();
    for verb in listed("") {
        match listed(&verb) {
            inner if inner.is_empty() => drop(leaves.insert(verb)),
            inner => leaves.extend(inner.into_iter().map(|inner| format!("{verb} {inner}"))),
        }
    }
    leaves
}

#[test]
fn every_verb_is_in_this_table_and_in_a_transcript() {
    let leaves = leaves();
    assert!(leaves.len() > 25 && leaves.contains("topics create"), "{leaves:?}");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let texts = std::fs::read_dir(dir).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()));
    let transcripts: String = texts.map(Result::unwrap).collect();
    let typed = |verb: &str| {
        let mut typed = transcripts.lines().filter(|line| line.starts_with("$ "));
        typed.any(|line| line.contains(&format!("annals {verb}")) || line.contains(&format!(" {verb} ")))
    };
    for verb in leaves {
        assert!(
            VERBS.iter().any(|(one, _)| one.starts_with(&verb)) || ELSEWHERE.contains(&verb.as_str()),
            "{verb}"
        );
        assert!(typed(&verb) || verb == "mirror", "no transcript has {verb}");
    }
}

#[test]
fn with_a_store_without_one_and_with_one_of_a_newer_version() {
    let world = World::new();
    for (verb, needs) in VERBS {
        expect(world.again().path(), verb, 0);
        expect(world.again().path(), &format!("{verb} --nonsense"), 2);
        let gone = world.again();
        std::fs::rename(gone.path().join("shop-log"), gone.path().join("elsewhere")).unwrap();
        std::fs::create_dir(gone.path().join("shop-log")).unwrap();
        let is_made = [Needs::Making, Needs::Nothing].contains(needs) && !verb.starts_with("dump");
        expect(gone.path(), verb, if is_made { 0 } else { 3 });
        let is_empty = std::fs::read_dir(gone.path().join("shop-log")).unwrap().next().is_none();
        assert_eq!(is_empty, *needs != Needs::Making, "{verb}");
        let newer = world.again();
        let list = newer.path().join("shop-log/annals.topics");
        let text =
            std::fs::read_to_string(&list).unwrap().replacen("annals.topics 1\n", "annals.topics 99\n", 1);
        std::fs::write(&list, &text).unwrap();
        expect(newer.path(), verb, if *needs == Needs::Nothing { 0 } else { 9 });
        assert_eq!(std::fs::read_to_string(&list).unwrap(), text, "{verb}");
    }
}

#[test]
fn beside_the_process_that_has_the_store() {
    let world = World::new();
    let dir = world.again();
    let store = Store::open(dir.path().join("shop-log")).unwrap();
    for (verb, needs) in VERBS {
        let is_refused = [Needs::Writing, Needs::Making].contains(needs);
        expect(dir.path(), verb, if is_refused { 5 } else { 0 });
    }
    expect(dir.path(), "tx abort nobody", 5);
    store.close().unwrap();
}

#[test]
fn where_the_output_takes_nothing_or_nobody_reads_it() {
    let world = World::new();
    for (verb, _) in VERBS {
        let dir = world.again();
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = annals(dir.path(), verb).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(8), "{verb}: {}", said(&output));
        assert!(said(&output).contains("cannot write to standard output"), "{verb}: {}", said(&output));
        expect(dir.path(), "verify", 0);
        let dir = world.again();
        let (read, write) = std::io::pipe().unwrap();
        drop(read);
        let output = annals(dir.path(), verb).stdout(write).output().unwrap();
        assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""), "{verb}");
        expect(dir.path(), "verify", 0);
    }
}

/// `id` prints 0 for root, whom no permission stops: the command runs as nobody then.
#[test]
fn without_permission() {
    let world = World::new();
    let dir = world.again();
    let as_nobody = "if [ \"$(id -u)\" = 0 ]; then
            setpriv --reuid 65534 --regid 65534 --clear-groups annals \"$@\"
        else
            annals \"$@\"
        fi";
    let script = format!(
        "chmod 755 . && chmod -R a+rX . && chmod 000 shop-log\n{as_nobody}\nstatus=$?; chmod 700 shop-log; exit $status"
    );
    for (verb, needs) in VERBS.iter().filter(|(_, needs)| *needs != Needs::Nothing) {
        let mut refused = command(dir.path(), "sh");
        refused.args(["-c", &script, "sh"]).args(verb.split(' '));
        let refused = refused.output().unwrap();
        assert_eq!(refused.status.code(), Some(7), "{verb} {needs:?}: {}", said(&refused));
        assert!(said(&refused).contains("Permission denied"), "{verb}: {}", said(&refused));
    }
}

#[test]
fn killed_in_the_middle() {
    let world = World::new();
    let writers = VERBS.iter().filter(|(_, needs)| [Needs::Writing, Needs::Making].contains(needs));
    for (at, (verb, _)) in writers.enumerate() {
        let dir = world.again();
        let mut annals = annals(dir.path(), verb);
        let mut child = annals.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(at as u64 * 7 % 40));
        child.kill().unwrap();
        child.wait().unwrap();
        expect(dir.path(), "verify", 0);
        expect(dir.path(), "stats", 0);
        // And it can be worked with.
        expect(dir.path(), "topics create --topic after", 0);
    }
}

#[test]
fn a_queue_and_a_group_that_are_used_in_another_process() {
    let world = World::new();
    let dir = world.again();
    let store = Store::open(dir.path().join("shop-log")).unwrap();
    let worker = store.queue("orders", "packers").unwrap();
    expect(dir.path(), "queue take --topic orders --group packers", 5);
    drop(worker);
    expect(dir.path(), "queue take --topic orders --group packers", 0);
    let mut billing = store.consumer("billing").unwrap();
    billing.subscribe(["orders"]).unwrap();
    billing.poll(Duration::ZERO).unwrap();
    expect(dir.path(), "consume --topic orders --group billing --follow --timeout 10ms", 5);
    store.close().unwrap();
}

/// A limit of the size of files stands for a disk: the system answers with EFBIG where it would with ENOSPC. The smaller it is, the earlier a
/// verb comes to it.
#[test]
fn on_a_full_disk() {
    let world = World::new();
    let mut full = Vec::new();
    for (verb, needs) in VERBS {
        let mut was_full = false;
        for blocks in [0, 1, 2, 4, 8, 16, 64, 256] {
            let dir = world.again();
            let limited = format!("ulimit -f {blocks}; exec annals {verb}");
            let output = sh(dir.path(), &limited);
            let (status, words) = (output.status.code(), said(&output));
            assert!([Some(0), Some(8)].contains(&status), "{verb}, {blocks}: {status:?} {words}");
            if status == Some(8) {
                was_full = true;
                assert!(words.starts_with("annals: "), "{verb}, {blocks}: {words}");
            }
            expect(dir.path(), "verify", 0);
            expect(dir.path(), "stats", 0);
            // There is room again.
            if status == Some(8) {
                expect(dir.path(), verb, 0);
                expect(dir.path(), "verify", 0);
            }
        }
        let others = ["restore", "export", "queue take"];
        let writes = [Needs::Writing, Needs::Making].contains(needs)
            || others.iter().any(|other| verb.starts_with(other));
        // Some have nothing to write in this store; what only reads never does.
        assert!(writes || !was_full, "{verb}");
        if was_full {
            full.push(verb);
        }
    }
    for sure in ["produce", "topics create", "topics alter", "import", "restore", "backup", "export"] {
        assert!(full.iter().any(|verb| verb.starts_with(sure)), "{sure}: {full:?}");
    }
}
