//! `annals`: a store seen, fed, mended and watched from a shell. `docs/command.md` is its contract.

mod arguments;
mod commands;
mod failure;
mod interrupt;
mod open;
mod progress;
mod show;
mod sizes;
mod times;

use std::process::ExitCode;

use clap::error::ErrorKind::MissingSubcommand;
use clap::{CommandFactory, Parser};

use crate::arguments::Arguments;
use crate::failure::{Failure, both};
use crate::show::{Screen, complain_as_object};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    let mut screen = Screen::new(&arguments);
    let outcome = interrupt::watch().and_then(|()| commands::run(&arguments, &mut screen));
    // What was printed goes out whatever happened after it.
    let outcome = both(outcome, screen.flush());
    match outcome {
        Ok(()) | Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(failure) => {
            screen.complain(&failure);
            ExitCode::from(failure.status())
        }
    }
}

/// Wrong options, or what was asked for with `--help` or `--version`.
fn refuse(error: &clap::Error) -> ExitCode {
    let is_json = std::env::args_os().skip(1).take_while(|one| one != "--").any(|one| one == "--json");
    if error.use_stderr() && is_json {
        let text = error.to_string();
        let words = text.strip_prefix("error: ").unwrap_or(&text);
        // The usage and hints behind it are for people.
        let words = words.split("\n\nUsage:").next().unwrap_or_default();
        let words = words.split("\n\nFor more information").next().unwrap_or_default();
        complain_as_object(&Failure::Usage(words.trim().to_owned()));
    } else if error.kind() == MissingSubcommand && std::env::args_os().len() < 2 {
        eprint!("{}", Arguments::command().render_help());
    } else {
        // Nobody to tell it to: the status has to do.
        drop(error.print());
    }
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}
