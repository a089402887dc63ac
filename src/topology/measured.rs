//! What a live database says of its size and growth, and how sure that is.

use jiff::civil::Date;
use serde::Serialize;

use crate::schema::{ColumnType, IndexKind, TableDef};

/// Days of the year that rates are given for.
const YEAR_DAYS: f64 = 365.25;

/// Days that a creation-time column must reach back for a rate.
const CREATED_DAYS_MIN: i32 = 14;

/// Days from which such a rate is called fair.
const CREATED_DAYS_FAIR: i32 = 90;

/// Days that a table must have been there for its AUTO_INCREMENT to give a rate.
const MADE_DAYS_MIN: i32 = 30;

/// Days from which a rate by stored history is called fair.
const HISTORY_DAYS_FAIR: i32 = 30;

/// Rows from which the bytes of a table say something of a row: the pages of a smaller one are
/// mostly empty.
const SIZED_ROWS_MIN: u64 = 1_000;

/// Bytes that no InnoDB row is below; less is a size that the server has not brought up to date.
const ROW_BYTES_MIN: u64 = 20;

/// How sure a figure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sure {
    /// Nothing is known.
    Unknown,
    /// An order of magnitude.
    Poor,
    /// Off by some tens of percent at the worst.
    Fair,
    /// Counted.
    Good,
}

impl Sure {
    /// The word in a report.
    pub fn word(self) -> &'static str {
        match self {
            Sure::Unknown => "unknown",
            Sure::Poor => "poor",
            Sure::Fair => "fair",
            Sure::Good => "good",
        }
    }
}

/// A database as it was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// The schemas, `rds-1/shop`.
    pub schemas: Vec<String>,
    /// The day that growth was measured back from.
    pub as_of: Date,
    /// Whether rows were counted; the servers' estimates if not.
    pub is_exact: bool,
    /// The logical tables, by name.
    pub tables: Vec<MeasuredTable>,
    /// What could not be measured.
    pub missing: Vec<Missing>,
    /// Logical tables of which nothing was measured.
    pub unmeasured: Vec<String>,
    /// Whether tables are missing of which not even the names are known.
    pub is_open: bool,
}

/// Something that could not be measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// An instance, a schema or a table: `rds-2`, `rds-2/shop`, `rds-2/shop.orders`.
    pub place: String,
    /// Why, in words.
    pub why: String,
    /// What to do about it, where that is known.
    pub next: Option<String>,
}

/// A logical table: one table, or all physical tables of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasuredTable {
    /// Its name.
    pub name: String,
    /// Physical tables that were measured.
    pub physical_tables: u32,
    /// Physical tables besides that were not.
    pub physical_tables_missing: u32,
    /// Rows of those that were measured.
    pub rows: u64,
    /// Bytes of the clustered indexes.
    pub data_bytes: u64,
    /// Bytes of the secondary indexes.
    pub index_bytes: u64,
    /// Bytes of a row with its share of the indexes; `None` where nothing says it.
    pub row_bytes: Option<u64>,
    /// Bytes of the row itself.
    pub record_bytes: Option<u64>,
    /// Whether the bytes are by the definition, for there are too few rows to go by.
    pub row_bytes_by_definition: bool,
    /// How it grows.
    pub growth: Growth,
}

/// How a table grows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Growth {
    /// Rows a year; `None` where that is unknown.
    pub rows_per_year: Option<u64>,
    /// By how much the last year brought more than the one before, in hundredths of a percent.
    /// `None` where there are no two years.
    pub basis_points: Option<i64>,
    /// How sure it is.
    pub sure: Sure,
    /// What it is known from, or why it is not known.
    pub from: String,
}

impl Growth {
    /// Growth that is not known, and why.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self {
            rows_per_year: None,
            basis_points: None,
            sure: Sure::Unknown,
            from: why.into(),
        }
    }
}

