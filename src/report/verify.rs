//! What `verify` found.

use serde::Serialize;

use super::{Report, View, count, right_align};
use crate::names::TableName;

/// One logical table's verdict.
#[derive(Debug, Clone, Serialize)]
pub struct TableVerdict {
    /// The logical table.
    pub table: TableName,
    /// What was checked.
    pub checks: String,
    /// Rows read.
    pub rows: u64,
    /// Faults found.
    pub faults: u64,
    /// The first of them, named.
    pub named: Vec<String>,
}

/// The whole audit.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    /// The verdict on each table, in the topology's order.
    pub tables: Vec<TableVerdict>,
    /// Rows read in all.
    pub rows: u64,
    /// Faults found in all.
    pub faults: u64,
    /// A fill that was interrupted: of what, and since when, UTC.
    pub interrupted_fill: Option<InterruptedFill>,
}

/// A fill whose end was never recorded: what it wrote is there in part.
#[derive(Debug, Clone, Serialize)]
pub struct InterruptedFill {
    /// What was filled in.
    pub what: String,
    /// When it began, UTC.
    pub since: String,
}

impl Report for VerifyReport {
    fn text(&self, view: &View) -> String {
        let mut table = view.table(["table", "checked", "rows", "faults"]);
        for verdict in &self.tables {
            table.add_row([
                verdict.table.to_string(),
                verdict.checks.clone(),
                count(verdict.rows),
                count(verdict.faults),
            ]);
        }
        right_align(&mut table, &[2, 3]);
        let mut text = table.to_string();
        for verdict in &self.tables {
            for fault in &verdict.named {
                text.push_str(&format!("\nFAULT: {fault}"));
            }
            let more = verdict.faults.saturating_sub(verdict.named.len() as u64);
            if more > 0 {
                text.push_str(&format!(
                    "\nand {} more faults in `{}`",
                    count(more),
                    verdict.table
                ));
            }
        }
        text.push_str(&if self.faults == 0 {
            format!("\nall {} rows are where they belong", count(self.rows))
        } else {
            format!(
                "\n{} faults in {} rows; nothing was changed\n\
                 next: `shardctl route COLUMN=KEY` tells where a row belongs; compare what is there \
                 with the row that is named before you move or delete it",
                count(self.faults),
                count(self.rows)
            )
        });
        if let Some(fill) = &self.interrupted_fill {
            text.push_str(&format!(
                "\nnote: a fill of {} began at {} UTC and was interrupted, so the tables hold a part \
                 of it; `shardctl fill --again` fills them anew",
                fill.what, fill.since
            ));
        }
        text
    }
}
