//! The third way of `shardctl query`: what is fetched goes to a scratch server.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use indexmap::IndexMap;

use super::statement::{How, Printer, hint};
use super::{Context, Outcome, analyze};
use crate::error::{Error, Result};
use crate::mysql::credentials::Credentials;
use crate::mysql::{Flavour, Server, Servers};
use crate::names::InstanceName;
use crate::query::Refusal;
use crate::query::gather::Gather;
use crate::report;
use crate::report::analyze::AnalyzeReport;
use crate::report::gather::{GatherPart, GatherReport, GatherTable};
use crate::run::gather::{GatherOptions, Gathering, Looked, SCRATCH_CONNECTIONS, check_engines};
use crate::run::interrupt::Requests;
use crate::run::query::Running;
use crate::run::timings::Timings;
use crate::sandbox::{Durability, Engine, Home, InUse, Options};
use crate::topology::Topology;

/// InnoDB buffer pool of the private scratch server in MiB.
const BUFFER_POOL_MB: u32 = 256;

/// Flags of the third way.
#[derive(clap::Args, Debug)]
pub(super) struct GatherArgs {
    /// Refuse what would have to be gathered on a scratch server
    #[arg(long)]
    pub(super) no_gather: bool,
    /// Gather on this instance of the topology [default: the topology's query.scratch, else a
    /// private server of the installed binaries]
    #[arg(long, value_name = "INSTANCE", conflicts_with = "no_gather")]
    scratch: Option<String>,
    /// Refuse to gather more rows
    #[arg(long, value_name = "N", default_value_t = 5_000_000)]
    max_gather_rows: u64,
    /// Refuse to gather more bytes of values
    #[arg(long, value_name = "BYTES", default_value_t = 2 << 30)]
    max_gather_bytes: u64,
    /// Keep the private scratch server for so long after its last use
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    scratch_idle: u64,
}

/// What the flags say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) gather: &'a GatherArgs,
    pub(super) how: How,
    pub(super) max_shards: Option<usize>,
    /// Tell how far apart the snapshots are.
    pub(super) snapshot: bool,
    pub(super) rows_max: u64,
    pub(super) timeout: Duration,
}

/// Where the statement runs.
pub(super) struct ScratchServer {
    server: Server,
    /// Keeps the private server for as long as we use it.
    _private: Option<InUse>,
}

impl ScratchServer {
    /// Closes the connections to it.
    pub(super) async fn disconnect(&self) {
        self.server.disconnect().await;
    }
}

/// What is gathered, and why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Statement<'a> {
    pub(super) gather: &'a Gather,
    pub(super) refusal: &'a Refusal,
}

/// Refuses to read more shards than allowed.
pub(super) fn limit(asked: Asked<'_>, gather: &Gather, refusal: &Refusal) -> Result<()> {
    let shards: BTreeSet<u32> = gather
        .fetches
        .iter()
        .flat_map(|fetch| &fetch.places)
        .map(|place| place.shard.0)
        .collect();
    match asked.max_shards {
        Some(max) if shards.len() > max => Err(Error::usage(format!(
            "the statement is gathered from {} shards, and --max-shards allows {max}",
            shards.len()
        ))
        .cause(refusal)),
        _ => Ok(()),
    }
}

/// Answers a statement that the shards cannot answer each for itself. The scratch server is kept
/// for the next one.
pub(super) async fn run(
    cx: &Context,
    asked: Asked<'_>,
    topology: &Topology,
    servers: &Servers,
    statement: Statement<'_>,
    kept: &mut Option<ScratchServer>,
    ended: &mut Requests,
) -> Result<Outcome> {
    let Statement { gather, refusal } = statement;
    let named = asked.gather.scratch.as_deref();
    let named = match named {
        Some(name) => Some(find(topology, name)?),
        None => topology.scratch.clone(),
    };
    if asked.how.explain {
        let gathering = gathering(asked, topology, servers, gather);
        let looked = look(asked, &gathering, deadline(asked), ended).await?;
        let report = explain(asked, gather, refusal, &looked, named.as_ref(), servers);
        drop(looked);
        cx.out.show(&report)?;
        return Ok(Outcome::Clean);
    }
    let scratch = match kept.take() {
        Some(scratch) => scratch,
        None => tokio::select! {
            scratch = scratch_server(cx, asked, topology, named, servers) => scratch?,
            signal = ended.next() => return Err(stopped(signal)),
        },
    };
    check_engines(servers, &scratch.server)?;
    let tables: usize = gather.fetches.iter().map(|fetch| fetch.places.len()).sum();
    cx.note(&format!(
        "gathering from {tables} tables on {} instances ({refusal})",
        servers.iter().count()
    ));
    let start = Instant::now();
    let gathering = gathering(asked, topology, servers, gather);
    let answered = answer(cx, asked, &gathering, &scratch.server, ended).await;
    match answered {
        Ok(printer) if asked.how.analyze => {
            let ms = start.elapsed().as_secs_f64() * 1000.0;
            *kept = Some(scratch);
            let rows = printer.rows();
            drop(printer);
            let reading = gathering.reading();
            let shards = analyze::shards(&gathering.timings, servers, reading, &gathering.running);
            let shards = tokio::select! {
                shards = shards => shards,
                signal = ended.next() => {
                    gathering.running.kill().await;
                    return Err(stopped(signal));
                }
            };
            let report = AnalyzeReport {
                way: "gather",
                reason: reason(refusal),
                merge: None,
                rows,
                ms,
                shards,
                plans: Vec::new(),
            };
            cx.out.show(&report.compared())?;
            Ok(Outcome::Clean)
        }
        Ok(printer) => {
            *kept = Some(scratch);
            printer
                .finish(cx, asked.how, start)
                .map(|()| Outcome::Clean)
        }
        // A scratch server that failed is not asked again: the next statement finds another.
        Err(error) => {
            scratch.disconnect().await;
            Err(hint(topology, servers, error).await)
        }
    }
}

