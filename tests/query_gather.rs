//! Gathered statements answer as one server: hand-written and generated ones, on shards and on one
//! schema that holds the same rows, compared in full with names and kinds of columns.
//!
//! `SHARDCTL_QUERIES=500` runs more generated statements, `SHARDCTL_SEED=7` others.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shardctl::error::Result;
use shardctl::mysql::credentials::{CredentialSource, Credentials};
use shardctl::mysql::query::{self, Reading};
use shardctl::mysql::{Server, Servers};
use shardctl::query::gather::{Gather, gather};
use shardctl::report::answer::AnswerWriter;
use shardctl::report::{Format, View};
use shardctl::routing::Router;
use shardctl::rows::cell::{Column, Row};
use shardctl::rows::key::KeyValue;
use shardctl::run::gather::{GatherOptions, Gathered, Gathering};
use shardctl::run::query::{Running, Sink};
use shardctl::run::timings::Timings;
use shardctl::topology::file::parse;
use shardctl::topology::{Spread, Topology};
use support::{Engine, Home, Sandbox, on_each_engine};

/// The time of all statements, far from the servers' own.
const CLOCK_US: i64 = 1_700_000_000_000_000;

const SHARDS: u32 = 4;

/// Runs that are ended know their schema by its being new: one at a time.
static ENDS: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[derive(Default)]
struct Answer {
    columns: Vec<Column>,
    rows: Vec<Row>,
}

impl Sink for Answer {
    fn columns(&mut self, columns: &[Column]) -> Result<()> {
        self.columns = columns.to_vec();
        Ok(())
    }

    fn row(&mut self, row: Row) -> Result<()> {
        self.rows.push(row);
        Ok(())
    }
}

struct World {
    topology: Topology,
    servers: Servers,
    scratch: Server,
    reference: String,
    sandbox: Sandbox,
}

fn engine_types(engine: Engine) -> (&'static str, &'static str) {
    match engine {
        Engine::Mysql => ("utf8mb4_0900_ai_ci", "j json"),
        Engine::Mariadb => ("utf8mb4_uca1400_nopad_ai_ci", "j json"),
    }
}

/// The body of the table `t`.
fn t(engine: Engine) -> String {
    let (no_pad, json) = engine_types(engine);
    format!(
        "(id bigint NOT NULL, n int, big bigint unsigned, z int(6) unsigned zerofill, \
         d2 decimal(14,2), d5 decimal(30,10), f float, db double, \
         ci varchar(20) COLLATE utf8mb4_general_ci, bin varchar(20) COLLATE utf8mb4_bin, \
         l1 varchar(20) CHARACTER SET latin1, np varchar(20) COLLATE {no_pad}, c char(8), \
         vb varbinary(8), bi binary(4), bl blob, tx text, dt date, ts datetime(3), \
         stamp timestamp(6) NULL, tm time(2), y year, b bit(10), \
         e enum('b','a','3','1'), s set('x','y','2'), {json}, PRIMARY KEY (id), KEY (n)) \
         DEFAULT CHARSET=utf8mb4"
    )
}

const U: &str = "(k bigint NOT NULL, tid bigint, n int unsigned, \
     ci varchar(20) COLLATE utf8mb4_general_ci, d2 decimal(9,2), at datetime NOT NULL, \
     g int GENERATED ALWAYS AS (n * 2) STORED, PRIMARY KEY (k)) DEFAULT CHARSET=utf8mb4";

const B: &str = "(code int NOT NULL PRIMARY KEY, label varchar(10) COLLATE utf8mb4_general_ci) \
     DEFAULT CHARSET=utf8mb4";

async fn world(engine: Engine) -> World {
    let tables = format!(
        "  t:\n    shard_key: id\n    function: drds_hash\n    ddl: CREATE TABLE t {}\n  \
         u:\n    shard_key: k\n    function: mod\n    tables_per_schema: 2\n    ddl: CREATE TABLE u {U}\n  \
         b:\n    broadcast: true\n    ddl: CREATE TABLE b {B}\n",
        t(engine)
    );
    let world = empty_world(engine, SHARDS, &tables).await;
    world.fill(engine).await;
    world
}

/// Shards and one server with these tables, without rows.
async fn empty_world(engine: Engine, shards: u32, tables: &str) -> World {
    let sandbox = support::shared(engine, 2).await;
    let prefix = support::fresh_schema("gather");
    let text = format!(
        "version: 1\ncluster: {prefix}\n\
         instances:\n  rds-1: {{ host: x, port: 1 }}\n  rds-2: {{ host: x, port: 2 }}\n\
         query: {{ scratch: rds-2 }}\n\
         schemas:\n  name: {prefix}_{{:02}}\n  count: {shards}\n  on:\n    rds-1: 0-{}\n    rds-2: {}-{}\n\
         tables:\n{tables}",
        shards / 2 - 1,
        shards / 2,
        shards - 1
    );
    let mut topology = parse(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    topology.instances = sandbox
        .endpoints()
        .into_iter()
        .filter(|(name, _)| ["rds-1", "rds-2"].contains(&name.as_str()))
        .collect();
    let credentials = Credentials::read(CredentialSource {
        defaults_file: Some(sandbox.client_file()),
        ..CredentialSource::default()
    })
    .unwrap();
    let servers = Servers::connect(&topology.instances, &credentials, 10)
        .await
        .unwrap();
    let create = shardctl::run::create::look(&topology, &servers)
        .await
        .unwrap();
    shardctl::run::create::execute(
        &servers,
        &create,
        &shardctl::run::owner::Flags::default(),
        &|_| {},
    )
    .await
    .unwrap();
    let name = topology.scratch.clone().unwrap();
    let endpoint = topology.instances[&name].clone();
    let world = World {
        scratch: Server::connect(name, endpoint, &credentials, 20)
            .await
            .unwrap(),
        reference: format!("{prefix}_one"),
        topology,
        servers,
        sandbox,
    };
    let mut one = support::conn(&world.sandbox, "rds-1").await;
    one.query_drop(format!(
        "CREATE DATABASE {0} DEFAULT CHARACTER SET utf8mb4; USE {0}",
        world.reference
    ))
    .await
    .unwrap();
    for table in world.topology.tables.values() {
        one.query_drop(&table.ddl).await.unwrap();
    }
    world
}

fn pick<'a>(rng: &mut ChaCha8Rng, list: &[&'a str]) -> &'a str {
    list[rng.random_range(0..list.len())]
}

const TEXTS: [&str; 14] = [
    "'alpha'", "'Alpha'", "'ALPHA'", "'alpha '", "'béta'", "'beta'", "''", "' '", "'Zeta'", "'é'",
    "'a''b'", "'10'", "'9x'", "'a\\\\b'",
];

fn t_row(rng: &mut ChaCha8Rng, id: i64) -> String {
    let mut values = vec![id.to_string()];
    let mut add = |rng: &mut ChaCha8Rng, value: String| {
        values.push(match rng.random_bool(0.15) {
            true => "NULL".to_owned(),
            false => value,
        });
    };
    let number = rng.random_range(-6..12i64);
    add(rng, number.to_string());
    let big = u64::MAX - rng.random_range(0..4u64);
    add(rng, big.to_string());
    let z = rng.random_range(0..2000);
    add(rng, z.to_string());
    let d2 = format!(
        "{}.{:02}",
        rng.random_range(-99..99),
        rng.random_range(0..100)
    );
    add(rng, d2);
    let d5 = format!(
        "{}.{:010}",
        rng.random_range(-9..9),
        rng.random_range(0..i64::from(u32::MAX))
    );
    add(rng, d5);
    let f = f64::from(rng.random_range(-1000..1000)) / 3.0;
    add(rng, f.to_string());
    let db = f64::from(rng.random_range(-1000..1000)) / 7.0;
    add(rng, format!("{db:e}"));
    for _ in 0..5 {
        let text = pick(rng, &TEXTS).to_owned();
        add(rng, text);
    }
    for list in [
        &["''", "0x00", "0x6100", "0xff", "0x5c27"][..],
        &["''", "0x00", "0x61", "0xff00ff01"][..],
        &["''", "0x00ff5c27", "REPEAT('x', 300)"][..],
        &["''", "'line\nbreak\ttab'", "'中文 😀'"][..],
        &[
            "'0000-00-00'",
            "'2023-02-30'",
            "'2020-01-01'",
            "'2021-12-31'",
        ][..],
        &[
            "'0000-00-00 00:00:00'",
            "'2020-01-01 10:00:00.123'",
            "'2023-11-14 22:13:20'",
        ][..],
        &["'1970-01-01 00:00:01'", "'2020-06-01 00:00:00.000001'", "0"][..],
        &["'-838:59:59'", "'00:00:00.01'", "'-00:00:01.5'", "'12:00'"][..],
        &["0", "1999", "2155"][..],
        &["b'0'", "b'1111111111'", "b'101'"][..],
        &["'a'", "'b'", "'3'", "'1'"][..],
        &["''", "'x'", "'x,y'", "'2'"][..],
        &[
            "'{\"k\": 1, \"l\": [1, 2]}'",
            "'[1, null, \"x\"]'",
            "'\"é\"'",
            "'null'",
        ][..],
    ] {
        let value = pick(rng, list).to_owned();
        add(rng, value);
    }
    format!("({})", values.join(", "))
}

fn u_row(rng: &mut ChaCha8Rng, k: i64) -> String {
    let tid = match rng.random_range(0..6) {
        0 => "NULL".to_owned(),
        _ => rng.random_range(1..80).to_string(),
    };
    let n = match rng.random_range(0..6) {
        0 => "NULL".to_owned(),
        _ => rng.random_range(0..10).to_string(),
    };
    format!(
        "({k}, {tid}, {n}, {}, {}.{:02}, '2023-11-{:02} 12:00:00')",
        pick(rng, &TEXTS),
        rng.random_range(-20..20),
        rng.random_range(0..100),
        rng.random_range(1..20)
    )
}

