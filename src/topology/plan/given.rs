//! What was given, by flags and by a file, and the [`Estimate`] it amounts to.

use indexmap::IndexMap;
use jiff::civil::Date;

use super::amount::{Growth, Percent, Period, Ratio, Share, TableShare, Yearly};
use super::limits::{Limits, ROWS_PER_TABLE};
use super::{Estimate, MOVE_RATE, TableEstimate, listed};
use crate::names::TableName;

/// Everything that can be given; what is `None` was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Estimates {
    /// The day the first year starts.
    pub start: Option<Date>,
    /// How far to plan ahead.
    pub horizon: Option<Period>,
    /// Servers to start with.
    pub instances: Option<u32>,
    /// Schemas in all.
    pub schemas: Option<u32>,
    /// Rows a year of the entity that ratios are of, or of the one table that stands for all.
    pub rows_per_year: Option<Yearly>,
    /// Rows of it that are there already.
    pub start_rows: Option<u64>,
    /// How much more each further year brings.
    pub growth: Option<Growth>,
    /// How long rows are kept.
    pub retention: Option<Period>,
    /// Bytes of a row with its share of the indexes.
    pub row_bytes: Option<u64>,
    /// Records that a user has in the largest table.
    pub records_per_user: Option<u32>,
    /// Bytes that a split or move copies in a second.
    pub move_rate: Option<u64>,
    /// How full pages are, in percent.
    pub page_fill: Option<u8>,
    /// Rows to a table.
    pub rows_per_table: Option<u64>,
    /// Bytes to a table.
    pub bytes_per_table: Option<u64>,
    /// Bytes of disk of an instance.
    pub disk_per_instance: Option<u64>,
    /// Schemas of an instance.
    pub schemas_per_instance: Option<u32>,
    /// Physical tables of an instance.
    pub tables_per_instance: Option<u64>,
    /// What is to stay free.
    pub headroom: Option<Percent>,
    /// What is given of single tables.
    pub tables: IndexMap<TableName, TableGiven>,
}

/// What is given of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableGiven {
    /// Rows for each row of `per`.
    pub ratio: Option<Ratio>,
    /// The table that the ratio is of; the entity where it is `None`.
    pub per: Option<TableName>,
    /// Rows a year.
    pub rows_per_year: Option<Yearly>,
    /// Rows that are there already.
    pub start_rows: Option<u64>,
    /// How much more each further year brings.
    pub growth: Option<Growth>,
    /// How long rows are kept.
    pub retention: Option<Period>,
    /// Bytes of a row with its share of the indexes.
    pub row_bytes: Option<u64>,
}

/// A table whose definition is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownTable {
    /// Its name.
    pub name: TableName,
    /// The table that it holds a copy of, split by another key.
    pub index_of: Option<TableName>,
    /// Whether it has the same rows in each schema.
    pub broadcast: bool,
    /// Bytes of a row with its share of the indexes, by its definition.
    pub row_bytes: u64,
    /// Bytes of the row itself.
    pub record_bytes: u64,
}

/// Why what was given amounts to no estimate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GivenError {
    /// Nothing to plan for.
    #[error("nothing says how many rows come")]
    NoRows,
    /// A ratio of an entity that was not given.
    #[error("the ratio of `{0}` has nothing to be a ratio of")]
    NoEntity(TableName),
    /// A table the files do not have.
    #[error("there is no table `{name}`{hint}")]
    UnknownTable {
        /// The name.
        name: TableName,
        /// The nearest name there is.
        hint: String,
    },
    /// Broadcast tables are the same everywhere.
    #[error("`{0}` is a broadcast table: it has the same rows in each schema and is not split")]
    Broadcast(TableName),
    /// Some tables were given and others were not.
    #[error("nothing says how many rows {} get", listed(.0))]
    Missing(Vec<TableName>),
    /// Too many to count.
    #[error("the rows of `{0}` are too many to count")]
    TooMany(TableName),
    /// A table of a file of estimates that names a later table, or itself.
    #[error("`{table}` has a ratio of `{per}`, which is not given before it")]
    LaterTable {
        /// The table.
        table: TableName,
        /// What its ratio is of.
        per: TableName,
    },
}

