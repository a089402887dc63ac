//! What a move of schemas costs, beside what one would otherwise take.
//!
//! `cargo bench --bench moves -- [copy] [throughput] [log] [cutover]`, all of them without a word.
//! `SHARDCTL_ROWS=10000000` copies more than the million it does else, `SHARDCTL_RUNS=50` cuts over
//! more often than 20 times. Both engines, where they are installed.
//!
//! - *copy*: rows a second of `rebalance` with the log followed, from the first chunk to the last
//!   index, beside `mydumper` and `myloader` one after the other, and beside `LOAD DATA` of ready
//!   files on the target; with the peak of the tool's memory. The rounds go to and fro.
//! - *throughput*: transactions a second of applications that think a little in between, during a
//!   job and before it.
//! - *log*: rows a second that are applied to the target once the copy has ended, beside those that
//!   sixteen connections write as fast as they can.
//! - *cutover*: how long each of sixteen applications, one for a schema, is refused.

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on has failed"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use secrecy::ExposeSecret;
use shardctl::sandbox::{Engine, Guarded, Home, Installation, Options};
use tempfile::TempDir;

const SHARDCTL: &str = env!("CARGO_BIN_EXE_shardctl");
const ROUNDS: usize = 3;
/// Tables that are copied at once, by each of the ways.
const WORKERS: u32 = 4;

