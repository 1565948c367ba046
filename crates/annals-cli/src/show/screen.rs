//! Standard output and standard error.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use crate::arguments::{Arguments, Color};
use crate::failure::{Failure, Outcome, of_output};
use crate::show::{Object, Table, Tame};

/// What a text of several lines has between its letters.
const LINES: [char; 2] = ['\n', '\t'];

/// Where verbs print.
#[derive(Debug)]
pub(crate) struct Screen {
    out: BufWriter<StdoutLock<'static>>,
    pub(crate) json: bool,
    pub(crate) is_terminal: bool,
    color: bool,
    color_of_errors: bool,
    errors_on_terminal: bool,
}

/// Whether the terminal knows no more than to print: neither colours nor a page, nor a line that is written anew.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|kind| kind == "dumb")
}

impl Screen {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let may = |is_terminal: bool| match arguments.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && !no_color && !is_dumb(),
        };
        let is_terminal = io::stdout().is_terminal();
        Self {
            out: BufWriter::with_capacity(256 << 10, io::stdout().lock()),
            json: arguments.json,
            is_terminal,
            color: may(is_terminal),
            color_of_errors: may(io::stderr().is_terminal()),
            errors_on_terminal: io::stderr().is_terminal(),
        }
    }

    pub(crate) fn out(&mut self) -> &mut impl Write {
        &mut self.out
    }

    /// On a terminal, which obeys them, without the control characters of names.
    pub(crate) fn line(&mut self, line: impl std::fmt::Display) -> Outcome {
        if self.is_terminal {
            return self.put(Tame(&line.to_string(), &LINES));
        }
        self.put(line)
    }

    fn put(&mut self, line: impl std::fmt::Display) -> Outcome {
        writeln!(self.out, "{line}").map_err(of_output)
    }

    pub(crate) fn object(&mut self, object: &Object) -> Outcome {
        self.line(object)
    }

    pub(crate) fn table(&mut self, table: &Table) -> Outcome {
        for (at, line) in table.lines().iter().enumerate() {
            match at {
                0 if self.color => self.put(format_args!("\x1b[1m{line}\x1b[0m"))?,
                _ => self.put(line)?,
            }
        }
        Ok(())
    }

    /// The object for programs, the line for people.
    pub(crate) fn either(
        &mut self,
        object: impl FnOnce() -> Object,
        line: impl std::fmt::Display,
    ) -> Outcome {
        if self.json { self.object(&object()) } else { self.line(line) }
    }

    /// Whether nobody reads standard output any more, which a write would tell, too.
    #[cfg(unix)]
    pub(crate) fn reader_has_gone(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let out = io::stdout();
        let mut asked = [PollFd::new(&out, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let gone = PollFlags::ERR | PollFlags::HUP;
        poll(&mut asked, Some(&at_once)).is_ok() && asked.iter().any(|one| one.revents().intersects(gone))
    }

    /// Only a write tells.
    #[cfg(not(unix))]
    pub(crate) fn reader_has_gone(&self) -> bool {
        false
    }

    pub(crate) fn flush(&mut self) -> Outcome {
        self.out.flush().map_err(of_output)
    }

    /// Says on standard error why it ends with another status than 0. When nobody reads that either, the status has to do.
    pub(crate) fn complain(&mut self, failure: &Failure) {
        let mut error = io::stderr().lock();
        let words = match failure.to_string() {
            words if self.errors_on_terminal => Tame(&words, &LINES).to_string(),
            words => words,
        };
        let told = if self.json {
            let object = Object::new("error").number("status", failure.status());
            writeln!(error, "{}", object.text("message", &failure.to_string()))
        } else if self.color_of_errors {
            writeln!(error, "\x1b[1;31mannals:\x1b[0m {words}")
        } else {
            writeln!(error, "annals: {words}")
        };
        drop(told);
    }
}
