//! Looks at the servers for `check`, as far as they can be reached and read, and turns what was
//! seen into findings.
//!
//! Nothing that fails here ends the rest: an instance that is down or a schema that the user may
//! not read is a finding of its own, and the others are looked at all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use jiff::Timestamp;

use crate::error::{Class, Error, Result};
use crate::journal;
use crate::journal::capacity as history;
use crate::mysql::state::{self, Facts, Presence};
use crate::mysql::{Conn, Server, Servers, control, inspect};
use crate::names::{InstanceName, SchemaName};
use crate::report::check::{
    Case, Check, CheckRun, Finding, Level, capacity_summary, gauge_sentence, level_of,
};
use crate::report::count;
use crate::routing::traps::{Trap, Weight, step, traps};
use crate::rows::key::KeyType;
use crate::schema::parse::parse_create_table;
use crate::topology::Topology;
use crate::topology::capacity::{
    Basis, Capacity, FORMAT, Gauge, Limits, Size, Snapshot, Stated, Taken, Verdict, What, baseline,
    capacity,
};
use crate::topology::create::Found;
use crate::topology::drift::{Group, HiddenTable, Kind, Looked, drift, group, list};
use crate::topology::file::places::{Places, Spot};

/// Statements that one instance answers at once.
pub const CONNECTIONS_MAX: usize = 4;

/// Physical tables of a logical table whose keys are looked at, spread over all of them.
const SAMPLED_TABLES_MAX: usize = 32;

/// Keys that are looked at in each.
const SAMPLED_KEYS_MAX: u32 = 500;

/// A second measurement within this time of the last is not kept: it would say the same.
const KEEP_EVERY_S: i64 = 3_600;

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
            Some(read_file(path, &topology.cluster)?)
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

fn read_file(path: &PathBuf, cluster: &str) -> Result<Vec<Snapshot>> {
    let shown = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => history::decode_lines(&text, cluster, &shown),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(cause) => Err(Error::usage("could not read the history")
            .at(shown)
            .cause(cause)),
    }
}

fn append(path: &PathBuf, line: &str) -> std::io::Result<()> {
    let cut_off =
        std::fs::read(path).is_ok_and(|bytes| bytes.last().is_some_and(|last| *last != b'\n'));
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    let start = if cut_off { "\n" } else { "" };
    file.write_all(format!("{start}{line}\n").as_bytes())?;
    file.sync_all()
}

/// The grant on the tool's own tables that this account lacks.
fn grant(rights: &str, account: Option<&str>) -> String {
    format!(
        "GRANT {rights} ON `{}`.* TO {}",
        control::SCHEMA,
        account.unwrap_or("the user")
    )
}

