//! Commits that a power cut has left above the end of their partition, in another process, around the moment at which an owner sets them
//! back.

use std::time::Duration;

use annals::{Consumer, Durability, Error, Record, Store, StoreReader, TopicConfig};
use tempfile::TempDir;

use crate::groups::{committed, member, read};
use crate::hooked::{Hook, Hooked};
use crate::pair::{child, dir_of_child, kill, say, wait_for};
use crate::world::{
    EMFILE, ORDERS, attach, attach_hooked, attach_on, cut_log, fill, killed, length_of, make_room, open,
    open_on, owned, refuse, send,
};

/// Where the first partition ends after the power cut, and what was committed.
const END: i64 = 3;
const COMMITTED: i64 = 6;

/// Who had the group.
#[derive(Debug, Clone, Copy)]
enum By {
    /// It is in the topic of commits.
    Owner,
    /// It is in the spool.
    Another,
}

/// What a power cut leaves that takes the last records which were read and committed.
fn cut_below(by: By) -> TempDir {
    let (dir, store) = owned(END);
    let length = length_of(&store, ORDERS);
    send(&store, COMMITTED - END);
    let commit = |mut billing: Consumer| {
        billing.commit_offsets([((ORDERS, 0).into(), COMMITTED)]).unwrap();
    };
    match by {
        By::Owner => commit(member(store.consumer_builder()).unwrap()),
        By::Another => commit(member(attach(dir.path()).consumer_builder()).unwrap()),
    }
    let copy = killed(store, dir.path());
    cut_log(copy.path(), ORDERS, length);
    copy
}

/// Sends as many as were lost, and one more.
fn send_again(store: &Store) {
    send(store, COMMITTED - END + 1);
}

fn position(billing: &mut Consumer) -> i64 {
    billing.position((ORDERS, 0)).unwrap()
}

#[test]
fn a_member_that_could_not_see_the_end_began_at_a_commit_above_it() {
    for by in [By::Owner, By::Another] {
        let dir = cut_below(by);
        let (hooked, reader) = attach_hooked(dir.path());
        refuse(&hooked, "orders-0", EMFILE);
        let mut billing = reader.consumer("billing").unwrap();
        assert!(matches!(billing.assign([(ORDERS, 0)]), Err(Error::Io { .. })), "{by:?}");
        billing.subscribe([ORDERS]).unwrap();
        let polled = billing.poll(Duration::from_secs(1));
        assert!(matches!(polled, Err(Error::Io { .. })), "{by:?}: {polled:?}");
        assert!(matches!(billing.position((ORDERS, 0)), Err(Error::Io { .. })), "{by:?}");
        assert!(matches!(billing.lag(), Err(Error::Io { .. })), "{by:?}");
        make_room(&hooked);
        assert_eq!(position(&mut billing), END, "{by:?}");
        let store = open(dir.path());
        send_again(&store);
        assert_eq!(read(&mut billing), 4, "{by:?}");
    }
}

#[test]
fn a_partition_whose_end_a_member_could_not_see_kept_the_others_from_it() {
    let dir = cut_below(By::Owner);
    let store = open(dir.path());
    store.create_topic("payments", TopicConfig::new()).unwrap();
    store.producer().send(Record::to("payments").value("5")).unwrap();
    store.close().unwrap();
    let (hooked, reader) = attach_hooked(dir.path());
    refuse(&hooked, "orders-0", EMFILE);
    let mut billing = reader.consumer("billing").unwrap();
    billing.subscribe([ORDERS, "payments"]).unwrap();
    let polls: Vec<_> = (0..4).map(|_| billing.poll(Duration::from_secs(1))).collect();
    let read: Vec<_> =
        polls.iter().flatten().flat_map(|records| records.iter().map(|one| one.topic().to_owned())).collect();
    assert_eq!(read, ["payments"], "{polls:?}");
    assert!(polls.iter().any(|poll| matches!(poll, Err(Error::Io { .. }))), "{polls:?}");
}

