//! What a rebalance would move, and what became of its job.

use serde::Serialize;

use super::{Report, View, bytes, count, counted, right_align};
use crate::names::{InstanceName, SchemaName, ShardId};
use crate::rebalance::protocol::{Job, Owner, Phase};

/// A schema that moves, or would.
#[derive(Debug, Clone, Serialize)]
pub struct MoveLine {
    /// The shard.
    pub shard: ShardId,
    /// Its schema.
    pub schema: SchemaName,
    /// The source.
    pub from: InstanceName,
    /// The target.
    pub to: InstanceName,
    /// Physical tables.
    pub tables: u64,
    /// Rows, as the source estimates them.
    pub rows: u64,
    /// Bytes, as the source estimates them.
    pub bytes: u64,
}

/// The moves that lead to the wanted topology.
#[derive(Debug, Clone, Serialize)]
pub struct MovesReport {
    /// The version of the shard map in force; `None` where none was written yet.
    pub shard_map_version: Option<u64>,
    /// The moves, in order of the shards.
    pub moves: Vec<MoveLine>,
    /// For each instance, how many schemas it holds before and after.
    pub placement: Vec<(InstanceName, u64, u64)>,
}

impl Report for MovesReport {
    fn text(&self, view: &View) -> String {
        if self.moves.is_empty() {
            return "nothing moves: every schema is where the wanted topology has it".to_owned();
        }
        let mut table = view.table(["shard", "schema", "from", "to", "tables", "rows", "size"]);
        for line in &self.moves {
            table.add_row([
                line.shard.to_string(),
                line.schema.to_string(),
                line.from.to_string(),
                line.to.to_string(),
                line.tables.to_string(),
                format!("~{}", count(line.rows)),
                bytes(line.bytes),
            ]);
        }
        right_align(&mut table, &[0, 4, 5, 6]);
        let mut text = table.to_string();
        text.push_str("\nschemas on each instance:");
        for (instance, before, after) in &self.placement {
            text.push_str(&if before == after {
                format!("  {instance} {before}")
            } else {
                format!("  {instance} {before} -> {after}")
            });
        }
        text
    }
}

/// A job.
#[derive(Debug, Clone, Serialize)]
pub struct JobReport {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: &'static str,
    /// Its phase.
    pub phase: Phase,
    /// Whose rows count.
    pub owner: Owner,
    /// Whether it can be taken back.
    pub can_cancel: bool,
    /// What is true now.
    pub now: &'static str,
    /// When it was started, in UTC.
    pub started: String,
    /// When it was saved last, in UTC.
    pub updated: String,
    /// The shard map's version before it.
    pub shard_map_before: u64,
    /// The schemas that it moves.
    pub moves: Vec<JobMove>,
    /// Rows compared and found equal on both sides.
    pub rows_equal: u64,
    /// Rows that differed when last compared, named; the first few.
    pub differences: Vec<String>,
    /// Why a switch was not made when it was tried last.
    pub hindrance: Option<String>,
    /// Where the logs of the targets begin that a way back needs; those behind what has been applied
    /// are not needed any more.
    pub way_back: Vec<WayBack>,
    /// Targets that were lost and not cleared when the job was taken back.
    pub abandoned: Vec<InstanceName>,
}

/// The place in a target's log from which it can be applied to the source.
#[derive(Debug, Clone, Serialize)]
pub struct WayBack {
    /// The target.
    pub instance: InstanceName,
    /// The place.
    pub position: String,
}

/// A schema that a job moves, with the evidence of the comparison.
#[derive(Debug, Clone, Serialize)]
pub struct JobMove {
    /// The schema.
    pub schema: SchemaName,
    /// The source.
    pub from: InstanceName,
    /// The target.
    pub to: InstanceName,
    /// Its tables.
    pub tables: Vec<JobTable>,
}

/// A table that a job moves.
#[derive(Debug, Clone, Serialize)]
pub struct JobTable {
    /// Its name.
    pub table: String,
    /// The name it is hidden under while it moves, and on the source until that is dropped.
    pub hidden: String,
    /// Rows on both sides, once compared.
    pub rows: Option<u64>,
    /// The sum of the rows' hashes on both sides, once compared.
    pub checksum: Option<String>,
}

