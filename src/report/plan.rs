//! A plan as a table with its reason.

use serde::Serialize;

use super::{Report, View, bytes, count, right_align};
use crate::names::TableName;
use crate::schema::size::GUESS;
use crate::topology::plan::quantity::Count;
use crate::topology::plan::{Candidate, Plan, years};

/// What `plan` shows.
#[derive(Debug, Clone, Serialize)]
pub struct PlanReport {
    /// The plan.
    pub plan: Plan,
    /// The same for two years, where another horizon was asked for.
    pub two_years: Option<Box<Plan>>,
    /// What a row of each table takes; empty where the tables are not known.
    pub rows: Vec<TableRow>,
}

/// Bytes of an average row of a table, by its definition.
#[derive(Debug, Clone, Serialize)]
pub struct TableRow {
    /// The logical table.
    pub table: TableName,
    /// The row itself.
    pub record_bytes: u64,
    /// On the disk with its indexes, where keys arrive in order or the table was rebuilt.
    pub full_pages_bytes: u64,
    /// On the disk with its indexes, where keys arrive in the worst order.
    pub half_full_pages_bytes: u64,
}

impl Report for PlanReport {
    fn text(&self, view: &View) -> String {
        let plan = &self.plan;
        let estimate = &plan.estimate;
        let mut text = format!(
            "{} rows a year{}{}, from {}: {} records after {}, about {} users at {} records \
             each\n",
            Count(estimate.rows_per_year),
            match estimate.growth_basis_points {
                0 => String::new(),
                points => format!(", {} % more each year", f64::from(points) / 100.0),
            },
            match estimate.existing_rows {
                0 => String::new(),
                rows => format!(", {} there already", Count(rows)),
            },
            estimate.start,
            Count(plan.rows_at_horizon),
            years(estimate.years),
            Count(plan.users_at_horizon),
            estimate.records_per_user,
        );
        text.push_str(&candidates(plan, view));
        text.push_str(&format!("\nrecommended: {}", plan.reason));
        if let Some(two) = &self.two_years {
            text.push_str(&format!(
                "\nfor two years, {} records of about {} users: {}",
                Count(two.rows_at_horizon),
                Count(two.users_at_horizon),
                two.reason
            ));
        }
        for note in &plan.notes {
            text.push_str(&format!("\nnote: {note}"));
        }
        if !self.rows.is_empty() {
            text.push_str("\n\nbytes of a row, by the definitions:\n");
            let mut table = view.table([
                "table",
                "row",
                "on disk, keys in order",
                "on disk, worst order",
            ]);
            for row in &self.rows {
                table.add_row([
                    row.table.to_string(),
                    count(row.record_bytes),
                    count(row.full_pages_bytes),
                    count(row.half_full_pages_bytes),
                ]);
            }
            right_align(&mut table, &[1, 2, 3]);
            text.push_str(&table.to_string());
            text.push_str(&format!("\nnote: {GUESS}"));
        }
        text
    }
}

fn candidates(plan: &Plan, view: &View) -> String {
    let with_bytes = plan.estimate.row_bytes.is_some();
    let with_disk = with_bytes && plan.estimate.disk_per_instance.is_some();
    let mut header = vec![
        "",
        "schemas",
        "tables each",
        "tables",
        "holds",
        "rows/table",
        "rows/instance",
    ];
    if with_bytes {
        header.push("size/instance");
    }
    header.push("tables full");
    if with_disk {
        header.push("disks full");
    }
    header.extend(["lasts", "next split moves", "up to instances"]);
    let mut table = view.table(header);
    for (index, candidate) in plan.candidates.iter().enumerate() {
        let mut cells = vec![
            if index == plan.recommended { "=>" } else { "" }.to_owned(),
            candidate.schemas.to_string(),
            candidate.tables_per_schema.to_string(),
            candidate.tables.to_string(),
            Count(candidate.capacity).to_string(),
            count(candidate.rows_per_table_at_horizon),
            count(candidate.rows_per_instance_at_horizon),
        ];
        if with_bytes {
            cells.push(bytes(
                candidate.bytes_per_instance_at_horizon.unwrap_or_default(),
            ));
        }
        cells.push(full(candidate));
        if with_disk {
            cells.push(
                candidate
                    .disk_full
                    .map_or_else(never, |date| date.to_string()),
            );
        }
        cells.extend([
            if candidate.lasts { "yes" } else { "no" }.to_owned(),
            candidate
                .next_split
                .as_ref()
                .map_or_else(never, |split| format!("{} rows", Count(split.rows))),
            candidate.instances_max.to_string(),
        ]);
        table.add_row(cells);
    }
    right_align(&mut table, &[1, 2, 3, 4, 5, 6]);
    table.to_string()
}

fn never() -> String {
    "not in 100 years".to_owned()
}

/// The date, and how far off it is.
fn full(candidate: &Candidate) -> String {
    match (candidate.tables_full, candidate.days_until_full) {
        (Some(date), Some(days)) => format!("{date} ({:.1} years)", f64::from(days) / 365.25),
        _ => never(),
    }
}
