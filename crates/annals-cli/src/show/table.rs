//! Tables for people.

use comfy_table::{CellAlignment, ContentArrangement};

use crate::show::Tame;

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
        let cells: Vec<_> = cells
            .into_iter()
            .map(|cell| if cell.is_empty() { "-".to_owned() } else { tame(&cell) })
            .collect();
        debug_assert_eq!(cells.len(), self.columns, "a cell for each heading");
        self.inner.add_row(cells);
    }

    /// The lines, the headings first.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.inner.lines().map(|line| line.trim_end().to_owned()).collect()
    }
}

/// A name may have any letters. Those that a terminal obeys, or that end a line, would break the table.
fn tame(cell: &str) -> String {
    Tame(cell, &[]).to_string()
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
    }

    #[test]
    fn a_name_with_control_characters_is_one_line_and_no_command_of_the_terminal() {
        let mut table = Table::new(&["GROUP"]);
        table.row(["a\x1b[31m\nb\\".to_owned()]);
        assert_eq!(table.lines(), ["GROUP", "a\\x1b[31m\\x0ab\\"]);
    }
}
