//! What a query over all shards costs, beside what a user would otherwise take, on the same servers
//! in the same run.
//!
//! - A scatter over sixteen shards, of which one has most of the rows, so that its time counts even
//!   where processors are few: beside that shard alone on an open connection, beside all sixteen at
//!   once on open connections, beside a shell loop with the standard client, and beside MariaDB's
//!   Spider engine over the same tables. `shardctl` is timed as a process, from its start to its
//!   end. The statements and connections that the servers counted for it are printed as well: they
//!   do not depend on what else the machine does.
//! - A gathered join beside `mariadb-dump | mariadb` of the same columns and the statement on the
//!   copy.
//! - The memory of an ORDER BY over all rows.
//!
//! `SHARDCTL_BENCH_ROWS=200000` is quick; without it the ORDER BY is over ten million rows. Both
//! engines, where they are installed. What cannot be compared with is said aloud.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use secrecy::ExposeSecret;
use shardctl::sandbox::{Engine, Guarded, Home, Installation, Options};

const ROUNDS: usize = 5;
const SHARDS: u64 = 16;

/// The shard that has most of the rows of `hits`.
const LARGE: u64 = 3;

const SHARDCTL: &str = env!("CARGO_BIN_EXE_shardctl");

const COLUMNS: &str = "id bigint NOT NULL, kind int NOT NULL, amount decimal(12,2) NOT NULL, \
                       name varchar(40) NOT NULL, PRIMARY KEY (id)";

/// The columns of a row that has this id.
fn columns_of(id: &str) -> String {
    format!("{id}, {id} % 20, ({id} * 7919 % 1000003) / 100, CONCAT('name ', {id} * 31 % 1000)")
}

const SCATTERED: [(&str, &str); 3] = [
    ("COUNT", "SELECT COUNT(*) FROM hits"),
    (
        "GROUP BY",
        "SELECT kind, COUNT(*), SUM(amount), MAX(amount) FROM hits GROUP BY kind",
    ),
    (
        "ORDER BY LIMIT",
        "SELECT id, amount FROM hits ORDER BY amount DESC, id LIMIT 20",
    ),
];

const GATHERED: &str =
    "SELECT COUNT(*), SUM(x.amount), MAX(y.name) FROM pair x JOIN pair y ON y.id = x.kind";

#[tokio::main]
async fn main() {
    // `cargo test --benches` only wants to know that it builds.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let rows =
        std::env::var("SHARDCTL_BENCH_ROWS").map_or(10_000_000, |text| text.parse().unwrap());
    for engine in [Engine::Mariadb, Engine::Mysql] {
        match Installation::find(Some(engine)) {
            Ok(installation) => {
                println!("{installation}, {SHARDS} shards on two instances, median of {ROUNDS}");
                let bench = Bench::create(engine, rows).await;
                bench.scatter().await;
                bench.gather().await;
                bench.memory();
                bench.sandbox.down().unwrap();
            }
            Err(_) => println!("{engine}: not installed, NOT MEASURED"),
        }
    }
}

struct Bench {
    engine: Engine,
    sandbox: Guarded,
    folder: tempfile::TempDir,
    rows: u64,
}

/// Where `scripts/install-bench-tools.sh` has unpacked what is compared with.
fn tools() -> PathBuf {
    let cache = || match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache"),
    };
    std::env::var_os("SHARDCTL_BENCH_TOOLS")
        .map_or_else(|| cache().join("shardctl/bench-tools"), PathBuf::from)
}

/// A program in PATH or among the tools.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([tools().join("usr/bin")])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

