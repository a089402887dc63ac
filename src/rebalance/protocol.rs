//! The protocol of a rebalance, all of it: one pure [`step`] from a job and an event to the job
//! after it and the effect to perform.
//!
//! Two kinds of job share it. An offline one fences its writers before the first row is read. An
//! online one copies while they write: rows come by chunks that are locking reads, and by the log,
//! which is applied from before the first chunk until the fence; only what is left then is waited
//! for with writers refused.
//!
//! | phase | what is true in it | owner | a crash here | cancel here |
//! |---|---|---|---|---|
//! | [`Prepare`](Phase::Prepare) | some target schemas may exist, empty | source | resume prepares again | undo |
//! | [`Locate`](Phase::Locate) | online: as above, and the logs' positions are being read | source | resume reads them again | undo |
//! | [`LiveCopy`](Phase::LiveCopy) | online: positions from before the first chunk are recorded; hidden targets hold a part of the rows and of the log | source | resume goes on behind the last chunk and position | undo |
//! | [`Index`](Phase::Index) | online: every chunk is copied; secondary indexes are being built once the log has caught up | source | resume builds what lacks | undo |
//! | [`LiveVerify`](Phase::LiveVerify) | online: targets are whole but for the log's lag | source | resume compares again | undo |
//! | [`Cutover`](Phase::Cutover) | online: compared, but for rows that are named; some source tables may be hidden | source | resume fences the rest | undo |
//! | [`Drain`](Phase::Drain) | online: every source table is hidden, and the log's end is known | source | resume applies the rest | undo |
//! | [`Reopen`](Phase::Reopen) | online: the drain took too long or found a difference; some source tables may be visible again | source | resume un-fences the rest | undo |
//! | [`Fence`](Phase::Fence) | all targets are prepared; some source tables may carry hidden names | source | resume fences the rest | undo |
//! | [`Copy`](Phase::Copy) | every source table is hidden: nobody writes; targets hold a part of the rows under hidden names | source | resume goes on behind the last committed chunk | undo |
//! | [`Verify`](Phase::Verify) | every row was copied | source | resume compares again | undo |
//! | [`Switch`](Phase::Switch) | source and target were compared and are equal | source | resume commits | undo |
//! | [`Publish`](Phase::Publish) | the new shard map is committed: the point of no return is behind | target | resume publishes the rest | too late |
//! | [`Watch`](Phase::Watch) | targets serve; the source's tables are kept under hidden names | target | nothing runs | too late: finish |
//! | [`Finish`](Phase::Finish) | some of the kept tables may be dropped | target | resume drops the rest | too late |
//! | [`Done`](Phase::Done) | nothing of the source is left | target | - | - |
//! | [`Undo`](Phase::Undo) | some source tables may be visible again; the target is as it was left | source | resume un-fences the rest | runs already |
//! | [`Clear`](Phase::Clear) | the source is as it was and takes writes; some hidden target tables may be left | source | resume clears the rest | may abandon a target |
//! | [`Cancelled`](Phase::Cancelled) | the source is as it was, nothing of the target is left | source | - | - |
//!
//! # Why it holds
//!
//! - *Intention before effect.* The job with its new phase is saved before the effect of that
//!   phase begins, so whoever resumes knows what may have been done. Every effect may be performed
//!   again: it looks at what is there and does the rest.
//! - *One visible line.* The shard map's new version and the phase [`Publish`](Phase::Publish) are
//!   written in one transaction on the control instance. So the journal's phase says whether the
//!   map is committed, always; a lost answer is settled by reading the job again.
//! - *Two owners never accept writes.* A source table carries its hidden name from `Fence` until
//!   undone or dropped, a target table until `Publish`. `Undo` and `Publish` exclude each other:
//!   neither is left for the other.
//! - *A lost target keeps nobody waiting.* `Undo` needs the sources alone, so a job whose target is
//!   gone can be taken back; what is left there waits in `Clear` or is abandoned by name.
//! - *Log and copy never fight over a row.* The position is older than every chunk; a chunk leaves
//!   out the rows that the log touches while it is on its way and those that the log has brought
//!   (`rows::touched`); the log's changes are full images in order, applied as delete by key, then
//!   insert (`rebalance::apply`), each batch in one transaction with its position.
//! - *No target goes back.* A target is given nothing of the log that it has saved already, though
//!   its stream begins again at the oldest of its targets; and a run takes over the progress of
//!   every copy and every stream before it applies a change, so that its predecessor commits nothing.
//! - *The fence is the end of the log.* Renamed tables take no writes, so a position read after
//!   the renaming is behind every change of theirs.
//! - *Nothing is dropped on an error path.* Target objects are dropped in `Clear` only, the
//!   source's in `Finish` only, and only what the job lists. Both are decisions of a person (or of
//!   the flag that asked for it), not reactions to an error.

