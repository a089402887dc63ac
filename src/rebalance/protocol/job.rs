//! The record of a job: everything that a resumed run knows.

use serde::{Deserialize, Serialize};

use super::event::Effect;
use super::phase::Phase;
use crate::names::{InstanceName, TableName, quote};
use crate::rebalance::moves::Move;

/// The format of the record this tool writes and reads.
pub const FORMAT: u32 = 1;

/// What kind of job it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Whole schemas change their instance, fenced before they are copied.
    OfflineRebalance,
    /// Whole schemas change their instance, copied while the application writes.
    OnlineRebalance,
}

impl Kind {
    /// The word for people and the journal.
    pub fn name(self) -> &'static str {
        match self {
            Kind::OfflineRebalance => "offline rebalance",
            Kind::OnlineRebalance => "online rebalance",
        }
    }
}

/// Which way rows flow: a log is followed on one side and applied on the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// From the sources to the targets.
    Forward,
    /// From the targets, once they own the rows, back to the sources.
    Back,
}

impl Way {
    /// The instance of this move whose log is followed.
    pub fn from(self, at: &Move) -> &InstanceName {
        match self {
            Way::Forward => &at.from,
            Way::Back => &at.to,
        }
    }

    /// The instance of this move that it is applied to.
    pub fn to(self, at: &Move) -> &InstanceName {
        match self {
            Way::Forward => &at.to,
            Way::Back => &at.from,
        }
    }
}

/// One physical table of a moving schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TableMove {
    /// Its name.
    pub table: TableName,
    /// The name it is hidden under while fenced, on the source and on the target alike: its
    /// definition can then be carried over as the source prints it.
    pub hidden: TableName,
    /// Rows on both sides and their checksum, once compared.
    pub evidence: Option<Evidence>,
}

/// What both servers said of one table when they were compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Evidence {
    /// Rows.
    pub rows: u64,
    /// Sum of the rows' 64-bit hashes, in decimal: it can pass 64 bits.
    pub checksum: String,
}

/// One moving schema with its tables.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SchemaMove {
    /// Which schema, from where to where.
    #[serde(flatten)]
    pub at: Move,
    /// The schema's default charset.
    pub charset: String,
    /// The schema's default collation.
    pub collation: String,
    /// Whether the target had the schema, empty, before the job: then it is not dropped on undo.
    pub target_had_schema: bool,
    /// Every base table of the schema.
    pub tables: Vec<TableMove>,
}

impl SchemaMove {
    /// `CREATE SCHEMA` for the target, which does nothing where the schema is there.
    pub fn create_schema_sql(&self) -> String {
        format!(
            "CREATE SCHEMA IF NOT EXISTS {} DEFAULT CHARACTER SET {} COLLATE {}",
            self.at.schema.quoted(),
            quote(&self.charset),
            quote(&self.collation),
        )
    }
}

/// A job: everything that a resumed run knows. What is not in here is not known after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Job {
    /// The record's format, [`FORMAT`].
    pub format: u32,
    /// A short random name, in lower-case hexadecimal.
    pub id: String,
    /// What kind of job it is.
    pub kind: Kind,
    /// Where it stands.
    pub phase: Phase,
    /// The lease under which the record was written last.
    pub epoch: u64,
    /// The schemas that move, with their tables: everything the job creates, renames or drops.
    pub moves: Vec<SchemaMove>,
    /// The version of the shard map that it started from.
    pub map_before: u64,
    /// The topology in force before it, as text.
    pub topology_before: String,
    /// The topology in force after it, as text.
    pub topology_after: String,
    /// Whether the source's copy is kept until someone finishes the job.
    pub keep_source: bool,
    /// Workers that copy and compare, for each run of the job.
    pub workers: u32,
    /// When it was started, in UTC, as text.
    pub started: String,
    /// Rows of source and target that differed when they were last compared, named; the first few.
    pub differences: Vec<String>,
    /// Online: where the sources' logs were before the first row was read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub positions: Vec<LogPlace>,
    /// Online: where the sources' logs were once every table was fenced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fenced_at: Vec<LogPlace>,
    /// Online: rows that differed when they were compared under load, to be looked at again behind
    /// the fence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspects: Vec<Suspects>,
    /// With a way back: where the targets' logs were before their tables got their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub back_from: Vec<LogPlace>,
    /// On the way back: where the targets' logs were once every table was fenced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub back_fenced_at: Vec<LogPlace>,
    /// Online: whether a person says when the switch is made.
    #[serde(default)]
    pub waits_for_cutover: bool,
    /// Why a switch was not made when it was tried last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hindrance: Option<String>,
    /// Commands of the user's to be run on the way.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// Targets that are not cleared when the job is taken back, for they are lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abandoned: Vec<InstanceName>,
}

