//! Gathers what a statement needs on a scratch server and runs it there.
//!
//! Each instance is read by one session in one consistent snapshot, and the snapshots are opened
//! together: so that a row and those of other tables that belong to it are of one moment wherever
//! they lie on one instance. Rows stream from there to the scratch server in batches; what waits in
//! memory are a few batches for each instance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::task::JoinSet;

use super::query::{Running, Sink};
use super::timings::Timings;
use crate::error::{Error, Result};
use crate::mysql::query::{self, Reading};
use crate::mysql::scratch::{self, Batch, Scratch, ScratchColumn, ScratchTable, Writer};
use crate::mysql::{Conn, Server, Servers};
use crate::names::InstanceName;
use crate::query::gather::{Ask, Fetch, Gather, Needed};
use crate::query::modes::TAKEN;
use crate::rows::cell::{Column, Row};
use crate::topology::{PhysicalTable, Topology};

/// Connections to the scratch server at the most.
pub const SCRATCH_CONNECTIONS: usize = 150;

/// Bytes of all batches of all instances that wait, about.
const WAITING_BYTES: u64 = 32 << 20;

/// Bytes of one batch, whatever the number of instances.
const BATCH_BYTES: std::ops::RangeInclusive<u64> = (256 << 10)..=(4 << 20);

/// Batches of an instance in memory: being read, waiting, being written by two.
const BATCHES: u64 = 4;

/// Connections that write what one instance sends: one would wait for the server half of the time.
const WRITERS: usize = 2;

/// An estimate refuses a statement only where it passes the limit by so many times: the servers'
/// own numbers of rows are often off by some.
const ESTIMATE_SLACK: u64 = 2;

/// How to gather.
#[derive(Debug, Clone, Copy)]
pub struct GatherOptions {
    /// After this the statements are ended.
    pub timeout: Duration,
    /// Rows of the answer at the most.
    pub rows_max: u64,
    /// The time of the statement in microseconds since 1970.
    pub clock_us: i64,
    /// Rows that may be fetched.
    pub gather_rows_max: u64,
    /// Bytes of values that may be fetched.
    pub gather_bytes_max: u64,
}

/// What a gathered statement works with.
#[derive(Debug)]
pub struct Gathering<'a> {
    /// The topology.
    pub topology: &'a Topology,
    /// The servers of the instances that are read ([`instances`]).
    pub servers: &'a Servers,
    /// What is gathered.
    pub gather: &'a Gather,
    /// The statements that run.
    pub running: Running,
    /// What reading the physical tables takes.
    pub timings: Timings,
    /// How to run.
    pub options: GatherOptions,
}

/// What the shards have, as one moment shows it.
#[derive(Debug)]
pub struct Looked {
    /// The tables, in the order of the statement's fetches.
    pub tables: Vec<LookedTable>,
    /// How far apart the instances' moments are at the most.
    pub spread: Duration,
    settings: BTreeMap<String, String>,
    defaults: (String, String),
    snapshots: Vec<(Server, Conn)>,
    /// What a shard's session answered about itself, as literals.
    answers: Vec<String>,
}

/// A logical table that is fetched.
#[derive(Debug)]
pub struct LookedTable {
    /// Its columns that are fetched.
    pub columns: Vec<ScratchColumn>,
    whole: bool,
    /// Its physical tables that are read.
    pub parts: Vec<LookedPart>,
    /// Definitions of the full-text indexes that the statement needs.
    indexes: Vec<String>,
}

/// A physical table that is read.
#[derive(Debug, Clone)]
pub struct LookedPart {
    /// The table.
    pub physical: PhysicalTable,
    /// What it is asked.
    pub sql: String,
    /// Rows that the server thinks it reads for that.
    pub rows_estimated: u64,
}

/// What was fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gathered {
    /// Rows of all tables.
    pub rows: u64,
    /// Bytes of their values, about.
    pub bytes: u64,
}

/// The instances that a gathered statement reads; the control instance where it names no table,
/// for its settings.
pub fn instances(topology: &Topology, gather: &Gather) -> BTreeSet<InstanceName> {
    let mut used: BTreeSet<InstanceName> = gather
        .fetches
        .iter()
        .flat_map(|fetch| &fetch.places)
        .map(|place| topology.schema(place.shard).instance.clone())
        .collect();
    if used.is_empty() {
        used.insert(topology.control.clone());
    }
    used
}

