//! Running a workload, cutting the power at every moment of it, and judging what is left.
//!
//! `ANNALS_CRASH_STATES` is how many states all workloads together look at (30,000 by default); `ANNALS_CRASH_SEED` runs
//! only the life of that seed, as a failure prints it.

mod cuts;
mod exploration;
mod failures;

use annals::Result;

pub(crate) use cuts::{cuts, cuts_behind_kills, cuts_twice};
pub(crate) use failures::{evictions, failed_syncs, failures};

use crate::power_cut::scenes::World;

/// What is done on a machine until it has no power.
pub(crate) type Work = fn(&mut World) -> Result<()>;
