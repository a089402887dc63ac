//! The topology: which instances there are, which schemas lie on them, which logical tables are
//! split over the schemas and how.

pub mod capacity;
pub mod create;
pub mod drift;
pub mod file;
pub mod measured;
pub mod plan;

use std::fmt;
use std::path::PathBuf;

use indexmap::IndexMap;
use serde::Serialize;

use crate::names::{ColumnName, InstanceName, NamePattern, SchemaName, ShardId, TableName};
use crate::schema::TableDef;

/// A topology that has passed every check: what [`Topology`] says holds.
///
/// - There is at least one instance and one schema; each schema is placed on exactly one instance.
/// - Each sharded table's keys are columns of its DDL; each index table's base is a sharded table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// What the fleet is called, `user_center`.
    pub cluster: String,
    /// The instances, in the file's order.
    pub instances: IndexMap<InstanceName, Endpoint>,
    /// The instance that holds jobs and the shard map's history.
    pub control: InstanceName,
    /// The instance on which statements that gather rows run; `None` where a private server does.
    pub scratch: Option<InstanceName>,
    /// What `check` holds the fleet to, as far as the file says.
    pub check: capacity::Thresholds,
    /// How the schemas are named; the number is the shard's.
    pub schema_pattern: NamePattern,
    /// The schemas and their placement, by shard number.
    pub schemas: Vec<Schema>,
    /// The logical tables, in the file's order.
    pub tables: IndexMap<TableName, LogicalTable>,
}

/// A schema and the instance it is placed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Schema {
    /// The schema's name.
    pub name: SchemaName,
    /// The instance it lies on.
    pub instance: InstanceName,
}

/// How an instance is reached. Never holds a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    /// Over TCP.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// Over a unix socket on this machine.
    Socket(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Endpoint::Tcp { host, port } => write!(f, "{host}:{port}"),
            Endpoint::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A table as the application sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalTable {
    /// Its name, `member`.
    pub name: TableName,
    /// How its physical tables are named; the number runs over the whole topology, from 0 to
    /// schemas x tables per schema - 1, contiguous in each schema.
    pub pattern: NamePattern,
    /// Physical tables in each schema.
    pub tables_per_schema: u32,
    /// The name of each physical table, by its number. A broadcast table and a table whose
    /// pattern is a fixed text have the same name in every schema.
    pub physical: Vec<TableName>,
    /// How its rows are spread.
    pub spread: Spread,
    /// What the file vouches for that no server can check.
    pub assumptions: Vec<Assumption>,
    /// The statement as the file has it, for the logical name.
    pub ddl: String,
    /// The same, parsed.
    pub def: TableDef,
}

impl LogicalTable {
    /// Whether each key has the same physical table in both. Definitions may differ.
    pub fn is_spread_as(&self, other: &Self) -> bool {
        self.tables_per_schema == other.tables_per_schema
            && self.physical == other.physical
            && self.spread == other.spread
    }
}

/// How a logical table's rows are spread over the schemas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spread {
    /// Split by a shard key.
    Sharded(Split),
    /// A copy of `base` split by another key (heterogeneous index, lookup table).
    IndexTable {
        /// The table whose rows are copied.
        base: TableName,
        /// How the copy is split.
        split: Split,
    },
    /// The same rows in every schema.
    Broadcast,
}

impl Spread {
    /// The split, where there is one.
    pub fn split(&self) -> Option<&Split> {
        match self {
            Spread::Sharded(split) | Spread::IndexTable { split, .. } => Some(split),
            Spread::Broadcast => None,
        }
    }
}

/// How rows find their schema and table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The shard key and its function. Alone it gives schema and table.
    pub schema: KeyRule,
    /// Where a second key chooses the table within the schema: that key and its function.
    pub table: Option<KeyRule>,
}

/// A column and the function over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRule {
    /// The shard key.
    pub column: ColumnName,
    /// The shard function.
    pub function: ShardFunction,
}

/// The shard functions; `routing` has their arithmetic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShardFunction {
    /// Mathematical modulo of an integer.
    Mod,
    /// CRC-32 of the value's text.
    Crc32,
    /// DRDS / PolarDB-X HASH: remainder first, then absolute value; text by Java's hashCode.
    DrdsHash,
    /// DRDS / PolarDB-X UNI_HASH.
    DrdsUniHash,
    /// Sorted bounds, closed-open: n bounds give n + 1 parts.
    Range {
        /// The bounds, ascending, as integers.
        bounds: Vec<i128>,
    },
}

/// Something the topology vouches for that no server can check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Assumption {
    /// Primary and unique keys without the shard key are unique over all shards all the same: ids
    /// come from a sequence service.
    GlobalKeys,
    /// A text that is a shard key is always written in one spelling, so that no two spellings that
    /// the server takes for equal ever meet.
    OneSpelling,
    /// A text that is a shard key never ends in a space, so that under a `_bin` collation two
    /// texts are equal only where they are the same. `verify` checks it.
    NoTrailingSpaces,
}

impl Assumption {
    /// All of them.
    pub const ALL: [Assumption; 3] = [
        Assumption::GlobalKeys,
        Assumption::OneSpelling,
        Assumption::NoTrailingSpaces,
    ];

