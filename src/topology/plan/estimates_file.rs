//! A file of estimates: what the flags of `plan` say, to be kept and reviewed.
//!
//! ```yaml
//! start: 2016-01-01
//! horizon: 5y
//! rows_per_year: 13M          # of the entity; or by year: [13M, 15M, 20M]
//! growth: 20%                 # or +2M
//! limits:
//!   disk_per_instance: 500G
//!   headroom: 20%
//! tables:
//!   member: 1                 # rows for each of the entity
//!   member_address: { ratio: 1.4, row_bytes: 251 }
//!   login: { per: member_address, ratio: 20, retention: 90d }
//!   orders: 40M               # rows a year of its own
//! ```

use std::fmt;
use std::str::FromStr;

use indexmap::IndexMap;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_yaml::Spanned;

use super::amount::{TableShare, day, headroom, whole};
use super::given::{Estimates, TableGiven};
use super::quantity::{Count, Size};
use crate::names::TableName;
use crate::topology::file::scalar::{Scalar, Text, TextVisitor};
use crate::topology::file::{At, Checker, Entries, Placed, Problems, shape_problem};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct EstimatesFile {
    start: Scalar,
    #[serde(alias = "years")]
    horizon: Scalar,
    instances: Scalar,
    schemas: Scalar,
    rows_per_year: Scalar,
    start_rows: Scalar,
    growth: Scalar,
    retention: Scalar,
    row_bytes: Scalar,
    records_per_user: Scalar,
    move_rate: Scalar,
    page_fill: Scalar,
    #[serde(default)]
    limits: LimitsEntry,
    #[serde(default)]
    tables: Entries<Spanned<TableEntry>>,
}

#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct LimitsEntry {
    rows_per_table: Scalar,
    bytes_per_table: Scalar,
    disk_per_instance: Scalar,
    schemas_per_instance: Scalar,
    tables_per_instance: Scalar,
    headroom: Scalar,
}

