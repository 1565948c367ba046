//! For how long nothing moves.

use std::time::{Duration, Instant};

use annals::Offset;

/// Since when a session is where it is.
#[derive(Default)]
pub(super) struct Standstill(Option<(Vec<Offset>, Instant)>);

impl Standstill {
    /// For how long it has been at `positions`.
    pub(super) fn lasts(&mut self, positions: Vec<Offset>, now: Instant) -> Duration {
        match &self.0 {
            Some((before, since)) if *before == positions => now.duration_since(*since),
            _ => {
                self.0 = Some((positions, now));
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_begins_again_with_each_move() {
        let (mut standstill, began) = (Standstill::default(), Instant::now());
        let mut lasts = |position, seconds| {
            standstill.lasts(vec![0, position], began + Duration::from_secs(seconds)).as_secs()
        };
        assert_eq!([lasts(5, 0), lasts(5, 7), lasts(6, 8), lasts(6, 10)], [0, 7, 0, 2]);
    }
}
