//! What shells and `man` read of the command.

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
    clap_complete::generate(options.shell, &mut Arguments::command(), "annals", screen.out());
    Ok(())
}

/// One page, with a section for each verb.
pub(crate) fn manual(screen: &mut Screen) -> Outcome {
    let mut command = Arguments::command();
    command.build();
    let out = screen.out();
    clap_mangen::Man::new(command.clone()).render(out).map_err(of_output)?;
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        section(verb, out)?;
        for inner in verb.get_subcommands().filter(|verb| verb.get_name() != "help") {
            section(inner, out)?;
        }
    }
    Ok(())
}

fn section(verb: &clap::Command, out: &mut impl std::io::Write) -> Outcome {
    let name = verb.get_display_name().unwrap_or_else(|| verb.get_name()).replace('-', " ");
    writeln!(out, ".SH {}", name.to_uppercase()).map_err(of_output)?;
    let page = clap_mangen::Man::new(verb.clone());
    page.render_description_section(out).map_err(of_output)?;
    page.render_options_section(out).map_err(of_output)
}