/// A table: its share alone, or what is known of it.
enum TableEntry {
    Share(Text),
    Given(Box<GivenEntry>),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenEntry {
    ratio: Scalar,
    per: Scalar,
    rows_per_year: Scalar,
    start_rows: Scalar,
    growth: Scalar,
    retention: Scalar,
    row_bytes: Scalar,
}

impl<'de> Deserialize<'de> for TableEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;
        impl<'de> Visitor<'de> for Entry {
            type Value = TableEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a ratio, rows a year, or a mapping")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TableEntry, E> {
                TextVisitor.visit_str(text).map(TableEntry::Share)
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<TableEntry, E> {
                TextVisitor.visit_u64(number).map(TableEntry::Share)
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<TableEntry, E> {
                TextVisitor.visit_i64(number).map(TableEntry::Share)
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<TableEntry, E> {
                TextVisitor.visit_f64(number).map(TableEntry::Share)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TableEntry, A::Error> {
                GivenEntry::deserialize(MapAccessDeserializer::new(map))
                    .map(|given| TableEntry::Given(Box::new(given)))
            }
        }
        deserializer.deserialize_any(Entry)
    }
}

/// Reads a file of estimates.
///
/// # Errors
/// Everything that is wrong in it, each with line and column.
pub fn parse(text: &str) -> Result<Estimates, Problems> {
    let options = serde_yaml::options! {
        with_snippet: false,
    };
    let file: EstimatesFile = serde_yaml::from_str_with_options(text, options)
        .map_err(|error| Problems::one(shape_problem(&error)))?;
    let mut checker = Checker::default();
    let estimates = estimates(&mut checker, &file);
    checker.finish(Some(estimates))
}

fn estimates(checker: &mut Checker, file: &EstimatesFile) -> Estimates {
    let count = |Count(count)| count;
    let size = |Size(size)| size;
    let limits = &file.limits;
    Estimates {
        start: checker.read_by(day, &file.start, "start"),
        horizon: checker.read(&file.horizon, "horizon"),
        instances: checker.read_by(whole, &file.instances, "instances"),
        schemas: checker.read_by(whole, &file.schemas, "schemas"),
        rows_per_year: checker.read(&file.rows_per_year, "rows_per_year"),
        start_rows: checker.read(&file.start_rows, "start_rows").map(count),
        growth: checker.read(&file.growth, "growth"),
        retention: checker.read(&file.retention, "retention"),
        row_bytes: checker.read(&file.row_bytes, "row_bytes").map(size),
        records_per_user: checker.read_by(whole, &file.records_per_user, "records_per_user"),
        move_rate: checker.read(&file.move_rate, "move_rate").map(size),
        page_fill: checker
            .read(&file.page_fill, "page_fill")
            .map(|PageFill(fill)| fill),
        rows_per_table: checker
            .read(&limits.rows_per_table, "rows_per_table")
            .map(count),
        bytes_per_table: checker
            .read(&limits.bytes_per_table, "bytes_per_table")
            .map(size),
        disk_per_instance: checker
            .read(&limits.disk_per_instance, "disk_per_instance")
            .map(size),
        schemas_per_instance: checker.read_by(
            whole,
            &limits.schemas_per_instance,
            "schemas_per_instance",
        ),
        tables_per_instance: checker
            .read(&limits.tables_per_instance, "tables_per_instance")
            .map(count),
        headroom: checker.read_by(headroom, &limits.headroom, "headroom"),
        tables: tables(checker, &file.tables),
    }
}

fn tables(
    checker: &mut Checker,
    entries: &Entries<Spanned<TableEntry>>,
) -> IndexMap<TableName, TableGiven> {
    let mut tables = IndexMap::new();
    for (name, entry) in &entries.0 {
        let Some(table) = checker.take(name.at(), TableName::new(name.value.as_str())) else {
            continue;
        };
        let given = match &entry.value {
            TableEntry::Share(text) => share(checker, entry.at(), &table, text),
            TableEntry::Given(given) => table_given(checker, entry.at(), given),
        };
        if let (Some(per), TableEntry::Given(entry)) = (&given.per, &entry.value)
            && !tables.contains_key(per)
        {
            let at = entry.per.as_ref().map_or(name.at(), Spanned::at);
            checker.wrong(
                at,
                format!("per: no table `{per}` is given before this one"),
            );
        }
        tables.insert(table, given);
    }
    tables
}

fn share(checker: &mut Checker, at: At, table: &TableName, text: &Text) -> TableGiven {
    let mut given = Estimates::default();
    let share: Option<TableShare> = checker.take(at, format!("{table}={}", text.0).parse());
    if let Some(share) = share {
        given.add_share(TableShare {
            table: table.clone(),
            share: share.share,
        });
    }
    given.tables.swap_remove(table).unwrap_or_default()
}

fn table_given(checker: &mut Checker, at: At, entry: &GivenEntry) -> TableGiven {
    let given = TableGiven {
        ratio: checker.read(&entry.ratio, "ratio"),
        per: checker.read(&entry.per, "per"),
        rows_per_year: checker.read(&entry.rows_per_year, "rows_per_year"),
        start_rows: checker
            .read(&entry.start_rows, "start_rows")
            .map(|Count(rows)| rows),
        growth: checker.read(&entry.growth, "growth"),
        retention: checker.read(&entry.retention, "retention"),
        row_bytes: checker
            .read(&entry.row_bytes, "row_bytes")
            .map(|Size(bytes)| bytes),
    };
    if entry.ratio.is_some() && entry.rows_per_year.is_some() {
        checker.wrong(at, "a table has `ratio` or `rows_per_year`, not both");
    }
    if entry.per.is_some() && entry.ratio.is_none() {
        checker.wrong(at, "`per` needs a `ratio`");
    }
    given
}

/// How full pages are, in percent: InnoDB keeps them at least half full, and leaves 1/16 free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageFill(pub u8);

impl FromStr for PageFill {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.trim().trim_end_matches('%').trim_end();
        match number.parse() {
            Ok(fill @ 50..=94) => Ok(Self(fill)),
            _ => Err(format!(
                "`{text}` is no fill of pages; write 50 (worst) to 94 (rebuilt) percent"
            )),
        }
    }
}

impl Checker {
    fn read<T: FromStr>(&mut self, scalar: &Scalar, key: &str) -> Option<T>
    where
        T::Err: fmt::Display,
    {
        self.read_by(T::from_str, scalar, key)
    }

