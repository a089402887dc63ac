//! `shardctl plan --from`: estimates from a live database.

use std::collections::HashMap;
use std::path::PathBuf;

use indexmap::IndexMap;
use jiff::civil::Date;

use super::Context;
use crate::error::{Error, Result};
use crate::mysql::{Server, Servers};
use crate::names::{InstanceName, SchemaName, TableName};
use crate::report::measured::PlanParts;
use crate::run::measure::{Wanted, measure as run_measure};
use crate::sandbox::Home;
use crate::topology::measured::{History, Measured, MeasuredTable};
use crate::topology::plan::amount::{Growth, Percent, Yearly};
use crate::topology::plan::{Estimates, TableGiven};
use crate::topology::{Endpoint, Spread, Topology};

/// What `--from` names for every schema of the topology.
const WHOLE_TOPOLOGY: &str = "topology";

/// The port of a server whose address names none.
const DEFAULT_PORT: u16 = 3306;

/// Flags of what is measured.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "From a live database")]
pub(super) struct FromArgs {
    /// Measure rows, bytes and growth of this live schema in place of estimates (can be repeated).
    /// INSTANCE is one of the topology or sandbox, or HOST:PORT, or a socket's path; `topology`
    /// alone measures every schema of the topology
    #[arg(long, value_name = "INSTANCE/SCHEMA")]
    from: Vec<String>,
    #[command(flatten)]
    how: FromHow,
}

/// How it is measured.
#[derive(clap::Args, Debug, Default)]
#[group(requires = "from")]
struct FromHow {
    /// Count rows, and read tables whole for their growth, in place of the server's estimates
    #[arg(long)]
    exact: bool,
    /// Column that says when a row came to be [default: found by its name]
    #[arg(long, value_name = "COLUMN")]
    created: Option<String>,
    /// Earlier measurements, for tables that have neither such a column nor AUTO_INCREMENT
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
}

impl FromArgs {
    /// Whether a live database is to be measured.
    pub(super) fn is_asked(&self) -> bool {
        !self.from.is_empty()
    }
}

/// What to say of a measurement that is not of everything, once it was shown; `None` where it is
/// of everything. `now` tells what is true then.
pub(super) fn incomplete(live: &Measured, now: &str) -> Option<Error> {
    let [first, others @ ..] = live.missing.as_slice() else {
        return None;
    };
    let error = Error::server(match others.len() {
        0 => format!("{} could not be measured", first.place),
        more => format!(
            "{} and {} could not be measured",
            first.place,
            match more {
                1 => "another place".to_owned(),
                more => format!("{more} other places"),
            }
        ),
    })
    .cause(&first.why)
    .now(now);
    Some(match &first.next {
        Some(next) => error.next(next),
        None => error,
    })
}

/// Growth above this is that of a start, not one that goes on.
const GROWTH_BASIS_POINTS_MAX: i64 = 10_000;

/// The table that an index table copies, as it was measured.
fn base_of<'a>(
    topology: Option<&Topology>,
    live: &'a Measured,
    name: &TableName,
) -> Option<&'a MeasuredTable> {
    match &topology?.tables.get(name)?.spread {
        Spread::IndexTable { base, .. } => {
            live.tables.iter().find(|table| table.name == base.as_str())
        }
        Spread::Sharded(_) | Spread::Broadcast => None,
    }
}