const PLAIN: &str = "PRIMARY KEY (id)";
const INDEXED: &str = "PRIMARY KEY (id), UNIQUE KEY by_account (account), KEY by_created (created)";

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` only wants to know that it builds.
    if args.iter().any(|arg| arg == "--test") {
        return;
    }
    let wanted = |name: &str| {
        let mut words = args.iter().filter(|arg| !arg.starts_with('-')).peekable();
        words.peek().is_none() || words.any(|word| word == name)
    };
    for engine in [Engine::Mariadb, Engine::Mysql] {
        let Ok(installation) = Installation::find(Some(engine)) else {
            println!("{engine}: not installed, NOT MEASURED");
            continue;
        };
        println!("{installation}");
        let rows = number("SHARDCTL_ROWS", 1_000_000);
        if wanted("copy") {
            for (word, keys) in [
                ("no secondary index", PLAIN),
                ("two secondary indexes", INDEXED),
            ] {
                copy(engine, rows, word, keys).await;
            }
        }
        if wanted("throughput") {
            throughput(engine, rows).await;
        }
        if wanted("log") {
            log(engine).await;
        }
        if wanted("cutover") {
            cutover(engine, number("SHARDCTL_RUNS", 20)).await;
        }
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// Two instances; schemas with one table each that move from one to the other and back, and one
/// schema that stays.
struct Fleet {
    sandbox: Guarded,
    dir: TempDir,
    schemas: u64,
    /// The number of the instance where the schemas are.
    home: usize,
}

/// A run of the tool.
struct Moved {
    /// Its phases with the moments at which each began; the last one is the end.
    phases: Vec<(String, Instant)>,
    peak_mib: u64,
    killed: bool,
}

impl Moved {
    /// From the beginning of the first of these phases to the end of the last.
    fn seconds(&self, phases: &[&str]) -> f64 {
        let is = |index: &usize| phases.contains(&self.phases[*index].0.as_str());
        let first = (0..self.phases.len()).find(is).unwrap();
        let last = (0..self.phases.len()).rfind(is).unwrap();
        (self.phases[last + 1].1 - self.phases[first].1).as_secs_f64()
    }
}

impl Fleet {
    async fn new(engine: Engine, schemas: u64, keys: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            name: format!("bench-{}", std::process::id()),
            engine: Some(engine),
            buffer_pool_mb: 512,
            // The last one wins, and lets the server read and write this folder.
            server_args: vec![format!("--secure-file-priv={}", dir.path().display())],
            ..Options::default()
        };
        let sandbox = tokio::task::spawn_blocking(move || {
            Home::from_env()
                .unwrap()
                .up_guarded(&options, Path::new(SHARDCTL))
                .unwrap()
        })
        .await
        .unwrap();
        let fleet = Self {
            sandbox,
            dir,
            schemas,
            home: 0,
        };
        let text = |on: &str| {
            format!(
                "version: 1\ncluster: bench\ninstances:\n  rds-1: {{ host: x, port: 1 }}\n  \
                 rds-2: {{ host: x, port: 2 }}\ncontrol: rds-1\nschemas:\n  name: bench_{{:02}}\n  \
                 count: {}\n  on:\n    {on}\ntables:\n  member:\n    shard_key: id\n    function: mod\n    \
                 assume: [global_keys]\n    ddl: CREATE TABLE member (id BIGINT NOT NULL, account \
                 VARCHAR(40) NOT NULL, email VARCHAR(60), balance DECIMAL(18,2), created DATETIME(3), \
                 state TINYINT, note VARCHAR(100), {keys}) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4\n",
                schemas + 1
            )
        };
        std::fs::write(fleet.file(0), text(&format!("rds-1: 0-{schemas}"))).unwrap();
        let there = format!("rds-1: {schemas}\n    rds-2: 0-{}", schemas - 1);
        std::fs::write(fleet.file(1), text(&there)).unwrap();
        let created = fleet.command(&["create"]).output().unwrap();
        assert!(
            created.status.success(),
            "{}",
            String::from_utf8_lossy(&created.stderr)
        );
        fleet
    }

    /// The topology with the schemas on this instance.
    fn file(&self, home: usize) -> PathBuf {
        self.dir.path().join(format!("on-{home}.yaml"))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(SHARDCTL);
        command
            .args(["--sandbox", self.sandbox.name(), "--topology"])
            .arg(self.file(0))
            .args(args);
        command.stdin(Stdio::null());
        command
    }

    fn instance(&self, number: usize) -> &str {
        ["rds-1", "rds-2"][number]
    }

    async fn conn(&self, number: usize) -> Conn {
        connect(&self.sandbox, self.instance(number)).await
    }

    fn schema(&self, number: u64) -> String {
        format!("bench_{number:02}")
    }

    fn table(&self, number: u64) -> String {
        format!("bench_{number:02}.member")
    }

    /// Fills the schemas that move, so many rows together.
    async fn fill(&self, engine: Engine, rows: u64) {
        let mut conn = self.conn(self.home).await;
        let setting = match engine {
            Engine::Mysql => "SET SESSION cte_max_recursion_depth = 100000000",
            Engine::Mariadb => "SET SESSION max_recursive_iterations = 100000000",
        };
        conn.query_drop(setting).await.unwrap();
        let (step, each) = (self.schemas + 1, rows / self.schemas);
        for schema in 0..self.schemas {
            for first in (0..each).step_by(20_000) {
                let last = (first + 20_000).min(each) - 1;
                conn.query_drop(format!(
                    "INSERT INTO {} WITH RECURSIVE n AS (SELECT {first} AS i UNION ALL SELECT i + 1 \
                     FROM n WHERE i < {last}) SELECT i * {step} + {schema}, CONCAT('account-', i), \
                     CONCAT('someone.', i, '@example.org'), i * 1.25, \
                     TIMESTAMP('2024-01-01') + INTERVAL (i * 7919) MOD 100000000 SECOND, i MOD 5, \
                     REPEAT('n', 40) FROM n",
                    self.table(schema)
                ))
                .await
                .unwrap();
            }
        }
    }

    /// Moves the schemas to the other instance.
    fn move_over(&mut self, stop_at: Option<&str>) -> Moved {
        let to = self.file(1 - self.home).display().to_string();
        let workers = WORKERS.to_string();
        let moved = self.run(
            &["rebalance", "--to", &to, "--yes", "--workers", &workers],
            stop_at,
        );
        if !moved.killed {
            self.home = 1 - self.home;
        }
        moved
    }

    fn run(&self, args: &[&str], stop_at: Option<&str>) -> Moved {
        let mut command = self.command(args);
        if let Some(point) = stop_at {
            command.env("SHARDCTL_STOP_AT", point);
        }
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id();
        let ends = Arc::new(AtomicBool::new(false));
        let peak = {
            let ends = ends.clone();
            std::thread::spawn(move || {
                let mut peak = 0;
                while !ends.load(Ordering::Relaxed) {
                    peak = peak.max(peak_mib(pid));
                    std::thread::sleep(Duration::from_millis(10));
                }
                peak
            })
        };
        let (mut phases, mut told) = (Vec::new(), String::new());
        for line in BufReader::new(child.stderr.take().unwrap())
            .lines()
            .map_while(Result::ok)
        {
            if let Some((job, phase)) = line.split_once(": ")
                && job.starts_with("job ")
            {
                phases.push((phase.to_owned(), Instant::now()));
            }
            told.push_str(&line);
            told.push('\n');
        }
        phases.push(("end".to_owned(), Instant::now()));
        let status = child.wait().unwrap();
        ends.store(true, Ordering::Relaxed);
        let killed = status.code().is_none();
        assert!(
            status.success() || killed && stop_at.is_some(),
            "{status}\n{told}"
        );
        Moved {
            phases,
            peak_mib: peak.join().unwrap(),
            killed,
        }
    }

    /// Empty schemas on the instance where they are not.
    async fn make_room(&self) -> Vec<String> {
        let (mut here, mut there) = (self.conn(self.home).await, self.conn(1 - self.home).await);
        let mut tables = Vec::new();
        for number in 0..self.schemas {
            let (schema, table) = (self.schema(number), self.table(number));
            let row: Option<(String, String)> = here
                .query_first(format!("SHOW CREATE TABLE {table}"))
                .await
                .unwrap();
            there
                .query_drop(format!("CREATE DATABASE {schema}"))
                .await
                .unwrap();
            there.query_drop(format!("USE {schema}")).await.unwrap();
            there.query_drop(row.unwrap().1).await.unwrap();
            tables.push(table);
        }
        tables
    }

    async fn clear(&self) {
        let mut there = self.conn(1 - self.home).await;
        for number in 0..self.schemas {
            let sql = format!("DROP DATABASE IF EXISTS {}", self.schema(number));
            there.query_drop(sql).await.unwrap();
        }
    }

    async fn rows_there(&self) -> u64 {
        let mut there = self.conn(1 - self.home).await;
        let mut rows = 0;
        for number in 0..self.schemas {
            let sql = format!("SELECT COUNT(*) FROM {}", self.table(number));
            rows += there
                .query_first::<u64, _>(sql)
                .await
                .unwrap()
                .unwrap_or_default();
        }
        rows
    }
}

async fn connect(sandbox: &Guarded, name: &str) -> Conn {
    let options = OptsBuilder::default()
        .socket(sandbox.instance(name).unwrap().socket.to_str())
        .user(Some(sandbox.user()))
        .pass(Some(sandbox.password().unwrap().expose_secret()));
    Conn::new(options).await.unwrap()
}

/// The most memory that a process ever had, in MiB.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

async fn copy(engine: Engine, rows: u64, word: &str, keys: &str) {
    let mut fleet = Fleet::new(engine, 4, keys).await;
    fleet.fill(engine, rows).await;
    println!("  copy of {rows} rows, {word}, {WORKERS} workers:");
    let (mut beside_load, mut beside_dump) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let load = load_data(&fleet).await;
        let dumped = dump(&fleet, rows).await;
        let moved = fleet.move_over(None);
        let copied = moved.seconds(&["copy", "live_copy", "index"]);
        let all = (moved.phases[moved.phases.len() - 1].1 - moved.phases[0].1).as_secs_f64();
        let dump = match dumped {
            Ok(seconds) => {
                beside_dump.push(seconds / copied);
                format!("mydumper and myloader {:.0}", rows as f64 / seconds)
            }
            Err(reason) => format!("mydumper NOT MEASURED ({reason})"),
        };
        beside_load.push(load / copied);
        println!(
            "    round {round}: copy and indexes {:.0} rows/s, LOAD DATA {:.0}, {dump}; the whole job \
             {all:.1} s, peak memory {} MiB",
            rows as f64 / copied,
            rows as f64 / load,
            moved.peak_mib
        );
    }
    println!(
        "    median ratio: {:.2} of LOAD DATA (aim: at least 0.9){}",
        median(beside_load),
        match beside_dump.is_empty() {
            true => String::new(),
            false => format!(
                ", {:.2} times mydumper and myloader (aim: at least {})",
                median(beside_dump),
                match engine {
                    Engine::Mariadb => 3,
                    Engine::Mysql => 2,
                }
            ),
        }
    );
}

/// Seconds of `LOAD DATA` of the same rows into the same tables on the target, as many at once as
/// the tool has workers. The files are written before.
async fn load_data(fleet: &Fleet) -> f64 {
    let tables = fleet.make_room().await;
    let file = |table: &str| fleet.dir.path().join(format!("{table}.txt"));
    let mut here = fleet.conn(fleet.home).await;
    for table in &tables {
        let _ = std::fs::remove_file(file(table));
        let path = file(table).display().to_string();
        here.query_drop(format!(
            "SELECT * FROM {table} INTO OUTFILE '{path}' CHARACTER SET binary"
        ))
        .await
        .unwrap();
    }
    let mut conns = Vec::new();
    for _ in &tables {
        conns.push(fleet.conn(1 - fleet.home).await);
    }
    let began = Instant::now();
    let mut running = Vec::new();
    for (table, mut conn) in tables.iter().zip(conns) {
        let path = file(table).display().to_string();
        let sql = format!("LOAD DATA INFILE '{path}' INTO TABLE {table} CHARACTER SET binary");
        running.push(tokio::spawn(
            async move { conn.query_drop(sql).await.unwrap() },
        ));
    }
    for task in running {
        task.await.unwrap();
    }
    let seconds = began.elapsed().as_secs_f64();
    for table in &tables {
        let _ = std::fs::remove_file(file(table));
    }
    fleet.clear().await;
    seconds
}

/// Seconds of `mydumper`, then `myloader`, with as many threads as the tool has workers.
async fn dump(fleet: &Fleet, rows: u64) -> Result<f64, String> {
    let folder = fleet.dir.path().join("dump");
    let _ = std::fs::remove_dir_all(&folder);
    let socket = |number: usize| {
        let instance = fleet.sandbox.instance(fleet.instance(number)).unwrap();
        instance.socket.display().to_string()
    };
    let login = format!("--defaults-file={}", fleet.sandbox.client_file().display());
    let threads = WORKERS.to_string();
    let regex = format!("^bench_0[0-{}]\\.", fleet.schemas - 1);
    let folder = folder.display().to_string();
    let began = Instant::now();
    for (program, number, args) in [
        (
            "mydumper",
            fleet.home,
            vec!["--regex", &regex, "--rows", "100000", "-o", &folder],
        ),
        ("myloader", 1 - fleet.home, vec!["-d", &folder]),
    ] {
        let output = Command::new(program)
            .args([
                &login,
                "-u",
                fleet.sandbox.user(),
                "-S",
                &socket(number),
                "-t",
                &threads,
            ])
            .args(args)
            .output()
            .map_err(|error| format!("{program}: {error}"))?;
        if !output.status.success() {
            fleet.clear().await;
            let told = String::from_utf8_lossy(&output.stderr);
            let last = told.lines().last().unwrap_or_default();
            return Err(format!("{program}: {}, {last}", output.status));
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let there = fleet.rows_there().await;
    fleet.clear().await;
    match there == rows / fleet.schemas * fleet.schemas {
        true => Ok(seconds),
        false => Err(format!("myloader has brought {there} rows of {rows}")),
    }
}

/// Applications, each on rows of its own, until they are dropped.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<Vec<Duration>>>,
}

impl Load {
    /// So many of them, spread over the schemas, with this pause between two transactions.
    async fn start(fleet: &Fleet, writers: u64, pause: Duration, rows_each: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        for writer in 0..writers {
            let schema = writer % fleet.schemas;
            let mut sides = [fleet.conn(0).await, fleet.conn(1).await];
            let (stop, done, mut side) = (stop.clone(), done.clone(), fleet.home);
            let (table, step) = (fleet.table(schema), fleet.schemas + 1);
            tasks.push(tokio::spawn(async move {
                let mut refusals = Vec::new();
                let mut refused: Option<Instant> = None;
                let mut turn = writer;
                while !stop.load(Ordering::Relaxed) {
                    turn += writers;
                    let id = (turn * 7_919 % rows_each) * step + schema;
                    let sql = format!(
                        "UPDATE {table} SET balance = balance + 1, note = 'turn {turn}' WHERE id = {id}"
                    );
                    match sides[side].query_drop(sql).await {
                        Ok(()) => {
                            done.fetch_add(1, Ordering::Relaxed);
                            refusals.extend(refused.take().map(|since| since.elapsed()));
                            if !pause.is_zero() {
                                tokio::time::sleep(pause).await;
                            }
                        }
                        Err(mysql_async::Error::Server(error)) => match error.code {
                            // Fenced, or moved: the other instance may have it.
                            1146 | 1049 => {
                                refused.get_or_insert_with(Instant::now);
                                side = 1 - side;
                                tokio::time::sleep(Duration::from_millis(1)).await;
                            }
                            1205 | 1213 => {}
                            _ => panic!("{error}"),
                        },
                        Err(error) => panic!("{error}"),
                    }
                }
                refusals
            }));
        }
        Self { stop, done, tasks }
    }

    fn count(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    async fn end(self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for task in self.tasks {
            all.extend(task.await.unwrap());
        }
        all
    }
}

async fn throughput(engine: Engine, rows: u64) {
    let mut fleet = Fleet::new(engine, 4, INDEXED).await;
    fleet.fill(engine, rows).await;
    let load = Load::start(&fleet, 8, Duration::from_millis(5), rows / 4).await;
    let mut ratios = Vec::new();
    println!("  transactions a second of 8 applications that pause for 5 ms, move of {rows} rows:");
    for round in 1..=ROUNDS {
        let (from, began) = (load.count(), Instant::now());
        tokio::time::sleep(Duration::from_secs(5)).await;
        let before = (load.count() - from) as f64 / began.elapsed().as_secs_f64();
        let (from, began) = (load.count(), Instant::now());
        let job = tokio::task::spawn_blocking(move || {
            fleet.move_over(None);
            fleet
        });
        fleet = job.await.unwrap();
        let during = (load.count() - from) as f64 / began.elapsed().as_secs_f64();
        println!(
            "    round {round}: {before:.0} before, {during:.0} during {:.1} s",
            began.elapsed().as_secs_f64()
        );
        ratios.push(during / before);
    }
    load.end().await;
    println!("    median ratio {:.2} (aim: at least 0.9)", median(ratios));
}

async fn log(engine: Engine) {
    let mut fleet = Fleet::new(engine, 4, PLAIN).await;
    let rows = 100_000;
    fleet.fill(engine, rows).await;
    println!("  log of 16 connections that write for 10 s:");
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        // Killed behind the copy: the next run finds nothing but the log.
        let (stopped, back) = tokio::task::spawn_blocking(move || {
            let moved = fleet.move_over(Some("after copy"));
            (moved, fleet)
        })
        .await
        .unwrap();
        fleet = back;
        assert!(stopped.killed);
        let load = Load::start(&fleet, 16, Duration::ZERO, rows / 4).await;
        let began = Instant::now();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let written = load.count();
        let writing = began.elapsed().as_secs_f64();
        load.end().await;
        let list: serde_json::Value = serde_json::from_slice(
            &fleet
                .command(&["-o", "json", "job", "list"])
                .output()
                .unwrap()
                .stdout,
        )
        .unwrap();
        let id = list["jobs"][0]["id"].as_str().unwrap().to_owned();
        let moved = fleet.run(&["job", "resume", &id], None);
        fleet.home = 1 - fleet.home;
        let applying = moved.seconds(&["copy", "live_copy", "index"]);
        let (written_s, applied_s) = (written as f64 / writing, written as f64 / applying);
        println!("    round {round}: written {written_s:.0} rows/s, applied {applied_s:.0} rows/s");
        ratios.push(applied_s / written_s);
    }
    println!("    median ratio {:.1} (aim: more than 1)", median(ratios));
}

async fn cutover(engine: Engine, runs: u64) {
    let mut fleet = Fleet::new(engine, 16, INDEXED).await;
    let rows = 16_000;
    fleet.fill(engine, rows).await;
    let load = Load::start(&fleet, 16, Duration::from_millis(2), rows / 16).await;
    for _ in 0..runs {
        let job = tokio::task::spawn_blocking(move || {
            fleet.move_over(None);
            fleet
        });
        fleet = job.await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut refusals = load.end().await;
    refusals.sort();
    let at = |part: f64| {
        let index = ((refusals.len() - 1) as f64 * part).round() as usize;
        refusals[index].as_millis()
    };
    println!(
        "  cutover of 16 schemas, {runs} runs, {} refusals: p50 {} ms, p99 {} ms (aim: less than 500), \
         longest {} ms",
        refusals.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}
