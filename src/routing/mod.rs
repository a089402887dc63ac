//! Key to shard.
//!
//! A [`Router`] is made from a logical table once and then answers for any number of keys. One key
//! gives schema and table, which lie contiguous in each schema; where a second key chooses the
//! table, the first gives the schema and the second the table within it.
//!
//! With G schemas of t tables, T = G x t in all, and one key:
//!
//! | function | place | keeps order | in SQL |
//! |---|---|---|---|
//! | `mod`, `crc32` | table = f mod T, schema = table div t | no | integers; `crc32` of any key |
//! | `drds_hash` | table = \|f rem T\|, schema = table div t | no | integers |
//! | `drds_uni_hash` | schema = h mod G, table = schema x t + (h div G) mod t | no | integers |
//! | `range` | schema = the part, t is 1 | yes | yes |
//!
//! With a second key the same functions give schema = f(key) over G and table = schema x t +
//! g(second key) over t.
//!
//! When G doubles and t stays, a row of schema s is in s or in s + G afterwards, half of them each:
//!
//! - `mod`, `crc32`, `drds_hash`, one key: those that stay keep their table; the others go from
//!   table i to i + T.
//! - `drds_uni_hash`, one key: those with an even h div G stay in their schema, but in its table
//!   (h div 2G) mod t; only with t = 1 is that always the table they were in.
//! - two keys: those that stay keep their table; the others go from table i to i + T.
//! - `range`: new bounds split parts, and the parts behind them get new numbers; no part
//!   but the split one loses or wins a row.

pub mod functions;
pub mod skew;
mod sql;
#[cfg(test)]
mod tests;
pub mod traps;

use std::collections::BTreeSet;

use crate::names::{ColumnName, ShardId, TableName};
use crate::rows::key::{KeyType, KeyValue};
use crate::topology::{KeyRule, LogicalTable, Place, ShardFunction, Topology};
use functions::FunctionError;

/// Keys between two bounds that are looked at one by one at the most: far more than there are
/// tables, and still nothing beside one question to a server.
const ENUMERATED_MAX: i128 = 1_000;

