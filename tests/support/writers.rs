//! Applications that write to a fleet while its schemas move, and know what was acknowledged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::fleet::Fleet;
use super::{Engine, Sandbox, conn};

/// Two instances with six schemas, of which the last of each moves to a third.
pub const TOPOLOGY: &str = "\
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
pub async fn filled(engine: Engine) -> Fleet {
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

pub struct Writers {
    stop: Arc<AtomicBool>,
    tasks: Vec<(u64, tokio::task::JoinHandle<Known>)>,
}

impl Writers {
    pub fn start(sandbox: &Sandbox, seed: u64) -> Self {
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
    pub async fn compare(self, fleet: &Fleet, on: &str) {
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
pub fn seed() -> u64 {
    let seed = std::env::var("SHARDCTL_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("SHARDCTL_SEED={seed}");
    seed
}
