//! Does a program cope with a full disk? A test to copy: a small program that counts votes, on a disk that is full from one
//! call on, for every call of the program's life.
//!
//! ```sh
//! cargo run --example full_disk
//! ```

use std::sync::Arc;

use annals::io::FileSystem;
use annals::{Durability, Record, Result, Store, TopicConfig};
use annals_testing::{Call, Fault, FaultyFileSystem, MemoryFileSystem, Times};

const ENOSPC: i32 = 28;

/// The program: takes what voters send, and says which of them it has for good.
fn take_votes(files: Arc<dyn FileSystem>, votes: &[&str]) -> Result<Vec<String>> {
    let store = Store::builder("/votes").file_system(files).maintain_by_hand().open()?;
    let votes_topic = store.ensure_topic("votes", TopicConfig::new())?.partition(0)?;
    let mut taken = Vec::new();
    for vote in votes {
        match votes_topic.append(&[Record::new().value(*vote)], Durability::Disk) {
            Ok(_) => taken.push((*vote).to_owned()),
            Err(error) if error.is_disk_full() => {} // the voter is asked to come again
            Err(error) => return Err(error),
        }
    }
    store.close()?;
    Ok(taken)
}

fn main() -> Result<()> {
    let votes = ["ann", "bob", "ann", "eve"];
    for nth in 0.. {
        let memory = MemoryFileSystem::new();
        let disk = FaultyFileSystem::over(Arc::new(memory.clone()));
        // What needs space fails, from the nth call on; what frees some goes on.
        let needs_space = [Call::Create, Call::CreateDir, Call::Write, Call::Allocate];
        disk.fail(&needs_space, "", (nth, Times::ForEver), Fault::Error(ENOSPC));
        let said = take_votes(disk.clone(), &votes);
        if disk.trace().iter().all(|done| !done.struck) {
            println!("{nth} places at which the disk was full: every vote that was taken is there");
            return Ok(());
        }
        disk.heal();
        // Whatever happened, the program can be started again, and what it said to have is there.
        let again = take_votes(disk, &["zoe"])?;
        assert_eq!(again, ["zoe"]);
        let store = Store::builder("/votes").file_system(Arc::new(memory)).open()?;
        let mut found = Vec::new();
        for record in store.topic("votes")?.partition(0)?.read_from(0)? {
            found.push(record?.value.unwrap_or_default());
        }
        for vote in said.unwrap_or_default() {
            let at = found.iter().position(|there| *there == vote.as_bytes());
            assert!(at.map(|at| found.remove(at)).is_some(), "{vote}'s vote is lost");
        }
    }
    Ok(())
}
