//! The mutants of one place together: a site is switched as one, and is what a trace of the tests records.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use crate::Result;
use crate::list::{Genre, Mutant, Position};
use crate::places::{Place, Places};

/// A place of the source with everything that can be changed there.
#[derive(Debug)]
pub struct Site {
    pub file: String,
    pub place: Place,
    pub variants: Vec<Variant>,
}

/// One mutant, as the text that stands at its site when it is switched on.
#[derive(Debug)]
pub struct Variant {
    pub mutant: usize,
    pub text: String,
}

/// Every mutant's way into the source.
#[derive(Debug, Default)]
pub struct Sites {
    pub all: Vec<Site>,
    /// Mutants whose text is no Rust.
    pub nonsense: BTreeSet<usize>,
    /// Mutants of what is evaluated while compiling.
    pub fixed: BTreeSet<usize>,
}

/// How the parts of a file are ordered: what comes first, and around others, first.
type Key = (usize, bool, usize, bool);

impl Sites {
    /// Finds the mutants in the files below `root`.
    pub fn of(root: &Path, mutants: &[Mutant]) -> Result<Self> {
        let mut sites = Self::default();
        let mut by_file: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, mutant) in mutants.iter().enumerate() {
            by_file.entry(&mutant.file).or_default().push(index);
        }
        for (file, indices) in by_file {
            let text = std::fs::read_to_string(root.join(file))?;
            let places = Places::of(&text).map_err(|e| format!("{file}: {e}"))?;
            sites.add_file(&text, &places, mutants, &indices)?;
        }
        Ok(sites)
    }

    pub fn add_file(&mut self, text: &str, places: &Places, mutants: &[Mutant], of: &[usize]) -> Result {
        let mut found: BTreeMap<Key, Site> = BTreeMap::new();
        for &index in of {
            let mutant = &mutants[index];
            let span = offset(text, mutant.span.start)?..offset(text, mutant.span.end)?;
            let place = places.find(mutant.genre, &span);
            let place = place.ok_or_else(|| format!("not found in the syntax: {}", mutant.name))?;
            match &place {
                Place::Fixed => {
                    self.fixed.insert(index);
                    continue;
                }
                Place::Nonsense => {
                    self.nonsense.insert(index);
                    continue;
                }
                Place::Expression(_) | Place::Body(_) | Place::Pattern(_) => {}
            }
            let variant = Variant { mutant: index, text: variant(text, &place, &span, mutant) };
            let site = found.entry(key(&place, mutant.genre)).or_insert_with(|| Site {
                file: mutant.file.clone(),
                place,
                variants: Vec::new(),
            });
            site.variants.push(variant);
        }
        self.all.extend(found.into_values());
        Ok(())
    }
}

fn variant(text: &str, place: &Place, span: &Range<usize>, mutant: &Mutant) -> String {
    match place {
        Place::Expression(whole) => {
            let (before, after) = (&text[whole.start..span.start], &text[span.end..whole.end]);
            format!("{before}{}{after}", mutant.replacement)
        }
        _ => mutant.replacement.clone(),
    }
}

fn key(place: &Place, genre: Genre) -> Key {
    match place {
        Place::Expression(range) => {
            (range.start, true, usize::MAX - range.end, genre != Genre::MatchArmGuard)
        }
        Place::Body(at) | Place::Pattern(at) => (*at, false, 0, false),
        Place::Fixed | Place::Nonsense => (0, false, 0, false),
    }
}

/// Where a position is, in bytes.
fn offset(text: &str, position: Position) -> Result<usize> {
    let line = text.split_inclusive('\n').nth(position.line - 1).ok_or("a line that is not there")?;
    let before: usize = text.split_inclusive('\n').take(position.line - 1).map(str::len).sum();
    let column = line.char_indices().nth(position.column - 1).map_or(line.len(), |(at, _)| at);
    Ok(before + column)
}
