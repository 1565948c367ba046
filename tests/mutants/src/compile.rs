//! The one build: what the compiler refuses is left out until it refuses nothing.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::Result;
use crate::rewrite::{Owner, Refused, owner};
use crate::sites::Sites;
use crate::tree::Tree;

/// A test program that was built.
#[derive(Debug, Clone)]
pub struct Program {
    /// `lib`, or the name of a file or directory in `tests/`.
    pub name: String,
    pub path: PathBuf,
}

/// Builds the tests that `arguments` name, and adds to `refused` whatever does not compile.
pub fn compile(
    tree: &Tree,
    sites: &Sites,
    target: &Path,
    arguments: &[String],
    refused: &mut Refused,
) -> Result<Vec<Program>> {
    // What is wrong with the library is found before any other test is built, and what it depends on is built once.
    let check: Vec<String> = ["test", "--no-run", "--lib"].map(str::to_owned).into();
    let build =
        ["test", "--no-run"].map(str::to_owned).into_iter().chain(arguments.iter().cloned()).collect();
    let mut programs = Vec::new();
    for command in [check, build] {
        loop {
            tree.write(sites, refused)?;
            let said = cargo(&command, &tree.copy, target)?;
            if said.errors.is_empty() {
                programs = said.programs;
                break;
            }
            let before = (refused.mutants.len(), refused.sites.len());
            refuse(&tree.copy, &said.errors, refused)?;
            let (mutants, sites) = (refused.mutants.len() - before.0, refused.sites.len() - before.1);
            eprintln!("  {mutants} mutants and {sites} sites do not compile");
            if mutants + sites == 0 {
                let rendered: Vec<_> = said.errors.into_iter().filter_map(|error| error.rendered).collect();
                return Err(format!("the copy does not compile:\n{}", rendered.join("\n")).into());
            }
        }
    }
    // Cargo says them in the order in which they were built.
    programs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(programs)
}

/// What one run of cargo says.
#[derive(Default)]
struct Said {
    errors: Vec<Diagnostic>,
    programs: Vec<Program>,
}

#[derive(Deserialize)]
struct Line {
    reason: String,
    message: Option<Diagnostic>,
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    rendered: Option<String>,
    spans: Vec<Span>,
}

#[derive(Deserialize)]
struct Span {
    file_name: String,
    byte_start: usize,
    is_primary: bool,
    expansion: Option<Box<Expansion>>,
}

#[derive(Deserialize)]
struct Expansion {
    span: Span,
}

fn cargo(command: &[String], copy: &Path, target: &Path) -> Result<Said> {
    let output = Command::new("cargo")
        .args(command)
        .arg("--message-format=json")
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", target)
        // Mutants leave things unused and compare what is always true; that is not what is asked here.
        .env("RUSTFLAGS", "--cap-lints allow")
        .stderr(Stdio::piped())
        .output()?;
    let mut said = Said::default();
    for line in String::from_utf8(output.stdout)?.lines() {
        let line: Line = serde_json::from_str(line)?;
        if line.reason == "compiler-message" {
            said.errors.extend(line.message.filter(|m| m.level == "error" && !m.spans.is_empty()));
        } else if let (Some(path), Some(target)) = (line.executable, line.target) {
            let name = if target.kind.iter().any(|kind| kind == "lib") { "lib".into() } else { target.name };
            said.programs.push(Program { name, path });
        }
    }
    if !output.status.success() && said.errors.is_empty() {
        return Err(format!("cargo failed:\n{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(said)
}

/// Blames each error on a mutant if it points at one, else on a site.
fn refuse(copy: &Path, errors: &[Diagnostic], refused: &mut Refused) -> Result {
    let mut texts: HashMap<PathBuf, String> = HashMap::new();
    for error in errors {
        let mut owners = Vec::new();
        for span in
            error.spans.iter().filter(|s| s.is_primary).chain(error.spans.iter().filter(|s| !s.is_primary))
        {
            let mut span = Some(span);
            while let Some(at) = span {
                let path = copy.join(&at.file_name);
                if !texts.contains_key(&path) && path.starts_with(copy) {
                    texts.insert(path.clone(), fs::read_to_string(&path).unwrap_or_default());
                }
                owners.push(texts.get(&path).map_or(Owner::Nobody, |text| owner(text, at.byte_start)));
                span = at.expansion.as_ref().map(|expansion| &expansion.span);
            }
        }
        let mutant = owners.iter().find(|owner| matches!(owner, Owner::Mutant(_)));
        match mutant.or_else(|| owners.iter().find(|owner| matches!(owner, Owner::Site(_)))) {
            Some(Owner::Mutant(mutant)) => refused.mutants.insert(*mutant),
            Some(Owner::Site(site)) => refused.sites.insert(*site),
            _ => false,
        };
    }
    Ok(())
}