impl GivenError {
    /// What to do about it.
    pub fn advice(&self) -> String {
        match self {
            GivenError::NoRows => {
                "say --rows-per-year 40M, --table NAME=40M for each table, or --estimates FILE"
                    .to_owned()
            }
            GivenError::NoEntity(_) => {
                "say the entity's rows with --rows-per-year 13M, or the table's own with \
                 --table NAME=40M"
                    .to_owned()
            }
            GivenError::UnknownTable { .. } => {
                "name the tables as the file of --tables does".to_owned()
            }
            GivenError::Broadcast(_) => "leave it out".to_owned(),
            GivenError::Missing(tables) => {
                let flags: Vec<String> = tables
                    .iter()
                    .take(4)
                    .map(|table| format!("--table {table}=1.4"))
                    .collect();
                format!("say {}, or =0 for one that stays small", flags.join(" "))
            }
            GivenError::TooMany(_) => "give a smaller ratio, or fewer rows".to_owned(),
            GivenError::LaterTable { .. } => {
                "put the table that others are counted by first".to_owned()
            }
        }
    }
}

impl Estimates {
    /// What was given here, and of the other what was not.
    #[must_use]
    pub fn or(mut self, other: Estimates) -> Estimates {
        let tables = std::mem::take(&mut self.tables);
        let mut both = other.tables;
        for (name, given) in tables {
            // A share given here is in place of the other's, whichever way that was written.
            let known = both.entry(name).or_default();
            let shared = given.ratio.is_some() || given.rows_per_year.is_some();
            *known = TableGiven {
                ratio: if shared { given.ratio } else { known.ratio },
                per: if shared { given.per } else { known.per.take() },
                rows_per_year: if shared {
                    given.rows_per_year
                } else {
                    known.rows_per_year.take()
                },
                start_rows: given.start_rows.or(known.start_rows),
                growth: given.growth.or(known.growth),
                retention: given.retention.or(known.retention),
                row_bytes: given.row_bytes.or(known.row_bytes),
            };
        }
        Estimates {
            start: self.start.or(other.start),
            horizon: self.horizon.or(other.horizon),
            instances: self.instances.or(other.instances),
            schemas: self.schemas.or(other.schemas),
            rows_per_year: self.rows_per_year.or(other.rows_per_year),
            start_rows: self.start_rows.or(other.start_rows),
            growth: self.growth.or(other.growth),
            retention: self.retention.or(other.retention),
            row_bytes: self.row_bytes.or(other.row_bytes),
            records_per_user: self.records_per_user.or(other.records_per_user),
            move_rate: self.move_rate.or(other.move_rate),
            page_fill: self.page_fill.or(other.page_fill),
            rows_per_table: self.rows_per_table.or(other.rows_per_table),
            bytes_per_table: self.bytes_per_table.or(other.bytes_per_table),
            disk_per_instance: self.disk_per_instance.or(other.disk_per_instance),
            schemas_per_instance: self.schemas_per_instance.or(other.schemas_per_instance),
            tables_per_instance: self.tables_per_instance.or(other.tables_per_instance),
            headroom: self.headroom.or(other.headroom),
            tables: both,
        }
    }

    /// Adds a table's share as a flag gives it.
    pub fn add_share(&mut self, share: TableShare) {
        let given = self.tables.entry(share.table).or_default();
        match share.share {
            Share::Ratio(ratio) => {
                (given.ratio, given.rows_per_year) = (Some(ratio), None);
            }
            Share::Rows(rows) => (given.ratio, given.rows_per_year) = (None, Some(rows)),
        }
    }

    /// The estimate that this amounts to, for tables of which these are known. Where no table is
    /// given by name, one stands for all, or each known one is taken to be as large as it.
    ///
    /// # Errors
    /// It is not enough, or does not fit the tables.
    pub fn resolve(&self, known: &[KnownTable], today: Date) -> Result<Estimate, GivenError> {
        let tables = match (self.tables.is_empty(), known.iter().all(|t| t.broadcast)) {
            (true, true) => vec![self.sole_table()?],
            (true, false) => known
                .iter()
                .filter(|table| !table.broadcast)
                .map(|table| {
                    let mut estimate = self.sole_table()?;
                    estimate.name = Some(table.name.clone());
                    self.size(&mut estimate, None, Some(table));
                    Ok(estimate)
                })
                .collect::<Result<_, _>>()?,
            (false, _) => self.named_tables(known)?,
        };
        let no_names = self.tables.is_empty() && known.is_empty();
        // A default that is within bounds.
        let two_years = || Period::years(2).map_err(|_| GivenError::NoRows);
        Ok(Estimate {
            start: self.start.unwrap_or(today),
            horizon: self.horizon.map_or_else(two_years, Ok)?,
            tables,
            broadcast_tables: known.iter().filter(|table| table.broadcast).count() as u32,
            instances: self.instances.unwrap_or(2),
            schemas: self.schemas,
            limits: Limits {
                rows_per_table: self.rows_per_table.unwrap_or(ROWS_PER_TABLE),
                bytes_per_table: self.bytes_per_table,
                disk_per_instance: self.disk_per_instance,
                schemas_per_instance: self.schemas_per_instance,
                tables_per_instance: self.tables_per_instance,
                headroom_basis_points: self.headroom.unwrap_or_default(),
            },
            records_per_user: self.records_per_user.or(no_names.then_some(3)),
            move_bytes_per_second: self.move_rate.unwrap_or(MOVE_RATE),
        })
    }

