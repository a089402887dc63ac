//! How the servers differ from the topology, grouped over the shards.
//!
//! Sixteen tables that lack the same index are one thing to know, and so are fifteen that agree
//! and one that does not. [`drift`] finds every difference of every physical table and schema;
//! [`group`] puts together those that say the same of the same logical table, and loses none.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use indexmap::IndexMap;
use serde::Serialize;

use super::create::Found;
use super::{PhysicalTable, Topology};
use crate::names::{InstanceName, SchemaName, TableName};
use crate::schema::compare::differences;

/// How the tables begin that a job hides or a target carries before the switch.
const HIDDEN_PREFIX: &str = "_shardctl_";

/// Places that are named in a sentence; the others are counted.
const NAMED_MAX: usize = 3;

/// What was seen on one instance that was reached.
#[derive(Debug, Clone, Default)]
pub struct Looked {
    /// Schemas and tables. Of the schemas, all that the user may see; of the tables, those of the
    /// topology's schemas.
    pub found: Found,
    /// Schemas of the topology that the user has no rights on: whether they are there, and what is
    /// in them, is not known.
    pub refused_schemas: BTreeSet<String>,
    /// Tables, by schema and name, that the user has no rights on, likewise.
    pub refused_tables: BTreeSet<(String, String)>,
}

/// A table that an open job has hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HiddenTable {
    /// The job.
    pub job: String,
    /// The schema.
    pub schema: SchemaName,
    /// The name it has while hidden.
    pub hidden: TableName,
    /// Its own name.
    pub table: TableName,
}

/// What kind of difference it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A schema is nowhere.
    SchemaMissing,
    /// A schema lies on another instance only.
    SchemaMisplaced,
    /// A schema lies on its instance and on another too.
    SchemaTwice,
    /// A schema has a name of the pattern, with a number that the topology does not have.
    SchemaExtra,
    /// The user has no rights on a schema.
    SchemaRefused,
    /// A table is not there.
    TableMissing,
    /// A table is not as the DDL says.
    TableDiffers,
    /// A table is there that the topology does not know.
    TableExtra,
    /// A table is there that belongs in another schema.
    TableMisplaced,
    /// A table carries a hidden name of an open job.
    TableHidden,
    /// A table carries a hidden name, and no open job knows it.
    TableLeftOver,
    /// The user has no rights on a table.
    TableRefused,
}

impl Kind {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::SchemaMissing => "schema_missing",
            Kind::SchemaMisplaced => "schema_misplaced",
            Kind::SchemaTwice => "schema_twice",
            Kind::SchemaExtra => "schema_extra",
            Kind::SchemaRefused => "schema_refused",
            Kind::TableMissing => "table_missing",
            Kind::TableDiffers => "table_differs",
            Kind::TableExtra => "table_extra",
            Kind::TableMisplaced => "table_misplaced",
            Kind::TableHidden => "table_hidden",
            Kind::TableLeftOver => "table_left_over",
            Kind::TableRefused => "table_refused",
        }
    }

    /// Whether it is only told, not counted as drift: the work of an open job.
    pub fn is_expected(self) -> bool {
        matches!(self, Kind::TableHidden)
    }

    /// Whether it says that something could not be looked at.
    pub fn is_refusal(self) -> bool {
        matches!(self, Kind::SchemaRefused | Kind::TableRefused)
    }
}

/// Where something differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Spot {
    /// The instance.
    pub instance: InstanceName,
    /// The schema.
    pub schema: String,
    /// The table, as the server has or should have it; `None` where it is the schema.
    pub table: Option<String>,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.table {
            Some(table) => write!(f, "{}.{table}", self.schema),
            None => f.write_str(&self.schema),
        }
    }
}

/// One difference at one place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Flaw {
    /// The logical table; `None` where it is of none, or of a schema.
    pub table: Option<TableName>,
    /// What kind it is.
    pub kind: Kind,
    /// What is to be said of the place, as a phrase: `lacks index ...`.
    pub phrase: String,
    /// Where.
    pub at: Spot,
}