/// Whether the scratch server answers as the shards would: the same engine in the same version.
///
/// # Errors
/// It does not, or the shards are no one engine.
pub fn check_engines(servers: &Servers, scratch: &Server) -> Result<()> {
    let series = |server: &Server| {
        let mut parts = server.version().split('.');
        let mut next = || parts.next().unwrap_or_default().to_owned();
        (server.flavour(), next(), next())
    };
    match servers
        .iter()
        .find(|server| series(server) != series(scratch))
    {
        None => Ok(()),
        Some(other) => Err(Error::usage(
            "the scratch server is not of the shards' engine and version",
        )
        .cause(format!(
            "{} is {} {}, and {} is {} {}",
            scratch.place(),
            scratch.flavour(),
            scratch.version(),
            other.place(),
            other.flavour(),
            other.version()
        ))
        .next("name a server like the shards' with --scratch")),
    }
}

impl Gathering<'_> {
    /// What a reading session is given.
    pub fn reading(&self) -> Reading {
        Reading {
            timeout: self.options.timeout,
            clock_us: self.options.clock_us,
            modes: TAKEN,
        }
    }

    /// Opens the snapshots, and sees what the shards' tables are and how much there is to fetch.
    ///
    /// # Errors
    /// A shard fails, the shards differ, or there is more than may be gathered.
    pub async fn look(&self) -> Result<Looked> {
        let mut snapshots = try_join_all(self.servers.iter().map(|server| async {
            let conn = scratch::before_snapshot(server, self.reading()).await?;
            self.running.started(server, &conn);
            Ok::<_, Error>((server.clone(), conn))
        }))
        .await?;
        // All stand ready now: each opens its own between the first asking and the last answer.
        let start = Instant::now();
        let opening = snapshots.iter_mut();
        try_join_all(opening.map(|(server, conn)| query::open_snapshot(server, conn))).await?;
        let spread = start.elapsed();
        let answers = self.ask(&mut snapshots).await?;
        let mut settings: Option<(String, BTreeMap<String, String>)> = None;
        let mut found = BTreeMap::new();
        for (server, conn) in &mut snapshots {
            let own = scratch::settings(server, conn, self.gather.full_text).await?;
            match &settings {
                None => settings = Some((server.place(), own)),
                Some((place, first)) => same_settings(place, first, &server.place(), &own)?,
            }
            let tables: Vec<PhysicalTable> = self
                .gather
                .fetches
                .iter()
                .flat_map(|fetch| self.physical(fetch))
                .filter(|physical| physical.instance == *server.name())
                .collect();
            if !tables.is_empty() {
                found.extend(scratch::columns(server, conn, &tables).await?);
            }
        }
        let mut tables = Vec::new();
        for fetch in &self.gather.fetches {
            tables.push(self.table(fetch, &found)?);
        }
        for table in &mut tables {
            for part in &mut table.parts {
                if let Some((server, conn)) = snapshots
                    .iter_mut()
                    .find(|(server, _)| *server.name() == part.physical.instance)
                {
                    part.rows_estimated = scratch::estimate(server, conn, &part.sql).await?;
                }
            }
        }
        if self.gather.full_text {
            for table in &mut tables {
                let Some(part) = table.parts.first() else {
                    continue;
                };
                if let Some((server, conn)) = snapshots
                    .iter_mut()
                    .find(|(server, _)| *server.name() == part.physical.instance)
                {
                    table.indexes =
                        scratch::full_text_indexes(server, conn, &part.physical, &table.columns)
                            .await?;
                }
            }
        }
        let schema = &self.topology.schemas[0];
        let at = match snapshots
            .iter_mut()
            .find(|(server, _)| *server.name() == schema.instance)
        {
            Some((server, conn)) => scratch::defaults(server, conn, &schema.name).await?,
            None => self.defaults_of_read(&mut snapshots).await?,
        };
        self.refuse_estimate(&tables)?;
        Ok(Looked {
            tables,
            spread,
            settings: settings.map(|(_, settings)| settings).unwrap_or_default(),
            defaults: at,
            answers,
            snapshots,
        })
    }

    /// The answers of a shard's session about itself, as literals.
    async fn ask(&self, snapshots: &mut [(Server, Conn)]) -> Result<Vec<String>> {
        let asks = &self.gather.asks;
        let mut first: Option<(String, Vec<String>)> = None;
        if asks.is_empty() {
            return Ok(Vec::new());
        }
        let all: Vec<&str> = asks.iter().map(|ask| ask.sql.as_str()).collect();
        let sql = format!("SELECT {}", all.join(", "));
        for (server, conn) in snapshots {
            let own = scratch::literals(server, conn, &sql).await?;
            let Some((place, known)) = &first else {
                first = Some((server.place(), own));
                continue;
            };
            let mut pairs = asks.iter().zip(known.iter().zip(&own));
            if let Some((ask, (a, b))) = pairs.find(|(ask, (a, b))| ask.alike && a != b) {
                return Err(Error::usage(
                    "the statement asks for what is another value on each shard",
                )
                .at(server.place())
                .cause(format!("{} is {b} there and {a} on {place}", ask.written)));
            }
        }
        Ok(first.map(|(_, answers)| answers).unwrap_or_default())
    }

    /// The defaults of a schema that is read: all of a cluster's are made alike.
    async fn defaults_of_read(&self, snapshots: &mut [(Server, Conn)]) -> Result<(String, String)> {
        let (server, conn) = snapshots
            .first_mut()
            .ok_or_else(|| Error::usage("there is no shard to ask"))?;
        let schema = self
            .topology
            .schemas
            .iter()
            .find(|schema| schema.instance == *server.name())
            .ok_or_else(|| Error::usage("there is no schema on the instance"))?;
        scratch::defaults(server, conn, &schema.name).await
    }

    fn physical(&self, fetch: &Fetch) -> Vec<PhysicalTable> {
        self.topology
            .tables
            .values()
            .filter(|table| table.name.as_str() == fetch.table)
            .flat_map(|table| {
                fetch
                    .places
                    .iter()
                    .map(|place| self.topology.physical(table, *place))
            })
            .collect()
    }

    fn table(
        &self,
        fetch: &Fetch,
        found: &BTreeMap<PhysicalTable, Vec<ScratchColumn>>,
    ) -> Result<LookedTable> {
        let mut columns: Option<(PhysicalTable, Vec<ScratchColumn>)> = None;
        let mut parts = Vec::new();
        for physical in self.physical(fetch) {
            let all = found
                .get(&physical)
                .ok_or_else(|| Error::server(format!("there is no table {physical}")))?;
            let mut needed: Vec<ScratchColumn> = all
                .iter()
                .filter(|column| fetch.columns.has(column.name()))
                .cloned()
                .collect();
            if needed.is_empty() {
                // Only how many rows there are counts, and a table has a column at least.
                needed.extend(all.iter().take(1).cloned());
            }
            let expressions: Vec<String> = needed.iter().map(|c| c.read()).collect();
            parts.push(LookedPart {
                sql: fetch.sql(&physical, &expressions),
                physical: physical.clone(),
                rows_estimated: 0,
            });
            match &columns {
                None => columns = Some((physical, needed)),
                Some((_, first)) if *first == needed => {}
                Some((other, _)) => {
                    return Err(Error::usage(
                        "the shards' tables differ, so their rows cannot be gathered in one",
                    )
                    .at(physical.to_string())
                    .cause(format!(
                        "its columns have other names or types than those of {other}"
                    ))
                    .next("`shardctl create --dry-run` names what differs"));
                }
            }
        }
        let (_, columns) =
            columns.ok_or_else(|| Error::usage(format!("there is no table `{}`", fetch.table)))?;
        Ok(LookedTable {
            columns,
            whole: fetch.columns == Needed::All,
            indexes: Vec::new(),
            parts,
        })
    }

    fn refuse_estimate(&self, tables: &[LookedTable]) -> Result<()> {
        // With a condition a server knows the rows it reads, not those it gives.
        let rows: u64 = self
            .gather
            .fetches
            .iter()
            .zip(tables)
            .filter(|(fetch, _)| fetch.filter.is_none())
            .flat_map(|(_, table)| &table.parts)
            .map(|part| part.rows_estimated)
            .sum();
        if rows > self.options.gather_rows_max.saturating_mul(ESTIMATE_SLACK) {
            return Err(too_much(
                &format!("about {rows} rows are to be fetched"),
                &format!("--max-gather-rows allows {}", self.options.gather_rows_max),
            ));
        }
        Ok(())
    }

    /// Makes the scratch schema. The caller removes it, whatever becomes of the statement.
    ///
    /// # Errors
    /// The scratch server is not reached, refuses, or is of another engine.
    pub async fn scratch(&self, server: &Server, id: &str, looked: &Looked) -> Result<Scratch> {
        check_engines(self.servers, server)?;
        Scratch::make(server, id, &looked.defaults).await
    }

    /// Fetches the rows and runs the statement; its answer goes to the sink.
    ///
    /// # Errors
    /// A server fails, or there is more than may be gathered or answered.
    pub async fn run(
        &self,
        looked: Looked,
        scratch: &mut Scratch,
        sink: &mut dyn Sink,
        gathered: &(dyn Fn(Gathered) + Sync),
    ) -> Result<()> {
        let mut tables: Vec<Arc<ScratchTable>> = Vec::new();
        for (fetch, table) in self.gather.fetches.iter().zip(&looked.tables) {
            let made = scratch
                .table(
                    &fetch.table,
                    table.columns.clone(),
                    table.whole,
                    &table.indexes,
                )
                .await?;
            tables.push(Arc::new(made));
        }
        // Before the rows: what is wrong is to be known at once.
        let mut conn = scratch.session(self.reading(), &looked.settings).await?;
        for (number, answer) in looked.answers.iter().enumerate() {
            let variable = Ask::variable(number);
            scratch.set(&mut conn, &variable, answer).await?;
        }
        let schema = scratch.name().as_str().to_owned();
        let sql = self.gather.statement(&schema);
        scratch.check(&mut conn, &sql).await?;
        gathered(self.load(looked, &tables, scratch).await?);
        scratch.begin(&mut conn).await?;
        let server = scratch.server().clone();
        self.running.started(&server, &conn);
        let id = conn.id();
        let answer = self.answer(&server, &mut conn, &schema, sink).await;
        self.running.ended(&server, id);
        answer
    }

    async fn load(
        &self,
        looked: Looked,
        tables: &[Arc<ScratchTable>],
        scratch: &mut Scratch,
    ) -> Result<Gathered> {
        let bytes_max = (WAITING_BYTES / BATCHES / (looked.snapshots.len().max(1) as u64))
            .clamp(*BATCH_BYTES.start(), *BATCH_BYTES.end())
            .min(scratch.batch_bytes_max());
        let budget = Arc::new(Budget {
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            rows_max: self.options.gather_rows_max,
            bytes_max: self.options.gather_bytes_max,
        });
        let mut tasks = JoinSet::new();
        let statements: Vec<usize> = looked
            .tables
            .iter()
            .map(|table| self.timings.statement(table.parts.len()))
            .collect();
        for (server, mut conn) in looked.snapshots {
            let parts: Vec<(Arc<ScratchTable>, usize, LookedPart)> = tables
                .iter()
                .zip(&statements)
                .zip(&looked.tables)
                .flat_map(|(table, looked)| looked.parts.iter().map(move |part| (table, part)))
                .filter(|(_, part)| part.physical.instance == *server.name())
                .map(|((table, statement), part)| (table.clone(), *statement, part.clone()))
                .collect();
            let (sender, receiver) = mpsc::channel::<Sent>(1);
            let receiver = Arc::new(AsyncMutex::new(receiver));
            for _ in 0..WRITERS {
                let writer = scratch.writer().await?;
                tasks.spawn(write(writer, receiver.clone()));
            }
            let budget = budget.clone();
            let running = self.running.clone();
            let timings = self.timings.clone();
            tasks.spawn(async move {
                for (table, statement, part) in parts {
                    let timer = timings.start(statement, &part.physical, &part.sql);
                    let spent = Mutex::new(None);
                    scratch::read(&server, &mut conn, &part.sql, bytes_max, |batch| {
                        timer.came(batch.rows(), batch.bytes);
                        let within = budget.spend(&batch);
                        let ok = within.is_ok();
                        if let Err(error) = within {
                            *lock(&spent) = Some(error);
                        }
                        let (sender, table) = (&sender, table.clone());
                        // A writer that failed has said why.
                        async move { ok && sender.send((table, batch)).await.is_ok() }
                    })
                    .await?;
                    if let Some(error) = lock(&spent).take() {
                        return Err(error);
                    }
                }
                running.ended(&server, conn.id());
                Ok(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap_or_else(|failed| match failed.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::stopped("the program is ending")),
            })?;
        }
        for (fetch, table) in self.gather.fetches.iter().zip(tables) {
            let compared = |name: &str| fetch.compared.contains(&name.to_lowercase());
            scratch.index(table, compared).await;
        }
        Ok(Gathered {
            rows: budget.rows.load(Ordering::Relaxed),
            bytes: budget.bytes.load(Ordering::Relaxed),
        })
    }

    async fn answer(
        &self,
        server: &Server,
        conn: &mut Conn,
        schema: &str,
        sink: &mut dyn Sink,
    ) -> Result<()> {
        let sql = self.gather.statement(schema);
        // Both the columns and the rows go to it, each by a function of its own.
        let sink = Mutex::new(sink);
        let failure: Mutex<Option<Error>> = Mutex::new(None);
        let fail = |error: Error| {
            lock(&failure).get_or_insert(error);
        };
        let mut left = self.options.rows_max;
        let max = self.options.rows_max;
        let answer = query::stream(
            server,
            conn,
            &sql,
            |columns: Vec<Column>| {
                let named: Vec<Column> = columns
                    .into_iter()
                    .map(|column| Column {
                        name: self.gather.column_name(&column.name, schema),
                        ..column
                    })
                    .collect();
                if let Err(error) = lock(&sink).columns(&named) {
                    fail(error);
                }
            },
            |row: Row| {
                let taken = match (lock(&failure).is_some(), left) {
                    (true, _) => Ok(false),
                    (false, 0) => Err(Error::usage(format!("the answer has more than {max} rows"))
                        .next("add a LIMIT, or allow more with --max-rows")),
                    (false, _) => {
                        left -= 1;
                        lock(&sink).row(row).map(|()| true)
                    }
                };
                let more = taken.unwrap_or_else(|error| {
                    fail(error);
                    false
                });
                async move { more }
            },
        )
        .await;
        match lock(&failure).take() {
            Some(error) => Err(error),
            None => answer,
        }
    }
}

