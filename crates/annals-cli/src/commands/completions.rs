//! What shells and `man` read of the command.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::failure::{Outcome, of_output};
use crate::show::Screen;

/// Print completions for a shell.
///
/// Example: annals completions bash > /etc/bash_completion.d/annals
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(options: &Options, screen: &mut Screen) -> Outcome {
    // A writer that fails would end it with a panic.
    let mut words = Vec::new();
    clap_complete::generate(options.shell, &mut Arguments::command(), "annals", &mut words);
    screen.out().write_all(&words).map_err(of_output)
}

const ENVIRONMENT: &str = "\
.SH ENVIRONMENT
.TP
\\fBANNALS_STORE\\fR
The store's directory, where \\fB\\-\\-store\\fR does not name one.
.TP
\\fBNO_COLOR\\fR
Without colour, when it is set to anything but nothing.
";

/// One page, with a section for each verb.
pub(crate) fn manual(screen: &mut Screen) -> Outcome {
    let mut command = Arguments::command();
    command.build();
    let out = screen.out();
    let page = clap_mangen::Man::new(command.clone());
    // All but the list of pages of the verbs, which are sections of this one.
    page.render_title(out).map_err(of_output)?;
    page.render_name_section(out).map_err(of_output)?;
    page.render_synopsis_section(out).map_err(of_output)?;
    page.render_description_section(out).map_err(of_output)?;
    page.render_options_section(out).map_err(of_output)?;
    out.write_all(ENVIRONMENT.as_bytes()).map_err(of_output)?;
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        section(verb, out)?;
        for inner in verb.get_subcommands().filter(|verb| verb.get_name() != "help") {
            section(inner, out)?;
        }
    }
    Ok(())
}

/// Without the options that every verb has, which stand at the beginning.
fn section(verb: &clap::Command, out: &mut impl std::io::Write) -> Outcome {
    let name = verb.get_display_name().unwrap_or_else(|| verb.get_name()).replace('-', " ");
    writeln!(out, ".SH {}", name.to_uppercase()).map_err(of_output)?;
    let is_common = |name: &str| ["store", "json", "color", "help", "version"].contains(&name);
    let common: Vec<_> =
        verb.get_arguments().map(|one| one.get_id().to_string()).filter(|id| is_common(id)).collect();
    let hide = |verb: clap::Command, id: String| verb.mut_arg(id, |one| one.hide(true));
    let page = clap_mangen::Man::new(common.into_iter().fold(verb.clone(), hide));
    page.render_description_section(out).map_err(of_output)?;
    page.render_options_section(out).map_err(of_output)
}
