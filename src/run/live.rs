//! Following the logs of one side of a job and applying them to the other: the sources' to the
//! targets beside the copy, and once the targets own the rows, theirs back to the sources.
//!
//! Whichever way it goes, the log has the tables under their visible names, and they are written to
//! under their hidden ones. In what follows "source" is where the log is read.
//!
//! One task reads a source's log, so that every change is known the moment it arrives; one applies
//! it. What is applied becomes visible transaction by transaction, in the source's order. A stream
//! that breaks is begun again behind what its targets have saved.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedMutexGuard, mpsc, watch};
use tokio::task::JoinHandle;

use crate::error::{Class, Error, Result};
use crate::mysql::live::{Applier, LiveTable};
use crate::mysql::tail::{Start, Tail, TailOptions, current_position, table_shape};
use crate::mysql::{Server, Servers, control, marker};
use crate::names::{InstanceName, TableName};
use crate::rebalance::apply::coalesce;
use crate::rebalance::protocol::{Job, LogPlace, Way};
use crate::rows::binlog::{Item, Rename};
use crate::rows::change::RowChange;
use crate::rows::position::Position;
use crate::rows::touched::{RowKey, Touched};

/// Items of the log that may wait for being applied; each holds a thousand changes or a megabyte.
const WAITING_ITEMS: usize = 64;
/// Changes joined to one batch, about.
const BATCH_CHANGES: usize = 2_000;
/// How often a position is saved where nothing else is.
const SAVE_EVERY: Duration = Duration::from_secs(2);
/// Times in a row that a broken stream is begun again without getting further.
const ATTEMPTS: u32 = 6;

/// The logs of a job's sources being applied.
pub struct Live {
    tables: HashMap<TableName, Arc<LiveTable>>,
    sources: BTreeMap<InstanceName, Source>,
    failed: Arc<Mutex<Option<Error>>>,
}

/// How old the change is that was read last from a log.
#[derive(Debug, Clone, Default)]
pub struct Lag(Arc<AtomicU64>);

impl Lag {
    /// In seconds, by this machine's clock against the source's; `None` before the first change, 0
    /// where the log has nothing more.
    pub fn seconds(&self) -> Option<u64> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            Self::NONE => Some(0),
            written => Some(now_s().saturating_sub(written)),
        }
    }

    const NONE: u64 = u64::MAX;
}

fn now_s() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_second()).unwrap_or_default()
}

struct Source {
    lag: Lag,
    server: Server,
    targets: Vec<InstanceName>,
    applied: watch::Receiver<Position>,
    task: JoinHandle<()>,
}

impl Live {
    /// Begins to follow the logs at these places, behind what has been saved of them.
    ///
    /// # Errors
    /// A server cannot be asked, or a log cannot be followed.
    pub async fn start(
        servers: &Servers,
        job: &Job,
        way: Way,
        places: &[LogPlace],
        epoch: u64,
    ) -> Result<Self> {
        let mut live = Self {
            tables: HashMap::new(),
            sources: BTreeMap::new(),
            failed: Arc::default(),
        };
        for place in places {
            let mut own = tables_of(servers, job, way, &place.instance).await?;
            if way == Way::Back {
                own.push(marker_table(servers, &place.instance).await?);
            }
            for table in &own {
                live.tables.insert(table.hidden.clone(), table.clone());
            }
            let lag = Lag::default();
            let follower = Follower {
                lag: lag.clone(),
                servers: servers.clone(),
                source: servers.get(&place.instance)?.clone(),
                job: job.id.clone(),
                stream: stream_name(way, &place.instance),
                epoch,
                place: place.clone(),
                tables: own,
            };
            let begin = follower.begin().await?;
            let (sender, applied) = watch::channel(begin);
            let (failed, server) = (live.failed.clone(), follower.source.clone());
            let targets = follower.targets();
            let task = tokio::spawn(async move {
                let error = follower.follow(&sender).await;
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.get_or_insert(error);
            });
            live.sources.insert(
                place.instance.clone(),
                Source {
                    lag,
                    server,
                    targets,
                    applied,
                    task,
                },
            );
        }
        Ok(live)
    }

    /// How far behind each log is.
    pub fn lags(&self) -> Vec<Lag> {
        self.sources
            .values()
            .map(|source| source.lag.clone())
            .collect()
    }

    /// The table that has this hidden name.
    ///
    /// # Errors
    /// It is not of the job.
    pub fn table(&self, hidden: &TableName) -> Result<&Arc<LiveTable>> {
        self.tables
            .get(hidden)
            .ok_or_else(|| Error::unknown(format!("`{hidden}` is not of this job")))
    }

