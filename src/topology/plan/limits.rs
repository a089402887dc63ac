//! The limits of a layout, and what counts against each on every day.

use jiff::civil::Date;
use serde::Serialize;

use super::amount::Percent;
use super::growth::{Calendar, Series, rows};
use super::{Estimate, LARGE_ROW_BYTES, PlanError, ROWS_PER_TABLE_LARGE, TableEstimate};
use crate::names::TableName;

/// Rows to a table where nothing else is said: the published rule's.
pub const ROWS_PER_TABLE: u64 = 5_000_000;

/// What a layout may not pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Rows that a physical table should not pass.
    pub rows_per_table: u64,
    /// Bytes on the disk, indexes included, that a physical table should not pass.
    pub bytes_per_table: Option<u64>,
    /// Bytes of disk of an instance for data and indexes.
    pub disk_per_instance: Option<u64>,
    /// Schemas that an instance should not pass.
    pub schemas_per_instance: Option<u32>,
    /// Physical tables of all logical tables that an instance should not pass.
    pub tables_per_instance: Option<u64>,
    /// Share of rows, bytes and disk that is to stay free. Schemas and tables do not grow: they
    /// need none.
    pub headroom_basis_points: Percent,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows_per_table: ROWS_PER_TABLE,
            bytes_per_table: None,
            disk_per_instance: None,
            schemas_per_instance: None,
            tables_per_instance: None,
            headroom_basis_points: Percent(0),
        }
    }
}

impl Limits {
    /// What counts of a limit: less the headroom.
    fn counted(&self, limit: u64) -> u64 {
        self.headroom_basis_points.taken_from(limit)
    }
}

/// A kind of limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Rows of a physical table.
    RowsPerTable,
    /// Bytes of a physical table.
    BytesPerTable,
    /// Bytes of an instance.
    DiskPerInstance,
    /// Schemas of an instance.
    SchemasPerInstance,
    /// Physical tables of an instance.
    TablesPerInstance,
}

impl LimitKind {
    /// The limit in words, `rows per table`.
    pub fn words(self) -> &'static str {
        match self {
            LimitKind::RowsPerTable => "rows per table",
            LimitKind::BytesPerTable => "size per table",
            LimitKind::DiskPerInstance => "disk per instance",
            LimitKind::SchemasPerInstance => "schemas per instance",
            LimitKind::TablesPerInstance => "tables per instance",
        }
    }

    /// Whether it is counted in bytes.
    pub fn is_bytes(self) -> bool {
        matches!(self, LimitKind::BytesPerTable | LimitKind::DiskPerInstance)
    }

    /// Whether it is relieved by more physical tables; the others are by more instances.
    pub fn is_of_tables(self) -> bool {
        matches!(self, LimitKind::RowsPerTable | LimitKind::BytesPerTable)
    }
}

/// A limit and what counts against it, in all: a candidate has its share by its number of tables
/// or instances.
pub(super) struct Gauge {
    pub(super) kind: LimitKind,
    /// The tables it is of, where not of all.
    pub(super) tables: Vec<TableName>,
    /// As it was given, or as the rule on large rows has it.
    pub(super) limit: u64,
    /// Less the headroom: reached means met.
    pub(super) counted: u64,
    /// Of the fullest logical table where the limit is of tables, else of all.
    pub(super) total: Series,
    /// The most there has been.
    pub(super) highest: Series,
}

impl Gauge {
    fn new(kind: LimitKind, limit: u64, limits: &Limits, total: Series) -> Result<Self, PlanError> {
        let counted = limits.counted(limit);
        if counted == 0 {
            return Err(PlanError::NothingLeft {
                limit: kind,
                most: limit,
                headroom: limits.headroom_basis_points,
            });
        }
        Ok(Self {
            kind,
            tables: Vec::new(),
            limit,
            counted,
            highest: total.highest(),
            total,
        })
    }
}

