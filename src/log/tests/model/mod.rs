//! A log and a model of it: whatever is done, the log holds what the model holds.
//!
//! `ANNALS_MODEL_SEEDS` and `ANNALS_MODEL_OPS` say how many lives are tried, and how long each is.

mod compaction;
mod entry;
mod life;
mod random;
mod reading;
mod removal;

use life::Life;

fn count(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn the_log_holds_what_the_model_holds() {
    let (seeds, ops) = (count("ANNALS_MODEL_SEEDS", 200), count("ANNALS_MODEL_OPS", 60));
    for seed in 1..=seeds {
        let lived = std::panic::catch_unwind(|| {
            let mut life = Life::new(seed);
            (0..ops).for_each(|_| life.step());
        });
        assert!(lived.is_ok(), "seed {seed}");
    }
}
