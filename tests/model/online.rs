//! The online protocol: rows are copied and the log is applied while the application writes.
//!
//! # What is real
//!
//! [`step`] with the job's record as it is saved; the positions of a log as texts; [`Touched`] with
//! the keys it is told of; [`coalesce`], whose batches are executed as they stand: deletes, then
//! plain inserts, of which a clash is a failure of the promise.
//!
//! # What is modelled
//!
//! - *Sources*: tables of one or two rows, whose content is a version that no other write has.
//!   A transaction inserts, updates, deletes or gives a row another key (with its version, which is
//!   its value in a unique index). It is in the log first and visible and acknowledged later; until
//!   then it holds its row's lock, for which a chunk's read and the table's renaming wait.
//! - *Targets*: tables with the progress of their copy and of each stream, which are saved with the
//!   rows in a transaction that looks at the epoch. Once they serve, they are written to, and that is
//!   in their log, from which a stream goes back to the sources' hidden tables; or does not, where
//!   the log cannot be followed, which a marker would have told before the switch.
//! - *A process*: what `run::rebalance::online`, `run::live` and `mysql::live` do, a statement or a
//!   message at a time, in any order of its tasks: the main loop; for each table a copy whose chunks
//!   of one row are begun, read, decided and committed apart; for each source a stream whose events
//!   arrive and are applied in batches of one or of all, target after target, with the gate between
//!   chunk and log. Its memory is lost in a crash, at any point; one that was taken over goes on
//!   with its chunks and streams until it is refused. What goes through the one connection that
//!   holds an instance's lock is taken to end with the lease.
//! - *The world*: crashes, which are lost answers too, broken streams, a second operator, cancels at
//!   any time a run has ended or is taken over, a drain that takes too long, a row of a target lost.
//!
//! Coarser than the truth: a table is compared at one moment, and is looked at once, which leaves
//! more suspects; schemas are fenced one by one where an instance's are fenced at one stroke, which
//! leaves more states. Not in it: throttles, hooks, the offline copy, errors of a server, rows of
//! unequal spelling, transactions of several tables.
//!
//! # How far
//!
//! States as counted in a run. Each world has two writes unless it says otherwise; one row to a
//! table where two schemas move or a run is taken over, else two.
//!
//! | world | states |
//! |---|---|
//! | one schema, three writes | 115 232 |
//! | one schema, two crashes, a broken stream, a late drain | 322 196 |
//! | one schema, a takeover | 97 154 |
//! | one schema, a spoilt copy, a late drain | 50 562 |
//! | one schema, a broken stream, a late drain: does a run ever wait in vain | 52 377 |
//! | one source, two targets, a broken stream, updates only | 126 689 |
//! | two sources, two targets, a crash | 287 508 |
//!
//! And with a way back that may be asked for once:
//!
//! | world | states |
//! |---|---|
//! | one schema, a crash, a late drain | 141 417 |
//! | one schema of one row, a takeover | 47 950 |
//! | one schema of one row, a write, a crash, a spoilt source, a stream back that fails | 2 302 |
//! | from the copied state: two sources, two targets, three writes, two crashes | about 42 000 |
//! | from the copied state: two sources, one target, three writes, a crash, a broken stream | 61 271 |
//!
//! `SHARDCTL_MODEL=large` adds three writes with two crashes; a takeover with a crash and two rows;
//! one source and two targets with deletes and a crash; two sources and two targets with three
//! writes, two crashes and a late drain; and with a way back two sources and two targets with
//! that late drain, and from the beginning with a crash and a late drain, and two sources and one target with three writes, two
//! crashes and a takeover.
//!
//! [`FAULTS`] breaks each rule in turn: with each stands the promise that breaks and the number of
//! actions of a shortest way there.
//!
//! Two rules are stricter than they need be, which the search shows when they are given up (their
//! faults are therefore not in the table): rows that the log brought could be overwritten by a chunk
//! as long as touched ones are left out; and what a chunk leaves out could be what is applied in the
//! meantime rather than what arrives.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use shardctl::rebalance::apply::coalesce;
use shardctl::rebalance::protocol::{
    Effect, Event, Evidence, Job, Kind, LogPlace, Misplaced, Owner, Phase, Suspects, Way, step,
};
use shardctl::rows::change::RowChange;
use shardctl::rows::position::Position;
use shardctl::rows::shape::{ColumnShape, TableShape};
use shardctl::rows::touched::{RowKey, Touched};
use shardctl::rows::value::Value;
use stateright::{Checker, Model, Property};

use super::{Name, name, new_job};

/// Schemas that move, at most, each with one table.
const SCHEMAS: usize = 2;
/// Rows that a table can have.
const KEYS: usize = 2;
/// Transactions that a source's log can hold.
const LOG: usize = 4;

/// A rule of the protocol or of the loop around it, broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fault {
    None,
    /// A chunk is a plain SELECT, which does not wait for row locks.
    PlainRead,
    /// The log is followed from where it ends once the rows are read.
    PositionAfterRows,
    /// A resumed copy reads the positions anew.
    PositionAgain,
    /// Nothing remembers what the log touched while a chunk is on its way.
    NoTouched,
    /// As above, and the chunk overwrites what is there.
    NoTouchedOverwrite,
    /// No fault: a chunk overwrites what is there and was not touched.
    Overwrite,
    /// No fault: what the log touched is remembered when it is applied, not when it arrives.
    TouchedWhenApplied,
    /// Touched rows are remembered from after the read only.
    TouchedAfterRead,
    /// The log is applied while a chunk is decided and written.
    NoGate,
    /// A chunk is a plain INSERT of every row that the log did not touch.
    PlainInsert,
    /// A chunk's last key is committed before its rows.
    KeyBeforeRows,
    /// The log's position is committed before the rows.
    PositionBeforeRows,
    /// The rows are committed before the log's position.
    RowsBeforePosition,
    /// A target has again what it has already, where another of the stream lags behind.
    ReplayToAll,
    /// The stream begins at its newest target.
    NewestPosition,
    /// A run that was taken over applies the log on.
    StaleLog,
    /// A run that was taken over commits its chunk.
    StaleChunk,
    /// The log is followed before the copies are taken over.
    ClaimCopiesLate,
    /// Unique indexes are built before the log has caught up.
    IndexBeforeCatchUp,
    /// The log's end is read before the tables are fenced.
    EndBeforeFence,
    /// The fence is followed by the switch.
    NoDrain,
    /// The log is drained to where it was before the copy.
    DrainToStart,
    /// The comparison is a plain SELECT.
    PlainComparison,
    /// Rows that differed are not looked at again.
    SuspectsForgotten,
    /// Rows that differ behind the fence do not matter.
    SwitchOnDifference,
    /// A source that was opened again is drained without another fence.
    ReopenToDrain,
    /// A drain that takes too long leaves the source fenced.
    ReopenWithoutUnfence,
    /// A drain is resumed by nothing.
    NoWayOutOfDrain,
    /// A resumed run opens the source though the map is committed.
    UnfenceAfterSwitch,
    /// A cancel is taken though the map is committed.
    CancelAfterCommit,
    /// Targets get their names before the map is committed.
    PublishBeforeCommit,
    /// A cancel leaves out un-fencing.
    ClearBeforeUnfence,
    /// A run that was taken over saves the job.
    SaveWithoutEpoch,
    /// The stream back begins where the targets' logs end when it is begun, whenever that is.
    BackFromNow,
    /// The stream back is not waited for before the switch.
    MarkerNotAwaited,
    /// The position of the stream back is committed before the rows.
    BackPositionBeforeRows,
    /// A run that was taken over applies the targets' log on.
    StaleBack,
    /// A rollback leaves the targets' tables where they are.
    BackWithoutFence,
    /// The end of the targets' log is read before they are fenced.
    BackEndBeforeFence,
    /// A rollback is fenced and not drained.
    BackWithoutDrain,
    /// Rows that differ on the way back do not matter.
    BackOnDifference,
    /// Rows that differed before the fence are not looked at again on the way back.
    BackSuspectsForgotten,
    /// Sources get their names before the old map is committed.
    BackPublishBeforeCommit,
    /// A way back that takes too long leaves the targets fenced.
    BackReopenWithoutUnfence,
    /// A way back is taken back though the old map is committed.
    BackCancelAfterCommit,
    /// The source's copy is dropped in the middle of a way back.
    FinishOnTheWayBack,
    /// The targets are cleared as soon as they are drained.
    ClearBeforeReturn,
}

type Rows = [u8; KEYS];

/// A table of a source: a version for each key, 0 where there is no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Table {
    name: Name,
    rows: Rows,
    /// The rows after a transaction that is in the log and not visible yet.
    pending: Option<Rows>,
}

/// A table of a target, with the progress of its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Copy {
    name: Name,
    rows: Rows,
    /// Whether it has its unique index: no version twice.
    has_index: bool,
    /// Who may commit chunks.
    claim: Claim,
    /// Keys below this one are copied.
    next: u8,
    done: bool,
}

/// Whose epoch is saved with the progress. A run raises it to its own and commits only under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Claim {
    /// Nobody's who is alive, from before the stale run.
    Older,
    Stale,
    /// A run's that died after the stale one was taken over.
    Between,
    Current,
}

/// The progress of a source's stream on a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Progress {
    claim: Claim,
    saved: Option<u8>,
}

/// A transaction in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Transaction {
    schema: u8,
    before: Rows,
    after: Rows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Log {
    transactions: [Transaction; LOG],
    len: u8,
}

/// What of a job changes. The rest is the model's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Saved {
    phase: Phase,
    /// By way: where the logs are followed from, and where they end behind the fence.
    positions: [Option<[u8; SCHEMAS]>; 2],
    fenced_at: [Option<[u8; SCHEMAS]>; 2],
    /// A bit for each key.
    suspects: [u8; SCHEMAS],
}