impl Job {
    /// The version of the shard map that the switch commits, this way or back, and its topology.
    /// No other is committed while the job is open.
    pub fn map(&self, way: Way) -> (u64, &str) {
        match way {
            Way::Forward => (self.map_before + 1, &self.topology_after),
            Way::Back => (self.map_before + 2, &self.topology_before),
        }
    }

    /// Whether it can be rolled back once it is switched: the source's copy is kept, and what is
    /// written to the target is in a log that was followed before.
    pub fn has_way_back(&self) -> bool {
        self.kind == Kind::OnlineRebalance && self.keep_source
    }

    /// The name that table number `index` of the job is hidden under: at most 32 characters.
    pub fn hidden_name(id: &str, index: usize) -> String {
        format!("_shardctl_{id}_{index}")
    }

    /// Every instance that is a source or a target, each once, in order of the name.
    pub fn instances(&self) -> Vec<InstanceName> {
        let mut names: Vec<InstanceName> = self
            .moves
            .iter()
            .flat_map(|schema| [schema.at.from.clone(), schema.at.to.clone()])
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The instances that the job moves schemas to, each once, in order of the name.
    pub fn targets(&self) -> Vec<InstanceName> {
        let mut names: Vec<InstanceName> = self
            .moves
            .iter()
            .map(|schema| schema.at.to.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// What a person can do about it while it is open.
    pub fn way_on(&self) -> String {
        let (id, phase) = (&self.id, self.phase);
        if phase == Phase::Watch && self.has_way_back() {
            format!(
                "`shardctl job finish {id}` drops the source's copy, `shardctl job rollback {id}` goes \
                 back to it"
            )
        } else if phase == Phase::Watch {
            format!("`shardctl job finish {id}` drops the source's copy")
        } else if phase == Phase::Returned {
            format!("`shardctl job finish {id}` drops the target's copy")
        } else if phase == Phase::Ready {
            format!(
                "`shardctl job cutover {id}` switches, `shardctl job cancel {id}` takes it back"
            )
        } else if phase.can_cancel() {
            format!("`shardctl job resume {id}`, or `shardctl job cancel {id}`")
        } else {
            format!("`shardctl job resume {id}`")
        }
    }

    pub(super) fn alike(&self, evidence: Vec<Vec<Evidence>>, suspects: Vec<Suspects>) -> Job {
        let mut job = self.unsuspicious();
        job.suspects = suspects;
        for (schema, evidence) in job.moves.iter_mut().zip(evidence) {
            for (table, evidence) in schema.tables.iter_mut().zip(evidence) {
                table.evidence = Some(evidence);
            }
        }
        job
    }

    /// Without what an earlier look has found.
    pub(super) fn unsuspicious(&self) -> Job {
        Job {
            suspects: Vec::new(),
            differences: Vec::new(),
            hindrance: None,
            ..self.clone()
        }
    }

    pub(super) fn differing(&self, differences: Vec<String>) -> Job {
        Job {
            differences,
            hindrance: None,
            ..self.clone()
        }
    }

    pub(super) fn hindered(&self, reason: &str) -> Job {
        Job {
            hindrance: Some(reason.to_owned()),
            ..self.clone()
        }
    }

    pub(super) fn abandoning(&self, abandon: Vec<InstanceName>) -> Job {
        let mut job = self.clone();
        job.abandoned.extend(abandon);
        job.abandoned.sort();
        job.abandoned.dedup();
        job
    }

    pub(super) fn to(&self, phase: Phase, effect: Effect) -> (Job, Effect) {
        let job = Job {
            phase,
            ..self.clone()
        };
        (job, effect)
    }
}

/// Commands of the user's, each for the shell. They are run again where a run was killed over one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hooks {
    /// Once writers are refused; the switch waits for it, and is not made if it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_fence: Option<String>,
    /// Once the targets own the rows and serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_switch: Option<String>,
    /// Once the sources own the rows again and serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_rollback: Option<String>,
}

impl Hooks {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A place in an instance's log.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LogPlace {
    /// The instance.
    pub instance: InstanceName,
    /// Which server it was, so that another one's log is not taken for it.
    pub identity: String,
    /// The place.
    pub position: String,
}

/// Rows of a table that differed under load.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Suspects {
    /// The table's hidden name, which no other has.
    pub hidden: TableName,
    /// Their keys, as literals.
    pub keys: Vec<Vec<String>>,
}