    fn read_by<T, E: fmt::Display>(
        &mut self,
        parse: impl Fn(&str) -> Result<T, E>,
        scalar: &Scalar,
        key: &str,
    ) -> Option<T> {
        let scalar = scalar.as_ref()?;
        let value = parse(&scalar.value.0).map_err(|fault| format!("{key}: {fault}"));
        self.take(scalar.at(), value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::amount::{Growth, Ratio, Yearly};
    use super::*;

    #[test]
    fn a_file_says_what_the_flags_say() {
        let file = parse(
            "start: 2016-01-01\nhorizon: 60mo\ninstances: 2\nrows_per_year: [13M, 15M, 20000000]\n\
             growth: +2M\nrow_bytes: 200\nlimits: { disk_per_instance: 500G, headroom: 20% }\n\
             tables:\n  member: 1\n  address: { ratio: 1.4, row_bytes: 251 }\n  \
             login: { per: address, ratio: 20, retention: 90d }\n  orders: 40M\n",
        )
        .unwrap();
        assert_eq!(file.horizon.unwrap().to_string(), "60 months");
        assert_eq!(parse("years: 60mo").unwrap().horizon, file.horizon);
        assert_eq!(
            file.rows_per_year,
            Some(Yearly(vec![13_000_000, 15_000_000, 20_000_000]))
        );
        assert_eq!(file.growth, Some(Growth::Linear(2_000_000)));
        assert_eq!(file.disk_per_instance, Some(500 << 30));
        let given: Vec<_> = file.tables.values().collect();
        assert_eq!(given[0].ratio, Some(Ratio::ONE));
        assert_eq!(given[1].row_bytes, Some(251));
        assert_eq!(given[2].per.as_ref().unwrap().as_str(), "address");
        assert_eq!(given[3].rows_per_year, Some(Yearly(vec![40_000_000])));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let problems = |text: &str| parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(problems("rows_per_year: -40M\nhorizon: 500\ninstances: two\nstart: 2016-13-01\nlimits: { headroom: -1% }\ntables:\n  a: { per: a, ratio: 2 }\n  b: { per: a }\n  c: 1.2.3\n  d: { ratio: 1, rows_per_year: 2M }\npage_fill: 20\n"), @r"
        1:16: rows_per_year: `-40M` is less than nothing; write 40M, 5_000_000, 1.5B, 250k or 1e6
        2:10: horizon: `500` is more than the 100 years that can be planned
        3:12: instances: `two` is not a whole number that can be planned; write 1, 2 or 16
        4:8: start: `2016-13-01` is not a day of the calendar; write 2016-01-31
        5:21: headroom: `-1%` is less than nothing; write 0, 20 or 7.5%
        7:13: per: no table `a` is given before this one
        8:6: `per` needs a `ratio`
        9:6: `1.2.3` is not a ratio; write 1, 1.4 or 0.09
        10:6: a table has `ratio` or `rows_per_year`, not both
        11:12: page_fill: `20` is no fill of pages; write 50 (worst) to 94 (rebuilt) percent
        ");
        insta::assert_snapshot!(problems("rows_a_year: 40M\n"), @"1:1: unknown key `rows_a_year`; did you mean `rows_per_year`?");
        insta::assert_snapshot!(problems("tables: { a: [1, 2] }\n"), @"1:11: invalid type: sequence, expected a ratio, rows a year, or a mapping");
        insta::assert_snapshot!(problems("tables: { a: { ration: 2 } }\n"), @"1:16: unknown key `ration`; did you mean `ratio`?");
        insta::assert_snapshot!(problems("start: 2016-01-01\nstart: 2016-01-01\n"), @"2:1: the key `start` is there twice");
        insta::assert_snapshot!(problems("rows_per_year: { a: 1 }\n"), @"1:16: invalid type: map, expected a number or a text");
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "(\\PC|\n){0,40}|((start|growth|rows_per_year|tables|limits): ?[-0-9a-z%,.{}:\\[\\] ]{0,12}\n){0,4}") {
            let _ = parse(&text);
        }
    }
}
