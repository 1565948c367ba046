//! What an open makes of the list of topics.
#![expect(clippy::disallowed_methods, reason = "the test meddles with the files as somebody else would")]

use std::sync::Arc;

use super::*;
use crate::io::OsFileSystem;
use crate::topic::config::TopicConfig;
use crate::topic::settings::Settings;

#[test]
fn only_a_partition_shows_that_a_list_of_topics_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let root = Directory::new(Arc::new(OsFileSystem), dir.path());
    for name in ["logs-1", "other"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    std::fs::write(dir.path().join("file-1"), "").unwrap();
    refuse_lost_catalog(&root).unwrap();
    let identity = Identity { store: 1, topic: 2, partition: 1 };
    let config = Settings::given(1, &TopicConfig::new()).unwrap();
    Log::create(&root.child("other"), identity, config.log()).unwrap();
    refuse_lost_catalog(&root).unwrap();
    Log::create(&root.child("logs-1"), identity, config.log()).unwrap();
    assert!(matches!(refuse_lost_catalog(&root), Err(Error::Corrupt { .. })));
}