fn gathering<'a>(
    asked: Asked<'_>,
    topology: &'a Topology,
    servers: &'a Servers,
    gather: &'a Gather,
) -> Gathering<'a> {
    Gathering {
        topology,
        servers,
        gather,
        running: Running::default(),
        timings: Timings::default(),
        options: GatherOptions {
            timeout: asked.timeout,
            rows_max: asked.rows_max,
            clock_us: jiff::Timestamp::now().as_microsecond(),
            gather_rows_max: asked.gather.max_gather_rows,
            gather_bytes_max: asked.gather.max_gather_bytes,
        },
    }
}

fn stopped(signal: &str) -> Error {
    Error::stopped(format!("stopped by {signal}"))
        .now("the statements were ended on the servers as well")
}

/// The servers end a statement first; this is for what is not one, or does not answer at all.
fn deadline(asked: Asked<'_>) -> tokio::time::Instant {
    tokio::time::Instant::now() + asked.timeout + Duration::from_secs(5)
}

fn late(asked: Asked<'_>) -> Error {
    Error::server(format!(
        "no answer within {} seconds",
        asked.timeout.as_secs()
    ))
    .next("give it longer with --timeout")
}

/// What the shards have. What is asked for that is ended on the servers if it is not wanted any
/// more.
async fn look(
    asked: Asked<'_>,
    gathering: &Gathering<'_>,
    deadline: tokio::time::Instant,
    ended: &mut Requests,
) -> Result<Looked> {
    let looked = tokio::select! {
        looked = gathering.look() => looked,
        signal = ended.next() => Err(stopped(signal)),
        () = tokio::time::sleep_until(deadline) => Err(late(asked)),
    };
    if looked.is_err() {
        gathering.running.kill().await;
    }
    looked
}

/// The answer, printed up to its last row. The scratch schema is gone afterwards.
async fn answer(
    cx: &Context,
    asked: Asked<'_>,
    gathering: &Gathering<'_>,
    server: &Server,
    ended: &mut Requests,
) -> Result<Printer> {
    let deadline = deadline(asked);
    let mut printer = Printer::new(cx, asked.how, Some(&gathering.timings));
    let aside = printer.aside();
    let looked = look(asked, gathering, deadline, ended).await?;
    if asked.snapshot {
        let spread = looked.spread.as_secs_f64() * 1000.0;
        let snapshots = gathering.servers.iter().count();
        aside.note(
            cx,
            &format!("{snapshots} snapshots, opened within {spread:.1} ms"),
        );
    }
    let id = id()?;
    let mut scratch = tokio::select! {
        scratch = gathering.scratch(server, &id, &looked) => scratch?,
        () = tokio::time::sleep_until(deadline) => return Err(late(asked)),
    };
    let told = |gathered: crate::run::gather::Gathered| {
        let (rows, bytes) = (report::count(gathered.rows), report::bytes(gathered.bytes));
        aside.note(cx, &format!("gathered {rows} rows, {bytes}"));
    };
    let answer = tokio::select! {
        answer = gathering.run(looked, &mut scratch, &mut printer, &told) => answer,
        signal = ended.next() => Err(stopped(signal)),
        () = tokio::time::sleep_until(deadline) => Err(late(asked)),
    };
    if answer.is_err() {
        gathering.running.kill().await;
    }
    // That something is left is for the next run, whatever came of this one.
    if let Err(error) = scratch.remove().await {
        cx.note(&error.to_string());
    }
    answer?;
    Ok(printer)
}

