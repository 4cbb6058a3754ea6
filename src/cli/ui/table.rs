//! Columns of text, as wide as they need to be and as narrow as the terminal wants.

use super::text;

/// Columns between two columns.
const GAP: usize = 2;
/// Narrower than this, a column that may be folded is no longer read with pleasure.
const FOLDED_WIDTH_MIN: usize = 12;

/// A table with a head; a cell may have several lines.
pub(crate) struct Table {
    head: Vec<&'static str>,
    is_flexible: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), is_flexible: vec![false; head.len()], rows: Vec::new() }
    }

    /// Lets these columns be folded where the terminal is narrow.
    #[must_use]
    pub(crate) fn flexible(mut self, names: &[&'static str]) -> Self {
        self.is_flexible = self.head.iter().map(|name| names.contains(name)).collect();
        self
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.head.len(), "a row has a cell for every column");
        self.rows.push(cells);
    }

    /// The lines, with a rule below the head and the last row. Where not even folding makes them
    /// fit into `columns`, each row is a paragraph with one line a cell.
    pub(crate) fn lines(&self, columns: Option<usize>) -> Vec<String> {
        match self.widths(columns.unwrap_or(usize::MAX)) {
            Some(widths) => self.table(&widths),
            None => self.paragraphs(),
        }
    }

    fn table(&self, widths: &[usize]) -> Vec<String> {
        let rule = "-".repeat(total(widths));
        let mut lines = vec![join(&self.head, widths), rule.clone()];
        for row in &self.rows {
            let cells: Vec<Vec<&str>> =
                row.iter().zip(widths).map(|(cell, width)| fold(cell, *width)).collect();
            let height = cells.iter().map(Vec::len).max().unwrap_or(0);
            for line in 0..height {
                let parts: Vec<&str> =
                    cells.iter().map(|cell| cell.get(line).copied().unwrap_or("")).collect();
                lines.push(join(&parts, widths));
            }
        }
        lines.push(rule);
        lines
    }

    fn paragraphs(&self) -> Vec<String> {
        let width = self.head.iter().map(|name| text::width(name)).max().unwrap_or(0);
        let mut lines = Vec::new();
        for (number, row) in self.rows.iter().enumerate() {
            if number > 0 {
                lines.push(String::new());
            }
            for (name, cell) in self.head.iter().zip(row).filter(|(_, cell)| !cell.is_empty()) {
                for (at, line) in cell.lines().enumerate() {
                    lines.push(join(&[if at == 0 { name } else { "" }, line], &[width, 0]));
                }
            }
        }
        lines.push(String::new());
        lines
    }

    /// Widths of the columns in at most `columns` together; `None` when they cannot be folded so
    /// far.
    fn widths(&self, columns: usize) -> Option<Vec<usize>> {
        let mut widths: Vec<usize> = (0..self.head.len()).map(|at| self.width(at)).collect();
        while total(&widths) > columns {
            let may_shrink = |at: &usize| {
                self.is_flexible[*at]
                    && widths[*at] > FOLDED_WIDTH_MIN.max(text::width(self.head[*at]))
            };
            let widest = (0..widths.len()).filter(may_shrink).max_by_key(|at| widths[*at])?;
            widths[widest] -= 1;
        }
        Some(widths)
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().flat_map(|row| row[column].lines());
        cells.chain([self.head[column]]).map(text::width).max().unwrap_or(0)
    }
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * (widths.len().max(1) - 1)
}

/// The lines of a cell, none wider than `width`.
fn fold(cell: &str, width: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    for mut rest in cell.lines() {
        while text::width(rest) > width {
            let head = text::head(rest, width);
            // After a word or the name of a directory, unless that leaves half of the line empty.
            let end = head.rfind([' ', '/']).map_or(0, |at| at + 1);
            let end = if 2 * text::width(&head[..end]) > width { end } else { head.len() };
            lines.push(head[..end].trim_end());
            rest = &rest[end..];
        }
        lines.push(rest);
    }
    lines
}

fn join(parts: &[&str], widths: &[usize]) -> String {
    let mut line = String::new();
    for (part, width) in parts.iter().zip(widths) {
        line.push_str(&text::padded(part, width + GAP));
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(table: &Table, columns: Option<usize>, expect: &[&str]) {
        assert_eq!(table.lines(columns), expect);
    }

    #[test]
    fn cells_of_several_lines_stay_in_their_column() {
        let mut table = Table::new(&["ID", "Paths", "Size"]);
        table.row(vec!["12".into(), "/a\n/bcdefg".into(), "1 B".into()]);
        let expect = [
            "ID  Paths    Size",
            "-----------------",
            "12  /a       1 B",
            "    /bcdefg",
            "-----------------",
        ];
        check(&table, None, &expect);
        check(&table, Some(17), &expect);
    }

    #[test]
    fn wide_characters_are_counted_as_two() {
        let mut table = Table::new(&["Host", "Size"]);
        table.row(vec!["\u{4f60}\u{597d}\u{5417}".into(), "1 B".into()]);
        table.row(vec!["e\u{301}".into(), "2 B".into()]);
        let expect = [
            "Host    Size",
            "------------",
            "\u{4f60}\u{597d}\u{5417}  1 B",
            "e\u{301}       2 B",
            "------------",
        ];
        check(&table, None, &expect);
    }

    #[test]
    fn a_narrow_terminal_folds_and_a_very_narrow_one_gets_paragraphs() {
        let mut table = Table::new(&["ID", "Paths", "Size"]).flexible(&["Paths"]);
        table.row(vec!["12".into(), "/home/somebody\n/etc".into(), "1 B".into()]);
        table.row(vec!["34".into(), String::new(), "2 B".into()]);
        let folded = [
            "ID  Paths         Size",
            "----------------------",
            "12  /home/somebo  1 B",
            "    dy",
            "    /etc",
            "34                2 B",
            "----------------------",
        ];
        check(&table, Some(22), &folded);
        let paragraphs = [
            "ID     12",
            "Paths  /home/somebody",
            "       /etc",
            "Size   1 B",
            "",
            "ID     34",
            "Size   2 B",
            "",
        ];
        check(&table, Some(21), &paragraphs);
        assert_eq!(fold("before the great move", 14), ["before the", "great move"]);
        assert_eq!(fold("/home/somebody", 12), ["/home/somebo", "dy"]);
        assert_eq!(fold("/srv/data/models", 12), ["/srv/data/", "models"]);
    }
}