impl MeasuredTable {
    /// An amount of all physical tables, where this is what the measured ones have: the others are
    /// taken to be as full as these are on average.
    pub fn of_all(&self, measured: u64) -> u64 {
        let found = u128::from(self.physical_tables.max(1));
        let all = found + u128::from(self.physical_tables_missing);
        u64::try_from(u128::from(measured) * all / found).unwrap_or(u64::MAX)
    }

    /// Rows after so many years, at the rate of the last one.
    fn rows_after(&self, years: u32) -> u64 {
        let rate = self.growth.rows_per_year.unwrap_or(0);
        self.rows.saturating_add(rate.saturating_mul(years.into()))
    }

    /// Gives the bytes of a row: by the sizes where there are rows enough, or else by what the
    /// definition says of the whole row and of the record.
    pub fn set_row_bytes(&mut self, by_definition: Option<(u64, u64)>) {
        let each = |bytes: u64| bytes.checked_div(self.rows).unwrap_or(0);
        let record = each(self.data_bytes);
        if self.rows >= SIZED_ROWS_MIN && record >= ROW_BYTES_MIN {
            self.row_bytes = Some(each(self.data_bytes.saturating_add(self.index_bytes)));
            self.record_bytes = Some(record);
            self.row_bytes_by_definition = false;
        } else {
            self.row_bytes = by_definition.map(|(row, _)| row);
            self.record_bytes = by_definition.map(|(_, record)| record);
            self.row_bytes_by_definition = by_definition.is_some();
        }
    }
}

impl Measured {
    /// The table that has the most rows after so many years: a plan goes by it.
    pub fn largest(&self, years: u32) -> Option<&MeasuredTable> {
        self.tables
            .iter()
            .max_by_key(|table| (table.rows_after(years), table.rows))
    }
}

/// What was counted by a column that says when a row came to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Created {
    /// The column.
    pub column: String,
    /// The oldest value.
    pub oldest: Option<Date>,
    /// Rows of the last year.
    pub last_year: u64,
    /// Rows of the year before it.
    pub year_before: u64,
    /// Whether the rows were found by looking up ids, not counted.
    pub by_ids: bool,
}

impl Created {
    /// The same of two physical tables of one logical table.
    #[must_use]
    pub fn and(self, other: Created) -> Created {
        Created {
            oldest: match (self.oldest, other.oldest) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
            last_year: self.last_year.saturating_add(other.last_year),
            year_before: self.year_before.saturating_add(other.year_before),
            by_ids: self.by_ids || other.by_ids,
            column: self.column,
        }
    }

    /// The growth it shows, seen from this day.
    pub fn growth(&self, as_of: Date) -> Growth {
        let column = &self.column;
        let Some(oldest) = self.oldest else {
            return Growth::unknown(format!("no row has a date in `{column}`"));
        };
        let days = days(oldest, as_of);
        if days < CREATED_DAYS_MIN {
            return Growth::unknown(format!(
                "the oldest row by `{column}` is of {oldest}: that is too short a time"
            ));
        }
        let whole_year = days >= 365;
        let rows_per_year = match whole_year {
            true => self.last_year,
            false => (self.last_year as f64 * YEAR_DAYS / f64::from(days)).round() as u64,
        };
        let basis_points = (days >= 730 && self.year_before > 0).then(|| {
            let ratio = self.last_year as f64 / self.year_before as f64;
            ((ratio - 1.0) * 10_000.0).round() as i64
        });
        let sure = match (whole_year, self.by_ids, days) {
            (true, false, _) => Sure::Good,
            (true, true, _) | (false, _, CREATED_DAYS_FAIR..) => Sure::Fair,
            (false, ..) => Sure::Poor,
        };
        Growth {
            rows_per_year: Some(rows_per_year),
            basis_points,
            sure,
            from: format!(
                "{} `{column}`, since {oldest}",
                match self.by_ids {
                    true => "ids looked up by",
                    false => "rows counted by",
                }
            ),
        }
    }
}