use serde::{Deserialize, Serialize};

use super::moves::Move;
use crate::names::{InstanceName, TableName, quote};

/// The format of the record this tool writes and reads.
pub const FORMAT: u32 = 1;

/// Where a job stands. Each says what is true once it is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The job is recorded and target schemas are being created,
    Prepare,
    /// then, online, the ends of the sources' logs are read,
    Locate,
    /// then rows are copied while the log is applied,
    LiveCopy,
    /// then secondary indexes are built,
    Index,
    /// then both sides are compared while the log is applied,
    LiveVerify,
    /// then the source's tables are renamed away from their writers,
    Cutover,
    /// then the log is applied to its end, after which the switch comes,
    Drain,
    /// unless that fails, and the source's tables are given their names back.
    Reopen,
    /// Offline, what was prepared is followed by a fence:
    /// the source's tables are renamed away from their writers,
    Fence,
    /// then their rows are copied under hidden names,
    Copy,
    /// then both sides are compared,
    Verify,
    /// then, both being equal, the new shard map is being committed,
    Switch,
    /// which is done now, and target tables are given their final names,
    Publish,
    /// under which they serve, while the source's copy is kept
    Watch,
    /// until it is dropped,
    Finish,
    /// and the job is over.
    Done,
    /// Before the commit it may be taken back: the source is being un-fenced,
    Undo,
    /// then the target is cleared of what was copied,
    Clear,
    /// and the job is over, the source as it was.
    Cancelled,
}

/// The side whose rows count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The instances of the shard map before the job.
    Source,
    /// The instances of the shard map after it.
    Target,
}

impl Phase {
    /// Every phase, in the order of a job that goes well; then those of one that is taken back.
    pub const ALL: [Phase; 19] = [
        Phase::Prepare,
        Phase::Locate,
        Phase::LiveCopy,
        Phase::Index,
        Phase::LiveVerify,
        Phase::Cutover,
        Phase::Drain,
        Phase::Reopen,
        Phase::Fence,
        Phase::Copy,
        Phase::Verify,
        Phase::Switch,
        Phase::Publish,
        Phase::Watch,
        Phase::Finish,
        Phase::Done,
        Phase::Undo,
        Phase::Clear,
        Phase::Cancelled,
    ];

    /// Whose rows count.
    pub fn owner(self) -> Owner {
        match self {
            Phase::Prepare
            | Phase::Locate
            | Phase::LiveCopy
            | Phase::Index
            | Phase::LiveVerify
            | Phase::Cutover
            | Phase::Drain
            | Phase::Reopen
            | Phase::Fence
            | Phase::Copy
            | Phase::Verify
            | Phase::Switch
            | Phase::Undo
            | Phase::Clear
            | Phase::Cancelled => Owner::Source,
            Phase::Publish | Phase::Watch | Phase::Finish | Phase::Done => Owner::Target,
        }
    }

    /// Whether the job can still be taken back.
    pub fn can_cancel(self) -> bool {
        match self {
            Phase::Prepare
            | Phase::Locate
            | Phase::LiveCopy
            | Phase::Index
            | Phase::LiveVerify
            | Phase::Cutover
            | Phase::Drain
            | Phase::Reopen
            | Phase::Fence
            | Phase::Copy
            | Phase::Verify
            | Phase::Switch => true,
            Phase::Publish
            | Phase::Watch
            | Phase::Finish
            | Phase::Done
            | Phase::Undo
            | Phase::Clear
            | Phase::Cancelled => false,
        }
    }

    /// Whether tables of the moving schemas may be there under hidden names only, so that neither
    /// side can be read as the shard map says.
    pub fn hides_tables(self) -> bool {
        match self {
            Phase::Cutover
            | Phase::Drain
            | Phase::Reopen
            | Phase::Fence
            | Phase::Copy
            | Phase::Verify
            | Phase::Switch
            | Phase::Publish
            | Phase::Undo => true,
            Phase::Prepare
            | Phase::Locate
            | Phase::LiveCopy
            | Phase::Index
            | Phase::LiveVerify
            | Phase::Watch
            | Phase::Finish
            | Phase::Done
            | Phase::Clear
            | Phase::Cancelled => false,
        }
    }

