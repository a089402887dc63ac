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
        let gathered = shown(&shop.run(&["query", "--shards", "2", "SELECT GROUP_CONCAT(name) FROM member"]));
        assert!(gathered.starts_with("exit code 2") && gathered.contains("--shards is for statements that shards answer"), "{gathered}");
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
}
