//! How long the fleet holds: rows that are there, growth that was measured, limits -> dates.
//!
//! A measurement is a [`Snapshot`]; two of them give growth. The rate is a straight line from the
//! oldest usable measurement to the present one: it can be checked with a pocket calculator. What
//! was never measured twice is unknown, unless the growth is stated.
//!
//! The servers' estimates of a table's rows are off by a tenth as a rule and by half at times, each
//! time anew: of two that are a day apart the difference is noise, and a gate that fails on noise
//! is turned off. So growth from estimates needs a month, is taken over all the physical tables of
//! a logical one together, where the errors level out, and is given to each by its rows. Which
//! shard grows unlike the others can be told from counts only.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::{Span, Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use super::plan::quantity::Count;
use super::plan::{LARGE_ROW_BYTES, ROWS_PER_TABLE, ROWS_PER_TABLE_LARGE};
use super::{LogicalTable, PhysicalTable, ShardFunction, Topology};
use crate::names::{InstanceName, TableName};
use crate::schema::size::{Pages, Unknown, row_size};

/// The format of the snapshots that are written.
pub const FORMAT: u32 = 1;

/// A measurement older than this says little about how the fleet grows today.
const AGE_DAYS_MAX: i64 = 400;

/// Below this distance two counts say more of the time of day than of growth.
const AGE_DAYS_MIN: i64 = 1;

/// The same for estimates, whose errors must be small beside what came meanwhile.
const AGE_DAYS_MIN_ESTIMATED: i64 = 30;

/// Dates beyond this are not worth printing.
const DAYS_MAX: i128 = 36_525;

/// Seconds of a year as growth is given.
const YEAR_S: i128 = 31_557_600;

const DAY_S: i128 = 86_400;

/// By how much a shard differs from the median before it is called unlike the others.
const UNLIKE_RATIO: f64 = 1.5;

/// The same where the counts are the servers' estimates, which are off by half at times.
const UNLIKE_RATIO_ESTIMATED: f64 = 2.5;

/// Standard deviations of a count that a hash leaves to chance before a difference is one.
const UNLIKE_SIGMAS: f64 = 6.0;

/// Tables that it takes to say what is usual.
const UNLIKE_TABLES_MIN: usize = 4;

/// What one physical table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Rows.
    pub rows: u64,
    /// Bytes with indexes.
    pub bytes: u64,
}

/// What every physical table of a cluster held at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// The record's format, [`FORMAT`].
    pub format: u32,
    /// The cluster.
    pub cluster: String,
    /// When it was taken.
    pub taken_at: Timestamp,
    /// Whether the rows were counted; estimated by the servers if not.
    pub exact: bool,
    /// Sizes by schema and table. Schemas keep their names when they move.
    pub tables: BTreeMap<String, BTreeMap<String, Size>>,
}

impl Snapshot {
    fn size(&self, table: &PhysicalTable) -> Option<Size> {
        self.tables
            .get(table.schema.as_str())?
            .get(table.table.as_str())
            .copied()
    }
}

/// What is known of a snapshot without reading all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// When it was taken.
    pub at: Timestamp,
    /// Whether the rows were counted.
    pub exact: bool,
}

/// A length of time as people write it: `12mo`, `2y`, `6w`, `90d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Horizon {
    count: u16,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Day,
    Week,
    Month,
    Year,
}

/// A text that is no length of time, or one that makes no sense here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HorizonError {
    /// Not a number with a unit.
    #[error("`{0}` is not a length of time; write 12mo, 2y, 6w or 90d")]
    Form(String),
    /// No time at all.
    #[error("`{0}` is no time at all; it should be at least a day")]
    Zero(String),
    /// Beyond what can be foreseen.
    #[error("`{0}` is longer than 100 years")]
    TooLong(String),
}

impl FromStr for Horizon {
    type Err = HorizonError;