/// A copy of a table under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
enum Chunk {
    #[default]
    Idle,
    Begun,
    /// A key and its version, none behind the last.
    Read(Option<(u8, u8)>),
    /// Decided, and the log kept off: the key, and the version, 0 where it is left out.
    Decided(Option<(u8, u8)>),
    /// Of [`Fault::KeyBeforeRows`].
    KeySaved(u8, u8),
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Copier {
    chunk: Chunk,
    /// The keys that arrived since `Touched` was told to begin, while it is.
    touched: Option<u8>,
}

/// A source's log being followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Stream {
    /// Transactions that arrived.
    read: u8,
    /// Transactions that are applied.
    at: u8,
    /// What those who wait were told of it.
    told: u8,
    /// A batch that some targets have: its end, and how many have it.
    batch: Option<(u8, u8)>,
    /// Of the faults that commit rows and position apart: one of both is committed.
    halfway: bool,
}

/// A process of the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Runner {
    job: Saved,
    effect: Effect,
    /// Parts of the effect that are done.
    at: u8,
    memo: [u8; SCHEMAS],
    /// By way and instance.
    live: [Option<[Stream; SCHEMAS]>; 2],
    copiers: [Copier; SCHEMAS],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct World {
    journal: Saved,
    /// How often a map was committed: once there, a second time back.
    map_commits: u8,
    source: [Table; SCHEMAS],
    target: [Copy; SCHEMAS],
    /// By way, the instance whose log it is and the one that it is applied to.
    progress: [[[Progress; SCHEMAS]; SCHEMAS]; 2],
    /// By way and instance; the targets' have what is written under the tables' own names.
    logs: [[Log; SCHEMAS]; 2],
    /// What was acknowledged, as rows.
    expected: [Rows; SCHEMAS],
    /// The process that holds the lease.
    runner: Option<Runner>,
    /// One that lost the lease and does not know.
    stale: Option<Runner>,
    writes: u8,
    crashes: u8,
    takeovers: u8,
    breaks: u8,
    deadlines: u8,
    corruptions: u8,
    rollbacks: u8,
    /// Whether the targets' logs cannot be followed, and how often that may still come.
    is_deaf: bool,
    deafs: u8,
    /// A row met another of the same key or unique value that it should not.
    clash: bool,
    /// Behind the fence rows differ, though no copy was spoilt.
    false_difference: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    /// A transaction of the application reaches the log of the source.
    Write(u8, Write),
    /// It can be seen and is acknowledged.
    Visible(u8),
    WriteTarget(u8, Write),
    Deafen,
    Start(Ask),
    Current(Act),
    Stale(Act),
    Crash,
    StaleEnds,
    Corrupt(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Write {
    Put(u8),
    Delete(u8),
    /// The row, its unique value with it, gets the other key.
    Move(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Ask {
    Resume,
    Cancel,
    Finish,
    Rollback,
}

/// What a process does next: its tasks run beside each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Act {
    Main,
    /// The deadline of a drain passes, or something else is in the way of a switch.
    TooSlow,
    Chunk(u8),
    Arrive(u8),
    /// Applies an instance's log up to here on the next instance that it concerns.
    Apply(Way, u8, u8),
    SaveIdle(Way, u8, u8),
    /// The log has nothing new, which those who wait are told.
    Idle(Way, u8),
    /// The connections of a stream break, and it is begun again.
    Break(Way, u8),
}

struct Online {
    fault: Fault,
    /// For each schema its source and its target.
    moves: &'static [(usize, usize)],
    keys: usize,
    /// Whether rows are deleted and moved too.
    deletes: bool,
    /// Whether versions are unique in a table, by a secondary index.
    unique: bool,
    writes: u8,
    crashes: u8,
    takeovers: u8,
    breaks: u8,
    deadlines: u8,
    corruptions: u8,
    /// Ways back that are asked for, and whether they compare first.
    rollbacks: u8,
    compares: bool,
    deafs: u8,
    /// Whether it begins with everything copied and compared.
    is_copied: bool,
    /// Whether the states are also searched for runs that wait for nothing.
    looks_for_stuck: bool,
    job: Job,
    shapes: Vec<Arc<TableShape>>,
    /// Whether a resume of it leads on, for each record that was seen: asked once.
    leads_on: Mutex<HashMap<Saved, bool>>,
}

/// A process after an action.
type After = Option<Runner>;

/// One schema.
const ONE: &[(usize, usize)] = &[(0, 0)];
/// Two schemas of one source, so one stream, to two targets.
const FORK: &[(usize, usize)] = &[(0, 0), (0, 1)];
/// Two sources to one target, so one stream back.
const JOIN: &[(usize, usize)] = &[(0, 0), (1, 0)];
/// Two sources and two targets.
const PAIR: &[(usize, usize)] = &[(0, 0), (1, 1)];

fn online(fault: Fault, moves: &'static [(usize, usize)]) -> Online {
    let names: Vec<(&str, &str)> = moves
        .iter()
        .map(|(from, to)| (["a", "b"][*from], ["c", "d"][*to]))
        .collect();
    let column = |name: &str| ColumnShape {
        name: name.to_owned(),
        kind: "int".to_owned(),
        ..ColumnShape::default()
    };
    let shape = |index| {
        Arc::new(TableShape {
            schema: format!("s{index}"),
            table: "t".to_owned(),
            columns: vec![column("id"), column("version")],
            key: vec![0],
        })
    };
    Online {
        fault,
        moves,
        keys: KEYS,
        deletes: true,
        unique: true,
        writes: 2,
        crashes: 0,
        takeovers: 0,
        breaks: 0,
        deadlines: 0,
        corruptions: 0,
        rollbacks: 0,
        compares: false,
        deafs: 0,
        is_copied: false,
        looks_for_stuck: false,
        job: new_job(Kind::OnlineRebalance, &names, false),
        shapes: (0..moves.len()).map(shape).collect(),
        leads_on: Mutex::default(),
    }
}

fn image(key: usize, version: u8) -> Vec<Value> {
    vec![Value::Int(key as i64), Value::Int(i64::from(version))]
}

fn number(value: &Value) -> usize {
    match value {
        Value::Int(number) => usize::try_from(*number).unwrap(),
        other => panic!("{other:?}"),
    }
}

impl Online {
    fn schemas(&self) -> usize {
        self.moves.len()
    }

    /// Instances whose log is followed this way.
    fn followed(&self, way: Way) -> usize {
        let followed = |schema| self.from(way, schema) + 1;
        (0..self.schemas()).map(followed).max().unwrap()
    }

    fn from(&self, way: Way, schema: usize) -> usize {
        match way {
            Way::Forward => self.moves[schema].0,
            Way::Back => self.moves[schema].1,
        }
    }

    fn to(&self, way: Way, schema: usize) -> usize {
        match way {
            Way::Forward => self.moves[schema].1,
            Way::Back => self.moves[schema].0,
        }
    }

    /// Instances that this one's log is applied to.
    fn targets_of(&self, way: Way, instance: usize) -> Vec<usize> {
        let mut targets: Vec<usize> = (0..self.schemas())
            .filter(|schema| self.from(way, *schema) == instance)
            .map(|schema| self.to(way, schema))
            .collect();
        targets.dedup();
        targets
    }

    fn places(&self, way: Way, places: [u8; SCHEMAS]) -> Vec<LogPlace> {
        let names = match way {
            Way::Forward => ["a", "b"],
            Way::Back => ["c", "d"],
        };
        (0..self.followed(way))
            .map(|instance| LogPlace {
                instance: name(names[instance]),
                identity: String::new(),
                position: Position::new("log.000001", places[instance].into()).to_string(),
            })
            .collect()
    }

    /// The record of a job, as `step` has it.
    fn job(&self, saved: &Saved) -> Job {
        let mut job = self.job.clone();
        job.phase = saved.phase;
        let places = |way, places: [Option<[u8; SCHEMAS]>; 2]| {
            places[way as usize]
                .map(|places| self.places(way, places))
                .unwrap_or_default()
        };
        job.positions = places(Way::Forward, saved.positions);
        job.back_from = places(Way::Back, saved.positions);
        job.fenced_at = places(Way::Forward, saved.fenced_at);
        job.back_fenced_at = places(Way::Back, saved.fenced_at);
        job.suspects = self.suspects(saved.suspects);
        job
    }

    fn suspects(&self, masks: [u8; SCHEMAS]) -> Vec<Suspects> {
        (0..self.schemas())
            .filter(|schema| masks[*schema] != 0)
            .map(|schema| Suspects {
                hidden: self.job.moves[schema].tables[0].hidden.clone(),
                keys: (0..KEYS)
                    .filter(|key| masks[schema] & 1 << key != 0)
                    .map(|key| vec![key.to_string()])
                    .collect(),
            })
            .collect()
    }

    fn saved(&self, job: &Job) -> Saved {
        let places = |places: &[LogPlace]| {
            if places.is_empty() {
                return None;
            }
            let mut all = [0; SCHEMAS];
            for (at, place) in all.iter_mut().zip(places) {
                *at = place.position.parse::<Position>().unwrap().offset as u8;
            }
            Some(all)
        };
        let mut suspects = [0; SCHEMAS];
        for one in &job.suspects {
            let schema = job
                .moves
                .iter()
                .position(|schema| schema.tables[0].hidden == one.hidden);
            for key in &one.keys {
                suspects[schema.unwrap()] |= 1 << key[0].parse::<u8>().unwrap();
            }
        }
        Saved {
            phase: job.phase,
            positions: [places(&job.positions), places(&job.back_from)],
            fenced_at: [places(&job.fenced_at), places(&job.back_fenced_at)],
            suspects,
        }
    }

    /// The real `step`, with the planted fault.
    fn step(&self, saved: &Saved, event: Event) -> Result<(Saved, Effect), Misplaced> {
        let to = |phase, effect| Ok((Saved { phase, ..*saved }, effect));
        match (self.fault, saved.phase, &event) {
            (Fault::PositionAgain, Phase::LiveCopy, Event::Resumed) => {
                return to(Phase::Locate, Effect::ReadPositions(Way::Forward));
            }
            (Fault::NoDrain, Phase::Cutover, Event::FencedAt { .. })
            | (Fault::SwitchOnDifference, Phase::Drain, Event::Different { .. }) => {
                return to(Phase::Switch, Effect::CommitShardMap(Way::Forward));
            }
            (Fault::ReopenToDrain, Phase::Reopen, Event::Unfenced) => {
                return to(Phase::Drain, Effect::DrainLog(Way::Forward));
            }
            (Fault::ReopenWithoutUnfence, Phase::Drain, Event::TooSlow) => {
                return to(Phase::LiveVerify, Effect::Wait);
            }
            (Fault::NoWayOutOfDrain, Phase::Drain, Event::Resumed) => {
                return Err(Misplaced {
                    phase: Phase::Drain,
                    event: "a resume".to_owned(),
                });
            }
            (Fault::UnfenceAfterSwitch, Phase::Publish, Event::Resumed) => {
                return to(Phase::Reopen, Effect::Unfence(Way::Forward));
            }
            (Fault::CancelAfterCommit, Phase::Publish, Event::CancelRequested { .. }) => {
                return to(Phase::Undo, Effect::Unfence(Way::Forward));
            }
            (Fault::PublishBeforeCommit, Phase::Drain, Event::Drained) => {
                return to(Phase::Switch, Effect::Publish(Way::Forward));
            }
            (Fault::BackWithoutDrain, Phase::FenceBack, Event::FencedAt { .. })
            | (Fault::BackOnDifference, Phase::DrainBack, Event::Different { .. }) => {
                return to(Phase::SwitchBack, Effect::CommitShardMap(Way::Back));
            }
            (Fault::BackPublishBeforeCommit, Phase::DrainBack, Event::Drained) => {
                return to(Phase::SwitchBack, Effect::Publish(Way::Back));
            }
            (Fault::BackReopenWithoutUnfence, Phase::DrainBack, Event::TooSlow) => {
                return to(Phase::Watch, Effect::Wait);
            }
            (Fault::BackCancelAfterCommit, Phase::PublishBack, Event::CancelRequested { .. }) => {
                return to(Phase::ReopenBack, Effect::Unfence(Way::Back));
            }
            (Fault::FinishOnTheWayBack, Phase::FenceBack, Event::FinishRequested) => {
                return to(Phase::Finish, Effect::DropSource);
            }
            (Fault::ClearBeforeReturn, Phase::DrainBack, Event::Drained) => {
                return to(Phase::ClearBack, Effect::ClearTargets);
            }
            (Fault::ClearBeforeUnfence, phase, Event::CancelRequested { .. })
                if phase.can_cancel() =>
            {
                return to(Phase::Clear, Effect::ClearTargets);
            }
            _ => {}
        }
        let (job, effect) = step(&self.job(saved), event)?;
        Ok((self.saved(&job), effect))
    }

    /// Makes an event of a done effect, saves and goes on. `None`: the process is over.
    fn finish(&self, world: &mut World, mut runner: Runner, who: Claim, event: Event) -> After {
        if who != Claim::Current && self.fault != Fault::SaveWithoutEpoch {
            return None;
        }
        let commits = event == Event::Committed;
        let (saved, effect) = self.step(&runner.job, event).ok()?;
        world.journal = saved;
        world.map_commits += u8::from(commits);
        // The run that switches ends there.
        if matches!(effect, Effect::Wait | Effect::End | Effect::KeepBack) {
            return None;
        }
        runner.job = saved;
        runner.effect = effect;
        runner.at = 0;
        runner.memo = [0; SCHEMAS];
        runner.copiers = [Copier::default(); SCHEMAS];
        Some(runner)
    }

    /// Follows every log of this way from the oldest place that has been saved of it.
    fn follow(&self, world: &mut World, runner: &mut Runner, who: Claim, way: Way) -> Option<()> {
        if way == Way::Back && world.is_deaf && self.fault != Fault::MarkerNotAwaited {
            return None;
        }
        let mut live = [Stream::default(); SCHEMAS];
        for (instance, stream) in live.iter_mut().enumerate().take(self.followed(way)) {
            let begin = self.begin(world, runner, who, way, instance)?;
            *stream = Stream {
                read: begin,
                at: begin,
                told: begin,
                ..Stream::default()
            };
        }
        runner.live[way as usize] = Some(live);
        Some(())
    }

    /// As [`Online::follow`], unless it is done.
    fn ensure(&self, world: &mut World, runner: &mut Runner, who: Claim, way: Way) -> Option<()> {
        match runner.live[way as usize] {
            Some(_) => Some(()),
            None => self.follow(world, runner, who, way),
        }
    }

    fn begin(
        &self,
        world: &mut World,
        runner: &Runner,
        who: Claim,
        way: Way,
        instance: usize,
    ) -> Option<u8> {
        let end = world.logs[way as usize][instance].len;
        let first = match self.fault {
            Fault::PositionAfterRows if runner.effect == Effect::CopyLive => end,
            Fault::BackFromNow if way == Way::Back => end,
            _ => runner.job.positions[way as usize]?[instance],
        };
        let mut saved = Vec::new();
        for target in self.targets_of(way, instance) {
            let progress = &mut world.progress[way as usize][instance][target];
            progress.claim = progress.claim.max(who);
            if progress.claim != who {
                return None;
            }
            saved.push(progress.saved.unwrap_or(first));
        }
        match self.fault {
            Fault::NewestPosition => saved.into_iter().max(),
            _ => saved.into_iter().min(),
        }
    }

    fn caught_up(&self, runner: &Runner, way: Way, ends: [u8; SCHEMAS]) -> bool {
        let Some(live) = &runner.live[way as usize] else {
            return false;
        };
        (0..self.followed(way)).all(|instance| live[instance].told >= ends[instance])
    }

    fn ends(world: &World, way: Way) -> [u8; SCHEMAS] {
        [
            world.logs[way as usize][0].len,
            world.logs[way as usize][1].len,
        ]
    }

    /// Whether the log is between the first change of this table and its commit.
    fn log_writes(&self, world: &World, runner: &Runner, schema: usize) -> bool {
        let source = self.moves[schema].0;
        let Some(live) = &runner.live[0] else {
            return false;
        };
        let stream = &live[source];
        let log = &world.logs[0][source];
        stream.batch.is_some_and(|(end, _)| {
            (stream.at..end).any(|at| log.transactions[at as usize].schema as usize == schema)
        })
    }

    /// One statement of the effect. Outer `None`: it waits.
    fn main(&self, world: &mut World, mut runner: Runner, who: Claim) -> Option<After> {
        let at = runner.at as usize;
        let schemas = self.schemas();
        let ends =
            |runner: Runner, world: &mut World, event| Some(self.finish(world, runner, who, event));
        runner.at += 1;
        match runner.effect {
            Effect::PrepareTargets => return ends(runner, world, Event::Prepared),
            Effect::ReadPositions(way) => {
                if way == Way::Back && at == 0 {
                    for progress in world.progress[way as usize].as_flattened_mut() {
                        progress.saved = None;
                    }
                }
                runner.memo[at] = world.logs[way as usize][at].len;
                if at + 1 == self.followed(way) {
                    let positions = self.places(way, runner.memo);
                    return ends(runner, world, Event::Located { positions });
                }
            }
            Effect::TryBack => {
                if self.follow(world, &mut runner, who, Way::Back).is_none() {
                    return Some(None);
                }
                return ends(runner, world, Event::Tried);
            }
            // It may end at any time: a person wants it to, or another run asks for the job.
            Effect::KeepBack if at > 0 => return Some(None),
            Effect::KeepBack => {
                if self.follow(world, &mut runner, who, Way::Back).is_none() {
                    return Some(None);
                }
            }
            Effect::CopyLive => match at {
                0 => {
                    for schema in 0..schemas {
                        let target = &mut world.target[schema];
                        if target.name == Name::Absent {
                            target.name = Name::Hidden;
                        }
                        if self.fault != Fault::ClaimCopiesLate {
                            target.claim = target.claim.max(who);
                            if target.claim != who {
                                return Some(None);
                            }
                        }
                    }
                }
                _ => {
                    let copied = runner.copiers[..schemas]
                        .iter()
                        .all(|copier| copier.chunk == Chunk::Done);
                    if at == 1 && (self.fault != Fault::PositionAfterRows || copied) {
                        if self.follow(world, &mut runner, who, Way::Forward).is_none() {
                            return Some(None);
                        }
                    } else if copied {
                        return ends(runner, world, Event::Copied);
                    } else {
                        return None;
                    }
                }
            },
            Effect::BuildIndexes => {
                if at == 0 {
                    if self.ensure(world, &mut runner, who, Way::Forward).is_none() {
                        return Some(None);
                    }
                    runner.memo = Self::ends(world, Way::Forward);
                    return Some(Some(runner));
                }
                if at == 1
                    && !self.caught_up(&runner, Way::Forward, runner.memo)
                    && self.fault != Fault::IndexBeforeCatchUp
                {
                    return None;
                }
                if at > schemas {
                    return ends(runner, world, Event::Indexed);
                }
                runner.memo = [0; SCHEMAS];
                if self.log_writes(world, &runner, at - 1) {
                    return None;
                }
                let target = &mut world.target[at - 1];
                if self.unique && target.rows[0] != 0 && target.rows[0] == target.rows[1] {
                    world.clash = true;
                    return Some(None);
                }
                target.has_index = self.unique;
            }
            Effect::CompareLive(way) => {
                // A locking read, which waits for a transaction that is in the log and not visible.
                let in_gap = world
                    .source
                    .get(at)
                    .is_some_and(|table| table.pending.is_some());
                if in_gap && way == Way::Forward && self.fault != Fault::PlainComparison {
                    return None;
                }
                if self.ensure(world, &mut runner, who, way).is_none() {
                    return Some(None);
                }
                if at == schemas {
                    let suspects = match (self.fault, way) {
                        (Fault::SuspectsForgotten, Way::Forward)
                        | (Fault::BackSuspectsForgotten, Way::Back) => Vec::new(),
                        _ => self.suspects(runner.memo),
                    };
                    let evidence = vec![
                        vec![Evidence {
                            rows: 0,
                            checksum: String::new(),
                        }];
                        schemas
                    ];
                    return ends(runner, world, Event::Alike { evidence, suspects });
                }
                runner.memo[at] = differing(&world.source[at].rows, &world.target[at].rows);
            }
            Effect::FenceLive(way) => {
                if self.ensure(world, &mut runner, who, way).is_none() {
                    return Some(None);
                }
                let read_first = matches!(
                    (self.fault, way),
                    (Fault::EndBeforeFence, Way::Forward) | (Fault::BackEndBeforeFence, Way::Back)
                );
                let (fence, read) = match read_first {
                    true => (at.checked_sub(1), at == 0),
                    false => (Some(at), at == schemas),
                };
                if read {
                    runner.memo = Self::ends(world, way);
                }
                match fence.filter(|schema| *schema < schemas) {
                    // Renaming waits for open transactions.
                    Some(schema) if world.source[schema].pending.is_some() => return None,
                    Some(_) if self.fault == Fault::BackWithoutFence && way == Way::Back => {}
                    Some(schema) => {
                        let name = self.serving(world, way, schema);
                        if *name == Name::Final {
                            *name = Name::Hidden;
                        }
                    }
                    None if at >= schemas => {
                        let positions = self.places(way, runner.memo);
                        return ends(runner, world, Event::FencedAt { positions });
                    }
                    None => {}
                }
            }
            Effect::DrainLog(way) => {
                if at == 0 {
                    if self.ensure(world, &mut runner, who, way).is_none() {
                        return Some(None);
                    }
                    return Some(Some(runner));
                }
                let end = match self.fault {
                    Fault::DrainToStart => runner.job.positions[way as usize],
                    _ => runner.job.fenced_at[way as usize],
                };
                if !self.caught_up(&runner, way, end?) {
                    return None;
                }
                let looks = self.fault != Fault::BackWithoutFence || way == Way::Forward;
                let differs = looks
                    && (0..schemas).any(|schema| {
                        let (source, target) = (&world.source[schema], &world.target[schema]);
                        source.name != Name::Hidden
                            || target.name != Name::Hidden
                            || differing(&source.rows, &target.rows) & runner.job.suspects[schema]
                                != 0
                    });
                let event = match differs {
                    false => Event::Drained,
                    true => {
                        world.false_difference |= world.corruptions == self.corruptions;
                        Event::Different {
                            differences: vec![String::new()],
                        }
                    }
                };
                return ends(runner, world, event);
            }
            Effect::CommitShardMap(way) => {
                let looks = way == Way::Forward && self.job.keep_source;
                if looks && self.ensure(world, &mut runner, who, Way::Back).is_none() {
                    return Some(None);
                }
                return ends(runner, world, Event::Committed);
            }
            Effect::Publish(way) => {
                if at == schemas {
                    return ends(runner, world, Event::Published);
                }
                let name = match way {
                    Way::Forward => &mut world.target[at].name,
                    Way::Back => &mut world.source[at].name,
                };
                if *name == Name::Hidden {
                    *name = Name::Final;
                }
            }
            Effect::DropSource => {
                if at == schemas {
                    return ends(runner, world, Event::Dropped);
                }
                let table = &mut world.source[at];
                if table.name == Name::Hidden {
                    table.name = Name::Absent;
                    table.rows = [0; KEYS];
                }
                self.forget_progress(world, at);
            }
            Effect::Unfence(way) => {
                if at == schemas {
                    return ends(runner, world, Event::Unfenced);
                }
                let name = self.serving(world, way, at);
                if *name == Name::Hidden {
                    *name = Name::Final;
                }
            }
            Effect::ClearTargets => {
                if at == schemas {
                    return ends(runner, world, Event::Cleared);
                }
                if world.target[at].name == Name::Hidden {
                    world.target[at] = absent();
                }
                self.forget_progress(world, at);
            }
            // Of the offline protocol, and of one that waits for a person.
            Effect::FenceSource | Effect::CopyRows | Effect::Compare | Effect::KeepUp => {
                return None;
            }
            Effect::Wait | Effect::End => return Some(None),
        }
        Some(Some(runner))
    }

    fn forget_progress(&self, world: &mut World, schema: usize) {
        let target = &mut world.target[schema];
        target.claim = Claim::Older;
        (target.next, target.done) = (0, false);
        for way in [Way::Forward, Way::Back] {
            let (from, to) = (self.from(way, schema), self.to(way, schema));
            world.progress[way as usize][from][to] = Progress {
                claim: Claim::Older,
                saved: None,
            };
        }
    }

    /// The table whose writers a fence of this way refuses.
    fn serving<'a>(&self, world: &'a mut World, way: Way, schema: usize) -> &'a mut Name {
        match way {
            Way::Forward => &mut world.source[schema].name,
            Way::Back => &mut world.target[schema].name,
        }
    }

    /// The next part of a table's copy.
    fn chunk(
        &self,
        world: &mut World,
        mut runner: Runner,
        who: Claim,
        schema: usize,
    ) -> Option<After> {
        let started = match self.fault {
            Fault::PositionAfterRows => runner.at >= 1,
            _ => runner.at >= 2,
        };
        if runner.effect != Effect::CopyLive || !started {
            return None;
        }
        let mut copier = runner.copiers[schema];
        match copier.chunk {
            Chunk::Idle => {
                let target = &mut world.target[schema];
                target.claim = target.claim.max(who);
                if target.claim != who {
                    return Some(None);
                }
                copier.chunk = match target.done {
                    true => Chunk::Done,
                    false => self.begun(&mut copier),
                };
            }
            Chunk::Begun => {
                let table = &world.source[schema];
                if table.name != Name::Final {
                    return Some(None);
                }
                let next = world.target[schema].next as usize;
                let found = (next..KEYS).find(|key| table.rows[*key] != 0);
                if let Some(after) = &table.pending
                    && self.fault != Fault::PlainRead
                {
                    // A locking read waits for what it comes across.
                    let until = found.unwrap_or(KEYS - 1);
                    if (next..=until).any(|key| after[key] != table.rows[key]) {
                        return None;
                    }
                }
                copier.chunk = Chunk::Read(found.map(|key| (key as u8, table.rows[key])));
            }
            Chunk::Read(_) if self.fault == Fault::TouchedAfterRead && copier.touched.is_none() => {
                copier.touched = Some(0);
            }
            Chunk::Read(row) => {
                if self.fault != Fault::NoGate && self.log_writes(world, &runner, schema) {
                    return None;
                }
                let touched = end_of(&mut copier);
                let there = |key: u8| world.target[schema].rows[key as usize] != 0;
                let spares = !matches!(
                    self.fault,
                    Fault::PlainInsert | Fault::NoTouchedOverwrite | Fault::Overwrite
                );
                copier.chunk = Chunk::Decided(row.map(|(key, version)| {
                    let is_touched = touched.contains(&row_key(key as usize));
                    let left_out = is_touched || spares && there(key);
                    (key, if left_out { 0 } else { version })
                }));
            }
            Chunk::Decided(row) => {
                let target = &mut world.target[schema];
                if target.claim != who && self.fault != Fault::StaleChunk
                    || target.name != Name::Hidden
                {
                    return Some(None);
                }
                match row {
                    None => {
                        target.done = true;
                        copier.chunk = Chunk::Done;
                    }
                    Some((key, version)) => {
                        target.next = key + 1;
                        if self.fault == Fault::KeyBeforeRows {
                            copier.chunk = Chunk::KeySaved(key, version);
                        } else {
                            if !self.insert(world, schema, key, version) {
                                return Some(None);
                            }
                            copier.chunk = self.begun(&mut copier);
                        }
                    }
                }
            }
            Chunk::KeySaved(key, version) => {
                if !self.insert(world, schema, key, version) {
                    return Some(None);
                }
                copier.chunk = self.begun(&mut copier);
            }
            Chunk::Done => return None,
        }
        runner.copiers[schema] = copier;
        Some(Some(runner))
    }

    /// The next chunk begins as soon as the last is committed.
    fn begun(&self, copier: &mut Copier) -> Chunk {
        copier.touched = match self.fault {
            Fault::NoTouched | Fault::NoTouchedOverwrite | Fault::TouchedAfterRead => None,
            _ => Some(0),
        };
        Chunk::Begun
    }

    /// A row of a chunk. Whether the server took it.
    fn insert(&self, world: &mut World, schema: usize, key: u8, version: u8) -> bool {
        let row = &mut world.target[schema].rows[key as usize];
        match (version, *row) {
            (0, _) => {}
            (_, 0) => *row = version,
            _ if self.fault == Fault::PlainInsert => {
                world.clash = true;
                return false;
            }
            _ if matches!(self.fault, Fault::NoTouchedOverwrite | Fault::Overwrite) => {
                *row = version
            }
            // Left alone by the server.
            _ => {}
        }
        true
    }

    fn arrive(&self, world: &World, mut runner: Runner, source: usize) -> Option<After> {
        let live = runner.live[0].as_mut()?;
        let log = &world.logs[0][source];
        if live[source].read == log.len {
            return None;
        }
        let arrived = log.transactions[live[source].read as usize];
        live[source].read += 1;
        if self.fault != Fault::TouchedWhenApplied {
            touch(&mut runner, &arrived);
        }
        Some(Some(runner))
    }

    /// Applies a batch on the next instance that it concerns, in a transaction with the position.
    fn apply(
        &self,
        world: &mut World,
        mut runner: Runner,
        who: Claim,
        (way, source): (Way, usize),
        end: u8,
    ) -> Option<After> {
        let mut live = runner.live[way as usize]?;
        let stream = &mut live[source];
        let (end, had) = stream.batch.unwrap_or((end, 0));
        let log = world.logs[way as usize][source];
        if end <= stream.at || end > log.len {
            return None;
        }
        let batch = &log.transactions[stream.at as usize..end as usize];
        let begins = stream.batch.is_none();
        if begins && way == Way::Forward && self.fault != Fault::NoGate {
            let is_held = batch.iter().any(|transaction| {
                matches!(
                    runner.copiers[transaction.schema as usize].chunk,
                    Chunk::Decided(_) | Chunk::KeySaved(..)
                )
            });
            if is_held {
                return None;
            }
        }
        if begins && self.fault == Fault::TouchedWhenApplied {
            batch.iter().for_each(|one| touch(&mut runner, one));
        }
        let targets = self.targets_of(way, source);
        // What is not of a target, or there already, opens no transaction there.
        let concerned = |world: &World, target: usize| -> Vec<Transaction> {
            let has = match self.fault {
                Fault::ReplayToAll => None,
                _ => world.progress[way as usize][source][target].saved,
            };
            batch
                .iter()
                .zip(stream.at..)
                .filter(|(transaction, at)| {
                    self.to(way, transaction.schema as usize) == target
                        && has.is_none_or(|has| *at >= has)
                })
                .map(|(transaction, _)| *transaction)
                .collect()
        };
        let mut left = targets[had as usize..]
            .iter()
            .zip(had..)
            .map(|(target, index)| (*target, index, concerned(world, *target)))
            .filter(|(_, _, transactions)| !transactions.is_empty());
        let next = left.next();
        let more = left.next().map(|(_, index, _)| index);
        drop(left);
        if let Some((target, index, transactions)) = next {
            let progress = world.progress[way as usize][source][target];
            let ignores = matches!(
                (self.fault, way),
                (Fault::StaleLog, Way::Forward) | (Fault::StaleBack, Way::Back)
            );
            if progress.claim != who && !ignores {
                return Some(None);
            }
            let apart = matches!(
                (self.fault, way),
                (
                    Fault::PositionBeforeRows | Fault::RowsBeforePosition,
                    Way::Forward
                ) | (Fault::BackPositionBeforeRows, Way::Back)
            );
            let (mut rows, mut position) = (true, true);
            if apart {
                rows = stream.halfway == (self.fault != Fault::RowsBeforePosition);
                position = !rows;
                stream.halfway = !stream.halfway;
            }
            if rows && !self.apply_to(world, way, &transactions) {
                return Some(None);
            }
            if position {
                world.progress[way as usize][source][target].saved = Some(end);
            }
            if stream.halfway {
                stream.batch = Some((end, index));
                runner.live[way as usize] = Some(live);
                return Some(Some(runner));
            }
        }
        stream.batch = more.map(|index| (end, index));
        if more.is_none() {
            stream.at = end;
            stream.told = end;
            stream.read = stream.read.max(end);
        }
        runner.live[way as usize] = Some(live);
        Some(Some(runner))
    }

    /// The real batches, as the server takes them. Whether it did.
    fn apply_to(&self, world: &mut World, way: Way, transactions: &[Transaction]) -> bool {
        let mut changes = Vec::new();
        for transaction in transactions {
            changes.extend(self.changes(transaction));
        }
        for batch in coalesce(changes) {
            let schema = self
                .shapes
                .iter()
                .position(|shape| Arc::ptr_eq(shape, &batch.table));
            let schema = schema.unwrap();
            let (source, target) = (&mut world.source[schema], &mut world.target[schema]);
            let (name, rows, has_index) = match way {
                Way::Forward => (target.name, &mut target.rows, target.has_index),
                Way::Back => (source.name, &mut source.rows, self.unique),
            };
            // There is no such table; a stale run that ignores that it is one finds another.
            if name != Name::Hidden && self.fault != Fault::StaleBack {
                return false;
            }
            for key in &batch.deletes {
                rows[number(&key[0])] = 0;
            }
            for row in &batch.inserts {
                let (key, version) = (number(&row[0]), number(&row[1]) as u8);
                if rows[key] != 0 || has_index && rows.contains(&version) {
                    world.clash = true;
                    return false;
                }
                rows[key] = version;
            }
        }
        true
    }

    fn changes(&self, transaction: &Transaction) -> Vec<RowChange> {
        let table = &self.shapes[transaction.schema as usize];
        let (before, after) = (&transaction.before, &transaction.after);
        let change = |from: Option<usize>, to: Option<usize>| RowChange {
            table: table.clone(),
            before: from.map(|key| image(key, before[key])),
            after: to.map(|key| image(key, after[key])),
        };
        // A moved row is one update with another key.
        for key in 0..KEYS {
            let other = KEYS - 1 - key;
            if before[key] != 0 && after[key] == 0 && after[other] == before[key] {
                return vec![change(Some(key), Some(other))];
            }
        }
        (0..KEYS)
            .filter(|key| before[*key] != after[*key])
            .map(|key| {
                change(
                    (before[key] != 0).then_some(key),
                    (after[key] != 0).then_some(key),
                )
            })
            .collect()
    }

    fn act(&self, world: &mut World, mut runner: Runner, who: Claim, act: Act) -> Option<After> {
        match act {
            Act::Main => self.main(world, runner, who),
            Act::TooSlow => {
                let event = match runner.effect {
                    Effect::DrainLog(_) if runner.at > 0 => Event::TooSlow,
                    Effect::FenceLive(_) | Effect::CommitShardMap(_) => Event::Hindered {
                        reason: String::new(),
                    },
                    _ => return None,
                };
                world.deadlines = world.deadlines.checked_sub(1)?;
                Some(self.finish(world, runner, who, event))
            }
            Act::Chunk(schema) => self.chunk(world, runner, who, schema.into()),
            Act::Arrive(source) => self.arrive(world, runner, source.into()),
            Act::Apply(way, instance, end) => {
                self.apply(world, runner, who, (way, instance.into()), end)
            }
            Act::SaveIdle(way, instance, target) => {
                let stream = &runner.live[way as usize]?[instance as usize];
                let progress =
                    &mut world.progress[way as usize][instance as usize][target as usize];
                if stream.batch.is_some()
                    || stream.at == 0
                    || progress.saved.unwrap_or(0) >= stream.at
                {
                    return None;
                }
                if progress.claim != who {
                    return Some(None);
                }
                progress.saved = Some(stream.at);
                Some(Some(runner))
            }
            Act::Idle(way, instance) => {
                let stream = &mut runner.live[way as usize].as_mut()?[instance as usize];
                let has_all = stream.at == world.logs[way as usize][instance as usize].len;
                if stream.batch.is_some() || !has_all || stream.told == stream.at {
                    return None;
                }
                stream.told = stream.at;
                Some(Some(runner))
            }
            Act::Break(way, instance) => {
                if world.breaks == 0 || runner.live[way as usize].is_none() {
                    return None;
                }
                world.breaks -= 1;
                let Some(begin) = self.begin(world, &runner, who, way, instance.into()) else {
                    return Some(None);
                };
                let stream = &mut runner.live[way as usize].as_mut()?[instance as usize];
                // Those who wait are not told that what they waited for is applied once more.
                *stream = Stream {
                    read: begin,
                    at: begin,
                    told: stream.told,
                    ..Stream::default()
                };
                Some(Some(runner))
            }
        }
    }

    /// What this process could do next; some of it may have to wait.
    fn acts(&self, world: &World, runner: &Runner, who: Claim, acts: &mut Vec<Act>) {
        let copies = runner.effect == Effect::CopyLive;
        if who == Claim::Current || self.fault == Fault::SaveWithoutEpoch {
            acts.push(Act::Main);
            let waited_for = matches!(
                runner.effect,
                Effect::FenceLive(_) | Effect::DrainLog(_) | Effect::CommitShardMap(_)
            );
            if world.deadlines > 0 && waited_for {
                acts.push(Act::TooSlow);
            }
        }
        if copies {
            acts.extend((0..self.schemas() as u8).map(Act::Chunk));
        }
        for way in [Way::Forward, Way::Back] {
            self.acts_of_streams(world, runner, way, copies, acts);
        }
    }

    fn acts_of_streams(
        &self,
        world: &World,
        runner: &Runner,
        way: Way,
        copies: bool,
        acts: &mut Vec<Act>,
    ) {
        let Some(live) = &runner.live[way as usize] else {
            return;
        };
        for (instance, stream) in live.iter().enumerate().take(self.followed(way)) {
            let (len, at) = (world.logs[way as usize][instance].len, instance as u8);
            // When something arrives matters to chunks only.
            let until = if copies { stream.read } else { len };
            if copies && stream.read < len {
                acts.push(Act::Arrive(at));
            }
            if stream.batch.is_some() {
                acts.push(Act::Apply(way, at, 0));
            } else if stream.at < until {
                acts.push(Act::Apply(way, at, stream.at + 1));
                if until > stream.at + 1 {
                    acts.push(Act::Apply(way, at, until));
                }
            }
            if stream.at == len && stream.told != len {
                acts.push(Act::Idle(way, at));
            }
            let targets = self.targets_of(way, instance);
            if targets.len() > 1 {
                let save = |to: &usize| Act::SaveIdle(way, at, *to as u8);
                acts.extend(targets.iter().map(save));
            }
            if world.breaks > 0 {
                acts.push(Act::Break(way, at));
            }
        }
    }

    /// A process that will do nothing of consequence any more is forgotten.
    fn keep(&self, world: &mut World) {
        let Some(stale) = &world.stale else {
            return;
        };
        let mut acts = Vec::new();
        self.acts(world, stale, Claim::Stale, &mut acts);
        if acts.is_empty() {
            end_stale(world);
        }
    }

    fn log(&self, world: &mut World, way: Way, schema: u8, before: Rows, after: Rows) {
        let log = &mut world.logs[way as usize][self.from(way, schema as usize)];
        log.transactions[log.len as usize] = Transaction {
            schema,
            before,
            after,
        };
        log.len += 1;
    }

    fn write(&self, rows: &Rows, write: Write, version: u8) -> Option<Rows> {
        let mut rows = *rows;
        match write {
            Write::Put(key) => rows[key as usize] = version,
            Write::Delete(key) => {
                if rows[key as usize] == 0 {
                    return None;
                }
                rows[key as usize] = 0;
            }
            Write::Move(key) => {
                let other = KEYS - 1 - key as usize;
                if rows[key as usize] == 0 || rows[other] != 0 {
                    return None;
                }
                rows.swap(key as usize, other);
            }
        }
        Some(rows)
    }

    fn leads_on(&self, saved: &Saved) -> bool {
        match self.step(saved, Event::Resumed) {
            Ok((_, Effect::End)) => saved.phase.is_over(),
            Ok((_, Effect::Wait | Effect::KeepBack)) => self
                .step(saved, Event::FinishRequested)
                .is_ok_and(|(_, effect)| effect != Effect::Wait),
            Ok(_) => true,
            Err(_) => false,
        }
    }

    fn owned(&self, world: &World, schema: usize) -> Rows {
        match world.journal.phase.owner() {
            Owner::Source => world.source[schema].rows,
            Owner::Target => world.target[schema].rows,
        }
    }
}

fn absent() -> Copy {
    Copy {
        name: Name::Absent,
        rows: [0; KEYS],
        has_index: false,
        claim: Claim::Older,
        next: 0,
        done: false,
    }
}

fn differing(one: &Rows, other: &Rows) -> u8 {
    (0..KEYS)
        .filter(|key| one[*key] != other[*key])
        .fold(0, |mask, key| mask | 1 << key)
}

fn row_key(key: usize) -> RowKey {
    RowKey::new(&[Value::Int(key as i64)])
}

fn touch(runner: &mut Runner, transaction: &Transaction) {
    if let Some(touched) = &mut runner.copiers[transaction.schema as usize].touched {
        *touched |= differing(&transaction.before, &transaction.after);
    }
}

/// What the real set says at the end of a chunk.
fn end_of(copier: &mut Copier) -> HashSet<RowKey> {
    let mut touched = Touched::default();
    if let Some(mask) = copier.touched.take() {
        touched.begin();
        for key in (0..KEYS).filter(|key| mask & 1 << key != 0) {
            touched.arrive(|| row_key(key));
        }
    }
    touched.end()
}

fn claims(world: &mut World, to: impl Fn(Claim) -> Claim) {
    for progress in world.progress.as_flattened_mut().as_flattened_mut() {
        progress.claim = to(progress.claim);
    }
    for target in &mut world.target {
        target.claim = to(target.claim);
    }
}

/// The process that holds the lease is gone.
fn end_current(world: &mut World) {
    world.runner = None;
    let by = match world.stale {
        Some(_) => Claim::Between,
        None => Claim::Older,
    };
    claims(world, |claim| match claim {
        Claim::Current => by,
        other => other,
    });
}

fn end_stale(world: &mut World) {
    world.stale = None;
    claims(world, |claim| match claim {
        Claim::Stale | Claim::Between => Claim::Older,
        other => other,
    });
}

impl Model for Online {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        // A row in each table from before the job.
        let rows = |schema: usize| {
            let mut rows = [0; KEYS];
            rows[0] = u8::from(schema < self.schemas());
            rows
        };
        let table = |schema| Table {
            name: Name::Final,
            rows: rows(schema),
            pending: None,
        };
        let progress = Progress {
            claim: Claim::Older,
            saved: None,
        };
        let (mut journal, mut target) = (self.saved(&self.job), [absent(); SCHEMAS]);
        if self.is_copied {
            journal.phase = Phase::LocateBack;
            journal.positions[0] = Some([0; SCHEMAS]);
            for (schema, copy) in target.iter_mut().enumerate().take(self.schemas()) {
                *copy = Copy {
                    name: Name::Hidden,
                    rows: rows(schema),
                    has_index: self.unique,
                    claim: Claim::Older,
                    next: KEYS as u8,
                    done: true,
                };
            }
        }
        vec![World {
            journal,
            map_commits: 0,
            source: [table(0), table(1)],
            target,
            progress: [[[progress; SCHEMAS]; SCHEMAS]; 2],
            logs: [[Log::default(); SCHEMAS]; 2],
            expected: [rows(0), rows(1)],
            runner: None,
            stale: None,
            writes: self.writes,
            crashes: self.crashes,
            takeovers: self.takeovers,
            breaks: self.breaks,
            deadlines: self.deadlines,
            corruptions: self.corruptions,
            rollbacks: self.rollbacks,
            is_deaf: false,
            deafs: self.deafs,
            clash: false,
            false_difference: false,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for schema in 0..self.schemas() {
            let (table, at) = (&world.source[schema], schema as u8);
            if table.pending.is_some() {
                actions.push(Action::Visible(at));
            } else if world.writes > 0 && table.name == Name::Final {
                for key in 0..self.keys as u8 {
                    actions.push(Action::Write(at, Write::Put(key)));
                    if self.deletes {
                        actions.push(Action::Write(at, Write::Delete(key)));
                    }
                    if self.deletes && self.keys > 1 {
                        actions.push(Action::Write(at, Write::Move(key)));
                    }
                }
            }
            if world.writes > 0 && world.target[schema].name == Name::Final {
                for key in 0..self.keys as u8 {
                    actions.push(Action::WriteTarget(at, Write::Put(key)));
                    if self.deletes && self.rollbacks > 0 {
                        actions.push(Action::WriteTarget(at, Write::Delete(key)));
                    }
                }
            }
            let spoils = match self.compares {
                true => Phase::Watch,
                false => Phase::LiveCopy,
            };
            if world.corruptions > 0 && world.journal.phase == spoils {
                actions.push(Action::Corrupt(at));
            }
        }
        if world.deafs > 0 && world.journal.phase == Phase::TryBack {
            actions.push(Action::Deafen);
        }
        if (world.runner.is_none() || world.takeovers > 0) && world.rollbacks > 0 {
            actions.push(Action::Start(Ask::Rollback));
        }
        if world.runner.is_none() || world.takeovers > 0 {
            actions.push(Action::Start(Ask::Resume));
            actions.push(Action::Start(Ask::Cancel));
            actions.push(Action::Start(Ask::Finish));
        }
        let mut acts = Vec::new();
        if let Some(runner) = &world.runner {
            self.acts(world, runner, Claim::Current, &mut acts);
            actions.extend(acts.drain(..).map(Action::Current));
            // A crash after a part is done is also its lost answer.
            if world.crashes > 0 {
                actions.push(Action::Crash);
            }
        }
        if let Some(runner) = &world.stale {
            self.acts(world, runner, Claim::Stale, &mut acts);
            actions.extend(acts.drain(..).map(Action::Stale));
            actions.push(Action::StaleEnds);
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = *last;
        match action {
            Action::Write(schema, write) => {
                let table = &mut world.source[schema as usize];
                let version = 2 + self.writes - world.writes;
                let after = self.write(&table.rows, write, version)?;
                table.pending = Some(after);
                let before = table.rows;
                self.log(&mut world, Way::Forward, schema, before, after);
                world.writes -= 1;
            }
            Action::Visible(schema) => {
                let table = &mut world.source[schema as usize];
                table.rows = table.pending.take()?;
                world.expected[schema as usize] = table.rows;
            }
            // In the log, visible and acknowledged at once: no chunk is read there.
            Action::WriteTarget(schema, write) => {
                let version = 2 + self.writes - world.writes;
                let before = world.target[schema as usize].rows;
                let after = self.write(&before, write, version)?;
                world.target[schema as usize].rows = after;
                world.expected[schema as usize] = after;
                self.log(&mut world, Way::Back, schema, before, after);
                world.writes -= 1;
            }
            Action::Deafen => {
                world.deafs -= 1;
                world.is_deaf = true;
            }
            Action::Start(ask) => {
                let event = match ask {
                    Ask::Resume => Event::Resumed,
                    Ask::Cancel => Event::CancelRequested {
                        abandon: Vec::new(),
                    },
                    Ask::Finish => Event::FinishRequested,
                    Ask::Rollback => Event::RollbackRequested {
                        compare: self.compares,
                    },
                };
                let (job, effect) = self.step(&world.journal, event).ok()?;
                if let Some(runner) = world.runner.take() {
                    world.takeovers -= 1;
                    end_stale(&mut world);
                    claims(&mut world, |claim| match claim {
                        Claim::Current => Claim::Stale,
                        _ => Claim::Older,
                    });
                    world.stale = Some(runner);
                }
                world.journal = job;
                world.rollbacks -= u8::from(ask == Ask::Rollback);
                if matches!(effect, Effect::Wait | Effect::End) {
                    return None;
                }
                world.runner = Some(Runner {
                    job,
                    effect,
                    at: 0,
                    memo: [0; SCHEMAS],
                    live: [None; 2],
                    copiers: [Copier::default(); SCHEMAS],
                });
            }
            Action::Current(act) => {
                let runner = world.runner.take()?;
                match self.act(&mut world, runner, Claim::Current, act)? {
                    Some(runner) => world.runner = Some(runner),
                    None => end_current(&mut world),
                }
            }
            Action::Stale(act) => {
                let runner = world.stale.take()?;
                match self.act(&mut world, runner, Claim::Stale, act)? {
                    Some(runner) => world.stale = Some(runner),
                    None => end_stale(&mut world),
                }
            }
            Action::Crash => {
                end_current(&mut world);
                world.crashes -= 1;
            }
            Action::StaleEnds => end_stale(&mut world),
            Action::Corrupt(schema) => {
                let (source, target) = (
                    &mut world.source[schema as usize],
                    &mut world.target[schema as usize],
                );
                let (name, rows) = match self.compares {
                    true => (source.name, &mut source.rows),
                    false => (target.name, &mut target.rows),
                };
                if name != Name::Hidden || rows[0] == 0 {
                    return None;
                }
                rows[0] = 0;
                world.corruptions -= 1;
            }
        }
        self.keep(&mut world);
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(
                "the owner has every acknowledged write, once, and nothing else",
                |model: &Self, world: &World| {
                    (0..model.schemas())
                        .all(|schema| model.owned(world, schema) == world.expected[schema])
                },
            ),
            Property::always("never two owners that accept writes", |_, world: &World| {
                (0..SCHEMAS).all(|schema| {
                    world.source[schema].name != Name::Final
                        || world.target[schema].name != Name::Final
                })
            }),
            Property::always(
                "who accepts writes is the owner",
                |_, world: &World| match world.journal.phase.owner() {
                    Owner::Source => world.target.iter().all(|table| table.name != Name::Final),
                    Owner::Target => (0..SCHEMAS).all(|schema| {
                        world.source[schema].name != Name::Final
                            || world.target[schema].name == Name::Absent
                    }),
                },
            ),
            Property::always(
                "the phase says whether the map is committed",
                |_, world: &World| {
                    (world.journal.phase.owner() == Owner::Target) == (world.map_commits == 1)
                },
            ),
            Property::always(
                "an unfinished job has a next step",
                |model: &Self, world: &World| {
                    let mut known = model.leads_on.lock().unwrap();
                    *known
                        .entry(world.journal)
                        .or_insert_with(|| model.leads_on(&world.journal))
                },
            ),
            Property::always(
                "a finished job leaves nothing over",
                |model: &Self, world: &World| {
                    let all = |source, target| {
                        (0..model.schemas()).all(|schema| {
                            world.source[schema].name == source
                                && world.target[schema].name == target
                        })
                    };
                    match world.journal.phase {
                        Phase::Done => all(Name::Absent, Name::Final),
                        Phase::Cancelled | Phase::RolledBack => all(Name::Final, Name::Absent),
                        _ => true,
                    }
                },
            ),
            Property::always(
                "a phase that hides nothing keeps nobody from the owner",
                |model: &Self, world: &World| {
                    world.journal.phase.hides_tables()
                        || (0..model.schemas()).all(|schema| match world.journal.phase.owner() {
                            Owner::Source => world.source[schema].name == Name::Final,
                            Owner::Target => world.target[schema].name == Name::Final,
                        })
                },
            ),
            Property::always("no row clashes with another", |_, world: &World| {
                !world.clash
            }),
            Property::always(
                "behind the fence only a spoilt copy differs",
                |_, world: &World| !world.false_difference,
            ),
            Property::sometimes("it finishes with every write", |_, world: &World| {
                world.journal.phase == Phase::Done && world.writes == 0
            }),
        ];
        if !self.is_copied {
            properties.push(Property::sometimes(
                "a chunk leaves out a row",
                |model: &Self, world: &World| {
                    world.runner.is_some_and(|runner| {
                        (0..model.schemas()).any(|schema| {
                            matches!(runner.copiers[schema].chunk, Chunk::Decided(Some((_, 0))))
                        })
                    })
                },
            ));
        }
        if self.rollbacks > 0 {
            properties.push(Property::always(
                "what has switched can go back",
                |_, world: &World| world.journal.phase.owner() == Owner::Source || !world.is_deaf,
            ));
            properties.push(Property::sometimes(
                "it goes back with what was written to the target",
                |_, world: &World| {
                    world.journal.phase == Phase::RolledBack
                        && world.logs[1].iter().any(|log| log.len > 0)
                },
            ));
            properties.push(Property::sometimes(
                "it stays after a way back was taken back",
                |_, world: &World| world.journal.phase == Phase::Done && world.rollbacks == 0,
            ));
        }
        if self.looks_for_stuck {
            properties.push(Property::always(
                "a run waits only for what comes",
                |model: &Self, world: &World| {
                    let Some(runner) = &world.runner else {
                        return true;
                    };
                    if world.source.iter().any(|table| table.pending.is_some()) {
                        return true;
                    }
                    let mut acts = Vec::new();
                    model.acts(world, runner, Claim::Current, &mut acts);
                    acts.into_iter()
                        .filter(|act| !matches!(act, Act::TooSlow | Act::Break(..)))
                        .any(|act| {
                            let mut world = *world;
                            model
                                .act(&mut world, *runner, Claim::Current, act)
                                .is_some()
                        })
                },
            ));
        }
        if self.crashes + self.takeovers + self.deadlines > 0 {
            properties.push(Property::sometimes(
                "it is taken back from the fence",
                |_, world: &World| {
                    world.journal.phase == Phase::Cancelled && world.journal.fenced_at[0].is_some()
                },
            ));
        }
        if self.deadlines > 0 {
            properties.push(Property::sometimes(
                "it finishes after it was opened again",
                |_, world: &World| world.deadlines == 0 && world.journal.phase == Phase::Done,
            ));
        }
        if self.corruptions > 0 {
            properties.push(Property::sometimes(
                "a spoilt copy is seen behind the fence",
                |model: &Self, world: &World| {
                    let opened = match model.compares {
                        true => Phase::ReopenBack,
                        false => Phase::Reopen,
                    };
                    world.journal.phase == opened && world.deadlines == model.deadlines
                },
            ));
        }
        if self.takeovers > 0 {
            properties.push(Property::sometimes(
                "a run is taken over with a chunk in its hands",
                |_, world: &World| {
                    world.stale.is_some_and(|runner| {
                        matches!(runner.copiers[0].chunk, Chunk::Decided(Some(_)))
                    })
                },
            ));
        }
        properties
    }
}

const OWNER: &str = "the owner has every acknowledged write, once, and nothing else";
const BEHIND: &str = "behind the fence only a spoilt copy differs";
const CLASH: &str = "no row clashes with another";
const PHASE: &str = "the phase says whether the map is committed";
const NEXT: &str = "an unfinished job has a next step";
const OPEN: &str = "a phase that hides nothing keeps nobody from the owner";
const WHO: &str = "who accepts writes is the owner";
const REST: &str = "a finished job leaves nothing over";
const TWO: &str = "never two owners that accept writes";
const WAY: &str = "what has switched can go back";

/// Each fault, what it breaks and in how many actions at least.
const FAULTS: &[(Fault, &str, usize)] = &[
    (Fault::PlainRead, BEHIND, 23),
    (Fault::PositionAfterRows, BEHIND, 23),
    (Fault::PositionAgain, BEHIND, 30),
    (Fault::NoTouched, BEHIND, 26),
    (Fault::NoTouchedOverwrite, BEHIND, 26),
    (Fault::TouchedAfterRead, BEHIND, 28),
    (Fault::NoGate, BEHIND, 26),
    (Fault::PlainInsert, CLASH, 13),
    (Fault::KeyBeforeRows, BEHIND, 27),
    (Fault::PositionBeforeRows, BEHIND, 26),
    (Fault::RowsBeforePosition, CLASH, 21),
    (Fault::ReplayToAll, OWNER, 40),
    (Fault::NewestPosition, BEHIND, 39),
    (Fault::StaleLog, BEHIND, 30),
    (Fault::StaleChunk, BEHIND, 29),
    (Fault::ClaimCopiesLate, BEHIND, 30),
    (Fault::IndexBeforeCatchUp, CLASH, 20),
    (Fault::EndBeforeFence, OWNER, 25),
    (Fault::NoDrain, OWNER, 22),
    (Fault::DrainToStart, OWNER, 24),
    (Fault::PlainComparison, OWNER, 27),
    (Fault::SuspectsForgotten, OWNER, 24),
    (Fault::SwitchOnDifference, OWNER, 24),
    (Fault::ReopenToDrain, BEHIND, 25),
    (Fault::ReopenWithoutUnfence, OPEN, 21),
    (Fault::NoWayOutOfDrain, NEXT, 19),
    (Fault::UnfenceAfterSwitch, PHASE, 24),
    (Fault::CancelAfterCommit, PHASE, 24),
    (Fault::PublishBeforeCommit, WHO, 22),
    (Fault::ClearBeforeUnfence, OPEN, 20),
    (Fault::SaveWithoutEpoch, REST, 9),
    (Fault::BackFromNow, OWNER, 34),
    (Fault::MarkerNotAwaited, WAY, 26),
    (Fault::BackPositionBeforeRows, OWNER, 35),
    (Fault::StaleBack, OWNER, 42),
    (Fault::BackWithoutFence, TWO, 34),
    (Fault::BackEndBeforeFence, OWNER, 35),
    (Fault::BackWithoutDrain, OWNER, 32),
    (Fault::BackOnDifference, OWNER, 36),
    (Fault::BackSuspectsForgotten, OWNER, 36),
    (Fault::BackPublishBeforeCommit, WHO, 33),
    (Fault::BackReopenWithoutUnfence, OPEN, 32),
    (Fault::BackCancelAfterCommit, PHASE, 35),
    (Fault::FinishOnTheWayBack, OPEN, 31),
    (Fault::ClearBeforeReturn, PHASE, 32),
];

/// A world with a way back, one write and one row to a table.
fn back(fault: Fault, moves: &'static [(usize, usize)]) -> Online {
    let mut online = Online {
        rollbacks: 1,
        writes: 1,
        keys: 1,
        deletes: false,
        unique: false,
        ..online(fault, moves)
    };
    online.job.keep_source = true;
    online
}

/// The fault in a world that is enough for it.
fn with(fault: Fault) -> Online {
    // Without a unique index the harm is seen where it counts, not in a clash that stops the job.
    let one = Online {
        unique: false,
        ..online(fault, ONE)
    };
    let fork = Online {
        keys: 1,
        deletes: false,
        ..online(fault, FORK)
    };
    match fault {
        Fault::ReplayToAll | Fault::NewestPosition => Online { breaks: 1, ..fork },
        Fault::RowsBeforePosition => Online {
            breaks: 1,
            unique: true,
            ..one
        },
        Fault::IndexBeforeCatchUp => Online {
            unique: true,
            ..one
        },
        Fault::PositionAgain
        | Fault::KeyBeforeRows
        | Fault::PositionBeforeRows
        | Fault::NoWayOutOfDrain
        | Fault::UnfenceAfterSwitch
        | Fault::CancelAfterCommit
        | Fault::ClearBeforeUnfence => Online {
            crashes: 1,
            writes: 1,
            ..one
        },
        Fault::StaleLog | Fault::StaleChunk | Fault::ClaimCopiesLate | Fault::SaveWithoutEpoch => {
            Online {
                takeovers: 1,
                keys: 1,
                ..one
            }
        }
        Fault::ReopenToDrain | Fault::ReopenWithoutUnfence => Online {
            deadlines: 1,
            writes: 1,
            ..one
        },
        Fault::BackPositionBeforeRows
        | Fault::BackCancelAfterCommit
        | Fault::FinishOnTheWayBack => Online {
            crashes: 1,
            ..back(fault, ONE)
        },
        Fault::StaleBack => Online {
            takeovers: 1,
            writes: 2,
            ..back(fault, ONE)
        },
        Fault::BackReopenWithoutUnfence => Online {
            deadlines: 1,
            ..back(fault, ONE)
        },
        Fault::MarkerNotAwaited => Online {
            deafs: 1,
            ..back(fault, ONE)
        },
        Fault::BackOnDifference | Fault::BackSuspectsForgotten => Online {
            corruptions: 1,
            compares: true,
            ..back(fault, ONE)
        },
        Fault::BackFromNow
        | Fault::BackWithoutFence
        | Fault::BackEndBeforeFence
        | Fault::BackWithoutDrain
        | Fault::BackPublishBeforeCommit
        | Fault::ClearBeforeReturn => back(fault, ONE),
        Fault::PlainComparison => Online {
            corruptions: 1,
            keys: 1,
            ..one
        },
        Fault::SuspectsForgotten | Fault::SwitchOnDifference => Online {
            corruptions: 1,
            writes: 1,
            ..one
        },
        _ => one,
    }
}

/// A search for the first way to break one promise: the checker alone may name a later one.
struct Hunt {
    online: Online,
    promise: &'static str,
    holds: fn(&Online, &World) -> bool,
    is_broken: AtomicBool,
}

impl Model for Hunt {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        self.online.init_states()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        self.online.actions(world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        self.online.next_state(world, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(
            self.promise,
            |hunt: &Self, world: &World| {
                hunt.is_broken.load(Ordering::Relaxed)
                    || (hunt.holds)(&hunt.online, world)
                    || hunt.is_broken.swap(true, Ordering::Relaxed)
            },
        )]
    }
}

/// The actions of a shortest way to break a promise, and the states searched.
fn hunt(online: Online, promise: &'static str) -> (Option<Vec<Action>>, usize) {
    let holds = online
        .properties()
        .into_iter()
        .find(|property| property.name == promise)
        .unwrap()
        .condition;
    let hunt = Hunt {
        online,
        promise,
        holds,
        is_broken: AtomicBool::new(false),
    };
    // In one thread, which goes by the number of actions.
    let checker = hunt.checker().spawn_bfs().join();
    let way = checker.discovery(promise).map(|path| path.into_actions());
    (way, checker.unique_state_count())
}

#[test]
fn every_planted_fault_of_an_online_move_is_found() {
    let next = AtomicUsize::new(0);
    let look = || {
        let mut wrong = Vec::new();
        while let Some((fault, promise, steps)) = FAULTS.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (way, states) = hunt(with(*fault), promise);
            let found = way.as_ref().map(Vec::len);
            println!("{fault:?}: {promise}: {found:?} actions, {states} states");
            if found != Some(*steps) {
                wrong.push(format!("{fault:?}: {found:?} instead of {steps}: {way:?}"));
            }
        }
        wrong
    };
    let wrong = std::thread::scope(|scope| {
        let other = scope.spawn(look);
        let mut wrong = look();
        wrong.extend(other.join().unwrap());
        wrong
    });
    assert_eq!(wrong, Vec::<String>::new());
}

/// Searches a world to its end: every promise holds, and all that may happen does somewhere.
fn search(label: &str, online: Online) {
    let began = std::time::Instant::now();
    let checker = online.checker().threads(2).spawn_bfs().join();
    println!(
        "{label}: {} states, {:.1} s",
        checker.unique_state_count(),
        began.elapsed().as_secs_f32()
    );
    checker.assert_properties();
}

#[test]
fn two_rules_are_stricter_than_they_need_be() {
    for fault in [Fault::Overwrite, Fault::TouchedWhenApplied] {
        let online = Online {
            crashes: 1,
            ..online(fault, ONE)
        };
        search(&format!("{fault:?}"), online);
    }
}

#[test]
fn an_online_move_keeps_every_promise() {
    let one = || online(Fault::None, ONE);
    let small = |moves| Online {
        keys: 1,
        ..online(Fault::None, moves)
    };
    let is_large = std::env::var("SHARDCTL_MODEL").is_ok_and(|size| size == "large");
    search("three writes", Online { writes: 3, ..one() });
    search(
        "two crashes, a broken stream, a late drain",
        Online {
            crashes: 2,
            breaks: 1,
            deadlines: 1,
            ..one()
        },
    );
    search(
        "a takeover",
        Online {
            keys: 1,
            takeovers: 1,
            ..one()
        },
    );
    search(
        "a spoilt copy",
        Online {
            corruptions: 1,
            deadlines: 1,
            ..one()
        },
    );
    search(
        "who waits for what",
        Online {
            breaks: 1,
            deadlines: 1,
            looks_for_stuck: true,
            ..one()
        },
    );
    search(
        "one source, two targets",
        Online {
            deletes: false,
            breaks: 1,
            ..small(FORK)
        },
    );
    search(
        "two sources, two targets",
        Online {
            crashes: 1,
            ..small(PAIR)
        },
    );
    let back = |moves| back(Fault::None, moves);
    search(
        "back: two writes, two rows, a crash, a late drain",
        Online {
            writes: 2,
            keys: 2,
            deletes: true,
            unique: true,
            crashes: 1,
            deadlines: 1,
            ..back(ONE)
        },
    );
    search(
        "back: a takeover",
        Online {
            writes: 2,
            takeovers: 1,
            ..back(ONE)
        },
    );
    search(
        "back: a spoilt source",
        Online {
            corruptions: 1,
            compares: true,
            deafs: 1,
            crashes: 1,
            ..back(ONE)
        },
    );
    search(
        "back: two sources, two targets, three writes, two crashes",
        Online {
            writes: 3,
            crashes: 2,
            is_copied: true,
            ..back(PAIR)
        },
    );
    search(
        "back: two sources, one target, a crash, a broken stream",
        Online {
            writes: 3,
            crashes: 1,
            breaks: 1,
            is_copied: true,
            ..back(JOIN)
        },
    );
    if !is_large {
        return;
    }
    search(
        "large, back: two sources, two targets, three writes, two crashes, a late drain",
        Online {
            writes: 3,
            crashes: 2,
            deadlines: 1,
            is_copied: true,
            ..back(PAIR)
        },
    );
    search(
        "large, back: two sources, two targets, a crash, a late drain",
        Online {
            writes: 2,
            crashes: 1,
            deadlines: 1,
            ..back(PAIR)
        },
    );
    search(
        "large, back: two sources, one target, three writes, two crashes, a takeover",
        Online {
            writes: 3,
            crashes: 2,
            takeovers: 1,
            is_copied: true,
            ..back(JOIN)
        },
    );
    search(
        "large: three writes, two crashes",
        Online {
            writes: 3,
            crashes: 2,
            ..one()
        },
    );
    search(
        "large: a takeover and a crash",
        Online {
            takeovers: 1,
            crashes: 1,
            ..one()
        },
    );
    search(
        "large: one source, two targets",
        Online {
            crashes: 1,
            breaks: 1,
            ..small(FORK)
        },
    );
    search(
        "large: two sources, two targets, three writes, two crashes",
        Online {
            writes: 3,
            crashes: 2,
            deadlines: 1,
            ..small(PAIR)
        },
    );
}
