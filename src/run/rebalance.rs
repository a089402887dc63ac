//! The loop of a move: perform the effect, make what comes back an event, step, save.
//!
//! # Pause points
//!
//! For tests, the environment variable `SHARDCTL_STOP_AT` names a point at which the process kills
//! itself with SIGKILL: `before EFFECT` and `after EFFECT` (the effect done, nothing saved) for
//! each of `prepare`, `locate`, `index`, `drain`, `fence`, `copy`, `compare`, `commit`, `publish`,
//! `drop`, `unfence`, `clear`, `try back`, and of what is done on the way back: `locate back`,
//! `compare back`, `fence back`, `drain back`, `commit back`, `publish back`, `unfence back`; `within
//! EFFECT N` after its N-th part (a schema, a batch of rows, a range compared).

mod online;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard, OnceCell};

use super::hook::{self, Moment};
use super::live::{Lag, Live};
use super::owner::{Flags, Owner};
use crate::error::{Class, Error, Result};
use crate::journal::{self, Journal};
use crate::mysql::copy::{TableCopy, copy_table};
use crate::mysql::fence::{Guard, Rename};
use crate::mysql::moving::{self, SchemaFacts};
use crate::mysql::{Servers, checksum, control, inspect};
use crate::names::{InstanceName, SchemaName, TableName};
use crate::rebalance::moves::Move;
use crate::rebalance::protocol::{
    self, Effect, Event, Evidence, FORMAT, Hooks, Job, Kind, Misplaced, Phase, SchemaMove,
    TableMove, Way, step,
};
use crate::report::progress::TableTotal;
use crate::topology::Topology;
use crate::topology::file::render;

/// Rows that differ which are named, at most, for each table.
const DIFFERENCES_MAX: usize = 20;

/// What a job needs of connections to one instance, besides two for each worker: the guard, the
/// journal, the lease's renewal and one for looking.
pub const CONNECTIONS_BESIDES_WORKERS: usize = 6;

/// Hears how a job goes on.
pub trait Observer: Send + Sync {
    /// An effect begins; `total` is its number of parts where that is known: rows of a copy or a
    /// comparison.
    fn begins(&self, job: &Job, effect: Effect, total: Option<u64>);
    /// The tables whose rows will be copied or compared in the effect that begins.
    fn expects(&self, tables: Vec<TableTotal>);
    /// So many rows more of a table, known by its hidden name, are copied or compared.
    fn advances(&self, table: &TableName, rows: u64);
    /// A log is followed, so far behind at any moment.
    fn follows(&self, lag: Lag);
    /// Something a person should know.
    fn note(&self, text: &str);
}

/// A wanted move with what preflight learned.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The topology in force.
    pub before: Topology,
    /// Its text in the shard map, and its version.
    pub map: (u64, String),
    /// The wanted topology.
    pub after: Topology,
    /// The schemas that move.
    pub moves: Vec<SchemaMove>,
    /// For each of them rows and bytes as the source estimates them.
    pub sizes: Vec<(u64, u64)>,
}

/// Looks at everything that would stop the job later.
///
/// # Errors
/// All problems at once, or a server cannot be asked.
pub async fn preflight(
    servers: &Servers,
    before: &Topology,
    map: (u64, String),
    after: &Topology,
    moves: Vec<Move>,
    choices: &Choices,
) -> Result<Plan> {
    let mut problems = match choices.offline {
        true => Vec::new(),
        false => online::problems(servers, &moves, choices.keep_source).await?,
    };
    let mut planned = Vec::new();
    let mut sizes = Vec::new();
    for at in moves {
        let (source, target) = (servers.get(&at.from)?, servers.get(&at.to)?);
        if source.flavour() != target.flavour() {
            problems.push(format!(
                "`{}`: {} is {} and {} is {}: a move between the two is not offered yet",
                at.schema,
                at.from,
                source.flavour(),
                at.to,
                target.flavour()
            ));
        }
        let mut conn = source.conn().await?;
        let facts = moving::look(source, &mut conn, &at.schema).await?;
        let mut conn = target.conn().await?;
        let there = moving::look(target, &mut conn, &at.schema).await?;
        problems.extend(source_problems(before, &at, &facts));
        if !there.tables.is_empty() || !there.fixtures.is_empty() {
            problems.push(format!(
                "`{}` exists on the target {} and is not empty",
                at.schema, at.to
            ));
        }
        let sized = inspect::table_sizes(source, std::slice::from_ref(&at.schema)).await?;
        sizes.push(sized.values().fold((0, 0), |(rows, bytes), size| {
            (rows + size.rows, bytes + size.data_bytes + size.index_bytes)
        }));
        let mut tables = Vec::new();
        for table in &facts.tables {
            if let Ok(name) = table.name.parse::<TableName>() {
                tables.push(TableMove {
                    hidden: name.clone(),
                    table: name,
                    evidence: None,
                });
            }
        }
        planned.push(SchemaMove {
            charset: facts.charset.unwrap_or_default(),
            collation: facts.collation.unwrap_or_default(),
            target_had_schema: there.charset.is_some(),
            tables,
            at,
        });
    }
    if !problems.is_empty() {
        let count = problems.len();
        return Err(
            Error::no(format!("the move cannot start: {count} problems"))
                .cause(problems.join("\n"))
                .now("nothing was changed")
                .next("mend them and start again"),
        );
    }
    Ok(Plan {
        before: before.clone(),
        map,
        after: after.clone(),
        moves: planned,
        sizes,
    })
}

