//! From estimates to candidate layouts.
//!
//! The sizing rule is the published one of DRDS (PolarDB-X), the router of the fleet this tool
//! started from: eight schemas to an instance; tables per schema = ceil(rows / (instances x 8) /
//! 5,000,000); 5 to 50 million rows to a table, at most 5 million where a row is larger than 4 KB;
//! plan for one to two years. Numbers are rounded up to powers of two, so that every later
//! doubling of the servers moves whole schemas.

pub mod quantity;

use jiff::ToSpan;
use jiff::civil::Date;
use serde::Serialize;

use quantity::Count;

/// Schemas to an instance where nothing else is said.
pub const SCHEMAS_PER_INSTANCE: u32 = 8;

/// Rows to a table above which the published rule does not go.
pub const ROWS_PER_TABLE_CEILING: u64 = 50_000_000;

/// Rows to a table where a row is larger than [`LARGE_ROW_BYTES`].
pub const ROWS_PER_TABLE_LARGE: u64 = 5_000_000;

/// Above this size of a row a table holds fewer of them.
pub const LARGE_ROW_BYTES: u64 = 4_096;

/// Years that a plan can look ahead.
pub const YEARS_MAX: u32 = 100;

/// Instances that can be planned: far above any fleet.
pub const INSTANCES_MAX: u32 = 4_096;

/// Schemas and tables per schema that a candidate can have.
const SCHEMAS_MAX: u32 = 65_536;
const TABLES_PER_SCHEMA_MAX: u32 = 16_384;

/// What is expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Rows of the largest table in the first year.
    pub rows_per_year: u64,
    /// Rows that are there already.
    pub existing_rows: u64,
    /// By how much a year brings more rows than the one before, in hundredths of a percent.
    pub growth_basis_points: u32,
    /// Years to plan for.
    pub years: u32,
    /// Rows that a physical table should not pass.
    pub rows_per_table_max: u64,
    /// Servers.
    pub instances: u32,
    /// Schemas in all, where they are given.
    pub schemas: Option<u32>,
    /// Bytes of a row with its share of the indexes, where known.
    pub row_bytes: Option<u64>,
    /// Bytes of the largest row itself, without indexes, where known: the rule on large rows goes
    /// by it, and by `row_bytes` where it is not.
    pub record_bytes: Option<u64>,
    /// Bytes of disk of an instance, where known.
    pub disk_per_instance: Option<u64>,
    /// Records that a user has.
    pub records_per_user: u32,
    /// The day the first year starts.
    pub start: Date,
}

/// Why no plan can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No rows to plan for.
    #[error("there are no rows to plan for: rows a year and existing rows are both 0")]
    NoRows,
    /// A limit of nothing.
    #[error("a table must hold at least one row: --max-rows-per-table is 0")]
    NoRowsPerTable,
    /// A row of nothing.
    #[error("a row has at least one byte: --row-bytes is 0")]
    NoRowBytes,
    /// No servers.
    #[error("at least one instance is needed")]
    NoInstances,
    /// More servers than any fleet.
    #[error("{0} instances are more than the {INSTANCES_MAX} that can be planned")]
    TooManyInstances(u32),
    /// A horizon that is none.
    #[error("--years must be 1 to {YEARS_MAX}, not {0}")]
    Years(u32),
    /// A horizon beyond the calendar.
    #[error("{years} years from {start} end beyond the calendar")]
    Calendar {
        /// The day the first year starts.
        start: Date,
        /// Years to plan for.
        years: u32,
    },
    /// Records per user of nothing.
    #[error("a user has at least one record: --records-per-user is 0")]
    NoRecords,
    /// Schemas that cannot be spread evenly.
    #[error(
        "{schemas} schemas do not spread evenly over {instances} instances; {}",
        even_advice(*schemas, *instances)
    )]
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
    #[error("the rows at the end of {0} years are too many to count")]
    TooManyRows(u32),
    /// More tables than can be laid out.
    #[error("{rows} rows at {per_table} to a table need more tables than can be laid out")]
    TooManyTables {
        /// Rows at the horizon.
        rows: Count,
        /// Rows to a table.
        per_table: Count,
    },
}

fn even_advice(schemas: u32, instances: u32) -> String {
    let below = (1..=schemas.min(instances))
        .rev()
        .find(|n| schemas.is_multiple_of(*n))
        .unwrap_or(1);
    let above = u64::from(schemas.div_ceil(instances)) * u64::from(instances);
    format!("take {below} instances, or {above} schemas")
}