impl World {
    async fn fill(&self, engine: Engine) {
        println!("{engine}");
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let rows = (1..=70).map(|id| (id, t_row(&mut rng, id))).collect();
        self.insert("t", "", rows).await;
        let rows = (1..=90).map(|k| (k, u_row(&mut rng, k))).collect();
        self.insert("u", "(k, tid, n, ci, d2, at)", rows).await;
        let rows = (1..=5)
            .map(|code| (code, format!("({code}, {})", pick(&mut rng, &TEXTS))))
            .collect();
        self.insert("b", "", rows).await;
    }

    /// Puts rows, each with its shard key, where they belong, and on the one server.
    async fn insert(&self, name: &str, columns: &str, rows: Vec<(i64, String)>) {
        let table = self
            .topology
            .tables
            .values()
            .find(|table| table.name.as_str() == name)
            .unwrap();
        let mut by_table: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for (key, row) in rows {
            let places: Vec<_> = match table.spread {
                Spread::Broadcast => self.topology.places(table).collect(),
                _ => {
                    let router = Router::new(&self.topology, table).unwrap();
                    let key = KeyValue::Integer(key.into());
                    vec![router.place(&key, None).unwrap()]
                }
            };
            for place in places {
                let physical = self.topology.physical(table, place);
                by_table
                    .entry((physical.instance.to_string(), physical.quoted()))
                    .or_default()
                    .push(row.clone());
            }
            by_table
                .entry(("rds-1".to_owned(), format!("{}.{name}", self.reference)))
                .or_default()
                .push(row);
        }
        for ((instance, table), rows) in by_table {
            let instance = instance.parse().unwrap();
            let mut conn = self.servers.get(&instance).unwrap().conn().await.unwrap();
            let sql = format!("INSERT INTO {table} {columns} VALUES {}", rows.join(", "));
            conn.query_drop(&sql)
                .await
                .unwrap_or_else(|error| panic!("{error}: {sql}"));
        }
    }

    fn reading() -> Reading {
        Reading {
            timeout: Duration::from_secs(60),
            clock_us: CLOCK_US,
            modes: shardctl::query::modes::TAKEN,
        }
    }

    /// The one server's answer.
    async fn expected(&self, sql: &str) -> Result<Answer> {
        let server = self.servers.get(&self.topology.control).unwrap();
        let mut conn = query::session(server, Self::reading()).await?;
        conn.query_drop(format!("USE {}", self.reference))
            .await
            .unwrap();
        let columns = Mutex::new(Vec::new());
        let mut rows = Vec::new();
        query::stream(
            server,
            &mut conn,
            sql,
            |found| *columns.lock().unwrap() = found,
            |row| {
                rows.push(row);
                async { true }
            },
        )
        .await?;
        Ok(Answer {
            columns: columns.into_inner().unwrap(),
            rows,
        })
    }

    fn gathering<'a>(&'a self, gather: &'a Gather) -> Gathering<'a> {
        Gathering {
            topology: &self.topology,
            servers: &self.servers,
            gather,
            running: Running::default(),
            timings: Timings::default(),
            options: GatherOptions {
                timeout: Duration::from_secs(60),
                rows_max: 100_000,
                clock_us: CLOCK_US,
                gather_rows_max: 100_000,
                gather_bytes_max: 100 << 20,
            },
        }
    }

    async fn gathered(&self, gathering: &Gathering<'_>) -> Result<(Answer, Gathered)> {
        let looked = gathering.look().await?;
        let id = support::fresh_schema("x");
        let mut scratch = gathering.scratch(&self.scratch, &id, &looked).await?;
        let mut answer = Answer::default();
        let told = Mutex::new(Gathered::default());
        let done = gathering
            .run(looked, &mut scratch, &mut answer, &|gathered| {
                *told.lock().unwrap() = gathered;
            })
            .await;
        scratch.remove().await?;
        done?;
        Ok((answer, told.into_inner().unwrap()))
    }

    /// Whether both answers are the same; where the statement orders its rows in full, in the same
    /// order. Says what differs.
    async fn compare(&self, sql: &str, ordered: bool) -> std::result::Result<Gathered, String> {
        // One server knows no cluster.
        let on_one = sql.replace("CLUSTER.", &format!("{}.", self.reference));
        let expected = self
            .expected(&on_one)
            .await
            .map_err(|error| format!("one server refuses: {error}"))?;
        let sql = sql.replace("CLUSTER.", &format!("{}.", self.topology.cluster));
        let gather = gather(&sql, &self.topology).map_err(|refusal| refusal.to_string())?;
        let (found, gathered) = self
            .gathered(&self.gathering(&gather))
            .await
            .map_err(|error| error.to_string())?;
        let columns = |answer: &Answer| -> Vec<String> {
            answer
                .columns
                .iter()
                .map(|column| {
                    format!("{} {:?} {}", column.name, column.kind, column.scale)
                        .replace(&self.reference, &self.topology.cluster)
                })
                .collect()
        };
        let same = |what: &str, found: String, expected: String| match found == expected {
            true => Ok(()),
            false => Err(format!("{what}\n  {found}\nnot\n  {expected}")),
        };
        same(
            "columns",
            columns(&found).join(", "),
            columns(&expected).join(", "),
        )?;
        let normal = |answer: &Answer| {
            let mut rows = answer.rows.clone();
            if !ordered {
                rows.sort();
            }
            rows
        };
        let (found, expected) = (normal(&found), normal(&expected));
        for (a, b) in found.iter().zip(&expected) {
            same("a row", show(a).join(" | "), show(b).join(" | "))?;
        }
        same("rows", found.len().to_string(), expected.len().to_string())?;
        Ok(gathered)
    }

    async fn all_same(&self, statements: &[&str], ordered: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        for sql in statements {
            if let Err(what) = self.compare(sql, ordered).await {
                wrong.push(format!("{sql}\n{what}\n"));
            }
        }
        wrong
    }
}

fn show(row: &Row) -> Vec<String> {
    row.iter()
        .map(|cell| match cell {
            None => "NULL".to_owned(),
            Some(bytes) => bytes.escape_ascii().to_string(),
        })
        .collect()
}