/// What the next id of a table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutoIncrement {
    /// The next id.
    pub next: u64,
    /// The day the table was made or last rebuilt, where the server knows it.
    pub made: Option<Date>,
}

/// The growth that the ids of all physical tables of a logical table show.
pub fn growth_by_ids(tables: &[AutoIncrement], as_of: Date) -> Growth {
    let used: u64 = tables
        .iter()
        .map(|table| table.next.saturating_sub(1))
        .fold(0, u64::saturating_add);
    let made = tables.iter().map(|table| table.made).min().flatten();
    let Some(made) = made else {
        return Growth::unknown("the server does not say when the table was made");
    };
    let age = days(made, as_of);
    if age < MADE_DAYS_MIN {
        return Growth::unknown(format!(
            "AUTO_INCREMENT has given {used} ids, but the table was made or rebuilt on {made}: \
             that is too short a time"
        ));
    }
    Growth {
        rows_per_year: Some((used as f64 * YEAR_DAYS / f64::from(age)).round() as u64),
        basis_points: None,
        sure: Sure::Poor,
        from: format!(
            "AUTO_INCREMENT: {used} ids since the table was made or rebuilt on {made}; too many \
             where it was rebuilt, or ids were left out"
        ),
    }
}

/// The growth between an earlier measurement and this one.
pub fn growth_by_history(earlier: (Date, u64), rows: u64, as_of: Date) -> Growth {
    let (taken, before) = earlier;
    let days = days(taken, as_of);
    if days < 1 {
        return Growth::unknown(format!(
            "the stored history starts on {taken}: that is too short a time"
        ));
    }
    let more = rows.saturating_sub(before);
    Growth {
        rows_per_year: Some((more as f64 * YEAR_DAYS / f64::from(days)).round() as u64),
        basis_points: None,
        sure: match days {
            HISTORY_DAYS_FAIR.. => Sure::Fair,
            _ => Sure::Poor,
        },
        from: format!("stored history: {before} rows on {taken}"),
    }
}

fn days(from: Date, to: Date) -> i32 {
    from.until(to).map_or(0, |span| span.get_days())
}

/// The column that says when a row came to be: by its name, the surest first.
pub fn creation_column(table: &TableDef) -> Option<&str> {
    const SURE: [&str; 6] = [
        "create",
        "gmtcreate",
        "creat",
        "insert",
        "register",
        "added",
    ];
    const OTHER: [&str; 12] = [
        "update", "modif", "delete", "last", "expire", "valid", "login", "end", "due", "birth",
        "change", "paid",
    ];
    let dates = || {
        table
            .columns
            .iter()
            .filter(|column| is_date(&column.kind))
            .map(|column| column.name.as_str())
    };
    let plain = |name: &str| name.to_lowercase().replace('_', "");
    for start in SURE {
        if let Some(name) = dates().find(|name| plain(name).starts_with(start)) {
            return Some(name);
        }
    }
    // `order_time`: only where it is the one of its kind.
    let mut times = dates().filter(|name| {
        let plain = plain(name);
        let is_time = plain.ends_with("time") || plain.ends_with("at") || plain == "ts";
        is_time && !OTHER.iter().any(|word| plain.contains(word))
    });
    match (times.next(), times.next()) {
        (Some(name), None) => Some(name),
        _ => None,
    }
}

/// Whether values of this type say a day.
pub fn is_date(kind: &ColumnType) -> bool {
    matches!(
        kind,
        ColumnType::Date | ColumnType::Datetime { .. } | ColumnType::Timestamp { .. }
    )
}

/// Whether an index starts with the column, so that a range of it is found without reading the
/// table.
pub fn is_indexed(table: &TableDef, column: &str) -> bool {
    let starts = |parts: &[crate::schema::KeyPart]| {
        parts
            .first()
            .is_some_and(|part| part.column.to_lowercase() == column.to_lowercase())
    };
    starts(&table.primary_key)
        || table.indexes.iter().any(|index| {
            matches!(index.kind, IndexKind::Plain | IndexKind::Unique) && starts(&index.parts)
        })
}