/// One layout and how long it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Candidate {
    /// Schemas in all.
    pub schemas: u32,
    /// Physical tables of a logical table in each schema.
    pub tables_per_schema: u32,
    /// Physical tables of a logical table in all.
    pub tables: u64,
    /// Rows all of them hold at the limit.
    pub capacity: u64,
    /// Rows to a table at the horizon.
    pub rows_per_table_at_horizon: u64,
    /// Rows to an instance at the horizon.
    pub rows_per_instance_at_horizon: u64,
    /// Bytes to an instance at the horizon, where the size of a row is known.
    pub bytes_per_instance_at_horizon: Option<u64>,
    /// The day the tables are full; `None` beyond a hundred years.
    pub tables_full: Option<Date>,
    /// Days until then.
    pub days_until_full: Option<u32>,
    /// The day the disks are full, where their size and a row's are known; `None` beyond a hundred
    /// years.
    pub disk_full: Option<Date>,
    /// Whether it lasts until the horizon.
    pub lasts: bool,
    /// What has to be done when the first limit is met; `None` where none is within a hundred
    /// years.
    pub next_split: Option<NextSplit>,
    /// The numbers of instances, from the one it starts with, over which its schemas spread
    /// evenly: it grows to each by moving whole schemas, without splitting a table.
    pub instance_counts: Vec<u32>,
    /// Instances it can grow to that way at most.
    pub instances_max: u32,
}

/// The step that the first limit calls for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NextSplit {
    /// The day it is due: the first limit is met.
    pub due: Date,
    /// What it is.
    pub kind: SplitKind,
    /// Rows that it moves.
    pub rows: u64,
    /// Bytes that it moves, where the size of a row is known.
    pub bytes: Option<u64>,
}

/// What relieves a layout. Either way half of the rows move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitKind {
    /// The disks are full: twice the instances, half of the schemas move as they are.
    MoveSchemas,
    /// The tables are full, or no schema is left to move: twice the schemas, half of the rows of
    /// each go to the new one. More servers alone would leave the tables as full as they are.
    SplitSchemas,
}

/// Candidates, and which one to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// What it was made from. The limit of rows per table is the one that counts: a large row
    /// lowers it.
    pub estimate: Estimate,
    /// The day the horizon is reached.
    pub horizon: Date,
    /// Rows at the horizon.
    pub rows_at_horizon: u64,
    /// Users that is, at the records each has.
    pub users_at_horizon: u64,
    /// The candidates, by number of tables.
    pub candidates: Vec<Candidate>,
    /// The index of the recommended one.
    pub recommended: usize,
    /// Why that one.
    pub reason: String,
    /// What to know besides.
    pub notes: Vec<String>,
}

impl Plan {
    /// The recommended candidate.
    pub fn best(&self) -> &Candidate {
        &self.candidates[self.recommended]
    }
}

/// How rows come: year by year, evenly within a year.
struct Growth<'a>(&'a Estimate);

impl Growth<'_> {
    /// Rows that a year brings, counted from 0. Rounded down.
    fn in_year(&self, year: u32) -> u128 {
        let factor = u128::from(10_000 + self.0.growth_basis_points);
        // Saturating: whoever asks compares with a limit far below.
        (0..year).fold(u128::from(self.0.rows_per_year), |rows, _| {
            rows.saturating_mul(factor) / 10_000
        })
    }

    /// Rows at the end of so many years.
    fn after(&self, years: u32) -> u128 {
        (0..years).fold(u128::from(self.0.existing_rows), |rows, year| {
            rows.saturating_add(self.in_year(year))
        })
    }

    /// The first day on which there are this many rows; `None` beyond [`YEARS_MAX`].
    fn reaches(&self, rows: u128) -> Option<Date> {
        let start = self.0.start;
        let mut before = u128::from(self.0.existing_rows);
        if before >= rows {
            return Some(start);
        }
        for year in 0..YEARS_MAX {
            let brings = self.in_year(year);
            let first = start.checked_add((year as i32).years()).ok()?;
            let next = start.checked_add((year as i32 + 1).years()).ok()?;
            if before.saturating_add(brings) >= rows {
                let days = u128::from(days_between(first, next));
                let missing = rows - before;
                // The smallest whole number of days that brings what is missing.
                let day = missing.saturating_mul(days).div_ceil(brings);
                return first.checked_add((day as i32).days()).ok();
            }
            before += brings;
        }
        None
    }
}