/// Why a table or a key cannot be routed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// A broadcast table has its rows in every schema.
    #[error("`{0}` is a broadcast table; its rows are in every schema")]
    Broadcast(String),
    /// The shard key's column has a type that cannot be routed by.
    #[error("column `{column}` of `{table}` has a type that cannot be a shard key")]
    KeyType {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A column whose type the function is not defined for.
    #[error("{function} is not defined for {kind}, the type of `{column}` of `{table}`")]
    Unfit {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The column's type.
        kind: KeyType,
        /// The function's name.
        function: &'static str,
    },
    /// A range function whose bounds do not make as many parts as there are schemas or tables.
    #[error("{bounds} bounds give {} parts, and there are {parts} {what}", bounds + 1)]
    Bounds {
        /// How many bounds there are.
        bounds: usize,
        /// How many parts are needed.
        parts: u32,
        /// What the parts are: schemas or tables in a schema.
        what: &'static str,
    },
    /// A range function alone cannot choose among several tables of a schema.
    #[error("range gives the schema only; `{0}` has several tables in each and no table_key")]
    RangeTables(String),
    /// The second key is needed and was not given.
    #[error("the table within the schema is chosen by `{0}`, which was not given")]
    NoTableKey(String),
    /// The function has no place for the key.
    #[error(transparent)]
    Function(#[from] FunctionError),
}

/// Every table that cannot be routed, with why.
pub fn check(topology: &Topology) -> Vec<(TableName, RouteError)> {
    topology
        .tables
        .values()
        .filter(|table| table.spread.split().is_some())
        .filter_map(|table| {
            let fault = Router::new(topology, table).err()?;
            Some((table.name.clone(), fault))
        })
        .collect()
}

/// Routes the keys of one logical table.
#[derive(Debug, Clone)]
pub struct Router {
    schemas: u32,
    tables_per_schema: u32,
    schema: Rule,
    table: Option<Rule>,
}

/// A key, its type, and its function.
#[derive(Debug, Clone)]
struct Rule {
    column: ColumnName,
    kind: KeyType,
    function: ShardFunction,
}

impl Rule {
    fn new(table: &LogicalTable, rule: &KeyRule) -> Result<Self, RouteError> {
        let kind = table
            .def
            .column(rule.column.as_str())
            .and_then(KeyType::of)
            .ok_or_else(|| RouteError::KeyType {
                table: table.name.to_string(),
                column: rule.column.to_string(),
            })?;
        // Found here, not at the first row: a table that cannot be filled must not be created.
        if !functions::takes(&rule.function, &kind) {
            return Err(RouteError::Unfit {
                table: table.name.to_string(),
                column: rule.column.to_string(),
                kind,
                function: rule.function.name(),
            });
        }
        Ok(Self {
            column: rule.column.clone(),
            kind,
            function: rule.function.clone(),
        })
    }

    fn is_text(&self) -> bool {
        matches!(self.kind, KeyType::Text { .. })
    }

    /// The part of the key among `parts` parts.
    fn part(&self, key: &KeyValue, parts: u32) -> Result<u32, RouteError> {
        Ok(match &self.function {
            ShardFunction::Mod => functions::modulo(key, parts)?,
            ShardFunction::Crc32 => functions::crc32(key, parts)?,
            ShardFunction::DrdsHash => functions::drds_hash(key, self.is_text(), parts)?,
            ShardFunction::DrdsUniHash => functions::drds_uni_hash(key, parts, 1)?.0,
            ShardFunction::Range { bounds } => functions::range(key, bounds)?,
        })
    }

    fn check_bounds(&self, parts: u32, what: &'static str) -> Result<(), RouteError> {
        match &self.function {
            ShardFunction::Range { bounds } if bounds.len() as u64 + 1 != u64::from(parts) => {
                Err(RouteError::Bounds {
                    bounds: bounds.len(),
                    parts,
                    what,
                })
            }
            _ => Ok(()),
        }
    }
}

impl Router {
    /// The router of a table.
    ///
    /// # Errors
    /// It is a broadcast table, a key column's type cannot be routed by or not by this function, or
    /// the bounds of a range do not fit the layout.
    pub fn new(topology: &Topology, table: &LogicalTable) -> Result<Self, RouteError> {
        let split = table
            .spread
            .split()
            .ok_or_else(|| RouteError::Broadcast(table.name.to_string()))?;
        let router = Self {
            schemas: topology.shard_count(),
            tables_per_schema: table.tables_per_schema,
            schema: Rule::new(table, &split.schema)?,
            table: match &split.table {
                Some(rule) => Some(Rule::new(table, rule)?),
                None => None,
            },
        };
        router.schema.check_bounds(router.schemas, "schemas")?;
        match &router.table {
            Some(rule) => rule.check_bounds(router.tables_per_schema, "tables in a schema")?,
            None => {
                let is_range = matches!(router.schema.function, ShardFunction::Range { .. });
                if is_range && router.tables_per_schema > 1 {
                    return Err(RouteError::RangeTables(table.name.to_string()));
                }
            }
        }
        Ok(router)
    }

    /// The shard key's column.
    pub fn schema_column(&self) -> &ColumnName {
        &self.schema.column
    }

    /// The shard key's type.
    pub fn schema_key_type(&self) -> &KeyType {
        &self.schema.kind
    }

    /// The column of the second key, where there is one.
    pub fn table_column(&self) -> Option<&ColumnName> {
        self.table.as_ref().map(|rule| &rule.column)
    }

    /// The type of the second key, where there is one.
    pub fn table_key_type(&self) -> Option<&KeyType> {
        self.table.as_ref().map(|rule| &rule.kind)
    }

    /// The one place of a row with this key. `table_key` is looked at only where a second key
    /// chooses the table.
    ///
    /// # Errors
    /// The function has no place for the key, or the second key is missing.
    pub fn place(&self, key: &KeyValue, table_key: Option<&KeyValue>) -> Result<Place, RouteError> {
        let per_schema = self.tables_per_schema;
        let (shard, number) = match (&self.table, &self.schema.function) {
            (Some(rule), _) => {
                let second =
                    table_key.ok_or_else(|| RouteError::NoTableKey(rule.column.to_string()))?;
                let shard = self.schema.part(key, self.schemas)?;
                (shard, shard * per_schema + rule.part(second, per_schema)?)
            }
            (None, ShardFunction::DrdsUniHash) => {
                let (shard, table) = functions::drds_uni_hash(key, self.schemas, per_schema)?;
                (shard, shard * per_schema + table)
            }
            (None, ShardFunction::Range { .. }) => {
                let shard = self.schema.part(key, self.schemas)?;
                (shard, shard)
            }
            (None, _) => {
                let number = self.schema.part(key, self.schemas * per_schema)?;
                (number / per_schema, number)
            }
        };
        Ok(Place {
            shard: ShardId(shard),
            table: number,
        })
    }

    /// The shard of a row with this key, whatever its second key.
    ///
    /// # Errors
    /// The function has no place for the key.
    pub fn shard(&self, key: &KeyValue) -> Result<ShardId, RouteError> {
        match &self.table {
            Some(_) => Ok(ShardId(self.schema.part(key, self.schemas)?)),
            None => Ok(self.place(key, None)?.shard),
        }
    }

    /// The physical tables, by number, that can hold rows with this value in `column`; `None`
    /// where the column decides nothing.
    ///
    /// # Errors
    /// The function has no place for the value.
    pub fn tables_with(
        &self,
        column: &str,
        key: &KeyValue,
    ) -> Option<Result<Vec<u32>, RouteError>> {
        let per_schema = self.tables_per_schema;
        if self.schema.column.is(column) {
            return Some(match &self.table {
                None => self.place(key, None).map(|place| vec![place.table]),
                Some(rule) if rule.column.is(column) => {
                    self.place(key, Some(key)).map(|place| vec![place.table])
                }
                Some(_) => self.shard(key).map(|shard| {
                    let first = shard.0 * per_schema;
                    (first..first + per_schema).collect()
                }),
            });
        }
        let rule = self.table.as_ref().filter(|rule| rule.column.is(column))?;
        Some(rule.part(key, per_schema).map(|local| {
            (0..self.schemas)
                .map(|shard| shard * per_schema + local)
                .collect()
        }))
    }

    /// The physical tables, by number, that can hold rows whose shard key lies between these
    /// bounds, both included; `None` where that cannot be said: the function does not keep order
    /// and there are too many keys between the bounds to look at each.
    pub fn tables_between(
        &self,
        column: &str,
        low: Option<i128>,
        high: Option<i128>,
    ) -> Option<Vec<u32>> {
        if !self.schema.column.is(column) {
            return None;
        }
        let (least, greatest) = self.schema.kind.bounds()?;
        let per_schema = self.tables_per_schema;
        if let ShardFunction::Range { bounds } = &self.schema.function {
            let part = |value: i128| bounds.partition_point(|bound| *bound <= value) as u32;
            let first = low.map_or(0, part);
            let last = high.map_or(self.schemas - 1, part);
            return Some(if first > last {
                Vec::new()
            } else {
                (first * per_schema..(last + 1) * per_schema).collect()
            });
        }
        let low = low.map_or(least, |low| low.max(least));
        let high = high.map_or(greatest, |high| high.min(greatest));
        if high.checked_sub(low)? >= ENUMERATED_MAX {
            return None;
        }
        let mut tables = BTreeSet::new();
        for number in low..=high {
            tables.extend(self.tables_with(column, &KeyValue::Integer(number))?.ok()?);
        }
        Some(tables.into_iter().collect())
    }

    /// The type of a key column, the first or the second.
    pub fn key_type(&self, column: &str) -> Option<&KeyType> {
        if self.schema.column.is(column) {
            return Some(&self.schema.kind);
        }
        self.table
            .as_ref()
            .filter(|rule| rule.column.is(column))
            .map(|rule| &rule.kind)
    }
}
