//! Runs a planned statement over the shards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::held::Held;
use super::snapshots::Snapshots;
use super::timings::Timings;
use crate::error::{Class, Error, Result};
use crate::mysql::query::{self, Reading};
use crate::mysql::{Conn, Flavour, Server, Servers};
use crate::names::InstanceName;
use crate::query::Refusal;
use crate::query::merge::{Computed, GIVEN_ROWS, Groups, Key, Merge, MergeError, Ordered};
use crate::query::modes::TAKEN;
use crate::query::plan::{Plan, Way};
use crate::query::scatter::{Scatter, Scattered};
use crate::query::template::Template;
use crate::rows::cell::{Column, Kind, Padding, Row};
use crate::topology::{LogicalTable, PhysicalTable, Topology};

/// Rows of each shard that wait to be merged.
const WAITING_ROWS: usize = 256;

/// Bytes of the rows of all shards that wait to be merged, about. A row that is larger than its
/// shard's part of them waits alone.
const WAITING_BYTES: usize = 32 << 20;

/// Rows that are held back until all shards have told their columns.
const HELD_ROWS: usize = 1_000;

/// Bytes of such rows, about.
const HELD_BYTES: usize = 8 << 20;

/// Connections to an instance where the order of the answers does not matter.
const CONNECTIONS: usize = 8;

/// Connections to an instance at the most: an ordered merge reads all its shards at once.
pub const CONNECTIONS_MAX: usize = 64;

/// How to run.
#[derive(Debug, Clone, Copy)]
pub struct QueryOptions {
    /// After this the statements are ended.
    pub timeout: Duration,
    /// Rows of the answer at the most.
    pub rows_max: u64,
    /// The time of the statement in microseconds since 1970.
    pub clock_us: i64,
}

/// Takes the answer.
pub trait Sink: Send {
    /// The columns, once, before the rows.
    ///
    /// # Errors
    /// They cannot be written.
    fn columns(&mut self, columns: &[Column]) -> Result<()>;
    /// A row.
    ///
    /// # Errors
    /// It cannot be written.
    fn row(&mut self, row: Row) -> Result<()>;
}

/// A refusal as an error of the command.
pub fn refuse(refusal: &Refusal) -> Error {
    match refusal {
        Refusal::Syntax { .. } => Error::usage("the statement cannot be read").cause(refusal),
        Refusal::Unsafe(_) => Error::usage("the statement is refused").cause(refusal),
        Refusal::Unknown(_) => Error::usage("the statement cannot be answered").cause(refusal),
        Refusal::Inexact(_) => Error::usage("the statement cannot be answered exactly")
            .cause(refusal)
            .of_this_way(),
    }
}

/// A statement that the shards can answer, each for itself.
pub fn refuse_to_merge(refusal: &Refusal) -> Error {
    refuse(refusal)
        .next("name the shard key so that one shard answers, or see each shard's own answer with --by-shard")
}

/// Statements that run, so that they can be ended.
#[derive(Debug, Clone, Default)]
pub struct Running(Arc<Mutex<Vec<(Server, u32)>>>);

impl Running {
    /// One has started on this connection.
    pub fn started(&self, server: &Server, conn: &Conn) {
        self.lock().push((server.clone(), conn.id()));
    }

    /// The one on this connection has ended.
    pub fn ended(&self, server: &Server, id: u32) {
        self.lock()
            .retain(|(other, known)| *known != id || other.name() != server.name());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Server, u32)>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Ends all of them on their servers.
    pub async fn kill(&self) {
        let all = std::mem::take(&mut *self.lock());
        join_all(all.iter().map(|(server, id)| query::kill(server, *id))).await;
    }
}

/// Tables that did not answer, where an answer without them is wanted as well.
///
/// A table's rows are in such an answer whole or not at all.
#[derive(Debug, Clone, Default)]
pub struct Missing(Option<Arc<Mutex<Vec<MissingTable>>>>);

/// A physical table that did not answer.
#[derive(Debug, Clone)]
pub struct MissingTable {
    /// Instance, schema and table.
    pub place: String,
    /// Why.
    pub error: Error,
}

impl Missing {
    /// What a server refuses is noted, and the others' answer goes on.
    pub fn allowed() -> Self {
        Self(Some(Arc::default()))
    }

    /// What is missing, each table once; nothing where nothing may be.
    pub fn tables(&self) -> Option<Vec<MissingTable>> {
        Some(Self::lock(self.0.as_ref()?).clone())
    }

    fn lock(tables: &Mutex<Vec<MissingTable>>) -> std::sync::MutexGuard<'_, Vec<MissingTable>> {
        tables
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Notes what failed, or gives the error back where nothing may be missing or it is no
    /// server's.
    fn note(&self, place: &str, error: Error) -> Result<()> {
        match &self.0 {
            Some(tables) if error.class() == Class::Server => {
                let mut tables = Self::lock(tables);
                if !tables.iter().any(|known| known.place == place) {
                    tables.push(MissingTable {
                        place: place.to_owned(),
                        error,
                    });
                }
                Ok(())
            }
            _ => Err(error),
        }
    }