/// Statements of both servers.
const BOTH: &[&str] = &[
    // All columns and types.
    "SELECT * FROM t",
    "SELECT t.*, u.* FROM t JOIN u ON u.tid = t.id",
    "SELECT * FROM u",
    "SELECT id, e + 0, s + 0, b + 0, HEX(bi), HEX(vb), HEX(l1), CRC32(bl), z, big DIV 3 FROM t",
    // Joins on and off the key, outer, self, nested, without condition.
    "SELECT t.id, u.k, t.ci, u.ci FROM t JOIN u ON t.ci = u.ci",
    "SELECT t.id, u.k FROM t LEFT JOIN u ON u.tid = t.id AND u.n > 4 WHERE t.n > 0",
    "SELECT t.id, u.k FROM t LEFT JOIN u ON u.tid = t.id AND t.n > 4 WHERE u.k IS NULL",
    "SELECT t.id, u.k FROM t RIGHT JOIN u ON u.tid = t.id AND t.n > 4 WHERE u.n IN (1, 2, 3)",
    "SELECT a.id, c.id FROM t a JOIN t c ON a.n = c.n AND a.id < c.id WHERE a.d2 > 0",
    "SELECT a.id, c.id FROM t a, t c WHERE a.id = 5 AND c.id IN (6, 7)",
    "SELECT a.id, c.id, u.k FROM t a LEFT JOIN (t c JOIN u ON u.tid = c.id) ON a.n = c.n WHERE a.id < 20",
    "SELECT a.id FROM t a STRAIGHT_JOIN u ON u.tid = a.id WHERE u.n = 3",
    "SELECT COUNT(*) FROM t, u",
    "SELECT COUNT(*) FROM t CROSS JOIN b",
    "SELECT n, ci, id, k FROM t JOIN u USING (n, ci)",
    "SELECT * FROM t NATURAL JOIN u",
    "SELECT b.label, COUNT(*), SUM(u.d2), AVG(u.d2) FROM u JOIN b ON b.code = u.n GROUP BY b.label",
    "SELECT x.id FROM t x FORCE INDEX (PRIMARY) JOIN u ON u.tid = x.id WHERE x.id BETWEEN 3 AND 30",
    // Names: the cluster as schema, aliases that are other tables' names.
    "SELECT CLUSTER.t.id, u.k FROM CLUSTER.t JOIN u ON u.tid = t.id",
    "SELECT CLUSTER.t.id + 1, t.n FROM CLUSTER.t",
    "SELECT u.id, t.k FROM t AS u JOIN u AS t ON t.tid = u.id WHERE u.n > 2 AND t.n > 2",
    "SELECT `t`.`id` FROM `t` WHERE `t`.`n` = 3 OR `ci` = 'ALPHA'",
    // Subqueries.
    "SELECT id FROM t WHERE n > (SELECT AVG(n) FROM u WHERE u.tid = t.id)",
    "SELECT id FROM t WHERE EXISTS (SELECT * FROM u WHERE u.tid = t.id AND u.n < t.n)",
    "SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE tid = id)",
    "SELECT id FROM t WHERE id IN (SELECT tid FROM u WHERE n > 3)",
    "SELECT id FROM t WHERE id NOT IN (SELECT tid FROM u WHERE tid IS NOT NULL)",
    "SELECT id FROM t WHERE id NOT IN (SELECT tid FROM u)",
    "SELECT id FROM t WHERE n > ANY (SELECT n FROM u WHERE k < 10)",
    "SELECT id FROM t WHERE n >= ALL (SELECT n FROM u WHERE n IS NOT NULL AND k < 10)",
    "SELECT id, (SELECT MAX(k) FROM u WHERE u.tid = t.id) AS newest, (SELECT COUNT(*) FROM b) FROM t",
    "SELECT x.n, x.c FROM (SELECT n, COUNT(*) AS c FROM t GROUP BY n) x WHERE x.c > 2",
    "SELECT * FROM (SELECT * FROM t WHERE id < 9) x JOIN (SELECT tid, n AS m FROM u) y ON y.tid = x.id",
    "SELECT (n, id) IN (SELECT n, tid FROM u) FROM t",
    "SELECT ROW(1, 2) = (SELECT n, tid FROM u WHERE k = 3)",
    // Windows.
    "SELECT id, n, ROW_NUMBER() OVER (PARTITION BY n ORDER BY id) FROM t",
    "SELECT id, SUM(d2) OVER w, LAG(id, 2) OVER w, FIRST_VALUE(ci) OVER w FROM t WINDOW w AS (ORDER BY id)",
    "SELECT k, RANK() OVER (ORDER BY n), DENSE_RANK() OVER (ORDER BY n), NTILE(3) OVER (ORDER BY k) FROM u",
    "SELECT n, COUNT(*), SUM(COUNT(*)) OVER (ORDER BY n) FROM u GROUP BY n",
    "SELECT id, AVG(d5) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING) FROM t",
    // Common table expressions.
    "WITH x AS (SELECT n, MAX(id) AS m FROM t GROUP BY n) SELECT x.n, x.m, u.k FROM x JOIN u ON u.n = x.n",
    "WITH t AS (SELECT k AS id, tid FROM u) SELECT id, tid FROM t",
    "WITH t AS (SELECT * FROM t WHERE id < 10) SELECT id, ci FROM t",
    "WITH x AS (SELECT id FROM t), y AS (SELECT id FROM x WHERE id > 60) SELECT * FROM y",
    "SELECT * FROM (WITH u AS (SELECT id FROM t WHERE n = 1) SELECT * FROM u) q JOIN u ON u.tid = q.id",
    "WITH RECURSIVE c AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM c WHERE i < 20) SELECT i, id FROM c LEFT JOIN t ON t.n = i",
    "WITH RECURSIVE c AS (SELECT k, tid, 0 AS depth FROM u WHERE k = 7 UNION ALL SELECT u.k, u.tid, depth + 1 FROM c JOIN u ON u.k = c.tid WHERE depth < 5) SELECT * FROM c",
    // Aggregates that are not merged.
    "SELECT n, GROUP_CONCAT(id ORDER BY id DESC SEPARATOR '|') FROM t GROUP BY n",
    "SELECT GROUP_CONCAT(DISTINCT n ORDER BY n) FROM u",
    "SELECT n, tid % 3, COUNT(*), SUM(d2) FROM u GROUP BY n, tid % 3 WITH ROLLUP",
    "SELECT n, COUNT(DISTINCT ci), COUNT(DISTINCT ci, bin) FROM t GROUP BY n HAVING COUNT(*) > 2",
    "SELECT ROUND(STDDEV_POP(n), 6), ROUND(VAR_SAMP(n), 6), BIT_XOR(n), BIT_OR(big) FROM t",
    "SELECT n, SUM(d2) / COUNT(*) + 1, MAX(d2) - MIN(d2) FROM u GROUP BY n HAVING SUM(d2) > 0",
    "SELECT SUM(f) <> 0, SUM(db) <> 0 FROM t WHERE id = 3",
    "SELECT COUNT(*) AS c, MIN(id), MAX(ts), SUM(DISTINCT n) FROM t WHERE ci = 'alpha'",
    "SELECT e, s, COUNT(*) FROM t GROUP BY e, s ORDER BY e, s",
    "SELECT MIN(e), MAX(s), MIN(tm), MAX(dt), MIN(stamp) FROM t",
    // JSON, dates, texts.
    "SELECT id, JSON_EXTRACT(j, '$.k'), JSON_LENGTH(j), JSON_TYPE(j) FROM t",
    "SELECT JSON_ARRAYAGG(id) FROM t WHERE id = 4",
    "SELECT id, JSON_OBJECT('n', n, 'j', JSON_EXTRACT(j, '$')) FROM t",
    "SELECT n, JSON_SET('{}', '$.a', n), JSON_MERGE_PATCH('{}', '{\"a\": 1}') FROM u",
    "SELECT id FROM t WHERE dt = '0000-00-00' OR dt = '2023-02-30'",
    "SELECT NOW(), CURDATE(), UNIX_TIMESTAMP(), at - INTERVAL 1 DAY FROM u WHERE at > NOW() - INTERVAL 3 DAY AND n > 0",
    "SELECT id, ci, np, l1, REGEXP_REPLACE(ci, 'a', 'b'), CONCAT(ci, l1), UPPER(np) FROM t",
    "SELECT a.id, c.id FROM t a JOIN t c ON a.np = c.ci COLLATE utf8mb4_general_ci WHERE a.id < 30",
    "SELECT a.id, c.id FROM t a JOIN t c ON a.l1 = c.bin",
    "SELECT d2 / 3, d5 * d2, d2 % 7, n / 7, big / 3, CAST(d5 AS SIGNED) FROM t",
    "SELECT id FROM t WHERE bl = 0x00ff5c27 OR vb = 0xff OR bi = 0xff00ff01",
    "SELECT id, tx FROM t WHERE tx LIKE '%中%' OR tx LIKE '%\\\\%%'",
    // Sets of rows.
    "SELECT id FROM t WHERE n = 1 UNION SELECT k FROM u WHERE n = 1",
    "SELECT ci FROM t UNION ALL SELECT ci FROM u",
    "SELECT bin FROM t UNION SELECT BINARY ci FROM u WHERE n > 2",
    "SELECT n FROM t EXCEPT SELECT n FROM u",
    "SELECT n FROM t INTERSECT SELECT n FROM u",
    "(SELECT id FROM t ORDER BY id LIMIT 3) UNION ALL (SELECT k FROM u ORDER BY k DESC LIMIT 3)",
    "SELECT id FROM t WHERE id IN (SELECT k FROM u UNION SELECT code FROM b)",
    // Conditions that narrow, and some that look so.
    "SELECT t.id, u.k FROM t JOIN u ON u.tid = t.id WHERE t.id = 17 AND u.k BETWEEN 1 AND 50",
    "SELECT t.id, u.k FROM t LEFT JOIN u ON u.tid = t.id WHERE t.id IN (3, 4, 5) AND (u.n IS NULL OR u.n > 2)",
    "SELECT a.id, c.id FROM t a JOIN t c ON c.n = a.n WHERE a.id = 3 AND c.id > 40",
    "SELECT a.id, c.k FROM t a LEFT JOIN u c ON c.tid = a.id WHERE c.k = 9 OR a.id = 3",
    "SELECT a.id FROM t a WHERE a.n = 3 AND a.id IN (SELECT k FROM u WHERE a.d2 > 0 AND u.n = 3)",
    "SELECT t.id FROM t JOIN u ON t.id = u.tid AND u.ci LIKE 'a%' WHERE NOT (t.n = 3) AND t.ci <> 'BETA'",
    "SELECT t.id FROM t, u WHERE t.id = u.tid AND t.id = 5 || u.n = 3",
    "SELECT t.id FROM t JOIN u ON t.id = u.tid WHERE t.n = 3 XOR u.n = 3",
    "SELECT t.id FROM t JOIN u ON t.id = u.tid WHERE t.id = 1 AND t.id = 2",
    // What is asked of the session, and what is another value each time.
    "SELECT t.id, USER(), CURRENT_USER, version(), @@version, @@group_concat_max_len FROM t JOIN u ON t.id = u.k",
    "SELECT USER() = SESSION_USER(), @@session.div_precision_increment + 1 FROM t a, t b WHERE a.id = 3",
    "SELECT COUNT(DISTINCT CONNECTION_ID()), COUNT(DISTINCT NOW(6)), COUNT(DISTINCT UUID()) > 99 FROM t JOIN u",
    "SELECT MIN(RAND()) < MAX(RAND()), COUNT(DISTINCT RAND()) > 99 FROM t, u",
    "SELECT x.id FROM (SELECT id, CONNECTION_ID() AS c FROM t WHERE id < 9) x WHERE x.c = CONNECTION_ID()",
    // Conditions that hold for another table too.
    "SELECT t.id, u.n FROM t JOIN u ON t.id = u.k WHERE t.id IN (5, 17) AND u.n IS NOT NULL",
    "SELECT t.id, u.n FROM t LEFT JOIN u ON t.id = u.k AND u.n > 2 WHERE t.id BETWEEN 3 AND 30",
    "SELECT t.id, u.n, b.label FROM t JOIN u ON t.n = u.n LEFT JOIN b ON b.code = u.n WHERE 2 = t.n",
    "SELECT t.id, u.k FROM t RIGHT JOIN u ON t.id = u.k WHERE u.k < 9 OR u.k = 80",
    // What the parser does not know.
    "SELECT id FROM t WHERE ts > NOW() - INTERVAL '1:30' MINUTE_SECOND AND n MOD 3 = 1",
    "SELECT TRIM(LEADING FROM x.ci), x.id FROM CLUSTER.t x JOIN u ON u.tid = x.id",
    "SELECT EXTRACT(YEAR_MONTH FROM dt), COUNT(*) FROM t GROUP BY 1",
    // No table.
    "SELECT 1 + 1, NOW()",
    "SELECT 1 FROM DUAL WHERE EXISTS (SELECT 1 FROM b)",
];

/// The same, in an order that leaves no ties.
const ORDERED: &[&str] = &[
    "SELECT t.id, u.k FROM t JOIN u ON u.n = t.n ORDER BY t.ci, t.id DESC, u.k LIMIT 7, 20",
    "SELECT id FROM t ORDER BY e, s, y, tm, id",
    "SELECT n, tid FROM u GROUP BY n, tid ORDER BY (SELECT COUNT(*) FROM t WHERE t.n = u.n), n, tid",
    "SELECT id, ci FROM t ORDER BY np, id",
    "SELECT tid, COUNT(*) AS buys FROM u GROUP BY tid ORDER BY buys DESC, tid LIMIT 5",
];

