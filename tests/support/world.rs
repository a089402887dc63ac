//! A fleet and one schema that hold the same rows, so that answers can be compared.

use std::collections::BTreeMap;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use shardctl::mysql::credentials::{CredentialSource, Credentials};
use shardctl::mysql::{Server, Servers};
use shardctl::query::Refusal;
use shardctl::query::gather::gather;
use shardctl::query::plan::{Plan, Way, plan};
use shardctl::routing::Router;
use shardctl::rows::cell::{Cell, Column, Row};
use shardctl::rows::key::KeyValue;
use shardctl::run::gather::{GatherOptions, Gathering};
use shardctl::run::query::{Fleet, Missing, QueryOptions, Running, Sink, connections};
use shardctl::run::snapshots::Snapshots;
use shardctl::run::timings::Timings;
use shardctl::topology::Topology;
use shardctl::topology::file::parse;

use super::Sandbox;

/// The time of all statements, far from the servers' own.
pub const CLOCK_US: i64 = 1_700_000_000_000_000;

/// Connections to each instance.
const CONNECTIONS: usize = 40;

/// A logical table: its name, its lines in the topology without the DDL, and what stands behind its
/// name in CREATE TABLE. The first column is the shard key.
pub struct Table {
    pub name: &'static str,
    pub spread: &'static str,
    pub body: String,
}

/// What a statement was answered.
#[derive(Default)]
pub struct Answer {
    pub names: Vec<String>,
    pub rows: Vec<Row>,
}

impl Sink for Answer {
    fn columns(&mut self, columns: &[Column]) -> shardctl::error::Result<()> {
        assert!(self.names.is_empty(), "columns are told once");
        self.names = columns.iter().map(|column| column.name.clone()).collect();
        Ok(())
    }

    fn row(&mut self, row: Row) -> shardctl::error::Result<()> {
        assert!(!self.names.is_empty(), "columns are told before the rows");
        self.rows.push(row);
        Ok(())
    }
}

/// What became of a statement.
pub enum Outcome {
    Answered(Answer),
    /// It cannot be answered exactly.
    Refused(String),
    Failed(String),
}

/// The way that an answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// One shard had it.
    One,
    /// The shards' answers were merged.
    Merged,
    /// What it needs was gathered on a scratch server.
    Gathered,
}

/// Tables split over the schemas of two instances, and the same rows in one schema.
pub struct World {
    pub topology: Topology,
    pub servers: Servers,
    pub scratch: Server,
    pub reference: String,
    pub sandbox: Sandbox,
}

fn credentials(sandbox: &Sandbox) -> Credentials {
    Credentials::read(CredentialSource {
        defaults_file: Some(sandbox.client_file()),
        ..CredentialSource::default()
    })
    .expect("credentials")
}

/// Connections to the topology's instances.
pub async fn connect(topology: &Topology, sandbox: &Sandbox) -> Servers {
    Servers::connect(&topology.instances, &credentials(sandbox), CONNECTIONS)
        .await
        .expect("servers")
}

