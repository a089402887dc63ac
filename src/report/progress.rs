//! How far a job has come: what the bars show, and each line of `--progress json`.

use serde::Serialize;

use super::{bytes, count};
use crate::names::{SchemaName, TableName};
use crate::rebalance::protocol::Phase;

/// A table of a job with its size as the source estimates it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableTotal {
    /// The schema.
    pub schema: SchemaName,
    /// The table.
    pub table: TableName,
    /// The name it is hidden under, which no other has.
    pub hidden: TableName,
    /// Rows.
    pub rows: u64,
    /// Bytes of the rows.
    pub bytes: u64,
}

/// A job at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct ProgressReport {
    /// The job's id.
    pub job: String,
    /// Its phase, by the word that the journal and the reports have for it.
    pub phase: Phase,
    /// Since the phase began.
    pub elapsed_s: u64,
    /// Rows copied or compared in this phase by this run.
    pub rows: u64,
    /// Rows that are to be, as the source estimates them; `None` where the phase has none.
    pub rows_total: Option<u64>,
    /// Rows a second, over the last few seconds.
    pub rows_s: u64,
    /// Bytes a second, from the rows and the source's estimate of their size.
    pub bytes_s: u64,
    /// Until the phase ends, at this rate and by these estimates.
    pub eta_s: Option<u64>,
    /// How old the change is that was read last from the log furthest behind; `None` where no log is
    /// followed.
    pub lag_s: Option<u64>,
    /// The tables that rows were copied or compared of.
    pub tables: Vec<TableProgress>,
}

/// A table at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableProgress {
    /// The schema.
    pub schema: SchemaName,
    /// The table.
    pub table: TableName,
    /// Rows copied or compared.
    pub rows: u64,
    /// Rows that are to be, as the source estimates them.
    pub rows_total: u64,
}

impl ProgressReport {
    /// The job on one line.
    pub fn line(&self) -> String {
        let mut line = format!("job {}: {}", self.job, self.phase);
        if let Some(total) = self.rows_total {
            line.push_str(&format!(
                ", {} of ~{} rows",
                count(self.rows),
                count(total.max(self.rows))
            ));
        }
        if self.rows_s > 0 {
            line.push_str(&format!(
                ", {} rows/s, ~{}/s",
                count(self.rows_s),
                bytes(self.bytes_s)
            ));
        }
        if let Some(eta) = self.eta_s {
            line.push_str(&format!(", ~{} left", duration(eta)));
        }
        if let Some(lag) = self.lag_s {
            line.push_str(&format!(", {} behind the log", duration(lag)));
        }
        line
    }
}

/// Seconds as a person reads them, `1 h 02 min`.
fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_is_known_and_nothing_else() {
        let mut report = ProgressReport {
            job: "7f2a01".to_owned(),
            phase: Phase::LiveCopy,
            elapsed_s: 3,
            rows: 1_200_000,
            rows_total: Some(5_000_000),
            rows_s: 400_000,
            bytes_s: 42 << 20,
            eta_s: Some(9),
            lag_s: Some(0),
            tables: Vec::new(),
        };
        assert_eq!(
            report.line(),
            "job 7f2a01: live_copy, 1,200,000 of ~5,000,000 rows, 400,000 rows/s, ~42.0 MiB/s, ~9 s left, 0 s behind the log"
        );
        report = ProgressReport {
            phase: Phase::Cutover,
            rows_total: None,
            rows_s: 0,
            eta_s: None,
            lag_s: None,
            ..report
        };
        assert_eq!(report.line(), "job 7f2a01: cutover");
        assert_eq!(duration(125), "2 min");
        assert_eq!(duration(3_720), "62 min");
        assert_eq!(duration(7_320), "2 h 02 min");
    }
}