fn source_problems(topology: &Topology, at: &Move, facts: &SchemaFacts) -> Vec<String> {
    let mut problems = Vec::new();
    if facts.charset.is_none() {
        return vec![format!("`{}` is not on its source {}", at.schema, at.from)];
    }
    let wanted: BTreeSet<&str> = topology
        .tables
        .values()
        .flat_map(|table| {
            topology
                .places_in(table, at.shard)
                .map(|place| table.physical[place.table as usize].as_str())
        })
        .collect();
    let found: BTreeSet<&str> = facts
        .tables
        .iter()
        .map(|table| table.name.as_str())
        .collect();
    for missing in wanted.difference(&found) {
        problems.push(format!("`{}`.`{missing}` is not there", at.schema));
    }
    for unknown in found.difference(&wanted) {
        problems.push(format!(
            "`{}`.`{unknown}` is not in the topology: it would be left behind",
            at.schema
        ));
    }
    for table in &facts.tables {
        if !table.engine.eq_ignore_ascii_case("innodb") {
            problems.push(format!(
                "`{}`.`{}` has the engine {}, which has no transactions",
                at.schema, table.name, table.engine
            ));
        }
        if let Err(reason) = &table.shape {
            problems.push(format!(
                "`{}`.`{}` cannot be copied: {reason}",
                at.schema, table.name
            ));
        }
    }
    for fixture in &facts.fixtures {
        problems.push(format!(
            "`{}` has a {fixture}, which would not move",
            at.schema
        ));
    }
    problems
}

/// What a person chose for a new job.
#[derive(Debug, Clone)]
pub struct Choices {
    /// Keep the source's copy until the job is finished by hand; online, what is written to the
    /// target then flows back to it.
    pub keep_source: bool,
    /// Online: switch when a person says so.
    pub waits_for_cutover: bool,
    /// Tables copied or compared at once.
    pub workers: u32,
    /// Refuse writes from before the copy.
    pub offline: bool,
    /// Commands to run on the way.
    pub hooks: Hooks,
}

/// How long a hook may take at which nobody is refused.
const HOOK_LIMIT: Duration = Duration::from_secs(600);

/// A new job for a plan, not saved yet.
///
/// # Errors
/// The system gives no random bytes.
pub fn new_job(plan: Plan, choices: Choices) -> Result<Job> {
    let mut bytes = [0u8; 3];
    getrandom::fill(&mut bytes)
        .map_err(|cause| Error::server("the system gives no random bytes").cause(cause))?;
    let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut moves = plan.moves;
    for (index, table) in moves
        .iter_mut()
        .flat_map(|schema| &mut schema.tables)
        .enumerate()
    {
        table.hidden = TableName::new(Job::hidden_name(&id, index))
            .map_err(|cause| Error::unknown("a hidden name is none").cause(cause))?;
    }
    Ok(Job {
        format: FORMAT,
        id,
        kind: match choices.offline {
            true => Kind::OfflineRebalance,
            false => Kind::OnlineRebalance,
        },
        phase: Phase::Prepare,
        epoch: 0,
        moves,
        map_before: plan.map.0,
        topology_before: plan.map.1,
        topology_after: render(&plan.after),
        keep_source: choices.keep_source,
        workers: choices.workers.max(1),
        started: jiff::Timestamp::now().to_string(),
        differences: Vec::new(),
        positions: Vec::new(),
        fenced_at: Vec::new(),
        suspects: Vec::new(),
        back_from: Vec::new(),
        back_fenced_at: Vec::new(),
        waits_for_cutover: choices.waits_for_cutover,
        hindrance: None,
        hooks: choices.hooks,
        abandoned: Vec::new(),
    })
}