    fn from_str(text: &str) -> Result<Self, HorizonError> {
        let form = || HorizonError::Form(text.to_owned());
        let trimmed = text.trim();
        let split = trimmed
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(form)?;
        let (digits, unit) = trimmed.split_at(split);
        let (unit, most) = match unit.trim_start() {
            "d" | "day" | "days" => (Unit::Day, 36_525),
            "w" | "week" | "weeks" => (Unit::Week, 5_217),
            "mo" | "month" | "months" => (Unit::Month, 1_200),
            "y" | "year" | "years" => (Unit::Year, 100),
            _ => return Err(form()),
        };
        if digits.is_empty() {
            return Err(form());
        }
        let count = digits
            .parse::<u16>()
            .ok()
            .filter(|count| *count <= most)
            .ok_or_else(|| HorizonError::TooLong(text.to_owned()))?;
        if count == 0 {
            return Err(HorizonError::Zero(text.to_owned()));
        }
        Ok(Self { count, unit })
    }
}

impl fmt::Display for Horizon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Day => "d",
            Unit::Week => "w",
            Unit::Month => "mo",
            Unit::Year => "y",
        };
        write!(f, "{}{unit}", self.count)
    }
}

impl Horizon {
    fn span(self) -> Span {
        let count = i64::from(self.count);
        match self.unit {
            Unit::Day => count.days(),
            Unit::Week => count.weeks(),
            Unit::Month => count.months(),
            Unit::Year => count.years(),
        }
    }

    /// The day on which it is over, from `day` on; the last day of the calendar at the most.
    pub fn end(self, day: Date) -> Date {
        day.checked_add(self.span()).unwrap_or(Date::MAX)
    }
}

/// How long the capacity must hold where nothing else is said.
pub const HORIZON: Horizon = Horizon {
    count: 12,
    unit: Unit::Month,
};

/// What must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Rows that a physical table should not pass; fewer where rows are large, by the published
    /// rule.
    pub rows_per_table: u64,
    /// Bytes that the schemas of an instance should not pass.
    pub bytes_per_instance: Option<u64>,
    /// What is full sooner is a breach.
    pub fail: Horizon,
    /// What is full sooner is warned of.
    pub warn: Horizon,
}

impl Limits {
    /// Rows that a physical table of this logical one should not pass.
    fn rows_of(&self, table: &LogicalTable) -> u64 {
        let record = row_size(&table.def, &Unknown, Pages::Full).record;
        match record > LARGE_ROW_BYTES as f64 {
            true => self.rows_per_table.min(ROWS_PER_TABLE_LARGE),
            false => self.rows_per_table,
        }
    }
}

/// What someone says of the limits, by flags or in a file; what is `None` was not said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Thresholds {
    /// What `warn` and `fail` are where they are not said; [`HORIZON`] where nothing is.
    pub horizon: Option<Horizon>,
    /// What is full sooner is warned of.
    pub warn: Option<Horizon>,
    /// What is full sooner is a failure.
    pub fail: Option<Horizon>,
    /// Rows that a physical table should not pass.
    pub rows_per_table: Option<u64>,
    /// Bytes that the schemas of an instance should not pass.
    pub bytes_per_instance: Option<u64>,
}

/// A warning that comes when it is too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("warn {warn} is sooner than fail {fail}: nothing would ever be warned of")]
pub struct WarnTooSoon {
    /// What is full sooner is warned of.
    pub warn: Horizon,
    /// What is full sooner is a failure.
    pub fail: Horizon,
}

impl Thresholds {
    /// What is said here, and of the other what is not. A horizon that is said here stands for
    /// warn and fail too: those of the other would leave it without effect.
    #[must_use]
    pub fn or(self, other: &Thresholds) -> Thresholds {
        let (warn, fail) = match self.horizon {
            Some(_) => (None, None),
            None => (other.warn, other.fail),
        };
        Thresholds {
            horizon: self.horizon.or(other.horizon),
            warn: self.warn.or(warn),
            fail: self.fail.or(fail),
            rows_per_table: self.rows_per_table.or(other.rows_per_table),
            bytes_per_instance: self.bytes_per_instance.or(other.bytes_per_instance),
        }
    }