/// The one integer column that the primary key starts with and that counts by itself.
pub fn counting_key(table: &TableDef) -> Option<&str> {
    let first = table.primary_key.first()?;
    table
        .column(&first.column)
        .filter(|column| column.auto_increment)
        .map(|column| column.name.as_str())
}

/// The logical table that a physical one belongs to by its name: `orders_03` to `orders`, where
/// there is another of the same.
pub fn logical_name<'a>(name: &'a str, all: &[&str]) -> &'a str {
    let base = |name: &'a str| {
        let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let stem = &name[..name.len() - digits];
        match (digits, stem.strip_suffix('_')) {
            (1.., Some(stem)) if !stem.is_empty() => Some(stem),
            _ => None,
        }
    };
    let Some(stem) = base(name) else {
        return name;
    };
    let is_sibling = |other: &&&str| {
        **other != name
            && other
                .strip_prefix(stem)
                .and_then(|rest| rest.strip_prefix('_'))
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    match all.iter().find(is_sibling) {
        Some(_) => stem,
        None => name,
    }
}

/// An earlier measurement as `check` keeps it: a JSON document on each line.
#[derive(Debug, Clone, serde::Deserialize)]
struct Snapshot {
    taken_at: jiff::Timestamp,
    tables: std::collections::BTreeMap<String, std::collections::BTreeMap<String, Rows>>,
}

#[derive(Debug, Clone, serde::Deserialize)]
struct Rows {
    rows: u64,
}

/// Stored measurements.
#[derive(Debug, Clone, Default)]
pub struct History(Vec<Snapshot>);