on_each_engine! {
    /// Hand-written statements of every shape.
    async fn gathered_statements_answer_as_one_server(engine) {
        let world = world(engine).await;
        let mut wrong = world.all_same(BOTH, false).await;
        wrong.extend(world.all_same(ORDERED, true).await);
        let own: &[&str] = match engine {
            Engine::Mysql => &[
                "SELECT id, j->'$.k', j->>'$.l[0]' FROM t WHERE j->'$.k' = 1",
                "SELECT n, COUNT(*), GROUPING(n) FROM u GROUP BY n WITH ROLLUP",
                "SELECT t.id, x.k FROM t JOIN LATERAL (SELECT k FROM u WHERE u.tid = t.id ORDER BY k LIMIT 1) x",
                "SELECT t.id, x.v FROM t JOIN JSON_TABLE(t.j, '$.l[*]' COLUMNS (v int PATH '$')) x",
                "TABLE b",
                "TABLE t UNION TABLE t",
                "VALUES ROW(1, 'a'), ROW(2, NULL)",
                "SELECT * FROM (VALUES ROW(1, 2), ROW(3, 4)) v (x, y) JOIN b ON b.code = v.x",
                "SELECT REGEXP_LIKE(ci, '^a') FROM t",
                "SELECT JSON_PRETTY(j) FROM t",
                "SELECT BIN_TO_UUID(UUID_TO_BIN('6ccd780c-baba-1026-9564-5b8c656024db')) FROM b",
            ],
            Engine::Mariadb => &[
                "SELECT JSON_ARRAYAGG(j ORDER BY id) FROM t WHERE id < 9",
                "SELECT JSON_OBJECT('j', j) FROM t",
                "VALUES (1, 'a'), (2, NULL)",
                "SELECT MEDIAN(n) OVER (PARTITION BY ci) FROM u",
                "SELECT NVL(n, 0), JSON_COMPACT(j) FROM t",
                "SELECT n FROM t EXCEPT ALL SELECT n FROM u",
            ],
        };
        wrong.extend(world.all_same(own, false).await);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// A condition over a table's columns, of forms that narrow and forms that do not.
fn condition(rng: &mut ChaCha8Rng, alias: &str, depth: u32) -> String {
    let (key, is_t) = match alias.starts_with('t') {
        true => ("id", true),
        false => ("k", false),
    };
    let number = rng.random_range(-2..95);
    let text = pick(rng, &TEXTS).to_owned();
    match rng.random_range(0..17) {
        0 => format!("{alias}.{key} = {number}"),
        1 => format!("{alias}.{key} IN ({number}, {}, 7)", number + 3),
        2 => format!("{alias}.{key} BETWEEN {number} AND {}", number + 30),
        3 => format!("{alias}.n > {}", number % 7),
        4 => format!("{alias}.n IS NULL"),
        5 => format!("{alias}.ci = {text}"),
        6 => format!("{alias}.ci LIKE '%a%'"),
        7 => format!("NOT ({alias}.n = 3)"),
        8 => format!("{alias}.{key} % 3 = 1"),
        9 => format!("{alias}.d2 > 0 AND {alias}.{key} < {number}"),
        10 => format!("({alias}.n = 2 OR {alias}.{key} = {number})"),
        11 => format!("{alias}.n = 2 || {alias}.{key} = {number}"),
        12 => format!("{alias}.{key} = '{number}'"),
        13 if is_t => format!("{alias}.e <> 'a' AND {alias}.dt > '2000-01-01'"),
        14 if is_t => format!("{alias}.bin IN ({text}, 'beta') AND {alias}.ts <= NOW()"),
        15 if depth > 0 => format!(
            "{}EXISTS (SELECT * FROM u uu WHERE uu.tid = {alias}.{key} AND {})",
            pick(rng, &["", "NOT "]),
            condition(rng, "uu", depth - 1)
        ),
        16 if depth > 0 => format!(
            "{alias}.{key} {}IN (SELECT tt.n FROM t tt WHERE tt.n IS NOT NULL AND {})",
            pick(rng, &["", "NOT "]),
            condition(rng, "tt", depth - 1)
        ),
        _ => format!("{alias}.{key} <> {number}"),
    }
}

/// A statement of joins, subqueries, groups and sets, whose rows do not depend on an order.
fn generate(rng: &mut ChaCha8Rng, depth: u32) -> String {
    let mut from = pick(rng, &["t t1", "u u1"]).to_owned();
    let mut aliases = vec![if from.starts_with('t') { "t1" } else { "u1" }.to_owned()];
    for number in 2..=rng.random_range(1..4) {
        // Mostly a table that is not there yet: one that is there twice is seldom narrowed.
        let other = if aliases[0].starts_with('t') {
            "u"
        } else {
            "t"
        };
        let table = match number {
            2 if rng.random_bool(0.8) => other,
            _ => pick(rng, &["t", "u"]),
        };
        let alias = format!("{table}{number}");
        let before = aliases[rng.random_range(0..aliases.len())].clone();
        let on = match rng.random_range(0..4) {
            0 => format!("{alias}.n = {before}.n"),
            1 => format!("{alias}.ci = {before}.ci"),
            _ => {
                let link = |alias: &str| match alias.starts_with('t') {
                    true => format!("{alias}.id"),
                    false => format!("{alias}.tid"),
                };
                format!("{} = {}", link(&alias), link(&before))
            }
        };
        let join = pick(rng, &["JOIN", "LEFT JOIN", "RIGHT JOIN", "STRAIGHT_JOIN"]);
        let more = match rng.random_range(0..3) {
            0 => {
                let of = pick(rng, &[&alias, &before]).to_owned();
                format!(" AND {}", condition(rng, &of, 0))
            }
            _ => String::new(),
        };
        let source = match rng.random_range(0..5) {
            0 if depth > 0 => format!("(SELECT * FROM {table} WHERE {})", condition(rng, table, 0)),
            _ => table.to_owned(),
        };
        from = format!("{from} {join} {source} {alias} ON {on}{more}");
        aliases.push(alias);
    }
    let mut wheres = Vec::new();
    for _ in 0..rng.random_range(0..3) {
        let alias = aliases[rng.random_range(0..aliases.len())].clone();
        wheres.push(condition(rng, &alias, depth));
    }
    // Side that can be NULL or not, it is met by NULL: what it narrows is seen in the answer.
    if rng.random_bool(0.4) {
        let alias = aliases[aliases.len() - 1].clone();
        wheres.push(match rng.random_range(0..3) {
            0 => format!("NOT (COALESCE({alias}.n, 0) > {})", rng.random_range(0..5)),
            1 => format!("COALESCE({alias}.n, 1) < 3"),
            _ => format!("({alias}.n IS NULL OR {alias}.n < 2)"),
        });
    }
    let filter = match wheres.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", wheres.join(" AND ")),
    };
    let first = aliases[0].clone();
    let last = aliases[aliases.len() - 1].clone();
    match rng.random_range(0..6) {
        0 => format!(
            "SELECT {first}.n, COUNT(*), COUNT({last}.ci), SUM({last}.d2), MIN({last}.n) FROM \
             {from}{filter} GROUP BY {first}.n"
        ),
        1 => format!(
            "SELECT {first}.n, COUNT(DISTINCT {last}.n) AS c FROM {from}{filter} \
             GROUP BY {first}.n HAVING c > 1"
        ),
        2 => format!("SELECT DISTINCT {first}.n, {last}.d2 FROM {from}{filter}"),
        3 if depth > 0 => format!(
            "SELECT {first}.n FROM {from}{filter} {} SELECT q.n FROM ({}) q",
            pick(rng, &["UNION", "UNION ALL", "EXCEPT", "INTERSECT"]),
            "SELECT n FROM u WHERE n > 1"
        ),
        4 if depth > 0 => format!(
            "WITH q AS (SELECT {first}.n AS n, {last}.d2 AS d FROM {from}{filter}) \
             SELECT q.n, q.d, t.id FROM q JOIN t ON t.n = q.n AND t.id < 20"
        ),
        5 => format!(
            "SELECT {first}.n, {last}.d2, (SELECT COUNT(*) FROM u z WHERE z.n = {first}.n) \
             FROM {from}{filter}"
        ),
        _ => format!("SELECT {first}.*, {last}.ci, {last}.n FROM {from}{filter}"),
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

on_each_engine! {
    /// Generated statements; what narrows a table's rows must not change the answer.
    async fn generated_statements_answer_as_one_server(engine) {
        let world = world(engine).await;
        let seed = number("SHARDCTL_SEED", 1);
        let statements = number("SHARDCTL_QUERIES", 150);
        println!("{statements} statements, SHARDCTL_SEED={seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut wrong, mut narrowed) = (Vec::new(), 0);
        for _ in 0..statements {
            let sql = generate(&mut rng, 1);
            match world.compare(&sql, false).await {
                Ok(gathered) => narrowed += u64::from(gathered.rows < 160),
                Err(what) => wrong.push(format!("{sql}\n{what}\n")),
            }
        }
        assert!(wrong.is_empty(), "seed {seed}\n{}", wrong.join("\n"));
        // Else nothing of what this test is for has been tried.
        assert!(narrowed > statements / 10, "{narrowed} of {statements}");
    }
}

impl World {
    /// The topology in a file, with the servers' sockets.
    fn file(&self) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            file.path(),
            shardctl::topology::file::render(&self.topology),
        )
        .unwrap();
        file
    }

    /// The program under test on this world, without the sandbox's name: by addresses.
    fn command(&self, file: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(support::SHARDCTL);
        command
            .arg("--topology")
            .arg(file)
            .arg("--defaults-file")
            .arg(self.sandbox.client_file())
            .arg("query")
            .args(args);
        command
    }

    fn query(&self, file: &Path, args: &[&str]) -> (i32, String, String) {
        let output = self.command(file, args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.code().unwrap_or(-1),
            text(&output.stdout),
            text(&output.stderr),
        )
    }

    /// The scratch schemas that are there.
    async fn scratch_schemas(&self) -> Vec<String> {
        let mut conn = support::conn(&self.sandbox, "rds-2").await;
        conn.query("SHOW DATABASES LIKE '\\_shardctl\\_q\\_%'")
            .await
            .unwrap()
    }
}

on_each_engine! {
    /// More than may be gathered is refused with the numbers, before or while it is fetched, and
    /// nothing is left.
    async fn what_is_too_much_is_refused_with_the_numbers(engine) {
        let world = world(engine).await;
        let refused = |sql: &'static str, rows: u64, bytes: u64| {
            let world = &world;
            async move {
                let gather = gather(sql, &world.topology).unwrap();
                let mut gathering = world.gathering(&gather);
                gathering.options.gather_rows_max = rows;
                gathering.options.gather_bytes_max = bytes;
                match world.gathered(&gathering).await {
                    Ok(_) => panic!("{sql} was answered"),
                    Err(error) => error.to_string(),
                }
            }
        };
        let before = refused("SELECT COUNT(*) FROM t a, t b", 20, 1 << 30).await;
        assert!(before.contains("rows are to be fetched, and --max-gather-rows allows 20"), "{before}");
        let during = refused("SELECT COUNT(*) FROM t a, u b WHERE a.n IS NOT NULL AND b.k > 0", 20, 1 << 30).await;
        assert!(during.contains("had been fetched, and there were more, and --max-gather-rows allows 20"), "{during}");
        let bytes = refused("SELECT COUNT(*) FROM t a, u b WHERE a.tx <> '' AND b.k > 0", 1000, 100).await;
        assert!(bytes.contains("--max-gather-bytes allows 100"), "{bytes}");
        // And the answer's own cap.
        let gather = gather("SELECT a.id FROM t a, t b", &world.topology).unwrap();
        let mut gathering = world.gathering(&gather);
        gathering.options.rows_max = 50;
        let error = world.gathered(&gathering).await.err().unwrap().to_string();
        assert!(error.contains("the answer has more than 50 rows"), "{error}");
    }

    /// Rows are found and ranked by the words of all rows, as on one server that has just counted
    /// its rows.
    async fn full_text_search_ranks_by_all_rows(engine) {
        let body = "(id bigint NOT NULL PRIMARY KEY, head varchar(90), body text, n int, \
                    FULLTEXT KEY words (head, body), FULLTEXT KEY heads (head)) DEFAULT CHARSET=utf8mb4";
        let tables = format!("  p:\n    shard_key: id\n    function: mod\n    ddl: CREATE TABLE p {body}\n");
        let world = empty_world(engine, SHARDS, &tables).await;
        let mut one = support::conn(&world.sandbox, "rds-1").await;
        let words = ["order", "refund", "parcel", "seller", "invoice", "late", "broken"];
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let text = |rng: &mut ChaCha8Rng, most: usize| -> String {
            let count = rng.random_range(1..most);
            (0..count).map(|_| words[rng.random_range(0..words.len())]).collect::<Vec<_>>().join(" ")
        };
        let rows = (1..=60)
            .map(|id| (id, format!("({id}, '{}', '{}', {})", text(&mut rng, 4), text(&mut rng, 12), id % 5)))
            .collect();
        world.insert("p", "", rows).await;
        one.query_drop(format!("ANALYZE TABLE {}.p", world.reference)).await.unwrap();
        let wrong = world
            .all_same(
                &[
                    "SELECT id, MATCH (head, body) AGAINST ('broken parcel') AS score FROM p WHERE MATCH (head, body) AGAINST ('broken parcel') AND n > 1",
                    "SELECT id FROM p WHERE MATCH (head) AGAINST ('+order -late' IN BOOLEAN MODE)",
                    "SELECT COUNT(*), SUM(n) FROM p WHERE MATCH (head, body) AGAINST ('+late +order' IN BOOLEAN MODE) AND body LIKE '%late order%' AND id BETWEEN 3 AND 50",
                    "SELECT a.id, b.id FROM p a JOIN p b ON a.n = b.n WHERE MATCH (a.head) AGAINST ('invoice') AND b.id = 7",
                ],
                false,
            )
            .await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// What is one server's own is refused, and what is asked about a statement is told.
    async fn nothing_of_a_server_is_shown(engine) {
        let world = world(engine).await;
        let file = world.file();
        let (code, stdout, stderr) = world.query(file.path(), &["EXPLAIN SELECT COUNT(*) FROM t"]);
        assert!(code == 0 && stdout.contains("scatter and merge"), "{stdout}{stderr}");
        for sql in [
            "SHOW PROCESSLIST",
            "SHOW GRANTS",
            "SHOW VARIABLES LIKE 'v%'",
            "SHOW COLUMNS FROM u WHERE SLEEP(30)",
            "SHOW CREATE TABLE mysql.user",
            "EXPLAIN UPDATE t SET n = 1",
            "USE mysql",
            "SET GLOBAL read_only = 1",
            "KILL 1",
            "CALL p()",
            "DO SLEEP(30)",
            "HANDLER t OPEN",
        ] {
            let (code, stdout, stderr) = world.query(file.path(), &[sql]);
            assert_eq!((code, stdout.as_str()), (2, ""), "{sql}: {stderr}");
            assert!(stderr.starts_with("error:"), "{sql}: {stderr}");
        }
    }

    /// Whatever stands in a statement or a parameter, nothing is written, locked, slept or read from
    /// files, on no way.
    async fn nothing_but_reading_passes(engine) {
        let world = world(engine).await;
        let file = world.file();
        let before = world.expected("CHECKSUM TABLE t, u, b").await.unwrap().rows;
        let out = format!("/tmp/{}.out", world.topology.cluster);
        let into = [
            format!("SELECT id FROM t WHERE id = 5 INTO OUTFILE '{out}'"),
            format!("SELECT id FROM t INTO DUMPFILE '{out}'"),
            format!("SELECT t.id INTO OUTFILE '{out}' FROM t JOIN u ON t.n = u.n"),
            format!("SELECT TRIM(LEADING FROM ci) FROM t INTO OUTFILE '{out}'"),
            format!("(SELECT id FROM t) UNION (SELECT k FROM u INTO OUTFILE '{out}')"),
        ];
        let fixed = [
            "SELECT id FROM t WHERE id = 5 FOR UPDATE",
            "SELECT id FROM t FOR UPDATE SKIP LOCKED",
            "SELECT id FROM t LOCK IN SHARE MODE",
            "SELECT t.id FROM t JOIN u ON t.n = u.n FOR SHARE",
            "SELECT * FROM (SELECT id FROM t FOR UPDATE) x",
            "SELECT SLEEP(30) FROM t WHERE id = 5",
            "SELECT id FROM t WHERE id = 5 AND SLEEP(30)",
            "SELECT id FROM t ORDER BY SLEEP(30)",
            "SELECT id FROM t WHERE n IN (SELECT SLEEP(30) FROM u)",
            "SELECT `SLEEP`(30) FROM t WHERE id = 5",
            "SELECT sys.SLEEP(30) FROM t WHERE id = 5",
            "SELECT SLEEP/**/(30) FROM t WHERE id = 5",
            "SELECT /*!50000 SLEEP(30), */ id FROM t WHERE id = 5",
            "SELECT /*M! SLEEP(30), */ id FROM t WHERE id = 5",
            "SELECT BENCHMARK(1000000000, SHA2('x', 512)) FROM t WHERE id = 5",
            "SELECT GET_LOCK('x', 30) FROM t WHERE id = 5",
            "SELECT RELEASE_ALL_LOCKS()",
            "SELECT LOAD_FILE('/etc/hostname') FROM t WHERE id = 5",
            "SELECT TRIM(LEADING FROM LOAD_FILE('/etc/hostname'))",
            "SELECT EXTRACT(YEAR_MONTH FROM SLEEP(30)) FROM t",
            "SELECT MASTER_POS_WAIT('x', 4, 30) FROM t WHERE id = 5",
            "SELECT sys_exec('id') FROM t WHERE id = 5",
            "SELECT NEXTVAL(s) FROM t WHERE id = 5",
            "SELECT NEXT VALUE FOR s FROM t WHERE id = 5",
            "SELECT @x := 5 FROM t WHERE id = 5",
            "SELECT id FROM t WHERE id = 5; DELETE FROM t",
            "SELECT id FROM t WHERE id = 5;; DROP TABLE t",
            "SELECT id FROM t WHERE id = 5 -- ;\n; DELETE FROM t",
            "WITH x AS (DELETE FROM t) SELECT * FROM x",
            "WITH x AS (SELECT 1) DELETE FROM t",
            "WITH x AS (SELECT 1) UPDATE t SET n = 1",
            "DELETE FROM t",
            "REPLACE INTO t (id) VALUES (5)",
            "INSERT INTO t (id) SELECT 5",
            "CREATE TABLE x AS SELECT * FROM t",
            "SELECT * FROM mysql.user",
            "SELECT * FROM information_schema.tables",
            "SELECT TRIM(LEADING FROM user) FROM mysql.user",
            "SELECT * FROM t PROCEDURE ANALYSE()",
            "SELECT * FROM t WHERE id = 5 LIMIT 1 PROCEDURE ANALYSE()",
            "PREPARE s FROM 'DELETE FROM t'",
            "BEGIN NOT ATOMIC DELETE FROM t; END",
            "SELECT /*+ SET_VAR(max_execution_time=0) */ id FROM t",
            "SET STATEMENT max_statement_time=0 FOR SELECT id FROM t",
            "SELECT id FROM t WHERE id = ?",
        ];
        for sql in into.iter().map(String::as_str).chain(fixed) {
            let start = Instant::now();
            let (code, stdout, stderr) = world.query(file.path(), &["--max-gather-rows", "1000", sql]);
            assert!(code == 2 || code == 3, "{sql}: {code} {stdout}{stderr}");
            assert!(!stdout.contains("root:"), "{sql}: {stdout}");
            // A server may be asked whether it knows a statement, and does not.
            assert!(code == 2 || stderr.contains("refused"), "{sql}: {stderr}");
            assert!(start.elapsed() < Duration::from_secs(20), "{sql}");
        }
        assert!(!Path::new(&out).exists());
        // A parameter is a value, whatever stands in it.
        for value in [
            "5 OR 1=1",
            "' OR '1'='1",
            "\\' OR 1=1 -- ",
            "5; DELETE FROM t",
            "text:\\",
            "'/*",
            "`id`",
            "text:5) OR (1=1",
        ] {
            for sql in ["SELECT id FROM t WHERE ci = ?", "SELECT t.id FROM t JOIN u ON t.n = u.n WHERE t.ci = ?"] {
                let (code, stdout, stderr) = world.query(file.path(), &["-o", "csv", "--param", value, sql]);
                assert_eq!((code, stdout.as_str()), (0, "id\r\n"), "{value}: {stderr}");
            }
        }
        assert_eq!(world.expected("CHECKSUM TABLE t, u, b").await.unwrap().rows, before);
    }

    /// Two statements at once that fetch other rows of one table do not meet.
    async fn two_statements_at_once_do_not_meet(engine) {
        let world = world(engine).await;
        let low = gather("SELECT COUNT(*) FROM t a, t b WHERE a.id < 11 AND b.id < 11", &world.topology).unwrap();
        let high = gather("SELECT COUNT(*) FROM t a, t b WHERE a.id > 50 AND b.id > 50", &world.topology).unwrap();
        let (low, high) = (world.gathering(&low), world.gathering(&high));
        let answers = futures_util::future::join_all((0..6).map(|n| world.gathered(if n % 2 == 0 { &low } else { &high }))).await;
        let found: Vec<Vec<String>> = answers.into_iter().map(|answer| show(&answer.unwrap().0.rows[0])).collect();
        assert_eq!(found, [["100"], ["400"], ["100"], ["400"], ["100"], ["400"]]);
    }

    /// What a killed run leaves is dropped by the next one, and only that.
    async fn a_killed_run_leaves_nothing_for_long(engine) {
        let _alone = ENDS.lock().await;
        let world = world(engine).await;
        let file = world.file();
        // Long enough to be killed in: some 24 million rows four times over.
        let mut child = world
            .command(file.path(), &["SELECT SUM(a.n + b.n * c.n) FROM t a, t b, t c, t d, u e"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let before = world.scratch_schemas().await;
        let left = loop {
            let now = world.scratch_schemas().await;
            match now.into_iter().find(|name| !before.contains(name) && name.len() == "_shardctl_q_0123456789abcdef".len()) {
                Some(name) => break name,
                None => assert!(child.try_wait().unwrap().is_none(), "it ended too early"),
            }
        };
        // While it runs it is nobody else's.
        world.compare("SELECT a.id FROM t a JOIN t b ON a.n = b.n", false).await.unwrap();
        assert!(world.scratch_schemas().await.contains(&left));
        child.kill().unwrap();
        child.wait().unwrap();
        // The server sees the end of a connection whose statement runs when that ends; until then
        // the lock is held. The next run that comes after it drops the schema.
        let mut conn = support::conn(&world.sandbox, "rds-2").await;
        let running: Vec<u64> = conn
            .exec("SELECT ID FROM information_schema.PROCESSLIST WHERE DB = ? AND COMMAND <> 'Sleep'", (&left,))
            .await
            .unwrap();
        for id in running {
            let _ = conn.query_drop(format!("KILL {id}")).await;
        }
        for _ in 0..100 {
            world.compare("SELECT a.id FROM t a JOIN t b ON a.n = b.n", false).await.unwrap();
            if !world.scratch_schemas().await.contains(&left) {
                return;
            }
        }
        panic!("{left} is still there");
    }

    /// A run that is asked to end takes its schema with it.
    async fn a_run_that_is_asked_to_end_leaves_nothing(engine) {
        let _alone = ENDS.lock().await;
        let world = world(engine).await;
        let file = world.file();
        let before = world.scratch_schemas().await;
        let mut child = world
            .command(file.path(), &["SELECT SUM(a.n + b.n * c.n) FROM t a, t b, t c, t d, u e"])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let own = loop {
            let now = world.scratch_schemas().await;
            match now.into_iter().find(|name| !before.contains(name) && name.len() == "_shardctl_q_0123456789abcdef".len()) {
                Some(name) => break name,
                None => assert!(child.try_wait().unwrap().is_none(), "it ended too early"),
            }
        };
        let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{said}");
        assert!(said.contains("stopped by Ctrl-C"), "{said}");
        assert!(!world.scratch_schemas().await.contains(&own), "{said}");
    }

    /// MySQL's JSON can hold decimals and dates, which its own text loses: such a value is not
    /// taken for what its text says.
    async fn json_that_has_no_text_is_refused(engine) {
        if engine == Engine::Mariadb {
            return;
        }
        let world = world(engine).await;
        let mut conn = support::conn(&world.sandbox, "rds-1").await;
        let physical = format!("{}_00.t", world.topology.cluster);
        let sql = "SELECT a.j FROM t a JOIN t b ON a.id = b.id";
        for value in ["JSON_OBJECT('a', 1.50)", "JSON_ARRAY(CAST('2020-01-01' AS DATE))"] {
            conn.query_drop(format!("UPDATE {physical} SET j = {value} ORDER BY id LIMIT 1")).await.unwrap();
            let gather = gather(sql, &world.topology).unwrap();
            let error = world.gathered(&world.gathering(&gather)).await.err().unwrap().to_string();
            assert!(error.contains("JSON"), "{value}: {error}");
        }
        conn.query_drop(format!("UPDATE {physical} SET j = '{{\"a\": 1.5, \"b\": \"2020-01-01\"}}' ORDER BY id LIMIT 1")).await.unwrap();
        let gather = gather(sql, &world.topology).unwrap();
        world.gathered(&world.gathering(&gather)).await.unwrap();
    }

    /// Names, kinds and rows in every output format are those of one server.
    async fn every_format_is_one_servers(engine) {
        let world = world(engine).await;
        let file = world.file();
        let sql = "SELECT t.id, t.n, big, z, t.d2, d5, f, db, t.ci, vb, bi, bl, tx, dt, ts, tm, y, b, e, s, j, \
                   t.n + 1, t.d2 / 3, NULL, COUNT(*) OVER () AS all_of_them \
                   FROM t LEFT JOIN u ON u.k = t.id + 1 ORDER BY t.id";
        let expected = world.expected(sql).await.unwrap();
        for (name, format) in [
            ("table", Format::Table),
            ("vertical", Format::Vertical),
            ("csv", Format::Csv),
            ("tsv", Format::Tsv),
            ("json", Format::Json),
            ("ndjson", Format::Ndjson),
        ] {
            // The clock of the two is another.
            let (code, stdout, stderr) = world.query(file.path(), &["-o", name, sql]);
            assert_eq!(code, 0, "{stderr}");
            let mut out = Vec::new();
            let mut writer = AnswerWriter::new(&mut out, format, View::default());
            writer.columns(&expected.columns).unwrap();
            for row in &expected.rows {
                writer.row(row).unwrap();
            }
            writer.finish().unwrap();
            assert_eq!(stdout, String::from_utf8_lossy(&out), "{name}");
        }
    }

    /// What is gathered, and the limits of it, are told and kept by the flags.
    async fn the_flags_say_and_limit_what_is_gathered(engine) {
        let world = world(engine).await;
        let file = world.file();
        let sql = "SELECT t.id FROM t JOIN u ON u.tid = t.id WHERE t.id = 5 AND u.n > 3";
        let (code, stdout, stderr) = world.query(file.path(), &["--explain", sql]);
        assert_eq!(code, 0, "{stderr}");
        let stdout = stdout.replace(&world.topology.cluster, "CLUSTER");
        let key = stdout.lines().find(|line| line.contains("AS `t` WHERE")).unwrap_or_default();
        assert!(key.contains("SELECT `id` FROM `CLUSTER_01`.`t` AS `t` WHERE (`t`.`id` = 5)"), "{stdout}");
        assert!(stdout.contains("fetched: `t`, 1 of 4 tables"), "{stdout}");
        assert!(stdout.contains("scratch: instance rds-2"), "{stdout}");
        let (code, stdout, _) = world.query(file.path(), &["-o", "json", "--explain", sql]);
        let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!((code, &json["way"]), (0, &"gather".into()));
        assert_eq!(json["tables"][1]["parts"].as_array().unwrap().len(), 8);
        let sql = "SELECT t.id FROM t JOIN u ON u.ci = t.ci";
        let (code, _, stderr) = world.query(file.path(), &["--no-gather", sql]);
        assert_eq!(code, 2, "{stderr}");
        let (code, _, stderr) = world.query(file.path(), &["--max-shards", "2", sql]);
        assert!(code == 2 && stderr.contains("is gathered from 4 shards"), "{stderr}");
        let (code, _, stderr) = world.query(file.path(), &["--scratch", "rds-9", sql]);
        assert!(code == 2 && stderr.contains("there is no instance `rds-9` to gather on"), "{stderr}");
        let (code, _, stderr) = world.query(file.path(), &["--max-gather-rows", "3", sql]);
        assert!(code == 2 && stderr.contains("--max-gather-rows allows 3"), "{stderr}");
    }

    /// Without a named server a private one is started, used again, and removed when it has not
    /// been used for a while.
    async fn a_private_server_is_kept_warm_and_goes(engine) {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let mut world = world(engine).await;
        world.topology.scratch = None;
        let file = world.file();
        let home = tempfile::Builder::new().prefix("sc").permissions(PermissionsExt::from_mode(0o700)).tempdir_in("/tmp").unwrap();
        let run = |sql: &str| {
            let output = world
                .command(file.path(), &["--scratch-idle", "3", "-o", "csv", sql])
                .env("SHARDCTL_SANDBOX_DIR", home.path())
                // What is said of the shards' login is not for it.
                .env("SHARDCTL_USER", world.sandbox.user())
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(run("SELECT COUNT(*) AS n FROM t a, u b"), "n\r\n6300\r\n");
        let dir = home.path().join(format!("scratch-{}", engine.as_str()));
        assert_eq!(std::fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        let sandbox = Home::at(home.path()).unwrap().open(&format!("scratch-{}", engine.as_str())).unwrap();
        let first = sandbox.pid("rds-1").unwrap().unwrap();
        assert_eq!(sandbox.instances()[0].port, None);
        assert_eq!(run("SELECT COUNT(*) AS n FROM t a, t b"), "n\r\n4900\r\n");
        assert_eq!(sandbox.pid("rds-1").unwrap(), Some(first));
        let deadline = Instant::now() + Duration::from_secs(30);
        while dir.exists() {
            assert!(Instant::now() < deadline, "it is still there");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // A process that has been killed may show for a moment.
        assert!(!Path::new(&format!("/proc/{first}/exe")).exists());
        // And again from nothing.
        assert_eq!(run("SELECT COUNT(*) AS n FROM t a, u b"), "n\r\n6300\r\n");
        Home::at(home.path()).unwrap().down(&format!("scratch-{}", engine.as_str())).unwrap();
    }
}

/// The tables of TPC-H: orders and lines by order, parts and what is in stock by part.
const TPCH: [(&str, Option<&str>, &str); 8] = [
    (
        "region",
        None,
        "r_regionkey int NOT NULL PRIMARY KEY, r_name char(25), r_comment varchar(152)",
    ),
    (
        "nation",
        None,
        "n_nationkey int NOT NULL PRIMARY KEY, n_name char(25), n_regionkey int, n_comment varchar(152)",
    ),
    (
        "supplier",
        Some("s_suppkey"),
        "s_suppkey int NOT NULL PRIMARY KEY, s_name char(25), s_address varchar(40), s_nationkey int, s_phone char(15), s_acctbal decimal(15,2), s_comment varchar(101)",
    ),
    (
        "customer",
        Some("c_custkey"),
        "c_custkey int NOT NULL PRIMARY KEY, c_name varchar(25), c_address varchar(40), c_nationkey int, c_phone char(15), c_acctbal decimal(15,2), c_mktsegment char(10), c_comment varchar(117)",
    ),
    (
        "part",
        Some("p_partkey"),
        "p_partkey int NOT NULL PRIMARY KEY, p_name varchar(55), p_mfgr char(25), p_brand char(10), p_type varchar(25), p_size int, p_container char(10), p_retailprice decimal(15,2), p_comment varchar(23)",
    ),
    (
        "partsupp",
        Some("ps_partkey"),
        "ps_partkey int NOT NULL, ps_suppkey int NOT NULL, ps_availqty int, ps_supplycost decimal(15,2), ps_comment varchar(199), PRIMARY KEY (ps_partkey, ps_suppkey)",
    ),
    (
        "orders",
        Some("o_orderkey"),
        "o_orderkey int NOT NULL PRIMARY KEY, o_custkey int, o_orderstatus char(1), o_totalprice decimal(15,2), o_orderdate date, o_orderpriority char(15), o_clerk char(15), o_shippriority int, o_comment varchar(79)",
    ),
    (
        "lineitem",
        Some("l_orderkey"),
        "l_orderkey int NOT NULL, l_partkey int, l_suppkey int, l_linenumber int NOT NULL, l_quantity decimal(15,2), l_extendedprice decimal(15,2), l_discount decimal(15,2), l_tax decimal(15,2), l_returnflag char(1), l_linestatus char(1), l_shipdate date, l_commitdate date, l_receiptdate date, l_shipinstruct char(25), l_shipmode char(10), l_comment varchar(44), PRIMARY KEY (l_orderkey, l_linenumber)",
    ),
];

/// The 22 queries, with parameters that leave rows in so small a world.
const TPCH_QUERIES: [&str; 22] = [
    "select l_returnflag, l_linestatus, sum(l_quantity) as sum_qty, sum(l_extendedprice) as sum_base_price, sum(l_extendedprice * (1 - l_discount)) as sum_disc_price, sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)) as sum_charge, avg(l_quantity) as avg_qty, avg(l_extendedprice) as avg_price, avg(l_discount) as avg_disc, count(*) as count_order from lineitem where l_shipdate <= date '1998-12-01' - interval '90' day group by l_returnflag, l_linestatus order by l_returnflag, l_linestatus",
    "select s_acctbal, s_name, n_name, p_partkey, p_mfgr, s_address, s_phone, s_comment from part, supplier, partsupp, nation, region where p_partkey = ps_partkey and s_suppkey = ps_suppkey and p_size > 15 and p_type like '%BRASS' and s_nationkey = n_nationkey and n_regionkey = r_regionkey and r_name = 'EUROPE' and ps_supplycost = (select min(ps_supplycost) from partsupp, supplier, nation, region where p_partkey = ps_partkey and s_suppkey = ps_suppkey and s_nationkey = n_nationkey and n_regionkey = r_regionkey and r_name = 'EUROPE') order by s_acctbal desc, n_name, s_name, p_partkey limit 100",
    "select l_orderkey, sum(l_extendedprice * (1 - l_discount)) as revenue, o_orderdate, o_shippriority from customer, orders, lineitem where c_mktsegment = 'BUILDING' and c_custkey = o_custkey and l_orderkey = o_orderkey and o_orderdate < date '1995-03-15' and l_shipdate > date '1995-03-15' group by l_orderkey, o_orderdate, o_shippriority order by revenue desc, o_orderdate limit 10",
    "select o_orderpriority, count(*) as order_count from orders where o_orderdate >= date '1993-07-01' and o_orderdate < date '1993-07-01' + interval '3' month and exists (select * from lineitem where l_orderkey = o_orderkey and l_commitdate < l_receiptdate) group by o_orderpriority order by o_orderpriority",
    "select n_name, sum(l_extendedprice * (1 - l_discount)) as revenue from customer, orders, lineitem, supplier, nation, region where c_custkey = o_custkey and l_orderkey = o_orderkey and l_suppkey = s_suppkey and c_nationkey = s_nationkey and s_nationkey = n_nationkey and n_regionkey = r_regionkey and r_name = 'ASIA' and o_orderdate >= date '1993-01-01' and o_orderdate < date '1993-01-01' + interval '4' year group by n_name order by revenue desc",
    "select sum(l_extendedprice * l_discount) as revenue from lineitem where l_shipdate >= date '1994-01-01' and l_shipdate < date '1994-01-01' + interval '1' year and l_discount between 0.06 - 0.01 and 0.06 + 0.01 and l_quantity < 24",
    "select supp_nation, cust_nation, l_year, sum(volume) as revenue from (select n1.n_name as supp_nation, n2.n_name as cust_nation, extract(year from l_shipdate) as l_year, l_extendedprice * (1 - l_discount) as volume from supplier, lineitem, orders, customer, nation n1, nation n2 where s_suppkey = l_suppkey and o_orderkey = l_orderkey and c_custkey = o_custkey and s_nationkey = n1.n_nationkey and c_nationkey = n2.n_nationkey and ((n1.n_name = 'FRANCE' and n2.n_name = 'GERMANY') or (n1.n_name = 'GERMANY' and n2.n_name = 'FRANCE')) and l_shipdate between date '1995-01-01' and date '1996-12-31') as shipping group by supp_nation, cust_nation, l_year order by supp_nation, cust_nation, l_year",
    "select o_year, sum(case when nation = 'BRAZIL' then volume else 0 end) / sum(volume) as mkt_share from (select extract(year from o_orderdate) as o_year, l_extendedprice * (1 - l_discount) as volume, n2.n_name as nation from part, supplier, lineitem, orders, customer, nation n1, nation n2, region where p_partkey = l_partkey and s_suppkey = l_suppkey and l_orderkey = o_orderkey and o_custkey = c_custkey and c_nationkey = n1.n_nationkey and n1.n_regionkey = r_regionkey and r_name = 'AMERICA' and s_nationkey = n2.n_nationkey and o_orderdate between date '1995-01-01' and date '1996-12-31' and p_type like 'ECONOMY%') as all_nations group by o_year order by o_year",
    "select nation, o_year, sum(amount) as sum_profit from (select n_name as nation, extract(year from o_orderdate) as o_year, l_extendedprice * (1 - l_discount) - ps_supplycost * l_quantity as amount from part, supplier, lineitem, partsupp, orders, nation where s_suppkey = l_suppkey and ps_suppkey = l_suppkey and ps_partkey = l_partkey and p_partkey = l_partkey and o_orderkey = l_orderkey and s_nationkey = n_nationkey and p_name like '%green%') as profit group by nation, o_year order by nation, o_year desc",
    "select c_custkey, c_name, sum(l_extendedprice * (1 - l_discount)) as revenue, c_acctbal, n_name, c_address, c_phone, c_comment from customer, orders, lineitem, nation where c_custkey = o_custkey and l_orderkey = o_orderkey and o_orderdate >= date '1993-10-01' and o_orderdate < date '1993-10-01' + interval '3' month and l_returnflag = 'R' and c_nationkey = n_nationkey group by c_custkey, c_name, c_acctbal, c_phone, n_name, c_address, c_comment order by revenue desc limit 20",
    "select ps_partkey, sum(ps_supplycost * ps_availqty) as value from partsupp, supplier, nation where ps_suppkey = s_suppkey and s_nationkey = n_nationkey and n_name = 'GERMANY' group by ps_partkey having sum(ps_supplycost * ps_availqty) > (select sum(ps_supplycost * ps_availqty) * 0.01 from partsupp, supplier, nation where ps_suppkey = s_suppkey and s_nationkey = n_nationkey and n_name = 'GERMANY') order by value desc",
    "select l_shipmode, sum(case when o_orderpriority = '1-URGENT' or o_orderpriority = '2-HIGH' then 1 else 0 end) as high_line_count, sum(case when o_orderpriority <> '1-URGENT' and o_orderpriority <> '2-HIGH' then 1 else 0 end) as low_line_count from orders, lineitem where o_orderkey = l_orderkey and l_shipmode in ('MAIL', 'SHIP') and l_commitdate < l_receiptdate and l_shipdate < l_commitdate and l_receiptdate >= date '1994-01-01' and l_receiptdate < date '1994-01-01' + interval '1' year group by l_shipmode order by l_shipmode",
    "select c_count, count(*) as custdist from (select c_custkey, count(o_orderkey) as c_count from customer left outer join orders on c_custkey = o_custkey and o_comment not like '%special%requests%' group by c_custkey) as c_orders group by c_count order by custdist desc, c_count desc",
    "select 100.00 * sum(case when p_type like 'PROMO%' then l_extendedprice * (1 - l_discount) else 0 end) / sum(l_extendedprice * (1 - l_discount)) as promo_revenue from lineitem, part where l_partkey = p_partkey and l_shipdate >= date '1995-09-01' and l_shipdate < date '1995-09-01' + interval '1' month",
    "with revenue as (select l_suppkey as supplier_no, sum(l_extendedprice * (1 - l_discount)) as total_revenue from lineitem where l_shipdate >= date '1996-01-01' and l_shipdate < date '1996-01-01' + interval '3' month group by l_suppkey) select s_suppkey, s_name, s_address, s_phone, total_revenue from supplier, revenue where s_suppkey = supplier_no and total_revenue = (select max(total_revenue) from revenue) order by s_suppkey",
    "select p_brand, p_type, p_size, count(distinct ps_suppkey) as supplier_cnt from partsupp, part where p_partkey = ps_partkey and p_brand <> 'Brand#45' and p_type not like 'MEDIUM POLISHED%' and p_size in (49, 14, 23, 45, 19, 3, 36, 9) and ps_suppkey not in (select s_suppkey from supplier where s_comment like '%Customer%Complaints%') group by p_brand, p_type, p_size order by supplier_cnt desc, p_brand, p_type, p_size",
    "select sum(l_extendedprice) / 7.0 as avg_yearly from lineitem, part where p_partkey = l_partkey and p_brand = 'Brand#23' and l_quantity < (select 0.9 * avg(l_quantity) from lineitem where l_partkey = p_partkey)",
    "select c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice, sum(l_quantity) from customer, orders, lineitem where o_orderkey in (select l_orderkey from lineitem group by l_orderkey having sum(l_quantity) > 150) and c_custkey = o_custkey and o_orderkey = l_orderkey group by c_name, c_custkey, o_orderkey, o_orderdate, o_totalprice order by o_totalprice desc, o_orderdate limit 100",
    "select sum(l_extendedprice * (1 - l_discount)) as revenue from lineitem, part where (p_partkey = l_partkey and p_brand = 'Brand#12' and p_container in ('SM CASE', 'SM BOX') and l_quantity >= 1 and l_quantity <= 40 and p_size between 1 and 50 and l_shipmode in ('AIR', 'MAIL')) or (p_partkey = l_partkey and p_brand = 'Brand#23' and p_container in ('MED BAG', 'SM BOX') and l_quantity >= 10 and p_size between 1 and 40 and l_shipinstruct = 'DELIVER IN PERSON')",
    "select s_name, s_address from supplier, nation where s_suppkey in (select ps_suppkey from partsupp where ps_partkey in (select p_partkey from part where p_name like 'green%') and ps_availqty > (select 0.5 * sum(l_quantity) from lineitem where l_partkey = ps_partkey and l_suppkey = ps_suppkey and l_shipdate >= date '1994-01-01' and l_shipdate < date '1994-01-01' + interval '3' year)) and s_nationkey = n_nationkey order by s_name",
    "select s_name, count(*) as numwait from supplier, lineitem l1, orders, nation where s_suppkey = l1.l_suppkey and o_orderkey = l1.l_orderkey and o_orderstatus = 'F' and l1.l_receiptdate > l1.l_commitdate and exists (select * from lineitem l2 where l2.l_orderkey = l1.l_orderkey and l2.l_suppkey <> l1.l_suppkey) and not exists (select * from lineitem l3 where l3.l_orderkey = l1.l_orderkey and l3.l_suppkey <> l1.l_suppkey and l3.l_receiptdate > l3.l_commitdate) and s_nationkey = n_nationkey and n_name <> 'CHINA' group by s_name order by numwait desc, s_name limit 100",
    "select cntrycode, count(*) as numcust, sum(c_acctbal) as totacctbal from (select substring(c_phone from 1 for 2) as cntrycode, c_acctbal from customer where substring(c_phone from 1 for 2) in ('13', '31', '23', '29', '30', '18', '17') and c_acctbal > (select avg(c_acctbal) from customer where c_acctbal > 0.00) and not exists (select * from orders where o_custkey = c_custkey and o_orderkey > 400)) as custsale group by cntrycode order by cntrycode",
];

/// Rows of a table of TPC-H with their shard keys: 200 customers, 600 orders.
fn tpch_rows(table: &str, rng: &mut ChaCha8Rng) -> Vec<(i64, String)> {
    const NATIONS: [&str; 8] = [
        "FRANCE", "GERMANY", "BRAZIL", "CHINA", "INDIA", "CANADA", "JAPAN", "KENYA",
    ];
    const REGIONS: [&str; 4] = ["EUROPE", "AMERICA", "ASIA", "AFRICA"];
    const REGION_OF: [i64; 8] = [0, 0, 1, 2, 2, 1, 2, 3];
    let money = |rng: &mut ChaCha8Rng, low: i64, high: i64| {
        format!(
            "{}.{:02}",
            rng.random_range(low..high),
            rng.random_range(0..100)
        )
    };
    let date = |rng: &mut ChaCha8Rng| {
        format!(
            "DATE '1992-01-01' + INTERVAL {} DAY",
            rng.random_range(0..2500)
        )
    };
    let phone = |rng: &mut ChaCha8Rng| {
        format!(
            "'{}-555-{:04}'",
            pick(rng, &["13", "31", "23", "17", "10"]),
            rng.random_range(0..9999)
        )
    };
    let comment = |rng: &mut ChaCha8Rng| {
        pick(
            rng,
            &[
                "'quick'",
                "'special handling requests'",
                "'Customer late Complaints'",
                "'é'",
            ],
        )
    };
    let mut rows = Vec::new();
    match table {
        "region" => {
            for (key, name) in (0..).zip(REGIONS) {
                rows.push((key, format!("({key}, '{name}', 'x')")));
            }
        }
        "nation" => {
            for (key, name) in (0..).zip(NATIONS) {
                rows.push((
                    key,
                    format!("({key}, '{name}', {}, 'x')", REGION_OF[key as usize]),
                ));
            }
        }
        "supplier" => {
            for key in 1..=20 {
                let row = format!(
                    "({key}, 'Supplier{key}', 'street {key}', {}, {}, {}, {})",
                    rng.random_range(0..8),
                    phone(rng),
                    money(rng, -999, 9999),
                    comment(rng)
                );
                rows.push((key, row));
            }
        }
        "customer" => {
            for key in 1..=200 {
                let row = format!(
                    "({key}, 'Customer{key}', 'street {key}', {}, {}, {}, '{}', {})",
                    rng.random_range(0..8),
                    phone(rng),
                    money(rng, -999, 9999),
                    pick(rng, &["BUILDING", "MACHINERY"]),
                    comment(rng)
                );
                rows.push((key, row));
            }
        }
        "part" => {
            for key in 1..=80 {
                let row = format!(
                    "({key}, '{} {}', 'Manufacturer{}', 'Brand#{}', '{} {}', {}, '{}', {}, 'x')",
                    pick(rng, &["green", "red", "almond"]),
                    pick(rng, &["green", "blue"]),
                    rng.random_range(1..4),
                    pick(rng, &["12", "23", "45"]),
                    pick(
                        rng,
                        &["ECONOMY ANODIZED", "PROMO PLATED", "MEDIUM POLISHED"]
                    ),
                    pick(rng, &["BRASS", "STEEL"]),
                    pick(rng, &["49", "14", "23", "3", "19"]),
                    pick(rng, &["SM CASE", "SM BOX", "MED BAG"]),
                    money(rng, 900, 1900)
                );
                rows.push((key, row));
            }
        }
        "partsupp" => {
            for part in 1..=80 {
                for number in 0..4 {
                    let row = format!(
                        "({part}, {}, {}, {}, 'x')",
                        (part + number * 5) % 20 + 1,
                        rng.random_range(1..9999),
                        money(rng, 1, 1000)
                    );
                    rows.push((part, row));
                }
            }
        }
        "orders" => {
            for key in 1..=600 {
                let row = format!(
                    "({key}, {}, '{}', {}, {}, '{}', 'Clerk', 0, {})",
                    rng.random_range(1..150),
                    pick(rng, &["F", "O", "P"]),
                    money(rng, 1000, 90000),
                    date(rng),
                    pick(rng, &["1-URGENT", "2-HIGH", "5-LOW"]),
                    comment(rng)
                );
                rows.push((key, row));
            }
        }
        _ => {
            for order in 1..=600 {
                for line in 1..=rng.random_range(1..=7) {
                    let part = rng.random_range(1..=80);
                    let row = format!(
                        "({order}, {part}, {}, {line}, {}, {}, 0.0{}, 0.0{}, '{}', '{}', {}, {}, {}, '{}', '{}', 'x')",
                        (part + rng.random_range(0..4) * 5) % 20 + 1,
                        rng.random_range(1..50),
                        money(rng, 900, 9000),
                        rng.random_range(0..10),
                        rng.random_range(0..9),
                        pick(rng, &["R", "A", "N"]),
                        pick(rng, &["O", "F"]),
                        date(rng),
                        date(rng),
                        date(rng),
                        pick(rng, &["DELIVER IN PERSON", "NONE"]),
                        pick(rng, &["AIR", "MAIL", "SHIP", "RAIL"])
                    );
                    rows.push((order, row));
                }
            }
        }
    }
    rows
}

on_each_engine! {
    /// All 22 queries of TPC-H over sixteen shards.
    async fn tpch_is_answered_as_by_one_server(engine) {
        let tables: String = TPCH
            .iter()
            .map(|(name, key, columns)| {
                let how = match key {
                    Some(key) => format!("shard_key: {key}\n    function: mod"),
                    None => "broadcast: true".to_owned(),
                };
                format!("  {name}:\n    {how}\n    ddl: CREATE TABLE {name} ({columns})\n")
            })
            .collect();
        let world = empty_world(engine, 16, &tables).await;
        let mut rng = ChaCha8Rng::seed_from_u64(22);
        for (name, _, _) in TPCH {
            world.insert(name, "", tpch_rows(name, &mut rng)).await;
        }
        let wrong = world.all_same(&TPCH_QUERIES, false).await;
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        let mut empty = Vec::new();
        for (number, sql) in (1..).zip(TPCH_QUERIES) {
            let rows = world.expected(sql).await.unwrap().rows;
            if rows.iter().flatten().all(Option::is_none) {
                empty.push(number);
            }
        }
        assert!(empty.is_empty(), "the queries {empty:?} have no rows to compare");
    }
}
