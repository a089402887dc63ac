//! From estimates to candidate layouts.
//!
//! The sizing rule is the published one of DRDS (PolarDB-X), the router of the fleet this tool
//! started from: eight schemas to an instance; tables per schema = ceil(rows / (instances x 8) /
//! 5,000,000); 5 to 50 million rows to a table, at most 5 million where a row is larger than 4 KB;
//! plan for one to two years. Numbers are rounded up to powers of two, so that every later
//! doubling of the servers moves whole schemas.
//!
//! All logical tables of a layout have as many physical tables as the fullest one needs: functions
//! such as `drds_hash` place a key by the number of tables in all, so that the rows of one key lie
//! together in one schema only where that number is the same.

pub mod amount;
mod candidates;
mod estimates_file;
mod given;
mod growth;
mod limits;
pub mod quantity;
mod reason;

use jiff::civil::Date;
use serde::Serialize;

pub use candidates::{Candidate, LimitState, Load, NextSplit, SplitKind};
pub use estimates_file::{PageFill, parse as parse_estimates};
pub use given::{Estimates, GivenError, KnownTable, TableGiven};
pub use limits::{LimitKind, Limits, ROWS_PER_TABLE};
pub(crate) use reason::duration;

use crate::names::TableName;
use amount::{Growth, Percent, Period};
use candidates::Layouts;
use limits::Volume;
use quantity::Count;

/// Schemas to an instance where nothing else is said.
pub const SCHEMAS_PER_INSTANCE: u32 = 8;

/// Rows to a table above which the published rule does not go.
pub const ROWS_PER_TABLE_CEILING: u64 = 50_000_000;

/// Rows to a table where a row is larger than [`LARGE_ROW_BYTES`].
pub const ROWS_PER_TABLE_LARGE: u64 = 5_000_000;

/// Above this size of a row a table holds fewer of them.
pub const LARGE_ROW_BYTES: u64 = 4_096;

/// Instances that can be planned: far above any fleet.
pub const INSTANCES_MAX: u32 = 4_096;

/// Bytes that a split or move copies in a second where nothing else is said.
pub const MOVE_RATE: u64 = 50 << 20;

/// Schemas that a candidate can have.
const SCHEMAS_MAX: u32 = 65_536;

/// Logical tables that can be planned for.
const TABLES_MAX: usize = 1_000;

/// Dates on which a curve is drawn.
const POINTS: u32 = 60;

/// What is expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// The day the first year starts.
    pub start: Date,
    /// How far to plan ahead.
    #[serde(flatten, serialize_with = "amount::horizon")]
    pub horizon: Period,
    /// The split tables and what each gets; at least one.
    pub tables: Vec<TableEstimate>,
    /// Tables besides that have the same few rows in each schema.
    pub broadcast_tables: u32,
    /// Servers to start with.
    pub instances: u32,
    /// Schemas in all, where they are given.
    pub schemas: Option<u32>,
    /// What no layout may pass.
    pub limits: Limits,
    /// Records that a user has in the largest table, where users are to be counted.
    pub records_per_user: Option<u32>,
    /// Bytes that a split or move copies in a second.
    pub move_bytes_per_second: u64,
}

/// What is expected of one logical table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableEstimate {
    /// Its name; `None` where a plan is for a table that stands for all.
    pub name: Option<TableName>,
    /// Rows that are there already.
    pub start_rows: u64,
    /// Rows that the first years bring, one after another; further ones by `growth`.
    pub rows_per_year: Vec<u64>,
    /// How many more each further year brings.
    pub growth: Growth,
    /// How long a row is kept; `None` for ever.
    #[serde(flatten, serialize_with = "amount::retention")]
    pub retention: Option<Period>,
    /// Bytes of a row on the disk with its share of the indexes, where known.
    pub row_bytes: Option<u64>,
    /// Bytes of the row itself, without indexes, where known: the rule on large rows goes by it,
    /// and by `row_bytes` where it is not.
    pub record_bytes: Option<u64>,
}

impl Default for TableEstimate {
    fn default() -> Self {
        Self {
            name: None,
            start_rows: 0,
            rows_per_year: Vec::new(),
            growth: Growth::NONE,
            retention: None,
            row_bytes: None,
            record_bytes: None,
        }
    }
}

