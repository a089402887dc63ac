//! What `create` did, or would do.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Report, View};
use crate::topology::create::{Drift, Step};

/// The outcome of `create`.
#[derive(Debug, Clone, Serialize)]
pub struct CreateReport {
    /// Whether nothing was run.
    pub dry_run: bool,
    /// Schemas created (or to be created).
    pub schemas: u64,
    /// Tables created (or to be created).
    pub tables: u64,
    /// Tables that were there and agree.
    pub agreeing: u64,
    /// Tables that were there and differ; left as they are.
    pub drift: Vec<Drift>,
    /// The statements run (or to be run).
    pub steps: Vec<Step>,
    /// The version of the shard map in force; `None` after a dry run.
    pub shard_map_version: Option<u64>,
}

impl Report for CreateReport {
    fn text(&self, _: &View) -> String {
        let mut text = String::new();
        if self.dry_run {
            let mut by_instance: BTreeMap<&str, Vec<&Step>> = BTreeMap::new();
            for step in &self.steps {
                by_instance
                    .entry(step.instance.as_str())
                    .or_default()
                    .push(step);
            }
            for (instance, steps) in by_instance {
                text.push_str(&format!("-- instance {instance}\n"));
                for step in steps {
                    text.push_str(step.sql.trim_end().trim_end_matches(';'));
                    text.push_str(";\n");
                }
            }
        }
        let verb = if self.dry_run { "to create" } else { "created" };
        let comment = if self.dry_run { "-- " } else { "" };
        text.push_str(&format!(
            "{comment}{verb}: {} schemas, {} tables; there already and as wanted: {} tables",
            self.schemas, self.tables, self.agreeing
        ));
        if let Some(version) = self.shard_map_version {
            text.push_str(&format!("; shard map version {version} is in force"));
        }
        if !self.drift.is_empty() {
            text.push_str(&format!(
                "\n{comment}DRIFT: {} tables differ from the topology and were left as they are",
                self.drift.len()
            ));
            for drift in &self.drift {
                text.push_str(&format!(
                    "\n{comment}  {}: {}",
                    drift.table,
                    drift.differences.join("; ")
                ));
            }
        }
        text
    }
}