fn is_unread(unread: &[(InstanceName, Option<String>)], control: &InstanceName) -> bool {
    unread.iter().any(|(name, _)| name == control)
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
    Finding::new(rule, Level::Error, error.summary())
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

    // ---- live

    async fn live(&self) -> CheckRun {
        let started = Instant::now();
        let mut cases = Vec::new();
        let answers = self
            .ask(|server| async move {
                let mut conn = server.conn().await?;
                let facts = state::facts(server, &mut conn).await?;
                let map = self.map_on(server, &mut conn).await?;
                let account = state::account(&mut conn).await;
                Ok((facts, map, account))
            })
            .await;
        let mut facts: Vec<(InstanceName, Facts)> = Vec::new();
        let mut maps: Vec<(InstanceName, Option<u64>)> = Vec::new();
        let mut unread = Vec::new();
        for (name, answer) in answers {
            let mut case = Case::new(name.as_str());
            match answer {
                Ok((of_server, map, account)) => {
                    if of_server.read_only {
                        case.findings.push(Finding::new(
                            "read_only",
                            Level::Warning,
                            format!("{name} refuses writes (read_only is on): is it the primary?"),
                        ));
                    }
                    match map {
                        Some(map) => maps.push((name.clone(), map)),
                        None => unread.push((name.clone(), account)),
                    }
                    facts.push((name, of_server));
                }
                Err(error) => case.findings.push(error_finding("not_asked", &error)),
            }
            cases.push(case);
        }
        cases.extend(self.unreached());
        cases.push(self.alike(&facts).await);
        let (case, version) = self.shard_map(&maps, &unread).await;
        cases.push(case);
        cases.push(self.jobs(&unread).await);
        cases.extend(self.steps().await);
        let mut versions: Vec<String> = self
            .servers
            .iter()
            .map(|server| {
                let version = server.version();
                format!(
                    "{} {}",
                    server.flavour(),
                    version.split('-').next().unwrap_or(version)
                )
            })
            .collect();
        versions.sort();
        versions.dedup();
        let map = match version {
            Some(version) => format!(", shard map version {version} in force"),
            None => String::new(),
        };
        let versions = match versions.as_slice() {
            [] => String::new(),
            versions => format!(" ({})", versions.join(", ")),
        };
        let summary = format!("{} reached{versions}{map}", self.reached());
        CheckRun::new(Check::Live, summary, ms(started), cases)
    }

    /// The version of the shard map on an instance, if there is one; `None` where the user may
    /// not read it.
    async fn map_on(&self, server: &Server, conn: &mut Conn) -> Result<Option<Option<u64>>> {
        if state::table(server, conn, control::SCHEMA, "shard_map").await? == Presence::Refused {
            return Ok(None);
        }
        let map = control::shard_map(server, conn).await?;
        Ok(Some(map.map(|map| map.version)))
    }

    /// Whether the servers are different ones, and alike in what matters.
    async fn alike(&self, facts: &[(InstanceName, Facts)]) -> Case {
        let mut case = Case::new("servers alike");
        let mut by_identity: BTreeMap<&str, Vec<&InstanceName>> = BTreeMap::new();
        for (name, of_server) in facts {
            by_identity
                .entry(&of_server.identity)
                .or_default()
                .push(name);
        }
        for (identity, names) in by_identity.iter().filter(|(_, names)| names.len() > 1) {
            let Some((first, others)) = names.split_first() else {
                continue;
            };
            let mut same = vec![*first];
            for other in others {
                match self.are_one(first, other).await {
                    Ok(true) => same.push(other),
                    Ok(false) => {}
                    Err(error) => case.findings.push(error_finding("not_asked", &error)),
                }
            }
            if same.len() < 2 {
                continue;
            }
            case.findings.push(Finding {
                places: same.iter().map(ToString::to_string).collect(),
                at: same
                    .last()
                    .and_then(|name| self.places.of(&Spot::Instance((*name).clone()))),
                ..Finding::new(
                    "one_server_twice",
                    Level::Failure,
                    format!("{} are one server ({identity})", list(&same)),
                )
            });
        }
        let versions: Vec<(InstanceName, String)> = self
            .servers
            .iter()
            .map(|server| {
                (
                    server.name().clone(),
                    format!("{} {}", server.flavour(), server.version()),
                )
            })
            .collect();
        let of = |value: fn(&Facts) -> String| -> Vec<(InstanceName, String)> {
            let each = facts.iter();
            each.map(|(name, facts)| (name.clone(), value(facts)))
                .collect()
        };
        let names_case = of(|facts| facts.lower_case_table_names.clone());
        let collations = of(|facts| facts.collation.clone());
        for (what, level, values) in [
            ("server versions", Level::Warning, versions),
            ("lower_case_table_names", Level::Warning, names_case),
            ("default collations", Level::Note, collations),
        ] {
            let mut groups: BTreeMap<&str, Vec<&InstanceName>> = BTreeMap::new();
            for (name, value) in &values {
                groups.entry(value).or_default().push(name);
            }
            if groups.len() > 1 {
                let each: Vec<String> = groups
                    .iter()
                    .map(|(value, names)| format!("{value} on {}", list(names)))
                    .collect();
                case.findings.push(Finding::new(
                    "servers_differ",
                    level,
                    format!("the {what} differ: {}", each.join("; ")),
                ));
            }
        }
        case
    }

    async fn are_one(&self, first: &InstanceName, second: &InstanceName) -> Result<bool> {
        // A name that no other run takes at the same time.
        let lock = format!(
            "shardctl_check_{}_{}",
            std::process::id(),
            self.options.now.as_nanosecond()
        );
        state::are_one(self.servers.get(first)?, self.servers.get(second)?, &lock).await
    }

    /// Whether the file is the shard map in force, and every instance has it. The version.
    async fn shard_map(
        &self,
        maps: &[(InstanceName, Option<u64>)],
        unread: &[(InstanceName, Option<String>)],
    ) -> (Case, Option<u64>) {
        let mut case = Case::new("shard map");
        if let Some((_, account)) = unread.first() {
            let names: Vec<&InstanceName> = unread.iter().map(|(name, _)| name).collect();
            case.findings.push(Finding {
                places: names.iter().map(ToString::to_string).collect(),
                next: Some(grant("SELECT", account.as_deref())),
                ..Finding::new(
                    "shard_map_unread",
                    Level::Error,
                    format!(
                        "shard map and jobs on {} cannot be read with the user's rights",
                        list(&names)
                    ),
                )
            });
        }
        if is_unread(unread, &self.topology.control) {
            return (case, None);
        }
        let control = match self.servers.get(&self.topology.control) {
            Ok(control) => control,
            Err(_) => {
                case.skipped = Some(format!(
                    "{}, the control instance, was not reached",
                    self.topology.control
                ));
                return (case, None);
            }
        };
        let version = match journal::check_in_force(control, self.topology).await {
            Ok(Some(version)) => version,
            Ok(None) => {
                case.findings.push(Finding {
                    next: Some("`shardctl create` writes the first one".to_owned()),
                    ..Finding::new("no_shard_map", Level::Note, "there is no shard map yet")
                });
                return (case, None);
            }
            Err(error) => {
                let level = match error.class() {
                    Class::Usage => Level::Failure,
                    _ => Level::Error,
                };
                case.findings.push(Finding {
                    at: self.places.of(&Spot::Placement),
                    next: Some("`shardctl status --write FILE` writes the one in force".to_owned()),
                    ..Finding::new("not_in_force", level, error.summary())
                });
                return (case, None);
            }
        };
        for (name, found) in maps {
            let message = match found {
                Some(found) if *found == version => continue,
                Some(found) => format!(
                    "{name} has version {found} of the shard map, and {version} is in force: \
                     routers that ask there go by another"
                ),
                None => format!("{name} has no shard map, and version {version} is in force"),
            };
            case.findings.push(Finding {
                places: vec![name.to_string()],
                ..Finding::new("shard_map_behind", Level::Failure, message)
            });
        }
        (case, Some(version))
    }

    /// Jobs that are open.
    async fn jobs(&self, unread: &[(InstanceName, Option<String>)]) -> Case {
        let mut case = Case::new("jobs");
        if is_unread(unread, &self.topology.control) {
            case.skipped = Some("they cannot be read with the user's rights".to_owned());
            return case;
        }
        let Ok(control) = self.servers.get(&self.topology.control) else {
            case.skipped = Some("the control instance was not reached".to_owned());
            return case;
        };
        match journal::jobs(control).await {
            Ok(jobs) => {
                for saved in jobs.iter().filter(|saved| !saved.job.phase.is_over()) {
                    case.findings.push(Finding::new(
                        "open_job",
                        Level::Note,
                        format!("job {} is open, in phase {}", saved.job.id, saved.job.phase),
                    ));
                }
            }
            Err(error) => {
                case.findings
                    .push(Finding::new("jobs_unread", Level::Warning, error.summary()))
            }
        }
        case
    }

    /// Keys of live tables that leave physical tables empty.
    async fn steps(&self) -> Vec<Case> {
        let mut cases = Vec::new();
        for table in self.topology.tables.values() {
            let Some(split) = table.spread.split() else {
                continue;
            };
            let column = &split.schema.column;
            let kind = table.def.column(column.as_str()).and_then(KeyType::of);
            if !matches!(kind, Some(KeyType::Integer { .. })) {
                continue;
            }
            let all: Vec<_> = self.topology.places(table).collect();
            let every = all.len().div_ceil(SAMPLED_TABLES_MAX).max(1);
            let answers: Vec<Vec<i128>> = stream::iter(all.into_iter().step_by(every))
                .map(|place| async move {
                    let physical = self.topology.physical(table, place);
                    let server = self.servers.get(&physical.instance).ok()?;
                    let mut conn = server.conn().await.ok()?;
                    state::some_keys(
                        server,
                        &mut conn,
                        &physical,
                        column.as_str(),
                        SAMPLED_KEYS_MAX,
                    )
                    .await
                    .ok()
                })
                .buffered(CONNECTIONS_MAX * 2)
                .filter_map(|keys| async { keys })
                .collect()
                .await;
            let mut case = Case::new(format!("keys of {}", table.name));
            let keys: Vec<i128> = answers.concat();
            if let Some(trap) = step(self.topology, table, &keys) {
                case.findings.push(trap_finding(&trap, self.places));
            }
            cases.push(case);
        }
        cases
    }

    // ---- drift

    async fn drift(&self) -> CheckRun {
        let started = Instant::now();
        let mut errors = Vec::new();
        let mut looked: BTreeMap<InstanceName, Looked> = BTreeMap::new();
        let mut accounts: BTreeMap<InstanceName, String> = BTreeMap::new();
        for (name, answer) in self.ask(|server| self.look(server)).await {
            match answer {
                Ok((of_server, account)) => {
                    looked.insert(name.clone(), of_server);
                    accounts.extend(account.map(|account| (name, account)));
                }
                Err(error) => {
                    let mut case = Case::new(name.as_str());
                    case.findings.push(error_finding("not_asked", &error));
                    errors.push(case);
                }
            }
        }
        let hidden = self.hidden_tables().await;
        let found = drift(self.topology, &looked, &hidden);
        let mut cases: Vec<Case> = ["schemas", "further tables"]
            .into_iter()
            .map(str::to_owned)
            .chain(self.topology.tables.keys().map(ToString::to_string))
            .map(Case::new)
            .collect();
        for group in group(&found) {
            let name = match (&group.table, group.at.first().map(|at| &at.table)) {
                (Some(table), _) => table.as_str(),
                (None, Some(Some(_))) => "further tables",
                (None, _) => "schemas",
            };
            let finding = self.drift_finding(&group, &accounts);
            if let Some(case) = cases.iter_mut().find(|case| case.name == name) {
                case.findings.push(finding);
            }
        }
        for case in &mut cases {
            let table = found
                .tables
                .iter()
                .find(|(name, _)| name.as_str() == case.name);
            if let Some((_, compared)) = table
                && compared.looked_at == 0
                && compared.wanted > 0
                && case.findings.is_empty()
            {
                case.skipped = Some("no instance that has it could be looked at".to_owned());
            }
        }
        cases.extend(errors);
        let sum = |of: fn(&crate::topology::drift::Compared) -> u64| -> u64 {
            found.tables.values().map(of).sum()
        };
        let (agreeing, looked_at, wanted) = (
            sum(|compared| compared.agreeing),
            sum(|compared| compared.looked_at),
            sum(|compared| compared.wanted),
        );
        let mut summary = format!(
            "{} of {} physical tables agree",
            count(agreeing),
            count(looked_at)
        );
        if looked_at < wanted {
            summary.push_str(&format!(
                ", {} could not be looked at",
                count(wanted - looked_at)
            ));
        }
        let run = CheckRun::new(Check::Drift, summary, ms(started), cases);
        if looked.is_empty() {
            run.skipped()
        } else {
            run
        }
    }

    fn drift_finding(&self, group: &Group, accounts: &BTreeMap<InstanceName, String>) -> Finding {
        let level = if group.kind.is_refusal() {
            Level::Error
        } else if group.kind.is_expected() {
            Level::Note
        } else {
            Level::Failure
        };
        let prefix = match &group.table {
            Some(table) => format!("{table}: "),
            None => String::new(),
        };
        let spot = match (&group.table, group.kind) {
            (Some(table), Kind::TableDiffers) => Spot::Ddl(table.clone()),
            (Some(table), _) => Spot::Table(table.clone()),
            (None, _) => Spot::Placement,
        };
        let next = group
            .at
            .first()
            .filter(|_| group.kind.is_refusal())
            .map(|at| {
                let account = accounts
                    .get(&at.instance)
                    .map_or("the user", String::as_str);
                let on = match &at.table {
                    Some(table) => format!(
                        "{}.{}",
                        crate::names::quote(&at.schema),
                        crate::names::quote(table)
                    ),
                    None => format!("{}.*", crate::names::quote(&at.schema)),
                };
                let others = match group.at.len() {
                    1 => String::new(),
                    _ => ", and likewise on the others".to_owned(),
                };
                format!(
                    "GRANT SELECT ON {on} TO {account}; on {}{others}",
                    at.instance
                )
            });
        let next = next.or_else(|| {
            let text = match group.kind {
                Kind::SchemaMissing | Kind::TableMissing => {
                    "`shardctl create` makes what is missing"
                }
                Kind::SchemaTwice => {
                    "find out which of them the application writes to before one is dropped"
                }
                _ => return None,
            };
            Some(text.to_owned())
        });
        Finding {
            table: group.table.as_ref().map(ToString::to_string),
            places: group
                .at
                .iter()
                .map(|at| format!("{}/{at}", at.instance))
                .collect(),
            at: self.places.of(&spot),
            next,
            ..Finding::new(group.kind.name(), level, format!("{prefix}{group}"))
        }
    }

    /// What an instance has, and the account that looked.
    async fn look(&self, server: &Server) -> Result<(Looked, Option<String>)> {
        let topology = self.topology;
        let mut conn = server.conn().await?;
        let account = state::account(&mut conn).await;
        let there: BTreeSet<String> = inspect::schemas(server, &mut conn)
            .await?
            .into_iter()
            .collect();
        let mut looked = Looked::default();
        let home = topology.shards_on(server.name());
        for shard in &home {
            let name = topology.schema(*shard).name.as_str();
            if there.contains(name) {
                continue;
            }
            if state::schema(server, &mut conn, name).await? == Presence::Refused {
                looked.refused_schemas.insert(name.to_owned());
            }
        }
        // Of every instance all schemas of the topology: one may lie where it does not belong.
        let schemas: Vec<SchemaName> = topology
            .schemas
            .iter()
            .map(|schema| schema.name.clone())
            .filter(|name| there.contains(name.as_str()))
            .collect();
        let listed = inspect::tables_and_views(server, &mut conn, &schemas).await?;
        drop(conn);
        let mut names: BTreeSet<(String, String)> = listed.into_iter().collect();
        // What is wanted and not listed is missing, or only not to be seen.
        for shard in &home {
            let schema = topology.schema(*shard).name.as_str();
            if !there.contains(schema) {
                continue;
            }
            for table in topology.tables.values() {
                for place in topology.places_in(table, *shard) {
                    let table = table.physical[place.table as usize].as_str();
                    names.insert((schema.to_owned(), table.to_owned()));
                }
            }
        }
        let answers: Vec<_> = stream::iter(names)
            .map(|(schema, table)| async move {
                let mut conn = server.conn().await?;
                let presence = state::table(server, &mut conn, &schema, &table).await?;
                Ok::<_, Error>(((schema, table), presence))
            })
            .buffer_unordered(CONNECTIONS_MAX)
            .collect()
            .await;
        let mut found = Found {
            schemas: there,
            ..Found::default()
        };
        for answer in answers {
            let (key, presence) = answer?;
            let definition = match presence {
                Presence::Missing => continue,
                Presence::Refused => {
                    looked.refused_tables.insert(key);
                    continue;
                }
                Presence::There(sql) => parse_create_table(&sql).map_err(|fault| {
                    format!("has a definition that cannot be read: {}", fault.message)
                }),
                Presence::Broken(words) => Err(format!("cannot be shown by the server: {words}")),
            };
            found.tables.insert(key, definition);
        }
        looked.found = found;
        Ok((looked, account))
    }

    /// What open jobs have hidden; nothing where they cannot be read, which `live` says.
    async fn hidden_tables(&self) -> Vec<HiddenTable> {
        let Ok(control) = self.servers.get(&self.topology.control) else {
            return Vec::new();
        };
        let Ok(jobs) = journal::jobs(control).await else {
            return Vec::new();
        };
        jobs.iter()
            .filter(|saved| !saved.job.phase.is_over())
            .flat_map(|saved| {
                saved.job.moves.iter().flat_map(|schema| {
                    schema.tables.iter().map(|table| HiddenTable {
                        job: saved.job.id.clone(),
                        schema: schema.at.schema.clone(),
                        hidden: table.hidden.clone(),
                        table: table.table.clone(),
                    })
                })
            })
            .collect()
    }

    // ---- capacity

    async fn capacity(&self, from_file: Option<Vec<Snapshot>>) -> (CheckRun, Option<Capacity>) {
        let started = Instant::now();
        let mut general = Case::new("measurement");
        let now = self.measure(&mut general).await;
        let options = self.options;
        if now.tables.values().all(BTreeMap::is_empty) {
            let summary = "nothing could be measured";
            let run = CheckRun::new(Check::Capacity, summary, ms(started), vec![general]);
            return (run.skipped(), None);
        }
        let refused = match &options.history {
            History::Control => self.history_refused(&mut general).await,
            History::File(_) => false,
        };
        let (basis, last) = if refused {
            (Err("the user may not read the history".to_owned()), None)
        } else {
            self.basis(from_file, &now, &mut general).await
        };
        let today = options
            .now
            .to_zoned_datetime(jiff::tz::TimeZone::UTC)
            .date();
        let found = capacity(
            self.topology,
            &now,
            basis.as_ref().map_err(Clone::clone),
            &options.stated,
            &options.limits,
            today,
        );
        if !refused {
            self.keep(&now, last, &mut general).await;
        }
        if let Basis::None { why } = &found.basis {
            general.findings.push(Finding::new(
                "growth_unknown",
                Level::Note,
                format!("growth cannot be measured yet: {why}"),
            ));
        }
        let mut cases = vec![general];
        for table in self.topology.tables.values() {
            let mut case = Case::new(table.name.as_str());
            let own: Vec<&Gauge> = found
                .gauges
                .iter()
                .filter(|gauge| matches!(&gauge.what, What::Rows { logical, .. } if *logical == table.name))
                .collect();
            if own.is_empty() {
                case.skipped = Some("none of its physical tables was measured".to_owned());
            }
            case.findings.extend(self.gauge_findings(&own, &found));
            for unlike in found
                .unlike
                .iter()
                .filter(|unlike| unlike.logical == table.name)
            {
                let place = format!("{}.{}", unlike.table.schema, unlike.table.table);
                let about = if found.exact { "" } else { "about " };
                let rows = count(unlike.value.unsigned_abs());
                let median = count(unlike.median.unsigned_abs());
                let message = if unlike.growth {
                    let sign = if unlike.value < 0 { "-" } else { "+" };
                    let sign_median = if unlike.median < 0 { "-" } else { "+" };
                    format!(
                        "{}: {place} grows unlike the others: {sign}{rows} rows a year, where the \
                         median is {sign_median}{median}",
                        table.name
                    )
                } else {
                    format!(
                        "{}: {place} is filled unlike the others: {about}{rows} rows, where the \
                         median is {median}",
                        table.name
                    )
                };
                case.findings.push(Finding {
                    table: Some(table.name.to_string()),
                    places: vec![unlike.table.to_string()],
                    at: self.places.of(&Spot::ShardKey(table.name.clone())),
                    ..Finding::new(
                        if unlike.growth {
                            "grows_unlike"
                        } else {
                            "filled_unlike"
                        },
                        Level::Warning,
                        message,
                    )
                });
            }
            cases.push(case);
        }
        let disks: Vec<&Gauge> = found
            .gauges
            .iter()
            .filter(|gauge| matches!(gauge.what, What::Bytes { .. }))
            .collect();
        if !disks.is_empty() {
            let mut case = Case::new("disks");
            for gauge in disks {
                case.findings.extend(self.gauge_findings(&[gauge], &found));
            }
            cases.push(case);
        }
        let mut summary = capacity_summary(&found);
        if !self.failed.is_empty() {
            summary.push_str(&format!(" ({})", self.reached()));
        }
        let run = CheckRun::new(Check::Capacity, summary, ms(started), cases);
        (run, Some(found))
    }

    /// One finding for the breaches and one for the warnings among these, which are sorted.
    fn gauge_findings(&self, gauges: &[&Gauge], capacity: &Capacity) -> Vec<Finding> {
        let limits = &self.options.limits;
        [
            (Verdict::Breached, "full", limits.fail),
            (Verdict::Warned, "full_soon", limits.warn),
        ]
        .into_iter()
        .filter_map(|(verdict, rule, horizon)| {
            let own: Vec<&&Gauge> = gauges
                .iter()
                .filter(|gauge| gauge.verdict == verdict)
                .collect();
            let first = own.first()?;
            let table = match &first.what {
                What::Rows { logical, .. } => Some(logical),
                What::Bytes { .. } => None,
            };
            let prefix = table.map(|name| format!("{name}: ")).unwrap_or_default();
            let more = match own.len() - 1 {
                0 => String::new(),
                more => format!("; {more} more within {horizon}"),
            };
            Some(Finding {
                table: table.map(ToString::to_string),
                places: own
                    .iter()
                    .map(|gauge| match &gauge.what {
                        What::Rows { table, .. } => table.to_string(),
                        What::Bytes { instance } => instance.to_string(),
                    })
                    .collect(),
                at: table.and_then(|name| self.places.of(&Spot::Table(name.clone()))),
                ..Finding::new(
                    rule,
                    level_of(verdict),
                    format!("{prefix}{}{more}", gauge_sentence(first, capacity.exact)),
                )
            })
        })
        .collect()
    }

    /// What every physical table of the topology holds, as far as it can be read.
    async fn measure(&self, case: &mut Case) -> Snapshot {
        let mut now = Snapshot {
            format: FORMAT,
            cluster: self.topology.cluster.clone(),
            taken_at: self.options.now,
            exact: self.options.exact,
            tables: BTreeMap::new(),
        };
        for (name, answer) in self.ask(|server| self.sizes(server)).await {
            match answer {
                Ok((sizes, refused)) => {
                    for ((schema, table), size) in sizes {
                        now.tables.entry(schema).or_default().insert(table, size);
                    }
                    if !refused.is_empty() {
                        case.findings.push(Finding {
                            places: refused
                                .iter()
                                .map(|table| format!("{name}/{table}"))
                                .collect(),
                            next: Some("GRANT SELECT on them to the user".to_owned()),
                            ..Finding::new(
                                "not_measured",
                                Level::Error,
                                format!(
                                    "{} on {name} cannot be measured with the user's rights",
                                    list(&refused)
                                ),
                            )
                        });
                    }
                }
                Err(error) => case.findings.push(error_finding("not_measured", &error)),
            }
        }
        now
    }

    async fn sizes(&self, server: &Server) -> Result<Measured> {
        let topology = self.topology;
        let mut wanted: BTreeSet<(String, String)> = BTreeSet::new();
        let mut schemas = Vec::new();
        for shard in topology.shards_on(server.name()) {
            let schema = &topology.schema(shard).name;
            schemas.push(schema.clone());
            for table in topology.tables.values() {
                for place in topology.places_in(table, shard) {
                    wanted.insert((
                        schema.to_string(),
                        table.physical[place.table as usize].to_string(),
                    ));
                }
            }
        }
        let mut sizes = inspect::table_sizes(server, &schemas).await?;
        sizes.retain(|name, _| wanted.contains(name));
        let mut refused = Vec::new();
        let mut conn = server.conn().await?;
        for (schema, table) in wanted.iter().filter(|name| !sizes.contains_key(*name)) {
            // Missing is what `drift` says; not to be seen is what hides how full it is.
            if state::table(server, &mut conn, schema, table).await? == Presence::Refused {
                refused.push(format!("{schema}.{table}"));
            }
        }
        drop(conn);
        let mut found = BTreeMap::new();
        if !self.options.exact {
            for (name, size) in sizes {
                let bytes = size.data_bytes.saturating_add(size.index_bytes);
                found.insert(
                    name,
                    Size {
                        rows: size.rows,
                        bytes,
                    },
                );
            }
            return Ok((found, refused));
        }
        let answers: Vec<_> = stream::iter(sizes)
            .map(|((schema, table), size)| async move {
                let mut conn = server.conn().await?;
                let rows = state::rows(server, &mut conn, &schema, &table).await?;
                Ok::<_, Error>(((schema, table), size, rows))
            })
            .buffer_unordered(CONNECTIONS_MAX)
            .collect()
            .await;
        for answer in answers {
            let (name, size, rows) = answer?;
            let bytes = size.data_bytes.saturating_add(size.index_bytes);
            match rows {
                Some(rows) => {
                    found.insert(name, Size { rows, bytes });
                }
                None => refused.push(format!("{}.{}", name.0, name.1)),
            }
        }
        refused.sort();
        Ok((found, refused))
    }

    /// Whether the user has no rights on the history; then that is said.
    async fn history_refused(&self, case: &mut Case) -> bool {
        let Ok(control) = self.servers.get(&self.topology.control) else {
            return false;
        };
        let Ok(mut conn) = control.conn().await else {
            return false;
        };
        let presence = state::table(control, &mut conn, control::SCHEMA, "capacity_history").await;
        let refused = matches!(presence, Ok(Presence::Refused));
        if refused {
            let account = state::account(&mut conn).await;
            case.findings.push(Finding {
                next: Some(format!(
                    "{}, or name a file with --history FILE",
                    grant("CREATE, SELECT, INSERT", account.as_deref())
                )),
                ..Finding::new(
                    "history_unread",
                    Level::Warning,
                    format!(
                        "the history of capacity on {} cannot be read with the user's rights",
                        control.name()
                    ),
                )
            });
        }
        refused
    }

    /// The measurement that growth is taken from, and when the last of the same kind was taken.
    async fn basis(
        &self,
        from_file: Option<Vec<Snapshot>>,
        now: &Snapshot,
        case: &mut Case,
    ) -> (std::result::Result<Snapshot, String>, Option<Timestamp>) {
        let last = |taken: &[Taken]| {
            taken
                .iter()
                .filter(|taken| taken.exact == now.exact && taken.at <= now.taken_at)
                .map(|taken| taken.at)
                .max()
        };
        if let Some(mut snapshots) = from_file {
            let taken: Vec<Taken> = snapshots
                .iter()
                .map(|snapshot| Taken {
                    at: snapshot.taken_at,
                    exact: snapshot.exact,
                })
                .collect();
            let basis = baseline(&taken, now.taken_at, now.exact);
            return (
                basis.map(|index| snapshots.swap_remove(index)),
                last(&taken),
            );
        }
        let control = match self.servers.get(&self.topology.control) {
            Ok(control) => control,
            Err(_) => return (Err("the control instance was not reached".to_owned()), None),
        };
        let mut unread = |error: &Error| {
            case.findings.push(Finding {
                next: Some("name a file with --history FILE".to_owned()),
                ..Finding::new("history_unread", Level::Warning, error.summary())
            });
            "the history could not be read".to_owned()
        };
        let kept = match history::kept(control, &self.topology.cluster).await {
            Ok(kept) => kept.unwrap_or_default(),
            Err(error) => return (Err(unread(&error)), None),
        };
        let taken: Vec<Taken> = kept.iter().map(|(_, taken)| *taken).collect();
        let basis = match baseline(&taken, now.taken_at, now.exact) {
            Ok(index) => match history::load(control, kept[index].0).await {
                Ok(snapshot) => Ok(snapshot),
                Err(error) => Err(unread(&error)),
            },
            Err(why) => Err(why),
        };
        (basis, last(&taken))
    }

    /// Keeps the measurement, if it is whole and the last one is not of this hour.
    async fn keep(&self, now: &Snapshot, last: Option<Timestamp>, case: &mut Case) {
        if !self.options.keeps {
            return;
        }
        let whole = self.failed.is_empty() && case.level() < Level::Error;
        if !whole {
            case.findings.push(Finding::new(
                "not_kept",
                Level::Note,
                "the measurement is not kept: it is not of the whole fleet",
            ));
            return;
        }
        if last.is_some_and(|last| now.taken_at.duration_since(last).as_secs() < KEEP_EVERY_S) {
            return;
        }
        let answer = match &self.options.history {
            History::File(path) => history::encode(now).and_then(|line| {
                append(path, &line).map_err(|cause| {
                    Error::usage("could not keep the measurement")
                        .at(path.display().to_string())
                        .cause(cause)
                })
            }),
            History::Control => self.keep_on_control(now).await,
        };
        if let Err(error) = answer {
            case.findings.push(Finding {
                next: Some(
                    "GRANT CREATE, SELECT, INSERT ON `_shardctl`.* to the user, name a file with \
                     --history FILE, or say --no-record"
                        .to_owned(),
                ),
                ..Finding::new("not_kept", Level::Warning, error.summary())
            });
        }
    }

    async fn keep_on_control(&self, now: &Snapshot) -> Result<()> {
        let control = self.servers.get(&self.topology.control)?;
        let mut conn = control.conn().await?;
        // A check makes no schema on a server that is none of shardctl's yet.
        let ours = control::shard_map(control, &mut conn).await?;
        drop(conn);
        if ours.is_none() {
            return Err(Error::usage(format!(
                "there is no `_shardctl` on {} to keep the measurement in",
                control.name()
            )));
        }
        history::keep(control, now).await
    }
}

/// Sizes by schema and table, and the tables that could not be counted.
type Measured = (BTreeMap<(String, String), Size>, Vec<String>);