impl TableEstimate {
    /// Whether it has no rows and gets none.
    fn is_empty(&self) -> bool {
        let grows = matches!(self.growth, Growth::Linear(rows) if rows > 0);
        self.start_rows == 0 && !grows && self.rows_per_year.iter().all(|rows| *rows == 0)
    }
}

/// Why no plan can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No rows to plan for.
    #[error("there are no rows to plan for: none are there and none come")]
    NoRows,
    /// More tables than can be planned for.
    #[error("{0} logical tables are more than the {TABLES_MAX} that can be planned for")]
    TooManyLogicalTables(usize),
    /// A limit that lets nothing in.
    #[error("{}", nothing_left(*limit, *most, *headroom))]
    NothingLeft {
        /// The limit.
        limit: LimitKind,
        /// What it allows.
        most: u64,
        /// What of it is to stay free.
        headroom: Percent,
    },
    /// A row of nothing.
    #[error("a row has at least one byte{}", of_table(.0))]
    NoRowBytes(Option<TableName>),
    /// A limit in bytes, and rows whose size is not known.
    #[error("{} is a limit, and the bytes of a row are not known{}", .0.words(), of_tables(.1))]
    NoRowBytesKnown(LimitKind, Vec<TableName>),
    /// No servers.
    #[error("a layout has at least one instance")]
    NoInstances,
    /// More servers than any fleet.
    #[error("{0} instances are more than the {INSTANCES_MAX} that can be planned")]
    TooManyInstances(u32),
    /// A horizon beyond the calendar.
    #[error("{start} and {horizon} more are beyond the end of the calendar")]
    Calendar {
        /// The day the first year starts.
        start: Date,
        /// How far to plan ahead.
        horizon: Period,
    },
    /// Records per user of nothing.
    #[error("a user has at least one record")]
    NoRecords,
    /// A move that never ends.
    #[error("a move copies at least one byte a second")]
    NoMoveRate,
    /// No schemas.
    #[error("a layout has at least one schema")]
    NoSchemas,
    /// A limit that allows no schema.
    #[error("an instance has at least one schema")]
    NoSchemasPerInstance,
    /// Schemas that cannot be spread evenly.
    #[error("{} not spread evenly over {instances} instances", match schemas {
        1 => "one schema does".to_owned(),
        n => format!("{n} schemas do"),
    })]
    Uneven {
        /// The schemas.
        schemas: u32,
        /// The instances.
        instances: u32,
    },
    /// More schemas than any fleet.
    #[error("{0} schemas are more than the {SCHEMAS_MAX} that can be planned")]
    TooManySchemas(u64),
    /// Rows beyond what can be counted.
    #[error("the rows after {0} are too many to count")]
    TooManyRows(Period),
    /// Bytes beyond what can be counted.
    #[error("the bytes after {0} are too many to count")]
    TooManyBytes(Period),
    /// More tables than can be laid out.
    #[error("{amount} at {limit} to a table need more tables than can be laid out")]
    TooManyTables {
        /// What there is at the horizon.
        amount: String,
        /// What a table holds.
        limit: String,
    },
}

fn nothing_left(limit: LimitKind, most: u64, headroom: Percent) -> String {
    let words = limit.words();
    match (most, headroom.0) {
        (0, _) => format!("the limit of {words} is 0: nothing fits"),
        _ => format!("of the limit of {words}, {most}, nothing is left with {headroom} headroom"),
    }
}

fn of_table(table: &Option<TableName>) -> String {
    table
        .as_ref()
        .map_or_else(String::new, |table| format!(", also one of `{table}`"))
}

fn of_tables(tables: &[TableName]) -> String {
    match tables {
        [] => String::new(),
        tables => format!(" of {}", listed(tables)),
    }
}

