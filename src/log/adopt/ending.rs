//! Transactions that adopted files hold without an end: whoever could decide about them is not here.

use std::sync::Arc;

use crate::error::Result;
use crate::format::Ending;
use crate::log::log::Log;

impl Log {
    /// Aborts all of them in a log that nobody reads or writes yet: durably, in the new segment behind the files. Says how many.
    pub(crate) fn abort_unended(self: &Arc<Self>) -> Result<usize> {
        let unended = self.open_transactions();
        if unended.is_empty() {
            return Ok(0);
        }
        unended.iter().for_each(|one| _ = self.decide(one.producer_id, Ending::Abort));
        let mut stage = self.stage()?;
        for one in &unended {
            if let Some(marker) = stage.marker(one.producer_id) {
                stage.place_marker(marker)?;
            }
        }
        stage.write()?;
        drop(stage);
        self.sync_through(self.end() - 1)?;
        Ok(unended.len())
    }
}
