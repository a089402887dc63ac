//! Reads the state of the fleet, of all instances at once.

use std::collections::BTreeMap;

use futures_util::future::join_all;

use crate::error::{Error, Result};
use crate::journal;
use crate::mysql::inspect::{self, TableSize};
use crate::mysql::{Server, Servers};
use crate::names::{InstanceName, SchemaName, ShardId};
use crate::report::status::{InstanceStatus, OpenJob, SchemaStatus, StatusReport};
use crate::topology::Topology;

/// What to look at.
#[derive(Debug, Clone, Copy)]
pub struct StatusOptions {
    /// Count the rows instead of taking the servers' estimates.
    pub exact: bool,
    /// Rows a physical table should not pass.
    pub rows_per_table_max: u64,
}

/// What one instance has.
struct Found {
    sizes: BTreeMap<(String, String), TableSize>,
    lag: Option<String>,
}

/// Looks at the fleet. An instance in `failed` is in the report with its error.
///
/// # Errors
/// A server that was reached cannot be asked.
pub async fn status(
    topology: &Topology,
    servers: &Servers,
    failed: &[(InstanceName, Error)],
    options: StatusOptions,
) -> Result<StatusReport> {
    let found =
        join_all(servers.iter().map(|server| async {
            (server.name().clone(), look(topology, server, options).await)
        }))
        .await;
    let mut by_instance = BTreeMap::new();
    for (name, answer) in found {
        by_instance.insert(name, answer?);
    }

    let schemas: Vec<SchemaStatus> = topology
        .shards()
        .map(|shard| schema_status(topology, shard, &by_instance))
        .collect();
    let instances = topology
        .instances
        .iter()
        .map(|(name, endpoint)| {
            let own = || schemas.iter().filter(|schema| schema.instance == *name);
            InstanceStatus {
                instance: name.clone(),
                address: endpoint.to_string(),
                version: servers.get(name).ok().map(|server| {
                    format!("{} {}", server.flavour(), short_version(server.version()))
                }),
                error: failed
                    .iter()
                    .find(|(failed, _)| failed == name)
                    .map(|(_, error)| error.summary()),
                schemas: own().count() as u64,
                tables: by_instance
                    .get(name)
                    .map(|_| own().filter_map(|schema| schema.tables_found).sum()),
                rows: by_instance
                    .get(name)
                    .map(|_| own().filter_map(|schema| schema.rows).sum()),
                bytes: by_instance
                    .get(name)
                    .map(|_| own().filter_map(|schema| schema.bytes).sum()),
                lag: by_instance.get(name).and_then(|found| found.lag.clone()),
            }
        })
        .collect();
    // Without the control instance the rest is still told.
    let control = servers.get(&topology.control).ok();
    let (map, open_jobs) = match control {
        Some(control) => (
            journal::shard_map(control).await?,
            Some(open_jobs(control).await?),
        ),
        None => (None, None),
    };
    Ok(StatusReport {
        cluster: topology.cluster.clone(),
        control_reached: control.is_some(),
        shard_map_version: map.as_ref().map(|map| map.version),
        file_is_in_force: map
            .as_ref()
            .map(|map| map.topology.schemas == topology.schemas),
        rows_are_exact: options.exact,
        rows_per_table_max: options.rows_per_table_max,
        instances,
        schemas,
        open_jobs,
    })
}

async fn open_jobs(control: &Server) -> Result<Vec<OpenJob>> {
    let jobs = journal::jobs(control).await?;
    Ok(jobs
        .into_iter()
        .filter(|saved| !saved.job.phase.is_over())
        .map(|saved| OpenJob {
            next: saved.job.way_on(),
            id: saved.job.id,
            phase: saved.job.phase,
            updated: saved.updated,
            now: saved.job.phase.truth(),
        })
        .collect())
}

/// `10.11.14` of `10.11.14-MariaDB-0+deb12u2-log`.
fn short_version(version: &str) -> &str {
    version.split('-').next().unwrap_or(version)
}

async fn look(topology: &Topology, server: &Server, options: StatusOptions) -> Result<Found> {
    let schemas: Vec<SchemaName> = topology
        .shards_on(server.name())
        .into_iter()
        .map(|shard| topology.schema(shard).name.clone())
        .collect();
    let mut sizes = inspect::table_sizes(server, &schemas).await?;
    let mut conn = server.conn().await?;
    if options.exact {
        for ((schema, table), size) in &mut sizes {
            // Names that came from the server and do not pass as ours are left at the estimate.
            if let (Ok(schema), Ok(table)) = (schema.parse(), table.parse()) {
                size.rows = inspect::count_rows(server, &mut conn, &schema, &table).await?;
            }
        }
    }
    // A user without the privilege still sees all the rest.
    let lag = match inspect::replica_lag_s(server, &mut conn).await {
        Ok(None) => None,
        Ok(Some(Some(seconds))) => Some(format!("{seconds} s")),
        Ok(Some(None)) => Some("replication stands".to_owned()),
        Err(error) => {
            tracing::info!(%error, "lag not read");
            None
        }
    };
    Ok(Found { sizes, lag })
}

fn schema_status(
    topology: &Topology,
    shard: ShardId,
    found: &BTreeMap<InstanceName, Found>,
) -> SchemaStatus {
    let schema = topology.schema(shard);
    let wanted: Vec<&str> = topology
        .tables
        .values()
        .flat_map(|table| {
            topology
                .places_in(table, shard)
                .map(|place| table.physical[place.table as usize].as_str())
        })
        .collect();
    let mut status = SchemaStatus {
        shard,
        schema: schema.name.clone(),
        instance: schema.instance.clone(),
        tables_wanted: wanted.len() as u64,
        tables_found: None,
        rows: None,
        bytes: None,
        fullest_table: None,
        fullest_rows: None,
    };
    let Some(found) = found.get(&schema.instance) else {
        return status;
    };
    let (mut tables_found, mut rows, mut bytes, mut fullest_rows) = (0, 0, 0, 0);
    for table in wanted {
        let key = (schema.name.as_str().to_owned(), table.to_owned());
        let Some(size) = found.sizes.get(&key) else {
            continue;
        };
        tables_found += 1;
        rows += size.rows;
        bytes += size.data_bytes + size.index_bytes;
        if status.fullest_table.is_none() || size.rows > fullest_rows {
            status.fullest_table = Some(table.to_owned());
            fullest_rows = size.rows;
        }
    }
    status.tables_found = Some(tables_found);
    status.rows = Some(rows);
    status.bytes = Some(bytes);
    status.fullest_rows = Some(fullest_rows);
    status
}