    /// Whether nothing is left to do.
    pub fn is_over(self) -> bool {
        match self {
            Phase::Done | Phase::Cancelled => true,
            Phase::Prepare
            | Phase::Locate
            | Phase::LiveCopy
            | Phase::Index
            | Phase::LiveVerify
            | Phase::Cutover
            | Phase::Drain
            | Phase::Reopen
            | Phase::Fence
            | Phase::Copy
            | Phase::Verify
            | Phase::Switch
            | Phase::Publish
            | Phase::Watch
            | Phase::Finish
            | Phase::Undo
            | Phase::Clear => false,
        }
    }

    /// The word for people, the journal and the exit of a stopped run.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Prepare => "prepare",
            Phase::Locate => "locate",
            Phase::LiveCopy => "live_copy",
            Phase::Index => "index",
            Phase::LiveVerify => "live_verify",
            Phase::Cutover => "cutover",
            Phase::Drain => "drain",
            Phase::Reopen => "reopen",
            Phase::Fence => "fence",
            Phase::Copy => "copy",
            Phase::Verify => "verify",
            Phase::Switch => "switch",
            Phase::Publish => "publish",
            Phase::Watch => "watch",
            Phase::Finish => "finish",
            Phase::Done => "done",
            Phase::Undo => "undo",
            Phase::Clear => "clear",
            Phase::Cancelled => "cancelled",
        }
    }

    /// What is true in this phase, for the `now:` line of an error.
    pub fn truth(self) -> &'static str {
        match self {
            Phase::Locate | Phase::LiveCopy | Phase::Index | Phase::LiveVerify => {
                "the source owns every row and takes writes; a copy is on the target under hidden names, in part"
            }
            Phase::Drain => {
                "the source owns every row and is fenced, so writes to it are refused; the target lacks the end of the log"
            }
            Phase::Prepare => "the source owns every row and takes writes; nothing was copied",
            Phase::Fence | Phase::Cutover | Phase::Reopen => {
                "the source owns every row; some of its tables may be fenced, so writes to them are refused"
            }
            Phase::Copy | Phase::Verify | Phase::Switch => {
                "the source owns every row and is fenced, so writes to it are refused; nothing was switched"
            }
            Phase::Publish => {
                "the shard map is switched: the target owns every row; some of its tables may not carry their final names yet"
            }
            Phase::Watch => "the target owns every row and serves; the source's copy is kept",
            Phase::Finish => {
                "the target owns every row and serves; the source's copy is partly dropped"
            }
            Phase::Done => "the target owns every row; nothing of the source is left",
            Phase::Undo => {
                "the source owns every row; some of its tables may still be fenced, so writes to them are refused"
            }
            Phase::Clear => {
                "the source owns every row and takes writes as before; what was copied is still on the target in part, under hidden names"
            }
            Phase::Cancelled => "the source owns every row and is as it was",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

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
    /// Targets that are not cleared when the job is taken back, for they are lost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abandoned: Vec<InstanceName>,
}

impl Job {
    /// The version of the shard map that the switch commits.
    pub fn map_after(&self) -> u64 {
        self.map_before + 1
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
        if phase == Phase::Watch {
            format!("`shardctl job finish {id}` drops the source's copy")
        } else if phase.can_cancel() {
            format!("`shardctl job resume {id}`, or `shardctl job cancel {id}`")
        } else {
            format!("`shardctl job resume {id}`")
        }
    }

    fn with_evidence(mut self, evidence: Vec<Vec<Evidence>>) -> Job {
        self.differences.clear();
        for (schema, evidence) in self.moves.iter_mut().zip(evidence) {
            for (table, evidence) in schema.tables.iter_mut().zip(evidence) {
                table.evidence = Some(evidence);
            }
        }
        self
    }

    fn abandoning(&self, abandon: Vec<InstanceName>) -> Job {
        let mut job = self.clone();
        job.abandoned.extend(abandon);
        job.abandoned.sort();
        job.abandoned.dedup();
        job
    }

