//! What happens to a job, and what it does.

use super::job::{Evidence, LogPlace, Suspects, Way};
use super::phase::Phase;
use crate::names::InstanceName;

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// A run begins, the first or a later one.
    Resumed,
    /// Every target schema is there.
    Prepared,
    /// The logs end here.
    Located {
        /// One for each instance whose log is to be followed.
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
    /// A row that was written on each target has come to the sources by the stream back.
    Tried,
    /// Every table of the side that serves is hidden, and its logs end here.
    FencedAt {
        /// One for each instance whose log is followed.
        positions: Vec<LogPlace>,
    },
    /// The one side has everything that the other has.
    Drained,
    /// Something is in the way of the switch, and writers should not wait for it.
    Hindered {
        /// What, for people.
        reason: String,
    },
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
    /// The shard map is committed, together with the job that [`step`](super::step) gives for this event.
    Committed,
    /// Every table of the new owner has its name and every instance the new shard map.
    Published,
    /// The source's copy is gone.
    Dropped,
    /// The owner's tables have their names back and take writes.
    Unfenced,
    /// Nothing is left on a target that was not abandoned.
    Cleared,
    /// A person wants the job taken back, and clears the targets but for these, which are lost.
    CancelRequested {
        /// Targets of the job.
        abandon: Vec<InstanceName>,
    },
    /// A person has no more use for the copy that is kept.
    FinishRequested,
    /// A person wants the switch made.
    CutoverRequested,
    /// A person wants the source to own the rows again, with all that was written since.
    RollbackRequested {
        /// Whether both sides are to be compared first.
        compare: bool,
    },
}

/// What to do next. Each may be done again after it was done in part or in whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Create the target schemas. Answer: [`Event::Prepared`].
    PrepareTargets,
    /// Read where the logs end that are to be followed this way. Answer: [`Event::Located`].
    ReadPositions(Way),
    /// Create the hidden target tables without secondary indexes, apply the log and copy the rows.
    /// Answer: [`Event::Copied`].
    CopyLive,
    /// Once the log has caught up, build the secondary indexes. Answer: [`Event::Indexed`].
    BuildIndexes,
    /// Compare the sides while the log is applied. Answer: [`Event::Alike`] or
    /// [`Event::Different`].
    CompareLive(Way),
    /// Apply the log until a person decides.
    KeepUp,
    /// Begin to follow the targets' logs and see a row that is written there arrive on the sources.
    /// Answer: [`Event::Tried`].
    TryBack,
    /// Hide the tables of the side that serves as [`Effect::FenceSource`] does, then read where its
    /// log ends. Answer: [`Event::FencedAt`].
    FenceLive(Way),
    /// Apply the log to its end and look at the suspects again. Answer: [`Event::Drained`],
    /// [`Event::Different`] or [`Event::TooSlow`].
    DrainLog(Way),
    /// Apply the targets' logs to the sources until a person decides.
    KeepBack,
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
    CommitShardMap(Way),
    /// Give the tables of the new owner their names, all of an instance at one stroke, then write
    /// the shard map on every instance. Answer: [`Event::Published`].
    Publish(Way),
    /// Drop the source's hidden tables, and its schema where that leaves it empty. Answer:
    /// [`Event::Dropped`].
    DropSource,
    /// Give the tables that were fenced this way their names back; needs no instance of the other
    /// side. Answer: [`Event::Unfenced`].
    Unfence(Way),
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

impl Event {
    pub(super) fn words(&self) -> &'static str {
        match self {
            Event::Resumed => "a resume",
            Event::Prepared => "prepared targets",
            Event::Located { .. } => "located logs",
            Event::Indexed => "built indexes",
            Event::Alike { .. } => "an equal comparison under load",
            Event::FencedAt { .. } => "fenced tables and their log's end",
            Event::Tried => "a stream back that works",
            Event::Hindered { .. } => "a hindrance",
            Event::Drained => "a drained log",
            Event::TooSlow => "a drain that took too long",
            Event::Fenced => "a fenced source",
            Event::Copied => "copied rows",
            Event::Equal { .. } => "an equal comparison",
            Event::Different { .. } => "a comparison with differences",
            Event::Committed => "a committed shard map",
            Event::Published => "published tables",
            Event::Dropped => "a dropped source",
            Event::Unfenced => "un-fenced tables",
            Event::Cleared => "cleared targets",
            Event::CancelRequested { .. } => "a cancel",
            Event::FinishRequested => "a finish",
            Event::CutoverRequested => "a cutover",
            Event::RollbackRequested { .. } => "a rollback",
        }
    }
}