fn same_settings(
    first_place: &str,
    first: &BTreeMap<String, String>,
    place: &str,
    own: &BTreeMap<String, String>,
) -> Result<()> {
    let names: BTreeSet<&String> = first.keys().chain(own.keys()).collect();
    match names
        .into_iter()
        .find(|name| first.get(*name) != own.get(*name))
    {
        None => Ok(()),
        Some(name) => {
            let value = |of: &BTreeMap<String, String>| {
                of.get(name)
                    .cloned()
                    .unwrap_or_else(|| "nothing".to_owned())
            };
            Err(Error::usage(
                "the shards are not set up alike, so no one server answers as they do",
            )
            .at(place)
            .cause(format!(
                "{name} is {} there and {} on {first_place}",
                value(own),
                value(first)
            ))
            .next("set it alike on all instances"))
        }
    }
}

fn too_much(need: &str, limit: &str) -> Error {
    Error::usage("the statement needs more than may be gathered")
        .cause(format!("{need}, and {limit}"))
        .next(
            "add conditions on single tables, or the shard key; or allow more with \
             --max-gather-rows and --max-gather-bytes",
        )
}

/// Rows and where they go.
type Sent = (Arc<ScratchTable>, Batch);

/// What has been fetched, and how much may be.
struct Budget {
    rows: AtomicU64,
    bytes: AtomicU64,
    rows_max: u64,
    bytes_max: u64,
}

impl Budget {
    fn spend(&self, batch: &Batch) -> Result<()> {
        let add = |of: &AtomicU64, n: u64| of.fetch_add(n, Ordering::Relaxed) + n;
        let rows = add(&self.rows, batch.rows());
        let bytes = add(&self.bytes, batch.bytes);
        if rows > self.rows_max {
            return Err(too_much(
                &format!("{rows} rows had been fetched, and there were more"),
                &format!("--max-gather-rows allows {}", self.rows_max),
            ));
        }
        if bytes > self.bytes_max {
            return Err(too_much(
                &format!("{bytes} bytes had been fetched, and there were more"),
                &format!("--max-gather-bytes allows {}", self.bytes_max),
            ));
        }
        Ok(())
    }
}

async fn write(mut writer: Writer, batches: Arc<AsyncMutex<mpsc::Receiver<Sent>>>) -> Result<()> {
    loop {
        let next = batches.lock().await.recv().await;
        match next {
            Some((table, batch)) => writer.write(&table, batch).await?,
            None => return Ok(()),
        }
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