/// Physical tables of one logical table that were compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Those that agree.
    pub agreeing: u64,
    /// Those on instances and in schemas that could be looked at.
    pub looked_at: u64,
    /// All of them.
    pub wanted: u64,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// Every difference, by logical table, kind and place.
    pub flaws: Vec<Flaw>,
    /// How many of each logical table's physical tables agree.
    pub tables: IndexMap<TableName, Compared>,
}

/// The same difference in one or more places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The logical table; `None` where it is of none.
    pub table: Option<TableName>,
    /// What kind it is.
    pub kind: Kind,
    /// What is to be said of the places.
    pub phrase: String,
    /// The places, in order.
    pub at: Vec<Spot>,
    /// How the logical table's physical tables do in all.
    pub compared: Option<Compared>,
}

/// Compares what was seen with the topology. An instance without an entry was not reached, and
/// nothing is said of what it holds.
pub fn drift(
    topology: &Topology,
    looked: &BTreeMap<InstanceName, Looked>,
    hidden: &[HiddenTable],
) -> Drift {
    let mut finder = Finder {
        topology,
        hidden,
        flaws: Vec::new(),
    };
    let mut tables: IndexMap<TableName, Compared> = topology
        .tables
        .keys()
        .map(|name| (name.clone(), Compared::default()))
        .collect();
    for shard in topology.shards() {
        let schema = topology.schema(shard);
        let home = looked.get(&schema.instance);
        finder.placement(&schema.name, &schema.instance, looked);
        for table in topology.tables.values() {
            let Some(compared) = tables.get_mut(&table.name) else {
                continue;
            };
            for place in topology.places_in(table, shard) {
                compared.wanted += 1;
                let name = schema.name.as_str();
                let Some(home) = home.filter(|home| !home.refused_schemas.contains(name)) else {
                    continue;
                };
                let physical = topology.physical(table, place);
                if home
                    .refused_tables
                    .contains(&(name.to_owned(), physical.table.as_str().to_owned()))
                {
                    finder.say(
                        Some(&table.name),
                        Kind::TableRefused,
                        "cannot be read with the user's rights".to_owned(),
                        spot(&physical),
                    );
                    continue;
                }
                compared.looked_at += 1;
                if finder.table(&table.name, &table.def, &physical, &home.found) {
                    compared.agreeing += 1;
                }
            }
        }
    }
    for (instance, looked) in looked {
        finder.extras(instance, &looked.found);
    }
    let mut flaws = finder.flaws;
    let rank = |name: &Option<TableName>| {
        name.as_ref()
            .and_then(|name| topology.tables.get_index_of(name))
    };
    flaws.sort_by(|a, b| {
        (rank(&a.table), a.kind, &a.phrase, &a.at).cmp(&(rank(&b.table), b.kind, &b.phrase, &b.at))
    });
    Drift { flaws, tables }
}

fn spot(table: &PhysicalTable) -> Spot {
    Spot {
        instance: table.instance.clone(),
        schema: table.schema.as_str().to_owned(),
        table: Some(table.table.as_str().to_owned()),
    }
}

struct Finder<'a> {
    topology: &'a Topology,
    hidden: &'a [HiddenTable],
    flaws: Vec<Flaw>,
}

