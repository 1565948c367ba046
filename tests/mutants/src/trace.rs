//! Which tests evaluate which sites, and how long each takes: every test once, alone, with nothing changed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::compile::Program;
use crate::parallel::parallel;
use crate::process::{End, Runner};

/// How long a test may take with nothing changed.
const LIMIT: Duration = Duration::from_secs(600);

/// One test, as its trace has found it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Test {
    /// Position among the programs.
    pub program: usize,
    pub name: String,
    pub seconds: f64,
    pub sites: BTreeSet<usize>,
}

/// Runs all tests of `programs`. Fails if one of them fails: nothing could be said of a mutant then.
pub fn trace(runner: &Runner, programs: &[Program], jobs: usize) -> Result<Vec<Test>> {
    let mut names = Vec::new();
    for (index, program) in programs.iter().enumerate() {
        names.extend(list(runner, program)?.into_iter().map(|name| (index, name)));
    }
    let tests = Mutex::new(Vec::new());
    parallel(jobs, names.len(), |nth| {
        let (program, name) = &names[nth];
        let file = runner.scratch.join(format!("trace-{nth}"));
        let test = one(runner, &programs[*program], name, &file)?;
        let mut tests = tests.lock().map_err(|e| e.to_string())?;
        tests.push(Test { program: *program, ..test });
        if tests.len().is_multiple_of(50) {
            eprintln!("  {} of {} tests traced", tests.len(), names.len());
        }
        Ok(())
    })?;
    Ok(tests.into_inner()?)
}

fn one(runner: &Runner, program: &Program, name: &str, file: &Path) -> Result<Test> {
    let path = file.to_str().ok_or("a temporary directory whose name is not UTF-8")?;
    let begun = Instant::now();
    let end = runner.run(program, &[name], ("ANNALS_MUTANT_TRACE", path), LIMIT)?;
    let seconds = begun.elapsed().as_secs_f64();
    if end != End::Passed {
        return Err(format!("{} {name} with nothing changed: {end:?}", program.name).into());
    }
    let lines = if file.exists() { fs::read_to_string(file)? } else { String::new() };
    let sites = lines.lines().map(str::parse).collect::<std::result::Result<_, _>>()?;
    fs::remove_file(file).or_else(|error| if file.exists() { Err(error) } else { Ok(()) })?;
    Ok(Test { program: 0, name: name.to_owned(), seconds, sites })
}

/// The names of a program's tests, without those that only run when asked for.
fn list(runner: &Runner, program: &Program) -> Result<Vec<String>> {
    let names = |arguments: &[&str]| -> Result<BTreeSet<String>> {
        let listed = Command::new(&program.path)
            .args(["--list", "--format", "terse"])
            .args(arguments)
            .current_dir(&runner.directory)
            .output()?;
        let text = String::from_utf8(listed.stdout)?;
        Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
    };
    Ok(names(&[])?.difference(&names(&["--ignored"])?).cloned().collect())
}
