//! Aligned columns, and text that is safe to show.

use std::fmt::Write;

/// No line is longer, unless its ids are.
pub(super) const WIDTH: usize = 100;
const GAP: &str = "  ";
/// What the last column gets at least.
const LAST_COLUMN: usize = 12;

/// Where the cells of a column stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Rows under headings. The last column is cut where the line would become too long.
#[derive(Debug)]
pub(super) struct Table<const N: usize> {
    columns: [Align; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(super) fn new(columns: [(&str, Align); N]) -> Self {
        Self {
            columns: columns.map(|(_, align)| align),
            rows: vec![columns.map(|(heading, _)| heading.to_owned())],
        }
    }

    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| clean(&cell)));
    }

    /// One line per row.
    pub(super) fn text(&self) -> String {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        if let [others @ .., last] = &mut widths[..] {
            let taken: usize = others.iter().map(|width| width + GAP.len()).sum();
            *last = (*last).min(WIDTH.saturating_sub(taken).max(LAST_COLUMN));
        }
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), align) in row.iter().zip(widths).zip(self.columns) {
                let cell = cut(cell, width);
                // Writing into a text cannot fail.
                let _ = match align {
                    Align::Left => write!(line, "{cell:<width$}{GAP}"),
                    Align::Right => write!(line, "{cell:>width$}{GAP}"),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// At most `width` characters, with a sign that there were more.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept = text.chars().take(width.saturating_sub(1));
    kept.chain(std::iter::once('…')).collect()
}

/// The text without what a terminal would obey: others may have written it.
pub(super) fn clean(text: &str) -> String {
    let safe = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_no_line_is_too_long() {
        let mut table = Table::new([
            ("ID", Align::Left),
            ("N", Align::Right),
            ("ERROR", Align::Left),
        ]);
        table.row(["a".into(), "5".into(), "x".repeat(200)]);
        table.row(["bcd".into(), "10".into(), String::new()]);
        let text = table.text();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "ID    N  ERROR");
        assert_eq!(lines[2], "bcd  10");
        assert!(lines[1].starts_with("a     5  xxx") && lines[1].ends_with("x…"));
        assert_eq!(lines[1].chars().count(), WIDTH);
    }

    #[test]
    fn nothing_that_a_terminal_would_obey_is_shown() {
        assert_eq!(
            clean("a\x1b[2J\r\n\u{9b}é"),
            "a\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}é"
        );
    }
}
