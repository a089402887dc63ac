//! What `query` offers to one who diagnoses: some shards only, answers without the shards that
//! fail, snapshots that are opened together.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use mysql_async::prelude::Queryable;
use support::on_each_engine;
use support::shop::{Shop, shown};

on_each_engine! {
    async fn only_the_listed_shards_are_asked(engine) {
        let shop = Shop::open(engine).await;
        let output = shop.run(&["query", "-o", "csv", "--shards", "1,3", "SELECT MIN(id), COUNT(*) FROM member"]);
        let text = shown(&output);
        assert!(text.starts_with("exit code 0\nMIN(id),COUNT(*)\r\n1,20\r\n"), "{text}");
        assert!(text.contains("only shards 1,3 of 0-3: this is partial knowledge of `member`"), "{text}");
        assert!(text.contains("asking 2 tables"), "{text}");
        // What is pinned to a listed shard is whole.
        let whole = shown(&shop.run(&["query", "-o", "csv", "--shards", "3", "SELECT name FROM member WHERE id = 7"]));
        assert!(whole.contains("m07") && !whole.contains("partial"), "{whole}");
        let elsewhere = shop.run(&["query", "--shards", "0-2", "SELECT name FROM member WHERE id = 7"]);
        assert_eq!(
            shown(&elsewhere),
            "exit code 2\n--\nerror: --shards leaves out what the statement asks\n  cause:  it asks shard 3\n"
        );
        let unknown = shown(&shop.run(&["query", "--shards", "2-4", "SELECT COUNT(*) FROM member"]));
        assert!(unknown.starts_with("exit code 2") && unknown.contains("there is no shard 4"), "{unknown}");
        let broadcast = shown(&shop.run(&["query", "-q", "-o", "csv", "--shards", "2", "SELECT COUNT(*) AS c FROM region"]));
        assert_eq!(broadcast, "exit code 0\nc\r\n3\r\n--\n");
        let sql = "SELECT GROUP_CONCAT(name ORDER BY id), MAX(label) FROM member JOIN region ON code = region WHERE id < 12";
        let gathered = shown(&shop.run(&["query", "-o", "csv", "--scratch", "rds-1", "--shards", "2", sql]));
        assert!(gathered.contains("\r\n\"m02,m06,m10\",west\r\n"), "{gathered}");
        assert_eq!(gathered.matches("only shards 2 of 0-3: this is partial knowledge of `member`\n").count(), 1, "{gathered}");
        let nothing = shown(&shop.run(&["query", "--shards", "2", "SELECT GROUP_CONCAT(name) FROM member WHERE id = 7 OR id = 3"]));
        assert!(nothing.starts_with("exit code 2") && nothing.contains("--shards leaves out what the statement asks"), "{nothing}");
        let partial = shown(&shop.run(&["query", "--partial", "SELECT GROUP_CONCAT(name) FROM member"]));
        assert!(partial.starts_with("exit code 2") && partial.contains("--partial is for statements that shards answer"), "{partial}");
    }

    async fn a_shard_that_fails_is_left_out_where_that_is_wanted(engine) {
        let shop = Shop::open(engine).await;
        let mut conn = support::conn(&shop.sandbox, "rds-1").await;
        // The first shard: the one that is asked for the columns.
        conn.query_drop(format!("DROP TABLE {}.member", shop.schema(0))).await.unwrap();
        let lost = format!("rds-1/{}.member", shop.schema(0));
        for (sql, answer) in [
            ("SELECT COUNT(*) AS c FROM member", "c\r\n30\r\n"),
            ("SELECT id FROM member WHERE id < 7 ORDER BY name DESC", "id\r\n6\r\n5\r\n3\r\n2\r\n1\r\n"),
            ("SELECT 'x' AS x FROM member WHERE id IN (4, 5)", "x\r\nx\r\n"),
            ("SELECT COUNT(*) AS c FROM member WHERE id = 1 UNION ALL SELECT COUNT(*) FROM member", "c\r\n1\r\n30\r\n"),
        ] {
            let whole = shop.run(&["query", "-q", "-o", "csv", sql]);
            assert_eq!(whole.status.code(), Some(3), "{}", shown(&whole));
            let partial = shop.run(&["query", "-q", "-o", "csv", "--partial", sql]);
            assert_eq!(partial.status.code(), Some(3), "{}", shown(&partial));
            assert_eq!(String::from_utf8_lossy(&partial.stdout), answer, "{sql}");
            let errors = String::from_utf8_lossy(&partial.stderr).into_owned();
            assert!(errors.starts_with(&format!("missing: {lost}: ")), "{errors}");
            assert_eq!(errors.lines().count(), 1, "{errors}");
        }
        let json = shop.run(&["query", "-q", "-o", "json", "--partial", "SELECT COUNT(*) AS c FROM member"]);
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(json["rows"][0][0], 30);
        assert_eq!(json["missing"][0]["table"], lost.as_str());
        assert!(json["missing"][0]["error"].as_str().unwrap().contains("error 1146"), "{json}");
        let by_shard = shop.run(&["query", "-q", "-o", "csv", "--partial", "--by-shard", "SELECT COUNT(*) AS c FROM member"]);
        assert_eq!(String::from_utf8_lossy(&by_shard.stdout).lines().count(), 4, "{}", shown(&by_shard));
        assert_eq!(by_shard.status.code(), Some(3));
        // Nothing is missing: a whole answer, and JSON says so.
        let whole = shop.run(&["query", "-q", "-o", "json", "--partial", "SELECT name FROM member WHERE id = 5"]);
        assert_eq!(whole.status.code(), Some(0), "{}", shown(&whole));
        let json: serde_json::Value = serde_json::from_slice(&whole.stdout).unwrap();
        assert_eq!(json["missing"], serde_json::json!([]));
        // What fails on every shard is no partial answer.
        let none = shop.run(&["query", "-o", "csv", "--partial", "SELECT nosuch FROM member"]);
        assert_eq!(none.status.code(), Some(3));
        assert!(none.stdout.is_empty(), "{}", shown(&none));
        assert!(shown(&none).contains("no shard answered"), "{}", shown(&none));
    }

    async fn an_instance_that_is_down_is_left_out_as_well(engine) {
        let sandbox = support::servers(engine, 2).await;
        let shop = Shop::on(shardctl::sandbox::Sandbox::clone(&sandbox)).await;
        let mut conn = support::conn(&shop.sandbox, "rds-2").await;
        // The connection ends with it.
        let _ = conn.query_drop("SHUTDOWN").await;
        let down = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while shop.run(&["query", "-q", "SELECT name FROM member WHERE id = 2"]).status.success() {
            assert!(std::time::Instant::now() < down, "it does not end");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let partial = shop.run(&["query", "-q", "-o", "csv", "--partial", "SELECT COUNT(*) AS c FROM member"]);
        let text = shown(&partial);
        assert!(text.starts_with("exit code 3\nc\r\n20\r\n--\nmissing: rds-2/"), "{text}");
        assert_eq!(text.matches("missing: rds-2/").count(), 2, "{text}");
    }

    async fn snapshots_are_opened_together_and_say_how_far_apart(engine) {
        let shop = Shop::open(engine).await;
        for (sql, answer) in [
            ("SELECT COUNT(*) AS c FROM member", "c\r\n40\r\n"),
            ("SELECT id FROM member ORDER BY name LIMIT 2", "id\r\n1\r\n2\r\n"),
            ("SELECT name FROM member WHERE id = 7", "name\r\nm07\r\n"),
            ("SELECT COUNT(*) AS c FROM member WHERE id = 1 UNION ALL SELECT COUNT(*) FROM member", "c\r\n1\r\n40\r\n"),
        ] {
            let output = shop.run(&["query", "-o", "csv", "--snapshot", sql]);
            assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
            assert_eq!(String::from_utf8_lossy(&output.stdout), answer, "{sql}");
            let notes = String::from_utf8_lossy(&output.stderr).into_owned();
            let spread = notes.split("opened within ").nth(1).unwrap_or_else(|| panic!("{notes}"));
            let spread: f64 = spread.split(' ').next().unwrap().parse().unwrap();
            assert!(spread > 0.0 && spread < 10_000.0, "{notes}");
        }
    }

    async fn what_is_written_after_a_snapshot_is_not_in_it(engine) {
        let shop = Shop::open(engine).await;
        let credentials = shardctl::mysql::credentials::Credentials::of_file(&shop.sandbox.client_file()).unwrap();
        let instances = shop.sandbox.endpoints().into_iter().take(1).collect();
        let servers = shardctl::mysql::Servers::connect(&instances, &credentials, 3).await.unwrap();
        let server = servers.iter().next().unwrap();
        let reading = shardctl::mysql::query::Reading {
            timeout: std::time::Duration::from_secs(60),
            clock_us: 1_700_000_000_000_000,
            modes: &[],
        };
        let mut snapshot = shardctl::mysql::query::before_snapshot(server, reading).await.unwrap();
        shardctl::mysql::query::open_snapshot(server, &mut snapshot).await.unwrap();
        let mut conn = support::conn(&shop.sandbox, "rds-1").await;
        conn.query_drop(format!("DELETE FROM {}.member", shop.schema(0))).await.unwrap();
        let sql = format!("SELECT COUNT(*) FROM {}.member", shop.schema(0));
        let seen: Option<u32> = snapshot.query_first(&sql).await.unwrap();
        assert_eq!(seen, Some(10), "the snapshot stands before the deletion");
        let now: Option<u32> = conn.query_first(&sql).await.unwrap();
        assert_eq!(now, Some(0));
        let written = snapshot.query_drop(format!("INSERT INTO {}.member VALUES (4, 'x', 0)", shop.schema(0))).await;
        assert!(written.is_err(), "it only reads");
    }

    async fn analyze_marks_the_shard_whose_server_reads_otherwise(engine) {
        let shop = Shop::open(engine).await;
        let mut conn = support::conn(&shop.sandbox, "rds-2").await;
        conn.query_drop(format!("ALTER TABLE {}.member DROP KEY name", shop.schema(2))).await.unwrap();
        let sql = "SELECT id FROM member WHERE name = 'm07'";
        let json = shop.run(&["query", "-o", "json", "--analyze", sql]);
        assert_eq!(json.status.code(), Some(0), "{}", shown(&json));
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!((&json["way"], &json["rows"]), (&"scatter and merge".into(), &1.into()));
        let shards = json["shards"].as_array().unwrap();
        let differ: Vec<bool> = shards.iter().map(|shard| shard["differs"].as_bool().unwrap()).collect();
        assert_eq!(differ, [false, false, true, false], "{json}");
        let rows: Vec<u64> = shards.iter().map(|shard| shard["rows"].as_u64().unwrap()).collect();
        assert_eq!(rows, [0, 0, 0, 1]);
        assert_eq!(shards[3]["bytes"], 1);
        for shard in shards {
            assert!(shard["ms"].as_f64().unwrap() > 0.0 && shard["error"].is_null(), "{shard}");
            let place = shard["place"].as_str().unwrap();
            assert!(shard["sql"].as_str().unwrap().contains(&place[place.len() - "00.member".len()..][..2]), "{shard}");
        }
        assert_eq!(shards[0]["explain"][0]["key"], "name");
        assert!(shards[2]["explain"][0]["key"].is_null(), "{json}");
        let text = shown(&shop.run(&["query", "-q", "--analyze", sql]));
        assert!(text.contains("answer:  1 row in "), "{text}");
        assert!(text.contains("plan 1: 3 of 4 tables\n"), "{text}");
        let differs = text.lines().find(|line| line.starts_with("plan 2: 1 of 4 tables, DIFFERS in ")).unwrap();
        assert!(differs.contains("type") && differs.contains("key"), "{text}");
        let marked: Vec<&str> = text.lines().filter(|line| line.starts_with("| rds-") && line.contains("DIFFERS")).collect();
        assert!(marked.len() == 1 && marked[0].contains("_02.member"), "{text}");
        // The rows of a CSV are an answer's; this is none.
        assert_eq!(shop.run(&["query", "-o", "csv", "--analyze", sql]).status.code(), Some(2));
    }

    async fn analyze_is_for_every_way(engine) {
        let shop = Shop::open(engine).await;
        let tables = |sql: &str| {
            let output = shop.run(&["query", "-o", "json", "--scratch", "rds-1", "--analyze", sql]);
            assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
            let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let shards = json["shards"].as_array().unwrap().clone();
            assert!(shards.iter().all(|shard| !shard["explain"].as_array().unwrap().is_empty()), "{json}");
            let statements: Vec<u64> = shards.iter().map(|shard| shard["statement"].as_u64().unwrap()).collect();
            let rows: u64 = shards.iter().map(|shard| shard["rows"].as_u64().unwrap()).sum();
            (json["way"].as_str().unwrap().to_owned(), json["rows"].as_u64().unwrap(), statements, rows)
        };
        assert_eq!(tables("SELECT name FROM member WHERE id = 7"), ("one shard".to_owned(), 1, vec![1], 1));
        assert_eq!(tables("SELECT COUNT(*) FROM member"), ("scatter and merge".to_owned(), 1, vec![1; 4], 4));
        assert_eq!(tables("SELECT id FROM member ORDER BY name LIMIT 3").1, 3);
        assert_eq!(
            tables("SELECT COUNT(*) AS c FROM member WHERE id = 1 UNION ALL SELECT COUNT(*) FROM member"),
            ("one after the other".to_owned(), 2, vec![1, 2, 2, 2, 2], 5)
        );
        // Statement 1 and 2 are what is fetched of the two tables.
        assert_eq!(
            tables("SELECT GROUP_CONCAT(label) FROM member JOIN region ON code = region WHERE member.id < 9"),
            ("gather".to_owned(), 1, vec![1, 1, 1, 1, 2], 11)
        );
        // In a text of statements they are asked for in words.
        let words = shop.run_with(&["query", "-q"], "EXPLAIN SELECT name FROM member WHERE id = 7; ANALYZE SELECT COUNT(*) FROM member;");
        let text = shown(&words);
        assert!(text.contains("way:     one shard") && text.contains("answer:  1 row in "), "{text}");
    }

    async fn a_gathered_statement_tells_how_far_apart_its_snapshots_are(engine) {
        let shop = Shop::open(engine).await;
        let sql = "SELECT GROUP_CONCAT(name ORDER BY id) FROM member WHERE id < 3";
        let output = shown(&shop.run(&["query", "-o", "csv", "--scratch", "rds-1", "--snapshot", sql]));
        assert!(output.contains("\"m01,m02\""), "{output}");
        assert!(output.contains("2 snapshots, opened within "), "{output}");
    }

    /// A lock on a shard's table holds up what a gathered statement asks before it reads.
    async fn the_time_limit_holds_while_a_gathered_statement_looks(engine) {
        let shop = Shop::open(engine).await;
        let mut conn = support::conn(&shop.sandbox, "rds-2").await;
        conn.query_drop(format!("LOCK TABLES {}.member WRITE", shop.schema(3))).await.unwrap();
        let start = std::time::Instant::now();
        let args = ["query", "--scratch", "rds-1", "--timeout", "1", "SELECT GROUP_CONCAT(name) FROM member"];
        let output = shop.run(&args);
        assert_eq!(output.status.code(), Some(3), "{}", shown(&output));
        assert!(start.elapsed() < std::time::Duration::from_secs(10), "{:?}", start.elapsed());
        assert!(shown(&output).contains("--timeout"), "{}", shown(&output));
        nothing_waits(&shop).await;
        for explain in [false, true] {
            let mut args = vec!["query", "--scratch", "rds-1", "SELECT GROUP_CONCAT(name) FROM member"];
            if explain {
                args.push("--explain");
            }
            let child = shop.command(&args).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
            let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
            while waiting(&shop).await == 0 {
                assert!(std::time::Instant::now() < deadline, "it never waited");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(4), "{}", shown(&output));
            nothing_waits(&shop).await;
        }
    }

    /// A limit of a second ends a statement that runs for minutes, on the scratch server as well.
    async fn the_time_limit_ends_a_gathered_statement_on_the_scratch_server(engine) {
        let shop = Shop::open(engine).await;
        let many: Vec<String> = (0..9).map(|n| format!("member m{n}")).collect();
        let sql = format!("SELECT GROUP_CONCAT(m0.name) FROM {} WHERE m1.name <> m2.name", many.join(", "));
        let start = std::time::Instant::now();
        let output = shop.run(&["query", "--scratch", "rds-1", "--timeout", "2", &sql]);
        assert_eq!(output.status.code(), Some(3), "{}", shown(&output));
        assert!(shown(&output).contains("give it longer with --timeout"), "{}", shown(&output));
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
        nothing_waits(&shop).await;
    }
}

/// Statements that still run on the shop's servers for what was gathered of it.
async fn waiting(shop: &Shop) -> u64 {
    let mut all = 0;
    for instance in ["rds-1", "rds-2"] {
        let mut conn = support::conn(&shop.sandbox, instance).await;
        let count: Option<u64> = conn
            .query_first(format!(
                "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND COMMAND = 'Query' \
                 AND (INFO LIKE '%{0}%' OR INFO LIKE '%m0.name%')",
                shop.prefix.replace('_', "\\_")
            ))
            .await
            .unwrap();
        all += count.unwrap_or_default();
    }
    all
}

async fn nothing_waits(shop: &Shop) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while waiting(shop).await > 0 {
        assert!(std::time::Instant::now() < deadline, "a statement is left");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