    /// The name in `topology.yaml`.
    pub fn name(self) -> &'static str {
        match self {
            Assumption::GlobalKeys => "global_keys",
            Assumption::OneSpelling => "one_spelling",
            Assumption::NoTrailingSpaces => "no_trailing_spaces",
        }
    }
}

impl ShardFunction {
    /// Whether NULL has a place.
    pub fn places_null(&self) -> bool {
        matches!(self, ShardFunction::DrdsHash)
    }

    /// Whether texts that differ in case only have different places.
    pub fn tells_case(&self) -> bool {
        matches!(
            self,
            ShardFunction::Crc32 | ShardFunction::DrdsHash | ShardFunction::DrdsUniHash
        )
    }

    /// The name in `topology.yaml`.
    pub fn name(&self) -> &'static str {
        match self {
            ShardFunction::Mod => "mod",
            ShardFunction::Crc32 => "crc32",
            ShardFunction::DrdsHash => "drds_hash",
            ShardFunction::DrdsUniHash => "drds_uni_hash",
            ShardFunction::Range { .. } => "range",
        }
    }
}

impl Topology {
    /// How many shards, that is schemas, there are.
    pub fn shard_count(&self) -> u32 {
        // The parser bounds the count far below u32::MAX.
        self.schemas.len() as u32
    }

    /// The shards in order.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shard_count()).map(ShardId)
    }

    /// A shard's schema.
    pub fn schema(&self, shard: ShardId) -> &Schema {
        &self.schemas[shard.index()]
    }

    /// What a person should know of a topology that is sound all the same.
    pub fn warnings(&self) -> Vec<String> {
        self.cautions()
            .into_iter()
            .map(|(_, message)| message)
            .collect()
    }

    /// The same, each with the table that it is about; `None` where it is about the placement.
    pub fn cautions(&self) -> Vec<(Option<TableName>, String)> {
        let mut warnings = Vec::new();
        let holding: Vec<&InstanceName> = self
            .instances
            .keys()
            // One that only gathers needs no schemas.
            .filter(|instance| {
                Some(*instance) != self.scratch.as_ref() || !self.shards_on(instance).is_empty()
            })
            .collect();
        let counts: Vec<usize> = holding
            .iter()
            .map(|instance| self.shards_on(instance).len())
            .collect();
        if let (Some(least), Some(most)) = (counts.iter().min(), counts.iter().max())
            && most > least
        {
            let each: Vec<String> = holding
                .iter()
                .zip(&counts)
                .map(|(instance, count)| format!("{instance} {count}"))
                .collect();
            warnings.push((
                None,
                format!("the schemas are placed unevenly: {}", each.join(", ")),
            ));
        }
        for table in self.tables.values() {
            let counts_itself = table
                .def
                .columns
                .iter()
                .find(|column| column.auto_increment);
            if let (Some(column), Some(_)) = (counts_itself, table.spread.split()) {
                let message = format!(
                    "`{}` of `{}` is AUTO_INCREMENT: each physical table counts for itself, so ids \
                     meet",
                    column.name, table.name
                );
                warnings.push((Some(table.name.clone()), message));
            }
        }
        warnings
    }

    /// The shards placed on an instance, in order.
    pub fn shards_on(&self, instance: &InstanceName) -> Vec<ShardId> {
        self.shards()
            .filter(|shard| self.schema(*shard).instance == *instance)
            .collect()
    }

    /// The address of a table's physical table at a place.
    pub fn physical(&self, table: &LogicalTable, place: Place) -> PhysicalTable {
        let schema = self.schema(place.shard);
        PhysicalTable {
            instance: schema.instance.clone(),
            schema: schema.name.clone(),
            table: table.physical[place.table as usize].clone(),
        }
    }

    /// Every place of a table, in order of the physical tables' numbers.
    pub fn places(&self, table: &LogicalTable) -> impl Iterator<Item = Place> + use<> {
        let per_schema = table.tables_per_schema;
        self.shards()
            .flat_map(move |shard| places_in(shard, per_schema))
    }

    /// The places of a table in one shard.
    pub fn places_in(
        &self,
        table: &LogicalTable,
        shard: ShardId,
    ) -> impl Iterator<Item = Place> + use<> {
        places_in(shard, table.tables_per_schema)
    }
}

fn places_in(shard: ShardId, per_schema: u32) -> impl Iterator<Item = Place> {
    let first = shard.0 * per_schema;
    (first..first + per_schema).map(move |table| Place { shard, table })
}

/// One place a row can live in: a schema and a physical table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The schema's number.
    pub shard: ShardId,
    /// The physical table's number, counted over the whole topology.
    pub table: u32,
}

/// A physical table with its whole address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PhysicalTable {
    /// The instance.
    pub instance: InstanceName,
    /// The schema.
    pub schema: SchemaName,
    /// The table.
    pub table: TableName,
}

impl PhysicalTable {
    /// `schema`.`table`, quoted, for use in a statement.
    pub fn quoted(&self) -> String {
        format!("{}.{}", self.schema.quoted(), self.table.quoted())
    }
}

impl fmt::Display for PhysicalTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}.{}", self.instance, self.schema, self.table)
    }
}