    /// The limits that this amounts to.
    ///
    /// # Errors
    /// What is warned of is a failure before.
    pub fn limits(&self) -> Result<Limits, WarnTooSoon> {
        let horizon = self.horizon.unwrap_or(HORIZON);
        let fail = self.fail.unwrap_or(horizon);
        // A warning that comes after the failure would never be seen.
        let warn = self.warn.unwrap_or(match self.fail {
            Some(fail) if is_longer(fail, horizon) => fail,
            _ => horizon,
        });
        if is_longer(fail, warn) {
            return Err(WarnTooSoon { warn, fail });
        }
        Ok(Limits {
            rows_per_table: self.rows_per_table.unwrap_or(ROWS_PER_TABLE),
            bytes_per_instance: self.bytes_per_instance,
            fail,
            warn,
        })
    }
}

fn is_longer(a: Horizon, b: Horizon) -> bool {
    // Any day tells months from days well enough; this one has the calendar before it.
    let day = jiff::civil::date(2026, 1, 1);
    a.end(day) > b.end(day)
}

/// Growth that someone states, for what was never measured twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stated {
    /// The logical table; `None` for all sharded tables together.
    pub table: Option<TableName>,
    /// Rows a year.
    pub rows_per_year: u64,
}

impl FromStr for Stated {
    type Err = String;

    /// `40M`, or `member=26M`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (table, rows) = match text.split_once('=') {
            Some((table, rows)) => {
                let table = TableName::new(table.trim()).map_err(|error| error.to_string())?;
                (Some(table), rows)
            }
            None => (None, text),
        };
        let rows: Count = rows
            .parse()
            .map_err(|error: super::plan::quantity::QuantityError| error.to_string())?;
        Ok(Self {
            table,
            rows_per_year: rows.0,
        })
    }
}

/// Where a rate of growth comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Two measurements.
    Measured,
    /// Someone said so.
    Stated,
    /// Nowhere.
    Unknown,
}

/// When something is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case", tag = "when", content = "date")]
pub enum Full {
    /// It is now.
    Now,
    /// On this day, if it grows on as it did.
    On(Date),
    /// Not within a hundred years, or it does not grow.
    Never,
    /// How it grows is not known.
    Unknown,
}

/// What is measured against a limit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The rows of a physical table.
    Rows {
        /// The logical table.
        logical: TableName,
        /// The physical table.
        table: PhysicalTable,
    },
    /// The bytes of the topology's schemas on an instance.
    Bytes {
        /// The instance.
        instance: InstanceName,
    },
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Rows { table, .. } => write!(f, "{}.{}", table.schema, table.table),
            What::Bytes { instance } => write!(f, "the disk of {instance}"),
        }
    }
}

/// Something that fills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gauge {
    /// What it is.
    pub what: What,
    /// What is there, rows or bytes.
    pub now: u64,
    /// What should not be passed, in the same unit.
    pub limit: u64,
    /// What comes in a year, in the same unit; `None` where it is not known.
    pub per_year: Option<i64>,
    /// Where the growth comes from.
    pub source: Source,
    /// When it is full.
    pub full: Full,
    /// What that means for the gate.
    pub verdict: Verdict,
}

impl Gauge {
    /// How full it is, in hundredths of a percent of the limit.
    pub fn fill_basis_points(&self) -> u64 {
        let share = u128::from(self.now) * 10_000 / u128::from(self.limit.max(1));
        u64::try_from(share).unwrap_or(u64::MAX)
    }

    /// Compares the shares of their limits, without rounding.
    fn fuller_than(&self, other: &Gauge) -> std::cmp::Ordering {
        let cross = |a: &Gauge, b: &Gauge| u128::from(a.now) * u128::from(b.limit);
        cross(self, other).cmp(&cross(other, self))
    }
}

/// What the gate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds long enough.
    Holds,
    /// It is full sooner than the warning allows.
    Warned,
    /// It is full, or will be sooner than the limit of failure.
    Breached,
}

/// A physical table that does not do as the others of its logical table do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unlike {
    /// The logical table.
    pub logical: TableName,
    /// The physical table.
    pub table: PhysicalTable,
    /// Whether it is growth; the rows that are there if not.
    pub growth: bool,
    /// What it has: rows, or rows a year.
    pub value: i64,
    /// What half of the others have less than.
    pub median: i64,
}