    fn to(&self, phase: Phase, effect: Effect) -> (Job, Effect) {
        let job = Job {
            phase,
            ..self.clone()
        };
        (job, effect)
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

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// A run begins, the first or a later one.
    Resumed,
    /// Every target schema is there.
    Prepared,
    /// The sources' logs were read to these places.
    Located {
        /// One for each source.
        positions: Vec<LogPlace>,
    },
    /// Every secondary index is there.
    Indexed,
    /// Both sides hold the same rows, but for these, whose difference may be the log's lag.
    Alike {
        /// In the order of the job's schemas and tables.
        evidence: Vec<Vec<Evidence>>,
        /// To be looked at again behind the fence.
        suspects: Vec<Suspects>,
    },
    /// Every source table is hidden, and the logs end here.
    FencedAt {
        /// One for each source.
        positions: Vec<LogPlace>,
    },
    /// The targets have everything that the sources have.
    Drained,
    /// The log's end was not reached before the deadline.
    TooSlow,
    /// Every source table is hidden.
    Fenced,
    /// Every row is on its target.
    Copied,
    /// Both sides hold the same rows; for each schema and table of the job what they said.
    Equal {
        /// In the order of the job's schemas and tables.
        evidence: Vec<Vec<Evidence>>,
    },
    /// Both sides differ.
    Different {
        /// The first rows, named.
        differences: Vec<String>,
    },
    /// The shard map is committed, together with the job that [`step`] gives for this event.
    Committed,
    /// Every target table has its final name and every instance the new shard map.
    Published,
    /// The source's copy is gone.
    Dropped,
    /// The source is as it was and takes writes.
    Unfenced,
    /// Nothing is left on a target that was not abandoned.
    Cleared,
    /// A person wants the job taken back, and clears the targets but for these, which are lost.
    CancelRequested {
        /// Targets of the job.
        abandon: Vec<InstanceName>,
    },
    /// A person has no more use for the source's copy.
    FinishRequested,
}

/// What to do next. Each may be done again after it was done in part or in whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Create the target schemas. Answer: [`Event::Prepared`].
    PrepareTargets,
    /// Read where the sources' logs end. Answer: [`Event::Located`].
    ReadPositions,
    /// Create the hidden target tables without secondary indexes, apply the log and copy the rows.
    /// Answer: [`Event::Copied`].
    CopyLive,
    /// Once the log has caught up, build the secondary indexes. Answer: [`Event::Indexed`].
    BuildIndexes,
    /// Compare the sides while the log is applied. Answer: [`Event::Alike`] or
    /// [`Event::Different`].
    CompareLive,
    /// Hide the source's tables as [`Effect::FenceSource`] does, then read where its log ends.
    /// Answer: [`Event::FencedAt`].
    FenceLive,
    /// Apply the log to its end and look at the suspects again. Answer: [`Event::Drained`],
    /// [`Event::Different`] or [`Event::TooSlow`].
    DrainLog,
    /// Rename every table of each source schema to its hidden name, a schema at a time, each at
    /// one stroke. Answer: [`Event::Fenced`].
    FenceSource,
    /// Create the hidden target tables and copy the rows. Answer: [`Event::Copied`].
    CopyRows,
    /// See that nothing took the fenced names and compare the sides by another path than the
    /// copy. Answer: [`Event::Equal`] or [`Event::Different`].
    Compare,
    /// Commit the shard map and the job after [`Event::Committed`] in one transaction: the point
    /// of no return.
    CommitShardMap,
    /// Give the target tables their final names, a schema at a time, then write the shard map on
    /// every instance. Answer: [`Event::Published`].
    PublishTargets,
    /// Drop the source's hidden tables, and its schema where that leaves it empty. Answer:
    /// [`Event::Dropped`].
    DropSource,
    /// Give the source tables their names back; needs no target. Answer: [`Event::Unfenced`].
    UnfenceSource,
    /// Drop the target's hidden tables, and its schema where it is empty and the job made it, but
    /// for abandoned targets. Answer: [`Event::Cleared`].
    ClearTargets,
    /// Nothing, until a person decides.
    Wait,
    /// Nothing any more.
    End,
}

/// An event that has no place in the job's phase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a job in phase {phase} cannot take {event}")]
pub struct Misplaced {
    /// The phase.
    pub phase: Phase,
    /// The event, in words.
    pub event: String,
}

