//! Creates what the topology wants and the servers lack.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{join_all, try_join_all};
use futures_util::stream::{self, StreamExt};

use super::owner::Flags;
use crate::error::{Error, Result};
use crate::mysql::{Server, Servers, inspect, write};
use crate::names::{InstanceName, SchemaName};
use crate::report::create::CreateReport;
use crate::schema::parse::parse_create_table;
use crate::topology::Topology;
use crate::topology::create::{CreatePlan, Found, Step, plan};

/// Statements that one instance runs at once. Creating a table costs the server several
/// synchronous writes to disk, which overlap.
const STATEMENTS_AT_ONCE: usize = 4;

/// Reads what the servers have of the topology and decides what to create.
///
/// # Errors
/// A server cannot be asked, or the DDL of a table cannot take a physical name.
pub async fn look(topology: &Topology, servers: &Servers) -> Result<CreatePlan> {
    let found = try_join_all(servers.iter().map(|server| found_on(topology, server))).await?;
    decide(topology, &found.into_iter().collect())
}

/// What would be created where nothing is yet.
///
/// # Errors
/// The DDL of a table cannot take a physical name.
pub fn from_nothing(topology: &Topology) -> Result<CreatePlan> {
    decide(topology, &BTreeMap::new())
}

fn decide(topology: &Topology, found: &BTreeMap<InstanceName, Found>) -> Result<CreatePlan> {
    plan(topology, found).map_err(|fault| {
        Error::usage("a table's DDL cannot take a physical name").cause(fault.message)
    })
}

async fn found_on(topology: &Topology, server: &Server) -> Result<(InstanceName, Found)> {
    let wanted: Vec<SchemaName> = topology
        .shards_on(server.name())
        .into_iter()
        .map(|shard| topology.schema(shard).name.clone())
        .collect();
    let mut conn = server.conn().await?;
    let there = inspect::schemas(server, &mut conn).await?;
    let mut found = Found {
        schemas: there
            .into_iter()
            .filter(|name| wanted.iter().any(|wanted| wanted.as_str() == name))
            .collect(),
        ..Found::default()
    };
    for (schema, table) in inspect::tables_and_views(server, &mut conn, &wanted).await? {
        let definition = inspect::show_create_table(server, &mut conn, &schema, &table).await;
        let def = match definition {
            // Dropped in between: as if it had not been listed.
            Ok(None) => continue,
            Ok(Some(sql)) => parse_create_table(&sql)
                .map_err(|fault| format!("its definition cannot be read: {}", fault.message)),
            Err(error) => Err(error.summary()),
        };
        found.tables.insert((schema, table), def);
    }
    Ok((server.name().clone(), found))
}

/// Runs the plan, all instances at once. `done` hears of each statement that has run.
///
/// # Errors
/// Statements failed, or the flags say to stop. What ran stays; a second run does what is left.
pub async fn execute(
    servers: &Servers,
    plan: &CreatePlan,
    flags: &Flags,
    done: &(dyn Fn(&Step) + Sync),
) -> Result<()> {
    let mut by_instance: BTreeMap<&InstanceName, Vec<&Step>> = BTreeMap::new();
    for step in &plan.steps {
        by_instance.entry(&step.instance).or_default().push(step);
    }
    let answers = join_all(by_instance.into_iter().map(|(instance, steps)| async move {
        let server = servers.get(instance)?;
        // All schemas first, for their tables run side by side.
        let (schemas, tables): (Vec<&Step>, Vec<&Step>) =
            steps.into_iter().partition(|step| step.table.is_none());
        for batch in [schemas, tables] {
            // After a failure nothing new is started, but what runs is waited for: left alone it
            // would go on at the server and meet the next run.
            let failed = AtomicBool::new(false);
            let mut running = stream::iter(batch.into_iter().map(|step| {
                let failed = &failed;
                async move {
                    if failed.load(Ordering::Relaxed) || !flags.go_on() {
                        return Ok(None);
                    }
                    let answer = run_step(server, step).await;
                    failed.fetch_or(answer.is_err(), Ordering::Relaxed);
                    answer.map(|()| Some(step))
                }
            }))
            .buffer_unordered(STATEMENTS_AT_ONCE);
            let mut first = Ok(());
            while let Some(answer) = running.next().await {
                match answer {
                    Ok(Some(step)) => done(step),
                    Ok(None) => {}
                    Err(error) => first = first.and(Err(error)),
                }
            }
            first?;
        }
        Ok::<(), Error>(())
    }))
    .await;
    let total = answers.len();
    let mut failed: Vec<Error> = answers.into_iter().filter_map(Result::err).collect();
    if failed.is_empty() {
        return flags.check().map_err(|stopped| {
            stopped
                .now("what was created stays")
                .next("run `shardctl create` again: it does what is left")
        });
    }
    let count = failed.len();
    let first = failed.remove(0);
    Err(first
        .now(format!(
            "{count} of {total} instances are not complete; what was created stays"
        ))
        .next("mend the cause and run `shardctl create` again: it does what is left"))
}

async fn run_step(server: &Server, step: &Step) -> Result<()> {
    let what = match &step.table {
        Some(table) => format!("could not create the table {table}"),
        None => format!("could not create the schema {}", step.schema),
    };
    let mut conn = server.conn().await?;
    write::run(server, &mut conn, &what, &step.sql).await
}

/// The report of a plan that was run, or not.
pub fn report(plan: CreatePlan, dry_run: bool, shard_map_version: Option<u64>) -> CreateReport {
    let tables = plan
        .steps
        .iter()
        .filter(|step| step.table.is_some())
        .count() as u64;
    CreateReport {
        dry_run,
        schemas: plan.steps.len() as u64 - tables,
        tables,
        agreeing: plan.agreeing,
        drift: plan.drift,
        steps: plan.steps,
        shard_map_version,
    }
}