/// Where the growth was measured from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// An earlier measurement.
    Since {
        /// When that was taken.
        taken_at: Timestamp,
        /// Whole days since then.
        days: i64,
        /// Whether rows were counted then and now.
        exact: bool,
    },
    /// There is none: in words, why.
    None {
        /// `first measurement`.
        why: String,
    },
}

/// What the fleet was held to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldTo {
    /// Rows that a physical table should not pass; of large rows fewer, as its gauge says.
    pub rows_per_table: u64,
    /// Bytes that the schemas of an instance should not pass.
    pub bytes_per_instance: Option<u64>,
    /// What is full sooner is a breach, in words: `12mo`.
    pub fail: String,
    /// The day that this is.
    pub fail_before: Date,
    /// What is full sooner is warned of, in words.
    pub warn: String,
    /// The day that this is.
    pub warn_before: Date,
}

/// What was computed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Capacity {
    /// What the fleet was held to.
    pub held_to: HeldTo,
    /// Whether the rows were counted; estimated by the servers if not.
    pub exact: bool,
    /// What the growth is measured from.
    pub basis: Basis,
    /// Everything that fills: what is full first comes first, the fuller of two before the other.
    pub gauges: Vec<Gauge>,
    /// Physical tables that do not do as the others.
    pub unlike: Vec<Unlike>,
}

/// Which of the earlier measurements growth is measured from: the oldest that is not too old, of
/// the same kind as the present one if there is such; an index into `history`, or why there is none.
///
/// # Errors
/// In words, why no growth can be measured yet.
pub fn baseline(history: &[Taken], now: Timestamp, exact: bool) -> Result<usize, String> {
    let age_days = |taken: &Taken| now.duration_since(taken.at).as_secs() / DAY_S as i64;
    let needed_days = |taken: &Taken| match taken.exact && exact {
        true => AGE_DAYS_MIN,
        false => AGE_DAYS_MIN_ESTIMATED,
    };
    let earlier: Vec<(usize, &Taken)> = history
        .iter()
        .enumerate()
        .filter(|(_, taken)| age_days(taken) >= needed_days(taken))
        .collect();
    if earlier.is_empty() {
        let oldest = history
            .iter()
            .filter(|taken| taken.at < now)
            .min_by_key(|taken| taken.at);
        return Err(match oldest {
            None => "first measurement".to_owned(),
            Some(oldest) => {
                let length = match now.duration_since(oldest.at).as_hours() {
                    0 => "not an hour".to_owned(),
                    1 => "an hour".to_owned(),
                    hours @ ..48 => format!("{hours} hours"),
                    hours => format!("{} days", hours / 24),
                };
                let needs = if exact && history.iter().any(|taken| taken.exact) {
                    "growth needs a day".to_owned()
                } else {
                    format!(
                        "growth needs {AGE_DAYS_MIN_ESTIMATED} days of estimates, or a day of counts"
                    )
                };
                format!("the history is {length} long, and {needs}")
            }
        });
    }
    let recent = |(_, taken): &&(usize, &Taken)| age_days(taken) <= AGE_DAYS_MAX;
    let alike = |(_, taken): &&(usize, &Taken)| taken.exact == exact;
    let oldest = earlier
        .iter()
        .filter(recent)
        .filter(alike)
        .min_by_key(|(_, taken)| taken.at)
        .or_else(|| {
            earlier
                .iter()
                .filter(recent)
                .min_by_key(|(_, taken)| taken.at)
        })
        // All of them are old: the least old.
        .or_else(|| earlier.iter().max_by_key(|(_, taken)| taken.at));
    oldest
        .map(|(index, _)| *index)
        .ok_or_else(|| "first measurement".to_owned())
}