/// Kills the process where a test wants it.
#[derive(Debug, Default)]
struct PausePoints {
    at: Option<String>,
    parts: AtomicU64,
}

impl PausePoints {
    fn from_env() -> Self {
        Self {
            at: std::env::var("SHARDCTL_STOP_AT").ok(),
            parts: AtomicU64::new(0),
        }
    }

    fn pass(&self, place: &str, effect: Effect) {
        self.parts.store(0, Ordering::Relaxed);
        self.reach(&format!("{place} {}", word(effect)));
    }

    fn part(&self, effect: Effect) {
        let done = self.parts.fetch_add(1, Ordering::Relaxed) + 1;
        self.reach(&format!("within {} {done}", word(effect)));
    }

    fn reach(&self, point: &str) {
        if self.at.as_deref() == Some(point) {
            // As a power cut would: no destructor, no goodbye to the servers.
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        }
    }
}

/// An effect's name in pause points and progress.
pub fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::PrepareTargets => "prepare",
        Effect::ReadPositions(Way::Forward) => "locate",
        Effect::ReadPositions(Way::Back) => "locate back",
        Effect::CopyLive => "copy",
        Effect::BuildIndexes => "index",
        Effect::CompareLive(Way::Forward) => "compare",
        Effect::CompareLive(Way::Back) => "compare back",
        Effect::KeepUp => "keep up",
        Effect::TryBack => "try back",
        Effect::FenceLive(Way::Forward) => "fence",
        Effect::FenceLive(Way::Back) => "fence back",
        Effect::DrainLog(Way::Forward) => "drain",
        Effect::DrainLog(Way::Back) => "drain back",
        Effect::KeepBack => "watch",
        Effect::FenceSource => "fence",
        Effect::CopyRows => "copy",
        Effect::Compare => "compare",
        Effect::CommitShardMap(Way::Forward) => "commit",
        Effect::CommitShardMap(Way::Back) => "commit back",
        Effect::Publish(Way::Forward) => "publish",
        Effect::Publish(Way::Back) => "publish back",
        Effect::DropSource => "drop",
        Effect::Unfence(Way::Forward) => "unfence",
        Effect::Unfence(Way::Back) => "unfence back",
        Effect::ClearTargets => "clear",
        Effect::Wait => "wait",
        Effect::End => "end",
    }
}

/// Runs a job on from an event until it is over or waits for a person. The lease is given back.
///
/// The run that switches ends there, so that it can be told; the next one, from
/// [`Event::Resumed`], keeps what is written to the target flowing back until it is asked to end or
/// to hand the job over.
///
/// # Errors
/// The event has no place in the job's phase, another run owns the cluster, a server refuses or is
/// gone, or a signal asked the program to end. Unless the error says otherwise the job can be resumed.
pub async fn run(
    servers: &Servers,
    cluster: &str,
    mut owner: Owner,
    job: Job,
    event: Event,
    observer: &dyn Observer,
) -> Result<Job> {
    let flags = owner.flags.clone();
    let journal = &mut owner.journal;
    let ran = begin(servers, cluster, journal, job, event, observer, &flags).await;
    owner.close().await;
    ran
}

/// The error of a job that cannot take what a person wants of it.
pub fn refused(job: &Job, misplaced: &Misplaced) -> Error {
    Error::usage(misplaced.to_string())
        .now(job.phase.truth())
        .next(format!("see `shardctl job status {}`", job.id))
}

async fn begin(
    servers: &Servers,
    cluster: &str,
    journal: &mut Journal,
    job: Job,
    event: Event,
    observer: &dyn Observer,
    flags: &Flags,
) -> Result<Job> {
    let (mut job, effect) = step(&job, event).map_err(|misplaced| refused(&job, &misplaced))?;
    if effect == Effect::End {
        return Ok(job);
    }
    job.epoch = journal.epoch();
    let guards = job
        .instances()
        .into_iter()
        .map(|instance| (instance, Mutex::new(None)))
        .collect();
    let mut run = Run {
        servers,
        cluster,
        journal,
        guards,
        observer,
        flags,
        points: PausePoints::from_env(),
        live: OnceCell::new(),
        back: OnceCell::new(),
        back_is_tried: AtomicBool::new(false),
    };
    let outcome = match run.hold(&job, effect).await {
        Ok(()) => run.save_and_drive(&mut job, effect).await,
        Err(error) => Err(error),
    };
    for live in [run.live.take(), run.back.take()].into_iter().flatten() {
        live.stop().await;
    }
    run.release().await;
    match outcome {
        Ok(()) => Ok(job),
        Err(error) => Err(stopped(journal, job, error).await),
    }
}

