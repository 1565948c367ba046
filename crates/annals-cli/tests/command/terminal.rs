//! What a terminal is shown. `script` runs the command in one.

use std::path::Path;
use std::process::Command;

use annals::{Store, TopicConfig};

/// What `command` prints in a terminal of that kind.
fn shown(dir: &Path, kind: &str, command: &str) -> String {
    let done = Command::new("script")
        .args(["-qec", command, "/dev/null"])
        .current_dir(dir)
        .env("PATH", crate::transcript::path_with_binary())
        .env("ANNALS_STORE", "shop-log")
        .env("TERM", kind)
        .env_remove("NO_COLOR")
        .output()
        .expect("script runs");
    assert!(done.status.success(), "{done:?}");
    String::from_utf8_lossy(&done.stdout).replace("\r\n", "\n")
}

fn store_with_group(dir: &Path, group: &str) {
    let store = Store::open(dir.join("shop-log")).unwrap();
    store.create_topic("orders", TopicConfig::new()).unwrap();
    let mut consumer = store.consumer(group).unwrap();
    consumer.assign([("orders", 0)]).unwrap();
    consumer.commit_offsets([(("orders", 0).into(), 0)]).unwrap();
    consumer.close().unwrap();
    store.close().unwrap();
}

#[test]
fn a_terminal_obeys_no_name_of_a_group() {
    let dir = tempfile::tempdir().unwrap();
    store_with_group(dir.path(), "bill\u{1b}[2Jing\u{9b}31m");
    for verb in ["groups list", "groups describe", "stats", "top -n 1 --interval 20ms"] {
        let text = shown(dir.path(), "dumb", &format!("annals {verb}"));
        assert!(text.contains("bill\\x1b[2Jing\\xc2\\x9b31m"), "{verb}: {text:?}");
        assert!(!text.contains(['\u{1b}', '\u{9b}']), "{verb}: {text:?}");
    }
    let refused = "annals --store 'no\u{1b}[2J' topics list; true";
    let text = shown(dir.path(), "dumb", refused);
    assert!(text.contains("no\\x1b[2J holds no store") && !text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn a_dumb_terminal_gets_neither_colours_nor_a_page() {
    let dir = tempfile::tempdir().unwrap();
    store_with_group(dir.path(), "billing");
    assert!(shown(dir.path(), "xterm", "annals groups describe").contains("\u{1b}[1mGROUP"));
    let text = shown(dir.path(), "dumb", "annals groups describe");
    assert!(text.starts_with("GROUP") && !text.contains('\u{1b}'), "{text:?}");
    let text = shown(dir.path(), "dumb", "timeout -s INT 1 annals top --interval 100ms; true");
    assert!(text.contains("orders") && !text.contains('\u{1b}'), "{text:?}");
}

#[test]
fn ctrl_c_on_the_page_of_top_is_130() {
    let dir = tempfile::tempdir().unwrap();
    store_with_group(dir.path(), "billing");
    let typed = "(sleep 1; printf '\\003'; sleep 1) | script -qec 'stty cols 80 rows 24; annals top; echo status $?' /dev/null";
    let done = Command::new("sh")
        .args(["-c", typed])
        .current_dir(dir.path())
        .env("PATH", crate::transcript::path_with_binary())
        .env("ANNALS_STORE", "shop-log")
        .env("TERM", "xterm")
        .output()
        .expect("sh runs");
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(text.contains("\u{1b}[?1049h") && text.contains("status 130"), "{text:?}");
}