/// The estimates with what was measured where nothing was given: of each table, or of the one that
/// will be the largest where rows a year were given for one that stands for all.
///
/// # Errors
/// Rows a year were neither given nor can they be measured; what was is shown all the same.
pub(super) fn estimates(cx: &Context, live: &Measured, given: Estimates) -> Result<Estimates> {
    // Of tables whose number and names are not known nothing can be said; of one of which no part
    // was measured only what was given.
    let unsaid = |name: &&String| {
        let given = TableName::new(name.as_str())
            .ok()
            .and_then(|name| given.tables.get(&name));
        !given.is_some_and(|given| given.rows_per_year.is_some() || given.ratio.is_some())
    };
    let unsaid: Vec<String> = live
        .unmeasured
        .iter()
        .filter(unsaid)
        .map(|name| format!("`{name}`"))
        .collect();
    if live.is_open || !unsaid.is_empty() {
        cx.out.show(&PlanParts {
            measured: Some(live.clone()),
            plan: None,
            skew: None,
        })?;
        let why = match unsaid.as_slice() {
            [] => "no plan is made: it would be too small by what is missing".to_owned(),
            names => format!(
                "no plan is made: nothing is known of {}; --table NAME=ROWS gives it",
                names.join(", ")
            ),
        };
        return Err(incomplete(live, &why)
            .unwrap_or_else(|| Error::unknown("what is missing of the measurement is not known")));
    }
    let largest = live.largest(2);
    if given.rows_per_year.is_some() && given.tables.is_empty() {
        return Ok(given.or(Estimates {
            start_rows: largest.map(|table| table.of_all(table.rows)),
            row_bytes: largest.and_then(|table| table.row_bytes),
            ..Estimates::default()
        }));
    }
    let topology = topology_if_any(cx)?;
    let mut tables = IndexMap::new();
    let mut still = Vec::new();
    for table in &live.tables {
        let name = TableName::new(table.name.as_str())
            .map_err(|fault| Error::usage("a table cannot be named").cause(fault))?;
        let is_given = given
            .tables
            .get(&name)
            .is_some_and(|given| given.rows_per_year.is_some() || given.ratio.is_some());
        // An index table has the rows of the table that it copies, and so its growth.
        let grows_as = match table.growth.rows_per_year {
            Some(_) => table,
            None => base_of(topology.as_ref(), live, &name).unwrap_or(table),
        };
        let rate = grows_as.growth.rows_per_year;
        if rate.is_none() && !is_given {
            still.push(table);
            if table.rows == 0 {
                continue;
            }
        }
        let points = grows_as.growth.basis_points.unwrap_or(0);
        if points > GROWTH_BASIS_POINTS_MAX && given.growth.is_none() {
            cx.note(&format!(
                "`{name}`: such growth does not go on: {} % a year are planned; say --growth for \
                 another",
                GROWTH_BASIS_POINTS_MAX / 100
            ));
        }
        let growth = Percent(points.clamp(0, GROWTH_BASIS_POINTS_MAX) as u32);
        tables.insert(
            name,
            TableGiven {
                rows_per_year: Some(Yearly(vec![grows_as.of_all(rate.unwrap_or(0))])),
                start_rows: Some(table.of_all(table.rows)),
                growth: given.growth.is_none().then_some(Growth::Compound(growth)),
                row_bytes: table.row_bytes,
                ..TableGiven::default()
            },
        );
    }
    let all_unknown = still.len() == live.tables.len() && given.tables.is_empty();
    if let (Some(unknown), true) = (still.first(), all_unknown) {
        let unknown = largest.unwrap_or(unknown);
        cx.out.show(&PlanParts {
            measured: Some(live.clone()),
            plan: None,
            skew: None,
        })?;
        let why = format!("no plan is made: how `{}` grows is unknown", unknown.name);
        if let Some(refused) = incomplete(live, &why) {
            return Err(refused);
        }
        return Err(Error::usage(format!(
            "no plan can be made: how `{}` grows is unknown",
            unknown.name
        ))
        .cause(unknown.growth.from.as_str())
        .next("say --rows-per-year, or name a column with --created"));
    }
    if !still.is_empty() {
        let names: Vec<String> = still
            .iter()
            .map(|table| format!("`{}`", table.name))
            .collect();
        cx.note(&format!(
            "planned as they are, for their growth is unknown: {}; say --table NAME=RATIO or \
             NAME=ROWS for them",
            names.join(", ")
        ));
    }
    Ok(given.or(Estimates {
        tables,
        ..Estimates::default()
    }))
}

/// Measures what `--from` names; `None` where it is not said.
///
/// # Errors
/// A place cannot be understood, or nothing at all could be reached or read. What else could not is
/// told in the answer.
pub(super) async fn measure(
    cx: &Context,
    args: &FromArgs,
    start: Option<Date>,
) -> Result<Option<Measured>> {
    if args.from.is_empty() {
        return Ok(None);
    }
    let history = match &args.how.history {
        None => History::default(),
        Some(path) => {
            let bad = |place: String, cause: &dyn std::fmt::Display| {
                Error::usage("could not read the stored history")
                    .at(place)
                    .cause(cause)
            };
            let text = std::fs::read_to_string(path)
                .map_err(|cause| bad(path.display().to_string(), &cause))?;
            History::parse(&text)
                .map_err(|(line, fault)| bad(format!("{}, line {line}", path.display()), &fault))?
        }
    };
    let topology = topology_if_any(cx)?;
    let mut places: IndexMap<InstanceName, (Endpoint, Vec<SchemaName>)> = IndexMap::new();
    let mut whole = false;
    for text in &args.from {
        if text == WHOLE_TOPOLOGY {
            // Read again for its error where there is none.
            let topology = cx.topology()?;
            whole = true;
            for schema in &topology.schemas {
                let endpoint = topology.instances[&schema.instance].clone();
                let (_, schemas) = places
                    .entry(schema.instance.clone())
                    .or_insert((endpoint, Vec::new()));
                schemas.push(schema.name.clone());
            }
            continue;
        }
        let (instance, endpoint, schema) = place(cx, topology.as_ref(), text, "SCHEMA")?;
        let schema = SchemaName::new(schema)
            .map_err(|fault| Error::usage(format!("`{text}` names no schema")).cause(fault))?;
        let (_, schemas) = places.entry(instance).or_insert((endpoint, Vec::new()));
        if !schemas.contains(&schema) {
            schemas.push(schema);
        }
    }
    let endpoints = places
        .iter()
        .map(|(name, (endpoint, _))| (name.clone(), endpoint.clone()))
        .collect();
    let (servers, mut failed) = Servers::try_connect(&endpoints, &cx.credentials()?, 1).await;
    let today = jiff::ZonedDateTime::now().date();
    let mut schemas = Vec::new();
    let mut unreached = Vec::new();
    for (name, (_, names)) in places {
        match failed.iter().position(|(failed, _)| *failed == name) {
            Some(at) => unreached.push((name, names, failed.swap_remove(at).1)),
            None => schemas.push((servers.get(&name)?.clone(), names)),
        }
    }
    let progress = progress(cx);
    let wanted = Wanted {
        schemas,
        unreached,
        known: topology.as_ref().map(known_tables).unwrap_or_default(),
        known_only: whole,
        exact: args.how.exact,
        created: args.how.created.clone(),
        history,
        // Nothing was counted yet of days that are to come.
        as_of: start.map_or(today, |start| start.min(today)),
    };
    let measured = run_measure(&wanted, |table| {
        progress.set_message(format!("measuring {table}"))
    });
    let measured = measured.await;
    progress.finish_and_clear();
    servers.disconnect().await;
    measured.map(Some)
}

