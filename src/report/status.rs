//! The state of the fleet.

use serde::Serialize;

use super::{Report, View, bytes, count, right_align};
use crate::names::{InstanceName, SchemaName, ShardId};
use crate::rebalance::protocol::Phase;

/// What `status` shows.
#[derive(Debug, Clone, Serialize)]
pub struct StatusReport {
    /// The fleet's name.
    pub cluster: String,
    /// Whether the control instance was reached; without it the shard map and the jobs are unknown.
    pub control_reached: bool,
    /// The version of the shard map in force; `None` where none was written yet, or it is unknown.
    pub shard_map_version: Option<u64>,
    /// Whether the topology file places the schemas as the shard map in force does; `None` where
    /// there is no shard map.
    pub file_is_in_force: Option<bool>,
    /// Whether row counts are exact or the servers' estimates.
    pub rows_are_exact: bool,
    /// Rows a physical table should not pass.
    pub rows_per_table_max: u64,
    /// The instances, in the topology's order.
    pub instances: Vec<InstanceStatus>,
    /// The schemas, by shard number.
    pub schemas: Vec<SchemaStatus>,
    /// Jobs that are not done; `None` where the control instance was not reached.
    pub open_jobs: Option<Vec<OpenJob>>,
}

/// A job that is not done.
#[derive(Debug, Clone, Serialize)]
pub struct OpenJob {
    /// Its id.
    pub id: String,
    /// Its phase.
    pub phase: Phase,
    /// When it was saved last, in UTC.
    pub updated: String,
    /// What is true now.
    pub now: &'static str,
    /// What a person can do about it.
    pub next: String,
}

/// One instance.
#[derive(Debug, Clone, Serialize)]
pub struct InstanceStatus {
    /// Its name.
    pub instance: InstanceName,
    /// Host and port, or the socket.
    pub address: String,
    /// The version; `None` where it was not reached.
    pub version: Option<String>,
    /// Why it was not reached.
    pub error: Option<String>,
    /// Schemas placed on it.
    pub schemas: u64,
    /// Physical tables found; `None` where it was not reached, like the rows and bytes.
    pub tables: Option<u64>,
    /// Rows in them.
    pub rows: Option<u64>,
    /// Bytes of data and indexes.
    pub bytes: Option<u64>,
    /// Replication lag, in words; `None` where it replicates from no one.
    pub lag: Option<String>,
}

/// One schema.
#[derive(Debug, Clone, Serialize)]
pub struct SchemaStatus {
    /// Its shard number.
    pub shard: ShardId,
    /// Its name.
    pub schema: SchemaName,
    /// The instance it is placed on.
    pub instance: InstanceName,
    /// Physical tables wanted.
    pub tables_wanted: u64,
    /// Physical tables found; `None` where the instance was not reached, like all that follows.
    pub tables_found: Option<u64>,
    /// Rows in them.
    pub rows: Option<u64>,
    /// Bytes of data and indexes.
    pub bytes: Option<u64>,
    /// The physical table with the most rows.
    pub fullest_table: Option<String>,
    /// Its rows.
    pub fullest_rows: Option<u64>,
}

impl Report for StatusReport {
    fn text(&self, view: &View) -> String {
        let rows = if self.rows_are_exact {
            "rows"
        } else {
            "rows (est.)"
        };
        let lagging = self.instances.iter().any(|instance| instance.lag.is_some());
        let mut header = vec![
            "instance", "address", "server", "schemas", "tables", rows, "size",
        ];
        if lagging {
            header.push("lag");
        }
        let mut instances = view.table(header);
        for instance in &self.instances {
            let mut cells = vec![
                instance.instance.to_string(),
                instance.address.clone(),
                match (&instance.version, &instance.error) {
                    (Some(version), _) => version.clone(),
                    (None, Some(error)) => format!("NOT REACHED: {error}"),
                    (None, None) => "NOT REACHED".to_owned(),
                },
                instance.schemas.to_string(),
                known(instance.tables, count),
                known(instance.rows, count),
                known(instance.bytes, bytes),
            ];
            if lagging {
                cells.push(instance.lag.clone().unwrap_or_else(|| "-".to_owned()));
            }
            instances.add_row(cells);
        }
        right_align(&mut instances, &[3, 4, 5, 6]);

        let mut schemas = view.table([
            "shard",
            "schema",
            "instance",
            "tables",
            rows,
            "size",
            "fullest table",
            "fill",
        ]);
        for schema in &self.schemas {
            schemas.add_row([
                schema.shard.to_string(),
                schema.schema.to_string(),
                schema.instance.to_string(),
                match schema.tables_found {
                    Some(found) if found == schema.tables_wanted => found.to_string(),
                    Some(found) => format!("{found} of {}", schema.tables_wanted),
                    None => UNKNOWN.to_owned(),
                },
                known(schema.rows, count),
                known(schema.bytes, bytes),
                schema.fullest_table.clone().unwrap_or_default(),
                known(schema.fullest_rows, |rows| {
                    fill(rows, self.rows_per_table_max)
                }),
            ]);
        }
        right_align(&mut schemas, &[0, 3, 4, 5, 7]);

        let shard_map = match (self.shard_map_version, self.file_is_in_force) {
            (None, _) if !self.control_reached => {
                "the control instance is not reached: the shard map in force and the jobs are unknown"
                    .to_owned()
            }
            (None, _) => "no shard map yet; `shardctl create` writes it".to_owned(),
            (Some(version), Some(false)) => format!(
                "shard map version {version} is in force, and the topology file differs from it: what was \
                 moved is shown as missing; `shardctl status --write FILE` writes the one in force"
            ),
            (Some(version), _) => format!("shard map version {version} is in force"),
        };
        let mut text = format!(
            "{}: {shard_map}\n{instances}\n{schemas}\nfill: rows of the fullest table against {} \
             per table",
            self.cluster,
            count(self.rows_per_table_max)
        );
        for job in self.open_jobs.iter().flatten() {
            text.push_str(&format!(
                "\njob {} is open, in phase {}, saved last at {}\n  now:   {}\n  next:  {}",
                job.id, job.phase, job.updated, job.now, job.next
            ));
        }
        text
    }
}

/// What stands for a figure of an instance that was not reached.
const UNKNOWN: &str = "?";

fn known(figure: Option<u64>, shown: impl FnOnce(u64) -> String) -> String {
    figure.map_or_else(|| UNKNOWN.to_owned(), shown)
}

/// A share of the limit; small shares keep a digit that tells them from nothing.
fn fill(rows: u64, max: u64) -> String {
    let percent = rows as f64 * 100.0 / max as f64;
    if percent == 0.0 {
        "0 %".to_owned()
    } else if percent < 10.0 {
        format!("{percent:.2} %")
    } else {
        format!("{percent:.0} %")
    }
}