impl Finder<'_> {
    fn say(&mut self, table: Option<&TableName>, kind: Kind, phrase: String, at: Spot) {
        self.flaws.push(Flaw {
            table: table.cloned(),
            kind,
            phrase,
            at,
        });
    }

    /// Where a schema is, against where it belongs.
    fn placement(
        &mut self,
        name: &SchemaName,
        home: &InstanceName,
        looked: &BTreeMap<InstanceName, Looked>,
    ) {
        let at = |instance: &InstanceName| Spot {
            instance: instance.clone(),
            schema: name.as_str().to_owned(),
            table: None,
        };
        let at_home = looked.get(home);
        if at_home.is_some_and(|home| home.refused_schemas.contains(name.as_str())) {
            let phrase = "cannot be read with the user's rights".to_owned();
            self.say(None, Kind::SchemaRefused, phrase, at(home));
            return;
        }
        let is_there = at_home.map(|home| home.found.schemas.contains(name.as_str()));
        let mut elsewhere = 0;
        for (instance, looked) in looked {
            if instance == home || !looked.found.schemas.contains(name.as_str()) {
                continue;
            }
            // What a job keeps of a schema that has moved is named with its tables.
            let own: Vec<&String> = looked
                .found
                .tables
                .keys()
                .filter(|(schema, _)| schema == name.as_str())
                .map(|(_, table)| table)
                .collect();
            let of_jobs = !own.is_empty()
                && own.iter().all(|table| {
                    self.job_of(name.as_str(), table)
                        .is_some_and(|hidden| hidden.hidden.as_str() == table.as_str())
                });
            if of_jobs {
                continue;
            }
            elsewhere += 1;
            let (kind, phrase) = match is_there {
                Some(true) => (
                    Kind::SchemaTwice,
                    format!("lies on {instance} as well as on {home}, where it belongs"),
                ),
                Some(false) => (
                    Kind::SchemaMisplaced,
                    format!("lies on {instance} and belongs on {home}"),
                ),
                None => (
                    Kind::SchemaMisplaced,
                    format!("lies on {instance} and belongs on {home}, which was not reached"),
                ),
            };
            self.say(None, kind, phrase, at(instance));
        }
        if is_there == Some(false) && elsewhere == 0 {
            let phrase = format!("is missing on {home}");
            self.say(None, Kind::SchemaMissing, phrase, at(home));
        }
    }

    fn job_of(&self, schema: &str, table: &str) -> Option<&HiddenTable> {
        self.hidden.iter().find(|hidden| {
            hidden.schema.as_str() == schema
                && (hidden.hidden.as_str() == table || hidden.table.as_str() == table)
        })
    }

    /// Whether one physical table agrees.
    fn table(
        &mut self,
        logical: &TableName,
        wanted: &crate::schema::TableDef,
        physical: &PhysicalTable,
        found: &Found,
    ) -> bool {
        let key = (
            physical.schema.as_str().to_owned(),
            physical.table.as_str().to_owned(),
        );
        match found.tables.get(&key) {
            Some(Ok(def)) => {
                let differences = differences(wanted, def);
                for difference in &differences {
                    self.say(
                        Some(logical),
                        Kind::TableDiffers,
                        difference.to_string(),
                        spot(physical),
                    );
                }
                differences.is_empty()
            }
            Some(Err(fault)) => {
                self.say(
                    Some(logical),
                    Kind::TableDiffers,
                    fault.clone(),
                    spot(physical),
                );
                false
            }
            // A schema that is not there is said once.
            None if !found.schemas.contains(&key.0) => false,
            None => {
                let job = self.job_of(&key.0, &key.1).map(|hidden| hidden.job.clone());
                let (kind, phrase) = match job {
                    Some(job) => (
                        Kind::TableHidden,
                        format!("is hidden by the open job {job}"),
                    ),
                    None => (Kind::TableMissing, "is missing".to_owned()),
                };
                self.say(Some(logical), kind, phrase, spot(physical));
                false
            }
        }
    }

    /// What an instance has that the topology does not place there.
    fn extras(&mut self, instance: &InstanceName, found: &Found) {
        for schema in &found.schemas {
            let number = self.topology.schema_pattern.number(schema);
            if number.is_some_and(|number| number >= self.topology.shard_count()) {
                let phrase = format!(
                    "is on {instance}, and the topology has {} schemas only",
                    self.topology.shard_count()
                );
                let at = Spot {
                    instance: instance.clone(),
                    schema: schema.clone(),
                    table: None,
                };
                self.say(None, Kind::SchemaExtra, phrase, at);
            }
        }
        let homes: BTreeMap<&str, &InstanceName> = self
            .topology
            .schemas
            .iter()
            .map(|schema| (schema.name.as_str(), &schema.instance))
            .collect();
        let mut belongs: BTreeMap<&str, (&TableName, BTreeSet<&str>)> = BTreeMap::new();
        for table in self.topology.tables.values() {
            for place in self.topology.places(table) {
                let name = table.physical[place.table as usize].as_str();
                let schema = self.topology.schema(place.shard).name.as_str();
                let entry = belongs
                    .entry(name)
                    .or_insert((&table.name, BTreeSet::new()));
                entry.1.insert(schema);
            }
        }
        for (schema, table) in found.tables.keys() {
            let at = Spot {
                instance: instance.clone(),
                schema: schema.clone(),
                table: Some(table.clone()),
            };
            let at_home = homes.get(schema.as_str()) == Some(&instance);
            if table.starts_with(HIDDEN_PREFIX) {
                let job = self.job_of(schema, table).map(|hidden| hidden.job.clone());
                let (kind, phrase) = match job {
                    Some(job) => (
                        Kind::TableHidden,
                        format!("is a table that the open job {job} has hidden"),
                    ),
                    None => (
                        Kind::TableLeftOver,
                        "has a hidden name of shardctl's, and no open job knows it".to_owned(),
                    ),
                };
                self.say(None, kind, phrase, at);
                continue;
            }
            // A schema on the wrong instance is said once, not for each of its tables.
            if !at_home {
                continue;
            }
            match belongs.get(table.as_str()) {
                Some((_, schemas)) if schemas.contains(schema.as_str()) => {}
                Some((logical, schemas)) => {
                    let logical = (*logical).clone();
                    let phrase = format!(
                        "belongs in {}",
                        schemas.first().copied().unwrap_or_default()
                    );
                    self.say(Some(&logical), Kind::TableMisplaced, phrase, at);
                }
                None => self.say(
                    None,
                    Kind::TableExtra,
                    "is not in the topology".to_owned(),
                    at,
                ),
            }
        }
    }
}

