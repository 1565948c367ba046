//! Directories of partitions, by the numbers in their names.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// The directories from partition 0 on: a shell lists `orders-10` before `orders-2`. All partitions of one topic must be there, as
/// what has another number is found by no key.
pub(super) fn in_order(directories: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let mut numbered = Vec::with_capacity(directories.len());
    for directory in directories {
        match name_of(directory).as_deref().and_then(topic_and_number) {
            Some((topic, number)) => numbered.push((number, topic, directory)),
            // Of one there is no order.
            None if directories.len() == 1 => return Ok(directories.to_vec()),
            None => return Err(refused(format!("{} has no number", directory.display()))),
        }
    }
    numbered.sort_by_key(|(number, ..)| *number);
    for (wanted, (number, topic, directory)) in numbered.iter().enumerate() {
        let first = numbered.first().map_or("", |(_, topic, _)| topic.as_str());
        if topic != first {
            return Err(refused(format!("{} is not of {first}", directory.display())));
        }
        let wanted = wanted as u64;
        if *number < wanted {
            return Err(refused(format!("partition {number} is there twice")));
        }
        if *number > wanted {
            return Err(refused(format!("partition {wanted} of {topic} is missing")));
        }
    }
    Ok(numbered.into_iter().map(|(_, _, directory)| directory.clone()).collect())
}

fn refused(what: String) -> Failure {
    let words = "directories are called TOPIC-0, TOPIC-1 and so on, and all are given";
    Failure::Usage(format!("{what}: {words}; --as-given numbers them in the order in which they are given"))
}

/// Also of `.`, and of what ends with a slash.
fn name_of(directory: &Path) -> Option<String> {
    let named = directory.file_name().map(|name| name.to_string_lossy().into_owned());
    named.or_else(|| Some(directory.canonicalize().ok()?.file_name()?.to_string_lossy().into_owned()))
}

fn topic_and_number(name: &str) -> Option<(String, u64)> {
    let (topic, digits) = name.rsplit_once('-')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    (is_number && !topic.is_empty()).then_some((topic.to_owned(), digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(names: &[&str]) -> Result<Vec<String>, String> {
        let directories: Vec<_> = names.iter().map(PathBuf::from).collect();
        let sorted = in_order(&directories).map_err(|failure| failure.to_string())?;
        Ok(sorted.iter().map(|directory| directory.display().to_string()).collect())
    }

    #[test]
    fn partitions_stand_in_the_order_of_their_numbers_not_of_the_shells() {
        let mut shells: Vec<_> = (0..12).map(|number| format!("logs/p-{number}")).collect();
        let numbers = shells.clone();
        shells.sort();
        let shells: Vec<_> = shells.iter().map(String::as_str).collect();
        assert_eq!(sorted(&shells), Ok(numbers));
        assert_eq!(sorted(&["a-1", "b/a-0/"]), Ok(vec!["b/a-0/".to_owned(), "a-1".to_owned()]));
        assert_eq!(sorted(&["anything"]), Ok(vec!["anything".to_owned()]));
    }

    #[test]
    fn what_is_missing_doubled_or_of_another_topic_is_named() {
        let begins = |names: &[&str], words: &str| {
            let said = sorted(names).unwrap_err();
            assert!(said.starts_with(words) && said.contains("--as-given"), "{said}");
        };
        begins(&["p-0", "p-2"], "partition 1 of p is missing");
        begins(&["p-3"], "partition 0 of p is missing");
        begins(&["p-0", "x/p-0", "p-1"], "partition 0 is there twice");
        begins(&["p-0", "q-1"], "q-1 is not of p");
        begins(&["p-0", "p-1.3f00-delete"], "p-1.3f00-delete has no number");
    }
}
