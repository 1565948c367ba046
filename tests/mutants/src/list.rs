//! What cargo-mutants would change: its own list, so that names and settings are those of `.cargo/mutants.toml`.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::Result;

/// One change of the source, as cargo-mutants describes it.
#[derive(Debug, Clone, Deserialize)]
pub struct Mutant {
    /// File, place and what is changed, in cargo-mutants' words; no two are alike.
    pub name: String,
    pub file: String,
    pub genre: Genre,
    pub replacement: String,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Genre {
    /// A function's body.
    FnValue,
    BinaryOperator,
    UnaryOperator,
    /// An arm of a match that has an arm `_`.
    MatchArm,
    MatchArmGuard,
    /// A field of a struct expression that has a base.
    StructField,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Span {
    pub start: Position,
    pub end: Position,
}

/// Line and column, both from 1, columns in characters.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Mutant {
    /// The layer, by which the score is given.
    pub fn area(&self) -> &str {
        self.file.split('/').nth(1).unwrap_or(&self.file)
    }

    /// The module's path as libtest prints it before a test's name: `segment::index` of `src/segment/index.rs`.
    pub fn module(&self) -> String {
        let path = self.file.trim_start_matches("src/").trim_end_matches(".rs");
        path.trim_end_matches("/mod").replace('/', "::")
    }
}

/// All mutants of the repository at `root`.
pub fn mutants(root: &Path) -> Result<Vec<Mutant>> {
    let output = Command::new("cargo")
        .args(["mutants", "--list", "--json"])
        .current_dir(root)
        .output()
        .map_err(|e| format!("cargo mutants: {e}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(
            format!("`cargo mutants --list` failed; `cargo install cargo-mutants` has it\n{stderr}").into()
        );
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Which tests cargo-mutants would run: `additional_cargo_test_args` of its configuration.
pub fn test_arguments(root: &Path) -> Result<Vec<String>> {
    #[derive(Deserialize)]
    struct Config {
        additional_cargo_test_args: Vec<String>,
    }
    let text = std::fs::read_to_string(root.join(".cargo/mutants.toml"))?;
    Ok(toml::from_str::<Config>(&text)?.additional_cargo_test_args)
}