/// Puts together what says the same of the same logical table.
pub fn group(drift: &Drift) -> Vec<Group> {
    let mut groups: IndexMap<(Option<&TableName>, Kind, &str), Vec<Spot>> = IndexMap::new();
    for flaw in &drift.flaws {
        groups
            .entry((flaw.table.as_ref(), flaw.kind, flaw.phrase.as_str()))
            .or_default()
            .push(flaw.at.clone());
    }
    groups
        .into_iter()
        .map(|((table, kind, phrase), at)| Group {
            table: table.cloned(),
            kind,
            phrase: phrase.to_owned(),
            at,
            compared: table.and_then(|table| drift.tables.get(table)).copied(),
        })
        .collect()
}

impl fmt::Display for Group {
    /// `15 of 16 agree, user_center_07.member_07 lacks index ...`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compared = self.compared.filter(|_| {
            matches!(
                self.kind,
                Kind::TableDiffers | Kind::TableMissing | Kind::TableHidden
            )
        });
        if let Some(compared) = compared {
            let everywhere = self.at.len() as u64 == compared.looked_at && self.at.len() > 1;
            if everywhere {
                return write!(f, "each of {} {}", compared.looked_at, self.phrase);
            }
            write!(f, "{} of {} agree, ", compared.agreeing, compared.looked_at)?;
        }
        match self.at.as_slice() {
            [one] => write!(f, "{one} {}", self.phrase),
            several => write!(f, "{}: {}", self.phrase, list(several)),
        }
    }
}

/// The first few places by name, the others counted.
pub fn list<T: fmt::Display>(items: &[T]) -> String {
    let named: Vec<String> = items
        .iter()
        .take(NAMED_MAX)
        .map(ToString::to_string)
        .collect();
    match items.len().saturating_sub(NAMED_MAX) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests;