impl History {
    /// Reads them.
    ///
    /// # Errors
    /// A line that is none: its number and why.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        text.lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(number, line)| {
                serde_json::from_str(line).map_err(|fault| (number + 1, fault.to_string()))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The day of the oldest measurement of all these physical tables, and their rows.
    pub fn oldest(&self, tables: &[(String, String)]) -> Option<(Date, u64)> {
        self.0
            .iter()
            .filter_map(|snapshot| {
                let rows = tables
                    .iter()
                    .map(|(schema, table)| Some(snapshot.tables.get(schema)?.get(table)?.rows))
                    .try_fold(0u64, |sum, rows| Some(sum.saturating_add(rows?)))?;
                let day = jiff::tz::Offset::UTC.to_datetime(snapshot.taken_at).date();
                Some((day, rows))
            })
            .min()
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::schema::parse::parse_create_table;

    fn created(oldest: Option<Date>, last_year: u64, year_before: u64) -> Growth {
        Created {
            column: "created_at".to_owned(),
            oldest,
            last_year,
            year_before,
            by_ids: false,
        }
        .growth(date(2026, 1, 1))
    }

    #[test]
    fn growth_by_a_creation_column_is_as_sure_as_its_history_is_long() {
        let check = |oldest: Option<Date>, expected: (Option<u64>, Option<i64>, Sure)| {
            let growth = created(oldest, 1_200, 1_000);
            assert_eq!(
                (growth.rows_per_year, growth.basis_points, growth.sure),
                expected,
                "{oldest:?}: {}",
                growth.from
            );
        };
        check(None, (None, None, Sure::Unknown));
        check(Some(date(2025, 12, 30)), (None, None, Sure::Unknown));
        check(Some(date(2025, 12, 2)), (Some(14_610), None, Sure::Poor));
        check(Some(date(2025, 7, 1)), (Some(2_382), None, Sure::Fair));
        check(Some(date(2025, 1, 1)), (Some(1_200), None, Sure::Good));
        check(
            Some(date(2023, 1, 1)),
            (Some(1_200), Some(2_000), Sure::Good),
        );
        check(Some(date(2026, 3, 1)), (None, None, Sure::Unknown));
    }

    #[test]
    fn ids_give_a_rate_only_where_the_table_is_old_enough() {
        let table = |next, made| AutoIncrement {
            next,
            made: Some(made),
        };
        let old = date(2025, 1, 1);
        let growth = growth_by_ids(&[table(366, old), table(366, old)], date(2026, 1, 1));
        assert_eq!((growth.rows_per_year, growth.sure), (Some(731), Sure::Poor));
        let growth = growth_by_ids(&[table(1_001, date(2025, 12, 20))], date(2026, 1, 1));
        assert_eq!(growth.rows_per_year, None);
        assert_eq!(
            growth.from,
            "AUTO_INCREMENT has given 1000 ids, but the table was made or rebuilt on 2025-12-20: \
             that is too short a time"
        );
        let unknown = AutoIncrement {
            next: 10,
            made: None,
        };
        assert_eq!(growth_by_ids(&[unknown], old).sure, Sure::Unknown);
    }

    #[test]
    fn the_creation_column_is_found_by_its_name() {
        let check = |columns: &str, expected: Option<&str>| {
            let table =
                parse_create_table(&format!("CREATE TABLE t (id int PRIMARY KEY, {columns})"))
                    .unwrap();
            assert_eq!(creation_column(&table), expected, "{columns}");
        };
        check(
            "updated_at datetime, created_at datetime",
            Some("created_at"),
        );
        check(
            "gmt_modified datetime, gmt_create datetime",
            Some("gmt_create"),
        );
        check(
            "registeredAt datetime(3), lastLoginAt datetime",
            Some("registeredAt"),
        );
        check(
            "CreateTime timestamp NULL, pay_time datetime",
            Some("CreateTime"),
        );
        check(
            "order_time datetime, update_time datetime",
            Some("order_time"),
        );
        check("order_time datetime, ship_time datetime", None);
        check("created_at bigint", None);
        check("birthday date, name varchar(9)", None);
    }

    #[test]
    fn physical_tables_are_grouped_only_with_siblings() {
        let all = ["orders_00", "orders_01", "log_2016", "t1", "t2", "orders"];
        let check = |name: &str, expected: &str| assert_eq!(logical_name(name, &all), expected);
        check("orders_00", "orders");
        check("orders_01", "orders");
        check("orders", "orders");
        check("log_2016", "log_2016");
        check("t1", "t1");
    }

    #[test]
    fn stored_history_is_read_or_refused_with_its_line() {
        let text = "\
            {\"format\":1,\"cluster\":\"c\",\"taken_at\":\"2025-06-01T00:00:00Z\",\"exact\":true,\
            \"tables\":{\"s\":{\"t_0\":{\"rows\":10,\"bytes\":1},\"t_1\":{\"rows\":20,\"bytes\":1}}}}\n\
            {\"format\":1,\"cluster\":\"c\",\"taken_at\":\"2025-01-01T00:00:00Z\",\"exact\":true,\
            \"tables\":{\"s\":{\"t_0\":{\"rows\":5,\"bytes\":1}}}}\n";
        let history = History::parse(text).unwrap();
        let name = |table: &str| ("s".to_owned(), table.to_owned());
        assert_eq!(history.oldest(&[name("t_0")]), Some((date(2025, 1, 1), 5)));
        assert_eq!(
            history.oldest(&[name("t_0"), name("t_1")]),
            Some((date(2025, 6, 1), 30))
        );
        assert_eq!(history.oldest(&[name("other")]), None);
        assert_eq!(History::parse("\n{}").unwrap_err().0, 2);
        let growth = growth_by_history((date(2025, 7, 1), 1_000), 1_500, date(2026, 1, 1));
        assert_eq!((growth.rows_per_year, growth.sure), (Some(993), Sure::Fair));
    }
}
