//! Tables for people.

use comfy_table::{CellAlignment, ContentArrangement};

use crate::show::Escaped;

/// Rows under headings. Cells of numbers stand at the right.
#[derive(Debug)]
pub(crate) struct Table {
    inner: comfy_table::Table,
    columns: usize,
}

impl Table {
    /// A heading that begins with `>` is one of numbers.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(comfy_table::presets::NOTHING);
        inner.set_content_arrangement(ContentArrangement::Disabled);
        inner.set_header(headings.iter().map(|heading| heading.trim_start_matches('>')));
        for (at, heading) in headings.iter().enumerate() {
            let Some(column) = inner.column_mut(at) else { continue };
            column.set_padding((0, 2));
            if heading.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self { inner, columns: headings.len() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        // A name may have control characters, which a terminal obeys.
        let plain = |cell: String| match cell.chars().any(char::is_control) {
            true => Escaped(cell.as_bytes()).to_string(),
            false if cell.is_empty() => "-".to_owned(),
            false => cell,
        };
        let cells: Vec<_> = cells.into_iter().map(plain).collect();
        debug_assert_eq!(cells.len(), self.columns, "a cell for each heading");
        self.inner.add_row(cells);
    }

    /// The lines, the headings first.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.inner.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_at_the_right_and_lines_end_without_blanks() {
        let mut table = Table::new(&["TOPIC", ">LAG"]);
        table.row(["orders".to_owned(), "1000".to_owned()]);
        table.row(["o".to_owned(), "7".to_owned()]);
        assert_eq!(table.lines(), ["TOPIC    LAG", "orders  1000", "o          7"]);
        table.row(["\u{1b}[31m".to_owned(), "1".to_owned()]);
        assert_eq!(table.lines()[3], "\\x1b[31m     1");
    }
}