/// `a`, `b` and three more.
pub(crate) fn listed(tables: &[TableName]) -> String {
    const SHOWN: usize = 4;
    let names: Vec<String> = tables
        .iter()
        .take(SHOWN)
        .map(|table| format!("`{table}`"))
        .collect();
    match tables.len().saturating_sub(SHOWN) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

impl PlanError {
    /// What to do about it.
    pub fn advice(&self) -> String {
        match self {
            PlanError::NoRows => "say how many come with --rows-per-year 40M, or how many are \
                                  there with --start-rows"
                .to_owned(),
            PlanError::TooManyLogicalTables(_) => {
                "leave out the small ones: the largest decide".to_owned()
            }
            PlanError::NothingLeft { limit, .. } => format!(
                "raise {}, or lower --headroom",
                match limit {
                    LimitKind::RowsPerTable => "--max-rows-per-table",
                    LimitKind::BytesPerTable => "--max-bytes-per-table",
                    LimitKind::DiskPerInstance => "--disk-per-instance",
                    LimitKind::SchemasPerInstance => "--max-schemas-per-instance",
                    LimitKind::TablesPerInstance => "--max-tables-per-instance",
                }
            ),
            PlanError::NoRowBytes(_) => {
                "give what a row takes with its indexes, or leave it out".to_owned()
            }
            PlanError::NoRowBytesKnown(..) => {
                "give --row-bytes, or --tables FILE to have them computed from the DDL".to_owned()
            }
            PlanError::NoInstances => "say --instances 1 or more".to_owned(),
            PlanError::TooManyInstances(_) => {
                format!("plan clusters of at most {INSTANCES_MAX} instances apart")
            }
            PlanError::Calendar { .. } => "start earlier, or look less far ahead".to_owned(),
            PlanError::NoRecords => "say --records-per-user 1 or more".to_owned(),
            PlanError::NoMoveRate => "say --move-rate 50M or what your network has".to_owned(),
            PlanError::NoSchemas => {
                "say --schemas 16, or leave it out to see eight to an instance and its doubles"
                    .to_owned()
            }
            PlanError::NoSchemasPerInstance => {
                "say --max-schemas-per-instance 8 or leave it out".to_owned()
            }
            PlanError::Uneven { schemas, instances } => even_advice(*schemas, *instances),
            PlanError::TooManySchemas(_) => {
                format!("take at most {SCHEMAS_MAX} schemas")
            }
            PlanError::TooManyRows(_) | PlanError::TooManyBytes(_) => {
                "look less far ahead, or at slower growth".to_owned()
            }
            PlanError::TooManyTables { .. } => {
                "raise the limit of a table, or look less far ahead".to_owned()
            }
        }
    }
}

/// Powers of two, so that every later doubling of the servers moves whole schemas.
fn even_advice(schemas: u32, instances: u32) -> String {
    let below = (1..=schemas.min(instances))
        .rev()
        .find(|n| schemas.is_multiple_of(*n))
        .unwrap_or(1);
    // Both are far below the end of 32 bits: the limits on them were looked at before.
    let above = instances.next_power_of_two();
    let more = schemas.next_power_of_two().max(above);
    let below = match below {
        1 => "one instance".to_owned(),
        n => format!("{n} instances"),
    };
    match (above == instances, more == schemas) {
        (true, _) => format!("take {below}, or {more} schemas"),
        (false, true) => format!("take {below}, or {above} instances"),
        (false, false) => format!("take {below}, or {above} instances with {more} schemas"),
    }
}

/// A logical table now and at the horizon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outlook {
    /// Its name; `None` for the one that stands for all.
    pub name: Option<TableName>,
    /// Rows at the start.
    pub rows_now: u64,
    /// Rows at the horizon.
    pub rows_at_horizon: u64,
    /// Bytes at the start, where a row's are known.
    pub bytes_now: Option<u64>,
    /// Bytes at the horizon.
    pub bytes_at_horizon: Option<u64>,
    /// Rows that one of its physical tables may have, before headroom: fewer where rows are large.
    pub rows_per_table_max: u64,
}

/// What counts against a limit over time, in all; a candidate has its part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Curve {
    /// The limit.
    pub limit: LimitKind,
    /// The tables it is of, where not of all.
    pub tables: Vec<TableName>,
    /// What one table or instance may have.
    pub most: u64,
    /// The same less the headroom: where it is reached the limit is met.
    pub counted: u64,
    /// Of the fullest logical table where the limit is of tables, else of all, by date.
    pub points: Vec<Point>,
}