/// A spinner on stderr, or nothing where nobody watches.
pub(super) fn progress(cx: &Context) -> indicatif::ProgressBar {
    match cx.shows_progress() {
        true => indicatif::ProgressBar::new_spinner(),
        false => indicatif::ProgressBar::hidden(),
    }
}

/// The topology, where there is a file.
///
/// # Errors
/// There is one that is bad.
pub(super) fn topology_if_any(cx: &Context) -> Result<Option<Topology>> {
    match cx.global.topology.exists() {
        true => cx.topology().map(Some),
        false => Ok(None),
    }
}

/// The logical table of each physical one; one copy of a broadcast table stands for all.
fn known_tables(topology: &Topology) -> HashMap<(String, String), String> {
    topology
        .tables
        .values()
        .flat_map(|table| {
            let places = match table.spread {
                Spread::Broadcast => topology.places(table).take(1),
                _ => topology.places(table).take(usize::MAX),
            };
            places.map(|place| {
                let physical = topology.physical(table, place);
                (
                    (physical.schema.to_string(), physical.table.to_string()),
                    table.name.to_string(),
                )
            })
        })
        .collect()
}

/// Reads `INSTANCE/REST`: the instance of the topology or the sandbox, a `HOST:PORT` or a socket's
/// path, and what follows the last slash.
///
/// # Errors
/// There is no slash, or no such instance.
pub(super) fn place(
    cx: &Context,
    topology: Option<&Topology>,
    text: &str,
    rest: &str,
) -> Result<(InstanceName, Endpoint, String)> {
    let form = || {
        Error::usage(format!("`{text}` is not INSTANCE/{rest}")).next(format!(
            "write rds-1/{rest} for an instance of the topology, or 10.0.0.7:3306/{rest}, or \
             /run/mysqld/mysqld.sock/{rest}"
        ))
    };
    let (server, name) = text.rsplit_once('/').ok_or_else(form)?;
    if server.is_empty() || name.is_empty() {
        return Err(form());
    }
    // What logs in is looked up by this name in option files, [shardctl_NAME].
    let called = |text: &str| InstanceName::new(text).map_err(|fault| form().cause(fault));
    if server.starts_with('/') {
        let endpoint = Endpoint::Socket(PathBuf::from(server));
        let short = std::path::Path::new(server)
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or("source");
        return Ok((called(short)?, endpoint, name.to_owned()));
    }
    if let Some(topology) = topology
        && let Some((instance, endpoint)) = topology
            .instances
            .iter()
            .find(|(instance, _)| instance.as_str() == server)
    {
        return Ok((instance.clone(), endpoint.clone(), name.to_owned()));
    }
    if let Some(sandbox) = &cx.global.sandbox {
        let sandbox = Home::from_env()?.open(sandbox)?;
        let endpoint = sandbox.instance(server)?.endpoint();
        return Ok((called(server)?, endpoint, name.to_owned()));
    }
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| form())?),
        None if server.contains('.') || server == "localhost" => (server, DEFAULT_PORT),
        None => {
            let known: Vec<&str> = topology
                .iter()
                .flat_map(|topology| topology.instances.keys().map(InstanceName::as_str))
                .collect();
            let error = Error::usage(format!("there is no instance `{server}`"));
            return Err(match known.is_empty() {
                true => error
                    .cause(format!(
                        "there is no topology file {}",
                        cx.global.topology.display()
                    ))
                    .next(format!("name the server by its address: HOST:PORT/{rest}")),
                false => error.next(format!(
                    "the topology has {}; or name the server by its address: HOST:PORT/{rest}",
                    known.join(", ")
                )),
            });
        }
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let endpoint = Endpoint::Tcp {
        host: host.to_owned(),
        port,
    };
    Ok((called(host)?, endpoint, name.to_owned()))
}

/// Connects to the one server of a place.
///
/// # Errors
/// It cannot be reached, or refuses.
pub(super) async fn connect(
    cx: &Context,
    instance: &InstanceName,
    endpoint: Endpoint,
) -> Result<Server> {
    Server::connect(instance.clone(), endpoint, &cx.credentials()?, 2).await
}
