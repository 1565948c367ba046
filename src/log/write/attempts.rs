//! Whether compressing a batch is worth the attempt: single small records do not shrink, and trying costs more than writing.

/// So many batches one after the other must not have shrunk before one is stored without an attempt.
const MISSES: u32 = 8;
/// Then every so many batches are tried again: what is sent may have changed.
const TRY_AGAIN: u32 = 16;

/// What came of the last attempts to compress batches of a partition.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// Batches one after the other that did not shrink.
    misses: u32,
    /// Bytes of the largest of the first of them: they say nothing of a batch that is larger.
    largest: usize,
    /// Batches stored without an attempt since the last one.
    passed: u32,
}

impl Attempts {
    /// Whether a batch of so many bytes may shrink, as far as the last ones show.
    pub(super) fn is_worth(&mut self, bytes: usize) -> bool {
        if self.misses < MISSES || bytes > self.largest {
            return true;
        }
        self.passed += 1;
        self.passed >= TRY_AGAIN
    }

    /// An attempt was made.
    pub(super) fn note(&mut self, bytes: usize, has_shrunk: bool) {
        self.passed = 0;
        if has_shrunk {
            *self = Self::default();
            return;
        }
        self.misses = self.misses.saturating_add(1);
        // Of the last misses one after the other: a large one long ago does not stand for what may shrink now.
        self.largest = if self.misses <= MISSES { self.largest.max(bytes) } else { self.largest };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_shrink_is_tried_ever_more_seldom_and_what_is_larger_always() {
        let mut attempts = Attempts::default();
        for _ in 0..MISSES {
            assert!(attempts.is_worth(100));
            attempts.note(100, false);
        }
        let tried = |attempts: &mut Attempts, bytes| {
            let is_worth = attempts.is_worth(bytes);
            if is_worth {
                attempts.note(bytes, false);
            }
            is_worth
        };
        let count = (0..160).filter(|_| tried(&mut attempts, 90)).count();
        assert_eq!(count, 10);
        assert!(attempts.is_worth(101), "a larger one");
        attempts.note(101, false);
        assert!(!attempts.is_worth(100));
        attempts.note(50, true);
        assert!((0..5).all(|_| attempts.is_worth(10)), "one that shrank shows that others may");
    }
}
