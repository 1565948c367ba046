//! `annals mirror` runs a program of its own, with what stands behind it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::refusals::said;

const SCRIPT: &str = "#!/bin/sh\necho \"$(basename \"$(dirname \"$0\")\"), $ANNALS_STORE: $*\"\nexit 7\n";

/// The command where nothing but what the test puts there stands beside it.
fn alone(dir: &Path) -> Command {
    let command = dir.join("annals");
    fs::hard_link(env!("CARGO_BIN_EXE_annals"), &command).unwrap();
    Command::new(command)
}

fn stand_in(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let program = dir.join("annals-mirror");
    fs::write(&program, SCRIPT).unwrap();
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
}

fn run(command: &mut Command, path: &Path, words: &[&str]) -> Output {
    command.env_remove("ANNALS_STORE").env("PATH", format!("{}:/usr/bin:/bin", path.display()));
    command.args(words).output().unwrap()
}

fn printed(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[test]
fn mirror_gives_all_words_to_the_program_beside_it_or_to_the_one_in_the_path() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (beside, path) = (dir.path().join("beside"), dir.path().join("path"));
    stand_in(&path);
    fs::create_dir(&beside).unwrap();
    let words = ["--store", "/srv/shop-log", "mirror", "out", "--servers", "h:1", "--help", "--json"];
    assert_eq!(
        printed(&run(&mut alone(&beside), &path, &words)),
        (7, "path, /srv/shop-log: out --servers h:1 --help --json".to_owned())
    );
    stand_in(&beside);
    let mut command = Command::new(beside.join("annals"));
    assert_eq!(
        printed(&run(&mut command, &path, &["mirror", "in", "-X", "a=b"])),
        (7, "beside, : in -X a=b".to_owned())
    );
}

#[test]
fn where_there_is_no_such_program_mirror_says_how_to_get_it() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let output = run(&mut alone(dir.path()), Path::new("/nowhere"), &["mirror", "out"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("cargo install --path crates/annals-mirror"), "{}", said(&output));
    let output = run(&mut Command::new(dir.path().join("annals")), Path::new("/nowhere"), &["mirror"]);
    assert_eq!(output.status.code(), Some(2));
}