/// Attached when nobody has the store open; an owner comes, and sends, right before the first look at the partition.
fn attached_before_an_owner(by: By) -> (TempDir, StoreReader) {
    let dir = cut_below(by);
    let hooked = Hooked::new();
    let reader = attach_on(dir.path(), hooked.files());
    let path = dir.path().to_owned();
    hooked.at_open(move |opened| {
        if !opened.to_string_lossy().contains("orders-0") {
            return Ok(Hook::Stays);
        }
        let store = open(&path);
        send_again(&store);
        std::mem::forget(store);
        Ok(Hook::IsOver)
    });
    (dir, reader)
}

#[test]
fn a_member_began_above_records_sent_between_its_look_at_the_commit_and_that_at_the_end() {
    for by in [By::Owner, By::Another] {
        let (_dir, reader) = attached_before_an_owner(by);
        let mut billing = member(reader.consumer_builder()).unwrap();
        assert_eq!(position(&mut billing), END, "{by:?}");
        assert_eq!(read(&mut billing), 4, "{by:?}");
        // What other processes are told is no other.
        let (_dir, reader) = attached_before_an_owner(by);
        assert_eq!(committed(reader.committed("billing")), [END], "{by:?}");
    }
}

/// The owner has no room to fold the commit, and sets it back where it stands before it appends anything.
#[test]
fn a_member_began_above_records_sent_in_one_life_between_its_look_at_the_commit_and_that_at_the_end() {
    let dir = cut_below(By::Another);
    let full = Hooked::new();
    fill(&full, "__consumer_offsets");
    let store = open_on(dir.path(), full.files());
    let (hooked, reader) = attach_hooked(dir.path());
    hooked.at_open(move |opened| {
        if !opened.to_string_lossy().contains("orders-0") {
            return Ok(Hook::Stays);
        }
        send_again(&store);
        std::mem::forget(store.clone());
        Ok(Hook::IsOver)
    });
    let mut billing = member(reader.consumer_builder()).unwrap();
    assert_eq!(position(&mut billing), END);
    assert!(hooked.is_over(), "it was not reached");
    assert_eq!(read(&mut billing), 4);
}

/// A member that goes on at the end, and has read by now what was sent in the place of what was lost.
fn read_what_was_sent_again(
    by: By,
    reader: &StoreReader,
    store: impl FnOnce() -> Store,
) -> (Store, Consumer) {
    let builder = reader.consumer_builder().auto_commit(Duration::from_secs(3_600));
    let mut billing = member(builder).unwrap();
    assert_eq!(position(&mut billing), END, "{by:?}");
    // Nothing is looked up any more.
    billing.position((ORDERS, 1)).unwrap();
    let store = store();
    send(&store, COMMITTED - END);
    assert_eq!(read(&mut billing), 3, "{by:?}");
    (store, billing)
}

#[test]
fn a_commit_of_what_was_sent_in_the_place_of_lost_records_stored_nothing() {
    for by in [By::Owner, By::Another] {
        let dir = cut_below(by);
        let reader = attach(dir.path());
        let (store, mut billing) = read_what_was_sent_again(by, &reader, || open(dir.path()));
        billing.commit().unwrap();
        drop(billing);
        assert_eq!(committed(store.committed("billing"))[0], COMMITTED, "{by:?}");
    }
}

#[test]
fn a_consumer_that_was_closed_after_its_reader_did_not_say_that_nothing_was_committed() {
    for by in [By::Owner, By::Another] {
        let dir = cut_below(by);
        let reader = attach(dir.path());
        let (_store, billing) = read_what_was_sent_again(by, &reader, || open(dir.path()));
        drop(reader);
        assert!(matches!(billing.close(), Err(Error::NotCommitted { .. })), "{by:?}");
    }
}

/// Where nothing is to be committed, nothing is written.
#[test]
fn what_a_look_has_found_committed_is_not_committed_again() {
    let (dir, store) = owned(END);
    let mut billing = member(store.consumer_builder()).unwrap();
    assert_eq!(read(&mut billing), 3);
    billing.commit().unwrap();
    drop(billing);
    let reader = attach(dir.path());
    let mut again = member(reader.consumer_builder()).unwrap();
    assert_eq!(read(&mut again), 0);
    again.commit().unwrap();
    let spool = std::fs::read(dir.path().join("annals.spool"));
    assert!(spool.is_err(), "{} bytes", spool.unwrap().len());
}