fn days_between(from: Date, to: Date) -> u32 {
    let days = from.until(to).map(|span| span.get_days()).unwrap_or(0);
    u32::try_from(days).unwrap_or(0)
}

/// Makes a plan.
///
/// # Errors
/// The estimate makes no sense, or needs more than can be laid out.
pub fn plan(estimate: &Estimate) -> Result<Plan, PlanError> {
    let mut estimate = estimate.clone();
    check(&estimate)?;
    let mut notes = Vec::new();
    if estimate
        .record_bytes
        .or(estimate.row_bytes)
        .is_some_and(|bytes| bytes > LARGE_ROW_BYTES)
        && estimate.rows_per_table_max > ROWS_PER_TABLE_LARGE
    {
        estimate.rows_per_table_max = ROWS_PER_TABLE_LARGE;
        notes.push(format!(
            "rows of more than {LARGE_ROW_BYTES} bytes: at most {} to a table, by the published rule",
            Count(ROWS_PER_TABLE_LARGE)
        ));
    }
    if estimate.rows_per_table_max > ROWS_PER_TABLE_CEILING {
        notes.push(format!(
            "more than {} rows to a table are beyond the published rule",
            Count(ROWS_PER_TABLE_CEILING)
        ));
    }
    let growth = Growth(&estimate);
    let rows = growth.after(estimate.years);
    let rows_at_horizon =
        u64::try_from(rows).map_err(|_| PlanError::TooManyRows(estimate.years))?;
    let horizon = estimate
        .start
        .checked_add((estimate.years as i32).years())
        .map_err(|_| PlanError::Calendar {
            start: estimate.start,
            years: estimate.years,
        })?;

    let mut candidates = Vec::new();
    for schemas in schema_counts(&estimate)? {
        let mut per_schema = 1;
        // One size too small shows what the next buys; the first that lasts ends the row.
        loop {
            let candidate = candidate(&estimate, schemas, per_schema, rows_at_horizon, horizon);
            // Tables that are full from the start hold the rows, but do not last.
            let enough = candidate.tables_full.is_none_or(|date| date >= horizon);
            candidates.push(candidate);
            if enough {
                break;
            }
            if per_schema >= TABLES_PER_SCHEMA_MAX {
                return Err(PlanError::TooManyTables {
                    rows: Count(rows_at_horizon),
                    per_table: Count(estimate.rows_per_table_max),
                });
            }
            per_schema *= 2;
        }
    }
    let recommended = recommend(&candidates, horizon);
    // What is far too small to be of use says nothing.
    let best = candidates[recommended].clone();
    candidates.retain(|candidate| {
        *candidate == best
            || candidate.tables_per_schema == 1
            || candidate.tables * 2 >= best.tables
    });
    candidates.sort_by_key(|candidate| (candidate.tables, candidate.schemas));
    let recommended = candidates.iter().position(|c| *c == best).unwrap_or(0);
    if estimate.years > 2 {
        notes.push(
            "the published rule plans for one to two years: what is bought for later stands idle"
                .to_owned(),
        );
    }
    Ok(Plan {
        reason: reason(&estimate, &best),
        horizon,
        rows_at_horizon,
        users_at_horizon: rows_at_horizon / u64::from(estimate.records_per_user),
        candidates,
        recommended,
        notes,
        estimate,
    })
}

fn check(estimate: &Estimate) -> Result<(), PlanError> {
    if estimate.rows_per_year == 0 && estimate.existing_rows == 0 {
        return Err(PlanError::NoRows);
    }
    if estimate.rows_per_table_max == 0 {
        return Err(PlanError::NoRowsPerTable);
    }
    if estimate.row_bytes == Some(0) {
        return Err(PlanError::NoRowBytes);
    }
    if estimate.instances == 0 {
        return Err(PlanError::NoInstances);
    }
    if estimate.instances > INSTANCES_MAX {
        return Err(PlanError::TooManyInstances(estimate.instances));
    }
    if estimate.records_per_user == 0 {
        return Err(PlanError::NoRecords);
    }
    if !(1..=YEARS_MAX).contains(&estimate.years) {
        return Err(PlanError::Years(estimate.years));
    }
    Ok(())
}

