//! What has to be created, decided from the topology and what the servers have.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{PhysicalTable, Topology};
use crate::names::{InstanceName, SchemaName};
use crate::schema::TableDef;
use crate::schema::compare::differences;
use crate::schema::parse::DdlError;
use crate::schema::render::with_name;

/// What an instance has of the topology's schemas.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The schemas that exist.
    pub schemas: BTreeSet<String>,
    /// The definition of each table that exists, by schema and name; the text of the fault where
    /// it could not be read as a table.
    pub tables: BTreeMap<(String, String), Result<TableDef, String>>,
}

/// One statement to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The instance to run it on.
    pub instance: InstanceName,
    /// The schema it creates or creates in.
    pub schema: SchemaName,
    /// The table it creates; `None` where it creates the schema.
    pub table: Option<PhysicalTable>,
    /// The statement.
    pub sql: String,
}

/// A table that exists and is not as the topology wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drift {
    /// The table.
    pub table: PhysicalTable,
    /// How it differs, in words.
    pub differences: Vec<String>,
}

/// What there is to do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CreatePlan {
    /// The statements, in an order that works: a schema before its tables.
    pub steps: Vec<Step>,
    /// Tables that exist and differ. They are left as they are.
    pub drift: Vec<Drift>,
    /// Tables that exist and agree.
    pub agreeing: u64,
}

/// Decides what to create. An instance without an entry in `found` has nothing yet.
///
/// # Errors
/// A table's DDL cannot take the physical name.
pub fn plan(
    topology: &Topology,
    found: &BTreeMap<InstanceName, Found>,
) -> Result<CreatePlan, DdlError> {
    let nothing = Found::default();
    let mut plan = CreatePlan::default();
    for shard in topology.shards() {
        let schema = topology.schema(shard);
        let found = found.get(&schema.instance).unwrap_or(&nothing);
        if !found.schemas.contains(schema.name.as_str()) {
            plan.steps.push(Step {
                instance: schema.instance.clone(),
                schema: schema.name.clone(),
                table: None,
                // Two operators may create at once; a schema has nothing to differ in.
                sql: format!(
                    "CREATE DATABASE IF NOT EXISTS {} DEFAULT CHARACTER SET utf8mb4",
                    schema.name.quoted()
                ),
            });
        }
        for table in topology.tables.values() {
            for place in topology.places_in(table, shard) {
                let physical = topology.physical(table, place);
                let key = (
                    physical.schema.as_str().to_owned(),
                    physical.table.as_str().to_owned(),
                );
                let differences = match found.tables.get(&key) {
                    None => {
                        plan.steps.push(Step {
                            instance: physical.instance.clone(),
                            schema: physical.schema.clone(),
                            sql: with_name(
                                &table.ddl,
                                physical.table.as_str(),
                                Some(physical.schema.as_str()),
                            )?,
                            table: Some(physical),
                        });
                        continue;
                    }
                    Some(Ok(def)) => differences(&table.def, def)
                        .iter()
                        .map(ToString::to_string)
                        .collect(),
                    Some(Err(fault)) => vec![fault.clone()],
                };
                if differences.is_empty() {
                    plan.agreeing += 1;
                } else {
                    plan.drift.push(Drift {
                        table: physical,
                        differences,
                    });
                }
            }
        }
    }
    Ok(plan)
}