impl JobReport {
    /// The report of a job that was saved at `updated`.
    pub fn new(job: &Job, updated: &str) -> Self {
        let moves: Vec<JobMove> = job
            .moves
            .iter()
            .map(|schema| JobMove {
                schema: schema.at.schema.clone(),
                from: schema.at.from.clone(),
                to: schema.at.to.clone(),
                tables: schema
                    .tables
                    .iter()
                    .map(|table| JobTable {
                        table: table.table.to_string(),
                        hidden: table.hidden.to_string(),
                        rows: table.evidence.as_ref().map(|evidence| evidence.rows),
                        checksum: table
                            .evidence
                            .as_ref()
                            .map(|evidence| evidence.checksum.clone()),
                    })
                    .collect(),
            })
            .collect();
        Self {
            id: job.id.clone(),
            kind: job.kind.name(),
            phase: job.phase,
            owner: job.phase.owner(),
            can_cancel: job.phase.can_cancel(),
            now: job.phase.truth(),
            started: job.started.clone(),
            updated: updated.to_owned(),
            shard_map_before: job.map_before,
            rows_equal: moves
                .iter()
                .flat_map(|schema| &schema.tables)
                .filter_map(|table| table.rows)
                .sum(),
            moves,
            differences: job.differences.clone(),
            hindrance: job.hindrance.clone(),
            way_back: job
                .back_from
                .iter()
                .filter(|_| !job.phase.is_over())
                .map(|place| WayBack {
                    instance: place.instance.clone(),
                    position: place.position.clone(),
                })
                .collect(),
            abandoned: job.abandoned.clone(),
        }
    }
}

impl Report for JobReport {
    fn text(&self, _: &View) -> String {
        let mut text = format!(
            "job {}: {}, phase {}\nnow: {}",
            self.id, self.kind, self.phase, self.now
        );
        let tables: usize = self.moves.iter().map(|schema| schema.tables.len()).sum();
        text.push_str(&format!(
            "\nmoves {} with {}",
            counted(self.moves.len() as u64, "schema"),
            counted(tables as u64, "table")
        ));
        if self.rows_equal > 0 {
            text.push_str(&format!(
                "; {} rows were compared on both servers and are equal",
                count(self.rows_equal)
            ));
        }
        for schema in &self.moves {
            text.push_str(&format!(
                "\n  {}: {} -> {}",
                schema.schema, schema.from, schema.to
            ));
        }
        for instance in &self.abandoned {
            text.push_str(&format!(
                "\nabandoned: {instance}, where hidden tables may be left"
            ));
        }
        if let Some(reason) = &self.hindrance {
            text.push_str(&format!("\nnot switched: {reason}"));
        }
        if self.phase == Phase::Watch {
            for place in &self.way_back {
                text.push_str(&format!(
                    "\na way back needs the log of {} that was not applied yet, at most from {} on",
                    place.instance, place.position
                ));
            }
        }
        for difference in &self.differences {
            text.push_str(&format!("\nDIFFERS: {difference}"));
        }
        text
    }
}

/// The same job with every table's evidence.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct JobEvidence(pub JobReport);

impl Report for JobEvidence {
    fn text(&self, view: &View) -> String {
        let mut text = self.0.text(view);
        text.push_str(&format!(
            "\nstarted {}, saved last {} UTC; shard map version {} before it",
            self.0.started, self.0.updated, self.0.shard_map_before
        ));
        let mut table = view.table(["schema", "table", "rows", "checksum on both sides"]);
        for schema in &self.0.moves {
            for line in &schema.tables {
                table.add_row([
                    schema.schema.to_string(),
                    line.table.clone(),
                    line.rows.map(count).unwrap_or_default(),
                    line.checksum.clone().unwrap_or_default(),
                ]);
            }
        }
        right_align(&mut table, &[2, 3]);
        text.push_str(&format!("\n{table}"));
        text
    }
}

/// Every job of the cluster.
#[derive(Debug, Clone, Serialize)]
pub struct JobsReport {
    /// Who runs one at present.
    pub running: Option<String>,
    /// The jobs, the newest first.
    pub jobs: Vec<JobReport>,
}

impl Report for JobsReport {
    fn text(&self, view: &View) -> String {
        if self.jobs.is_empty() {
            return "there are no jobs".to_owned();
        }
        let mut table = view.table(["job", "kind", "phase", "owner", "schemas", "saved (UTC)"]);
        for job in &self.jobs {
            table.add_row([
                job.id.clone(),
                job.kind.to_owned(),
                job.phase.to_string(),
                match job.owner {
                    Owner::Source => "source".to_owned(),
                    Owner::Target => "target".to_owned(),
                },
                job.moves.len().to_string(),
                job.updated.clone(),
            ]);
        }
        right_align(&mut table, &[4]);
        match &self.running {
            Some(holder) => format!("{table}\nrunning now: {holder}"),
            None => table.to_string(),
        }
    }
}
