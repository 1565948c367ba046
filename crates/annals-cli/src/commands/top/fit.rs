//! Which columns a page has room for, and how wide they are.

/// A name is cut to so many letters before a column is left out for it.
const NAME: usize = 24;
const GAP: usize = 2;

/// A column that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) at: usize,
    pub(super) width: usize,
    pub(super) is_number: bool,
}

/// Columns that fit into `width`. A number is whole or not there: its first digits are another number. `dropped` says which goes
/// first. Names are cut.
pub(super) fn fit(mut columns: Vec<Column>, dropped: &[usize], width: usize) -> Vec<Column> {
    let of =
        |column: &Column, cap: usize| if column.is_number { column.width } else { column.width.min(cap) };
    let need = |columns: &[Column], cap: usize| {
        columns.iter().map(|column| of(column, cap)).sum::<usize>() + GAP * columns.len().saturating_sub(1)
    };
    for at in dropped {
        if need(&columns, NAME) <= width {
            break;
        }
        columns.retain(|column| column.at != *at);
    }
    let mut cap = columns.iter().map(|column| column.width).max().unwrap_or(0);
    while cap > 1 && need(&columns, cap) > width {
        cap -= 1;
    }
    columns.into_iter().map(|column| Column { width: of(&column, cap), ..column }).collect()
}

/// With a mark in the middle where it is cut: names often differ in their ends.
pub(super) fn cut(name: &str, width: usize) -> String {
    let letters = name.chars().count();
    if letters <= width {
        return name.to_owned();
    }
    let tail = width.saturating_sub(1) / 2;
    let head = width.saturating_sub(1).saturating_sub(tail);
    let begin = name.chars().take(head);
    let end = name.chars().skip(letters - tail);
    begin.chain(['…']).chain(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(name: usize) -> Vec<Column> {
        let numbers = [10, 9, 10, 9, 10, 8];
        let number = |(at, width): (usize, &usize)| Column { at: at + 1, width: *width, is_number: true };
        let name = Column { at: 0, width: name, is_number: false };
        [name].into_iter().chain(numbers.iter().enumerate().map(number)).collect()
    }

    #[test]
    fn a_number_is_whole_or_not_there() {
        for (name, width) in [(5, 120), (40, 120), (40, 80), (40, 75), (40, 60), (5, 60), (5, 30)] {
            let shown = fit(columns(name), &[6, 1, 4, 5, 3], width);
            let all: usize = shown.iter().map(|column| column.width).sum();
            assert!(all + GAP * (shown.len() - 1) <= width, "{shown:?}");
            for column in shown.iter().filter(|column| column.is_number) {
                assert!(columns(name).contains(column), "{shown:?}");
            }
            assert_eq!(shown[0].at, 0);
        }
        assert_eq!(fit(columns(40), &[6, 1, 4, 5, 3], 120).len(), 7);
        assert_eq!(fit(columns(40), &[6, 1, 4, 5, 3], 120)[0].width, 40);
        let at: Vec<_> = fit(columns(40), &[6, 1, 4, 5, 3], 75).iter().map(|column| column.at).collect();
        assert_eq!(at, [0, 2, 3, 4, 5]);
    }

    #[test]
    fn names_that_are_cut_keep_both_ends() {
        assert_eq!(cut("orders", 6), "orders");
        assert_eq!(cut("customer-orders-17", 9), "cust…s-17");
        assert_eq!(cut("äöüäöüäöü", 4), "äö…ü");
        assert_eq!(cut("orders", 1), "…");
    }
}
