//! Tables as people read them, in a terminal and in Markdown.

use std::time::Duration;

/// Before each line, so that it is found on a console.
const PREFIX: &str = "bench: ";

#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(title: &str, header: [&str; N]) -> Self {
        Self { title: title.to_owned(), rows: vec![header.map(str::to_owned).to_vec()] }
    }

    /// As many cells as the header has.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn print(&self) {
        println!("{PREFIX}{}", self.title);
        println!("{PREFIX}");
        for line in self.lines() {
            println!("{PREFIX}{line}");
        }
        println!("{PREFIX}");
    }

    fn lines(&self) -> Vec<String> {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
        let line = |cells: &[String]| {
            // Names to the left, figures to the right.
            let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!("{cell:width$}"),
                _ => format!("{cell:>width$}"),
            });
            format!("| {} |", padded.collect::<Vec<_>>().join(" | "))
        };
        let rule = widths.iter().enumerate().map(|(column, width)| match column {
            0 => "-".repeat(*width),
            _ => format!("{}:", "-".repeat(width.saturating_sub(1))),
        });
        let rule: Vec<String> = rule.collect();
        let mut lines: Vec<String> = self.rows.iter().map(|row| line(row)).collect();
        lines.insert(1.min(lines.len()), line(&rule));
        lines
    }
}

/// Thousands (of nanoseconds, or of instructions) with one decimal.
pub(crate) fn thousands(count: u64) -> String {
    format!("{:.1}", float(count) / 1e3)
}

pub(crate) fn millions(count: u64) -> String {
    format!("{:.0}", float(count) / 1e6)
}

pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1}", float(bytes) / f64::from(1 << 20))
}

pub(crate) fn ratio(of: Duration, to: Duration) -> String {
    format!("{:.2}", of.as_secs_f64() / to.as_secs_f64())
}

pub(crate) fn none() -> String {
    "-".to_owned()
}

#[expect(clippy::cast_precision_loss, reason = "figures for people have four digits")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_aligned_and_headers_ruled() {
        let mut table = Table::new("costs", ["tool", "k"]);
        table.row(["execsnoop".to_owned(), "8.8".to_owned()]);
        assert_eq!(table.lines(), ["| tool      |   k |", "| --------- | --: |", "| execsnoop | 8.8 |"]);
    }
}
