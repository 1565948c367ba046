//! Source with all its mutants in it, each behind its switch, and comments that say which text is whose.
//!
//! Only the unchanged form of an expression holds the switches of what is inside it: one mutant is on at a time, so in a
//! changed form nothing else is ever switched, and the text grows with the number of mutants, not with its power.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::places::Place;
use crate::sites::{Site, Sites};

/// What is left out, because the compiler refused it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Refused {
    pub mutants: BTreeSet<usize>,
    pub sites: BTreeSet<usize>,
}

/// The text of `file` with its sites in it.
pub fn rewrite(file: &str, text: &str, sites: &Sites, refused: &Refused) -> String {
    let of_file = sites.all.iter().enumerate().filter(|(_, site)| site.file == file);
    let live = of_file.filter(|(index, site)| {
        !refused.sites.contains(index) && site.variants.iter().any(|v| !refused.mutants.contains(&v.mutant))
    });
    let mut rewriter = Rewriter { text, refused, sites: live.collect(), next: 0 };
    rewriter.render(0, text.len())
}

struct Rewriter<'a> {
    text: &'a str,
    refused: &'a Refused,
    /// In the order of the text, outer ones first.
    sites: Vec<(usize, &'a Site)>,
    next: usize,
}

impl Rewriter<'_> {
    fn render(&mut self, start: usize, end: usize) -> String {
        let mut out = String::new();
        let mut at = start;
        while let Some(&(index, site)) = self.sites.get(self.next) {
            let (from, to) = match &site.place {
                Place::Expression(range) => (range.start, range.end),
                Place::Body(at) | Place::Pattern(at) => (*at, *at),
                Place::Fixed | Place::Nonsense => unreachable!("has no site"),
            };
            if from >= end || to > end {
                break;
            }
            self.next += 1;
            out.push_str(&self.text[at..from]);
            out.push_str(&format!("/*s{index}*/"));
            match &site.place {
                Place::Body(_) => out.push_str(&self.switch(index, site, "{}", "return ")),
                Place::Pattern(_) => out.push_str(&format!(" if crate::mutant::at({index}) == 0 ")),
                _ => {
                    let unchanged = format!("({})", self.render(from, to));
                    out.push_str(&format!("({})", self.switch(index, site, &unchanged, "")));
                }
            }
            out.push_str("/*s*/");
            at = to;
        }
        out.push_str(&self.text[at..end]);
        out
    }

    fn switch(&self, index: usize, site: &Site, unchanged: &str, verb: &str) -> String {
        let numbered = site.variants.iter().enumerate();
        let live: Vec<_> = numbered.filter(|(_, v)| !self.refused.mutants.contains(&v.mutant)).collect();
        let mut out = format!("match crate::mutant::at({index}) {{ 0 => {unchanged}");
        for (nth, (number, variant)) in live.iter().enumerate() {
            // The last one's pattern makes the match complete.
            let pattern = if nth + 1 == live.len() { "_".to_owned() } else { (number + 1).to_string() };
            out.push_str(&format!(", {pattern} => /*m{}*/{verb}({})/*m*/", variant.mutant, variant.text));
        }
        out.push_str(" }");
        out
    }
}

/// Whose text a byte of a rewritten file is, the innermost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    Mutant(usize),
    Site(usize),
    /// The source as it was.
    Nobody,
}

/// The owner of the byte at `at`, from the comments before it.
pub fn owner(rewritten: &str, at: usize) -> Owner {
    let mut around = Vec::new();
    let before = &rewritten[..at.min(rewritten.len())];
    for (from, _) in before.match_indices("/*") {
        let inner = before[from + 2..].split_once("*/").map_or("", |(inner, _)| inner);
        match inner.split_at_checked(1) {
            Some(("m" | "s", "")) => {
                around.pop();
            }
            Some(("m", number)) => around.extend(number.parse().map(Owner::Mutant)),
            Some(("s", number)) => around.extend(number.parse().map(Owner::Site)),
            _ => {}
        }
    }
    around.last().copied().unwrap_or(Owner::Nobody)
}