/// The day something with a limit is full.
pub fn full(now: u64, limit: u64, per_year: Option<i64>, today: Date) -> Full {
    if now >= limit {
        return Full::Now;
    }
    let Some(per_year) = per_year else {
        return Full::Unknown;
    };
    if per_year <= 0 {
        return Full::Never;
    }
    let left = i128::from(limit) - i128::from(now);
    // Rounded down: rather a day early than a day late.
    let days = left * YEAR_S / (i128::from(per_year) * DAY_S);
    if days > DAYS_MAX {
        return Full::Never;
    }
    i64::try_from(days)
        .ok()
        .and_then(|days| today.checked_add(days.days()).ok())
        .map_or(Full::Never, Full::On)
}

fn verdict(full: Full, limits: &Limits, today: Date) -> Verdict {
    match full {
        Full::Now => Verdict::Breached,
        Full::On(day) if day < limits.fail.end(today) => Verdict::Breached,
        Full::On(day) if day < limits.warn.end(today) => Verdict::Warned,
        Full::On(_) | Full::Never | Full::Unknown => Verdict::Holds,
    }
}

/// Computes how long the fleet holds. Tables of `topology` that `now` lacks (their instance was
/// not reached) are left out.
pub fn capacity(
    topology: &Topology,
    now: &Snapshot,
    basis: Result<&Snapshot, String>,
    stated: &[Stated],
    limits: &Limits,
    today: Date,
) -> Capacity {
    let (earlier, basis) = match basis {
        Ok(earlier) => {
            let seconds = now.taken_at.duration_since(earlier.taken_at).as_secs();
            let basis = Basis::Since {
                taken_at: earlier.taken_at,
                days: seconds / DAY_S as i64,
                exact: earlier.exact && now.exact,
            };
            (Some((earlier, i128::from(seconds))), basis)
        }
        Err(why) => (None, Basis::None { why }),
    };
    let rates = StatedRates::new(topology, now, stated);
    let is_counted = earlier.is_some_and(|(earlier, _)| earlier.exact && now.exact);
    let mut gauges = Vec::new();
    let mut unlike = Vec::new();
    for table in topology.tables.values() {
        // A range gives each table the keys it gives it: unlike is what it is for.
        let by_range = table
            .spread
            .split()
            .is_some_and(|split| matches!(split.schema.function, ShardFunction::Range { .. }));
        let is_spread = table.spread.split().is_some() && !by_range;
        let pool = earlier
            .filter(|_| is_spread && !is_counted)
            .map(|(earlier, _)| Pool::new(topology, table, earlier, now));
        let limit = limits.rows_of(table);
        let mut own = Vec::new();
        for place in topology.places(table) {
            let physical = topology.physical(table, place);
            let Some(size) = now.size(&physical) else {
                continue;
            };
            let measured = earlier.and_then(|(earlier, seconds)| {
                let before = earlier.size(&physical)?;
                let more = match &pool {
                    Some(pool) => pool.share(size.rows),
                    None => i128::from(size.rows) - i128::from(before.rows),
                };
                i64::try_from(more * YEAR_S / seconds.max(1)).ok()
            });
            let said = || rates.of(&table.name, size.rows);
            let (per_year, source) = match (measured, said()) {
                (Some(rate), _) => (Some(rate), Source::Measured),
                (None, Some(rate)) => (Some(rate), Source::Stated),
                (None, None) => (None, Source::Unknown),
            };
            let full = full(size.rows, limit, per_year, today);
            own.push((
                size,
                Gauge {
                    verdict: verdict(full, limits, today),
                    what: What::Rows {
                        logical: table.name.clone(),
                        table: physical,
                    },
                    now: size.rows,
                    limit,
                    per_year,
                    source,
                    full,
                },
            ));
        }
        if !by_range {
            unlike.extend(unlike_others(&own, now.exact, &basis));
        }
        gauges.extend(own);
    }
    let disks = match limits.bytes_per_instance {
        Some(limit) => disks(topology, &gauges, limit, limits, today),
        None => Vec::new(),
    };
    let mut gauges: Vec<Gauge> = gauges.into_iter().map(|(_, gauge)| gauge).collect();
    gauges.extend(disks);
    gauges.sort_by(|a, b| {
        a.full
            .cmp(&b.full)
            .then_with(|| b.fuller_than(a))
            .then_with(|| a.what.cmp(&b.what))
    });
    Capacity {
        held_to: HeldTo {
            rows_per_table: limits.rows_per_table,
            bytes_per_instance: limits.bytes_per_instance,
            fail: limits.fail.to_string(),
            fail_before: limits.fail.end(today),
            warn: limits.warn.to_string(),
            warn_before: limits.warn.end(today),
        },
        exact: now.exact,
        basis,
        gauges,
        unlike,
    }
}