    /// Whether every log is still followed.
    ///
    /// # Errors
    /// One is not: why.
    pub fn check(&self) -> Result<()> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match &*failed {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Writes a row on every source of the streams and sees it arrive on every target of its own.
    /// Whether it did in time.
    ///
    /// # Errors
    /// A log cannot be followed, or a server refuses.
    pub async fn try_markers(
        &self,
        servers: &Servers,
        job: &Job,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        let mark = rand::random();
        for source in self.sources.values() {
            let mut conn = source.server.conn().await?;
            marker::write(&source.server, &mut conn, &job.id, mark).await?;
        }
        for source in self.sources.values() {
            for target in &source.targets {
                let target = servers.get(target)?;
                let mut conn = target.conn().await?;
                while !marker::is_seen(target, &mut conn, &job.id, &source.server, mark).await? {
                    self.check()?;
                    if !go_on() {
                        return Ok(false);
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
        }
        Ok(true)
    }

    /// Waits until the targets have everything that the sources' logs hold at this moment. Whether
    /// they have; `false` where `go_on` said no.
    ///
    /// # Errors
    /// A log cannot be followed any further, or a source cannot be asked.
    pub async fn catch_up(&self, go_on: &(dyn Fn() -> bool + Sync)) -> Result<bool> {
        let mut ends = Vec::new();
        for (instance, source) in &self.sources {
            let mut conn = source.server.conn().await?;
            let end = current_position(&source.server, &mut conn).await?;
            ends.push((instance.clone(), end));
        }
        self.reach(&ends, go_on).await
    }

    /// Waits until the targets have everything up to these places.
    ///
    /// # Errors
    /// As [`Live::catch_up`].
    pub async fn reach(
        &self,
        ends: &[(InstanceName, Position)],
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Result<bool> {
        for (instance, end) in ends {
            let Some(source) = self.sources.get(instance) else {
                return Err(Error::unknown(format!(
                    "the log of {instance} is not followed"
                )));
            };
            let mut applied = source.applied.clone();
            loop {
                if applied.borrow_and_update().is_at_least(end) {
                    break;
                }
                self.check()?;
                if !go_on() {
                    return Ok(false);
                }
                // Looked at again now and then, for a failure or a person's wish to stop.
                let _ = tokio::time::timeout(Duration::from_millis(50), applied.changed()).await;
            }
        }
        Ok(true)
    }

    /// Ends following.
    pub async fn stop(self) {
        for source in self.sources.into_values() {
            source.task.abort();
            let _ = source.task.await;
        }
    }
}

/// The name of a stream in the progress that is saved of it.
fn stream_name(way: Way, instance: &InstanceName) -> String {
    match way {
        // An instance may be a source and a target of one job.
        Way::Forward => format!("forward {instance}"),
        Way::Back => format!("back {instance}"),
    }
}

/// Reads where the logs that are followed this way end.
///
/// # Errors
/// A server cannot be asked, or writes no log.
pub async fn positions(servers: &Servers, job: &Job, way: Way) -> Result<Vec<LogPlace>> {
    let mut names: Vec<InstanceName> = job
        .moves
        .iter()
        .map(|schema| way.from(&schema.at).clone())
        .collect();
    names.sort();
    names.dedup();
    let mut places = Vec::new();
    for instance in names {
        let server = servers.get(&instance)?;
        let mut conn = server.conn().await?;
        let identity = crate::mysql::tail::identity(server, &mut conn).await?;
        let position = current_position(server, &mut conn).await?;
        places.push(LogPlace {
            instance,
            identity,
            position: position.to_string(),
        });
    }
    Ok(places)
}

/// A recorded place.
///
/// # Errors
/// Its text is no position.
pub fn position_of(place: &LogPlace) -> Result<Position> {
    place.position.parse().map_err(|cause| {
        Error::unknown(format!(
            "the log's position on {} in the job's record cannot be read",
            place.instance
        ))
        .cause(cause)
    })
}

async fn tables_of(
    servers: &Servers,
    job: &Job,
    way: Way,
    instance: &InstanceName,
) -> Result<Vec<Arc<LiveTable>>> {
    let server = servers.get(instance)?;
    let mut conn = server.conn().await?;
    let mut tables = Vec::new();
    for schema in job
        .moves
        .iter()
        .filter(|schema| way.from(&schema.at) == instance)
    {
        for table in &schema.tables {
            let name = schema.at.schema.as_str();
            // It may be fenced, or not published yet; its columns are the same.
            let shape = table_shape(server, &mut conn, name, table.table.as_str()).await;
            let mut shape = match shape {
                Ok(shape) => shape,
                Err(_) => table_shape(server, &mut conn, name, table.hidden.as_str()).await?,
            };
            table.table.as_str().clone_into(&mut shape.table);
            tables.push(Arc::new(LiveTable {
                schema: schema.at.schema.clone(),
                table: table.table.clone(),
                hidden: table.hidden.clone(),
                target: Some(way.to(&schema.at).clone()),
                shape: Arc::new(shape),
                gate: Arc::default(),
                touched: Mutex::new(Touched::default()),
            }));
        }
    }
    Ok(tables)
}

/// The table whose rows show that a stream works.
async fn marker_table(servers: &Servers, instance: &InstanceName) -> Result<Arc<LiveTable>> {
    let named = |cause| Error::unknown("a table of the tool's own has no name").cause(cause);
    let server = servers.get(instance)?;
    let mut conn = server.conn().await?;
    let shape = table_shape(server, &mut conn, control::SCHEMA, marker::MARKER).await?;
    Ok(Arc::new(LiveTable {
        schema: control::SCHEMA.parse().map_err(named)?,
        table: marker::MARKER.parse().map_err(named)?,
        hidden: marker::SEEN.parse().map_err(named)?,
        target: None,
        shape: Arc::new(shape),
        gate: Arc::default(),
        touched: Mutex::new(Touched::default()),
    }))
}

/// Follows one source's log.
struct Follower {
    lag: Lag,
    servers: Servers,
    source: Server,
    job: String,
    stream: String,
    epoch: u64,
    place: LogPlace,
    tables: Vec<Arc<LiveTable>>,
}

/// The writing ends of a stream.
struct Appliers {
    by_target: BTreeMap<InstanceName, Applier>,
    /// Targets that have more of the log than others, with what they have saved.
    ahead: BTreeMap<InstanceName, Position>,
    /// The oldest place that one has saved.
    begin: Position,
}

type ByName = HashMap<(String, String), Arc<LiveTable>>;

impl Follower {
    /// The targets, each once.
    fn targets(&self) -> Vec<InstanceName> {
        let mut names: Vec<InstanceName> = self
            .tables
            .iter()
            .filter_map(|table| table.target.clone())
            .collect();
        names.sort();
        names.dedup();
        names
    }

    async fn appliers(&self) -> Result<Appliers> {
        let mut appliers = BTreeMap::new();
        let mut ahead = BTreeMap::new();
        let first = position_of(&self.place)?;
        let mut begin: Option<Position> = None;
        for target in self.targets() {
            let server = self.servers.get(&target)?;
            let (applier, saved) =
                Applier::open(server, &self.job, &self.stream, self.epoch).await?;
            appliers.insert(target.clone(), applier);
            let saved = saved.unwrap_or_else(|| first.clone());
            ahead.insert(target, saved.clone());
            // The oldest, so that no target lacks anything.
            begin = Some(match begin {
                Some(other) if saved.is_at_least(&other) => other,
                _ => saved,
            });
        }
        let begin = begin.unwrap_or(first);
        ahead.retain(|_, saved| !begin.is_at_least(saved));
        Ok(Appliers {
            by_target: appliers,
            ahead,
            begin,
        })
    }

    async fn begin(&self) -> Result<Position> {
        Ok(self.appliers().await?.begin)
    }

    /// Follows until that fails for good.
    async fn follow(&self, applied: &watch::Sender<Position>) -> Error {
        let mut attempt = 0;
        loop {
            let before = applied.borrow().clone();
            let error = match self.follow_once(applied).await {
                Err(error) => error,
                Ok(()) => Error::server("the log ended").at(self.source.place()),
            };
            attempt = match *applied.borrow() == before {
                true => attempt + 1,
                false => 1,
            };
            let is_final = matches!(error.class(), Class::Stopped | Class::Unknown | Class::No);
            if is_final || attempt >= ATTEMPTS {
                return error;
            }
            tracing::info!(source = %self.source.name(), %error, attempt, "the stream is begun again");
            tokio::time::sleep(Duration::from_millis(200 << attempt)).await;
        }
    }

    async fn follow_once(&self, applied: &watch::Sender<Position>) -> Result<()> {
        let Appliers {
            by_target: appliers,
            ahead,
            begin,
        } = self.appliers().await?;
        let options = TailOptions {
            tables: self
                .tables
                .iter()
                .map(|table| table.shape.clone())
                .collect(),
            renames: self
                .tables
                .iter()
                .map(|table| Rename {
                    schema: table.schema.to_string(),
                    from: table.table.to_string(),
                    to: table.hidden.to_string(),
                })
                .collect(),
            heartbeat: Duration::from_millis(500),
            identity: Some(self.place.identity.clone()),
            ..TailOptions::default()
        };
        let mut tail = Tail::open(&self.source, Start::Position(begin), options).await?;
        let by_name: ByName = self
            .tables
            .iter()
            .map(|table| {
                let name = (table.schema.to_string(), table.table.to_string());
                (name, table.clone())
            })
            .collect();
        let (sender, receiver) = mpsc::channel(WAITING_ITEMS);
        let reader = async {
            while let Some(item) = tail.next().await? {
                if let Item::Changes(changes) = &item {
                    arrive(&by_name, changes);
                }
                if sender.send(item).await.is_err() {
                    break;
                }
            }
            Ok::<(), Error>(())
        };
        let batches = Batches {
            lag: &self.lag,
            by_name: &by_name,
            appliers,
            ahead,
            place: None,
            gates: HashMap::new(),
            applied,
            saved: Instant::now(),
        };
        // Whichever ends first ends the other: the channel closes, or its reader is dropped.
        tokio::select! {
            read = reader => read,
            ran = batches.run(receiver) => ran,
        }
    }
}

/// The log has touched these rows: a chunk that is on its way leaves them out.
fn arrive(by_name: &ByName, changes: &[RowChange]) {
    for change in changes {
        let name = (change.table.schema.clone(), change.table.table.clone());
        if let Some(table) = by_name.get(&name) {
            let mut touched = table.touched();
            for row in change.before.iter().chain(&change.after) {
                touched.arrive(|| RowKey::of(&change.table, row));
            }
        }
    }
}

/// Joins items to batches and applies them.
struct Batches<'a> {
    lag: &'a Lag,
    by_name: &'a ByName,
    appliers: BTreeMap<InstanceName, Applier>,
    /// Targets that have what comes up to here. It is not applied to them again: in between their
    /// rows would be older than what was waited for, and could clash in a unique index with newer
    /// ones.
    ahead: BTreeMap<InstanceName, Position>,
    /// Where the transaction is that began last.
    place: Option<Position>,
    /// Held from the first change of a table in a transaction until its commit.
    gates: HashMap<TableName, OwnedMutexGuard<()>>,
    applied: &'a watch::Sender<Position>,
    saved: Instant,
}

impl Batches<'_> {
    async fn run(mut self, mut items: mpsc::Receiver<Item>) -> Result<()> {
        // Whether the source's transaction that was read last is complete.
        let mut is_whole = true;
        while let Some(first) = items.recv().await {
            let mut changes = Vec::new();
            let mut position = None;
            let mut next = Some(first);
            while let Some(item) = next {
                match item {
                    Item::Begin { place, .. } => {
                        is_whole = false;
                        self.place = Some(place);
                    }
                    Item::Changes(more) => changes.extend(more),
                    Item::Commit {
                        position: at,
                        timestamp_s,
                    } => {
                        self.lag.0.store(u64::from(timestamp_s), Ordering::Relaxed);
                        is_whole = true;
                        position = Some(at);
                    }
                    Item::Passed { position: at } | Item::Renamed { position: at, .. } => {
                        position = Some(at);
                    }
                    Item::Idle { position: at } => {
                        self.lag.0.store(Lag::NONE, Ordering::Relaxed);
                        position = at.or(position);
                    }
                }
                // One by one, as long as it has to be told for each who has it already.
                let joins = self.ahead.is_empty() || position.is_none();
                next = match joins && changes.len() < BATCH_CHANGES {
                    true => items.try_recv().ok(),
                    false => None,
                };
            }
            self.apply(changes).await?;
            if is_whole && let Some(position) = position {
                self.commit(position).await?;
            }
        }
        Ok(())
    }

    async fn apply(&mut self, changes: Vec<RowChange>) -> Result<()> {
        for batch in coalesce(changes) {
            let name = (batch.table.schema.clone(), batch.table.table.clone());
            let Some(table) = self.by_name.get(&name) else {
                continue;
            };
            if !self.gates.contains_key(&table.hidden) {
                let gate = table.gate.clone().lock_owned().await;
                self.gates.insert(table.hidden.clone(), gate);
            }
            for (target, applier) in &mut self.appliers {
                if table.target.as_ref().is_some_and(|only| only != target) {
                    continue;
                }
                if let (Some(has), Some(place)) = (self.ahead.get(target), &self.place)
                    && has.is_at_least(place)
                {
                    continue;
                }
                applier.apply(table, &batch.deletes, &batch.inserts).await?;
            }
        }
        Ok(())
    }

    async fn commit(&mut self, position: Position) -> Result<()> {
        let all = self.saved.elapsed() >= SAVE_EVERY && *self.applied.borrow() != position;
        self.ahead.retain(|_, has| !position.is_at_least(has));
        for (target, applier) in &mut self.appliers {
            // What a target has saved never gets older.
            if applier.is_open() || all && !self.ahead.contains_key(target) {
                applier.commit(&position).await?;
            }
        }
        if all {
            self.saved = Instant::now();
        }
        self.gates.clear();
        self.applied.send_replace(position);
        Ok(())
    }
}
