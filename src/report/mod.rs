//! What people and scripts see: plain report structs as text or JSON.
//!
//! A report is a `Serialize` struct that also knows how to print itself as text. JSON is the
//! struct itself, so both faces always tell the same.

pub mod analyze;
pub mod answer;
pub mod check;
pub mod create;
pub mod describe;
pub mod explain;
pub mod fill;
pub mod gather;
pub mod measured;
pub mod plan;
pub mod plan_page;
pub mod progress;
pub mod rebalance;
pub mod route;
pub mod skew;
pub mod status;
pub mod verify;

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::topology::plan::quantity::Size;

/// What a command has found out.
pub trait Report: Serialize {
    /// The report for a person, without a trailing line break.
    fn text(&self, view: &View) -> String;
}

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct View {
    /// Columns of the terminal; `None` where stdout is not one, and nothing is wrapped.
    pub width: Option<u16>,
}

impl View {
    /// An empty table in the one style of the tool, with this header.
    pub fn table<I, S>(&self, header: I) -> Table
    where
        I: IntoIterator<Item = S>,
        S: ToString,
    {
        let mut table = Table::new();
        table
            .load_style(presets::ASCII_FULL_CONDENSED)
            .set_header(header.into_iter().map(|cell| cell.to_string()));
        match self.width {
            Some(width) => table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(width),
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        table
    }
}

/// Numbers line up on the right in these columns.
pub fn right_align(table: &mut Table, columns: &[usize]) {
    for index in columns {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
    }
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Tables and sentences for a person
    #[default]
    Table,
    /// One JSON document
    Json,
    /// A line for each column (query only)
    Vertical,
    /// Comma-separated values, RFC 4180 (query only)
    Csv,
    /// Tab-separated values, as the servers' clients write them (query only)
    Tsv,
    /// A JSON object on each line (query only)
    Ndjson,
}

/// Where results go: stdout.
#[derive(Debug, Clone, Copy, Default)]
pub struct Out {
    /// Text or JSON.
    pub format: Format,
    /// What the terminal can show.
    pub view: View,
}

impl Out {
    /// Prints a report.
    ///
    /// # Errors
    /// stdout cannot be written to.
    pub fn show<R: Report>(&self, report: &R) -> Result<()> {
        self.can_show()?;
        match self.format {
            Format::Json => self.line(
                &serde_json::to_string_pretty(report)
                    .map_err(|cause| Error::usage("could not write JSON").cause(cause))?,
            ),
            _ => self.line(&report.text(&self.view)),
        }
    }

    /// Whether a report can be printed at all: to be asked before anything is done for one.
    ///
    /// # Errors
    /// The format is for the rows of a query.
    pub fn can_show(&self) -> Result<()> {
        match self.format {
            Format::Table | Format::Json => Ok(()),
            Format::Vertical | Format::Csv | Format::Tsv | Format::Ndjson => Err(Error::usage(
                "this output format is for the rows of a query",
            )
            .next("take --output table or --output json")),
        }
    }

    /// Prints a line to stdout.
    ///
    /// # Errors
    /// stdout cannot be written to.
    pub fn line(&self, text: &str) -> Result<()> {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{text}")
            .and_then(|()| stdout.flush())
            .map_err(|cause| Error::output(&cause))
    }
}

/// A count with thousands separated, `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with its noun, `1 schema` or `2 schemas`, for nouns that take an s.
pub fn counted(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", count(number))
}

/// Bytes in the binary unit that keeps them short, `1.5 GiB`.
pub fn bytes(number: u64) -> String {
    Size(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_reading() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(80_000_000), "80,000,000");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 40), "3.0 TiB");
    }
}
