//! Backups on disks that fail.