/// An id that no other run has.
fn id() -> Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|cause| Error::server("the system gives no random numbers").cause(cause))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn find(topology: &Topology, name: &str) -> Result<InstanceName> {
    topology
        .instances
        .keys()
        .find(|instance| instance.as_str() == name)
        .cloned()
        .ok_or_else(|| {
            let names: Vec<&str> = topology.instances.keys().map(|n| n.as_str()).collect();
            Error::usage(format!("there is no instance `{name}` to gather on"))
                .next(format!("there is: {}", names.join(", ")))
        })
}

async fn scratch_server(
    cx: &Context,
    asked: Asked<'_>,
    topology: &Topology,
    named: Option<InstanceName>,
    servers: &Servers,
) -> Result<ScratchServer> {
    if let Some(name) = named {
        let endpoints: IndexMap<_, _> = topology
            .instances
            .iter()
            .filter(|(instance, _)| **instance == name)
            .map(|(instance, endpoint)| (instance.clone(), endpoint.clone()))
            .collect();
        let servers = cx.connect(&endpoints, SCRATCH_CONNECTIONS).await?;
        return Ok(ScratchServer {
            server: servers.get(&name)?.clone(),
            _private: None,
        });
    }
    let options = private_options(engine(servers)?);
    let idle = Duration::from_secs(asked.gather.scratch_idle);
    let failed = |error: Error| {
        error
            .now("the statement runs on a server of our own; --scratch names one of the topology's")
    };
    let private = tokio::task::spawn_blocking(move || {
        let exe = std::env::current_exe()
            .map_err(|cause| Error::server("could not find this program").cause(cause))?;
        Home::from_env()?.warm(&options, idle, &exe)
    })
    .await
    .map_err(|cause| Error::stopped("the scratch server did not start").cause(cause))?
    .map_err(failed)?;
    let (name, endpoint) = private
        .endpoints()
        .into_iter()
        .next()
        .ok_or_else(|| Error::server("the scratch server is not there"))?;
    let credentials = Credentials::of_file(&private.client_file())?;
    let server = Server::connect(name, endpoint, &credentials, SCRATCH_CONNECTIONS).await?;
    Ok(ScratchServer {
        server,
        _private: Some(private),
    })
}

fn reason(refusal: &Refusal) -> String {
    format!("the shards' answers cannot be merged into it: {refusal}")
}

fn engine(servers: &Servers) -> Result<Engine> {
    match servers.iter().next().map(Server::flavour) {
        Some(Flavour::Mysql) => Ok(Engine::Mysql),
        Some(Flavour::Mariadb) => Ok(Engine::Mariadb),
        None => Err(Error::usage("there is no shard to ask")),
    }
}

fn private_options(engine: Engine) -> Options {
    Options {
        name: format!("scratch-{}", engine.as_str()),
        engine: Some(engine),
        instances: 1,
        tcp: false,
        durability: Durability::Fast,
        buffer_pool_mb: BUFFER_POOL_MB,
        // Nothing on it is worth a log or a second write.
        server_args: [
            "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=OFF",
            "--performance-schema=OFF",
        ]
        .map(str::to_owned)
        .to_vec(),
    }
}

fn explain(
    asked: Asked<'_>,
    gather: &Gather,
    refusal: &Refusal,
    looked: &Looked,
    named: Option<&InstanceName>,
    servers: &Servers,
) -> GatherReport {
    let scratch = match (named, engine(servers)) {
        (Some(name), _) => format!("instance {name}"),
        (None, Ok(engine)) => format!(
            "a private {engine} server, sandbox {}, kept for {} seconds after its last use",
            private_options(engine).name,
            asked.gather.scratch_idle
        ),
        (None, Err(_)) => "a private server".to_owned(),
    };
    GatherReport {
        way: "gather",
        reason: reason(refusal),
        scratch,
        rows_max: asked.gather.max_gather_rows,
        bytes_max: asked.gather.max_gather_bytes,
        tables: gather
            .fetches
            .iter()
            .zip(&looked.tables)
            .map(|(fetch, table)| GatherTable {
                table: fetch.table.clone(),
                columns: table
                    .columns
                    .iter()
                    .map(|column| column.name().to_owned())
                    .collect(),
                filter: fetch.filter.clone(),
                physical_tables: fetch.of,
                rows_estimated: table.parts.iter().map(|part| part.rows_estimated).sum(),
                parts: table
                    .parts
                    .iter()
                    .map(|part| GatherPart {
                        place: part.physical.to_string(),
                        sql: part.sql.clone(),
                        rows_estimated: part.rows_estimated,
                    })
                    .collect(),
            })
            .collect(),
        statement: gather.statement("_shardctl_q_ID"),
    }
}
