//! How a statement would be gathered.

use serde::Serialize;

use super::{Report, View, count};

/// What `query --explain` shows of a statement that is gathered.
#[derive(Debug, Clone, Serialize)]
pub struct GatherReport {
    /// `gather`
    pub way: &'static str,
    /// Why this way.
    pub reason: String,
    /// Where the statement runs.
    pub scratch: String,
    /// Rows that may be fetched.
    pub rows_max: u64,
    /// Bytes that may be fetched.
    pub bytes_max: u64,
    /// What is fetched.
    pub tables: Vec<GatherTable>,
    /// The statement that runs on the scratch server.
    pub statement: String,
}

/// A logical table that is fetched.
#[derive(Debug, Clone, Serialize)]
pub struct GatherTable {
    /// Its name.
    pub table: String,
    /// The columns that are fetched.
    pub columns: Vec<String>,
    /// The condition on its rows.
    pub filter: Option<String>,
    /// How many physical tables it has.
    pub physical_tables: usize,
    /// Rows that the servers think they read for it.
    pub rows_estimated: u64,
    /// What is read.
    pub parts: Vec<GatherPart>,
}

/// A physical table that is read.
#[derive(Debug, Clone, Serialize)]
pub struct GatherPart {
    /// Instance, schema and table.
    pub place: String,
    /// What it is asked.
    pub sql: String,
    /// Rows that the server thinks it reads for that.
    pub rows_estimated: u64,
}

impl Report for GatherReport {
    fn text(&self, _: &View) -> String {
        let parts: usize = self.tables.iter().map(|table| table.parts.len()).sum();
        let mut text = format!(
            "way:     {} ({} of {})\nbecause: {}\nscratch: {}",
            self.way,
            plural(parts, "physical table"),
            plural(self.tables.len(), "logical table"),
            self.reason,
            self.scratch
        );
        for table in &self.tables {
            text.push_str(&format!(
                "\nfetched: `{}`, {} of {}, about {} rows to read",
                table.table,
                table.parts.len(),
                plural(table.physical_tables, "table"),
                count(table.rows_estimated)
            ));
            if let Some(first) = table.parts.first() {
                text.push_str(&format!("\n         {}", first.sql));
            }
        }
        text.push_str(&format!("\nruns:    {}", self.statement));
        text
    }
}

fn plural(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}
