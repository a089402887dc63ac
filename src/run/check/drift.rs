//! Schemas and tables as the servers have them, against the file.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use futures_util::stream::{self, StreamExt};

use super::{CONNECTIONS_MAX, Fleet, error_finding, ms};
use crate::error::{Error, Result};
use crate::journal;
use crate::mysql::state::{self, Presence};
use crate::mysql::{Server, inspect};
use crate::names::{InstanceName, SchemaName};
use crate::report::check::{Case, Check, CheckRun, Finding, Level};
use crate::report::count;
use crate::schema::parse::parse_create_table;
use crate::topology::create::Found;
use crate::topology::drift::{Group, HiddenTable, Kind, Looked, drift, group};
use crate::topology::file::places::Spot;

impl Fleet<'_> {
    pub(super) async fn drift(&self) -> CheckRun {
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
}
