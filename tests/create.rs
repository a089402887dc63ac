//! Creating, filling and looking at the user center, on both servers.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use mysql_async::prelude::Queryable;
use support::{Sandbox, on_each_engine};

const USER_CENTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/topology.yaml");
const ORDER_CENTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/order_center.yaml");

fn shardctl(sandbox: &Sandbox, topology: &str, args: &[&str]) -> Output {
    Command::new(support::SHARDCTL)
        .args(["--sandbox", sandbox.name(), "--topology", topology])
        .args(args)
        .output()
        .unwrap()
}

/// stdout of a command that must end with this exit code.
fn stdout(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(
        output.status.code(),
        Some(code),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

fn json(output: &Output, code: i32) -> serde_json::Value {
    serde_json::from_str(&stdout(output, code)).unwrap()
}

/// A copy of a topology in which each `from` is replaced by its `to`.
fn changed(dir: &Path, topology: &str, changes: &[(&str, &str)]) -> String {
    let mut text = std::fs::read_to_string(topology).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    let path = dir.join("changed.yaml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

on_each_engine! {
    async fn create_is_idempotent_and_a_dry_run_tells_what_it_would_do(engine) {
        for (topology, tables) in [(USER_CENTER, 96), (ORDER_CENTER, 8 * 4 * 4 + 8)] {
            let sandbox = support::servers(engine, 2).await;
            let dry = json(&shardctl(&sandbox, topology, &["create", "--dry-run", "-o", "json"]), 0);
            assert_eq!(dry["tables"], tables);
            let did = json(&shardctl(&sandbox, topology, &["create", "-o", "json"]), 0);
            assert_eq!(did["steps"], dry["steps"]);
            let again = json(&shardctl(&sandbox, topology, &["create", "-o", "json"]), 0);
            assert_eq!((&again["tables"], &again["agreeing"]), (&0.into(), &tables.into()));
            assert_eq!(again["drift"], serde_json::json!([]));
        }
    }

    async fn two_clusters_on_one_control_instance_are_told_apart(engine) {
        let sandbox = support::servers(engine, 2).await;
        stdout(&shardctl(&sandbox, USER_CENTER, &["create"]), 0);
        let other = shardctl(&sandbox, ORDER_CENTER, &["create"]);
        assert_eq!(other.status.code(), Some(2));
        let error = String::from_utf8(other.stderr).unwrap();
        assert!(error.contains("rds-1 is the control instance of the cluster `user_center`"), "{error}");
        let mut conn = support::conn(&sandbox, "rds-2").await;
        let schemas: Vec<String> = conn.query("SHOW DATABASES LIKE '%\\_center\\_%'").await.unwrap();
        let expected: Vec<String> = (8..16).map(|n| format!("user_center_{n:02}")).collect();
        assert_eq!(schemas, expected);
    }

    async fn the_sql_of_a_dry_run_creates_the_same_by_hand(engine) {
        let sandbox = support::servers(engine, 2).await;
        let sql = stdout(&shardctl(&sandbox, USER_CENTER, &["create", "--dry-run"]), 0);
        let mut instance = "";
        for part in sql.split("-- instance ").skip(1) {
            let (name, statements) = part.split_once('\n').unwrap();
            instance = if name == "rds-1" { "rds-1" } else { "rds-2" };
            let mut conn = support::conn(&sandbox, instance).await;
            for statement in statements.split(";\n").filter(|text| text.starts_with("CREATE")) {
                conn.query_drop(statement).await.unwrap();
            }
        }
        assert_eq!(instance, "rds-2");
        let found = json(&shardctl(&sandbox, USER_CENTER, &["create", "-o", "json"]), 0);
        assert_eq!((&found["tables"], &found["agreeing"]), (&0.into(), &96.into()));
    }

    async fn a_table_that_differs_is_reported_and_left_as_it_is(engine) {
        let sandbox = support::servers(engine, 2).await;
        stdout(&shardctl(&sandbox, USER_CENTER, &["create"]), 0);
        let mut conn = support::conn(&sandbox, "rds-1").await;
        for sql in [
            "ALTER TABLE user_center_03.member_03 DROP KEY idx_mobile",
            "ALTER TABLE user_center_05.email_verify_05 MODIFY email varchar(100) NOT NULL",
            "DROP TABLE user_center_06.member_company_06",
        ] {
            conn.query_drop(sql).await.unwrap();
        }
        let report = json(&shardctl(&sandbox, USER_CENTER, &["create", "-o", "json"]), 1);
        let drift: Vec<(&str, &str)> = report["drift"]
            .as_array()
            .unwrap()
            .iter()
            .map(|drift| {
                (drift["table"]["table"].as_str().unwrap(), drift["differences"][0].as_str().unwrap())
            })
            .collect();
        assert_eq!(
            drift,
            [
                ("member_03", "lacks index `idx_mobile` (mobile)"),
                (
                    "email_verify_05",
                    "column `email`: found varchar(100), wanted varchar(128)"
                ),
            ]
        );
        // What was missing was made all the same; what differs was not touched.
        assert_eq!(report["tables"], 1);
        let again = json(&shardctl(&sandbox, USER_CENTER, &["create", "-o", "json"]), 1);
        assert_eq!((again["tables"].clone(), again["drift"].clone()), (0.into(), report["drift"].clone()));
    }

    async fn a_run_that_failed_half_way_is_completed_by_a_second(engine) {
        let sandbox = support::servers(engine, 2).await;
        let dir = tempfile::tempdir().unwrap();
        // A key that no server takes: longer than InnoDB's limit.
        let bad = changed(
            dir.path(),
            USER_CENTER,
            &[("KEY idx_mobile (mobile)", "KEY idx_mobile (mobile, realName, nickname, email, memberId, birthday, realName)")],
        );
        let failed = shardctl(&sandbox, &bad, &["create"]);
        assert_eq!(failed.status.code(), Some(3));
        let error = String::from_utf8(failed.stderr).unwrap();
        assert!(error.contains("what was created stays"), "{error}");
        let found = json(&shardctl(&sandbox, USER_CENTER, &["create", "-o", "json"]), 0);
        assert_eq!(found["tables"].as_u64().unwrap() + found["agreeing"].as_u64().unwrap(), 96);
        let again = json(&shardctl(&sandbox, USER_CENTER, &["create", "-o", "json"]), 0);
        assert_eq!(again["agreeing"], 96);
    }

    async fn filled_members_are_where_the_shard_functions_place_them(engine) {
        let sandbox = support::servers(engine, 2).await;
        stdout(&shardctl(&sandbox, USER_CENTER, &["create"]), 0);
        let filled = json(&shardctl(&sandbox, USER_CENTER, &["fill", "--members", "3000", "-o", "json"]), 0);
        assert_eq!(filled["rows"]["member"], 3000);
        let accounts = filled["rows"]["member_login_account"].as_u64().unwrap();
        assert_eq!(filled["rows"]["member_login_account_memberAccount"], accounts);

        let status = json(&shardctl(&sandbox, USER_CENTER, &["status", "--exact", "-o", "json"]), 0);
        let total: u64 = status["schemas"].as_array().unwrap().iter().map(|s| s["rows"].as_u64().unwrap()).sum();
        let written: u64 = filled["rows"].as_object().unwrap().values().map(|rows| rows.as_u64().unwrap()).sum();
        assert_eq!(total, written);

        // The servers compute drds_hash of an integer themselves.
        for shard in 0..16 {
            let instance = if shard < 8 { "rds-1" } else { "rds-2" };
            let mut conn = support::conn(&sandbox, instance).await;
            for table in ["member", "member_address", "member_login_account", "email_verify", "member_company"] {
                let misplaced: u64 = conn
                    .query_first(format!(
                        "SELECT COUNT(*) FROM user_center_{shard:02}.{table}_{shard:02} WHERE memberId % 16 <> {shard}"
                    ))
                    .await
                    .unwrap()
                    .unwrap();
                assert_eq!(misplaced, 0, "{table}_{shard:02}");
            }
        }

        // A row that was generated is found by routing its key, with its very bytes.
        let members = shardctl::fill::members::Members::new(1, 3000, jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0));
        let account = members.user_name(1234);
        let route = json(&shardctl(&sandbox, USER_CENTER, &["route", &format!("memberAccount={account}"), "-o", "json"]), 0);
        let place = &route["routes"][0]["places"][0];
        let mut conn = support::conn(&sandbox, place["instance"].as_str().unwrap()).await;
        let (id, hash): (u64, Vec<u8>) = conn
            .exec_first(
                format!(
                    "SELECT memberId, passwordHash FROM {}.{} WHERE memberAccount = ?",
                    place["schema"].as_str().unwrap(),
                    place["table"].as_str().unwrap()
                ),
                (&account,),
            )
            .await
            .unwrap()
            .unwrap();
        assert_eq!(id, 100_000_001 + 1234);
        let mut expected = None;
        members.rows(1234, &mut |table, row| {
            if table == 3 && row[0] == shardctl::rows::value::Value::Text(account.clone()) {
                expected = Some(row[3].clone());
            }
        });
        assert_eq!(expected, Some(shardctl::rows::value::Value::Bytes(hash)));

        // Filling again would meet the ids that are there.
        let refused = shardctl(&sandbox, USER_CENTER, &["fill", "--members", "10"]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8(refused.stderr).unwrap().contains("has"), "says what is there");
    }

    async fn fill_without_local_infile_writes_the_same_rows(engine) {
        // MySQL takes inserts of many rows then, MariaDB its bulk protocol.
        let mut options = support::options(engine, 1);
        options.server_args.push("--local-infile=OFF".to_owned());
        let without = support::servers_with(options).await;
        let with = support::servers(engine, 1).await;
        let dir = tempfile::tempdir().unwrap();
        let one = changed(
            dir.path(),
            USER_CENTER,
            &[
                ("  rds-2: { host: 127.0.0.1, port: 3307 }\n", ""),
                ("    rds-1: 0-7\n    rds-2: 8-15\n", "    rds-1: 0-15\n"),
            ],
        );
        let mut sums = Vec::new();
        for sandbox in [&without, &with] {
            stdout(&shardctl(sandbox, &one, &["create"]), 0);
            stdout(&shardctl(sandbox, &one, &["fill", "--members", "500", "--seed", "9"]), 0);
            let mut conn = support::conn(sandbox, "rds-1").await;
            let mut all = Vec::new();
            for shard in 0..16 {
                for table in ["member_address", "member_login_account_memberAccount", "email_verify", "member_company"] {
                    let name = format!("user_center_{shard:02}.{table}_{shard:02}");
                    let sum: (String, Option<u64>) =
                        conn.query_first(format!("CHECKSUM TABLE {name}")).await.unwrap().unwrap();
                    all.push(sum);
                }
            }
            sums.push(all);
        }
        assert_eq!(sums[0], sums[1]);
    }

    async fn fill_writes_the_same_text_in_another_charset(engine) {
        // The lines of LOAD DATA would be taken for UTF-16 as they are.
        let sandbox = support::servers(engine, 2).await;
        let dir = tempfile::tempdir().unwrap();
        let other = changed(
            dir.path(),
            USER_CENTER,
            &[("nickname     varchar(64) ", "nickname     varchar(64) CHARACTER SET utf16 ")],
        );
        stdout(&shardctl(&sandbox, &other, &["create"]), 0);
        stdout(&shardctl(&sandbox, &other, &["fill", "--members", "400", "--seed", "9"]), 0);
        let members = shardctl::fill::members::Members::new(9, 400, jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0));
        let mut seen = 0;
        for shard in 0..16 {
            let mut conn = support::conn(&sandbox, if shard < 8 { "rds-1" } else { "rds-2" }).await;
            let found: Vec<(u64, String)> = conn
                .query(format!("SELECT memberId, nickname FROM user_center_{shard:02}.member_{shard:02}"))
                .await
                .unwrap();
            for (id, nickname) in found {
                let mut expected = None;
                members.rows(id - shardctl::fill::members::FIRST_MEMBER_ID, &mut |table, row| {
                    if table == 0 {
                        expected = Some(row[1].clone());
                    }
                });
                assert_eq!(expected, Some(shardctl::rows::value::Value::Text(nickname)));
                seen += 1;
            }
        }
        assert_eq!(seen, 400);
    }

    async fn status_tells_of_an_instance_that_is_gone_and_of_the_rest(engine) {
        let sandbox = support::servers(engine, 2).await;
        stdout(&shardctl(&sandbox, USER_CENTER, &["create"]), 0);
        sandbox.kill("rds-2").unwrap();
        let status = json(&shardctl(&sandbox, USER_CENTER, &["status", "-o", "json"]), 3);
        assert!(status["instances"][0]["error"].is_null());
        assert!(status["instances"][1]["error"].as_str().unwrap().contains("could not connect"));
        assert_eq!(status["schemas"][0]["tables_found"], 6);
        assert!(status["schemas"][15]["tables_found"].is_null());
    }

    async fn create_names_the_right_that_is_missing(engine) {
        let sandbox = support::servers(engine, 2).await;
        for instance in ["rds-1", "rds-2"] {
            let mut conn = support::conn(&sandbox, instance).await;
            for sql in [
                "CREATE USER dba@localhost IDENTIFIED BY 'pw'",
                "GRANT ALL ON `user\\_center\\_%`.* TO dba@localhost",
            ] {
                conn.query_drop(sql).await.unwrap();
            }
        }
        let as_dba = || {
            Command::new(support::SHARDCTL)
                .args(["--sandbox", sandbox.name(), "--topology", USER_CENTER, "create"])
                .env("SHARDCTL_USER", "dba")
                .env("SHARDCTL_PASSWORD", "pw")
                .output()
                .unwrap()
        };
        let refused = as_dba();
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(3), "{error}");
        let wanted = "GRANT CREATE, SELECT, INSERT, UPDATE, DELETE ON `_shardctl`.* TO 'dba'@'localhost'";
        assert!(error.contains(wanted), "{error}");
        for instance in ["rds-1", "rds-2"] {
            support::conn(&sandbox, instance).await.query_drop(wanted).await.unwrap();
        }
        stdout(&as_dba(), 0);
    }

    async fn two_creates_side_by_side_do_not_meet(engine) {
        let sandbox = support::servers(engine, 2).await;
        let start = || {
            Command::new(support::SHARDCTL)
                .args(["--sandbox", sandbox.name(), "--topology", USER_CENTER, "create"])
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        };
        let both = [start(), start()].map(|child| child.wait_with_output().unwrap());
        let codes = both.each_ref().map(|output| output.status.code().unwrap());
        // One may have ended before the other began.
        assert!(matches!(codes, [0, 0] | [0, 4] | [4, 0]), "{codes:?}: {both:?}");
        for output in both.iter().filter(|output| output.status.code() == Some(4)) {
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(error.contains("another run of shardctl owns the cluster"), "{error}");
        }
        let again = json(&shardctl(&sandbox, USER_CENTER, &["create", "-o", "json"]), 0);
        assert_eq!((&again["tables"], &again["agreeing"]), (&0.into(), &96.into()));
    }

    async fn an_interrupted_fill_says_what_is_true_and_is_done_again(engine) {
        let sandbox = support::servers(engine, 2).await;
        stdout(&shardctl(&sandbox, USER_CENTER, &["create"]), 0);
        let nothing = shardctl(&sandbox, USER_CENTER, &["fill", "--again", "--yes"]);
        let error = String::from_utf8_lossy(&nothing.stderr).into_owned();
        assert_eq!(nothing.status.code(), Some(2), "{error}");
        assert!(error.contains("no fill was interrupted here"), "{error}");

        let mut child = Command::new(support::SHARDCTL)
            .args(["--sandbox", sandbox.name(), "--topology", USER_CENTER])
            .args(["fill", "--members", "3000000"])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut conn = support::conn(&sandbox, "rds-1").await;
        loop {
            let rows: Option<u64> = conn
                .query_first("SELECT COUNT(*) FROM user_center_00.member_00")
                .await
                .unwrap();
            if rows > Some(0) {
                break;
            }
            if let Some(ended) = child.try_wait().unwrap() {
                panic!("the fill ended before it wrote: {ended}, {:?}", child.wait_with_output());
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let second = shardctl(&sandbox, USER_CENTER, &["fill", "--members", "10"]);
        let error = String::from_utf8_lossy(&second.stderr).into_owned();
        assert_eq!(second.status.code(), Some(4), "{error}");
        assert!(error.contains(&format!("process {}", child.id())), "{error}");

        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(child.id() as i32),
            nix::sys::signal::Signal::SIGINT,
        )
        .unwrap();
        let interrupted = child.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&interrupted.stderr).into_owned();
        assert_eq!(interrupted.status.code(), Some(4), "{error}");
        assert!(error.contains("stopped by Ctrl-C"), "{error}");
        let acknowledged: u64 = error
            .split("filled in part: ")
            .nth(1)
            .and_then(|text| text.split(' ').next())
            .unwrap()
            .parse()
            .unwrap();
        let status = json(&shardctl(&sandbox, USER_CENTER, &["status", "--exact", "-o", "json"]), 0);
        let rows: u64 = status["instances"]
            .as_array()
            .unwrap()
            .iter()
            .map(|instance| instance["rows"].as_u64().unwrap())
            .sum();
        assert_eq!(rows, acknowledged);

        let refused = shardctl(&sandbox, USER_CENTER, &["fill", "--members", "10"]);
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{error}");
        assert!(error.contains("shardctl fill --again"), "{error}");
        // Whether each row is in its place is one question, whether all are there another.
        let verified = shardctl(&sandbox, USER_CENTER, &["verify"]);
        let text = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(text.contains("note: a fill of 3000000 members began at 20"), "{text}");
        let unasked = shardctl(&sandbox, USER_CENTER, &["fill", "--again"]);
        assert_eq!(unasked.status.code(), Some(2));
        let again = shardctl(&sandbox, USER_CENTER, &["fill", "--again", "--yes", "--members", "50", "-o", "json"]);
        assert_eq!(json(&again, 0)["rows"]["member"], 50);
        // Now they are rows like any others.
        let over = shardctl(&sandbox, USER_CENTER, &["fill", "--again", "--yes"]);
        assert_eq!(over.status.code(), Some(2));
        let count = stdout(&shardctl(&sandbox, USER_CENTER, &["query", "-o", "csv", "SELECT COUNT(*) FROM member"]), 0);
        assert_eq!(count.trim_end(), "COUNT(*)\r\n50");
    }

    async fn a_watched_status_ends_well_by_ctrl_c(engine) {
        let sandbox = support::servers(engine, 2).await;
        let mut child = Command::new(support::SHARDCTL)
            .args(["--sandbox", sandbox.name(), "--topology", USER_CENTER])
            .args(["status", "--watch", "60"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // The first table is out: it waits.
        let mut first = [0; 64];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut first).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(child.id() as i32),
            nix::sys::signal::Signal::SIGINT,
        )
        .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }

    async fn an_unordered_limit_ends_with_its_rows(engine) {
        let sandbox = support::servers(engine, 2).await;
        stdout(&shardctl(&sandbox, USER_CENTER, &["create"]), 0);
        stdout(&shardctl(&sandbox, USER_CENTER, &["fill", "--members", "2000"]), 0);
        for _ in 0..5 {
            let start = std::time::Instant::now();
            let query = ["query", "-o", "csv", "SELECT memberId FROM member LIMIT 3"];
            let rows = stdout(&shardctl(&sandbox, USER_CENTER, &query), 0);
            assert_eq!(rows.lines().count(), 4, "{rows}");
            assert!(start.elapsed().as_secs() < 5, "it hung at the end");
        }
    }

    async fn a_file_that_places_keys_otherwise_is_refused_by_all_that_would_use_it(engine) {
        let sandbox = support::servers(engine, 2).await;
        let dir = tempfile::tempdir().unwrap();
        stdout(&shardctl(&sandbox, USER_CENTER, &["create"]), 0);
        for change in [
            ("function: drds_hash", "function: crc32"),
            ("name: member_{:02}", "tables_per_schema: 2\n    name: member_{:02}"),
            ("count: 16", "count: 8"),
        ] {
            let mut changes = vec![change];
            if change.1 == "count: 8" {
                changes.extend([("rds-1: 0-7", "rds-1: 0-3"), ("rds-2: 8-15", "rds-2: 4-7")]);
            }
            let file = changed(dir.path(), USER_CENTER, &changes);
            for args in [
                &["create"][..],
                &["fill", "--members", "10"],
                &["query", "SELECT COUNT(*) FROM member"],
                &["query", "SELECT * FROM member WHERE memberId = 100000001"],
            ] {
                let refused = shardctl(&sandbox, &file, args);
                let error = String::from_utf8_lossy(&refused.stderr).into_owned();
                assert_eq!(refused.status.code(), Some(2), "{change:?} {args:?}: {error}");
                assert!(error.contains("is not the shard map in force"), "{error}");
            }
        }
        let again = json(&shardctl(&sandbox, USER_CENTER, &["create", "-o", "json"]), 0);
        assert_eq!((&again["tables"], &again["agreeing"]), (&0.into(), &96.into()));
    }

    async fn a_new_table_comes_into_the_shard_map(engine) {
        let sandbox = support::servers(engine, 2).await;
        let dir = tempfile::tempdir().unwrap();
        stdout(&shardctl(&sandbox, USER_CENTER, &["create"]), 0);
        let mut text = std::fs::read_to_string(USER_CENTER).unwrap();
        text.push_str("\n  region:\n    broadcast: true\n    ddl: CREATE TABLE region (id INT NOT NULL PRIMARY KEY)\n");
        let file = dir.path().join("more.yaml").display().to_string();
        std::fs::write(&file, text).unwrap();
        let more = json(&shardctl(&sandbox, &file, &["create", "-o", "json"]), 0);
        assert_eq!((&more["tables"], &more["shard_map_version"]), (&16.into(), &2.into()));
        let again = json(&shardctl(&sandbox, &file, &["create", "-o", "json"]), 0);
        assert_eq!((&again["tables"], &again["shard_map_version"]), (&0.into(), &2.into()));
        // The older file is as good as before for what it knows.
        let old = json(&shardctl(&sandbox, USER_CENTER, &["create", "-o", "json"]), 0);
        assert_eq!(old["shard_map_version"], 2);
        stdout(&shardctl(&sandbox, &file, &["query", "SELECT * FROM region"]), 0);
    }
}
