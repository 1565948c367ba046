//! Numbers of things.

use std::fmt::Display;

/// `1 record`, `2 records`.
pub(crate) fn count(number: impl Display, thing: &str) -> String {
    let number = number.to_string();
    match (number.as_str(), thing.strip_suffix("ch"), thing.strip_suffix("x")) {
        ("1", ..) => format!("{number} {thing}"),
        (_, Some(_), _) | (_, _, Some(_)) => format!("{number} {thing}es"),
        _ => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_thing_and_others_are_things() {
        assert_eq!(
            [count(0, "record"), count(1, "record"), count(2, "record")],
            ["0 records", "1 record", "2 records"]
        );
        assert_eq!([count(1, "batch"), count(3, "batch")], ["1 batch", "3 batches"]);
    }
}