    fn has(&self, place: &str) -> bool {
        let tables = self.0.as_deref().map(Self::lock);
        tables.is_some_and(|tables| tables.iter().any(|known| known.place == place))
    }

    /// An error where none of the tasks has an answer.
    fn some_answer(&self, tasks: &[String]) -> Result<()> {
        match &self.0 {
            Some(tables) if tasks.iter().all(|place| self.has(place)) => {
                let first = Self::lock(tables).first().map(|first| first.error.clone());
                first.map_or(Ok(()), |error| Err(error.now("no shard answered")))
            }
            _ => Ok(()),
        }
    }
}

/// What a run works with.
#[derive(Debug, Clone)]
pub struct Fleet<'a> {
    /// The topology.
    pub topology: &'a Topology,
    /// The servers of the instances that are asked.
    pub servers: &'a Servers,
    /// The statements that run.
    pub running: Running,
    /// What may be missing from the answer, and is.
    pub missing: Missing,
    /// The snapshots that the answer is read in.
    pub snapshots: Snapshots,
    /// What the tables' parts take.
    pub timings: Timings,
    /// How to run.
    pub options: QueryOptions,
}

/// One statement on one physical table.
struct Task {
    server: Server,
    sql: String,
    place: String,
    physical: PhysicalTable,
}

/// Connections that a plan needs to each instance.
pub fn connections(topology: &Topology, plan: &Plan) -> usize {
    if let Way::Union(union) = &plan.way {
        let each = union.plans.iter().map(|plan| connections(topology, plan));
        return each.max().unwrap_or(2);
    }
    let mut each: BTreeMap<&str, usize> = BTreeMap::new();
    for place in &plan.places {
        *each
            .entry(topology.schema(place.shard).instance.as_str())
            .or_default() += 1;
    }
    // One more for ending the others.
    each.values()
        .max()
        .copied()
        .unwrap_or(1)
        .min(CONNECTIONS_MAX)
        + 1
}

/// Connections to each instance that a plan's statements need, none used by two of them at once:
/// of a union all, for a part that has rows enough leaves its own unfinished.
///
/// # Errors
/// They are more than an instance is asked for.
pub fn at_once(topology: &Topology, plan: &Plan) -> Result<BTreeMap<InstanceName, usize>> {
    let mut each = BTreeMap::new();
    let plans = match &plan.way {
        Way::Union(union) => union.plans.iter().collect(),
        _ => vec![plan],
    };
    for place in plans.into_iter().flat_map(|plan| &plan.places) {
        let instance = topology.schema(place.shard).instance.clone();
        *each.entry(instance).or_insert(0) += 1;
    }
    match each.iter().find(|(_, count)| **count > CONNECTIONS_MAX) {
        Some((instance, count)) => Err(Error::usage(format!(
            "a snapshot for each of {count} tables on instance {instance} is more than \
             {CONNECTIONS_MAX} connections"
        ))),
        None => Ok(each),
    }
}

