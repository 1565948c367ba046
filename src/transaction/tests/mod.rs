//! Transactions without a store around them: who takes part, what has to hold, what fails.

mod claims;
mod conditions;
mod deciding;
mod failing;
mod named;
mod participants;
mod recovery;
#[cfg(annals_shuttle)]
mod schedules;
mod settling;
mod world;