/// The protocol: the job after the event and what to do then. The job is saved before the effect
/// is begun.
///
/// # Errors
/// The event has no place in this phase; the job stays what it is.
pub fn step(job: &Job, event: Event) -> Result<(Job, Effect), Misplaced> {
    use Effect::{
        BuildIndexes, ClearTargets, CommitShardMap, Compare, CompareLive, CopyLive, CopyRows,
        DrainLog, DropSource, End, FenceLive, FenceSource, PrepareTargets, PublishTargets,
        ReadPositions, UnfenceSource, Wait,
    };
    use Phase::{
        Cancelled, Clear, Copy, Cutover, Done, Drain, Fence, Finish, Index, LiveCopy, LiveVerify,
        Locate, Prepare, Publish, Reopen, Switch, Undo, Verify, Watch,
    };
    Ok(match (job.phase, event) {
        (Prepare, Event::Resumed) => job.to(Prepare, PrepareTargets),
        (Prepare, Event::Prepared) => match job.kind {
            Kind::OfflineRebalance => job.to(Fence, FenceSource),
            Kind::OnlineRebalance => job.to(Locate, ReadPositions),
        },

        (Locate, Event::Resumed) => job.to(Locate, ReadPositions),
        // Saved before the first row is read: the position is older than every chunk.
        (Locate, Event::Located { positions }) => {
            let (mut after, effect) = job.to(LiveCopy, CopyLive);
            after.positions = positions;
            (after, effect)
        }

        (LiveCopy, Event::Resumed) => job.to(LiveCopy, CopyLive),
        (LiveCopy, Event::Copied) => job.to(Index, BuildIndexes),

        (Index, Event::Resumed) => job.to(Index, BuildIndexes),
        (Index, Event::Indexed) => job.to(LiveVerify, CompareLive),

        (LiveVerify, Event::Resumed) => job.to(LiveVerify, CompareLive),
        (LiveVerify, Event::Different { differences }) => {
            let (mut after, effect) = job.to(LiveVerify, Wait);
            after.differences = differences;
            (after, effect)
        }
        (LiveVerify, Event::Alike { evidence, suspects }) => {
            let (after, effect) = job.to(Cutover, FenceLive);
            let mut after = after.with_evidence(evidence);
            after.suspects = suspects;
            (after, effect)
        }

        (Cutover, Event::Resumed) => job.to(Cutover, FenceLive),
        (Cutover, Event::FencedAt { positions }) => {
            let (mut after, effect) = job.to(Drain, DrainLog);
            after.fenced_at = positions;
            (after, effect)
        }

        (Drain, Event::Resumed) => job.to(Drain, DrainLog),
        (Drain, Event::Drained) => job.to(Switch, CommitShardMap),
        (Drain, Event::TooSlow) => job.to(Reopen, UnfenceSource),
        (Drain, Event::Different { differences }) => {
            let (mut after, effect) = job.to(Reopen, UnfenceSource);
            after.differences = differences;
            (after, effect)
        }

        (Reopen, Event::Resumed) => job.to(Reopen, UnfenceSource),
        // A person decides when the writers are refused once more.
        (Reopen, Event::Unfenced) => job.to(LiveVerify, Wait),

        (Fence, Event::Resumed) => job.to(Fence, FenceSource),
        (Fence, Event::Fenced) => job.to(Copy, CopyRows),

        (Copy, Event::Resumed) => job.to(Copy, CopyRows),
        (Copy, Event::Copied) => job.to(Verify, Compare),

        (Verify, Event::Resumed) => job.to(Verify, Compare),
        (Verify, Event::Different { differences }) => {
            let (mut after, effect) = job.to(Verify, Wait);
            after.differences = differences;
            (after, effect)
        }
        (Verify, Event::Equal { evidence }) => {
            let (after, effect) = job.to(Switch, CommitShardMap);
            (after.with_evidence(evidence), effect)
        }

        (Switch, Event::Resumed) => job.to(Switch, CommitShardMap),
        // The point of no return: saved in the transaction that commits the shard map.
        (Switch, Event::Committed) => job.to(Publish, PublishTargets),

        (Publish, Event::Resumed) => job.to(Publish, PublishTargets),
        (Publish, Event::Published) if job.keep_source => job.to(Watch, Wait),
        (Publish, Event::Published) => job.to(Finish, DropSource),

        (Watch, Event::Resumed) => job.to(Watch, Wait),
        (Watch, Event::FinishRequested) => job.to(Finish, DropSource),

        (Finish, Event::Resumed | Event::FinishRequested) => job.to(Finish, DropSource),
        (Finish, Event::Dropped) => job.to(Done, End),

        (phase, Event::CancelRequested { abandon }) if phase.can_cancel() || phase == Undo => {
            job.abandoning(abandon).to(Undo, UnfenceSource)
        }
        (Undo, Event::Resumed) => job.to(Undo, UnfenceSource),
        (Undo, Event::Unfenced) => job.to(Clear, ClearTargets),

        (Clear, Event::CancelRequested { abandon }) => {
            job.abandoning(abandon).to(Clear, ClearTargets)
        }
        (Clear, Event::Resumed) => job.to(Clear, ClearTargets),
        (Clear, Event::Cleared) => job.to(Cancelled, End),

        (Done, Event::Resumed) => job.to(Done, End),
        (Cancelled, Event::Resumed) => job.to(Cancelled, End),

        (phase, event) => {
            return Err(Misplaced {
                phase,
                event: event.words().to_owned(),
            });
        }
    })
}

