//! Java, Maven's class path and the judge's classes.

use std::fs;
use std::io::{self, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Answer;

/// A class path on which Kafka and the judge stand.
#[derive(Debug, Clone)]
pub struct Java {
    class_path: String,
    /// What the machine is told for a life of seconds, or for long work.
    options: &'static [&'static str],
}

const SHORT_LIVED: &[&str] = &["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// The directory of this package.
pub fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The output of a command that must succeed.
pub fn output(command: &mut Command) -> Answer<String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    let last: Vec<_> = errors.lines().rev().take(40).collect();
    let last: Vec<_> = last.into_iter().rev().collect();
    Err(format!("{command:?} ended with {}\n{text}\n{}", output.status, last.join("\n")).into())
}

/// The same with lines for its input; what it complains of is shown.
pub fn ask(command: &mut Command, input: &str) -> Answer<String> {
    let mut file = tempfile::tempfile()?;
    file.write_all(input.as_bytes())?;
    file.rewind()?;
    let output = command.stdin(file).stderr(Stdio::inherit()).output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    Err(format!("{command:?} ended with {}", output.status).into())
}

impl Java {
    /// Fetches what Maven has not fetched yet and compiles the judge. Without Java or Maven, or where Kafka cannot be fetched:
    /// the reason.
    pub fn prepare() -> Answer<Result<Self, String>> {
        let target = here().join("target/judge");
        fs::create_dir_all(&target)?;
        let there = ["java", "javac"].map(|program| output(Command::new(program).arg("-version")));
        let jars = match there.into_iter().collect::<Answer<Vec<_>>>().and_then(|_| jars(&target)) {
            Ok(jars) => jars,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let class_path =
            format!("{}:{}:{jars}", target.join("classes").display(), here().join("judge/src").display());
        let sources: Vec<PathBuf> = fs::read_dir(here().join("judge/src/judge"))?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?;
        let compiled = target.join("classes/judge/Main.class");
        if !is_newer(&compiled, &sources)? {
            let mut javac = Command::new("javac");
            javac.args(["-nowarn", "-cp", &class_path, "-d"]).arg(target.join("classes")).args(&sources);
            output(&mut javac)?;
        }
        Ok(Ok(Self { class_path, options: SHORT_LIVED }))
    }

    /// The same for work that is measured: with the compiler and the collector that the machine chooses.
    pub fn for_speed(mut self) -> Self {
        self.options = &[];
        self
    }

    /// A virtual machine with so many MiB of heap, for a class of the path.
    pub fn command(&self, mebibytes: u32, class: &str) -> Command {
        let mut command = Command::new("java");
        command.arg(format!("-Xmx{mebibytes}m"));
        // Brokers log what the tests look for; for all others errors are enough.
        let level = if class == "kafka.Kafka" { "info" } else { "error" };
        command.arg(format!("-Djudge.level={level}"));
        command.args(self.options).args(["-Xshare:auto", "-cp", &self.class_path, class]);
        command
    }

    /// What the judge answers.
    pub fn judge(&self, words: &[&str]) -> Answer<String> {
        output(self.command(384, "judge.Main").args(words))
    }

    /// The same with lines for its input.
    pub fn ask(&self, words: &[&str], input: &str) -> Answer<String> {
        ask(self.command(384, "judge.Main").args(words), input)
    }

    /// Starts a class that goes on, with its output in a file.
    pub fn start(&self, mebibytes: u32, class: &str, word: &Path, log: &Path) -> Answer<Child> {
        let file = fs::File::create(log)?;
        let mut command = self.command(mebibytes, class);
        command.arg(word).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        Ok(command.spawn()?)
    }
}

fn is_newer(made: &Path, sources: &[PathBuf]) -> io::Result<bool> {
    let Ok(made) = fs::metadata(made).and_then(|found| found.modified()) else { return Ok(false) };
    for source in sources {
        if fs::metadata(source)?.modified()? > made {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The class path as Maven resolves it, offline where everything is there already.
fn jars(target: &Path) -> Answer<String> {
    let pom = here().join("judge/pom.xml");
    let list = target.join("class-path");
    let known = is_newer(&list, std::slice::from_ref(&pom))?;
    if known {
        let jars = fs::read_to_string(&list)?;
        if jars.split(':').all(|jar| Path::new(jar).exists()) {
            return Ok(jars);
        }
    }
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "-f"]).arg(&pom).arg("dependency:build-classpath");
    maven.arg(format!("-Dmdep.outputFile={}", list.display()));
    output(&mut maven)?;
    Ok(fs::read_to_string(&list)?)
}