    fn sole_table(&self) -> Result<TableEstimate, GivenError> {
        if self.rows_per_year.is_none() && self.start_rows.is_none() {
            return Err(GivenError::NoRows);
        }
        Ok(TableEstimate {
            name: None,
            start_rows: self.start_rows.unwrap_or(0),
            rows_per_year: self
                .rows_per_year
                .as_ref()
                .map_or_else(Vec::new, |y| y.0.clone()),
            growth: self.growth.unwrap_or(Growth::NONE),
            retention: self.retention,
            row_bytes: self.row_bytes,
            record_bytes: None,
        })
    }

    /// Sizes of a row: as measured and given for the table, as given for all, or by its definition.
    fn size(
        &self,
        estimate: &mut TableEstimate,
        given: Option<&TableGiven>,
        known: Option<&KnownTable>,
    ) {
        estimate.row_bytes = given
            .and_then(|given| given.row_bytes)
            .or(self.row_bytes)
            .or(known.map(|known| known.row_bytes));
        estimate.record_bytes = known.map(|known| known.record_bytes);
    }

    fn named_tables(&self, known: &[KnownTable]) -> Result<Vec<TableEstimate>, GivenError> {
        for name in self.tables.keys().filter(|_| !known.is_empty()) {
            match known.iter().find(|table| table.name == *name) {
                Some(table) if table.broadcast => {
                    return Err(GivenError::Broadcast(name.clone()));
                }
                Some(_) => {}
                None => {
                    return Err(GivenError::UnknownTable {
                        name: name.clone(),
                        hint: nearest(name, known),
                    });
                }
            }
        }
        let mut tables: IndexMap<TableName, TableEstimate> = IndexMap::new();
        for (name, given) in &self.tables {
            let table = self.named_table(name, given, &tables)?;
            tables.insert(name.clone(), table);
        }
        let mut missing = Vec::new();
        for table in known.iter().filter(|table| !table.broadcast) {
            if tables.contains_key(&table.name) {
                continue;
            }
            // The same rows as the table it copies.
            match table.index_of.as_ref().and_then(|base| tables.get(base)) {
                Some(base) => {
                    let copy = TableEstimate {
                        name: Some(table.name.clone()),
                        ..base.clone()
                    };
                    tables.insert(table.name.clone(), copy);
                }
                // It comes with its base.
                None if table.index_of.is_some() => {}
                None => missing.push(table.name.clone()),
            }
        }
        if !missing.is_empty() {
            return Err(GivenError::Missing(missing));
        }
        for (name, table) in &mut tables {
            let known = known.iter().find(|known| known.name == *name);
            self.size(table, self.tables.get(name), known);
        }
        Ok(tables.into_values().collect())
    }

    fn named_table(
        &self,
        name: &TableName,
        given: &TableGiven,
        before: &IndexMap<TableName, TableEstimate>,
    ) -> Result<TableEstimate, GivenError> {
        let entity;
        let base = match (&given.rows_per_year, &given.per) {
            (Some(_), _) => None,
            (None, Some(per)) => Some(before.get(per).ok_or_else(|| GivenError::LaterTable {
                table: name.clone(),
                per: per.clone(),
            })?),
            (None, None) if given.ratio.is_none() && given.start_rows.is_some() => None,
            (None, None) => {
                entity = self
                    .sole_table()
                    .map_err(|_| GivenError::NoEntity(name.clone()))?;
                Some(&entity)
            }
        };
        let ratio = given.ratio.unwrap_or(Ratio::ONE);
        let times = |rows: u64| {
            ratio
                .times(rows)
                .ok_or_else(|| GivenError::TooMany(name.clone()))
        };
        let (rows_per_year, start_rows, growth, retention) = match base {
            None => {
                let rows = given.rows_per_year.as_ref().map(|rows| rows.0.clone());
                (rows.unwrap_or_default(), 0, self.growth, self.retention)
            }
            Some(base) => (
                base.rows_per_year
                    .iter()
                    .map(|rows| times(*rows))
                    .collect::<Result<_, _>>()?,
                times(base.start_rows)?,
                Some(match base.growth {
                    Growth::Linear(rows) => Growth::Linear(times(rows)?),
                    compound => compound,
                }),
                base.retention,
            ),
        };
        Ok(TableEstimate {
            name: Some(name.clone()),
            start_rows: given.start_rows.unwrap_or(start_rows),
            rows_per_year,
            growth: given.growth.or(growth).unwrap_or(Growth::NONE),
            retention: given.retention.or(retention),
            row_bytes: None,
            record_bytes: None,
        })
    }
}

