//! A limit of the system that is met at one call of a program's life, whichever it is: no free descriptor, no address space
//! (`ulimit -v`), no further map, no byte and no inode on the disk.
//!
//! The call does its work or says why not; what was acknowledged can be read meanwhile, where reading needs nothing; once the limit
//! is lifted the same call works, and so do all others. Nothing is lost, and the process goes on.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod life;
mod limits;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use annals::{Error, Store};

use life::{Life, STEPS};
use limits::Limit;

const DIR: &str = "ANNALS_EACH_CALL_DIR";
const LIMIT: &str = "ANNALS_EACH_CALL_LIMIT";

/// Runs the child under one limit, in a directory of its own or on the small disk that `options` says.
fn under(limit: Limit, options: Option<&str>) {
    let _alone = crate::alone();
    let place = tempfile::Builder::new().tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    if let Some(options) = options {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "annals-test"])
            .arg(place.path())
            .output();
        if !mount.is_ok_and(|done| done.status.success()) {
            eprintln!("not run: this user may not mount a file system");
            return;
        }
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "each_call::a_child_under_a_limit", "--test-threads=1", "--nocapture"]);
    let done = child.env(DIR, place.path()).env(LIMIT, limit.name()).stdin(Stdio::null()).output().unwrap();
    if options.is_some() {
        Command::new("umount").arg("--lazy").arg(place.path()).status().unwrap();
    }
    let said = String::from_utf8_lossy(&done.stderr).into_owned() + &String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{limit:?}: {}, {said}", done.status);
    assert!(said.contains("all calls were tried"), "{said}");
    assert!(said.contains("was refused"), "no call met the limit: {said}");
    println!("{said}");
}

#[test]
fn without_a_free_descriptor() {
    under(Limit::Descriptors, None);
}

#[test]
#[cfg(target_env = "gnu")]
fn without_address_space() {
    under(Limit::AddressSpace, None);
}

#[test]
#[cfg(target_env = "gnu")]
fn without_another_map() {
    under(Limit::Maps, None);
}

#[test]
fn without_a_free_byte() {
    under(Limit::Space, Some("size=64m"));
}

#[test]
fn without_a_free_inode() {
    under(Limit::Inodes, Some("size=64m,nr_inodes=600"));
}

/// Does nothing unless another test starts it: its limits hold for the whole process.
#[test]
fn a_child_under_a_limit() {
    let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
    let limit = Limit::named(&std::env::var(LIMIT).unwrap());
    limits::prepare(limit);
    for at in 0..STEPS.len() {
        meets_it_at(&dir, limit, at);
        std::fs::remove_dir_all(dir.join("store")).unwrap();
        std::fs::remove_dir_all(dir.join("copy")).ok();
    }
    println!("all calls were tried");
}

/// A whole life; the limit holds during one of its calls.
fn meets_it_at(dir: &Path, limit: Limit, at: usize) {
    let mut life = Life::new(dir);
    for (step, (name, call)) in STEPS.iter().enumerate() {
        let what = format!("{limit:?} at {name:?}, in {:?}", STEPS[at].0);
        if step != at {
            call(&mut life).unwrap_or_else(|error| panic!("{what}: {error}"));
            continue;
        }
        let held = limits::impose(limit, dir);
        let outcome = call(&mut life);
        let read = life.read_all(&what);
        drop(held);
        // With descriptors wanting a file that is not open cannot be read, and says so.
        let may_fail = limit == Limit::Descriptors;
        assert!(may_fail || read.is_ok(), "{what}: what is there cannot be read: {read:?}");
        for error in outcome.as_ref().err().into_iter().chain(read.as_ref().err()) {
            check_words(error, limit, &what);
            println!("{name} was refused: {error}");
        }
        life.read_all(&what).unwrap_or_else(|error| panic!("{what}: {error}"));
        // A store is closed once: what could not be done then, the next open does.
        if outcome.is_err() && *name != "close" {
            call(&mut life).unwrap_or_else(|error| panic!("{what}, once more: {error}"));
        }
    }
    life.read_all("at the end").unwrap();
    life.end();
    let report = Store::verify(dir.join("store")).unwrap();
    assert!(report.is_sound(), "{limit:?} at {:?}: {report:?}", STEPS[at].0);
}

/// What is wanting is said, and nothing else is blamed.
fn check_words(error: &Error, limit: Limit, what: &str) {
    assert!(!error.is_corruption(), "{what}: {error}");
    if matches!(limit, Limit::Space | Limit::Inodes) {
        assert!(error.is_disk_full(), "{what}: {error:?}");
    }
    assert!(error.is_retriable(), "{what}: {error:?}");
}
