//! Where keys live.

use serde::Serialize;

use super::{Report, View};
use crate::names::ShardId;
use crate::topology::PhysicalTable;

/// Where each key lives.
#[derive(Debug, Clone, Serialize)]
pub struct RouteReport {
    /// One line for each key and logical table.
    pub routes: Vec<Route>,
}

/// One key of one logical table.
#[derive(Debug, Clone, Serialize)]
pub struct Route {
    /// The logical table.
    pub table: String,
    /// The shard key's column.
    pub column: String,
    /// The key as it was given.
    pub key: String,
    /// The shard function's name.
    pub function: &'static str,
    /// The shard.
    pub shard: ShardId,
    /// The physical tables the row can be in: one, or all of the schema's where a second key that
    /// was not given chooses among them.
    pub places: Vec<PhysicalTable>,
    /// Whether the table is an index table, whose row names the row of its base.
    pub index_of: Option<String>,
}

impl Report for RouteReport {
    fn text(&self, view: &View) -> String {
        let mut table = view.table([
            "key",
            "table",
            "function",
            "shard",
            "instance",
            "schema",
            "physical table",
        ]);
        for route in &self.routes {
            let physical: Vec<&str> = route
                .places
                .iter()
                .map(|place| place.table.as_str())
                .collect();
            let first = route.places.first();
            table.add_row([
                format!("{} = {}", route.column, route.key),
                match &route.index_of {
                    Some(base) => format!("{} (index table of {base})", route.table),
                    None => route.table.clone(),
                },
                route.function.to_owned(),
                route.shard.to_string(),
                first
                    .map(|place| place.instance.to_string())
                    .unwrap_or_default(),
                first
                    .map(|place| place.schema.to_string())
                    .unwrap_or_default(),
                physical.join(", "),
            ]);
        }
        table.to_string()
    }
}

/// The physical tables that can hold an answer to a statement.
#[derive(Debug, Clone, Serialize)]
pub struct StatementRoute {
    /// The logical table.
    pub table: String,
    /// Why these.
    pub reason: String,
    /// The physical tables.
    pub places: Vec<PhysicalTable>,
}

impl Report for StatementRoute {
    fn text(&self, view: &View) -> String {
        let mut table = view.table(["instance", "schema", "physical table"]);
        for place in &self.places {
            table.add_row([
                place.instance.to_string(),
                place.schema.to_string(),
                place.table.to_string(),
            ]);
        }
        format!("{table}\n{}", self.reason)
    }
}