/// The numbers of schemas to look at: the given one, or eight to an instance and its doubles.
fn schema_counts(estimate: &Estimate) -> Result<Vec<u32>, PlanError> {
    let instances = estimate.instances;
    if let Some(schemas) = estimate.schemas {
        if schemas > SCHEMAS_MAX {
            return Err(PlanError::TooManySchemas(schemas.into()));
        }
        if schemas == 0 || schemas % instances != 0 {
            return Err(PlanError::Uneven { schemas, instances });
        }
        return Ok(vec![schemas]);
    }
    let base = u64::from(instances) * u64::from(SCHEMAS_PER_INSTANCE);
    if base * 4 > u64::from(SCHEMAS_MAX) {
        return Err(PlanError::TooManySchemas(base));
    }
    Ok([1, 2, 4].map(|factor| base as u32 * factor).to_vec())
}

fn candidate(
    estimate: &Estimate,
    schemas: u32,
    tables_per_schema: u32,
    rows_at_horizon: u64,
    horizon: Date,
) -> Candidate {
    let growth = Growth(estimate);
    let tables = u64::from(schemas) * u64::from(tables_per_schema);
    let capacity = tables.saturating_mul(estimate.rows_per_table_max);
    let tables_full = growth.reaches(u128::from(capacity));
    let disk_rows = estimate
        .disk_per_instance
        .zip(estimate.row_bytes)
        .map(|(disk, row)| u128::from(disk / row) * u128::from(estimate.instances));
    let disk_full = disk_rows.and_then(|rows| growth.reaches(rows));
    let first = [tables_full, disk_full].into_iter().flatten().min();
    let next_split = first.map(|due| {
        let (kind, rows) = match (tables_full == Some(due), disk_rows) {
            (false, Some(rows)) if schemas.is_multiple_of(estimate.instances.saturating_mul(2)) => {
                (SplitKind::MoveSchemas, rows)
            }
            (false, Some(rows)) => (SplitKind::SplitSchemas, rows),
            _ => (SplitKind::SplitSchemas, u128::from(capacity)),
        };
        // More may be there than the limit, from the start.
        let moved = rows.max(u128::from(estimate.existing_rows)) / 2;
        let moved = u64::try_from(moved).unwrap_or(u64::MAX);
        NextSplit {
            due,
            kind,
            rows: moved,
            bytes: estimate.row_bytes.map(|row| moved.saturating_mul(row)),
        }
    });
    let per_instance = rows_at_horizon.div_ceil(u64::from(estimate.instances));
    Candidate {
        schemas,
        tables_per_schema,
        tables,
        capacity,
        rows_per_table_at_horizon: rows_at_horizon.div_ceil(tables),
        rows_per_instance_at_horizon: per_instance,
        bytes_per_instance_at_horizon: estimate
            .row_bytes
            .map(|row| per_instance.saturating_mul(row)),
        tables_full,
        days_until_full: tables_full.map(|date| days_between(estimate.start, date)),
        disk_full,
        lasts: first.is_none_or(|date| date >= horizon),
        next_split,
        instance_counts: (estimate.instances..=schemas)
            .filter(|count| schemas.is_multiple_of(*count))
            .collect(),
        instances_max: schemas,
    }
}

/// The smallest that lasts; among equals the one with the fewest schemas, which is the usual
/// layout. Where the disks end it before the horizon no layout helps, and the tables decide.
fn recommend(candidates: &[Candidate], horizon: Date) -> usize {
    candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| candidate.tables_full.is_none_or(|date| date >= horizon))
        .min_by_key(|(_, candidate)| (candidate.tables, candidate.schemas))
        .map_or(0, |(index, _)| index)
}

