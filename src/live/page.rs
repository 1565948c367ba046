//! The file `annals.live`, mapped piece by piece. It only ever grows.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::File;
use crate::live::layout::{Life, PIECE_BYTES, Stage, head, place_of};
use crate::live::memory::Memory;
use crate::live::slot::Slot;
use crate::locks::{Ordering, RwLock};

/// The byte whose lock the owner holds as long as it lives.
pub(super) const OWNER_BYTE: u64 = 0;

/// The pieces of the file that are mapped.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) file: File,
    pub(super) head: Arc<Memory>,
    pieces: RwLock<Vec<Arc<Memory>>>,
}

impl Page {
    /// Maps the first piece; `None` where there is no memory to share.
    pub(super) fn new(file: File) -> Result<Option<Self>> {
        let Some(shared) = file.share(0, PIECE_BYTES)? else { return Ok(None) };
        let head = Arc::new(Memory::new(shared));
        Ok(Some(Self { file, pieces: RwLock::new(vec![Arc::clone(&head)]), head }))
    }

    /// What the owner says that it does.
    pub(super) fn stage(&self) -> Stage {
        Life(self.head.load(head::LIFE, Ordering::SeqCst)).stage()
    }

    pub(super) fn pieces(&self) -> usize {
        self.pieces.read().len()
    }

    /// Maps one piece more, which the file gets if it has it not.
    pub(super) fn grow(&self) -> Result<()> {
        let mut pieces = self.pieces.write();
        let position = (pieces.len() * PIECE_BYTES) as u64;
        let Some(shared) = self.file.share(position, PIECE_BYTES)? else {
            return Err(Error::invalid("memory that was shared can be shared no more"));
        };
        pieces.push(Arc::new(Memory::new(shared)));
        Ok(())
    }

    /// A slot of a piece that is mapped.
    pub(super) fn slot(&self, slot: usize) -> Option<Slot> {
        let (piece, at) = place_of(slot);
        let pieces = self.pieces.read();
        pieces.get(piece).map(|memory| Slot::new(&self.head, memory, at))
    }
}