/// What there is on each day.
pub(super) struct Volume {
    pub(super) calendar: Calendar,
    /// The limits that something grows towards.
    pub(super) gauges: Vec<Gauge>,
    /// Rows of each table at the start and at the horizon.
    pub(super) tables: Vec<[u128; 2]>,
    /// Rows of all tables.
    pub(super) rows: Series,
    /// Rows of the table that has most on each day.
    pub(super) most_rows: Series,
    /// Bytes of all tables, where each one's are known.
    pub(super) bytes: Option<Series>,
    /// Bytes of the table that has most on each day.
    pub(super) most_bytes: Option<Series>,
}

impl Volume {
    /// Adds the tables up one by one: the days of one table alone are half a megabyte.
    pub(super) fn of(estimate: &Estimate, horizon: Date) -> Result<Self, PlanError> {
        let calendar = Calendar::new(estimate.start);
        let limits = &estimate.limits;
        let end = calendar.day(horizon);
        let nothing = || Series::nothing(&calendar);
        let (mut all, mut all_bytes, mut most_bytes) = (nothing(), nothing(), nothing());
        // Of tables whose rows are large, and of the others.
        let mut most = [None, None];
        let mut names = [Vec::new(), Vec::new()];
        let mut tables = Vec::new();
        let mut sized = true;
        for table in &estimate.tables {
            let series = rows(table, &calendar);
            let large = usize::from(is_large(table, limits));
            all.add(&series, 1);
            most[large].get_or_insert_with(nothing).at_least(&series, 1);
            names[large].extend(table.name.clone());
            match table.row_bytes {
                Some(bytes) => {
                    all_bytes.add(&series, bytes);
                    most_bytes.at_least(&series, bytes);
                }
                None => sized &= table.is_empty(),
            }
            tables.push([series.at(0), series.at(end)]);
        }
        let mut most_rows = nothing();
        for series in most.iter().flatten() {
            most_rows.at_least(series, 1);
        }
        let bytes = sized.then_some(all_bytes);
        let most_bytes = sized.then_some(most_bytes);

        let mut gauges = Vec::new();
        let both = most.iter().all(Option::is_some);
        let limit_of = [limits.rows_per_table, ROWS_PER_TABLE_LARGE];
        for ((series, names), limit) in most.into_iter().zip(names).zip(limit_of) {
            if let Some(series) = series {
                let mut gauge = Gauge::new(LimitKind::RowsPerTable, limit, limits, series)?;
                gauge.tables = if both { names } else { Vec::new() };
                gauges.push(gauge);
            }
        }
        for (kind, limit, series) in [
            (
                LimitKind::BytesPerTable,
                limits.bytes_per_table,
                &most_bytes,
            ),
            (LimitKind::DiskPerInstance, limits.disk_per_instance, &bytes),
        ] {
            if let Some(limit) = limit {
                let series = series
                    .clone()
                    .ok_or_else(|| PlanError::NoRowBytesKnown(kind, unsized_tables(estimate)))?;
                gauges.push(Gauge::new(kind, limit, limits, series)?);
            }
        }
        Ok(Self {
            calendar,
            gauges,
            tables,
            rows: all,
            most_rows,
            bytes,
            most_bytes,
        })
    }
}

/// The tables whose rows have no known size.
fn unsized_tables(estimate: &Estimate) -> Vec<TableName> {
    estimate
        .tables
        .iter()
        .filter(|table| table.row_bytes.is_none())
        .filter_map(|table| table.name.clone())
        .collect()
}

/// Whether the rule on large rows is about this table.
pub(super) fn has_large_rows(table: &TableEstimate) -> bool {
    table
        .record_bytes
        .or(table.row_bytes)
        .is_some_and(|bytes| bytes > LARGE_ROW_BYTES)
}

/// Whether the rule on large rows lowers this table's limit: it allows at most
/// [`ROWS_PER_TABLE_LARGE`], and asks for no less where the limit is lower already.
pub(super) fn is_large(table: &TableEstimate, limits: &Limits) -> bool {
    has_large_rows(table) && limits.rows_per_table > ROWS_PER_TABLE_LARGE
}
