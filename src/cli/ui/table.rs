//! Columns of text, as wide as they need to be.

/// A table with a head; a cell may have several lines.
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        assert_eq!(cells.len(), self.head.len(), "a row has a cell for every column");
        self.rows.push(cells);
    }

    /// The lines, with a rule below the head and the last row.
    pub(crate) fn lines(&self) -> Vec<String> {
        let widths: Vec<usize> = (0..self.head.len()).map(|column| self.width(column)).collect();
        let mut lines = vec![join(&self.head, &widths)];
        let rule = "-".repeat(widths.iter().sum::<usize>() + 2 * (widths.len().max(1) - 1));
        lines.push(rule.clone());
        for row in &self.rows {
            let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or(0);
            for line in 0..height {
                let parts: Vec<&str> =
                    row.iter().map(|cell| cell.lines().nth(line).unwrap_or("")).collect();
                lines.push(join(&parts, &widths));
            }
        }
        lines.push(rule);
        lines
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().flat_map(|row| row[column].lines());
        cells.chain([self.head[column]]).map(|line| line.chars().count()).max().unwrap_or(0)
    }
}

fn join(parts: &[&str], widths: &[usize]) -> String {
    let mut line = String::new();
    for (part, width) in parts.iter().zip(widths) {
        line.push_str(&format!("{part:width$}  "));
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(table.lines(), expect);
    }
}
