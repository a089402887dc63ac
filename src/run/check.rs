//! Looks at the servers for `check`, as far as they can be reached and read, and turns what was
//! seen into findings.
//!
//! Nothing that fails here ends the rest: an instance that is down or a schema that the user may
//! not read is a finding of its own, and the others are looked at all the same.

mod capacity;
mod drift;
mod live;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use futures_util::future::join_all;
use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::mysql::{Server, Servers, control};
use crate::names::InstanceName;
use crate::report::check::{Case, Check, CheckRun, Finding, Level};
use crate::report::count;
use crate::routing::traps::{Trap, Weight, traps};
use crate::topology::Topology;
use crate::topology::capacity::{Capacity, Limits, Stated};
use crate::topology::file::places::{Places, Spot};

/// Statements that one instance answers at once.
pub const CONNECTIONS_MAX: usize = 4;

/// Where measurements are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum History {
    /// On the control instance.
    Control,
    /// In a file of JSON lines.
    File(PathBuf),
}

/// What to look at, and what must hold.
#[derive(Debug, Clone)]
pub struct Options {
    /// The checks that were asked for.
    pub checks: BTreeSet<Check>,
    /// Count the rows instead of taking the servers' estimates.
    pub exact: bool,
    /// What must hold.
    pub limits: Limits,
    /// Growth that someone states.
    pub stated: Vec<Stated>,
    /// Where measurements are kept.
    pub history: History,
    /// Whether this one is.
    pub keeps: bool,
    /// The time.
    pub now: Timestamp,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// The checks.
    pub runs: Vec<CheckRun>,
    /// The figures of the capacity check.
    pub capacity: Option<Capacity>,
}

/// The check of a file that is sound.
pub fn file_run(topology: &Topology, path: &str, started: Instant) -> CheckRun {
    let physical: usize = topology
        .tables
        .values()
        .map(|table| topology.places(table).count())
        .sum();
    let summary = format!(
        "{}, {}, {} ({} physical)",
        counted(topology.instances.len(), "instance"),
        counted(topology.schemas.len(), "schema"),
        counted(topology.tables.len(), "table"),
        count(physical as u64)
    );
    CheckRun::new(Check::File, summary, ms(started), vec![Case::new(path)])
}

/// The routing traps of the file.
pub fn routing_run(topology: &Topology, places: &Places) -> CheckRun {
    let started = Instant::now();
    let mut cases: Vec<Case> = std::iter::once(Case::new("placement"))
        .chain(topology.tables.keys().map(|name| Case::new(name.as_str())))
        .collect();
    for trap in traps(topology) {
        let name = trap
            .table
            .as_ref()
            .map_or("placement", |table| table.as_str());
        if let Some(case) = cases.iter_mut().find(|case| case.name == name) {
            case.findings.push(trap_finding(&trap, places));
        }
    }
    let mut functions: Vec<&str> = topology
        .tables
        .values()
        .filter_map(|table| table.spread.split())
        .flat_map(|split| [Some(&split.schema), split.table.as_ref()])
        .flatten()
        .map(|rule| rule.function.name())
        .collect();
    functions.sort_unstable();
    functions.dedup();
    let summary = match functions.as_slice() {
        [] => "no table is split".to_owned(),
        functions => format!(
            "{} by {}",
            counted(topology.tables.len(), "table"),
            functions.join(", ")
        ),
    };
    CheckRun::new(Check::Routing, summary, ms(started), cases)
}

fn trap_finding(trap: &Trap, places: &Places) -> Finding {
    Finding {
        table: trap.table.as_ref().map(ToString::to_string),
        at: places.of(&trap.spot),
        next: trap.next.map(str::to_owned),
        ..Finding::new(
            trap.rule,
            match trap.weight {
                Weight::Note => Level::Note,
                Weight::Warning => Level::Warning,
                Weight::Failure => Level::Failure,
            },
            trap.message.as_str(),
        )
    }
}

fn ms(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// `1 instance`, `16 schemas`.
fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {what}{plural}", count(number as u64))
}

/// Runs the checks that need servers. Those in `failed` were not reached.
///
/// # Errors
/// The history's file cannot be read: it is an argument like any other.
pub async fn check(
    topology: &Topology,
    places: &Places,
    servers: &Servers,
    failed: &[(InstanceName, Error)],
    options: &Options,
) -> Result<Checked> {
    let fleet = Fleet {
        topology,
        places,
        servers,
        failed,
        options,
    };
    // A file that is wrong is said before the long work.
    let from_file = match &options.history {
        History::File(path) if options.checks.contains(&Check::Capacity) => {
            Some(capacity::read_file(path, &topology.cluster)?)
        }
        _ => None,
    };
    let mut checked = Checked::default();
    if options.checks.contains(&Check::Live) {
        checked.runs.push(fleet.live().await);
    }
    if options.checks.contains(&Check::Drift) {
        checked.runs.push(fleet.drift().await);
    }
    if options.checks.contains(&Check::Capacity) {
        let (run, capacity) = fleet.capacity(from_file).await;
        checked.runs.push(run);
        checked.capacity = capacity;
    }
    // Whatever was asked for, what was not reached is said, and once.
    if !options.checks.contains(&Check::Live)
        && let Some(first) = checked.runs.first_mut()
    {
        first.cases.extend(fleet.unreached());
        let cases = std::mem::take(&mut first.cases);
        let skipped = first.skipped;
        *first = CheckRun::new(first.check, first.summary.clone(), first.took_ms, cases);
        first.skipped = skipped;
    }
    Ok(checked)
}

/// The grant on the tool's own tables that this account lacks.
fn grant(rights: &str, account: Option<&str>) -> String {
    format!(
        "GRANT {rights} ON `{}`.* TO {}",
        control::SCHEMA,
        account.unwrap_or("the user")
    )
}

struct Fleet<'a> {
    topology: &'a Topology,
    places: &'a Places,
    servers: &'a Servers,
    failed: &'a [(InstanceName, Error)],
    options: &'a Options,
}

/// A finding that says that something could not be looked at.
fn error_finding(rule: &str, error: &Error) -> Finding {
    Finding {
        next: error.advice().map(str::to_owned),
        ..Finding::new(rule, Level::Error, error.summary())
    }
}

impl Fleet<'_> {
    fn reached(&self) -> String {
        let all = self.topology.instances.len();
        match self.failed.len() {
            0 => counted(all, "instance"),
            missing => format!("{} of {}", all - missing, counted(all, "instance")),
        }
    }

    /// A case for each instance that was not reached.
    fn unreached(&self) -> Vec<Case> {
        self.failed
            .iter()
            .map(|(name, error)| {
                let address = self
                    .topology
                    .instances
                    .get(name)
                    .map(ToString::to_string)
                    .unwrap_or_default();
                let mut case = Case::new(name.as_str());
                case.findings.push(Finding {
                    places: vec![name.to_string()],
                    at: self.places.of(&Spot::Instance(name.clone())),
                    next: error.advice().map(str::to_owned),
                    ..Finding::new(
                        "not_reached",
                        Level::Error,
                        format!("{name} ({address}) was not reached: {}", error.summary()),
                    )
                });
                case
            })
            .collect()
    }

    /// Every server's answer, with the instance it is of.
    async fn ask<'s, T, F>(
        &'s self,
        question: impl Fn(&'s Server) -> F,
    ) -> Vec<(InstanceName, Result<T>)>
    where
        F: Future<Output = Result<T>>,
    {
        let answers = self.servers.iter().map(|server| {
            let answer = question(server);
            async { (server.name().clone(), answer.await) }
        });
        join_all(answers).await
    }
}
