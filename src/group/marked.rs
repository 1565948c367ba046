//! Files whose heads say how far they were synced: a sync that failed, or was cut short by a kill, is repeated by nobody.

use crate::error::Result;
use crate::format::{HeadChange, SyncMarks};
use crate::io::File;

/// Syncs a file without a doubt, and marks that what lies below `end` is durable when this returns. Nobody else syncs it meanwhile. After a
/// failure it is in doubt: it is to be written anew.
pub(crate) fn sync_marked(file: &File, marks: &SyncMarks, end: usize) -> Result<()> {
    put(file, &marks.doubt(true))?;
    if let Err(error) = file.sync() {
        // Once more: a failed sync may leave a page that reads well until it makes room for another.
        drop(put(file, &marks.doubt(true)));
        return Err(error);
    }
    // It is durable whatever becomes of these: then it is written anew by the next one.
    let noted = put(file, &marks.mark(end));
    drop(noted.and_then(|()| put(file, &marks.doubt(false))));
    Ok(())
}

pub(crate) fn put(file: &File, change: &HeadChange) -> Result<()> {
    file.write_at(&change.bytes, change.at)
}