impl Fleet<'_> {
    /// What a reading session is given.
    pub fn reading(&self) -> Reading {
        Reading {
            timeout: self.options.timeout,
            clock_us: self.options.clock_us,
            modes: TAKEN,
        }
    }

    fn table(&self, plan: &Plan) -> Result<&LogicalTable> {
        self.topology
            .tables
            .values()
            .find(|table| table.name.as_str() == plan.table)
            .ok_or_else(|| Error::usage(format!("there is no table `{}`", plan.table)))
    }

    fn tasks(&self, plan: &Plan, template: &Template) -> Result<Vec<Task>> {
        let table = self.table(plan)?;
        let mut tasks = Vec::with_capacity(plan.places.len());
        let mut places = Vec::with_capacity(plan.places.len());
        for place in &plan.places {
            let physical = self.topology.physical(table, *place);
            let shown = physical.to_string();
            places.push(shown.clone());
            match self.servers.get(&physical.instance) {
                Ok(_) if self.missing.has(&shown) => {}
                Ok(server) => tasks.push(Task {
                    server: server.clone(),
                    sql: template.sql(&plan.physical(self.topology, *place)),
                    place: shown,
                    physical,
                }),
                Err(error) => self.missing.note(&shown, error)?,
            }
        }
        self.missing.some_answer(&places)?;
        Ok(tasks)
    }

    async fn session(&self, server: &Server) -> Result<Conn> {
        let conn = query::session(server, self.reading()).await?;
        self.running.started(server, &conn);
        Ok(conn)
    }

    /// The second step of a scatter: asks one shard for the kinds of the columns.
    ///
    /// # Errors
    /// The server refuses, or the statement cannot be merged exactly after all.
    pub async fn finish(&self, plan: &Plan) -> Result<Option<Scattered>> {
        self.decide(plan)
            .await?
            .map_err(|refusal| refuse_to_merge(&refusal))
    }

    /// As [`Fleet::finish`], with the refusal apart, for a statement that can be gathered instead.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn decide(&self, plan: &Plan) -> Result<Result<Option<Scattered>, Refusal>> {
        let scatter = match &plan.way {
            Way::Scatter(scatter) => scatter,
            Way::One { .. } => return Ok(Ok(None)),
            Way::Apart(refusal) => return Ok(Err(refusal.clone())),
            Way::Union(union) => {
                for plan in &union.plans {
                    if let Err(refusal) = Box::pin(self.decide(plan)).await? {
                        return Ok(Err(refusal));
                    }
                }
                return Ok(Ok(None));
            }
        };
        let mut probed = self.probe_first(plan, &scatter.probe).await?;
        if scatter.compares_text(&probed) {
            self.collations(plan, scatter, &mut probed).await?;
        }
        match scatter.finish(&probed) {
            Ok(scattered) => {
                self.refuse_mixed_weights(&probed, &scattered.merge)?;
                Ok(Ok(Some(scattered)))
            }
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// The columns that a statement gives on the first shard.
    pub(super) async fn probe_first(
        &self,
        plan: &Plan,
        template: &Template,
    ) -> Result<Vec<Column>> {
        for task in self.tasks(plan, template)? {
            match self.probe_one(&task).await {
                Ok(probed) => return Ok(probed),
                // Another one knows the columns as well.
                Err(error) => self.missing.note(&task.place, error)?,
            }
        }
        // All that were asked are missing now, which is an error.
        self.tasks(plan, template)?;
        Err(Error::usage("there is no shard to ask"))
    }

    async fn probe_one(&self, task: &Task) -> Result<Vec<Column>> {
        let mut conn = self.session(&task.server).await?;
        let probed = query::probe(&task.server, &mut conn, &task.sql).await;
        self.running.ended(&task.server, conn.id());
        probed
    }

    /// What the collations do with the ends of texts. They must be the same on all shards: one
    /// that differs would weigh its texts differently, and the columns' kinds do not tell.
    async fn collations(
        &self,
        plan: &Plan,
        scatter: &Scatter,
        probed: &mut [Column],
    ) -> Result<()> {
        let tasks = self.tasks(plan, &scatter.collations())?;
        let mut answers = stream::iter(tasks.into_iter().map(|task| async move {
            let names = async {
                let mut conn = self.session(&task.server).await?;
                let names = query::ask(&task.server, &mut conn, &task.sql).await;
                self.running.ended(&task.server, conn.id());
                Ok::<_, Error>((names?.1, conn))
            };
            (names.await, task)
        }))
        .buffered(CONNECTIONS);
        let mut agreed = None;
        while let Some((answer, task)) = answers.next().await {
            let (names, mut conn) = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    self.missing.note(&task.place, error)?;
                    continue;
                }
            };
            match &agreed {
                None => {
                    let names_of_one = names.first().cloned().unwrap_or_default();
                    let paddings = query::paddings(&task.server, &mut conn, &names_of_one).await?;
                    scatter.know_paddings(probed, &paddings);
                    agreed = Some(names);
                }
                Some(known) if *known == names => {}
                Some(_) => {
                    return Err(tables_differ(None, &[])
                        .at(task.place)
                        .cause("a text has another collation than on another shard"));
                }
            }
        }
        Ok(())
    }

    /// The weights of a text are not the same numbers on the two families of server.
    fn refuse_mixed_weights(&self, probed: &[Column], merge: &Merge) -> Result<()> {
        let mixed = self.servers.iter().any(|s| s.flavour() == Flavour::Mysql)
            && self.servers.iter().any(|s| s.flavour() == Flavour::Mariadb);
        let compares = match merge {
            Merge::Rows { keys, .. } => !keys.is_empty(),
            Merge::Grouped { .. } => true,
        };
        if mixed && compares && probed.iter().any(|column| column.kind == Kind::Text) {
            return Err(refuse(&Refusal::Inexact(
                "text is not compared alike by MySQL and MariaDB, and the fleet has both"
                    .to_owned(),
            )));
        }
        Ok(())
    }

    /// Runs the plan and gives the merged answer to the sink.
    ///
    /// # Errors
    /// A shard fails, or the answer is larger than allowed.
    pub async fn run(&self, plan: &Plan, sink: &mut dyn Sink) -> Result<()> {
        let scattered = self.finish(plan).await?;
        self.run_decided(plan, scattered.as_ref(), sink).await
    }

    /// As [`Fleet::run`], after the second step of a scatter.
    ///
    /// # Errors
    /// A shard fails, or the answer is larger than allowed.
    pub async fn run_decided(
        &self,
        plan: &Plan,
        scattered: Option<&Scattered>,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        match scattered {
            Some(scattered) if scattered.merge.can_refuse_late() => {
                let mut held = Held::default();
                self.run_at_once(plan, Some(scattered), &mut held).await?;
                held.give(sink)
            }
            _ => self.run_at_once(plan, scattered, sink).await,
        }
    }

    /// Gives each row as it comes.
    async fn run_at_once(
        &self,
        plan: &Plan,
        scattered: Option<&Scattered>,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let mut sink = Capped {
            sink,
            left: self.options.rows_max,
            max: self.options.rows_max,
        };
        match (&plan.way, scattered) {
            (Way::One { statement }, _) => self.run_one(plan, statement, &mut sink).await,
            (Way::Union(union), _) => self.run_union(union, &mut sink).await,
            (_, Some(scattered)) => self.run_scattered(plan, scattered, &mut sink).await,
            (_, None) => Err(Error::usage("the statement is not a scatter")),
        }
    }

    /// The plan for the shards that an index table names, where it can be asked.
    ///
    /// # Errors
    /// A shard of the index table fails, or a key has no place.
    pub async fn look_up(&self, plan: Plan) -> Result<Plan> {
        let Some(lookup) = &plan.lookup else {
            return Ok(plan);
        };
        let mut keys = Vec::new();
        for task in self.tasks(&lookup.plan, &lookup.plan.as_written)? {
            let mut conn = self.session(&task.server).await?;
            let answer = query::ask(&task.server, &mut conn, &task.sql).await;
            self.running.ended(&task.server, conn.id());
            keys.extend(answer.map_err(|error| error.at(&task.place))?.1);
        }
        plan.narrowed(&keys, self.topology)
            .map_err(|refusal| refuse(&refusal))
    }

    async fn run_one(
        &self,
        plan: &Plan,
        statement: &Template,
        sink: &mut Capped<'_>,
    ) -> Result<()> {
        let tasks = self.tasks(plan, statement)?;
        let places = places_of(&tasks);
        let mut streams = self.start(tasks, CONNECTIONS).await;
        let Some(mut stream) = streams.streams.pop() else {
            return Ok(());
        };
        loop {
            match next_part(&mut stream).await? {
                Part::Columns(columns) => sink.columns(&columns)?,
                Part::Row { row, .. } => sink.row(row)?,
                Part::End => return Ok(()),
                Part::Lost => return self.missing.some_answer(&places),
            }
        }
    }

    async fn run_scattered(
        &self,
        plan: &Plan,
        scattered: &Scattered,
        sink: &mut Capped<'_>,
    ) -> Result<()> {
        let tasks = self.tasks(plan, &scattered.statement)?;
        match &scattered.merge {
            Merge::Rows {
                keys,
                visible,
                limit,
                offset,
            } => {
                let mut output = Window {
                    sink,
                    visible: *visible,
                    skip: *offset,
                    left: limit.unwrap_or(u64::MAX),
                };
                if keys.is_empty() {
                    self.as_they_come(tasks, &scattered.columns, &mut output)
                        .await
                } else {
                    self.ordered(plan, tasks, &scattered.columns, keys, &mut output)
                        .await
                }
            }
            Merge::Grouped {
                one_group,
                keys,
                aggregates,
                outputs,
                order,
                computed,
                limit,
                offset,
            } => {
                let mut groups = Groups::new(keys, aggregates);
                let places = places_of(&tasks);
                let servers: Vec<(String, Server)> = tasks
                    .iter()
                    .map(|task| (task.place.clone(), task.server.clone()))
                    .collect();
                self.unordered(tasks, &mut |row| {
                    groups.add(row).map_err(|fault| merge_error(&fault))?;
                    Ok(true)
                })
                .await?;
                self.missing.some_answer(&places)?;
                // One that answered can compute as well.
                let server = servers
                    .into_iter()
                    .find(|(place, _)| !self.missing.has(place))
                    .map(|(_, server)| server);
                if *one_group {
                    groups.have_one();
                }
                let values = match (computed, server) {
                    (Some(computed), Some(server)) => {
                        Some(self.compute(computed, &groups, &server).await?)
                    }
                    _ => None,
                };
                let rows = groups
                    .finish(outputs, order, values, *limit, *offset)
                    .map_err(|fault| merge_error(&fault))?;
                sink.columns(&scattered.columns)?;
                rows.into_iter().try_for_each(|row| sink.row(row))
            }
        }
    }

    /// Expressions over groups, computed by a server: for each group its values, or nothing where
    /// HAVING leaves it out; and their kinds.
    async fn compute(
        &self,
        computed: &Computed,
        groups: &Groups,
        server: &Server,
    ) -> Result<(Vec<Option<Row>>, Vec<Kind>)> {
        let fault = |fault: MergeError| merge_error(&fault);
        let given = groups.given(computed, false).map_err(fault)?;
        if given.is_empty() {
            return Ok((Vec::new(), Vec::new()));
        }
        let mut conn = self.session(server).await?;
        let id = conn.id();
        let (values, kinds) = Self::compute_given(computed, &given, server, &mut conn).await?;
        // A server computes with all digits of an average, or with those it shows where it has
        // kept the groups in a table first: which of them it does is up to its plan.
        let shown = groups.given(computed, true).map_err(fault)?;
        let others: Vec<usize> = (0..given.len())
            .filter(|number| given[*number] != shown[*number])
            .collect();
        let rows: Vec<Row> = others.iter().map(|number| shown[*number].clone()).collect();
        let (again, _) = Self::compute_given(computed, &rows, server, &mut conn).await?;
        if others
            .iter()
            .zip(&again)
            .any(|(number, row)| values[*number] != *row)
        {
            return Err(refuse_to_merge(&Refusal::Inexact(
                "an expression is another value with an average's digits that are not shown than \
                 without them, and a server's plan decides which it computes with"
                    .to_owned(),
            )));
        }
        self.running.ended(server, id);
        Ok((values, kinds))
    }

    /// The expressions of these groups, in their order.
    async fn compute_given(
        computed: &Computed,
        given: &[Row],
        server: &Server,
        conn: &mut Conn,
    ) -> Result<(Vec<Option<Row>>, Vec<Kind>)> {
        let mut values = Vec::with_capacity(given.len());
        let mut kinds = Vec::new();
        for rows in given.chunks(GIVEN_ROWS) {
            let sql = computed
                .statement(rows)
                .map_err(|fault| merge_error(&fault))?;
            let (columns, answer) = query::ask(server, conn, &sql).await?;
            kinds = columns.iter().skip(1).map(|column| column.kind).collect();
            for (number, shown) in &computed.shown {
                let found = columns.get(number + 1);
                if found.is_none_or(|found| found.kind != shown.kind || found.scale != shown.scale)
                {
                    return Err(refuse_to_merge(&Refusal::Inexact(format!(
                        "`{}` computed from the merged aggregates is of another type than on one \
                         server",
                        shown.name
                    ))));
                }
            }
            let mut chunk: Vec<Option<Row>> = vec![None; rows.len()];
            for mut row in answer {
                let number = row.first().cloned().flatten();
                let number: usize = number
                    .and_then(|text| String::from_utf8(text).ok()?.parse().ok())
                    .ok_or_else(incomplete)?;
                let own = row.split_off(1);
                let kept = computed
                    .having
                    .is_none_or(|having| own.get(having) == Some(&Some(b"1".to_vec())));
                if let (Some(slot), true) = (chunk.get_mut(number), kept) {
                    *slot = Some(own);
                }
            }
            values.extend(chunk);
        }
        Ok((values, kinds))
    }

    /// Rows of all shards as they come, until `take` says stop.
    async fn unordered(
        &self,
        tasks: Vec<Task>,
        take: &mut (dyn FnMut(Row) -> Result<bool> + Send),
    ) -> Result<()> {
        self.parts(tasks, &mut |part| match part {
            Part::Row { row, .. } => take(row),
            Part::Columns(_) | Part::End | Part::Lost => Ok(true),
        })
        .await
    }

    /// Rows in any order. They are held back until all shards have told their columns, so that
    /// nothing is shown of an answer whose shards differ; where there are very many before that,
    /// they are shown, and the difference is an error all the same.
    async fn as_they_come(
        &self,
        tasks: Vec<Task>,
        columns: &[Column],
        output: &mut Window<'_, '_>,
    ) -> Result<()> {
        let mut silent = tasks.len();
        let places = places_of(&tasks);
        let mut held: Option<Vec<Row>> = Some(Vec::new());
        let mut held_bytes = 0;
        let mut enough = false;
        self.parts(tasks, &mut |part| {
            match part {
                Part::Columns(_) => silent -= 1,
                Part::Lost => {
                    silent -= 1;
                    self.missing.some_answer(&places)?;
                }
                Part::Row { row, .. } => match &mut held {
                    Some(rows) if !enough => {
                        held_bytes += bytes_of(&row);
                        rows.push(row);
                        enough = rows.len() as u64 >= output.wanted();
                    }
                    Some(_) => {}
                    None => enough |= !output.row(row)?,
                },
                Part::End => {}
            }
            let many = held_bytes >= HELD_BYTES
                || held.as_ref().is_some_and(|rows| rows.len() >= HELD_ROWS);
            if (silent == 0 || many)
                && let Some(rows) = held.take()
            {
                output.sink.columns(columns)?;
                for row in rows {
                    if !output.row(row)? {
                        enough = true;
                        break;
                    }
                }
            }
            Ok(!enough || silent > 0)
        })
        .await?;
        match held {
            Some(_) => output.sink.columns(columns),
            None => Ok(()),
        }
    }

    /// What the shards send, as it comes, until `take` says stop.
    async fn parts(
        &self,
        tasks: Vec<Task>,
        take: &mut (dyn FnMut(Part) -> Result<bool> + Send),
    ) -> Result<()> {
        let mut started = self.start(tasks, CONNECTIONS).await;
        let streams = std::mem::take(&mut started.streams);
        let mut open = streams.len();
        let mut parts = stream::select_all(
            streams
                .into_iter()
                .map(|mut stream| Box::pin(stream::poll_fn(move |cx| stream.poll_recv(cx)))),
        );
        while let Some(part) = parts.next().await {
            let part = part?;
            if matches!(part, Part::End | Part::Lost) {
                open -= 1;
            }
            if !take(part)? {
                return Ok(());
            }
        }
        if open > 0 {
            return Err(incomplete());
        }
        Ok(())
    }

    async fn ordered(
        &self,
        plan: &Plan,
        tasks: Vec<Task>,
        columns: &[Column],
        keys: &[Key],
        output: &mut Window<'_, '_>,
    ) -> Result<()> {
        let busiest = connections(self.topology, plan) - 1;
        let wanted = plan
            .places
            .iter()
            .fold(BTreeMap::<&str, usize>::new(), |mut each, place| {
                *each
                    .entry(self.topology.schema(place.shard).instance.as_str())
                    .or_default() += 1;
                each
            });
        if wanted.values().any(|count| *count > busiest) {
            return Err(refuse(&Refusal::Inexact(format!(
                "an ordered answer reads all tables at once, and more than {CONNECTIONS_MAX} lie \
                 on one instance"
            ))));
        }
        let places = places_of(&tasks);
        let mut started = self.start(tasks, CONNECTIONS_MAX).await;
        let mut streams = std::mem::take(&mut started.streams);
        let mut merge = Ordered::new(keys);
        for (number, stream) in streams.iter_mut().enumerate() {
            if let Some(row) = next_row(stream).await? {
                merge
                    .push(number, row)
                    .map_err(|fault| merge_error(&fault))?;
            }
        }
        self.missing.some_answer(&places)?;
        // Each has sent a row or its end, and its columns before that.
        output.sink.columns(columns)?;
        while let Some((number, row)) = merge.pop() {
            if !output.row(row)? {
                break;
            }
            if let Some(row) = next_row(&mut streams[number]).await? {
                merge
                    .push(number, row)
                    .map_err(|fault| merge_error(&fault))?;
            }
        }
        Ok(())
    }

    /// Runs the tasks, at most so many at once on an instance, each with a stream of its own.
    async fn start(&self, tasks: Vec<Task>, at_once: usize) -> Started {
        let statement = self.timings.statement(tasks.len());
        let mut set = JoinSet::new();
        let mut streams = Vec::new();
        let agreed = Agreed::default();
        // Each stream has a part of its own: an ordered merge waits for one while the others are
        // full.
        let share = (WAITING_BYTES / tasks.len().max(1)).max(1);
        let share = u32::try_from(share).unwrap_or(u32::MAX);
        let mut gates: BTreeMap<String, Arc<Semaphore>> = BTreeMap::new();
        for task in tasks {
            let (sender, receiver) = mpsc::channel(WAITING_ROWS);
            streams.push(receiver);
            let gate = gates
                .entry(task.server.name().to_string())
                .or_insert_with(|| Arc::new(Semaphore::new(at_once)))
                .clone();
            let reading = self.reading();
            let with = Shared {
                running: self.running.clone(),
                agreed: agreed.clone(),
                snapshots: self.snapshots.clone(),
                // Rows of a table that fails later would be in the answer, and others not.
                held: self.missing.0.is_some(),
                timings: self.timings.clone(),
                statement,
                room: Room {
                    bytes: Arc::new(Semaphore::new(share as usize)),
                    share,
                },
            };
            let missing = self.missing.clone();
            set.spawn(async move {
                // Closed only with the set of tasks itself.
                let _permit = gate.acquire().await;
                if let Err(error) = run_task(&task, reading, &with, &sender).await {
                    let part = missing.note(&task.place, error).map(|()| Part::Lost);
                    // No one listens any more if another shard has failed before.
                    let _ = sender.send(part).await;
                }
            });
        }
        Started {
            streams,
            _tasks: set,
        }
    }

    /// Runs the statement as written on each table and gives the rows with the table before them,
    /// in the order of the shards.
    ///
    /// # Errors
    /// A shard fails, or the answer is larger than allowed.
    pub async fn run_by_shard(&self, plan: &Plan, sink: &mut dyn Sink) -> Result<()> {
        let tasks = self.tasks(plan, &plan.as_written)?;
        let names = places_of(&tasks);
        let places: Vec<PhysicalTable> = tasks.iter().map(|task| task.physical.clone()).collect();
        let mut sink = Capped {
            sink,
            left: self.options.rows_max,
            max: self.options.rows_max,
        };
        let rows_max = self.options.rows_max;
        let mut answers = stream::iter(tasks.into_iter().map(|task| async move {
            let mut started = self.start(vec![task], 1).await;
            let (mut columns, mut rows) = (Vec::new(), Vec::new());
            if let Some(mut stream) = started.streams.pop() {
                loop {
                    match next_part(&mut stream).await? {
                        Part::Columns(found) => columns = found,
                        Part::Row { row, .. } if rows.len() as u64 <= rows_max => rows.push(row),
                        Part::Row { .. } | Part::End => break,
                        Part::Lost => return Ok(None),
                    }
                }
            }
            Ok::<_, Error>(Some((columns, rows)))
        }))
        .buffered(CONNECTIONS);
        let mut first = true;
        for place in places {
            let Some(answer) = answers.next().await else {
                break;
            };
            let Some((columns, rows)) = answer? else {
                continue;
            };
            if std::mem::take(&mut first) {
                let mut all: Vec<Column> =
                    ["instance", "schema", "table"].map(text_column).to_vec();
                all.extend(columns);
                sink.columns(&all)?;
            }
            for row in rows {
                let mut all: Row = [
                    &place.instance.to_string(),
                    &place.schema.to_string(),
                    &place.table.to_string(),
                ]
                .map(|text| Some(text.clone().into_bytes()))
                .to_vec();
                all.extend(row);
                sink.row(all)?;
            }
        }
        self.missing.some_answer(&names)
    }
}

