//! Words of random steps; what fails is made as short as it can be.

use annals::Durability;
use annals_testing::Random;

use super::life::{Do, KINDS, Kind, Life, Step, Then};
use crate::common::count_from_env;

fn run(kind: Kind, word: &[Step]) -> Result<(), String> {
    let mut life = Life::begin(kind);
    life.fates = word.len() % 7;
    word.iter().try_for_each(|step| life.step(*step))
}

fn draw(random: &mut Random) -> Step {
    let durability = *random.choose(&[Durability::Os, Durability::Disk]);
    let what = match random.below(20) {
        0..=5 => Do::Append {
            name: *random.choose(&[0, 0, 1]),
            key: if random.one_in(2) { "k" } else { "q" },
            is_old: random.one_in(4),
            durability,
        },
        6 | 7 => Do::Plain { bytes: *random.choose(&[1, 600]), durability },
        8 | 9 => Do::Delete { but: i64::from(random.one_in(2)) },
        10 => Do::Retain,
        11 | 12 => Do::Erase,
        13 | 14 => Do::Compact,
        15 => Do::Flush,
        16 => Do::Wait,
        17 => Do::Fill,
        18 => Do::Close,
        _ => Do::End,
    };
    let at = i64::try_from(random.below(40)).unwrap();
    let then = match random.below(6) {
        0 => Then::Kill(at),
        1 => Then::Cut(at),
        _ => Then::GoOn,
    };
    (what, then)
}

/// Without each step that it fails without, too.
fn shorten(kind: Kind, mut word: Vec<Step>, mut why: String) -> (Vec<Step>, String) {
    let mut at = 0;
    while at < word.len() {
        let mut shorter = word.clone();
        shorter.remove(at);
        match run(kind, &shorter) {
            Err(other) => (word, why, at) = (shorter, other, 0),
            Ok(()) => at += 1,
        }
    }
    (word, why)
}

#[test]
fn no_partition_forgets_a_named_producer_whose_records_have_left_it_whatever_crashes() {
    let words = count_from_env("ANNALS_NAMED_WORDS", 600);
    for seed in 0..words as u64 {
        let mut random = Random::new(seed);
        let kind = *random.choose(&KINDS);
        let word: Vec<_> = (0..4 + random.below(14)).map(|_| draw(&mut random)).collect();
        if let Err(why) = run(kind, &word) {
            let (word, why) = shorten(kind, word, why);
            panic!("seed {seed}, {kind:?}: {why}\n{word:#?}");
        }
    }
}
