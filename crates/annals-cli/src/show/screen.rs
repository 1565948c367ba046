//! Standard output and standard error.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use crate::arguments::{Arguments, Color};
use crate::failure::{Failure, Outcome, of_output};
use crate::show::{Object, Table, Tame};

/// Where verbs print.
#[derive(Debug)]
pub(crate) struct Screen {
    out: BufWriter<StdoutLock<'static>>,
    pub(crate) json: bool,
    pub(crate) is_terminal: bool,
    /// A terminal that can do more than print.
    pub(crate) has_pages: bool,
    color: bool,
    color_of_errors: bool,
    errors_on_terminal: bool,
}

/// Whether the terminal knows no more than to print: neither colours nor a page, nor a line that is written anew.
pub(crate) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|term| term == "dumb")
}

impl Screen {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_dumb = is_dumb();
        let may = |is_terminal: bool| match arguments.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal && !no_color && !is_dumb,
        };
        let is_terminal = io::stdout().is_terminal();
        Self {
            out: BufWriter::with_capacity(256 << 10, io::stdout().lock()),
            json: arguments.json,
            is_terminal,
            has_pages: is_terminal && !is_dumb,
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
        if self.is_terminal { self.put(Tame(&line.to_string())) } else { self.put(line) }
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

    /// An error when nobody reads standard output any more, which otherwise the next write tells.
    #[cfg(unix)]
    pub(crate) fn has_reader(&self) -> Outcome {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let out = io::stdout();
        let mut asked = [PollFd::new(&out, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let gone = PollFlags::ERR | PollFlags::HUP;
        if poll(&mut asked, Some(&at_once)).is_ok() && asked.iter().any(|one| one.revents().intersects(gone))
        {
            return Err(Failure::ReaderGone);
        }
        Ok(())
    }

    #[cfg(not(unix))]
    pub(crate) fn has_reader(&self) -> Outcome {
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Outcome {
        self.out.flush().map_err(of_output)
    }

    /// Says on standard error why it ends with another status than 0. When nobody reads that either, the status has to do.
    pub(crate) fn complain(&mut self, failure: &Failure) {
        if self.json {
            return complain_as_object(failure);
        }
        let words = failure.to_string();
        let words = if self.errors_on_terminal { Tame(&words).to_string() } else { words };
        let mut error = io::stderr().lock();
        let told = if self.color_of_errors {
            writeln!(error, "\x1b[1;31mannals:\x1b[0m {words}")
        } else {
            writeln!(error, "annals: {words}")
        };
        drop(told);
    }
}

/// The same for programs.
pub(crate) fn complain_as_object(failure: &Failure) {
    let object = Object::new("error").number("status", failure.status());
    drop(writeln!(io::stderr().lock(), "{}", object.text("message", &failure.to_string())));
}
