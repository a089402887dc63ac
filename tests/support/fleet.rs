//! A fleet of servers of the test's own with a topology file, and the program under test on it.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Row, Value};
use serde_json::Value as Json;
use tempfile::TempDir;

use super::{Engine, Guarded, SHARDCTL, conn, servers};

/// Servers `rds-1` to `rds-n` and a topology file.
pub struct Fleet {
    pub sandbox: Guarded,
    pub dir: TempDir,
}

/// Rows by schema and table.
pub type Rows = BTreeMap<String, Vec<Vec<Value>>>;

impl Fleet {
    /// So many instances with the topology's tables, which are empty.
    pub async fn new(engine: Engine, instances: u32, topology: &str) -> Self {
        let fleet = Self {
            sandbox: servers(engine, instances).await,
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::write(fleet.file(), topology).unwrap();
        fleet.ok(&["create"]);
        fleet
    }

    fn instances(&self) -> Vec<String> {
        let instances = self.sandbox.instances();
        instances.iter().map(|one| one.name.to_string()).collect()
    }

    /// The topology file.
    pub fn file(&self) -> String {
        self.dir.path().join("topology.yaml").display().to_string()
    }

    /// The program under test on this fleet.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(SHARDCTL);
        command
            .args(["--sandbox", self.sandbox.name(), "--topology", &self.file()])
            .args(args);
        command
    }

    /// Runs it.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs it; what it printed. It must succeed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", shown(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a run that kills itself at this pause point. Whether it came there.
    pub fn killed_at(&self, point: &str, args: &[&str]) -> bool {
        let output = self
            .command(args)
            .env("SHARDCTL_STOP_AT", point)
            .output()
            .unwrap();
        if output.status.signal() == Some(9) {
            return true;
        }
        assert!(output.status.success(), "{point}: {}", shown(&output));
        false
    }

    /// Starts it, with its output piped.
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Every job, the newest first.
    pub fn jobs(&self) -> Vec<Json> {
        let list: Json = serde_json::from_str(&self.ok(&["-o", "json", "job", "list"])).unwrap();
        list["jobs"].as_array().unwrap().clone()
    }

    /// The newest job's id and phase.
    pub fn job(&self) -> (String, String) {
        let job = self.jobs().remove(0);
        let text = |name: &str| job[name].as_str().unwrap().to_owned();
        (text("id"), text("phase"))
    }

    /// Waits until the newest job is in this phase.
    pub async fn reaches(&self, phase: &str) {
        let began = Instant::now();
        while self.jobs().first().is_none_or(|job| job["phase"] != phase) {
            assert!(began.elapsed() < Duration::from_secs(60), "{phase}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Resumes until the job is over.
    pub fn finish(&self) {
        let (id, _) = self.job();
        for _ in 0..5 {
            let output = self.run(&["job", "resume", &id]);
            let (_, phase) = self.job();
            if phase == "done" || phase == "cancelled" {
                return;
            }
            println!("{phase}: {}", shown(&output));
        }
        panic!("job {id} does not end: {:?}", self.job());
    }

    /// Every table of the schemas, hidden ones too, by instance.
    pub async fn tables(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        for instance in self.instances() {
            let mut conn = conn(&self.sandbox, &instance).await;
            let names: Vec<(String, Option<String>)> = conn
                .query(
                    "SELECT s.SCHEMA_NAME, t.TABLE_NAME FROM information_schema.SCHEMATA s \
                     LEFT JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = s.SCHEMA_NAME \
                     WHERE s.SCHEMA_NAME LIKE 'shop%'",
                )
                .await
                .unwrap();
            for (schema, table) in names {
                all.insert(format!("{instance}/{schema}.{}", table.unwrap_or_default()));
            }
        }
        all
    }

    /// What the tables hold, by schema and table, wherever they lie. Definitions are in it.
    pub async fn rows(&self) -> Rows {
        let mut all = Rows::new();
        for address in self.tables().await {
            let (instance, name) = address.split_once('/').unwrap();
            if name.ends_with('.') {
                // A schema without tables, as a prepared target is.
                continue;
            }
            let mut conn = conn(&self.sandbox, instance).await;
            conn.query_drop("SET NAMES binary").await.unwrap();
            let mut rows: Vec<Vec<Value>> = conn
                .query(format!("SELECT * FROM {name}"))
                .await
                .unwrap()
                .into_iter()
                .map(|row: Row| row.unwrap())
                .collect();
            let definition: Option<Row> = conn
                .query_first(format!("SHOW CREATE TABLE {name}"))
                .await
                .unwrap();
            rows.push(definition.unwrap().unwrap());
            assert!(
                all.insert(name.to_owned(), rows).is_none(),
                "{name} is there twice"
            );
        }
        all
    }

    /// Copies whose progress is still kept.
    pub async fn progress_left(&self) -> u64 {
        let mut left = 0;
        for instance in self.instances() {
            let mut conn = conn(&self.sandbox, &instance).await;
            let count: Result<Option<u64>, _> = conn
                .query_first("SELECT COUNT(*) FROM _shardctl.copy_progress")
                .await;
            left += count.ok().flatten().unwrap_or_default();
        }
        left
    }

    /// The newest shard map's version on each instance.
    pub async fn versions(&self) -> Vec<Option<u64>> {
        let mut versions = Vec::new();
        for instance in self.instances() {
            let mut conn = conn(&self.sandbox, &instance).await;
            versions.push(
                conn.query_first("SELECT MAX(version) FROM _shardctl.shard_map")
                    .await
                    .unwrap(),
            );
        }
        versions
    }
}

/// How a run ended and all that it said.
pub fn shown(output: &Output) -> String {
    format!(
        "{}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