impl Bench {
    async fn create(engine: Engine, rows: u64) -> Self {
        let plugins = tools().join("usr/lib/mysql/plugin");
        let spider = engine == Engine::Mariadb && plugins.join("ha_spider.so").is_file();
        let options = Options {
            name: format!("bench-{}", std::process::id()),
            engine: Some(engine),
            // The last one is Spider's, which reaches the shards by address.
            instances: if spider { 3 } else { 2 },
            tcp: true,
            buffer_pool_mb: 512,
            server_args: match spider {
                true => vec![format!("--plugin-dir={}", plugins.display())],
                false => Vec::new(),
            },
            ..Options::default()
        };
        let home = Home::from_env().unwrap();
        let sandbox = home.up_guarded(&options, Path::new(SHARDCTL)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut text = format!(
            "version: 1\ncluster: bench\ninstances:\n  rds-1: {{ host: x, port: 1 }}\n  \
             rds-2: {{ host: x, port: 2 }}\nquery: {{scratch: rds-2}}\nschemas:\n  \
             name: bench_{{:02}}\n  count: {SHARDS}\n  on:\n    rds-1: 0-7\n    rds-2: 8-15\ntables:\n"
        );
        for table in ["hits", "pair", "wide"] {
            text.push_str(&format!(
                "  {table}:\n    shard_key: id\n    function: mod\n    name: {table}\n    \
                 ddl: CREATE TABLE {table} ({COLUMNS})\n"
            ));
        }
        std::fs::write(folder.path().join("topology.yaml"), text).unwrap();
        let bench = Self {
            engine,
            sandbox,
            folder,
            rows,
        };
        let made = bench.shardctl(&["create"]).output().unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let start = Instant::now();
        join_all([0..SHARDS / 2, SHARDS / 2..SHARDS].map(|shards| bench.fill(shards))).await;
        println!("  filled in {:.0} s", start.elapsed().as_secs_f64());
        bench
    }

    fn instance(shard: u64) -> &'static str {
        if shard < SHARDS / 2 { "rds-1" } else { "rds-2" }
    }

    async fn conn(&self, instance: &str) -> Conn {
        let password = self.sandbox.password().unwrap();
        let socket = &self.sandbox.instance(instance).unwrap().socket;
        let options = OptsBuilder::default()
            .socket(socket.to_str())
            .user(Some(self.sandbox.user()))
            .pass(Some(password.expose_secret()));
        Conn::new(options).await.unwrap()
    }

    /// The servers make the rows themselves, by doubling what there is.
    async fn fill(&self, shards: std::ops::Range<u64>) {
        let mut conn = self.conn(Self::instance(shards.start)).await;
        for shard in shards {
            let large = self.rows / 20;
            let hits = if shard == LARGE { large } else { large / 50 };
            for (table, rows) in [
                ("hits", hits),
                ("pair", self.rows / 50 / SHARDS),
                ("wide", self.rows / SHARDS),
            ] {
                let table = format!("bench_{shard:02}.{table}");
                // Id 0 would do as well, but sql_mode may take it for "the next one".
                let first = shard + SHARDS;
                let mut sql = format!(
                    "INSERT INTO {table} SELECT {}",
                    columns_of(&first.to_string())
                );
                let mut there = 0;
                loop {
                    conn.query_drop(&sql).await.unwrap();
                    there += conn.affected_rows();
                    if there >= rows {
                        break;
                    }
                    let id = format!("(id + {})", there * SHARDS);
                    sql = format!(
                        "INSERT INTO {table} SELECT {} FROM {table} LIMIT {}",
                        columns_of(&id),
                        rows - there
                    );
                }
                conn.query_drop(format!("ANALYZE TABLE {table}"))
                    .await
                    .unwrap();
            }
        }
    }

    fn shardctl(&self, args: &[&str]) -> Command {
        let mut command = Command::new(SHARDCTL);
        command
            .args(["--sandbox", self.sandbox.name(), "-t"])
            .arg(self.folder.path().join("topology.yaml"))
            .args(args);
        command
    }

