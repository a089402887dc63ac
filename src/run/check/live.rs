//! The state of the servers: shard map, jobs, settings, and keys that leave shards empty.

use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::stream::{self, StreamExt};

use super::{CONNECTIONS_MAX, Fleet, error_finding, grant, ms, trap_finding};
use crate::error::{Class, Result};
use crate::journal;
use crate::mysql::state::{self, Facts, Presence};
use crate::mysql::{Conn, Server, control};
use crate::names::InstanceName;
use crate::report::check::{Case, Check, CheckRun, Finding, Level};
use crate::routing::traps::step;
use crate::rows::key::KeyType;
use crate::topology::drift::list;
use crate::topology::file::places::Spot;

/// Physical tables of a logical table whose keys are looked at, spread over all of them.
const SAMPLED_TABLES_MAX: usize = 32;

/// Keys that are looked at in each.
const SAMPLED_KEYS_MAX: u32 = 500;

impl Fleet<'_> {
    pub(super) async fn live(&self) -> CheckRun {
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
            Err(error) => case.findings.push(error_finding("jobs_unread", &error)),
        }
        match interrupted_fill(control).await {
            Ok(None) => {}
            Ok(Some((what, since))) => case.findings.push(Finding {
                next: Some(
                    "`shardctl fill --again` empties what it left and starts anew".to_owned(),
                ),
                ..Finding::new(
                    "open_fill",
                    Level::Warning,
                    format!("a fill ({what}) began at {since} UTC and has not ended"),
                )
            }),
            Err(error) => case.findings.push(error_finding("jobs_unread", &error)),
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
            let asked: Vec<_> = all.into_iter().step_by(every).collect();
            let asked_count = asked.len();
            let answers: Vec<Vec<i128>> = stream::iter(asked)
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
            // The keys of one shard lie apart by what splits them: only with all shards read does a
            // step say something of the keys.
            if answers.len() == asked_count
                && let Some(trap) = step(self.topology, table, &keys)
            {
                case.findings.push(trap_finding(&trap, self.places));
            }
            cases.push(case);
        }
        cases
    }
}

/// A fill that began and has not ended: what, and since when.
async fn interrupted_fill(control: &Server) -> Result<Option<(String, String)>> {
    let mut conn = control.conn().await?;
    control::open_fill(control, &mut conn).await
}

fn is_unread(unread: &[(InstanceName, Option<String>)], control: &InstanceName) -> bool {
    unread.iter().any(|(name, _)| name == control)
}