#[test]
fn a_commit_made_while_lost_ones_were_folded_was_taken_for_one_of_them() {
    let dir = cut_below(By::Another);
    let hooked = Hooked::new();
    // No room for commits at the open: what is in the spool is set back there.
    fill(&hooked, "__consumer_offsets");
    let store = open_on(dir.path(), hooked.files());
    make_room(&hooked);
    let reader = attach(dir.path());
    let mut billing = member(reader.consumer_builder()).unwrap();
    assert_eq!(position(&mut billing), END);
    let sender = store.clone();
    hooked.at_open(move |path| {
        if !path.ends_with("annals.spool") {
            return Ok(Hook::Stays);
        }
        send(&sender, COMMITTED - END);
        billing.commit_offsets([((ORDERS, 0).into(), COMMITTED)]).unwrap();
        Ok(Hook::IsOver)
    });
    assert_eq!(committed(store.committed("billing")), [COMMITTED]);
    assert!(hooked.is_over(), "it was not reached");
    assert_eq!(committed(attach(dir.path()).committed("billing")), [COMMITTED]);
}

#[test]
fn folds_until_it_is_killed() {
    let Some(dir) = dir_of_child() else { return };
    let store = open(&dir);
    assert_eq!(committed(store.committed("billing"))[0], COMMITTED);
    say("folded");
    std::thread::sleep(Duration::from_secs(600));
}

/// Records go that a process has read and committed which lives on, and whoever has the store next sets that back, and sends others in their place.
struct SetBack {
    dir: TempDir,
    reader: StoreReader,
    by: By,
    length: u64,
}

impl SetBack {
    fn new(by: By) -> Self {
        let (dir, store) = owned(END);
        let length = length_of(&store, ORDERS);
        send(&store, COMMITTED - END);
        let dir = killed(store, dir.path());
        let reader = attach(dir.path());
        Self { dir, reader, by, length }
    }

    /// A member that has read and committed all there was.
    fn member(&self) -> Consumer {
        let builder = self.reader.consumer_builder().auto_commit(Duration::from_secs(3_600));
        let mut billing = member(builder.commit_durability(Durability::Disk)).unwrap();
        assert_eq!(i64::try_from(read(&mut billing)).unwrap(), COMMITTED, "{:?}", self.by);
        billing.commit().unwrap();
        billing
    }

    fn set_back(&self) -> Store {
        if let By::Owner = self.by {
            let mut owner = child("set_back::folds_until_it_is_killed", self.dir.path(), 0);
            let lines = wait_for(&mut owner, "folded");
            kill(owner);
            drop(lines);
        }
        cut_log(self.dir.path(), ORDERS, self.length);
        let store = open(self.dir.path());
        assert_eq!(committed(store.committed("billing"))[0], END, "{:?}", self.by);
        send_again(&store);
        store
    }
}

#[test]
fn a_commit_of_its_own_that_an_owner_had_set_back_was_known_to_a_member_and_not_made_again() {
    for by in [By::Owner, By::Another] {
        let world = SetBack::new(by);
        let mut billing = world.member();
        let store = world.set_back();
        billing.commit().unwrap();
        assert_eq!(committed(store.committed("billing"))[0], COMMITTED, "{by:?}");
        assert_eq!(read(&mut billing), 1, "{by:?}: it goes on where it stands");
    }
}

#[test]
fn a_consumer_that_was_closed_after_its_reader_took_a_commit_that_was_set_back_for_one_that_holds() {
    for by in [By::Owner, By::Another] {
        let world = SetBack::new(by);
        let billing = world.member();
        let _store = world.set_back();
        drop(world.reader);
        assert!(matches!(billing.close(), Err(Error::NotCommitted { .. })), "{by:?}");
    }
}

#[test]
fn a_consumer_that_looked_up_a_commit_before_it_was_set_back_began_there_and_passed_over_what_was_sent_again()
{
    for by in [By::Owner, By::Another] {
        let world = SetBack::new(by);
        drop(world.member());
        let mut billing = world.reader.consumer("billing").unwrap();
        billing.assign([(ORDERS, 0)]).unwrap();
        let _store = world.set_back();
        assert_eq!(billing.lag().unwrap(), 4, "{by:?}");
        assert_eq!(position(&mut billing), END, "{by:?}");
        assert_eq!(read(&mut billing), 4, "{by:?}");
    }
}
