//! Moving schemas between real servers while applications write to them: every acknowledged write
//! arrives, once, whatever is killed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shardctl::mysql::credentials::{CredentialSource, Credentials};
use shardctl::mysql::live::{LiveTable, copy_table};
use shardctl::mysql::{Servers, control, copy::TableCopy, moving, tail};
use shardctl::rows::touched::Touched;
use support::fleet::Fleet;
use support::{Engine, Sandbox, conn, on_each_engine, servers};

const TOPOLOGY: &str = "\
version: 1
cluster: shop
instances:
  rds-1: { host: 127.0.0.1, port: 1 }
  rds-2: { host: 127.0.0.1, port: 2 }
control: rds-1
schemas:
  name: shop_{:02}
  count: 6
  on:
    rds-1: 0-2
    rds-2: 3-5
tables:
  member:
    shard_key: id
    function: mod
    name: member_{:02}
    assume: [global_keys]
    ddl: |
      CREATE TABLE member (
        id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
        account VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL,
        note VARCHAR(300) DEFAULT NULL,
        at DATETIME(3) NOT NULL,
        PRIMARY KEY (id), UNIQUE KEY by_account (account), KEY by_at (at)
      ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  login:
    shard_key: id
    function: mod
    name: login_{:02}
    ddl: |
      CREATE TABLE login (
        id BIGINT NOT NULL,
        name VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL,
        counter INT NOT NULL,
        PRIMARY KEY (name, id)
      ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
";

/// Rows of ids up to 60,000 in the schemas that will move, fewer in the others.
async fn filled(engine: Engine) -> Fleet {
    let fleet = Fleet::new(engine, 3, TOPOLOGY).await;
    for shard in 0..6u64 {
        let mut conn = conn(&fleet.sandbox, if shard < 3 { "rds-1" } else { "rds-2" }).await;
        let rows = if shard % 3 == 2 { 8_000 } else { 100 };
        for part in (1..=rows).collect::<Vec<u64>>().chunks(2_000) {
            let values: Vec<String> = part
                .iter()
                .map(|n| {
                    let id = n * 6 + shard;
                    format!("({id}, 'a{id}', NULL, '2024-01-01 00:00:00.123')")
                })
                .collect();
            conn.query_drop(format!(
                "INSERT INTO shop_{shard:02}.member_{shard:02} VALUES {}",
                values.join(",")
            ))
            .await
            .unwrap();
        }
    }
    fleet
}

const ADD: [&str; 4] = ["rebalance", "--add-instance", "rds-3", "--yes"];
const DRAIN: [&str; 4] = ["rebalance", "--drain", "rds-3", "--yes"];

/// What a writer knows to be committed: account and note by member, counter by login.
#[derive(Default)]
struct Known {
    members: BTreeMap<u64, (String, Option<String>)>,
    logins: BTreeMap<(String, u64), i64>,
    writes: u64,
    refused: u64,
    longest_refusal: Duration,
}

/// Writes to the rows of its own ids in one schema, wherever that is, until told to stop.
async fn write(sandbox: Sandbox, shard: u64, seed: u64, stop: Arc<AtomicBool>) -> Known {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let home = if shard < 3 { "rds-1" } else { "rds-2" };
    let mut sides = [conn(&sandbox, home).await, conn(&sandbox, "rds-3").await];
    let mut side = 0;
    let mut known = Known::default();
    let mut refused_since: Option<Instant> = None;
    // The rows that are there, in the middle and at the end of the key's range.
    for n in (1..=8_000u64).filter(|n| n % 97 == 0) {
        let id = n * 6 + shard;
        known.members.insert(id, (format!("a{id}"), None));
    }
    while !stop.load(Ordering::Relaxed) {
        let (statements, after) = transaction(&mut random, shard, &known);
        let refused = perform(&mut sides[side], &statements).await;
        match refused {
            None => {
                known.members = after.0;
                known.logins = after.1;
                known.writes += 1;
                if let Some(since) = refused_since.take() {
                    known.longest_refusal = known.longest_refusal.max(since.elapsed());
                }
            }
            // No such table or schema: fenced, or moved.
            Some(1146 | 1049) => {
                known.refused += 1;
                refused_since.get_or_insert_with(Instant::now);
                side = 1 - side;
            }
            // A chunk's lock, or the fence's, in the way: rolled back.
            Some(1213 | 1205) => {}
            Some(code) => panic!("error {code} to {statements:?}"),
        }
        if random.random_ratio(1, 4) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    known
}

type After = (
    BTreeMap<u64, (String, Option<String>)>,
    BTreeMap<(String, u64), i64>,
);

/// A transaction of one to four statements, and what is there once it is committed.
fn transaction(random: &mut ChaCha8Rng, shard: u64, known: &Known) -> (Vec<String>, After) {
    let (mut members, mut logins) = (known.members.clone(), known.logins.clone());
    let member = format!("shop_{shard:02}.member_{shard:02}");
    let login = format!("shop_{shard:02}.login_{shard:02}");
    let mut statements = Vec::new();
    for _ in 0..random.random_range(1..=4) {
        let ids: Vec<u64> = members.keys().copied().collect();
        let pick = |random: &mut ChaCha8Rng| ids[random.random_range(0..ids.len())];
        match random.random_range(0..8) {
            0 | 1 => {
                let id = random.random_range(1..=30_000u64) * 97 * 6 + shard;
                if id > 8_000 * 6 && !members.contains_key(&id) {
                    // Never used before: that of a deleted row may live on in another.
                    let account = format!("w{}-{}", known.writes, statements.len());
                    statements.push(format!(
                        "INSERT INTO {member} VALUES ({id}, '{account}', 'new', NOW(3))"
                    ));
                    members.insert(id, (account, Some("new".to_owned())));
                }
            }
            2 => {
                let id = pick(random);
                let note = format!("n{}", random.random::<u32>());
                statements.push(format!(
                    "UPDATE {member} SET note = '{note}' WHERE id = {id}"
                ));
                members.get_mut(&id).unwrap().1 = Some(note);
            }
            3 if ids.len() > 100 => {
                let id = pick(random);
                statements.push(format!("DELETE FROM {member} WHERE id = {id}"));
                members.remove(&id);
            }
            4 => {
                // Two rows swap a unique value.
                let (a, b) = (pick(random), pick(random));
                if a != b {
                    let (of_a, of_b) = (members[&a].0.clone(), members[&b].0.clone());
                    for (id, account) in [(a, "-"), (b, of_a.as_str()), (a, of_b.as_str())] {
                        statements.push(format!(
                            "UPDATE {member} SET account = '{account}' WHERE id = {id}"
                        ));
                    }
                    members.get_mut(&a).unwrap().0 = of_b;
                    members.get_mut(&b).unwrap().0 = of_a;
                }
            }
            5 => {
                // The primary key itself changes, and its spelling under a collation that does not
                // see that.
                let mut keys = logins.keys().filter(|(_, id)| *id % 6 == shard);
                if let Some((name, id)) = keys.next().cloned() {
                    let other = if name.starts_with('N') {
                        name.to_lowercase()
                    } else {
                        name.to_uppercase()
                    };
                    statements.push(format!(
                        "UPDATE {login} SET name = '{other}', counter = counter + 1 WHERE name = '{name}' AND id = {id}"
                    ));
                    let counter = logins.remove(&(name, id)).unwrap();
                    logins.insert((other, id), counter + 1);
                }
            }
            6 => {
                let id = random.random_range(0..40u64) * 6 + shard;
                let name = format!("näme{}", random.random_range(0..5));
                let there = logins
                    .keys()
                    .find(|(n, i)| *i == id && n.to_lowercase() == name)
                    .cloned();
                match there {
                    None => {
                        statements.push(format!("INSERT INTO {login} VALUES ({id}, '{name}', 1)"));
                        logins.insert((name, id), 1);
                    }
                    Some(key) => {
                        statements.push(format!(
                            "DELETE FROM {login} WHERE name = '{}' AND id = {id}",
                            key.0
                        ));
                        logins.remove(&key);
                    }
                }
            }
            _ => {
                for (name, id) in logins.keys().take(3).cloned().collect::<Vec<_>>() {
                    statements.push(format!(
                        "UPDATE {login} SET counter = counter + 1 WHERE name = '{name}' AND id = {id}"
                    ));
                    *logins.get_mut(&(name, id)).unwrap() += 1;
                }
            }
        }
    }
    (statements, (members, logins))
}

/// The error that the transaction ended with, rolled back.
async fn perform(conn: &mut Conn, statements: &[String]) -> Option<u16> {
    let ran = async {
        conn.query_drop("SET NAMES utf8mb4").await?;
        conn.query_drop("START TRANSACTION").await?;
        for sql in statements {
            conn.query_drop(sql).await?;
        }
        conn.query_drop("COMMIT").await
    };
    match ran.await {
        Ok(()) => None,
        Err(mysql_async::Error::Server(error)) => {
            conn.query_drop("ROLLBACK").await.unwrap();
            Some(error.code)
        }
        Err(other) => panic!("{other}"),
    }
}

struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<(u64, tokio::task::JoinHandle<Known>)>,
}

impl Writers {
    fn start(sandbox: &Sandbox, seed: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = [2u64, 5]
            .into_iter()
            .map(|shard| {
                let task = write(sandbox.clone(), shard, seed + shard, stop.clone());
                (shard, tokio::spawn(task))
            })
            .collect();
        Self { stop, tasks }
    }

    /// Stops them and compares all that they know with what the one place of each schema holds.
    async fn compare(self, fleet: &Fleet, on: &str) {
        self.stop.store(true, Ordering::Relaxed);
        for (shard, task) in self.tasks {
            let known = task.await.unwrap();
            let home = if shard < 3 { "rds-1" } else { "rds-2" };
            let (here, other) = if on == "rds-3" {
                ("rds-3", home)
            } else {
                (home, "rds-3")
            };
            println!(
                "shop_{shard:02}: {} transactions acknowledged, {} refused, longest refusal {:?}",
                known.writes, known.refused, known.longest_refusal
            );
            assert!(known.writes > 50, "the writer hardly wrote");
            let mut there = conn(&fleet.sandbox, other).await;
            let left: Vec<String> = there
                .query(format!("SHOW DATABASES LIKE 'shop\\_{shard:02}'"))
                .await
                .unwrap();
            assert!(left.is_empty(), "shop_{shard:02} is on {other} too");
            let mut conn = conn(&fleet.sandbox, here).await;
            conn.query_drop("SET NAMES utf8mb4").await.unwrap();
            let rows: Vec<(u64, String, Option<String>)> = conn
                .query(format!(
                    "SELECT id, account, note FROM shop_{shard:02}.member_{shard:02} ORDER BY id"
                ))
                .await
                .unwrap();
            let (mut own, mut others) = (BTreeMap::new(), 0u64);
            for (id, account, note) in rows {
                if (id - shard) / 6 % 97 == 0 {
                    own.insert(id, (account, note));
                } else {
                    assert_eq!(
                        (account, note),
                        (format!("a{id}"), None),
                        "row {id} that nobody wrote"
                    );
                    others += 1;
                }
            }
            assert_eq!(own.len(), known.members.len(), "members of shop_{shard:02}");
            assert_eq!(own, known.members, "members of shop_{shard:02}");
            assert_eq!(others, 8_000 - 8_000 / 97);
            let logins: Vec<(String, u64, i64)> = conn
                .query(format!(
                    "SELECT name, id, counter FROM shop_{shard:02}.login_{shard:02}"
                ))
                .await
                .unwrap();
            let logins: BTreeMap<(String, u64), i64> = logins
                .into_iter()
                .map(|(name, id, counter)| ((name, id), counter))
                .collect();
            assert_eq!(logins, known.logins, "logins of shop_{shard:02}");
        }
    }
}

/// Seed of the run, to be set again where one failed.
fn seed() -> u64 {
    let seed = std::env::var("SHARDCTL_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("SHARDCTL_SEED={seed}");
    seed
}

on_each_engine! {
    async fn a_move_under_writers_brings_every_acknowledged_write_once(engine) {
        let fleet = filled(engine).await;
        let writers = Writers::start(&fleet.sandbox, seed());
        tokio::time::sleep(Duration::from_millis(300)).await;
        fleet.ok(&ADD);
        tokio::time::sleep(Duration::from_millis(300)).await;
        writers.compare(&fleet, "rds-3").await;
        fleet.ok(&["verify"]);

        // The definition is the source's own, its indexes and its counter too.
        let mut target = conn(&fleet.sandbox, "rds-3").await;
        let row: Option<(String, String)> = target.query_first("SHOW CREATE TABLE shop_05.member_05").await.unwrap();
        let definition = row.unwrap().1;
        for part in ["UNIQUE KEY `by_account` (`account`)", "KEY `by_at` (`at`)", "PRIMARY KEY (`id`)"] {
            assert!(definition.contains(part), "{definition}");
        }
    }

    async fn killed_at_every_step_under_writers_nothing_is_lost(engine) {
        let fleet = filled(engine).await;
        let seed = seed();
        let writers = Writers::start(&fleet.sandbox, seed);
        let mut kills = 0;
        let points = [
            "after prepare", "before locate", "after locate", "before copy", "within copy 2",
            "within copy 9", "after copy", "before index", "within index 2", "after index",
            "within compare 2", "after compare", "before fence", "within fence 1", "after fence",
            "before drain", "after drain", "before commit", "after commit", "before publish",
            "within publish 1", "after publish", "before drop", "within drop 1",
        ];
        for (index, point) in points.iter().enumerate() {
            let there = if index % 2 == 0 { &ADD } else { &DRAIN };
            assert!(fleet.killed_at(point, there), "{point} was not reached");
            kills += 1;
            fleet.finish();
            assert_eq!(fleet.job().1, "done", "{point}");
        }
        println!("seed {seed}: {kills} kills at pause points");
        writers.compare(&fleet, "home").await;
        fleet.ok(&["verify"]);
    }

    async fn killed_at_any_moment_and_cancelled_the_source_has_everything(engine) {
        let fleet = filled(engine).await;
        let seed = seed();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let writers = Writers::start(&fleet.sandbox, seed);
        for round in 0..6 {
            let mut child = fleet
                .command(&ADD)
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            tokio::time::sleep(Duration::from_millis(random.random_range(50..2_500))).await;
            child.kill().unwrap();
            child.wait().unwrap();
            let list: serde_json::Value =
                serde_json::from_str(&fleet.ok(&["-o", "json", "job", "list"])).unwrap();
            let Some(job) = list["jobs"].as_array().unwrap().first() else { continue };
            let (id, phase) = (job["id"].as_str().unwrap(), job["phase"].as_str().unwrap());
            println!("round {round}: killed in phase {phase}");
            let cancelled = fleet.run(&["job", "cancel", id, "--yes"]);
            if !cancelled.status.success() {
                // Over, or behind the point of no return.
                if phase != "done" && phase != "cancelled" {
                    fleet.finish();
                }
            }
            if fleet.job().1 == "done" {
                fleet.ok(&DRAIN);
            }
        }
        writers.compare(&fleet, "home").await;
        fleet.ok(&["verify"]);
    }

    /// The window in which a change is in the log and no plain read sees it.
    async fn a_chunk_waits_for_a_commit_that_is_in_the_log_already(engine) {
        let sandbox = servers(engine, 2).await;
        let mut source = conn(&sandbox, "rds-1").await;
        let mut target = conn(&sandbox, "rds-2").await;
        let semi_sync: &[&str] = match engine {
            Engine::Mysql => &[
                "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'",
                "SET GLOBAL rpl_semi_sync_source_wait_point = AFTER_SYNC",
                "SET GLOBAL rpl_semi_sync_source_timeout = 3000",
            ],
            Engine::Mariadb => &[
                "SET GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC",
                "SET GLOBAL rpl_semi_sync_master_timeout = 3000",
            ],
        };
        for sql in semi_sync {
            source.query_drop(*sql).await.unwrap();
        }
        let on = match engine {
            Engine::Mysql => "SET GLOBAL rpl_semi_sync_source_enabled = ",
            Engine::Mariadb => "SET GLOBAL rpl_semi_sync_master_enabled = ",
        };
        let credentials = Credentials::read(CredentialSource {
            defaults_file: Some(sandbox.client_file()),
            ..CredentialSource::default()
        })
        .unwrap();
        let servers = Servers::connect(&sandbox.endpoints(), &credentials, 8).await.unwrap();
        let (from, to) = ("rds-1".parse().unwrap(), "rds-2".parse().unwrap());
        let (from, to) = (servers.get(&from).unwrap(), servers.get(&to).unwrap());
        let mut control_conn = to.conn().await.unwrap();
        control::create_tables(to, &mut control_conn, true).await.unwrap();

        // At the start of the key's range, in the middle and at its very end.
        for (index, id) in [0, 5_001, 20_000].into_iter().enumerate() {
            let schema = format!("stall_{index}");
            let sql = "(id INT PRIMARY KEY, v INT) ENGINE=InnoDB";
            for (conn, table) in [(&mut source, "t"), (&mut target, "hidden_t")] {
                conn.query_drop(format!("CREATE DATABASE {schema}")).await.unwrap();
                conn.query_drop(format!("CREATE TABLE {schema}.{table} {sql}")).await.unwrap();
            }
            let values: Vec<String> = (1..5_000).map(|n| format!("({}, 0)", n * 2)).collect();
            source.query_drop(format!("INSERT INTO {schema}.t VALUES {}", values.join(","))).await.unwrap();
            source.query_drop(format!("{on} 1")).await.unwrap();

            let mut writer = conn(&sandbox, "rds-1").await;
            let insert = format!("INSERT INTO {schema}.t VALUES ({id}, 7)");
            let before = tail::current_position(from, &mut from.conn().await.unwrap()).await.unwrap();
            let stalled = tokio::spawn(async move { writer.query_drop(insert).await.unwrap() });
            let mut looker = from.conn().await.unwrap();
            while tail::current_position(from, &mut looker).await.unwrap() == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // A log position read now is behind the change, and a plain read does not have it.
            let plain: Option<u64> = source
                .query_first(format!("SELECT COUNT(*) FROM {schema}.t WHERE id = {id}"))
                .await
                .unwrap();
            assert_eq!(plain, Some(0), "the commit did not stall");
            assert!(!stalled.is_finished());

            let schema_name: shardctl::names::SchemaName = schema.parse().unwrap();
            let mut conn = from.conn().await.unwrap();
            let shape = moving::shape(from, &mut conn, &schema_name, &"t".parse().unwrap()).await.unwrap();
            let table = LiveTable {
                schema: schema_name.clone(),
                table: "t".parse().unwrap(),
                hidden: "hidden_t".parse().unwrap(),
                target: "rds-2".parse().unwrap(),
                shape: Arc::new(tail::table_shape(from, &mut conn, &schema, "t").await.unwrap()),
                gate: Arc::default(),
                touched: std::sync::Mutex::new(Touched::default()),
            };
            let copy = TableCopy {
                job: format!("j{index}"),
                epoch: 1,
                schema: schema_name,
                hidden: "hidden_t".parse().unwrap(),
            };
            target.query_drop("DELETE FROM _shardctl.copy_progress").await.unwrap();
            let began = Instant::now();
            assert!(copy_table(from, to, &table, &copy, &shape, &|_| true).await.unwrap());
            assert!(began.elapsed() > Duration::from_millis(500), "the chunk did not wait");
            stalled.await.unwrap();
            let arrived: Option<Value> = target
                .query_first(format!("SELECT v FROM {schema}.hidden_t WHERE id = {id}"))
                .await
                .unwrap();
            assert!(arrived.is_some(), "the row at {id} is lost");
            let count: Option<u64> = target.query_first(format!("SELECT COUNT(*) FROM {schema}.hidden_t")).await.unwrap();
            assert_eq!(count, Some(5_000));
            source.query_drop(format!("{on} 0")).await.unwrap();
        }
    }

    async fn a_signal_at_the_fence_leaves_nobody_refused(engine) {
        let fleet = filled(engine).await;
        let mut child = fleet.command(&ADD)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
        assert!(lines.any(|line| line.unwrap().contains(": fence")));
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        for line in lines {
            println!("{}", line.unwrap());
        }
        let status = child.wait().unwrap();
        let (id, phase) = fleet.job();
        println!("ended with {status} in phase {phase}");
        let instance = if matches!(phase.as_str(), "finish" | "watch" | "done") { "rds-3" } else { "rds-1" };
        let mut conn = conn(&fleet.sandbox, instance).await;
        conn.query_drop("UPDATE shop_02.member_02 SET note = 'in'").await.unwrap();
        if phase != "done" {
            assert_eq!(status.code(), Some(4));
            fleet.ok(&["job", "resume", &id]);
        }
    }
}
