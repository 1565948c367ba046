//! What somebody may have meant who gave a name that does not exist.

/// Letters that may be wrong, missing or too many.
const MOST_SLIPS: usize = 2;

/// The names that are like the given one, or `None` when none is.
pub(super) fn suggestion(given: &str, names: &[&str]) -> Option<String> {
    let given = given.to_ascii_lowercase().replace(['_', '-'], ".");
    let begin = |name: &&&str| name.strip_prefix(&*given).is_some_and(|rest| rest.starts_with('.'));
    let longer: Vec<_> = names.iter().filter(begin).copied().collect();
    if !longer.is_empty() {
        return Some(longer.join(" or "));
    }
    let nearest = names.iter().map(|name| (slips(&given, name), name)).min_by_key(|(slips, _)| *slips);
    nearest.filter(|(slips, _)| *slips <= MOST_SLIPS).map(|(_, name)| (*name).to_owned())
}

/// How many letters one has to change, add or take out to make one word of the other.
fn slips(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    // The distances of what was read of `from` to each beginning of `to`.
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (read, letter) in from.chars().enumerate() {
        let mut next = vec![read + 1];
        for ((other, left), pair) in to.iter().zip(read + 1..).zip(row.windows(2)) {
            let [diagonal, above] = pair else { continue };
            let left = next.last().copied().unwrap_or(left);
            let changed = diagonal + usize::from(letter != *other);
            next.push(changed.min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_counted_one_by_one() {
        assert_eq!(slips("", "abc"), 3);
        assert_eq!(slips("abc", "abc"), 0);
        assert_eq!(slips("abd", "abc"), 1);
        assert_eq!(slips("ac", "abc"), 1);
        assert_eq!(slips("xabc", "abc"), 1);
        assert_eq!(slips("kitten", "sitting"), 3);
    }
}