    fn query(&self, sql: &str) -> Vec<u8> {
        let output = self
            .shardctl(&["query", "--timeout", "3600", "-o", "tsv", sql])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}\n{said}");
        output.stdout
    }

    /// The words by which a standard client reaches an instance.
    fn client(&self, program: &Path, instance: &str) -> String {
        format!(
            "{} --defaults-file={} --socket={}",
            program.display(),
            self.sandbox.client_file().display(),
            self.sandbox.instance(instance).unwrap().socket.display()
        )
    }

    async fn scatter(&self) {
        let mut alone = Vec::new();
        for shard in 0..SHARDS {
            let mut conn = self.conn(Self::instance(shard)).await;
            conn.query_drop(format!("USE bench_{shard:02}"))
                .await
                .unwrap();
            alone.push(conn);
        }
        let mut spider = match self.spider().await {
            Ok(spider) => Some(spider),
            Err(why) => {
                println!("  Spider: {why}, NOT COMPARED");
                None
            }
        };
        let client = program("mariadb").or_else(|| program("mysql"));
        for (name, sql) in SCATTERED {
            let [mut ours, mut slowest, mut together, mut shell, mut spiders] =
                [const { Vec::new() }; 5];
            for _ in 0..ROUNDS {
                ours.push(timed(|| drop(self.query(sql))));
                let mut worst = Duration::ZERO;
                for conn in &mut alone {
                    let start = Instant::now();
                    conn.query::<mysql_async::Row, _>(sql).await.unwrap();
                    worst = worst.max(start.elapsed());
                }
                slowest.push(worst);
                let start = Instant::now();
                join_all(
                    alone
                        .iter_mut()
                        .map(|conn| conn.query::<mysql_async::Row, _>(sql)),
                )
                .await;
                together.push(start.elapsed());
                if let Some(client) = &client {
                    let lines: Vec<String> = (0..SHARDS)
                        .map(|shard| {
                            let reach = self.client(client, Self::instance(shard));
                            format!("{reach} -N -e '{sql}' bench_{shard:02}")
                        })
                        .collect();
                    shell.push(timed(|| drop(run(&lines.join(" && ")))));
                }
                if let Some(conn) = &mut spider {
                    let start = Instant::now();
                    conn.query::<mysql_async::Row, _>(sql).await.unwrap();
                    spiders.push(start.elapsed());
                }
            }
            let (ours, slowest) = (median(ours), median(slowest));
            println!(
                "  {name}: shardctl {} ms; slowest shard alone {} ms, so {:+.1} ms (aim: at most +10)",
                ms(ours),
                ms(slowest),
                (ours.as_secs_f64() - slowest.as_secs_f64()) * 1000.0
            );
            let beside = |what: &str, times: Vec<Duration>| {
                if !times.is_empty() {
                    let other = median(times);
                    let ratio = other.as_secs_f64() / ours.as_secs_f64();
                    println!("    {what} {} ms, {ratio:.2} times shardctl's", ms(other));
                }
            };
            beside("all shards at once on open connections", together);
            beside("a shell loop with the standard client", shell);
            beside("Spider on an open connection", spiders);
            println!("    {}", self.counted(sql).await);
        }
        if client.is_none() {
            println!("  the standard client is not installed, NOT COMPARED");
        }
    }

    /// What the servers counted while a statement was answered.
    async fn counted(&self, sql: &str) -> String {
        let mut all = [0; 2];
        let mut conns = [self.conn("rds-1").await, self.conn("rds-2").await];
        for sign in [-1, 1] {
            for conn in &mut conns {
                for (at, what) in ["Questions", "Connections"].into_iter().enumerate() {
                    let show = format!("SHOW GLOBAL STATUS LIKE '{what}'");
                    let (_, count): (String, i64) = conn.query_first(show).await.unwrap().unwrap();
                    all[at] += sign * count;
                }
            }
            if sign < 0 {
                self.query(sql);
            }
        }
        // Ours are among them: two for each instance, one of which was counted before.
        let [statements, connections] = all;
        format!("{} statements on {connections} connections", statements - 4)
    }

    /// A connection to a third server whose table is the shards' tables.
    async fn spider(&self) -> Result<Conn, String> {
        if self.engine != Engine::Mariadb {
            return Err("MariaDB alone has it".to_owned());
        }
        if self.sandbox.instance("rds-3").is_err() {
            return Err("scripts/install-bench-tools.sh did not find it".to_owned());
        }
        let mut conn = self.conn("rds-3").await;
        conn.query_drop("INSTALL SONAME 'ha_spider'")
            .await
            .map_err(|error| format!("{error}; scripts/install-bench-tools.sh unpacks it"))?;
        let port = |shard| {
            self.sandbox
                .instance(Self::instance(shard))
                .unwrap()
                .port
                .unwrap()
        };
        for instance in ["rds-1", "rds-2"] {
            let mut conn = self.conn(instance).await;
            for sql in [
                "CREATE USER spider@'127.0.0.1' IDENTIFIED BY 'spider'",
                "GRANT ALL ON *.* TO spider@'127.0.0.1'",
            ] {
                conn.query_drop(sql)
                    .await
                    .map_err(|error| error.to_string())?;
            }
        }
        let mut partitions = Vec::new();
        for shard in 0..SHARDS {
            let sql = format!(
                "CREATE SERVER s{shard} FOREIGN DATA WRAPPER mysql OPTIONS (HOST '127.0.0.1', \
                 PORT {}, USER 'spider', PASSWORD 'spider', DATABASE 'bench_{shard:02}')",
                port(shard)
            );
            conn.query_drop(sql)
                .await
                .map_err(|error| error.to_string())?;
            partitions.push(format!(
                "PARTITION p{shard} VALUES IN ({shard}) COMMENT = 'srv \"s{shard}\", table \"hits\"'"
            ));
        }
        for sql in [
            "CREATE DATABASE spider".to_owned(),
            "USE spider".to_owned(),
            format!(
                "CREATE TABLE hits ({COLUMNS}) ENGINE=SPIDER COMMENT='wrapper \"mysql\"' \
                 PARTITION BY LIST (id % {SHARDS}) ({})",
                partitions.join(", ")
            ),
            // All shards at once, as shardctl asks them.
            "SET spider_bgs_mode=1".to_owned(),
        ] {
            conn.query_drop(sql)
                .await
                .map_err(|error| error.to_string())?;
        }
        Ok(conn)
    }

    async fn gather(&self) {
        let copied = match (program("mariadb-dump"), program("mariadb")) {
            (Some(dump), Some(client)) if self.engine == Engine::Mariadb => Some((dump, client)),
            _ => {
                println!(
                    "  gather: mariadb-dump and mariadb are for MariaDB, and not both here; NOT COMPARED"
                );
                None
            }
        };
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let mut conn = self.conn("rds-2").await;
        for _ in 0..ROUNDS {
            let mut answer = Vec::new();
            ours.push(timed(|| answer = self.query(GATHERED)));
            let Some((dump, client)) = &copied else {
                continue;
            };
            for sql in [
                "DROP DATABASE IF EXISTS copied".to_owned(),
                "CREATE DATABASE copied".to_owned(),
                format!("CREATE TABLE copied.pair ({COLUMNS})"),
            ] {
                conn.query_drop(sql).await.unwrap();
            }
            let to = self.client(client, "rds-2");
            let dumps: Vec<String> = (0..SHARDS)
                .map(|shard| {
                    let from = self.client(dump, Self::instance(shard));
                    format!("{from} --no-create-info --single-transaction --skip-triggers bench_{shard:02} pair")
                })
                .collect();
            let sql = format!(
                "{{ {}; }} | {to} copied && {to} -N -e '{GATHERED}' copied",
                dumps.join(" && ")
            );
            let mut copy = Vec::new();
            theirs.push(timed(|| copy = run(&sql)));
            let lines = |text: &[u8]| {
                String::from_utf8_lossy(text)
                    .lines()
                    .next_back()
                    .map(str::to_owned)
            };
            assert_eq!(lines(&answer), lines(&copy), "they answer differently");
        }
        let ours = median(ours);
        println!(
            "  gathered join of 2 x {} rows: shardctl {} ms",
            self.rows / 50,
            ms(ours)
        );
        if !theirs.is_empty() {
            let theirs = median(theirs);
            let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
            println!(
                "    mariadb-dump | mariadb {} ms, {ratio:.2} times shardctl's",
                ms(theirs)
            );
        }
    }

    /// Peaks of the program's resident memory while its answer goes nowhere.
    fn memory(&self) {
        for (name, limit) in [
            ("all rows", String::new()),
            ("LIMIT 1000", " LIMIT 1000".to_owned()),
            ("LIMIT of half of them", format!(" LIMIT {}", self.rows / 2)),
        ] {
            let sql = format!("SELECT id, amount, name FROM wide ORDER BY amount, id{limit}");
            let max = self.rows.to_string();
            let start = Instant::now();
            let mut child = self
                .shardctl(&[
                    "query",
                    "--timeout",
                    "3600",
                    "--max-rows",
                    &max,
                    "-o",
                    "tsv",
                    &sql,
                ])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let status = format!("/proc/{}/status", child.id());
            let mut peak_kib = 0;
            let ended = loop {
                // A process that has ended has no memory any more: the last look before counts.
                let text = std::fs::read_to_string(&status).unwrap_or_default();
                let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let peak = peak.and_then(|kib| kib.trim().trim_end_matches(" kB").parse().ok());
                peak_kib = peak_kib.max(peak.unwrap_or(0));
                if let Some(ended) = child.try_wait().unwrap() {
                    break ended;
                }
                std::thread::sleep(Duration::from_millis(5));
            };
            assert!(ended.success(), "{sql}: {ended}");
            println!(
                "  ORDER BY over {} rows, {name}: peak of {:.0} MiB, {:.1} s",
                self.rows,
                peak_kib as f64 / 1024.0,
                start.elapsed().as_secs_f64()
            );
        }
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// What a shell command prints.
fn run(command: &str) -> Vec<u8> {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}\n{said}");
    output.stdout
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}