/// What a person should read when a run ends early: what is true now is looked up, not guessed.
async fn stopped(journal: &Journal, job: Job, error: Error) -> Error {
    let known = journal::job(journal.control(), &job.id).await;
    let (phase, settled) = match &known {
        Ok(saved) => (saved.job.phase, true),
        Err(_) => (
            job.phase,
            !matches!(job.phase, Phase::Switch | Phase::SwitchBack),
        ),
    };
    let id = &job.id;
    // What the one who refused advises comes first: a resume may need it done.
    let advice = error.advice().map(|advice| format!("{advice}\n"));
    let next = if phase.can_cancel() && phase.owner() == protocol::Owner::Target {
        format!(
            "`shardctl job resume {id}` goes on, `shardctl job cancel {id}` leaves the rows with the target"
        )
    } else if phase.can_cancel() {
        format!("`shardctl job resume {id}` goes on, `shardctl job cancel {id}` takes it back")
    } else if matches!(phase, Phase::Clear | Phase::ClearBack) {
        format!(
            "`shardctl job resume {id}` goes on once the target is back; `shardctl job cancel {id} \
             --abandon INSTANCE` closes the job without a target that is lost"
        )
    } else {
        format!("`shardctl job resume {id}` goes on")
    };
    if settled {
        error
            .class_is(Class::Stopped)
            .now(format!("{} (job {id}, phase {phase})", phase.truth()))
            .next(format!("{}{next}", advice.unwrap_or_default()))
    } else {
        error
            .class_is(Class::Unknown)
            .now(format!(
                "the shard map may be committed or not: the control instance cannot be asked (job {id})"
            ))
            .next(format!(
                "`shardctl job resume {id}` settles it once the control instance is back"
            ))
    }
}

struct Run<'a> {
    servers: &'a Servers,
    cluster: &'a str,
    journal: &'a mut Journal,
    /// Taken before the first look at an instance: whoever ran the job before is dead there then.
    guards: BTreeMap<InstanceName, Mutex<Option<Guard>>>,
    observer: &'a dyn Observer,
    flags: &'a Flags,
    points: PausePoints,
    /// The sources' logs being applied, from the first effect of an online job that needs them.
    live: OnceCell<Live>,
    /// The targets' logs being applied, likewise.
    back: OnceCell<Live>,
    /// Whether this run has seen a row come by them.
    back_is_tried: AtomicBool,
}

