//! A small fleet with a topology file of its own, asked through the program itself.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use mysql_async::prelude::Queryable;

use super::{Engine, SHARDCTL, Sandbox};

/// Members of a shop: ids from 1, each in shard `id % 4`.
pub const MEMBERS: u32 = 40;

/// Four schemas on two instances, with the table `member` full and the broadcast table `region`.
pub struct Shop {
    pub sandbox: Sandbox,
    pub dir: tempfile::TempDir,
    /// What the schemas' names begin with.
    pub prefix: String,
}

impl Shop {
    pub async fn open(engine: Engine) -> Self {
        let sandbox = super::shared(engine, 2).await;
        Self::on(sandbox).await
    }

    /// On the first two servers of a sandbox.
    pub async fn on(sandbox: Sandbox) -> Self {
        let prefix = super::fresh_schema("shop");
        let dir = tempfile::tempdir().expect("a folder");
        let text = format!(
            "version: 1\ncluster: {prefix}\ninstances:\n  rds-1: {{ host: x, port: 1 }}\n  \
             rds-2: {{ host: x, port: 2 }}\nschemas:\n  name: {prefix}_{{:02}}\n  count: 4\n  \
             on:\n    rds-1: 0-1\n    rds-2: 2-3\ntables:\n  member:\n    shard_key: id\n    \
             function: mod\n    name: member\n    ddl: CREATE TABLE member (id bigint NOT NULL PRIMARY \
             KEY, name varchar(20) NOT NULL, region int NOT NULL, KEY name (name)) DEFAULT \
             CHARSET=utf8mb4\n  region:\n    broadcast: true\n    name: region\n    ddl: CREATE TABLE \
             region (code int NOT NULL PRIMARY KEY, label varchar(10))\n"
        );
        std::fs::write(dir.path().join("topology.yaml"), text).expect("a topology");
        let shop = Self {
            sandbox,
            dir,
            prefix,
        };
        // Its own tables only: the sandbox's servers have other tests' shard maps.
        for shard in 0..4 {
            let mut conn = super::conn(&shop.sandbox, shop.instance(shard)).await;
            let schema = shop.schema(shard);
            let mut rows = String::new();
            for id in (1..=MEMBERS).filter(|id| id % 4 == shard) {
                let comma = if rows.is_empty() { "" } else { ", " };
                write!(rows, "{comma}({id}, 'm{id:02}', {})", id % 3).expect("text");
            }
            for sql in [
                format!("CREATE DATABASE {schema} DEFAULT CHARACTER SET utf8mb4"),
                format!(
                    "CREATE TABLE {schema}.member (id bigint NOT NULL PRIMARY KEY, name \
                     varchar(20) NOT NULL, region int NOT NULL, KEY name (name)) DEFAULT \
                     CHARSET=utf8mb4"
                ),
                format!("INSERT INTO {schema}.member VALUES {rows}"),
                format!(
                    "CREATE TABLE {schema}.region (code int NOT NULL PRIMARY KEY, label \
                     varchar(10))"
                ),
                format!("INSERT INTO {schema}.region VALUES (0,'north'), (1,'east'), (2,'west')"),
                format!("ANALYZE TABLE {schema}.member"),
            ] {
                conn.query_drop(&sql)
                    .await
                    .unwrap_or_else(|error| panic!("{sql}\n{error}"));
            }
        }
        shop
    }

    pub fn instance(&self, shard: u32) -> &'static str {
        if shard < 2 { "rds-1" } else { "rds-2" }
    }

    pub fn schema(&self, shard: u32) -> String {
        format!("{}_{shard:02}", self.prefix)
    }

    /// The program with these arguments, in the shop's folder.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(SHARDCTL);
        command
            .args(["--sandbox", self.sandbox.name(), "--topology"])
            .arg(self.path("topology.yaml"))
            .args(args)
            .current_dir(self.dir.path())
            .env("XDG_STATE_HOME", self.path("state"));
        command
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.dir.path()).join(name)
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program runs")
    }

    /// The same with this text on standard input.
    pub fn run_with(&self, args: &[&str], input: &str) -> Output {
        std::fs::write(self.path("input"), input).expect("an input");
        let input = std::fs::File::open(self.path("input")).expect("an input");
        self.command(args)
            .stdin(Stdio::from(input))
            .output()
            .expect("the program runs")
    }
}

/// Exit code, stdout and stderr as one text.
pub fn shown(output: &Output) -> String {
    format!(
        "exit code {}\n{}--\n{}",
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}