impl World {
    /// Empty tables over so many schemas.
    pub async fn create(sandbox: Sandbox, prefix: &str, schemas: u32, tables: &[Table]) -> Self {
        let prefix = super::fresh_schema(prefix);
        let half = schemas / 2;
        let mut text = format!(
            "version: 1\ncluster: {prefix}\ninstances:\n  rds-1: {{ host: x, port: 1 }}\n  \
             rds-2: {{ host: x, port: 2 }}\nschemas:\n  name: {prefix}_{{:02}}\n  count: {schemas}\n  \
             on:\n    rds-1: 0-{}\n    rds-2: {half}-{}\ntables:\n",
            half - 1,
            schemas - 1
        );
        for table in tables {
            text.push_str(&format!(
                "  {name}:\n    {spread}\n    ddl: CREATE TABLE {name} {body}\n",
                name = table.name,
                spread = table.spread.replace("; ", "\n    "),
                body = table.body
            ));
        }
        let mut topology = parse(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        topology.instances = sandbox
            .endpoints()
            .into_iter()
            .filter(|(name, _)| ["rds-1", "rds-2"].contains(&name.as_str()))
            .collect();
        let servers = connect(&topology, &sandbox).await;
        let create = shardctl::run::create::look(&topology, &servers)
            .await
            .expect("a look at the servers");
        shardctl::run::create::execute(
            &servers,
            &create,
            &shardctl::run::owner::Flags::default(),
            &|_| {},
        )
        .await
        .expect("tables");
        let scratch = topology.instances.keys().next_back().expect("an instance");
        let endpoint = topology.instances[scratch].clone();
        let scratch = Server::connect(
            scratch.clone(),
            endpoint,
            &credentials(&sandbox),
            CONNECTIONS,
        )
        .await
        .expect("a scratch server");
        let world = Self {
            scratch,
            reference: format!("{prefix}_one"),
            topology,
            servers,
            sandbox,
        };
        let mut one = world.one_server().await;
        let mut run = async |sql: String| {
            one.query_drop(&sql)
                .await
                .unwrap_or_else(|error| panic!("{sql}\n{error}"));
        };
        run(format!(
            "CREATE DATABASE {} DEFAULT CHARACTER SET utf8mb4",
            world.reference
        ))
        .await;
        for table in tables {
            let sql = format!(
                "CREATE TABLE {}.{} {}",
                world.reference, table.name, table.body
            );
            run(sql).await;
        }
        world
    }

    /// A connection to the server that has all rows.
    pub async fn one_server(&self) -> mysql_async::Conn {
        let server = self.servers.get(&self.topology.control).expect("a server");
        server.conn().await.expect("a connection")
    }

    /// The shard of a key.
    pub fn shard(&self, table: &str, key: i64) -> u32 {
        let table = self.table(table);
        let router = Router::new(&self.topology, table).expect("a router");
        let place = router.place(&KeyValue::Integer(key.into()), None);
        place.expect("a place").shard.0
    }

    fn table(&self, name: &str) -> &shardctl::topology::LogicalTable {
        let mut tables = self.topology.tables.values();
        let found = tables.find(|table| table.name.as_str() == name);
        found.unwrap_or_else(|| panic!("there is no table {name}"))
    }

    /// Puts rows where they belong: of each the key and the text of all its values.
    pub async fn insert(&self, name: &str, rows: &[(i64, String)]) {
        let table = self.table(name);
        let router = Router::new(&self.topology, table).ok();
        let mut by_table: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
        for (key, values) in rows {
            let key = KeyValue::Integer((*key).into());
            let places = match &router {
                Some(router) => vec![router.place(&key, None).expect("a place")],
                None => self.topology.places(table).collect(),
            };
            for place in places {
                let physical = self.topology.physical(table, place);
                let at = (physical.instance.to_string(), physical.quoted());
                by_table.entry(at).or_default().push(values);
            }
        }
        let one = (
            self.topology.control.to_string(),
            format!("{}.{name}", self.reference),
        );
        by_table.insert(
            one,
            rows.iter().map(|(_, values)| values.as_str()).collect(),
        );
        for ((instance, table), rows) in by_table {
            if rows.is_empty() {
                continue;
            }
            let server = self
                .servers
                .iter()
                .find(|server| server.name().as_str() == instance);
            let mut conn = server
                .expect("a server")
                .conn()
                .await
                .expect("a connection");
            conn.query_drop(format!("INSERT INTO {table} VALUES {}", rows.join(", ")))
                .await
                .unwrap_or_else(|error| panic!("{table}: {error}"));
        }
    }

    /// The one server's answer, in a session like the tool's.
    pub async fn expected(&self, sql: &str) -> Result<Answer, String> {
        let mut conn = self.one_server().await;
        for setting in [
            format!("USE {}", self.reference),
            format!("SET timestamp={}", CLOCK_US / 1_000_000),
        ] {
            conn.query_drop(setting).await.expect("a setting");
        }
        let mut result = conn
            .query_iter(sql)
            .await
            .map_err(|error| error.to_string())?;
        let columns = result.columns();
        let mut answer = Answer {
            names: columns
                .as_deref()
                .unwrap_or_default()
                .iter()
                .map(|column| column.name_str().into_owned())
                .collect(),
            rows: Vec::new(),
        };
        while let Some(row) = result.next().await.map_err(|error| error.to_string())? {
            let cells = row.unwrap_raw().into_iter().map(|value| match value {
                Some(mysql_async::Value::Bytes(bytes)) => Some(bytes),
                _ => None,
            });
            answer.rows.push(cells.collect());
        }
        Ok(answer)
    }

    /// The fleet's answer.
    pub async fn ask(&self, sql: &str) -> Outcome {
        let planned = match plan(sql, &self.topology) {
            Ok(planned) => planned,
            Err(Refusal::Inexact(why)) => return Outcome::Refused(why),
            Err(other) => return Outcome::Failed(other.to_string()),
        };
        if let Way::Apart(why) = &planned.way {
            return Outcome::Refused(why.to_string());
        }
        match self.answered(&planned).await {
            Ok(answer) => Outcome::Answered(answer),
            Err(error) if error.has_other_way() => Outcome::Refused(error.to_string()),
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }

    /// The fleet's answer, gathered where it cannot be merged.
    pub async fn answer(&self, sql: &str) -> (How, Result<Answer, String>) {
        let planned = match plan(sql, &self.topology) {
            Ok(planned) if matches!(planned.way, Way::Apart(_)) => None,
            Ok(planned) => Some(planned),
            Err(_) => None,
        };
        if let Some(planned) = planned {
            let how = match planned.way {
                Way::One { .. } => How::One,
                _ => How::Merged,
            };
            match self.answered(&planned).await {
                Ok(answer) => return (how, Ok(answer)),
                Err(error) if error.has_other_way() => {}
                Err(error) => return (how, Err(error.to_string())),
            }
        }
        (How::Gathered, self.gathered(sql).await)
    }

    async fn gathered(&self, sql: &str) -> Result<Answer, String> {
        let gather = gather(sql, &self.topology).map_err(|refusal| refusal.to_string())?;
        let gathering = Gathering {
            topology: &self.topology,
            servers: &self.servers,
            gather: &gather,
            running: Running::default(),
            timings: Timings::default(),
            options: GatherOptions {
                timeout: Duration::from_secs(60),
                rows_max: 100_000,
                clock_us: CLOCK_US,
                gather_rows_max: 1_000_000,
                gather_bytes_max: 1 << 30,
            },
        };
        let shown = |error: shardctl::error::Error| error.to_string();
        let looked = gathering.look().await.map_err(shown)?;
        let id = super::fresh_schema("x");
        let mut scratch = gathering
            .scratch(&self.scratch, &id, &looked)
            .await
            .map_err(shown)?;
        let mut answer = Answer::default();
        let done = gathering
            .run(looked, &mut scratch, &mut answer, &|_| {})
            .await;
        scratch.remove().await.map_err(shown)?;
        done.map_err(shown)?;
        Ok(answer)
    }

    /// The answer where index tables are trusted, and how many tables were asked.
    pub async fn trusting(&self, sql: &str) -> (usize, Answer) {
        let planned =
            plan(sql, &self.topology).unwrap_or_else(|refusal| panic!("{sql}\n{refusal}"));
        let planned = self.fleet().look_up(planned).await;
        let planned = planned.unwrap_or_else(|error| panic!("{sql}\n{error}"));
        let answer = self
            .answered(&planned)
            .await
            .map_err(|error| error.to_string());
        let answer = answer.unwrap_or_else(|error| panic!("{sql}\n{error}"));
        (planned.places.len(), answer)
    }

    fn fleet(&self) -> Fleet<'_> {
        Fleet {
            topology: &self.topology,
            servers: &self.servers,
            running: Running::default(),
            missing: Missing::default(),
            snapshots: Snapshots::default(),
            timings: Timings::default(),
            options: QueryOptions {
                timeout: Duration::from_secs(60),
                rows_max: 100_000,
                clock_us: CLOCK_US,
            },
        }
    }

    async fn answered(&self, planned: &Plan) -> shardctl::error::Result<Answer> {
        assert!(connections(&self.topology, planned) <= CONNECTIONS);
        let mut answer = Answer::default();
        let ran = self.fleet().run(planned, &mut answer).await;
        if let Err(error) = &ran
            && error.has_other_way()
        {
            assert!(
                answer.names.is_empty() && answer.rows.is_empty(),
                "{error} after rows"
            );
        }
        ran.map(|()| answer)
    }

    /// The fleet answers as the one server does, row by row.
    pub async fn same(&self, sql: &str) {
        let found = match self.ask(sql).await {
            Outcome::Answered(found) => found,
            Outcome::Refused(why) | Outcome::Failed(why) => panic!("{sql}\n{why}"),
        };
        let expected = self
            .expected(sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}\n{error}"));
        assert!(!expected.rows.is_empty(), "{sql}: nothing to compare");
        assert_eq!(found.names, expected.names, "{sql}");
        let shown = |rows: &[Row]| rows.iter().map(show).collect::<Vec<_>>();
        assert_eq!(shown(&found.rows), shown(&expected.rows), "{sql}");
    }

    /// The fleet refuses, with this reason.
    pub async fn refused(&self, sql: &str, reason: &str) {
        match self.ask(sql).await {
            Outcome::Refused(error) | Outcome::Failed(error) => {
                assert!(error.contains(reason), "{sql}\n{error}");
            }
            Outcome::Answered(answer) => panic!("answered: {sql}\n{:?}", answer.rows),
        }
    }
}

/// A row as text.
pub fn show(row: &Row) -> Vec<String> {
    row.iter().map(show_cell).collect()
}

fn show_cell(cell: &Cell) -> String {
    match cell {
        None => "NULL".to_owned(),
        Some(bytes) => bytes.escape_ascii().to_string(),
    }
}