/// The physical tables of one logical table that were measured then and now, together.
struct Pool {
    more: i128,
    rows: i128,
}

impl Pool {
    fn new(topology: &Topology, table: &LogicalTable, earlier: &Snapshot, now: &Snapshot) -> Self {
        let mut pool = Self { more: 0, rows: 0 };
        for place in topology.places(table) {
            let physical = topology.physical(table, place);
            if let (Some(before), Some(after)) = (earlier.size(&physical), now.size(&physical)) {
                pool.more += i128::from(after.rows) - i128::from(before.rows);
                pool.rows += i128::from(after.rows);
            }
        }
        pool
    }

    /// What came to a table of this many rows.
    fn share(&self, rows: u64) -> i128 {
        // Only absurd counts come near the end of 127 bits.
        self.more.saturating_mul(i128::from(rows)) / self.rows.max(1)
    }
}

/// The bytes of each instance: a table's bytes grow as its rows do.
fn disks(
    topology: &Topology,
    tables: &[(Size, Gauge)],
    limit: u64,
    limits: &Limits,
    today: Date,
) -> Vec<Gauge> {
    let mut gauges = Vec::new();
    for instance in topology.instances.keys() {
        let own: Vec<&(Size, Gauge)> = tables
            .iter()
            .filter(|(_, gauge)| {
                matches!(&gauge.what, What::Rows { table, .. } if table.instance == *instance)
            })
            .collect();
        if own.is_empty() {
            continue;
        }
        let now = own
            .iter()
            .fold(0u64, |sum, (size, _)| sum.saturating_add(size.bytes));
        let per_year = own.iter().try_fold(0i128, |sum, (size, gauge)| {
            let rows = i128::from(gauge.per_year?);
            // How large the rows of an empty table will be is not known.
            if size.rows == 0 && rows != 0 {
                return None;
            }
            Some(sum + rows * i128::from(size.bytes) / i128::from(size.rows.max(1)))
        });
        let per_year = per_year.and_then(|bytes| i64::try_from(bytes).ok());
        let source = match per_year {
            None => Source::Unknown,
            Some(_) if own.iter().any(|(_, gauge)| gauge.source == Source::Stated) => {
                Source::Stated
            }
            Some(_) => Source::Measured,
        };
        let full = full(now, limit, per_year, today);
        gauges.push(Gauge {
            what: What::Bytes {
                instance: instance.clone(),
            },
            now,
            limit,
            per_year,
            source,
            full,
            verdict: verdict(full, limits, today),
        });
    }
    gauges
}

/// Stated growth divided over the tables: by the rows they have, evenly where they have none.
struct StatedRates {
    by_table: BTreeMap<TableName, Rate>,
    rest: Option<Rate>,
}

struct Rate {
    rows_per_year: u64,
    rows: u128,
    tables: u128,
    /// Each copy of a broadcast table gets all of it.
    is_copied: bool,
}