fn nearest(name: &TableName, known: &[KnownTable]) -> String {
    let names: Vec<&str> = known.iter().map(|table| table.name.as_str()).collect();
    crate::topology::file::nearest(name.as_str(), &names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> TableName {
        TableName::new(text).unwrap()
    }

    fn given(rows: Option<&str>, shares: &[&str]) -> Estimates {
        let mut given = Estimates {
            rows_per_year: rows.map(|rows| rows.parse().unwrap()),
            ..Estimates::default()
        };
        for share in shares {
            given.add_share(share.parse().unwrap());
        }
        given
    }

    fn known(name_: &str, index_of: Option<&str>, broadcast: bool) -> KnownTable {
        KnownTable {
            name: name(name_),
            index_of: index_of.map(name),
            broadcast,
            row_bytes: 200,
            record_bytes: 100,
        }
    }

    fn resolved(
        given: &Estimates,
        known: &[KnownTable],
    ) -> Result<Vec<(String, Vec<u64>)>, String> {
        let estimate = given
            .resolve(known, jiff::civil::date(2016, 1, 1))
            .map_err(|fault| fault.to_string())?;
        Ok(estimate
            .tables
            .into_iter()
            .map(|table| {
                let name = table.name.map_or("-".to_owned(), |name| name.to_string());
                (name, table.rows_per_year)
            })
            .collect())
    }

    fn row(name: &str, rows: &[u64]) -> (String, Vec<u64>) {
        (name.to_owned(), rows.to_vec())
    }

    #[test]
    fn ratios_are_of_the_entity_and_rows_are_the_tables_own() {
        let given = given(Some("10M,20M"), &["member=1", "address=1.4", "log=90M"]);
        assert_eq!(
            resolved(&given, &[]),
            Ok(vec![
                row("member", &[10_000_000, 20_000_000]),
                row("address", &[14_000_000, 28_000_000]),
                row("log", &[90_000_000]),
            ])
        );
    }

    #[test]
    fn an_index_table_has_the_rows_of_its_base_and_a_broadcast_table_none() {
        let tables = [
            known("member", None, false),
            known("account", None, false),
            known("account_name", Some("account"), false),
            known("region", None, true),
        ];
        let given = given(Some("10"), &["member=1", "account=3"]);
        assert_eq!(
            resolved(&given, &tables),
            Ok(vec![
                row("member", &[10]),
                row("account", &[30]),
                row("account_name", &[30])
            ])
        );
    }

    #[test]
    fn what_does_not_fit_the_tables_is_said() {
        let tables = [
            known("member", None, false),
            known("account", None, false),
            known("region", None, true),
        ];
        let refused = |rows: Option<&str>, shares: &[&str], expected: &str| {
            assert_eq!(
                resolved(&given(rows, shares), &tables).unwrap_err(),
                expected
            );
        };
        refused(None, &[], "nothing says how many rows come");
        refused(
            None,
            &["member=1"],
            "the ratio of `member` has nothing to be a ratio of",
        );
        refused(
            Some("10"),
            &["membr=1"],
            "there is no table `membr`; did you mean `member`?",
        );
        refused(
            Some("10"),
            &["member=1"],
            "nothing says how many rows `account` get",
        );
        refused(
            Some("10"),
            &["region=1"],
            "`region` is a broadcast table: it has the same rows in each schema and is not split",
        );
        refused(
            Some("18446744073709551615"),
            &["member=1", "account=2"],
            "the rows of `account` are too many to count",
        );
    }

    #[test]
    fn a_flag_counts_before_the_file() {
        let mut file = given(Some("10"), &["member=1", "account=3"]);
        file.instances = Some(4);
        let mut flags = given(Some("20"), &["account=7"]);
        flags.headroom = Some(Percent(1));
        let both = flags.or(file);
        assert_eq!(both.instances, Some(4));
        assert_eq!(both.headroom, Some(Percent(1)));
        assert_eq!(
            resolved(&both, &[]),
            Ok(vec![row("member", &[20]), row("account", &[140])])
        );
    }
}
