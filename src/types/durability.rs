//! How far a record goes before a call returns.

/// Where a record is when the call that sent it returns.
///
/// | level | the record is in | it survives |
/// |---|---|---|
/// | [`Memory`](Durability::Memory) | the partition's open batch | nothing |
/// | [`Os`](Durability::Os) | the operating system's page cache | a crash of this process |
/// | [`Disk`](Durability::Disk) | stable storage | a crash of the machine, a power cut |
///
/// ```
/// use annals::Durability;
/// assert_eq!(Durability::default(), Durability::Os);
/// assert!(Durability::Memory < Durability::Disk);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Durability {
    /// In this process's memory. It is written when the batch is full, after `linger`, on `flush`, on close, or as soon as a
    /// reader wants it. If that write fails, the next `send` or `flush` says which offsets were lost.
    Memory,
    /// Handed to the operating system by a successful write.
    #[default]
    Os,
    /// Synced (`fdatasync`) together with every directory entry it needs.
    Disk,
}