fn places_of(tasks: &[Task]) -> Vec<String> {
    tasks.iter().map(|task| task.place.clone()).collect()
}

fn text_column(name: &str) -> Column {
    Column {
        name: name.to_owned(),
        kind: Kind::Text,
        scale: 0,
        cast: None,
        padding: Padding::No,
    }
}

/// Tasks that run, and what they send. Dropped, they are ended.
struct Started {
    streams: Vec<mpsc::Receiver<Result<Part>>>,
    _tasks: JoinSet<()>,
}

/// What a shard sends.
enum Part {
    Columns(Vec<Column>),
    Row {
        row: Row,
        /// The room it takes while it waits.
        _room: Option<OwnedSemaphorePermit>,
    },
    /// There are no more rows. A stream that ends without it has lost some.
    End,
    /// The table is missing from the answer, which goes on without it. Nothing came before.
    Lost,
}

/// Room for the rows of one stream that wait.
struct Room {
    bytes: Arc<Semaphore>,
    share: u32,
}

impl Room {
    /// Waits until there is room for a row; one that is larger than all of it has to wait until
    /// it is empty.
    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.share);
        // Closed only with the stream itself.
        self.bytes.clone().acquire_many_owned(bytes).await.ok()
    }
}

/// Bytes of a row's values.
fn bytes_of(row: &Row) -> usize {
    row.iter().flatten().map(Vec::len).sum()
}

