//! Stores whose list of topics is lost.
#![expect(clippy::disallowed_methods, reason = "the test meddles with the files as somebody else would")]

use std::sync::Arc;

use super::*;
use crate::io::OsFileSystem;
use crate::topic::config::TopicConfig;

/// A partition of topic `id` in store 1.
fn found(topic: &str, number: u32, id: Option<u128>) -> Found {
    let identity = id.map(|topic| Identity { store: 1, topic, partition: number });
    Found { topic: topic.to_owned(), number, identity, had_records: true }
}

fn empty() -> Catalog {
    Catalog { store: 1, topics: BTreeMap::new(), deleted: [9].into() }
}

fn listed(catalog: &Catalog) -> Vec<(&str, u128, u32)> {
    catalog.topics.iter().map(|(name, topic)| (name.as_str(), topic.id, topic.partitions)).collect()
}

#[test]
fn a_list_that_is_lost_comes_back_from_what_is_there() {
    let mut catalog = empty();
    let there = [
        found("orders", 2, None),
        found("orders", 0, Some(7)),
        found("deleted", 0, Some(9)),
        Found { identity: Some(Identity { store: 5, topic: 6, partition: 0 }), ..found("copied", 0, None) },
        Found { had_records: false, ..found("empty", 0, Some(8)) },
    ];
    assert_eq!(adopt(&mut catalog, &there, true), ["empty", "orders"]);
    assert_eq!(listed(&catalog), [("empty", 8, 1), ("orders", 7, 3)]);
    assert_eq!(adopt(&mut catalog, &there, true), [""; 0], "once");
}

#[test]
fn beside_a_list_only_what_holds_records_is_added() {
    let mut catalog = empty();
    adopt(&mut catalog, &[found("orders", 1, Some(7))], true);
    assert_eq!(listed(&catalog), [("orders", 7, 2)]);
    let of_no_use = [
        found("orders", 0, Some(7)),
        found("orders", 1, Some(7)),
        // An earlier topic of that name.
        found("orders", 5, Some(4)),
        found("stranger", 0, None),
        Found { had_records: false, ..found("empty", 0, Some(8)) },
    ];
    assert_eq!(adopt(&mut catalog, &of_no_use, false), [""; 0]);
    assert_eq!(listed(&catalog), [("orders", 7, 2)]);
    let more = [found("orders", 2, Some(7)), found("other", 0, Some(8))];
    assert_eq!(adopt(&mut catalog, &more, false), ["orders", "other"]);
    assert_eq!(listed(&catalog), [("orders", 7, 3), ("other", 8, 1)]);
}

#[test]
fn a_partition_that_tells_nothing_joins_no_topic_where_there_were_two_of_the_name() {
    for there in [
        [found("orders", 0, Some(7)), found("orders", 1, None), found("orders", 2, Some(4))],
        [found("orders", 0, None), found("orders", 1, Some(7)), found("orders", 2, Some(4))],
    ] {
        let mut catalog = empty();
        adopt(&mut catalog, &there, true);
        let id = catalog.topics["orders"].id;
        assert_eq!(catalog.topics["orders"].partitions, 1);
        assert_eq!(id == 7, there[0].identity.is_some(), "{id}");
        assert_eq!(has_new_id(&catalog, &there, "orders"), there[0].identity.is_none());
    }
}

#[test]
fn a_directory_with_a_number_that_no_partition_has_does_not_ask_for_millions() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["orders-0", "orders-99999", "backup-100000", "backup-20241231", "no topic-3", "none"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    std::fs::write(dir.path().join("file-1"), "").unwrap();
    let root = Directory::new(Arc::new(OsFileSystem), dir.path());
    let mut there: Vec<_> =
        partitions_in(&root).unwrap().into_iter().map(|found| (found.topic, found.number)).collect();
    there.sort();
    assert_eq!(there, [("orders".to_owned(), 0), ("orders".to_owned(), 99_999)]);
}

#[test]
fn of_several_stores_the_one_with_most_partitions_is_the_stores() {
    let dir = tempfile::tempdir().unwrap();
    let root = Directory::new(Arc::new(OsFileSystem), &dir.path().join("store"));
    root.create().unwrap();
    let config = Settings::given(1, &TopicConfig::new()).unwrap();
    for (name, store) in [("a-0", 5), ("b-0", 8), ("b-1", 8), ("c-0", 3), ("c-1", 3), ("c-2", 3)] {
        let directory = root.child(name);
        directory.create().unwrap();
        let identity = Identity { store, topic: 1, partition: 0 };
        Log::create(&directory, identity, config.log()).unwrap();
    }
    let copies = Copies::open(Directory::new(Arc::new(OsFileSystem), &dir.path().join("copies"))).unwrap();
    let mut report = RepairReport::default();
    let catalog = repair_catalog(&root, &copies, &mut report).unwrap().unwrap();
    assert_eq!((catalog.store, listed(&catalog)), (3, vec![("c", 1, 3)]));
    assert!(matches!(&report.repairs[..], [repair] if repair.path.ends_with(CATALOG_FILE)));
}