impl Event {
    fn words(&self) -> &'static str {
        match self {
            Event::Resumed => "a resume",
            Event::Prepared => "prepared targets",
            Event::Located { .. } => "located logs",
            Event::Indexed => "built indexes",
            Event::Alike { .. } => "an equal comparison under load",
            Event::FencedAt { .. } => "a fenced source and its log's end",
            Event::Drained => "a drained log",
            Event::TooSlow => "a drain that took too long",
            Event::Fenced => "a fenced source",
            Event::Copied => "copied rows",
            Event::Equal { .. } => "an equal comparison",
            Event::Different { .. } => "a comparison with differences",
            Event::Committed => "a committed shard map",
            Event::Published => "published targets",
            Event::Dropped => "a dropped source",
            Event::Unfenced => "an un-fenced source",
            Event::Cleared => "cleared targets",
            Event::CancelRequested { .. } => "a cancel",
            Event::FinishRequested => "a finish",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(phase: Phase) -> Job {
        Job {
            format: FORMAT,
            id: "7f2a01".to_owned(),
            kind: Kind::OfflineRebalance,
            phase,
            epoch: 1,
            moves: Vec::new(),
            map_before: 1,
            topology_before: String::new(),
            topology_after: String::new(),
            keep_source: false,
            workers: 1,
            started: String::new(),
            differences: Vec::new(),
            positions: Vec::new(),
            fenced_at: Vec::new(),
            suspects: Vec::new(),
            abandoned: Vec::new(),
        }
    }

    const CANCEL: Event = Event::CancelRequested {
        abandon: Vec::new(),
    };

    #[test]
    fn a_resumed_job_has_a_next_effect_in_every_phase() {
        for phase in Phase::ALL {
            let (after, effect) = step(&job(phase), Event::Resumed).unwrap();
            assert_eq!(after.phase, phase, "a resume alone changes nothing");
            assert_eq!(effect == Effect::End, phase.is_over(), "{phase}");
        }
    }

    #[test]
    fn cancel_is_taken_exactly_where_the_phase_says_so() {
        for phase in Phase::ALL {
            let taken = step(&job(phase), CANCEL);
            match phase {
                Phase::Undo | Phase::Clear => assert!(taken.is_ok()),
                _ => assert_eq!(taken.is_ok(), phase.can_cancel(), "{phase}"),
            }
        }
        let error = step(&job(Phase::Publish), CANCEL).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a job in phase publish cannot take a cancel"
        );
    }

    #[test]
    fn the_record_reads_back() {
        let mut job = job(Phase::Copy);
        job.moves.push(SchemaMove {
            at: Move {
                shard: crate::names::ShardId(3),
                schema: "shop_03".parse().unwrap(),
                from: "db-1".parse().unwrap(),
                to: "db-2".parse().unwrap(),
            },
            charset: "utf8mb4".to_owned(),
            collation: "utf8mb4_bin".to_owned(),
            target_had_schema: false,
            tables: vec![TableMove {
                table: "member_03".parse().unwrap(),
                hidden: Job::hidden_name("7f2a01", 0).parse().unwrap(),
                evidence: None,
            }],
        });
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
    }
}