/// The columns of the first shard that answered: all others must have the same, or a merged column
/// would hold values of several.
type Agreed = Arc<OnceLock<Vec<Column>>>;

/// What the tasks of a run share.
struct Shared {
    running: Running,
    agreed: Agreed,
    snapshots: Snapshots,
    /// Whether rows wait for the last one of their table.
    held: bool,
    timings: Timings,
    /// Its number among the timings.
    statement: usize,
    room: Room,
}

impl Shared {
    /// Sends a row when there is room for it, and says whether anyone still listens.
    async fn send(&self, sender: &mpsc::Sender<Result<Part>>, row: Row) -> bool {
        let room = self.room.take(bytes_of(&row)).await;
        sender
            .send(Ok(Part::Row { row, _room: room }))
            .await
            .is_ok()
    }
}

async fn run_task(
    task: &Task,
    reading: Reading,
    with: &Shared,
    sender: &mpsc::Sender<Result<Part>>,
) -> Result<()> {
    let agreed = &with.agreed;
    let timer = with
        .timings
        .start(with.statement, &task.physical, &task.sql);
    let mut conn = match with.snapshots.take(task.server.name()) {
        Some(conn) => conn?,
        None => query::session(&task.server, reading).await?,
    };
    with.running.started(&task.server, &conn);
    let held = Mutex::new(Vec::new());
    let id = conn.id();
    let place = format!("{} ({})", task.place, task.server.place());
    let (first, mut columns) = tokio::sync::oneshot::channel();
    let agrees = AtomicBool::new(true);
    let told = Mutex::new(Vec::new());
    let answer = {
        let mut sent = false;
        query::stream(
            &task.server,
            &mut conn,
            &task.sql,
            |found| {
                let same = *agreed.get_or_init(|| found.clone()) == found;
                agrees.store(same, Ordering::Relaxed);
                if let (Ok(mut told), false) = (told.lock(), same) {
                    told.clone_from(&found);
                }
                let _ = first.send(found);
            },
            |row| {
                let bytes: usize = row.iter().flatten().map(Vec::len).sum();
                timer.came(1, bytes as u64);
                let row = match (with.held, held.lock()) {
                    (true, Ok(mut held)) => {
                        held.push(row);
                        None
                    }
                    _ => Some(row),
                };
                // What is held is sent with its columns.
                let found = match sent || row.is_none() {
                    true => None,
                    false => columns.try_recv().ok(),
                };
                sent = true;
                let agrees = agrees.load(Ordering::Relaxed);
                async move {
                    if !agrees {
                        return false;
                    }
                    if let Some(found) = found
                        && sender.send(Ok(Part::Columns(found))).await.is_err()
                    {
                        return false;
                    }
                    match row {
                        Some(row) => with.send(sender, row).await,
                        None => true,
                    }
                }
            },
        )
        .await
    };
    drop(timer);
    with.running.ended(&task.server, id);
    if answer.is_ok() {
        with.snapshots.give_back(task.server.name(), conn);
    }
    answer.map_err(|error| error.at(&place))?;
    if !agrees.into_inner() {
        let found = told.lock().map(|told| told.clone()).unwrap_or_default();
        return Err(tables_differ(agreed.get(), &found).at(place));
    }
    // An answer without rows has columns all the same. No one listens any more where enough rows
    // have come.
    if let Ok(found) = columns.try_recv() {
        let _ = sender.send(Ok(Part::Columns(found))).await;
    }
    for row in held.into_inner().unwrap_or_default() {
        with.send(sender, row).await;
    }
    let _ = sender.send(Ok(Part::End)).await;
    Ok(())
}