impl StatedRates {
    fn new(topology: &Topology, now: &Snapshot, stated: &[Stated]) -> Self {
        let sums = |name: &TableName| -> (u128, u128) {
            topology.tables.get(name).map_or((0, 0), |table| {
                topology
                    .places(table)
                    .filter_map(|place| now.size(&topology.physical(table, place)))
                    .fold((0, 0), |(rows, tables), size| {
                        (rows + u128::from(size.rows), tables + 1)
                    })
            })
        };
        let mut by_table = BTreeMap::new();
        for said in stated {
            let Some(name) = &said.table else { continue };
            let (rows, tables) = sums(name);
            let is_copied = topology
                .tables
                .get(name)
                .is_some_and(|table| table.spread.split().is_none());
            let rate = Rate {
                rows_per_year: said.rows_per_year,
                rows,
                tables,
                is_copied,
            };
            by_table.insert(name.clone(), rate);
        }
        let rest = stated.iter().find(|said| said.table.is_none()).map(|said| {
            let (rows, tables) = topology
                .tables
                .values()
                .filter(|table| {
                    table.spread.split().is_some() && !by_table.contains_key(&table.name)
                })
                .map(|table| sums(&table.name))
                .fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
            Rate {
                rows_per_year: said.rows_per_year,
                rows,
                tables,
                is_copied: false,
            }
        });
        // A broadcast table is no part of what the sharded ones share.
        if rest.is_some() {
            for table in topology.tables.values() {
                if table.spread.split().is_none() {
                    by_table.entry(table.name.clone()).or_insert(Rate {
                        rows_per_year: 0,
                        rows: 0,
                        tables: 1,
                        is_copied: true,
                    });
                }
            }
        }
        Self { by_table, rest }
    }

    fn of(&self, table: &TableName, rows: u64) -> Option<i64> {
        let rate = self.by_table.get(table).or(self.rest.as_ref())?;
        let whole = u128::from(rate.rows_per_year);
        let share = if rate.is_copied {
            whole
        } else if rate.rows == 0 {
            whole.div_ceil(rate.tables.max(1))
        } else {
            (whole * u128::from(rows)).div_ceil(rate.rows)
        };
        Some(i64::try_from(share).unwrap_or(i64::MAX))
    }
}

fn unlike_others(tables: &[(Size, Gauge)], exact: bool, basis: &Basis) -> Vec<Unlike> {
    let mut found = Vec::new();
    let mut look = |growth: bool, exact: bool, values: Vec<(f64, &Gauge)>| {
        let ratio = if exact {
            UNLIKE_RATIO
        } else {
            UNLIKE_RATIO_ESTIMATED
        };
        let numbers: Vec<f64> = values.iter().map(|(value, _)| *value).collect();
        let Some((median, unlike)) = unusual(&numbers, ratio) else {
            return;
        };
        for index in unlike {
            let (value, gauge) = values[index];
            if let What::Rows { logical, table } = &gauge.what {
                found.push(Unlike {
                    logical: logical.clone(),
                    table: table.clone(),
                    growth,
                    value: value as i64,
                    median: median as i64,
                });
            }
        }
    };
    let rows = tables
        .iter()
        .map(|(_, gauge)| (gauge.now as f64, gauge))
        .collect();
    look(false, exact, rows);
    if let Basis::Since {
        days, exact: true, ..
    } = basis
    {
        // Compared as rows that came, for chance is in those, and told as rows a year.
        let years = (*days).max(1) as f64 * DAY_S as f64 / YEAR_S as f64;
        let came: Vec<(f64, &Gauge)> = tables
            .iter()
            .filter(|(_, gauge)| gauge.source == Source::Measured)
            .filter_map(|(_, gauge)| Some((gauge.per_year? as f64 * years, gauge)))
            .collect();
        look(true, true, came);
        for unlike in found.iter_mut().filter(|unlike| unlike.growth) {
            unlike.value = (unlike.value as f64 / years) as i64;
            unlike.median = (unlike.median as f64 / years) as i64;
        }
    }
    found
}

/// The median, and the indexes of the values that are far from it: by this ratio, and by more than
/// chance. `None` where there are too few to say what is usual.
fn unusual(values: &[f64], ratio: f64) -> Option<(f64, Vec<usize>)> {
    if values.len() < UNLIKE_TABLES_MIN {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted[middle]
    };
    let chance = UNLIKE_SIGMAS * median.abs().max(1.0).sqrt();
    let unlike = values
        .iter()
        .enumerate()
        .filter(|(_, value)| {
            let far = (**value - median).abs() > chance;
            let (low, high) = (median.min(**value), median.max(**value));
            far && high > low.max(0.0) * ratio
        })
        .map(|(index, _)| index)
        .collect();
    Some((median, unlike))
}

#[cfg(test)]
mod tests;
