//! What a process has read of the spool. The file grows at its end until it is replaced: each look reads what has come since the one before.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::Result;
use crate::format::{FrameMark, SpoolContent, SpoolHead, decode_frames};
use crate::group::commits::Change;
use crate::group::spool::changes_of;
use crate::group::spool_file::{SPOOL_FILE, SpoolFile};
use crate::io::{File, OpenMode};
use crate::types::{Offset, TopicPartition};

/// So much of the file is in memory at a time, or one commit that is larger.
const PIECE_BYTES: usize = 1 << 20;

/// What the spool adds up to, as far as it was read. However many commits wait, one is kept for each group and partition.
#[derive(Debug, Default)]
pub(super) struct SpoolRead {
    /// Of the file; 0 where there is none, or where what was read need not stand there any more.
    id: u64,
    /// Where the last frame ends.
    end: usize,
    first: Option<FrameMark>,
    last: Option<FrameMark>,
    /// The last commit of each group for each partition.
    commits: BTreeMap<(Arc<str>, TopicPartition), Change>,
    /// The lowest offset that was committed for each partition, by any group, for the topic of that id.
    lowest: BTreeMap<(TopicPartition, u128), Offset>,
}

/// What a look at the spool has found.
#[derive(Debug)]
pub(super) enum Seen {
    /// What was read before stands, and behind it this.
    Since(SpoolRead),
    /// Nothing that was read before need hold: all of it was read.
    Anew,
}

impl SpoolRead {
    fn of(id: u64, end: usize) -> Self {
        Self { id, end, ..Self::default() }
    }

    pub(super) fn commits(&self) -> impl Iterator<Item = &Change> {
        self.commits.values()
    }

    /// The lowest offset that waits for a partition of the topic of that id.
    pub(super) fn lowest(&self, place: &TopicPartition, topic_id: u128) -> Option<Offset> {
        self.lowest.get(&(place.clone(), topic_id)).copied()
    }

    fn take_in(&mut self, content: SpoolContent) {
        for change in changes_of(&content.commits) {
            if let Some(commit) = &change.commit {
                let lowest = self.lowest.entry((change.place.clone(), commit.topic_id));
                let lowest = lowest.or_insert(commit.at.offset);
                *lowest = commit.at.offset.min(*lowest);
            }
            self.commits.insert((Arc::clone(&change.group), change.place.clone()), change);
        }
        (self.end, self.last) = (content.end, content.last.or(self.last));
    }

    /// What stands behind it, the last frame once more.
    fn add(&mut self, since: &Self) {
        self.commits.extend(since.commits.iter().map(|(key, change)| (key.clone(), change.clone())));
        for (key, offset) in &since.lowest {
            let lowest = self.lowest.entry(key.clone()).or_insert(*offset);
            *lowest = (*lowest).min(*offset);
        }
        (self.end, self.last) = (since.end, since.last);
    }
}

impl SpoolFile {
    /// How long it is; 0 where there is none.
    pub(super) fn len(&self) -> Result<usize> {
        self.open(OpenMode::Read)?.map_or(Ok(0), |file| self.len_of(&file))
    }

    /// Brings what was read up to what is there. Frames are read again where they need not be those that were read: in another file, which has
    /// another id, as after every fold, cut and repair; where the last of them does not stand there, as one whose write has failed; and where a sync was begun of
    /// which nobody says how it ended, as then any page may be gone. After an error `read` is as it was.
    pub(super) fn read_on(&self, read: &mut SpoolRead) -> Result<Seen> {
        let Some(file) = self.open(OpenMode::Read)? else {
            *read = SpoolRead::default();
            return Ok(Seen::Anew);
        };
        let head = self.head_of(&file)?;
        let is_sure = !head.marks.is_doubtful || self.is_synced_now(&file)?;
        if let Some(last) = read.last.filter(|_| is_sure && read.id == head.id) {
            let mut since = SpoolRead::of(head.id, last.at);
            self.read_pieces(&file, &head, &mut since)?;
            if since.first == Some(last) {
                read.add(&since);
                return Ok(Seen::Since(since));
            }
        }
        let mut all = SpoolRead::of(head.id, SpoolHead::LEN);
        self.read_pieces(&file, &head, &mut all)?;
        if !is_sure {
            all.id = 0;
        }
        *read = all;
        Ok(Seen::Anew)
    }

    /// Reads from the end of what was read to that of the file. The head was read before: what it says was synced is there by now.
    fn read_pieces(&self, file: &File, head: &SpoolHead, read: &mut SpoolRead) -> Result<()> {
        let len = self.len_of(file)?;
        let decode = |frames: &[u8], at, durable| {
            decode_frames(frames, at, durable)
                .map_err(|malformed| malformed.in_file(&self.root.join(SPOOL_FILE)))
        };
        let mut most = PIECE_BYTES;
        loop {
            let left = len.saturating_sub(read.end);
            let frames = file.read(read.end as u64, left.min(most))?;
            let content = decode(&frames, read.end, 0)?;
            if content.last.is_some() {
                read.first = read.first.or_else(|| FrameMark::of(read.end, &frames));
                read.take_in(content);
                most = PIECE_BYTES;
            } else if left > most {
                // A commit that is larger, or the broken length of one.
                most = most.saturating_mul(2);
            } else {
                break;
            }
        }
        decode(&[], read.end, head.marks.durable()).map(drop)
    }
}