fn tables_differ(known: Option<&Vec<Column>>, found: &[Column]) -> Error {
    let mut pairs = known.into_iter().flatten().zip(found);
    let cause = match pairs.find(|(a, b)| a != b) {
        Some((a, b)) if a.name != b.name => {
            format!(
                "a column is `{}` here and `{}` on another shard",
                b.name, a.name
            )
        }
        Some((a, b)) => format!(
            "the column `{}` is {:?} with {} digits behind the point here, and {:?} with {} on \
             another shard",
            a.name, b.kind, b.scale, a.kind, a.scale
        ),
        None => "it has other columns than another shard".to_owned(),
    };
    Error::usage("the shards' tables differ, so their answers cannot be merged")
        .cause(cause)
        .next("`shardctl create --dry-run` names what differs; or use --by-shard")
}

/// The next part of a stream; after [`Part::End`] there is none.
async fn next_part(stream: &mut mpsc::Receiver<Result<Part>>) -> Result<Part> {
    stream.recv().await.unwrap_or_else(|| Err(incomplete()))
}

/// A task that ended without a word: nothing may pass for the whole answer then.
fn incomplete() -> Error {
    Error::unknown("a shard's answer ended before it was complete")
}

async fn next_row(stream: &mut mpsc::Receiver<Result<Part>>) -> Result<Option<Row>> {
    loop {
        match next_part(stream).await? {
            Part::Columns(_) => {}
            Part::Row { row, .. } => return Ok(Some(row)),
            Part::End | Part::Lost => return Ok(None),
        }
    }
}

