//! Names of topics, directories and files.

use crate::format::{
    check_topic_name, cleaned_log_name, collision_key, parse_cleaned_log_name, parse_partition_dir_name,
    parse_segment_file_name, partition_dir_name, segment_file_name,
};

/// Any text as a name: no two names mean the same file, and no topic's name leads out of the store.
pub fn names(data: &[u8]) {
    let Ok(name) = std::str::from_utf8(data) else { return };
    if let Some(parsed) = parse_segment_file_name(name) {
        assert!(parsed.base >= 0);
        assert_eq!(segment_file_name(parsed.base, parsed.file), name);
    }
    if let Some(base) = parse_cleaned_log_name(name) {
        assert_eq!(cleaned_log_name(base), name);
        assert!(parse_segment_file_name(name).is_none());
    }
    if let Some(parsed) = parse_partition_dir_name(name) {
        assert_eq!(partition_dir_name(parsed.topic, parsed.partition), name);
    }
    if check_topic_name(name).is_ok() {
        assert!(name.len() <= 249 && !name.contains(['/', '\\', '\0', ' ']));
        let directory = partition_dir_name(name, 7);
        assert!(
            std::path::Path::new(&directory)
                .components()
                .eq([std::path::Component::Normal(directory.as_ref())])
        );
        let parsed = parse_partition_dir_name(&directory);
        assert!(parsed.is_some_and(|parsed| parsed.topic == name && parsed.partition == 7));
        assert!(check_topic_name(&collision_key(name)).is_ok());
        assert!(
            parse_segment_file_name(&directory).is_none() && parse_cleaned_log_name(&directory).is_none()
        );
    }
}
