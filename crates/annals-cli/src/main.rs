//! `annals`: a store seen, fed, mended and watched from a shell. `docs/command.md` is its contract.

mod arguments;
mod commands;
mod failure;
mod interrupt;
mod open;
mod progress;
mod show;
mod times;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::show::Screen;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut screen = Screen::new(&arguments);
    let outcome = interrupt::watch().and_then(|()| commands::run(&arguments, &mut screen));
    // What was printed goes out whatever happened after it.
    let outcome = outcome.and(screen.flush());
    match outcome {
        Ok(()) | Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(failure) => {
            screen.complain(&failure);
            ExitCode::from(failure.status())
        }
    }
}