fn merge_error(fault: &MergeError) -> Error {
    match fault {
        MergeError::TooManyGroups | MergeError::TooManyValues | MergeError::TooManyBytes => {
            Error::usage("the answer is too large")
                .cause(fault)
                .of_this_way()
        }
        MergeError::LongKey | MergeError::OddEnd | MergeError::TooLong | MergeError::NoDate(_) => {
            refuse(&Refusal::Inexact(fault.to_string()))
        }
        MergeError::Cell(_) => {
            Error::unknown("the shards' answers could not be merged").cause(fault)
        }
    }
}

/// Lets through so many rows and no more.
struct Capped<'a> {
    sink: &'a mut dyn Sink,
    left: u64,
    max: u64,
}

impl Sink for Capped<'_> {
    fn columns(&mut self, columns: &[Column]) -> Result<()> {
        self.sink.columns(columns)
    }

    fn row(&mut self, row: Row) -> Result<()> {
        if self.left == 0 {
            return Err(
                Error::usage(format!("the answer has more than {} rows", self.max))
                    .next("add a LIMIT, or allow more with --max-rows"),
            );
        }
        self.left -= 1;
        self.sink.row(row)
    }
}

/// LIMIT and OFFSET over merged rows, whose hidden cells are cut off.
struct Window<'a, 'b> {
    sink: &'a mut Capped<'b>,
    visible: usize,
    skip: u64,
    left: u64,
}

impl Window<'_, '_> {
    /// Rows that are looked at before no more are wanted.
    fn wanted(&self) -> u64 {
        self.skip.saturating_add(self.left)
    }

    /// Whether more rows are wanted.
    fn row(&mut self, mut row: Row) -> Result<bool> {
        if self.skip > 0 {
            self.skip -= 1;
            return Ok(true);
        }
        if self.left == 0 {
            return Ok(false);
        }
        self.left -= 1;
        row.truncate(self.visible);
        self.sink.row(row)?;
        Ok(self.left > 0)
    }
}