impl Run<'_> {
    async fn save_and_drive(&mut self, job: &mut Job, mut effect: Effect) -> Result<()> {
        self.journal.save(job).await?;
        if effect == Effect::KeepBack {
            return self.keep_back(job).await;
        }
        // What was in the way of a switch, once the writers are let in again.
        let mut hindrance: Option<Error> = None;
        loop {
            match effect {
                // Where a run begins with it, it is done above.
                Effect::Wait | Effect::End | Effect::KeepBack => {
                    return hindrance.map_or(Ok(()), Err);
                }
                Effect::KeepUp => {
                    self.release().await;
                    return self.keep_up(job).await;
                }
                _ => {}
            }
            // Between an online job's fence and its switch writers wait, for a moment only: going on
            // is the shortest way to let them in again.
            let is_moment = job.kind == Kind::OnlineRebalance && job.phase.hides_tables();
            if !is_moment || matches!(effect, Effect::FenceLive(_)) {
                self.flags.check()?;
            }
            self.hold(job, effect).await?;
            tracing::info!(job = %job.id, phase = %job.phase, effect = word(effect), "begins");
            self.points.pass("before", effect);
            let event = match self.perform(job, effect).await {
                Ok(event) => event,
                Err(error) => {
                    let reason = error.summary().to_owned();
                    let unfences = step(job, Event::Hindered { reason });
                    match unfences {
                        Ok((after, next)) => {
                            self.journal.save(&after).await?;
                            (*job, effect) = (after, next);
                            hindrance.get_or_insert(error);
                            continue;
                        }
                        Err(_) => return Err(hindrance.unwrap_or(error)),
                    }
                }
            };
            self.points.pass("after", effect);
            let (after, next) =
                step(job, event).map_err(|misplaced| Error::unknown(misplaced.to_string()))?;
            if let Effect::CommitShardMap(way) = effect {
                // The point of no return.
                self.journal.commit(&after, way).await?;
            } else {
                self.journal.save(&after).await?;
            }
            *job = after;
            effect = next;
        }
    }

    async fn perform(&self, job: &Job, effect: Effect) -> Result<Event> {
        match effect {
            Effect::PrepareTargets => self.prepare(job).await,
            Effect::FenceSource => self.fence(job, Way::Forward).await,
            Effect::ReadPositions(way) => self.read_positions(job, way).await,
            Effect::CopyLive => self.copy_live(job).await,
            Effect::BuildIndexes => self.build_indexes(job).await,
            Effect::CompareLive(way) => self.compare_live(job, way).await,
            Effect::TryBack => self.try_back(job).await,
            Effect::FenceLive(way) => self.fence_live(job, way).await,
            Effect::DrainLog(way) => self.drain_log(job, way).await,
            Effect::CopyRows => self.copy(job).await,
            Effect::Compare => self.compare(job).await,
            Effect::CommitShardMap(way) => self.before_commit(job, way).await,
            Effect::Publish(way) => self.publish(job, way).await,
            Effect::DropSource => self.drop_source(job).await,
            Effect::Unfence(way) => self.unfence(job, way).await,
            Effect::ClearTargets => self.clear(job).await,
            Effect::KeepUp | Effect::KeepBack | Effect::Wait | Effect::End => {
                Err(Error::unknown("an effect that is not performed here"))
            }
        }
    }

    /// Gives all locks back: whoever only waits needs none.
    async fn release(&mut self) {
        for slot in self.guards.values_mut() {
            if let Some(guard) = slot.get_mut().take() {
                guard.release().await;
            }
        }
    }

    /// Takes the locks of every instance of the job, before an effect that needs them all. Taking
    /// a job back needs one instance at a time: a lost target keeps no source fenced.
    async fn hold(&self, job: &Job, effect: Effect) -> Result<()> {
        let holds = !matches!(
            effect,
            Effect::Unfence(_) | Effect::ClearTargets | Effect::KeepUp | Effect::KeepBack
        );
        if !holds {
            return Ok(());
        }
        for instance in job.instances() {
            drop(self.guard(&instance).await?);
        }
        Ok(())
    }

    /// The lock of an instance, taken if it is not held yet.
    async fn guard(&self, instance: &InstanceName) -> Result<MappedMutexGuard<'_, Guard>> {
        let Some(slot) = self.guards.get(instance) else {
            return Err(Error::unknown(format!("{instance} is not of this job")));
        };
        let mut slot = slot.lock().await;
        if let Some(guard) = slot.as_mut()
            && !guard.is_alive().await
        {
            // Its connection was ended, and the lock with it. Who took it since has taken the lease
            // first; while that is ours, writers must not stay refused for a connection that is lost.
            *slot = None;
            let (control, epoch) = (self.journal.control(), self.journal.epoch());
            if !journal::renew(control, epoch).await? {
                return Err(Error::stopped(
                    "another run of shardctl took the lease meanwhile",
                ));
            }
        }
        if slot.is_none() {
            let server = self.servers.get(instance)?;
            let mut conn = server.conn().await?;
            control::create_tables(server, &mut conn, false).await?;
            *slot = Some(Guard::take(server, self.cluster).await?);
        }
        MutexGuard::try_map(slot, Option::as_mut)
            .map_err(|_| Error::unknown(format!("no lock is held on {instance}")))
    }

    async fn prepare(&self, job: &Job) -> Result<Event> {
        self.observer.begins(job, Effect::PrepareTargets, None);
        for schema in &job.moves {
            let mut target = self.guard(&schema.at.to).await?;
            target.create_schema(&schema.create_schema_sql()).await?;
            self.points.part(Effect::PrepareTargets);
        }
        Ok(Event::Prepared)
    }

    async fn fence(&self, job: &Job, way: Way) -> Result<Event> {
        let effect = Effect::FenceLive(way);
        self.observer.begins(job, effect, None);
        // All schemas of an instance at one stroke, all instances at once: writers are refused from
        // the first of them on.
        let by_source = by_instance(job, |schema| way.from(&schema.at));
        let work = by_source.iter().map(|(instance, schemas)| async move {
            let renamed = self.rename(instance, schemas, Side::Hide).await;
            self.points.part(effect);
            renamed
        });
        let renamed: Result<Vec<()>> = join_all(work).await.into_iter().collect();
        let mut done = renamed.map(drop);
        if done.is_ok() && job.kind == Kind::OfflineRebalance {
            done = self.hook(job, Moment::Fence(way), HOOK_LIMIT).await;
        }
        if let Err(error) = done {
            // The application should not wait for a job that cannot go on.
            for schema in &job.moves {
                if let Err(undo) = self.show(way.from(&schema.at), schema).await {
                    self.observer.note(&format!(
                        "`{}` could not be un-fenced: {}",
                        schema.at.schema,
                        undo.summary()
                    ));
                }
            }
            return Err(error);
        }
        Ok(Event::Fenced)
    }

    async fn hook(&self, job: &Job, moment: Moment, limit: Duration) -> Result<()> {
        hook::run(job, moment, limit, &|line| self.observer.note(line)).await
    }

    /// Gives a schema's tables their names on an instance.
    async fn show(&self, instance: &InstanceName, schema: &SchemaMove) -> Result<()> {
        self.rename(instance, &[schema], Side::Show).await
    }

    async fn rename(
        &self,
        instance: &InstanceName,
        schemas: &[&SchemaMove],
        side: Side,
    ) -> Result<()> {
        let renames: Vec<Rename<'_>> = schemas
            .iter()
            .flat_map(|schema| renames(schema, side))
            .collect();
        let waiting = |text: &str| self.observer.note(text);
        let what = match side {
            Side::Hide => "fence",
            Side::Show => "give back the names of the tables in",
        };
        let mut guard = self.guard(instance).await?;
        guard.rename(what, &renames, &waiting).await
    }

    async fn copy(&self, job: &Job) -> Result<Event> {
        let total = self.rows_estimated(job).await?;
        self.observer.begins(job, Effect::CopyRows, Some(total));
        for schema in &job.moves {
            self.create_hidden(schema).await?;
        }
        let work = tables(job).map(|(schema, table)| self.copy_one(job, schema, table));
        let complete: Vec<bool> = stream::iter(work)
            .buffer_unordered(job.workers as usize)
            .try_collect()
            .await?;
        if complete.contains(&false) {
            self.flags.check()?;
        }
        Ok(Event::Copied)
    }

    async fn create_hidden(&self, schema: &SchemaMove) -> Result<()> {
        let source = self.servers.get(&schema.at.from)?;
        let mut conn = source.conn().await?;
        let mut target = self.guard(&schema.at.to).await?;
        for table in &schema.tables {
            let name = schema.at.schema.as_str();
            let hidden = table.hidden.as_str();
            let sql = inspect::show_create_table(source, &mut conn, name, hidden).await?;
            let Some(sql) = sql else {
                return Err(Error::unknown(format!(
                    "the fenced table `{name}`.`{hidden}` (`{}`) is gone",
                    table.table
                ))
                .at(source.place()));
            };
            target.create_table(&schema.at.schema, &sql).await?;
        }
        Ok(())
    }

    async fn copy_one(&self, job: &Job, schema: &SchemaMove, table: &TableMove) -> Result<bool> {
        if !self.flags.go_on() {
            return Ok(false);
        }
        let (source, target) = (
            self.servers.get(&schema.at.from)?,
            self.servers.get(&schema.at.to)?,
        );
        let mut conn = source.conn().await?;
        let shape = moving::shape(source, &mut conn, &schema.at.schema, &table.hidden).await?;
        drop(conn);
        let copy = TableCopy {
            job: job.id.clone(),
            epoch: self.journal.epoch(),
            schema: schema.at.schema.clone(),
            hidden: table.hidden.clone(),
        };
        copy_table(source, target, &copy, &shape, &|rows| {
            self.observer.advances(&table.hidden, rows);
            self.points.part(Effect::CopyRows);
            self.flags.go_on()
        })
        .await
    }

    async fn compare(&self, job: &Job) -> Result<Event> {
        let total = self.rows_estimated(job).await?;
        self.observer.begins(job, Effect::Compare, Some(total));
        let mut differences = Vec::new();
        for schema in &job.moves {
            for instance in [&schema.at.from, &schema.at.to] {
                differences.extend(self.unexpected(instance, schema).await?);
            }
        }
        if !differences.is_empty() {
            return Ok(Event::Different { differences });
        }
        let work = tables(job).map(|(schema, table)| self.compare_one(schema, table));
        let compared: Vec<(Evidence, Vec<String>, bool)> = stream::iter(work)
            .buffered(job.workers as usize)
            .try_collect()
            .await?;
        if compared.iter().any(|(_, _, complete)| !complete) {
            self.flags.check()?;
        }
        let mut evidence = compared.into_iter();
        let mut all = Vec::new();
        for schema in &job.moves {
            let of_schema = evidence.by_ref().take(schema.tables.len());
            all.push(
                of_schema
                    .map(|(evidence, different, _)| {
                        differences.extend(different);
                        evidence
                    })
                    .collect(),
            );
        }
        Ok(if differences.is_empty() {
            Event::Equal { evidence: all }
        } else {
            Event::Different { differences }
        })
    }

    /// Tables that should not be in a fenced schema, or are gone from it.
    async fn unexpected(
        &self,
        instance: &InstanceName,
        schema: &SchemaMove,
    ) -> Result<Vec<String>> {
        let mut guard = self.guard(instance).await?;
        let found: BTreeSet<String> = guard
            .names([&schema.at.schema])
            .await?
            .into_iter()
            .map(|(_, table)| table)
            .collect();
        let wanted: BTreeSet<String> = schema
            .tables
            .iter()
            .map(|table| table.hidden.to_string())
            .collect();
        let name = &schema.at.schema;
        let appeared = found
            .difference(&wanted)
            .map(|table| format!("`{name}`.`{table}` on {instance} appeared after the fence"));
        let gone = wanted
            .difference(&found)
            .map(|table| format!("`{name}`.`{table}` on {instance} is gone"));
        Ok(appeared.chain(gone).collect())
    }

    async fn compare_one(
        &self,
        schema: &SchemaMove,
        table: &TableMove,
    ) -> Result<(Evidence, Vec<String>, bool)> {
        let (source, target) = (
            self.servers.get(&schema.at.from)?,
            self.servers.get(&schema.at.to)?,
        );
        let name = &schema.at.schema;
        let mut differences = Vec::new();
        let mut conn = source.conn().await?;
        let shape = moving::shape(source, &mut conn, name, &table.hidden).await?;
        if source.version() == target.version() {
            let (schema, hidden) = (name.as_str(), table.hidden.as_str());
            let mut there = target.conn().await?;
            let ours = inspect::show_create_table(source, &mut conn, schema, hidden).await?;
            let theirs = inspect::show_create_table(target, &mut there, schema, hidden).await?;
            if ours != theirs {
                differences.push(format!(
                    "`{name}`.`{}`: the definitions differ, AUTO_INCREMENT included",
                    table.table
                ));
            }
        }
        drop(conn);
        let compared = checksum::compare(
            (source, &table.hidden),
            (target, &table.hidden),
            name,
            &shape,
            DIFFERENCES_MAX,
            checksum::Reads::Plain,
            &|rows| {
                self.observer.advances(&table.hidden, rows);
                self.points.part(Effect::Compare);
                self.flags.go_on()
            },
        )
        .await?;
        differences.extend(
            compared
                .differences
                .into_iter()
                .map(|row| format!("`{name}`.`{}`: the row {row}", table.table)),
        );
        let evidence = Evidence {
            rows: compared.rows,
            checksum: compared.checksum.to_string(),
        };
        Ok((evidence, differences, compared.complete))
    }

    async fn publish(&self, job: &Job, way: Way) -> Result<Event> {
        let effect = Effect::Publish(way);
        self.observer.begins(job, effect, None);
        let by_owner = by_instance(job, |schema| way.to(&schema.at));
        let work = by_owner.iter().map(|(instance, schemas)| async move {
            let renamed = self.rename(instance, schemas, Side::Show).await;
            self.points.part(effect);
            renamed
        });
        join_all(work).await.into_iter().collect::<Result<()>>()?;
        // Routers read the map on every instance: one that cannot be reached is not passed over.
        self.servers.all_reached()?;
        let (version, topology) = job.map(way);
        journal::publish(self.servers, version, topology, Some(&job.id)).await?;
        let moment = match way {
            Way::Forward => Moment::Switch,
            Way::Back => Moment::Rollback,
        };
        self.hook(job, moment, HOOK_LIMIT).await?;
        Ok(Event::Published)
    }

    async fn drop_source(&self, job: &Job) -> Result<Event> {
        self.observer.begins(job, Effect::DropSource, None);
        for schema in &job.moves {
            let mut source = self.guard(&schema.at.from).await?;
            source
                .drop_tables(&schema.at.schema, &hidden(schema))
                .await?;
            if !source.drop_schema_if_empty(&schema.at.schema).await? {
                self.observer.note(&format!(
                    "`{}` on {} is not empty and stays",
                    schema.at.schema, schema.at.from
                ));
            }
            source.forget_progress(&job.id).await?;
            drop(source);
            self.guard(&schema.at.to)
                .await?
                .forget_progress(&job.id)
                .await?;
            self.points.part(Effect::DropSource);
        }
        Ok(Event::Dropped)
    }

    /// The application waits for this: a source that cannot be reached does not keep the others.
    async fn unfence(&self, job: &Job, way: Way) -> Result<Event> {
        let effect = Effect::Unfence(way);
        self.observer.begins(job, effect, None);
        let mut failed: Option<Error> = None;
        for schema in &job.moves {
            let instance = way.from(&schema.at);
            if let Err(error) = self.show(instance, schema).await {
                self.observer.note(&format!(
                    "`{}` could not be un-fenced: {}",
                    schema.at.schema,
                    error.summary()
                ));
                failed.get_or_insert(error);
            } else if job.phase == Phase::Undo {
                self.guard(instance).await?.forget_progress(&job.id).await?;
            }
            self.points.part(effect);
        }
        match failed {
            None => Ok(Event::Unfenced),
            Some(error) => Err(error),
        }
    }

    async fn clear(&self, job: &Job) -> Result<Event> {
        self.observer.begins(job, Effect::ClearTargets, None);
        let mut failed: Option<Error> = None;
        for schema in &job.moves {
            if job.abandoned.contains(&schema.at.to) {
                continue;
            }
            if let Err(error) = self.clear_schema(job, schema).await {
                failed.get_or_insert(error);
            }
            self.points.part(Effect::ClearTargets);
        }
        match failed {
            None => Ok(Event::Cleared),
            Some(error) => Err(error),
        }
    }

    async fn clear_schema(&self, job: &Job, schema: &SchemaMove) -> Result<()> {
        let mut target = self.guard(&schema.at.to).await?;
        target
            .drop_tables(&schema.at.schema, &hidden(schema))
            .await?;
        if !schema.target_had_schema && !target.drop_schema_if_empty(&schema.at.schema).await? {
            self.observer.note(&format!(
                "`{}` on {} is not empty and stays",
                schema.at.schema, schema.at.to
            ));
        }
        target.forget_progress(&job.id).await?;
        drop(target);
        if job.phase == Phase::ClearBack {
            let mut source = self.guard(&schema.at.from).await?;
            source.forget_progress(&job.id).await?;
        }
        Ok(())
    }

    async fn rows_estimated(&self, job: &Job) -> Result<u64> {
        let mut by_source: BTreeMap<&InstanceName, Vec<SchemaName>> = BTreeMap::new();
        for schema in &job.moves {
            by_source
                .entry(&schema.at.from)
                .or_default()
                .push(schema.at.schema.clone());
        }
        let mut sizes = BTreeMap::new();
        for (instance, schemas) in by_source {
            sizes.extend(inspect::table_sizes(self.servers.get(instance)?, &schemas).await?);
        }
        let totals: Vec<TableTotal> = tables(job)
            .filter_map(|(schema, table)| {
                // Under the one name or the other.
                let size = [&table.table, &table.hidden].into_iter().find_map(|name| {
                    sizes.get(&(schema.at.schema.to_string(), name.to_string()))
                })?;
                Some(TableTotal {
                    schema: schema.at.schema.clone(),
                    table: table.table.clone(),
                    hidden: table.hidden.clone(),
                    rows: size.rows,
                    bytes: size.data_bytes,
                })
            })
            .collect();
        let rows = totals.iter().map(|table| table.rows).sum();
        self.observer.expects(totals);
        Ok(rows)
    }
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Hide,
    Show,
}

fn renames(schema: &SchemaMove, side: Side) -> impl Iterator<Item = Rename<'_>> {
    schema.tables.iter().map(move |table| {
        let (from, to) = match side {
            Side::Hide => (&table.table, &table.hidden),
            Side::Show => (&table.hidden, &table.table),
        };
        Rename {
            schema: &schema.at.schema,
            from,
            to,
        }
    })
}

/// The moving schemas by their source or target.
fn by_instance(
    job: &Job,
    side: impl Fn(&SchemaMove) -> &InstanceName,
) -> BTreeMap<&InstanceName, Vec<&SchemaMove>> {
    let mut found: BTreeMap<&InstanceName, Vec<&SchemaMove>> = BTreeMap::new();
    for schema in &job.moves {
        found.entry(side(schema)).or_default().push(schema);
    }
    found
}

fn hidden(schema: &SchemaMove) -> Vec<TableName> {
    schema
        .tables
        .iter()
        .map(|table| table.hidden.clone())
        .collect()
}

fn tables(job: &Job) -> impl Iterator<Item = (&SchemaMove, &TableMove)> {
    job.moves
        .iter()
        .flat_map(|schema| schema.tables.iter().map(move |table| (schema, table)))
}