/// A point of a curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Point {
    /// The day.
    pub date: Date,
    /// Rows or bytes.
    pub total: u64,
}

/// Candidates, and which one to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What it was made from.
    pub estimate: Estimate,
    /// The day the horizon is reached.
    pub horizon: Date,
    /// Days from the start until then.
    pub horizon_days: u32,
    /// Each logical table now and then.
    pub tables: Vec<Outlook>,
    /// Rows of all tables at the start.
    pub rows_now: u64,
    /// Rows of all tables at the horizon.
    pub rows_at_horizon: u64,
    /// Bytes of all tables at the start, where they are known.
    pub bytes_now: Option<u64>,
    /// Bytes of all tables at the horizon.
    pub bytes_at_horizon: Option<u64>,
    /// Users at the horizon, at the records each has in the largest table.
    pub users_at_horizon: Option<u64>,
    /// The candidates, by instances and number of tables.
    pub candidates: Vec<Candidate>,
    /// The index of the recommended one.
    pub recommended: usize,
    /// Why that one, in a sentence.
    pub reason: String,
    /// How it goes on from there, in a sentence.
    pub later: String,
    /// What to know besides.
    pub notes: Vec<String>,
    /// Each limit that something grows towards.
    pub curves: Vec<Curve>,
}

impl Plan {
    /// The recommended candidate.
    pub fn best(&self) -> &Candidate {
        &self.candidates[self.recommended]
    }
}

/// Makes a plan.
///
/// # Errors
/// The estimate makes no sense, or needs more than can be laid out.
pub fn plan(estimate: &Estimate) -> Result<Plan, PlanError> {
    check(estimate)?;
    let horizon = estimate
        .horizon
        .after(estimate.start)
        .ok_or(PlanError::Calendar {
            start: estimate.start,
            horizon: estimate.horizon,
        })?;
    let volume = Volume::of(estimate, horizon)?;
    let days = volume.calendar.day(horizon);
    let countable = |amount: u128| u64::try_from(amount).ok();
    let too_many_rows = || PlanError::TooManyRows(estimate.horizon);
    let rows_at_horizon = countable(volume.rows.at(days)).ok_or_else(too_many_rows)?;
    let rows_now = countable(volume.rows.at(0)).ok_or_else(too_many_rows)?;
    let bytes = |day| {
        volume
            .bytes
            .as_ref()
            .map(|bytes| countable(bytes.at(day)).ok_or(PlanError::TooManyBytes(estimate.horizon)))
            .transpose()
    };
    let (bytes_now, bytes_at_horizon) = (bytes(0)?, bytes(days)?);
    let most = countable(volume.most_rows.at(days)).unwrap_or(u64::MAX);

    let layouts = Layouts {
        estimate,
        volume: &volume,
        horizon: days,
    };
    let (candidates, recommended) = layouts.candidates()?;
    Ok(Plan {
        reason: reason::reason(estimate, &candidates, recommended),
        later: reason::later(estimate, &candidates[recommended]),
        notes: notes(estimate),
        tables: outlooks(estimate, &volume),
        curves: curves(&volume, days),
        horizon,
        horizon_days: days,
        rows_now,
        rows_at_horizon,
        bytes_now,
        bytes_at_horizon,
        users_at_horizon: estimate
            .records_per_user
            .map(|records| most / u64::from(records)),
        candidates,
        recommended,
        estimate: estimate.clone(),
    })
}

