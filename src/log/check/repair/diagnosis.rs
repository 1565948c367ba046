//! What is wrong with a partition, and whether it is for a repair to set it right.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::check::copies::Copies;
use crate::log::check::repair::mender::Mender;
use crate::log::check::repair::{Repair, RepairReport};
use crate::log::check::verify::{Damage, VerifyReport};
use crate::log::config::LogConfig;
use crate::log::log::Log;
use crate::log::open::LogContext;
use crate::log::table::state_file::{STATE_FILE, StateFile};
use crate::segment::{Segment, aborted_summary, with_aborted};
use crate::types::Offset;

impl Log {
    /// Looks at a partition as `check` does, and sets right what that finds.
    pub(crate) fn repair(
        context: LogContext,
        config: Arc<LogConfig>,
        copies: &Copies,
        report: &mut RepairReport,
    ) -> Result<()> {
        let (directory, identity) = (context.directory.clone(), context.identity);
        let max_expanded_bytes = context.options.max_expanded_bytes;
        if !directory.exists()? {
            directory.create()?;
            Self::create(&directory, identity, &config)?;
            let reason = "the partition's directory was missing: it begins again, empty".to_owned();
            let (path, lost) = (directory.path().to_path_buf(), 0..Offset::MAX);
            report.repairs.push(Repair { path, position: 0..0, lost, reason, copy: None });
            return Ok(());
        }
        let now = context.clock.now();
        let found = match Self::open(context.clone(), config.clone()) {
            Ok((log, _)) => {
                let mut checked = VerifyReport::default();
                _ = log.check(&mut checked, &mut |_| ControlFlow::Continue(()))?;
                if checked.findings.is_empty() {
                    return log.rebuild_indexes(&checked, report);
                }
                checked.findings
            }
            Err(error @ Error::Corrupt { .. }) => Damage::told_by(&error).into_iter().collect(),
            Err(error @ Error::UnsupportedFormat { .. }) => {
                report.refused.extend(Damage::told_by(&error));
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if StateFile::identity_left(&directory)?.is_some_and(|left| left != identity) {
            let reason =
                "it is of another partition, and it is not known to which the segments beside it belong"
                    .to_owned();
            let path = directory.join(STATE_FILE);
            report.refused.push(Damage { path, position: 0, offset: None, reason });
            return Ok(());
        }
        let state = match StateFile::read(&directory) {
            Ok(file) => Some(file.state().clone()),
            Err(Error::Corrupt { .. }) => None,
            Err(error) => return Err(error),
        };
        let before = report.repairs.len();
        let repairs = &mut report.repairs;
        Mender { directory, identity, config: config.clone(), copies, repairs, max_expanded_bytes, now }
            .mend(state)?;
        // Or the next look would find them stale, and the next repair make them.
        Self::open(context, config)?.0.make_indexes(report)?;
        if report.repairs.len() == before {
            // Whoever was told of it by a look, or by an open that refused, is told what became of it.
            report.repairs.extend(found.into_iter().map(Repair::without_loss));
        }
        Ok(())
    }

    /// Makes the indexes of what was put together from other files, or written again. Which transactions were aborted in it the log
    /// is asked each time.
    fn make_indexes(&self, report: &mut RepairReport) -> Result<()> {
        let (summaries, _) = self.listed();
        for segment in self.segment_list().iter() {
            let summary = summaries.iter().find(|summary| summary.base == segment.base());
            if let Some(summary) = summary
                && segment.stored_index(summary)?.is_none()
            {
                segment.walk()?;
                report.rebuilt_indexes.push(segment.log().path());
            }
        }
        Ok(())
    }

    /// Writes the transactions that were aborted in a segment once more, where the log tells those that the state file means.
    fn rebuild_aborted(&self, segment: &Arc<Segment>) -> Result<()> {
        let aborted = self.aborted_in(&self.segment_list(), segment)?;
        let (summaries, _) = self.listed();
        if let Some(summary) = summaries.iter().find(|summary| summary.base == segment.base())
            && aborted_summary(*summary, &aborted) == *summary
        {
            with_aborted(&self.directory, *summary, &aborted);
        }
        Ok(())
    }

    /// Index files are made again by whoever needs them and finds them wrong.
    fn rebuild_indexes(&self, checked: &VerifyReport, report: &mut RepairReport) -> Result<()> {
        for segment in self.segment_list().iter() {
            if checked.stale_indexes.contains(&segment.log().path()) {
                segment.walk()?;
                self.rebuild_aborted(segment)?;
                report.rebuilt_indexes.push(segment.log().path());
            }
        }
        Ok(())
    }
}
