//! What benchmarks have in common: quantiles, tables, and the page that keeps the last figures of each.

use std::path::Path;

use anyhow::Context;

const TITLE: &str = "# Benchmarks\n\nEach part is written by the command that it names.\n";

/// The nearest-rank quantile of sorted values; of an even number the median is the upper one.
#[must_use]
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = (sorted.len() as f64 * q) as usize;
    sorted.get(rank.min(sorted.len().checked_sub(1)?)).copied()
}

/// Markdown with columns of one width each, the first row as their heads; the first two are words, the
/// others figures.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let rule = widths.iter().enumerate().map(|(column, width)| {
        let end = if column < 2 { '-' } else { ':' };
        format!("-{}{end}", "-".repeat(*width))
    });
    let rule = rule.collect::<Vec<_>>().join("|");
    let mut lines: Vec<String> = rows.iter().map(|row| line(row, &widths)).collect();
    lines.insert(1.min(lines.len()), format!("|{rule}|"));
    lines.join("\n") + "\n"
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = row
        .iter()
        .zip(widths)
        .enumerate()
        .map(|(column, (cell, width))| {
            if column < 2 {
                format!(" {cell:<width$} ")
            } else {
                format!(" {cell:>width$} ")
            }
        });
    format!("|{}|", cells.collect::<Vec<_>>().join("|"))
}

/// Puts the text of one benchmark in its place on the page, which is made if there is none; what other
/// benchmarks wrote stays.
///
/// # Errors
/// The page cannot be read or written.
pub fn publish(page: &Path, benchmark: &str, text: &str) -> anyhow::Result<()> {
    let before = match std::fs::read_to_string(page) {
        Ok(before) => before,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => TITLE.to_owned(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", page.display())),
    };
    if let Some(dir) = page.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::write(page, replaced(&before, benchmark, text))
        .with_context(|| format!("cannot write {}", page.display()))
}

fn replaced(page: &str, benchmark: &str, text: &str) -> String {
    let (begin, end) = (
        format!("<!-- {benchmark} -->"),
        format!("<!-- end of {benchmark} -->"),
    );
    let part = format!("{begin}\n\n{}\n\n{end}", text.trim());
    let old = page.find(&begin).zip(page.find(&end));
    match old.filter(|(from, to)| from < to) {
        Some((from, to)) => format!("{}{part}{}", &page[..from], &page[to + end.len()..]),
        None => format!("{}\n\n{part}\n", page.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_benchmark_replaces_its_own_part_and_no_other() {
        let page = replaced(&replaced(TITLE, "one", "1"), "two", "2");
        let again = replaced(&page, "one", "new\n");
        assert_eq!(again, page.replace("\n1\n", "\nnew\n"));
        assert_eq!(replaced(&again, "two", "2"), again);
    }

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&values, 0.5), Some(51.0));
        assert_eq!(quantile(&values, 0.99), Some(100.0));
        assert_eq!(quantile(&values, 1.0), Some(100.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn tables_line_up() {
        let rows = [["a", "of what", "ms"], ["bb", "it", "1000"]];
        let rows: Vec<Vec<String>> = rows.map(|row| row.map(str::to_owned).to_vec()).to_vec();
        let expected =
            "| a  | of what |   ms |\n|----|---------|-----:|\n| bb | it      | 1000 |\n";
        assert_eq!(table(&rows), expected);
    }
}
