//! `plan --from` and `plan --sample` on real servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::process::Output;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use serde_json::Value;
use shardctl::routing::Router;
use shardctl::topology::file;
use support::{Sandbox, on_each_engine};

/// Runs `plan` without a topology file.
fn plan(sandbox: &Sandbox, args: &[&str]) -> Output {
    let mut all = vec!["--topology", "/nonexistent/topology.yaml", "plan"];
    all.extend(args);
    support::shardctl(sandbox, &all)
}

fn json(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The exit code and what was said on stderr.
fn refused(output: &Output) -> (i32, String) {
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

async fn run(conn: &mut Conn, statements: &[&str]) {
    for sql in statements {
        conn.query_drop(*sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

/// A fresh schema that the connection uses.
async fn schema(conn: &mut Conn, prefix: &str) -> String {
    let schema = support::fresh_schema(prefix);
    run(
        conn,
        &[
            &format!("CREATE DATABASE {schema}"),
            &format!("USE {schema}"),
        ],
    )
    .await;
    schema
}

/// The numbers from 1 to 2^20 at most.
const NUMBERS: &str = "(SELECT 1 + a.n + 1024 * b.n AS n FROM \
    (SELECT x1.d + 2*x2.d + 4*x3.d + 8*x4.d + 16*x5.d + 32*x6.d + 64*x7.d + 128*x8.d + 256*x9.d + 512*x10.d AS n FROM \
    bit x1, bit x2, bit x3, bit x4, bit x5, bit x6, bit x7, bit x8, bit x9, bit x10) a, \
    (SELECT x1.d + 2*x2.d + 4*x3.d + 8*x4.d + 16*x5.d + 32*x6.d + 64*x7.d + 128*x8.d AS n FROM \
    bit x1, bit x2, bit x3, bit x4, bit x5, bit x6, bit x7, bit x8) b) numbers";

async fn numbers(conn: &mut Conn) -> String {
    // Its own schema, so that it is not measured.
    let helper = support::fresh_schema("bits");
    run(
        conn,
        &[
            &format!("CREATE DATABASE {helper}"),
            &format!("CREATE TABLE {helper}.bit (d int NOT NULL PRIMARY KEY)"),
            &format!("INSERT INTO {helper}.bit VALUES (0), (1)"),
        ],
    )
    .await;
    NUMBERS.replace("bit x", &format!("{helper}.bit x"))
}

fn table<'a>(measured: &'a Value, name: &str) -> &'a Value {
    measured["measured"]["tables"]
        .as_array()
        .unwrap()
        .iter()
        .find(|table| table["name"] == name)
        .unwrap_or_else(|| panic!("{name} in {measured}"))
}

on_each_engine! {
    async fn a_database_with_known_growth_needs_no_estimates(engine) {
        let sandbox = support::shared(engine, 1).await;
        let mut conn = support::conn(&sandbox, "rds-1").await;
        let numbers = numbers(&mut conn).await;
        let schema = schema(&mut conn, "growth").await;
        // 2,000 rows in 2023, 4,000 in 2024, 6,000 in 2025, and some of 2026 that do not count yet.
        run(&mut conn, &[
            "CREATE TABLE orders (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, buyer bigint NOT NULL, \
             note varchar(200) NOT NULL, updated_at datetime, created_at datetime(3) NOT NULL, KEY (created_at)) ENGINE=InnoDB",
            &format!("INSERT INTO orders (buyer, note, created_at) SELECT n, REPEAT('x', 100), \
             CASE WHEN n <= 2000 THEN '2023-01-02' + INTERVAL (n * 250) MINUTE \
             WHEN n <= 6000 THEN '2024-01-02' + INTERVAL ((n - 2000) * 125) MINUTE \
             WHEN n <= 12000 THEN '2025-01-02' + INTERVAL ((n - 6000) * 85) MINUTE \
             ELSE '2026-02-01' END FROM {numbers} WHERE n <= 12100"),
            "CREATE TABLE small (id int NOT NULL PRIMARY KEY, at_day date)",
            "SET SESSION sql_mode = ''",
            "INSERT INTO small VALUES (1, '0000-00-00'), (2, NULL)",
            "ANALYZE TABLE orders",
        ]).await;
        let place = format!("rds-1/{schema}");
        for exact in [true, false] {
            let mut args = vec!["-o", "json", "--from", &place, "--start", "2026-01-01"];
            if exact {
                args.push("--exact");
            }
            let shown = json(&plan(&sandbox, &args));
            let orders = table(&shown, "orders");
            let growth = &orders["growth"];
            assert_eq!(growth["rows_per_year"], 6_000, "{engine}: {growth}");
            assert_eq!(growth["basis_points"], 5_000, "{engine}: {growth}");
            assert_eq!(growth["sure"], "good");
            assert_eq!(growth["from"], "rows counted by `created_at`, since 2023-01-02");
            let rows = orders["rows"].as_u64().unwrap();
            match exact {
                true => assert_eq!(rows, 12_100),
                false => assert!((6_000..24_000).contains(&rows), "{rows}"),
            }
            // 100 bytes of text, 24 of numbers and dates, and the rest of a row and its index.
            let bytes = orders["row_bytes"].as_u64().unwrap();
            assert!((130..400).contains(&bytes), "{engine}: {bytes}");
            assert_eq!(orders["row_bytes_by_definition"], false);
            // And the plan is made of it.
            assert!(shown["plan"]["candidates"].as_array().is_some_and(|all| !all.is_empty()));
            let text = plan(&sandbox, &["--from", &place, "--start", "2026-01-01"]);
            assert!(String::from_utf8_lossy(&text.stdout).contains("recommended: "));
        }
        // A column that is named, and one that no table has.
        let args = ["-o", "json", "--from", &place, "--created", "UPDATED_AT", "--rows-per-year", "1M"];
        let shown = json(&plan(&sandbox, &args));
        assert!(table(&shown, "orders")["growth"]["from"].as_str().unwrap().starts_with("no row has a date in `updated_at`"));
        let (code, said) = refused(&plan(&sandbox, &["--from", &place, "--created", "buyer"]));
        assert_eq!(code, 2);
        assert!(said.contains("no table has a column `buyer` that holds dates"), "{said}");
    }

    async fn a_large_table_without_an_index_on_its_dates_is_measured_by_its_ids(engine) {
        let sandbox = support::shared(engine, 1).await;
        let mut conn = support::conn(&sandbox, "rds-1").await;
        let numbers = numbers(&mut conn).await;
        let schema = schema(&mut conn, "ids").await;
        // 60,000 rows a year for three years and more; every third id is missing.
        run(&mut conn, &[
            "CREATE TABLE events (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, gmt_create datetime NULL) ENGINE=InnoDB",
            &format!("INSERT INTO events SELECT n + n DIV 2, IF(n % 1000 = 0, NULL, '2022-06-01' + INTERVAL (n * 876) * 10 SECOND) \
             FROM {numbers} WHERE n <= 200000"),
            "ANALYZE TABLE events",
        ]).await;
        let place = format!("rds-1/{schema}");
        let shown = json(&plan(&sandbox, &["-o", "json", "--from", &place, "--start", "2024-01-01"]));
        let growth = &table(&shown, "events")["growth"];
        let rate = growth["rows_per_year"].as_f64().unwrap();
        let truth: u64 = conn.query_first("SELECT COUNT(*) FROM events WHERE gmt_create >= '2023-01-02' AND gmt_create < '2024-01-02'").await.unwrap().unwrap();
        assert!((rate / truth as f64 - 1.0).abs() < 0.25, "{engine}: {rate} of {truth}");
        assert_eq!(growth["sure"], "fair", "{growth}");
        assert_eq!(growth["from"], "ids looked up by `gmt_create`, since 2022-06-01");
        let shown = json(&plan(&sandbox, &["-o", "json", "--from", &place, "--start", "2024-01-01", "--exact"]));
        let growth = &table(&shown, "events")["growth"];
        assert_eq!(growth["rows_per_year"], truth);
    }

    async fn growth_that_is_unknown_is_said_and_history_knows_it(engine) {
        let sandbox = support::shared(engine, 1).await;
        let mut conn = support::conn(&sandbox, "rds-1").await;
        let schema = schema(&mut conn, "unknown").await;
        run(&mut conn, &[
            "CREATE TABLE counted (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, v int)",
            "INSERT INTO counted (v) VALUES (1), (2), (3)",
        ]).await;
        let place = format!("rds-1/{schema}");
        let output = plan(&sandbox, &["--from", &place, "--exact"]);
        let (code, said) = refused(&output);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("no plan can be made: how `counted` grows is unknown"), "{said}");
        assert!(said.contains("AUTO_INCREMENT has given 3 ids, but the table was made or rebuilt on 20"), "{said}");
        // What was measured is shown all the same.
        assert!(String::from_utf8_lossy(&output.stdout).contains("| counted |      1 |    3 |"), "{output:?}");
        let shown = json(&plan(&sandbox, &["-o", "json", "--from", &place, "--exact", "--rows-per-year", "40M"]));
        assert_eq!(table(&shown, "counted")["rows"], 3);
        assert_eq!(table(&shown, "counted")["row_bytes_by_definition"], true);

        // Ids give a rate where the table is old enough. MySQL takes the session's clock for when a
        // table was made; MariaDB takes the file system's, which no test can set.
        run(&mut conn, &[
            "SET timestamp = UNIX_TIMESTAMP() - 200 * 86400",
            "CREATE TABLE aged (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, v int) AUTO_INCREMENT = 20000",
            "SET timestamp = DEFAULT",
            "INSERT INTO aged (v) VALUES (1)",
        ]).await;
        let shown = json(&plan(&sandbox, &["-o", "json", "--from", &place, "--exact", "--rows-per-year", "40M"]));
        let growth = &table(&shown, "aged")["growth"];
        match engine {
            support::Engine::Mysql => {
                let rate = growth["rows_per_year"].as_i64().unwrap();
                assert!((rate - 36_525).abs() < 400, "{growth}");
                assert_eq!(growth["sure"], "poor");
            }
            support::Engine::Mariadb => assert_eq!(growth["sure"], "unknown"),
        }
        run(&mut conn, &["DROP TABLE aged"]).await;

        let dir = tempfile::tempdir().unwrap();
        let history = dir.path().join("history.ndjson");
        let line = format!("{{\"format\":1,\"cluster\":\"c\",\"taken_at\":\"2026-01-01T00:00:00Z\",\"exact\":true,\"tables\":{{\"{schema}\":{{\"counted\":{{\"rows\":1,\"bytes\":1}}}}}}}}\n");
        std::fs::write(&history, &line).unwrap();
        let history_arg = history.to_str().unwrap();
        let shown = json(&plan(&sandbox, &["-o", "json", "--from", &place, "--exact", "--history", history_arg]));
        let growth = &table(&shown, "counted")["growth"];
        assert!(growth["rows_per_year"].as_u64().is_some_and(|rows| (1..=100).contains(&rows)), "{growth}");
        assert_eq!(growth["from"], "stored history: 1 rows on 2026-01-01");
        std::fs::write(&history, format!("{line}junk\n")).unwrap();
        let (code, said) = refused(&plan(&sandbox, &["--from", &place, "--history", history_arg]));
        assert_eq!(code, 2);
        assert!(said.contains("history.ndjson, line 2"), "{said}");
    }

    async fn an_empty_schema_and_an_empty_table_give_no_plan(engine) {
        let sandbox = support::shared(engine, 1).await;
        let mut conn = support::conn(&sandbox, "rds-1").await;
        let schema = schema(&mut conn, "empty").await;
        let place = format!("rds-1/{schema}");
        let (code, said) = refused(&plan(&sandbox, &["--from", &place]));
        assert_eq!(code, 2);
        assert!(said.contains("there are no tables to plan for"), "{said}");
        run(&mut conn, &["CREATE TABLE e (k varchar(9) NOT NULL PRIMARY KEY, created_at datetime)"]).await;
        let (code, said) = refused(&plan(&sandbox, &["--from", &place]));
        assert_eq!(code, 2);
        assert!(said.contains("how `e` grows is unknown\n  cause:  no row has a date in `created_at`"), "{said}");
        // No keys are evenly spread, and nothing is divided by them.
        let shown = json(&plan(&sandbox, &["-o", "json", "--sample", &format!("{place}.e.k")]));
        assert_eq!(shown["skew"]["keys"], 0);
        assert_eq!(shown["skew"]["candidates"][0]["max_over_mean"], 1.0);
    }

    async fn missing_rights_and_servers_are_said(engine) {
        let sandbox = support::shared(engine, 1).await;
        let mut conn = support::conn(&sandbox, "rds-1").await;
        let schema = schema(&mut conn, "rights").await;
        let user = format!("u_{}", schema.len() * 7 + std::process::id() as usize);
        run(&mut conn, &[
            "CREATE TABLE secret (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, created_at datetime, KEY (created_at))",
            "INSERT INTO secret (created_at) VALUES (NOW())",
            &format!("CREATE USER {user}@'%' IDENTIFIED BY 'only-for-this-test'"),
        ]).await;
        let dir = tempfile::tempdir().unwrap();
        let options = dir.path().join("my.cnf");
        std::fs::write(&options, format!("[client]\nuser={user}\npassword=only-for-this-test\n")).unwrap();
        let options = options.to_str().unwrap().to_owned();
        let place = format!("rds-1/{schema}");
        let as_user = |args: &[&str]| {
            let mut all = vec!["--defaults-file", options.as_str()];
            all.extend(args);
            refused(&plan(&sandbox, &all))
        };
        let (code, said) = as_user(&["--from", &place]);
        assert_eq!(code, 3, "{said}");
        assert!(said.contains(&format!("could not read schema `{schema}`")) && said.contains("(error 1044)"), "{said}");
        // The statement that mends it, as it can be run.
        let grant = format!("GRANT SELECT ON `{schema}`.* TO '{user}'@'%'");
        assert!(said.contains(&grant), "{said}");
        run(&mut conn, &[&format!("GRANT INSERT ON {schema}.secret TO {user}@'%'")]).await;
        let (code, said) = as_user(&["--from", &place]);
        assert_eq!(code, 3, "{said}");
        assert!(said.contains(&format!("could not read `{schema}`.`secret`")) && said.contains("(error 1142)") && said.contains(&grant), "{said}");
        let (code, said) = as_user(&["--sample", &format!("{place}.secret.id")]);
        assert_eq!(code, 3, "{said}");
        assert!(said.contains(&grant), "{said}");
        assert!(!said.contains("only-for-this-test"));
        run(&mut conn, &[&grant]).await;
        let (code, said) = as_user(&["--from", &place, "--rows-per-year", "1M"]);
        assert_eq!(code, 0, "{said}");
        // Something is there, and not that.
        let (code, said) = refused(&plan(&sandbox, &["--from", "rds-1/not_there_at_all"]));
        assert_eq!(code, 3);
        assert!(said.contains("(error 1049)"), "{said}");
        let (code, said) = refused(&plan(&sandbox, &["--sample", &format!("{place}.nothing.id")]));
        assert_eq!(code, 2);
        assert!(said.contains("there is no table"), "{said}");
        let (code, said) = refused(&plan(&sandbox, &["--sample", &format!("{place}.secret.nothing")]));
        assert_eq!(code, 2);
        assert!(said.contains("has no column `nothing`\n  next:   it has id, created_at"), "{said}");
        let (code, said) = refused(&plan(&sandbox, &["--sample", &format!("{place}.secret.created_at")]));
        assert_eq!(code, 2);
        assert!(said.contains("cannot be a shard key"), "{said}");
        let output = std::process::Command::new(support::SHARDCTL)
            .args(["--topology", "/nonexistent", "plan", "--from", "127.0.0.1:1/shop"])
            .env_remove("SHARDCTL_SANDBOX")
            .output()
            .unwrap();
        let (code, said) = refused(&output);
        assert_eq!(code, 3, "{said}");
        assert!(said.contains("could not connect\n  where:  instance 127.0.0.1 (127.0.0.1:1)"), "{said}");
        run(&mut conn, &[&format!("DROP USER {user}@'%'")]).await;
    }

    async fn physical_tables_of_a_sharded_database_are_measured_as_one(engine) {
        let sandbox = support::shared(engine, 1).await;
        let mut conn = support::conn(&sandbox, "rds-1").await;
        let mut args = vec!["-o".to_owned(), "json".to_owned(), "--exact".to_owned(), "--start".to_owned(), "2026-01-01".to_owned()];
        for shard in 0..2 {
            let schema = schema(&mut conn, "sharded").await;
            for number in 0..2 {
                let name = format!("orders_{:02}", shard * 2 + number);
                run(&mut conn, &[
                    &format!("CREATE TABLE {name} (id int NOT NULL PRIMARY KEY, created_at datetime NOT NULL)"),
                    &format!("INSERT INTO {name} VALUES (1, '2025-03-01'), (2, '2025-12-31 23:59:59'), (3, '202{}-06-01')", 2 + number),
                ]).await;
            }
            run(&mut conn, &["CREATE TABLE region (id int NOT NULL PRIMARY KEY)"]).await;
            args.extend(["--from".to_owned(), format!("rds-1/{schema}")]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let shown = json(&plan(&sandbox, &args));
        let orders = table(&shown, "orders");
        assert_eq!(orders["physical_tables"], 4);
        assert_eq!(orders["rows"], 12);
        assert_eq!(orders["growth"]["rows_per_year"], 8);
        assert_eq!(orders["growth"]["from"], "rows counted by `created_at`, since 2022-06-01");
        assert_eq!(table(&shown, "region")["growth"]["sure"], "unknown");
    }

    /// The counts of each shard are those that the server itself gives.
    async fn keys_of_a_live_table_are_counted_as_the_server_counts_them(engine) {
        let sandbox = support::shared(engine, 1).await;
        let mut conn = support::conn(&sandbox, "rds-1").await;
        let numbers = numbers(&mut conn).await;
        let schema = schema(&mut conn, "keys").await;
        let columns = [
            ("BIGINT", "(n * 7919 - 40000000) * (1 + n % 5)"),
            ("BIGINT UNSIGNED", "18446744073709551615 - n * 12"),
            ("DECIMAL(30,0)", "n * CAST('12345678901234567890' AS DECIMAL(30,0))"),
            ("INT(8) UNSIGNED ZEROFILL", "n"),
            ("VARCHAR(40) CHARACTER SET utf8mb4", "CONCAT('käufer-', n DIV 3, ' ')"),
            ("CHAR(20) CHARACTER SET latin1", "CONCAT('é', n)"),
            ("VARBINARY(20)", "UNHEX(LEFT(SHA2(n, 256), 32))"),
            ("BINARY(18)", "UNHEX(LEFT(SHA2(n, 256), 32))"),
        ];
        let mut compared = 0;
        for (index, (column, value)) in columns.iter().enumerate() {
            let name = format!("t{index}");
            run(&mut conn, &[
                &format!("CREATE TABLE {name} (id int NOT NULL PRIMARY KEY, k {column} NULL)"),
                &format!("INSERT INTO {name} SELECT n, {value} FROM {numbers} WHERE n <= 20000"),
                &format!("INSERT INTO {name} VALUES (-1, NULL), (-2, NULL)"),
            ]).await;
            let source = format!("rds-1/{schema}.{name}.k");
            let shown = json(&plan(&sandbox, &["-o", "json", "--sample", &source, "--shards", "16,3x5,64"]));
            let skew = &shown["skew"];
            assert_eq!((skew["keys"].as_u64(), skew["nulls"].as_u64()), (Some(20_002), Some(2)));
            for candidate in skew["candidates"].as_array().unwrap() {
                let function = candidate["function"].as_str().unwrap();
                let (schemas, tables) = (candidate["schemas"].as_u64().unwrap(), candidate["tables_per_schema"].as_u64().unwrap());
                let counted: Vec<u64> = candidate["shards"].as_array().unwrap().iter().map(|shard| shard["keys"].as_u64().unwrap()).collect();
                let unplaced = candidate["unplaced"].as_u64().unwrap();
                assert_eq!(counted.iter().sum::<u64>() + unplaced, 20_002, "{engine} {column} {function}");
                let bounds: Vec<&str> = candidate["bounds"].as_array().unwrap().iter().map(|bound| bound.as_str().unwrap()).collect();
                let bounds = match function {
                    "range" => format!("\n    bounds: [{}]", bounds.join(", ")),
                    _ => String::new(),
                };
                let nullable = if function == "drds_hash" { "" } else { " NOT NULL" };
                let topology = file::parse(&format!("\
version: 1
cluster: c
instances: {{a: {{host: x}}}}
schemas: {{name: 's_{{}}', count: {schemas}, on: {{a: 0-{}}}}}
tables:
  t:
    shard_key: k
    tables_per_schema: {tables}
    assume: [global_keys, one_spelling]
    function: {function}{bounds}
    ddl: CREATE TABLE t (id int NOT NULL PRIMARY KEY, k {column}{nullable})
", schemas - 1)).unwrap_or_else(|problems| panic!("{column} {function}: {problems:?}"));
                let router = Router::new(&topology, &topology.tables[0]).unwrap();
                let Some(sql) = router.table_sql() else { continue };
                conn.query_drop("SET NAMES utf8mb4").await.unwrap();
                let rows: Vec<(Option<u64>, u64)> = conn
                    .query(format!("SELECT CAST({sql} AS UNSIGNED) AS place, COUNT(*) FROM {name} GROUP BY place"))
                    .await
                    .unwrap_or_else(|error| panic!("{column}: {sql}: {error}"));
                let mut expected = vec![0u64; schemas as usize];
                let mut none = 0;
                for (place, rows) in rows {
                    match place {
                        Some(place) => expected[(place / tables) as usize] += rows,
                        None => none += rows,
                    }
                }
                assert_eq!((counted, unplaced), (expected, none), "{engine} {column} {function} over {schemas}x{tables}");
                compared += 1;
            }
        }
        // Four functions of integers over three layouts, range over two; crc32 of all else. DECIMAL and
        // BIGINT UNSIGNED are not for drds_uni_hash.
        assert_eq!(compared, 2 * (3 * 4 + 2) + 2 * (3 * 3 + 2) + 4 * 3);
    }

    async fn a_file_of_the_same_keys_counts_alike_and_a_sample_knows_how_far_off_it_is(engine) {
        let sandbox = support::shared(engine, 1).await;
        let mut conn = support::conn(&sandbox, "rds-1").await;
        let numbers = numbers(&mut conn).await;
        let schema = schema(&mut conn, "sampled").await;
        // One buyer in five orders is 1001; keys otherwise in steps of four.
        run(&mut conn, &[
            "CREATE TABLE orders (id int NOT NULL PRIMARY KEY, buyer bigint NOT NULL, note varchar(2000) NOT NULL)",
            &format!("INSERT INTO orders SELECT n, IF(n % 5 = 0, 1001, n * 4), IF(n % 5 = 0, REPEAT('x', 1000), '') FROM {numbers} WHERE n <= 50000"),
            "ANALYZE TABLE orders",
        ]).await;
        let source = format!("rds-1/{schema}.orders.buyer");
        let whole = json(&plan(&sandbox, &["-o", "json", "--sample", &source]));
        let keys: Vec<String> = conn.query("SELECT CAST(buyer AS CHAR) FROM orders ORDER BY id").await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.csv");
        std::fs::write(&path, format!("n,buyer\n{}", keys.iter().map(|key| format!("x,{key}\n")).collect::<String>())).unwrap();
        let path = path.to_str().unwrap();
        let by_file = json(&plan(&sandbox, &["-o", "json", "--sample", path, "--sample-column", "buyer"]));
        let keys_of = |shown: &Value| -> Vec<Vec<u64>> {
            shown["skew"]["candidates"].as_array().unwrap().iter()
                .map(|one| one["shards"].as_array().unwrap().iter().map(|shard| shard["keys"].as_u64().unwrap()).collect())
                .collect()
        };
        assert_eq!(keys_of(&whole), keys_of(&by_file));
        let hot = &whole["skew"]["biggest"][0];
        assert_eq!(hot["key"], "1001");
        let (least, most) = (hot["keys_least"].as_u64().unwrap(), hot["keys_most"].as_u64().unwrap());
        assert!(least <= 10_000 && 10_000 <= most, "{hot}");
        let warnings = whole["skew"]["warnings"].to_string();
        assert!(warnings.contains("key `1001` alone has") && warnings.contains("12 of 16 tables stay empty") || warnings.contains("times the mean"), "{warnings}");

        let mod16 = |shown: &Value| shown["skew"]["candidates"].as_array().unwrap().iter().find(|one| one["function"] == "mod" && one["schemas"] == 16).unwrap().clone();
        let truth = mod16(&whole);
        for args in [["--sample-percent", "20"], ["--sample-rows", "10000"]] {
            let mut all = vec!["-o", "json", "--sample", &source, "--sample-seed", "7"];
            all.extend(args);
            let drawn = json(&plan(&sandbox, &all));
            assert_eq!(drawn["skew"]["is_sample"], true);
            let taken = drawn["skew"]["keys"].as_u64().unwrap();
            assert!((7_000..13_000).contains(&taken), "{taken}");
            let rows = drawn["skew"]["rows"].as_f64().unwrap();
            assert!((rows / 50_000.0 - 1.0).abs() < 0.3, "{rows}");
            let drawn = mod16(&drawn);
            for (shard, is) in drawn["shards"].as_array().unwrap().iter().zip(truth["shards"].as_array().unwrap()) {
                let share = is["share"].as_f64().unwrap();
                assert!(shard["share_low"].as_f64().unwrap() <= share && share <= shard["share_high"].as_f64().unwrap(), "{engine}: {shard} {share}");
            }
        }

        // The rows of the hot key are long: only measuring them shows that.
        let measured = json(&plan(&sandbox, &["-o", "json", "--sample", &source, "--sample-bytes", "--functions", "crc32", "--shards", "16"]));
        let shards = measured["skew"]["candidates"][0]["shards"].as_array().unwrap().clone();
        let bytes: Vec<u64> = shards.iter().map(|shard| shard["bytes"].as_u64().unwrap()).collect();
        let total: u64 = bytes.iter().sum();
        let most = *bytes.iter().max().unwrap();
        let expected: u64 = conn.query_first("SELECT SUM(LENGTH(note)) FROM orders").await.unwrap().unwrap();
        assert!(total > expected && total < expected + 50_000 * 40, "{total} of {expected}");
        assert!(most as f64 > 0.8 * total as f64, "{most} of {total}");

        // The gate.
        let output = plan(&sandbox, &["--sample", &source, "--functions", "crc32", "--shards", "16", "--max-skew", "1.5"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("FAILED: crc32 over 16 exceeds --max-skew 1.5"));
        let output = plan(&sandbox, &["--sample", &source, "--functions", "crc32", "--shards", "16", "--max-skew", "9"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }

    /// One physical table of a sharded fleet has the keys of its own shard only; all of them
    /// together are as even as they were placed.
    async fn a_whole_logical_table_is_counted_where_it_was_placed(engine) {
        let sandbox = support::shared(engine, 2).await;
        let cluster = support::fresh_schema("fleet");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("topology.yaml");
        std::fs::write(&path, format!("\
version: 1
cluster: {cluster}
instances: {{rds-1: {{host: x}}, rds-2: {{host: y}}}}
schemas: {{name: '{cluster}_{{}}', count: 4, on: {{rds-1: 0-1, rds-2: 2-3}}}}
tables:
  t:
    shard_key: k
    function: mod
    assume: [global_keys]
    name: 't_{{}}'
    ddl: CREATE TABLE t (k bigint NOT NULL PRIMARY KEY, created_at datetime NOT NULL)
  b:
    broadcast: true
    ddl: CREATE TABLE b (k bigint NOT NULL PRIMARY KEY)
")).unwrap();
        for shard in 0..4 {
            let mut conn = support::conn(&sandbox, if shard < 2 { "rds-1" } else { "rds-2" }).await;
            let rows: Vec<String> = (0..500).map(|n| format!("({}, '2025-06-01')", n * 4 + shard)).collect();
            run(&mut conn, &[
                &format!("CREATE DATABASE {cluster}_{shard}"),
                &format!("CREATE TABLE {cluster}_{shard}.t_{shard} (k bigint NOT NULL PRIMARY KEY, created_at datetime NOT NULL)"),
                &format!("INSERT INTO {cluster}_{shard}.t_{shard} VALUES {}", rows.join(", ")),
                &format!("CREATE TABLE {cluster}_{shard}.b (k bigint NOT NULL PRIMARY KEY)"),
                &format!("INSERT INTO {cluster}_{shard}.b VALUES (1), (2)"),
            ]).await;
        }
        let fleet = |args: &[&str]| {
            let mut all = vec!["--topology", path.to_str().unwrap(), "plan", "-o", "json"];
            all.extend(args);
            json(&support::shardctl(&sandbox, &all))
        };
        let all = fleet(&["--sample", "topology/t", "--shards", "4"]);
        assert_eq!((all["skew"]["keys"].as_u64(), all["skew"]["greatest"].as_str()), (Some(2_000), Some("1999")));
        for candidate in all["skew"]["candidates"].as_array().unwrap() {
            assert!(candidate["max_over_mean"].as_f64().unwrap() < 1.2, "{candidate}");
        }
        let one = fleet(&["--sample", &format!("rds-1/{cluster}_1.t_1"), "--shards", "4"]);
        assert_eq!(one["skew"]["source"], format!("rds-1/{cluster}_1.t_1.k"));
        assert_eq!(one["skew"]["candidates"][0]["max_over_mean"], 4.0);
        assert!(one["skew"]["warnings"][0].as_str().unwrap().starts_with("this is one physical table of `t`"), "{one}");
        let measured = fleet(&["--from", "topology", "--exact", "--start", "2026-01-01"]);
        assert_eq!(table(&measured, "t")["rows"], 2_000);
        assert_eq!(table(&measured, "t")["physical_tables"], 4);
        // A broadcast table has the same rows everywhere.
        assert_eq!(table(&measured, "b")["rows"], 2);

        // With one of the two servers away the rest is measured, and stands for what is missing.
        let whole = &measured["plan"]["rows_now"];
        let text = std::fs::read_to_string(&path).unwrap();
        let here = text.replace("{host: x}", &format!("{{socket: {}}}", sandbox.instance("rds-1").unwrap().socket.display()));
        std::fs::write(&path, here.replace("{host: y}", "{host: 127.0.0.1, port: 1}")).unwrap();
        let options = sandbox.client_file();
        let half = |args: &[&str]| {
            std::process::Command::new(support::SHARDCTL)
                .args(["--defaults-file", options.to_str().unwrap()])
                .args(["--topology", path.to_str().unwrap(), "plan", "--exact", "--start", "2026-01-01"])
                .args(args)
                .env_remove("SHARDCTL_SANDBOX")
                .env_remove("SHARDCTL_USER")
                .output()
                .unwrap()
        };
        let written = dir.path().join("new.yaml");
        let output = half(&["--from", "topology", "-o", "json", "--write", written.to_str().unwrap()]);
        let (code, said) = refused(&output);
        assert_eq!(code, 3, "{said}");
        assert!(said.contains("error: rds-2 could not be measured\n  cause:  could not connect"), "{said}");
        assert!(said.contains("the plan takes what is missing to be as full as the rest; no file was written"), "{said}");
        assert!(!written.exists());
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(table(&shown, "t")["rows"], 1_000);
        assert_eq!(table(&shown, "t")["physical_tables"], 2);
        assert_eq!(table(&shown, "t")["physical_tables_missing"], 2);
        assert_eq!(shown["measured"]["missing"][0]["place"], "rds-2");
        assert_eq!(shown["plan"]["rows_now"], *whole);
        let output = half(&["--from", "topology"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("2 of 4") && text.contains("not measured: rds-2: could not connect"), "{text}");
        // Where the tables of what is missing are not known, nothing is said of all of it.
        let output = half(&["--from", &format!("rds-1/{cluster}_0"), "--from", "127.0.0.1:1/other"]);
        let (code, said) = refused(&output);
        assert_eq!(code, 3, "{said}");
        assert!(said.contains("no plan is made: it would be too small by what is missing"), "{said}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with("measured rds-1/") && !text.contains("recommended"), "{text}");
        // And so where a table is not there, or not to be seen.
        let mut conn = support::conn(&sandbox, "rds-1").await;
        run(&mut conn, &[&format!("DROP TABLE {cluster}_0.t_0"), &format!("DROP TABLE {cluster}_1.t_1")]).await;
        let output = half(&["--from", "topology"]);
        let (code, said) = refused(&output);
        assert_eq!(code, 3, "{said}");
        assert!(said.contains("no plan is made: nothing is known of `t`; --table NAME=ROWS gives it"), "{said}");
        let output = half(&["--from", "topology", "--table", "t=1M"]);
        let (code, said) = refused(&output);
        assert_eq!(code, 3, "{said}");
        assert!(String::from_utf8(output.stdout).unwrap().contains("recommended"), "{said}");
    }
}
