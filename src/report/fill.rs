//! What `fill` wrote.

use indexmap::IndexMap;
use serde::Serialize;

use super::{Report, View, count, right_align};

/// The rows written.
#[derive(Debug, Clone, Serialize)]
pub struct FillReport {
    /// Members generated.
    pub members: u64,
    /// Rows by logical table.
    pub rows: IndexMap<String, u64>,
    /// Seconds it took, the counting at the end included.
    pub seconds: f64,
}

impl Report for FillReport {
    fn text(&self, view: &View) -> String {
        let mut table = view.table(["table", "rows"]);
        for (name, rows) in &self.rows {
            table.add_row([name.clone(), count(*rows)]);
        }
        right_align(&mut table, &[1]);
        let total: u64 = self.rows.values().sum();
        format!(
            "{table}\n{} rows in {:.1} s, {} rows a second; every table was counted",
            count(total),
            self.seconds,
            count((total as f64 / self.seconds.max(0.001)) as u64)
        )
    }
}