fn reason(estimate: &Estimate, best: &Candidate) -> String {
    let years = years(estimate.years);
    let mut text = format!(
        "{} {} of {} on {}: ",
        best.schemas,
        if best.schemas == 1 {
            "schema"
        } else {
            "schemas"
        },
        match best.tables_per_schema {
            1 => "one table".to_owned(),
            n => format!("{n} tables"),
        },
        match estimate.instances {
            1 => "one instance".to_owned(),
            n => format!("{n} instances"),
        },
    );
    let disks_first = best
        .disk_full
        .filter(|disk| best.tables_full.is_none_or(|tables| *disk < tables));
    text.push_str(&match (best.lasts, disks_first, best.tables_full) {
        (false, Some(date), _) => format!(
            "but the disks are full on {date}, before the {years} are over: more instances or \
             larger disks are needed"
        ),
        (_, Some(date), _) => format!(
            "the smallest layout that lasts {years}; the disks are full on {date}, before the \
             tables are"
        ),
        (_, None, Some(date)) => {
            format!("the smallest layout that lasts {years}; full on {date}")
        }
        (_, None, None) => {
            format!("the smallest layout that lasts {years}; not full in a hundred")
        }
    });
    text.push_str(&format!(
        ". It holds {} rows of each logical table in {}. ",
        Count(best.capacity),
        match best.tables {
            1 => "one physical table".to_owned(),
            n => format!("{n} physical tables"),
        }
    ));
    text.push_str(&match best.instance_counts.as_slice() {
        [] | [_] => "It cannot grow by moving whole schemas".to_owned(),
        [_, counts @ ..] => format!(
            "It grows to {} instances by moving whole schemas",
            enumerate(counts)
        ),
    });
    if let Some(split) = &best.next_split {
        text.push_str(&match split.kind {
            SplitKind::MoveSchemas => format!(
                "; when the disks are full, half of them move to as many new instances: {} rows",
                Count(split.rows)
            ),
            SplitKind::SplitSchemas => format!(
                "; when it is full, each is split in two: {} rows move",
                Count(split.rows)
            ),
        });
    }
    text.push('.');
    text
}

/// `one year`, `5 years`.
pub(crate) fn years(count: u32) -> String {
    match count {
        1 => "one year".to_owned(),
        n => format!("{n} years"),
    }
}

