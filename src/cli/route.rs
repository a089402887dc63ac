//! `shardctl route`.

use super::{Context, Outcome};
use crate::error::{Error, Result};
use crate::query::plan::plan;
use crate::report::route::{Route, RouteReport, StatementRoute};
use crate::routing::Router;
use crate::rows::key::KeyValue;
use crate::run::query::refuse;
use crate::topology::{LogicalTable, Spread, Topology};

/// Show where a key lives, from the topology file alone
///
/// Without --table, every logical table that has the column as its shard key answers.
#[derive(clap::Args, Debug)]
pub struct RouteArgs {
    /// Keys, such as memberId=1001 or memberAccount=alice@example.com
    #[arg(required_unless_present = "sql", value_name = "COLUMN=VALUE")]
    keys: Vec<String>,
    /// Show the tables that can hold an answer to this SELECT
    #[arg(long, value_name = "STATEMENT", conflicts_with_all = ["keys", "table"])]
    sql: Option<String>,
    /// Look at this logical table only (can be repeated)
    #[arg(long, value_name = "NAME")]
    table: Vec<String>,
}

/// Runs the subcommand.
///
/// # Errors
/// The topology is bad, no table is split by the column, or the value is not one of its type.
pub async fn run(cx: &mut Context, args: RouteArgs) -> Result<Outcome> {
    let topology = cx.topology()?;
    match &args.sql {
        Some(sql) => cx.out.show(&statement(&topology, sql)?)?,
        None => cx.out.show(&route(&topology, &args)?)?,
    }
    Ok(Outcome::Clean)
}

fn statement(topology: &Topology, sql: &str) -> Result<StatementRoute> {
    let planned = plan(sql, topology).map_err(|refusal| refuse(&refusal))?;
    let table = topology
        .tables
        .values()
        .find(|table| table.name.as_str() == planned.table)
        .ok_or_else(|| Error::usage(format!("there is no table `{}`", planned.table)))?;
    Ok(StatementRoute {
        table: planned.table.clone(),
        reason: planned.reason.clone(),
        places: planned
            .places
            .iter()
            .map(|place| topology.physical(table, *place))
            .collect(),
    })
}

fn route(topology: &Topology, args: &RouteArgs) -> Result<RouteReport> {
    let keys = args
        .keys
        .iter()
        .map(|text| {
            text.split_once('=').ok_or_else(|| {
                Error::usage(format!("`{text}` does not say which column it is a key of"))
                    .next("write COLUMN=VALUE, such as memberId=1001")
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let tables = tables(topology, &args.table)?;
    let mut routes = Vec::new();
    for (column, text) in &keys {
        let before = routes.len();
        for table in &tables {
            let Some(split) = table.spread.split() else {
                continue;
            };
            if !split.schema.column.is(column) {
                continue;
            }
            let router = Router::new(topology, table).map_err(|fault| {
                Error::usage(format!("`{}` cannot be routed", table.name)).cause(fault)
            })?;
            routes.push(route_one(topology, table, &router, text, &keys)?);
        }
        if routes.len() == before {
            return Err(no_such_key(topology, column));
        }
    }
    Ok(RouteReport { routes })
}

fn tables<'a>(topology: &'a Topology, named: &[String]) -> Result<Vec<&'a LogicalTable>> {
    if named.is_empty() {
        return Ok(topology.tables.values().collect());
    }
    named
        .iter()
        .map(|name| {
            topology
                .tables
                .values()
                .find(|table| table.name.as_str() == name)
                .ok_or_else(|| {
                    Error::usage(format!(
                        "there is no logical table `{name}` in the topology"
                    ))
                })
        })
        .collect()
}

fn route_one(
    topology: &Topology,
    table: &LogicalTable,
    router: &Router,
    text: &str,
    keys: &[(&str, &str)],
) -> Result<Route> {
    let bad = |fault: &dyn std::fmt::Display| {
        Error::usage(format!("`{text}` is no key of `{}`", table.name)).cause(fault)
    };
    let key = router
        .schema_key_type()
        .parse(text)
        .map_err(|fault| bad(&fault))?;
    let split = table.spread.split();
    let second = split.and_then(|split| split.table.as_ref());
    let given: Option<KeyValue> = match (second, router.table_key_type()) {
        (Some(rule), Some(kind)) => keys
            .iter()
            .find(|(column, _)| rule.column.is(column))
            .map(|(_, text)| kind.parse(text).map_err(|fault| bad(&fault)))
            .transpose()?,
        _ => None,
    };
    let (shard, places) = if second.is_some() && given.is_none() {
        let shard = router.shard(&key).map_err(|fault| bad(&fault))?;
        (shard, topology.places_in(table, shard).collect())
    } else {
        let place = router
            .place(&key, given.as_ref())
            .map_err(|fault| bad(&fault))?;
        (place.shard, vec![place])
    };
    Ok(Route {
        table: table.name.to_string(),
        column: split
            .map(|split| split.schema.column.to_string())
            .unwrap_or_default(),
        key: text.to_owned(),
        function: split.map_or("", |split| split.schema.function.name()),
        shard,
        places: places
            .into_iter()
            .map(|place| topology.physical(table, place))
            .collect(),
        index_of: match &table.spread {
            Spread::IndexTable { base, .. } => Some(base.to_string()),
            _ => None,
        },
    })
}

fn no_such_key(topology: &Topology, column: &str) -> Error {
    let mut columns: Vec<String> = topology
        .tables
        .values()
        .filter_map(|table| table.spread.split())
        .map(|split| split.schema.column.to_string())
        .collect();
    columns.sort();
    columns.dedup();
    let error = Error::usage(format!("no table is split by `{column}`"));
    if columns.is_empty() {
        return error.cause("no table of the topology is split by a shard key");
    }
    error.next(format!("the shard keys are: {}", columns.join(", ")))
}