fn check(estimate: &Estimate) -> Result<(), PlanError> {
    let limits = &estimate.limits;
    if estimate.tables.iter().all(TableEstimate::is_empty) {
        return Err(PlanError::NoRows);
    }
    if estimate.tables.len() > TABLES_MAX {
        return Err(PlanError::TooManyLogicalTables(estimate.tables.len()));
    }
    if let Some(table) = estimate.tables.iter().find(|t| t.row_bytes == Some(0)) {
        return Err(PlanError::NoRowBytes(table.name.clone()));
    }
    if estimate.instances == 0 {
        return Err(PlanError::NoInstances);
    }
    if estimate.instances > INSTANCES_MAX {
        return Err(PlanError::TooManyInstances(estimate.instances));
    }
    if estimate.records_per_user == Some(0) {
        return Err(PlanError::NoRecords);
    }
    if estimate.move_bytes_per_second == 0 {
        return Err(PlanError::NoMoveRate);
    }
    if limits.schemas_per_instance == Some(0) {
        return Err(PlanError::NoSchemasPerInstance);
    }
    if limits.tables_per_instance == Some(0) {
        return Err(PlanError::NothingLeft {
            limit: LimitKind::TablesPerInstance,
            most: 0,
            headroom: Percent(0),
        });
    }
    Ok(())
}

fn notes(estimate: &Estimate) -> Vec<String> {
    let limits = &estimate.limits;
    let mut notes = Vec::new();
    let large: Vec<&TableEstimate> = estimate
        .tables
        .iter()
        .filter(|table| limits::has_large_rows(table))
        .collect();
    if !large.is_empty() {
        let names: Vec<TableName> = large.iter().filter_map(|t| t.name.clone()).collect();
        notes.push(format!(
            "rows of more than {LARGE_ROW_BYTES} bytes{}: at most {} to a table, by the published \
             rule{}",
            match names.as_slice() {
                [] => String::new(),
                names => format!(" in {}", listed(names)),
            },
            Count(ROWS_PER_TABLE_LARGE),
            match limits.rows_per_table <= ROWS_PER_TABLE_LARGE {
                true => "; the limit is no higher",
                false => "",
            }
        ));
    }
    if limits.rows_per_table > ROWS_PER_TABLE_CEILING && large.len() < estimate.tables.len() {
        notes.push(format!(
            "more than {} rows to a table are beyond the published rule",
            Count(ROWS_PER_TABLE_CEILING)
        ));
    }
    let two_years = Period::years(2)
        .ok()
        .and_then(|two| two.after(estimate.start));
    if estimate.horizon.after(estimate.start) > two_years {
        notes.push(
            "the published rule plans for one to two years: what is bought for later stands idle"
                .to_owned(),
        );
    }
    if estimate
        .tables
        .iter()
        .any(|t| t.retention.is_some() && t.start_rows > 0)
    {
        notes.push(
            "rows that are there already are taken to be of all ages up to the retention"
                .to_owned(),
        );
    }
    notes
}

fn outlooks(estimate: &Estimate, volume: &Volume) -> Vec<Outlook> {
    let outlook = |(table, rows): (&TableEstimate, &[u128; 2])| {
        // Each is at most the sum, which was found to be countable.
        let [now, then] = rows.map(|rows| u64::try_from(rows).unwrap_or(u64::MAX));
        let bytes = |rows: u64| table.row_bytes.map(|row| rows.saturating_mul(row));
        Outlook {
            name: table.name.clone(),
            rows_now: now,
            rows_at_horizon: then,
            bytes_now: bytes(now),
            bytes_at_horizon: bytes(then),
            rows_per_table_max: match limits::is_large(table, &estimate.limits) {
                true => ROWS_PER_TABLE_LARGE,
                false => estimate.limits.rows_per_table,
            },
        }
    };
    estimate
        .tables
        .iter()
        .zip(&volume.tables)
        .map(outlook)
        .collect()
}

/// As far again as the horizon, so that what is met soon behind it is seen.
fn curves(volume: &Volume, horizon: u32) -> Vec<Curve> {
    let end = horizon.saturating_mul(2).min(volume.calendar.end());
    let point = |gauge: &limits::Gauge, day| Point {
        date: volume.calendar.date(day),
        total: u64::try_from(gauge.total.at(day)).unwrap_or(u64::MAX),
    };
    let days: Vec<u32> = (0..=POINTS)
        .map(|point| (u64::from(end) * u64::from(point) / u64::from(POINTS)) as u32)
        .collect();
    volume
        .gauges
        .iter()
        .map(|gauge| Curve {
            limit: gauge.kind,
            tables: gauge.tables.clone(),
            most: gauge.limit,
            counted: gauge.counted,
            points: days.iter().map(|day| point(gauge, *day)).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
