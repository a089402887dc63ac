//! What was measured of a live database, and what a plan shows beside its layouts.

use serde::Serialize;

use super::plan::PlanReport;
use super::skew::SkewReport;
use super::{Report, View, bytes, count, right_align};
use crate::topology::measured::{Measured, MeasuredTable};
use crate::topology::plan::quantity::Count;

/// All that `plan` can show: each part only where it was asked for.
#[derive(Debug, Clone, Serialize)]
pub struct PlanParts {
    /// What a live database has shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// The plan itself.
    #[serde(flatten)]
    pub plan: Option<PlanReport>,
    /// How real keys spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skew: Option<SkewReport>,
}

impl Report for PlanParts {
    fn text(&self, view: &View) -> String {
        let parts = [
            self.measured
                .as_ref()
                .map(|measured| measured_text(measured, view)),
            self.plan.as_ref().map(|plan| plan.text(view)),
            self.skew.as_ref().map(|skew| skew.text(view)),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n")
    }
}

/// Places that were not measured, of which each is told.
const MISSING_SHOWN: usize = 8;

fn measured_text(measured: &Measured, view: &View) -> String {
    let rows = match measured.is_exact {
        true => "rows",
        false => "rows (est.)",
    };
    let mut table = view.table([
        "table",
        "tables",
        rows,
        "data",
        "indexes",
        "bytes/row",
        "rows/year",
        "growth",
        "sure",
        "known from",
    ]);
    for one in &measured.tables {
        table.add_row([
            one.name.clone(),
            match one.physical_tables_missing {
                0 => one.physical_tables.to_string(),
                missing => format!(
                    "{} of {}",
                    one.physical_tables,
                    u64::from(one.physical_tables) + u64::from(missing)
                ),
            },
            count(one.rows),
            bytes(one.data_bytes),
            bytes(one.index_bytes),
            row_bytes(one),
            one.growth
                .rows_per_year
                .map_or_else(|| "?".to_owned(), |rows| Count(rows).to_string()),
            one.growth.basis_points.map_or_else(
                || "?".to_owned(),
                |points| format!("{:.1} %", points as f64 / 100.0),
            ),
            one.growth.sure.word().to_owned(),
            one.growth.from.clone(),
        ]);
    }
    right_align(&mut table, &[1, 2, 3, 4, 5, 6, 7]);
    let mut text = format!(
        "measured {} on {}:\n{table}",
        listed(&measured.schemas),
        measured.as_of
    );
    for missing in measured.missing.iter().take(MISSING_SHOWN) {
        text.push_str(&format!(
            "\nnot measured: {}: {}",
            missing.place, missing.why
        ));
        if let Some(next) = &missing.next {
            text.push_str(&format!("; {next}"));
        }
    }
    if let more @ 1.. = measured.missing.len().saturating_sub(MISSING_SHOWN) {
        text.push_str(&format!(
            "\nnot measured: {more} more, which --output json lists"
        ));
    }
    if !measured.is_exact {
        text.push_str(
            "\nnote: rows and bytes are the servers' estimates, which can be off by half; --exact \
             counts the rows",
        );
    }
    if measured
        .tables
        .iter()
        .any(|table| table.row_bytes_by_definition)
    {
        text.push_str(
            "\nnote: bytes of a row marked ~ are by the definition: there are too few rows to \
             measure",
        );
    }
    text.push_str("\nnote: rows that were deleted are not counted in what a year brings");
    text
}

fn row_bytes(table: &MeasuredTable) -> String {
    match (table.row_bytes, table.row_bytes_by_definition) {
        (Some(bytes), true) => format!("~{}", count(bytes)),
        (Some(bytes), false) => count(bytes),
        (None, _) => "?".to_owned(),
    }
}

/// A few names, and how many more.
fn listed(names: &[String]) -> String {
    match names {
        [first, .., last] if names.len() > 4 => {
            format!("{} schemas, {first} to {last}", names.len())
        }
        _ => names.join(", "),
    }
}