/// `4, 8 or 16`; of a long list the first few and the last.
fn enumerate(counts: &[u32]) -> String {
    let text = |counts: &[u32]| {
        let counts: Vec<String> = counts.iter().map(u32::to_string).collect();
        counts.join(", ")
    };
    match counts {
        [.., last] if counts.len() > 6 => format!("{} ... {last}", text(&counts[..4])),
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", text(first)),
        _ => text(counts),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn estimate() -> Estimate {
        Estimate {
            rows_per_year: 40_000_000,
            existing_rows: 0,
            growth_basis_points: 0,
            years: 2,
            rows_per_table_max: 5_000_000,
            instances: 2,
            schemas: None,
            row_bytes: None,
            record_bytes: None,
            disk_per_instance: None,
            records_per_user: 3,
            start: jiff::civil::date(2016, 1, 1),
        }
    }

    fn best(estimate: &Estimate) -> (u32, u32, Option<String>) {
        let plan = plan(estimate).unwrap();
        let best = plan.best();
        let full = best.tables_full.map(|date| date.to_string());
        (best.schemas, best.tables_per_schema, full)
    }

    #[test]
    fn the_2016_answer_is_the_two_year_answer() {
        let plan = plan(&estimate()).unwrap();
        assert_eq!(plan.rows_at_horizon, 80_000_000);
        assert_eq!(plan.users_at_horizon, 26_666_666);
        assert_eq!(best(&estimate()), (16, 1, Some("2018-01-01".into())));
    }

    #[test]
    fn five_years_need_four_tables_in_each_schema() {
        let five = Estimate {
            years: 5,
            ..estimate()
        };
        assert_eq!(best(&five), (16, 4, Some("2024-01-01".into())));
        let plan = plan(&five).unwrap();
        let sixteen = plan.candidates.iter().find(|c| c.tables == 16).unwrap();
        assert_eq!(
            (sixteen.lasts, sixteen.tables_full.unwrap().to_string()),
            (false, "2018-01-01".to_owned())
        );
    }

    #[test]
    fn large_rows_lower_the_limit_and_disks_have_one_of_their_own() {
        let large = Estimate {
            row_bytes: Some(5_000),
            rows_per_table_max: 50_000_000,
            ..estimate()
        };
        assert_eq!(plan(&large).unwrap().estimate.rows_per_table_max, 5_000_000);
        let narrow = Estimate {
            record_bytes: Some(3_000),
            ..large.clone()
        };
        assert_eq!(
            plan(&narrow).unwrap().estimate.rows_per_table_max,
            50_000_000
        );
        let disk = Estimate {
            row_bytes: Some(1_000),
            disk_per_instance: Some(20_000_000_000),
            ..estimate()
        };
        let plan = plan(&disk).unwrap();
        // 40M rows on two disks of 20M rows each: a year.
        assert_eq!(plan.best().disk_full.unwrap().to_string(), "2017-01-01");
        assert!(!plan.best().lasts);
        assert!(
            plan.reason.contains("disks are full on 2017-01-01"),
            "{}",
            plan.reason
        );
    }

    #[test]
    fn tables_that_are_full_from_the_start_do_not_last() {
        let full = Estimate {
            rows_per_year: 0,
            existing_rows: 80_000_000,
            schemas: Some(16),
            ..estimate()
        };
        assert_eq!(best(&full), (16, 2, None));
    }

    #[test]
    fn only_counts_that_spread_evenly_are_grown_to() {
        let check = |instances, schemas, expected: &[u32]| {
            let estimate = Estimate {
                instances,
                schemas: Some(schemas),
                ..estimate()
            };
            assert_eq!(plan(&estimate).unwrap().best().instance_counts, expected);
        };
        check(2, 16, &[2, 4, 8, 16]);
        check(2, 12, &[2, 3, 4, 6, 12]);
        check(3, 24, &[3, 4, 6, 8, 12, 24]);
        check(16, 16, &[16]);
    }

    #[test]
    fn full_tables_are_split_and_full_disks_are_shared_out() {
        let split = |estimate: &Estimate| {
            let split = plan(estimate).unwrap().best().next_split.clone().unwrap();
            (split.kind, split.rows, split.due.to_string())
        };
        assert_eq!(
            split(&estimate()),
            (SplitKind::SplitSchemas, 40_000_000, "2018-01-01".to_owned())
        );
        let disk = Estimate {
            row_bytes: Some(1_000),
            disk_per_instance: Some(20_000_000_000),
            ..estimate()
        };
        assert_eq!(
            split(&disk),
            (SplitKind::MoveSchemas, 20_000_000, "2017-01-01".to_owned())
        );
        // Sixteen servers with a schema each have none to give away.
        let single = Estimate {
            instances: 16,
            schemas: Some(16),
            disk_per_instance: Some(2_500_000_000),
            ..disk
        };
        assert_eq!(split(&single).0, SplitKind::SplitSchemas);
    }

    #[test]
    fn the_reason_names_the_limit_that_is_met_first() {
        let reason = |change: &dyn Fn(&mut Estimate)| {
            let mut estimate = estimate();
            change(&mut estimate);
            plan(&estimate).unwrap().reason
        };
        insta::assert_snapshot!(reason(&|_| ()), @"16 schemas of one table on 2 instances: the smallest layout that lasts 2 years; full on 2018-01-01. It holds 80M rows of each logical table in 16 physical tables. It grows to 4, 8 or 16 instances by moving whole schemas; when it is full, each is split in two: 40M rows move.");
        insta::assert_snapshot!(reason(&|e| {
            (e.row_bytes, e.disk_per_instance, e.years) = (Some(1_000), Some(35_000_000_000), 1);
        }), @"16 schemas of one table on 2 instances: the smallest layout that lasts one year; the disks are full on 2017-10-02, before the tables are. It holds 80M rows of each logical table in 16 physical tables. It grows to 4, 8 or 16 instances by moving whole schemas; when the disks are full, half of them move to as many new instances: 35M rows.");
        insta::assert_snapshot!(reason(&|e| {
            (e.row_bytes, e.disk_per_instance) = (Some(1_000), Some(20_000_000_000));
        }), @"16 schemas of one table on 2 instances: but the disks are full on 2017-01-01, before the 2 years are over: more instances or larger disks are needed. It holds 80M rows of each logical table in 16 physical tables. It grows to 4, 8 or 16 instances by moving whole schemas; when the disks are full, half of them move to as many new instances: 20M rows.");
        insta::assert_snapshot!(reason(&|e| {
            (e.instances, e.schemas, e.rows_per_year, e.years) = (1, Some(1), 10, 1);
        }), @"1 schema of one table on one instance: the smallest layout that lasts one year; not full in a hundred. It holds 5M rows of each logical table in one physical table. It cannot grow by moving whole schemas.");
        insta::assert_snapshot!(reason(&|e| {
            (e.instances, e.schemas, e.rows_per_year) = (1, Some(5040), 40_000_000);
        }), @"5040 schemas of one table on one instance: the smallest layout that lasts 2 years; not full in a hundred. It holds 25.2B rows of each logical table in 5040 physical tables. It grows to 2, 3, 4, 5 ... 5040 instances by moving whole schemas.");
    }

    #[test]
    fn nonsense_is_refused() {
        let refused = |change: &dyn Fn(&mut Estimate), expected: &str| {
            let mut estimate = estimate();
            change(&mut estimate);
            assert_eq!(plan(&estimate).unwrap_err().to_string(), expected);
        };
        refused(
            &|e| e.rows_per_year = 0,
            "there are no rows to plan for: rows a year and existing rows are both 0",
        );
        refused(
            &|e| e.rows_per_table_max = 0,
            "a table must hold at least one row: --max-rows-per-table is 0",
        );
        refused(&|e| e.instances = 0, "at least one instance is needed");
        refused(&|e| e.years = 0, "--years must be 1 to 100, not 0");
        refused(&|e| e.years = 101, "--years must be 1 to 100, not 101");
        refused(
            &|e| (e.start, e.years) = (jiff::civil::date(9990, 1, 1), 50),
            "50 years from 9990-01-01 end beyond the calendar",
        );
        refused(
            &|e| (e.instances, e.schemas) = (17, Some(16)),
            "16 schemas do not spread evenly over 17 instances; take 16 instances, or 17 schemas",
        );
        refused(
            &|e| e.instances = u32::MAX,
            "4294967295 instances are more than the 4096 that can be planned",
        );
        refused(
            &|e| e.schemas = Some(65_538),
            "65538 schemas are more than the 65536 that can be planned",
        );
        refused(
            &|e| (e.growth_basis_points, e.years) = (1_000_000, 100),
            "the rows at the end of 100 years are too many to count",
        );
        refused(
            &|e| (e.rows_per_year, e.rows_per_table_max) = (u64::MAX / 4, 1),
            "9223372T rows at 1 to a table need more tables than can be laid out",
        );
    }

    proptest! {
        #[test]
        fn a_layout_holds_until_its_date_and_not_a_day_longer(
            rows in 1u64..10_000_000_000, existing in 0u64..1_000_000_000, growth in 0u32..20_000,
            years in 1u32..12, limit in 100_000u64..50_000_000, instances in 1u32..9,
        ) {
            let estimate = Estimate {
                rows_per_year: rows, existing_rows: existing, growth_basis_points: growth, years,
                rows_per_table_max: limit, instances, ..estimate()
            };
            let Ok(plan) = plan(&estimate) else { return Ok(()) };
            prop_assert!(plan.best().lasts);
            prop_assert!(u64::from(plan.best().schemas) % u64::from(instances) == 0);
            for candidate in &plan.candidates {
                let rows_on = |date: Date| rows_on(&estimate, date);
                if let Some(full) = candidate.tables_full {
                    prop_assert!(rows_on(full) >= u128::from(candidate.capacity));
                    if full > estimate.start {
                        let before = full.yesterday().unwrap();
                        prop_assert!(rows_on(before) < u128::from(candidate.capacity));
                    }
                    prop_assert_eq!(candidate.lasts, full >= plan.horizon);
                }
            }
        }

        #[test]
        fn more_rows_never_need_fewer_tables_and_growth_never_buys_time(
            rows in 1u64..1_000_000_000, more in 0u64..1_000_000_000, growth in 0u32..10_000, faster in 0u32..10_000,
        ) {
            let less = Estimate { rows_per_year: rows, growth_basis_points: growth, ..estimate() };
            let more = Estimate { rows_per_year: rows + more, growth_basis_points: growth + faster, ..estimate() };
            let (a, b) = (plan(&less), plan(&more));
            if let (Ok(a), Ok(b)) = (a, b) {
                prop_assert!(b.best().tables >= a.best().tables);
                let sixteen = |plan: &Plan| plan.candidates.iter().find(|c| c.tables == 16).and_then(|c| c.days_until_full);
                if let (Some(a), Some(b)) = (sixteen(&a), sixteen(&b)) {
                    prop_assert!(b <= a);
                }
            }
        }
    }

    /// Rows on a day, by another way than the plan's: day by day.
    fn rows_on(estimate: &Estimate, date: Date) -> u128 {
        let mut rows = u128::from(estimate.existing_rows);
        let mut brings = u128::from(estimate.rows_per_year);
        let mut first = estimate.start;
        for year in 1.. {
            let next = estimate.start.checked_add(i64::from(year).years()).unwrap();
            let days = u128::from(days_between(first, next));
            if date < next {
                return rows + brings * u128::from(days_between(first, date)) / days;
            }
            rows += brings;
            brings = brings * u128::from(10_000 + estimate.growth_basis_points) / 10_000;
            first = next;
        }
        rows
    }
}
