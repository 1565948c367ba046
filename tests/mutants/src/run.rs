//! The whole way, from the list to the scores.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::compile::{Program, compile};
use crate::journal::{Entry, Journal};
use crate::judge::{Bench, Outcome, Switch};
use crate::list::{self, Mutant};
use crate::options::Options;
use crate::parallel::parallel;
use crate::process::Runner;
use crate::report::{Fate, Report};
use crate::rewrite::Refused;
use crate::sample::sample;
use crate::sites::Sites;
use crate::trace::{Test, trace};
use crate::tree::Tree;

/// What is the same as long as the source is, and takes minutes to find.
#[derive(Serialize, Deserialize)]
struct Known {
    digest: String,
    refused: Refused,
    tests: Vec<Test>,
}

/// The repository, its mutants, and the programs that may notice them.
struct Prepared {
    mutants: Vec<Mutant>,
    sites: Sites,
    switches: BTreeMap<usize, Switch>,
    programs: Vec<Program>,
    runner: Runner,
    known: Known,
}

/// Judges mutants as the options say, and returns the areas of which too few are noticed.
pub fn run(options: &Options) -> Result<Vec<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let work = std::path::absolute(target)?.join("mutants");
    fs::create_dir_all(&work)?;
    let prepared = prepare(&root, &work, options.jobs)?;
    prepared.write_left_out(&work.join("left-out.txt"))?;

    let asked = |index: usize| {
        let name = &prepared.mutants[index].name;
        options.only.is_empty() || options.only.iter().any(|text| name.contains(text))
    };
    let all: Vec<usize> = prepared.switches.keys().copied().filter(|index| asked(*index)).collect();
    let of = all.len();
    let chosen = sample(all, options.sample, options.seed);
    println!("{} of {of} mutants that can be switched", chosen.len());
    let journal = Journal::open(&work.join("outcomes.jsonl"), &prepared.known.digest, options.resume)?;
    let ran = prepared.judge(&chosen, &journal, options)?;

    let mut report = Report::default();
    for index in (0..prepared.mutants.len()).filter(|index| asked(*index)) {
        report.add(&prepared.mutants[index], &prepared.fate(index, &ran));
    }
    report.print();
    fs::remove_dir_all(&prepared.runner.scratch)?;
    let low = options.at_least.map(|percent| report.below(percent)).unwrap_or_default();
    Ok(low.into_iter().map(str::to_owned).collect())
}

/// Everything before the first mutant is turned on.
fn prepare(root: &Path, work: &Path, jobs: usize) -> Result<Prepared> {
    let mutants = list::mutants(root)?;
    let sites = Sites::of(root, &mutants)?;
    eprintln!("{} mutants at {} sites", mutants.len(), sites.all.len());
    let tree = Tree::read(root, work.join("tree"))?;
    let digest = tree.digest(&mutants);
    let path = work.join("known.json");
    let mut known = Known::read(&path, digest);

    let begun = Instant::now();
    let arguments = list::test_arguments(root)?;
    eprintln!("building, which takes minutes the first time");
    let programs = compile(&tree, &sites, &work.join("build"), &arguments, &mut known.refused)?;
    known.write(&path)?;
    eprintln!("{} test programs built in {:.0} s", programs.len(), begun.elapsed().as_secs_f64());

    let scratch = std::env::temp_dir().join(format!("annals-mutants-{}", std::process::id()));
    fs::create_dir_all(&scratch)?;
    let runner = Runner::new(tree.copy.clone(), scratch);
    if known.tests.is_empty() {
        let begun = Instant::now();
        known.tests = trace(&runner, &programs, jobs)?;
        known.write(&path)?;
        eprintln!("{} tests traced in {:.0} s", known.tests.len(), begun.elapsed().as_secs_f64());
    }
    let switches = switches(&sites, &known.refused);
    Ok(Prepared { mutants, sites, switches, programs, runner, known })
}

impl Known {
    /// What the last run found out, if it was of the same source.
    fn read(path: &Path, digest: String) -> Self {
        let read = fs::read_to_string(path).ok().and_then(|text| serde_json::from_str::<Self>(&text).ok());
        let nothing = Self { digest: digest.clone(), refused: Refused::default(), tests: Vec::new() };
        read.filter(|known| known.digest == digest).unwrap_or(nothing)
    }

    fn write(&self, path: &Path) -> Result {
        Ok(fs::write(path, serde_json::to_string(self)?)?)
    }
}

fn switches(sites: &Sites, refused: &Refused) -> BTreeMap<usize, Switch> {
    let mut switches = BTreeMap::new();
    for (site, of) in sites.all.iter().enumerate().filter(|(site, _)| !refused.sites.contains(site)) {
        for (nth, variant) in of.variants.iter().enumerate() {
            if !refused.mutants.contains(&variant.mutant) {
                switches.insert(variant.mutant, Switch { site, variant: nth + 1 });
            }
        }
    }
    switches
}

impl Prepared {
    fn judge(
        &self,
        chosen: &[usize],
        journal: &Journal,
        options: &Options,
    ) -> Result<BTreeMap<String, Entry>> {
        let bench = Bench {
            runner: &self.runner,
            programs: &self.programs,
            tests: &self.known.tests,
            patience: options.patience,
            all: options.all_tests,
        };
        let done = AtomicUsize::new(0);
        let ran = std::sync::Mutex::new(BTreeMap::new());
        parallel(options.jobs, chosen.len(), |nth| {
            let index = chosen[nth];
            let mutant = &self.mutants[index];
            let entry = match journal.before.get(&mutant.name) {
                Some(entry) => entry.clone(),
                None => {
                    let begun = Instant::now();
                    let (outcome, by) = bench.judge(mutant, self.switches[&index])?;
                    let seconds = begun.elapsed().as_secs_f64();
                    let entry = Entry { name: mutant.name.clone(), outcome, by, seconds };
                    journal.add(&entry)?;
                    entry
                }
            };
            if entry.outcome == Outcome::Missed {
                println!("missed: {} ({})", entry.name, entry.by);
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of(50) {
                eprintln!("{done} of {}", chosen.len());
            }
            ran.lock().map_err(|e| e.to_string())?.insert(entry.name.clone(), entry);
            Ok(())
        })?;
        Ok(ran.into_inner()?)
    }

    fn fate<'a>(&self, index: usize, ran: &'a BTreeMap<String, Entry>) -> Fate<'a> {
        if let Some(entry) = ran.get(&self.mutants[index].name) {
            Fate::Ran(entry)
        } else if self.switches.contains_key(&index) {
            Fate::Left
        } else if self.sites.nonsense.contains(&index) || self.known.refused.mutants.contains(&index) {
            Fate::Unviable
        } else {
            Fate::Fixed
        }
    }

    fn write_left_out(&self, path: &Path) -> Result {
        let mut text = String::new();
        let none = BTreeMap::new();
        for (index, mutant) in self.mutants.iter().enumerate() {
            match self.fate(index, &none) {
                Fate::Fixed => text.push_str(&format!("not switchable: {}\n", mutant.name)),
                Fate::Unviable => text.push_str(&format!("unviable: {}\n", mutant.name)),
                Fate::Left | Fate::Ran(_) => {}
            }
        }
        Ok(fs::write(path, text)?)
    }
}
