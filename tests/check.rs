//! `check` on real servers: every kind of drift is found and grouped, growth comes from two
//! measurements, and what cannot be reached or read does not hide the rest.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use mysql_async::prelude::Queryable;
use shardctl::mysql::credentials::{CredentialSource, Credentials};
use shardctl::mysql::state::are_one;
use shardctl::mysql::{Server, Servers};
use support::{Guarded, Sandbox, on_each_engine};

const USER_CENTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/topology.yaml");

/// A user center on two servers of its own, with a folder in which the topology file is.
struct Fleet {
    sandbox: Guarded,
    dir: tempfile::TempDir,
}

impl Fleet {
    async fn created(engine: support::Engine) -> Self {
        let sandbox = support::servers(engine, 2).await;
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(USER_CENTER, dir.path().join("topology.yaml")).unwrap();
        let fleet = Self { sandbox, dir };
        fleet.run(&["create"], 0);
        fleet
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn output(&self, args: &[&str]) -> Output {
        run(&self.sandbox, self.dir.path(), args)
    }

    /// stdout of a command that must end with this exit code.
    fn run(&self, args: &[&str], code: i32) -> String {
        stdout(&self.output(args), code)
    }

    fn json(&self, args: &[&str], code: i32) -> serde_json::Value {
        let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
        let report: serde_json::Value = serde_json::from_str(&self.run(&args, code)).unwrap();
        assert_eq!(report["exit_code"], code);
        report
    }

    async fn sql(&self, instance: &str, statements: &[&str]) {
        let mut conn = support::conn(&self.sandbox, instance).await;
        for sql in statements {
            conn.query_drop(*sql)
                .await
                .unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
    }
}

fn run(sandbox: &Sandbox, dir: &Path, args: &[&str]) -> Output {
    Command::new(support::SHARDCTL)
        .args(["--sandbox", sandbox.name(), "--topology", "topology.yaml"])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn stdout(output: &Output, code: i32) -> String {
    assert_eq!(
        output.status.code(),
        Some(code),
        "{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// Every finding above a note: level, rule and message.
fn findings(report: &serde_json::Value) -> Vec<String> {
    let mut found = Vec::new();
    for run in report["checks"].as_array().unwrap() {
        for case in run["cases"].as_array().unwrap() {
            for finding in case["findings"].as_array().unwrap() {
                let word = |key: &str| finding[key].as_str().unwrap();
                if word("level") != "note" {
                    found.push(format!(
                        "{} {}: {}",
                        word("level"),
                        word("rule"),
                        word("message")
                    ));
                }
            }
        }
    }
    found
}

macro_rules! snapshot {
    ($shown:expr, @$expected:literal) => {
        let shown = $shown;
        insta::with_settings!({filters => vec![
            (r"\((MySQL|MariaDB) [0-9.]+\)", "([server])"),
            (r"[^ (]*/rds-(\d)\.sock", "[rds-$1.sock]"),
            (r"~[0-9,]+", "[estimate]"),
            (r"\d+\.\d\d %", "[fill]"),
            (r"fullest: [a-z_0-9.A-Z]+", "fullest: [table]"),
            (r"20\d\d-\d\d-\d\d", "[day]"),
        ]}, {
            insta::allow_duplicates! { insta::assert_snapshot!(shown, @$expected) };
        });
    };
}

/// The XML is well-formed, its counts are those of its cases; the names of the cases that failed.
fn junit_failures(path: &str) -> Vec<String> {
    let xml = std::fs::read_to_string(path).unwrap();
    let document = roxmltree::Document::parse(&xml).unwrap();
    let root = document.root_element();
    assert_eq!(root.tag_name().name(), "testsuites");
    let number =
        |node: roxmltree::Node, name: &str| node.attribute(name).unwrap().parse::<usize>().unwrap();
    let with = |node: roxmltree::Node, element: &str| {
        node.descendants()
            .filter(|node| node.tag_name().name() == element)
            .count()
    };
    for node in std::iter::once(root).chain(root.children().filter(|node| node.is_element())) {
        assert_eq!(number(node, "tests"), with(node, "testcase"));
        assert_eq!(number(node, "failures"), with(node, "failure"));
        assert_eq!(number(node, "errors"), with(node, "error"));
        assert_eq!(number(node, "skipped"), with(node, "skipped"));
    }
    root.descendants()
        .filter(|node| ["failure", "error"].contains(&node.tag_name().name()))
        .map(|node| {
            let case = node.parent().unwrap();
            format!(
                "{} {}",
                case.attribute("classname").unwrap(),
                case.attribute("name").unwrap()
            )
        })
        .collect()
}

on_each_engine! {
    async fn a_healthy_fleet_passes_in_ten_lines(engine) {
        let fleet = Fleet::created(engine).await;
        fleet.run(&["fill", "--members", "400"], 0);
        let junit = fleet.path("junit.xml");
        let shown = fleet.run(&["check", "--exact", "--junit", &junit, "--annotations", "github"], 0);
        assert!(shown.lines().count() <= 10, "{shown}");
        snapshot!(shown, @r"
        topology.yaml: all is well (3 notes: -v shows them)
          file      ok       2 instances, 16 schemas, 6 tables (96 physical)
          routing   ok       6 tables by drds_hash
          live      ok       2 instances reached ([server]), shard map version 1 in force
          drift     ok       96 of 96 physical tables agree
          capacity  ok       fullest: [table] ([fill]); rows counted, growth unknown: first measurement
        ");
        assert_eq!(junit_failures(&junit), [""; 0]);
        // Estimates are stated as such.
        let shown = fleet.run(&["check", "--capacity"], 0);
        assert!(shown.contains("rows estimated by the servers"), "{shown}");
        // Any one of the checks can be had alone.
        for (flag, check) in [("--live", "live"), ("--drift", "drift"), ("--capacity", "capacity"), ("--routing", "routing")] {
            let report = fleet.json(&["check", flag], 0);
            let checks: Vec<&str> = report["checks"].as_array().unwrap().iter().map(|run| run["check"].as_str().unwrap()).collect();
            assert_eq!(checks, ["file", check]);
        }
    }

    async fn every_kind_of_drift_is_found_and_grouped(engine) {
        let fleet = Fleet::created(engine).await;
        fleet.sql("rds-1", &[
            "ALTER TABLE user_center_07.member_07 DROP KEY idx_mobile",
            "ALTER TABLE user_center_01.email_verify_01 MODIFY email varchar(100) NOT NULL",
            "ALTER TABLE user_center_02.email_verify_02 MODIFY email varchar(100) NOT NULL",
            "DROP TABLE user_center_06.member_company_06",
            "CREATE TABLE user_center_05.member_backup (id int)",
            "CREATE TABLE user_center_05.member_11 LIKE user_center_05.member_05",
            "CREATE VIEW user_center_04.members AS SELECT memberId FROM user_center_04.member_04",
            "CREATE TABLE user_center_00._shardctl_abc123_0 (id int)",
            "CREATE DATABASE user_center_16",
            "CREATE DATABASE user_center_12",
            "CREATE DATABASE user_center_14",
            "CREATE DATABASE of_someone_else",
            "CREATE TABLE of_someone_else.t (id int)",
        ]).await;
        fleet.sql("rds-2", &["DROP DATABASE user_center_13", "CREATE DATABASE user_center_03", "DROP DATABASE user_center_14"]).await;
        fleet.sql("rds-2", &[
            "ALTER TABLE user_center_08.member_08 ENGINE=MyISAM",
            "ALTER TABLE user_center_09.member_09 DROP PRIMARY KEY, ADD PRIMARY KEY (memberId, status)",
            "ALTER TABLE user_center_10.member_10 ADD COLUMN note varchar(9)",
        ]).await;
        for n in 0..16 {
            let instance = if n < 8 { "rds-1" } else { "rds-2" };
            if ![13, 14].contains(&n) {
                fleet.sql(instance, &[&format!("ALTER TABLE user_center_{n:02}.member_login_account_{n:02} COMMENT='other'")]).await;
            }
        }
        let junit = fleet.path("junit.xml");
        let report = fleet.json(&["check", "--drift", "--junit", &junit], 1);
        let found = findings(&report).join("\n");
        snapshot!(found, @r"
        failure schema_missing: user_center_13 is missing on rds-2
        failure schema_misplaced: user_center_14 lies on rds-1 and belongs on rds-2
        failure schema_twice: user_center_12 lies on rds-1 as well as on rds-2, where it belongs
        failure schema_twice: user_center_03 lies on rds-2 as well as on rds-1, where it belongs
        failure schema_extra: user_center_16 is on rds-1, and the topology has 16 schemas only
        failure table_extra: is not in the topology: user_center_04.members, user_center_05.member_backup
        failure table_left_over: user_center_00._shardctl_abc123_0 has a hidden name of shardctl's, and no open job knows it
        failure table_differs: member: 10 of 16 agree, user_center_08.member_08 engine is MyISAM, wanted InnoDB
        failure table_differs: member: 10 of 16 agree, user_center_10.member_10 has a further column `note` varchar(9)
        failure table_differs: member: 10 of 16 agree, user_center_09.member_09 its primary key is (memberid, status), wanted (memberid)
        failure table_differs: member: 10 of 16 agree, user_center_07.member_07 lacks index `idx_mobile` (mobile)
        failure table_misplaced: member: user_center_05.member_11 belongs in user_center_11
        failure table_differs: member_login_account: 0 of 16 agree, comment is other, wanted login accounts, by member: user_center_00.member_login_account_00, user_center_01.member_login_account_01, user_center_02.member_login_account_02 and 11 more
        failure table_differs: email_verify: 12 of 16 agree, column `email`: found varchar(100), wanted varchar(128): user_center_01.email_verify_01, user_center_02.email_verify_02
        failure table_missing: member_company: 13 of 16 agree, user_center_06.member_company_06 is missing
        ");
        assert_eq!(
            junit_failures(&junit),
            ["schemas", "further tables", "member", "member_login_account", "email_verify", "member_company"]
                .map(|name| format!("shardctl.drift {name}"))
        );
        // Each place is named, and where in the file to look.
        let member = report["checks"][1]["cases"].as_array().unwrap().iter().find(|case| case["name"] == "email_verify").unwrap();
        assert_eq!(member["findings"][0]["places"], serde_json::json!(["rds-1/user_center_01.email_verify_01", "rds-1/user_center_02.email_verify_02"]));
        assert_eq!(member["findings"][0]["at"]["line"], 108);
        snapshot!(fleet.run(&["check", "--drift", "--annotations", "github"], 1), @r"
        topology.yaml: 15 failures
          file      ok       2 instances, 16 schemas, 6 tables (96 physical)
          drift     FAILED   63 of 96 physical tables agree
            FAILED   user_center_13 is missing on rds-2 (topology.yaml:20:5)
                     `shardctl create` makes what is missing
            FAILED   user_center_14 lies on rds-1 and belongs on rds-2 (topology.yaml:20:5)
            FAILED   user_center_12 lies on rds-1 as well as on rds-2, where it belongs (topology.yaml:20:5)
                     find out which of them the application writes to before one is dropped
            FAILED   user_center_03 lies on rds-2 as well as on rds-1, where it belongs (topology.yaml:20:5)
                     find out which of them the application writes to before one is dropped
            FAILED   user_center_16 is on rds-1, and the topology has 16 schemas only (topology.yaml:20:5)
            FAILED   is not in the topology: user_center_04.members, user_center_05.member_backup (topology.yaml:20:5)
            FAILED   user_center_00._shardctl_abc123_0 has a hidden name of shardctl's, and no open job knows it (topology.yaml:20:5)
            FAILED   member: 10 of 16 agree, user_center_08.member_08 engine is MyISAM, wanted InnoDB (topology.yaml:29:7)
            FAILED   member: 10 of 16 agree, user_center_10.member_10 has a further column `note` varchar(9) (topology.yaml:29:7)
            FAILED   member: 10 of 16 agree, user_center_09.member_09 its primary key is (memberid, status), wanted (memberid) (topology.yaml:29:7)
            FAILED   member: 10 of 16 agree, user_center_07.member_07 lacks index `idx_mobile` (mobile) (topology.yaml:29:7)
            FAILED   member: user_center_05.member_11 belongs in user_center_11 (topology.yaml:24:3)
            FAILED   member_login_account: 0 of 16 agree, comment is other, wanted login accounts, by member: user_center_00.member_login_account_00, user_center_01.member_login_account_01, user_center_02.member_login_account_02 and 11 more (topology.yaml:72:7)
            FAILED   email_verify: 12 of 16 agree, column `email`: found varchar(100), wanted varchar(128): user_center_01.email_verify_01, user_center_02.email_verify_02 (topology.yaml:108:7)
            FAILED   member_company: 13 of 16 agree, user_center_06.member_company_06 is missing (topology.yaml:117:3)
                     `shardctl create` makes what is missing
        ::error file=topology.yaml,line=20,col=5,title=shardctl drift%3A schema_missing::user_center_13 is missing on rds-2%0A`shardctl create` makes what is missing
        ::error file=topology.yaml,line=20,col=5,title=shardctl drift%3A schema_misplaced::user_center_14 lies on rds-1 and belongs on rds-2
        ::error file=topology.yaml,line=20,col=5,title=shardctl drift%3A schema_twice::user_center_12 lies on rds-1 as well as on rds-2, where it belongs%0Afind out which of them the application writes to before one is dropped
        ::error file=topology.yaml,line=20,col=5,title=shardctl drift%3A schema_twice::user_center_03 lies on rds-2 as well as on rds-1, where it belongs%0Afind out which of them the application writes to before one is dropped
        ::error file=topology.yaml,line=20,col=5,title=shardctl drift%3A schema_extra::user_center_16 is on rds-1, and the topology has 16 schemas only
        ::error file=topology.yaml,line=20,col=5,title=shardctl drift%3A table_extra::is not in the topology: user_center_04.members, user_center_05.member_backup
        ::error file=topology.yaml,line=20,col=5,title=shardctl drift%3A table_left_over::user_center_00._shardctl_abc123_0 has a hidden name of shardctl's, and no open job knows it
        ::error file=topology.yaml,line=29,col=7,title=shardctl drift%3A table_differs::member: 10 of 16 agree, user_center_08.member_08 engine is MyISAM, wanted InnoDB
        ::error file=topology.yaml,line=29,col=7,title=shardctl drift%3A table_differs::member: 10 of 16 agree, user_center_10.member_10 has a further column `note` varchar(9)
        ::error file=topology.yaml,line=29,col=7,title=shardctl drift%3A table_differs::member: 10 of 16 agree, user_center_09.member_09 its primary key is (memberid, status), wanted (memberid)
        ::error file=topology.yaml,line=29,col=7,title=shardctl drift%3A table_differs::member: 10 of 16 agree, user_center_07.member_07 lacks index `idx_mobile` (mobile)
        ::error file=topology.yaml,line=24,col=3,title=shardctl drift%3A table_misplaced::member: user_center_05.member_11 belongs in user_center_11
        ::error file=topology.yaml,line=72,col=7,title=shardctl drift%3A table_differs::member_login_account: 0 of 16 agree, comment is other, wanted login accounts, by member: user_center_00.member_login_account_00, user_center_01.member_login_account_01, user_center_02.member_login_account_02 and 11 more
        ::error file=topology.yaml,line=108,col=7,title=shardctl drift%3A table_differs::email_verify: 12 of 16 agree, column `email`: found varchar(100), wanted varchar(128): user_center_01.email_verify_01, user_center_02.email_verify_02
        ::error file=topology.yaml,line=117,col=3,title=shardctl drift%3A table_missing::member_company: 13 of 16 agree, user_center_06.member_company_06 is missing%0A`shardctl create` makes what is missing
        ");
    }

    async fn what_means_the_same_is_no_drift(engine) {
        let fleet = Fleet::created(engine).await;
        // By hand: display widths, the options in another order, charsets spelled out, names that
        // the server chose, another AUTO_INCREMENT, whatever this server prints.
        fleet.sql("rds-1", &[
            "DROP TABLE user_center_00.email_verify_00",
            "CREATE TABLE user_center_00.email_verify_00 (
                `memberId` bigint(20) unsigned NOT NULL,
                `email` varchar(128) CHARACTER SET utf8mb4 NOT NULL,
                `token` binary(16) NOT NULL,
                `sentAt` datetime(3) NOT NULL,
                `verifiedAt` datetime(3) NULL DEFAULT NULL,
                PRIMARY KEY USING BTREE (`email`, `memberId`)
            ) COMMENT='e-mail verifications' DEFAULT CHARACTER SET utf8mb4 ENGINE=InnoDB",
        ]).await;
        // The key's order is part of its meaning, though.
        let found = findings(&fleet.json(&["check", "--drift"], 1));
        assert_eq!(found, ["failure table_differs: email_verify: 15 of 16 agree, user_center_00.email_verify_00 its primary key is (email, memberid), wanted (memberid, email)"]);
        fleet.sql("rds-1", &["ALTER TABLE user_center_00.email_verify_00 DROP PRIMARY KEY, ADD PRIMARY KEY (memberId, email)"]).await;
        assert_eq!(findings(&fleet.json(&["check", "--drift"], 0)), [""; 0]);
    }

    async fn a_server_that_is_down_does_not_hide_the_others(engine) {
        let fleet = Fleet::created(engine).await;
        fleet.sql("rds-1", &["ALTER TABLE user_center_03.member_03 DROP KEY idx_mobile"]).await;
        let sandbox = fleet.sandbox.clone();
        tokio::task::spawn_blocking(move || sandbox.stop("rds-2").unwrap()).await.unwrap();
        let junit = fleet.path("junit.xml");
        let output = fleet.output(&["check", "--exact", "--junit", &junit]);
        snapshot!(format!("{}--\n{}", stdout(&output, 3), text(&output.stderr)), @r"
        topology.yaml: 1 thing could not be checked, 1 failure (4 notes: -v shows them)
          file      ok       2 instances, 16 schemas, 6 tables (96 physical)
          routing   ok       6 tables by drds_hash
          live      ERROR    1 of 2 instances reached ([server]), shard map version 1 in force
            ERROR    rds-2 ([rds-2.sock]) was not reached: could not connect: the connection failed: Input/output error: No such file or directory (os error 2) (topology.yaml:11:3)
                     check that the server runs and that the address is right
          drift     FAILED   47 of 48 physical tables agree, 48 could not be looked at
            FAILED   member: 7 of 8 agree, user_center_03.member_03 lacks index `idx_mobile` (mobile) (topology.yaml:29:7)
          capacity  ok       fullest: [table] ([fill]); rows counted, growth unknown: first measurement (1 of 2 instances)
        --
        error: instance rds-2 was not reached
          now:    the rest was checked, and has 1 failure
        ");
        let report = fleet.json(&["check", "--drift"], 3);
        assert_eq!(report["not_reached"], serde_json::json!(["rds-2"]));
        assert_eq!(junit_failures(&junit), ["shardctl.live rds-2", "shardctl.drift member"]);
        // A measurement of half a fleet is kept nowhere.
        let mut conn = support::conn(&fleet.sandbox, "rds-1").await;
        let kept: Option<String> = conn.query_first("SHOW TABLES FROM _shardctl LIKE 'capacity_history'").await.unwrap();
        assert_eq!(kept, None);
        // And so when the control instance is the one that is down.
        let sandbox = fleet.sandbox.clone();
        tokio::task::spawn_blocking(move || {
            sandbox.start("rds-2").unwrap();
            sandbox.stop("rds-1").unwrap();
        }).await.unwrap();
        let report = fleet.json(&["check"], 3);
        assert_eq!(report["not_reached"], serde_json::json!(["rds-1"]));
        assert!(report["checks"][3]["summary"].as_str().unwrap().starts_with("48 of 48"), "{report}");
    }

    async fn growth_comes_from_two_measurements_on_the_control_instance(engine) {
        let fleet = Fleet::created(engine).await;
        fleet.run(&["fill", "--members", "400"], 0);
        // Of how many rows the fullest table is, for a limit that no other has reached.
        let first = fleet.json(&["check", "--capacity", "--exact"], 0);
        let fullest = &first["capacity"]["gauges"][0];
        let rows = fullest["now"].as_u64().unwrap();
        let (schema, table) = (&fullest["what"]["rows"]["table"]["schema"], &fullest["what"]["rows"]["table"]["table"]);
        let (schema, table) = (schema.as_str().unwrap(), table.as_str().unwrap());
        // Within the hour a second one says the same and is not kept.
        let again = fleet.run(&["check", "--capacity", "--exact"], 0);
        assert!(again.contains("growth unknown: the history is not an hour long"), "{again}");
        let mut conn = support::conn(&fleet.sandbox, "rds-1").await;
        let kept: Vec<(u64, u32)> = conn.query("SELECT id, format FROM _shardctl.capacity_history").await.unwrap();
        assert_eq!(kept, [(1, 1)]);
        // As if it had been taken a hundred days ago, when that table had no rows yet.
        let then = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(2_400);
        let record: String = conn.query_first("SELECT record FROM _shardctl.capacity_history").await.unwrap().unwrap();
        let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
        record["taken_at"] = then.to_string().into();
        assert_eq!(record["tables"][schema][table]["rows"], rows);
        record["tables"][schema][table]["rows"] = 0.into();
        conn.exec_drop("UPDATE _shardctl.capacity_history SET taken_at = ?, record = ?", (then.to_string(), record.to_string())).await.unwrap();
        let report = fleet.json(&["check", "--capacity", "--exact"], 0);
        let gauges = report["capacity"]["gauges"].as_array().unwrap();
        let gauge = gauges.iter().find(|gauge| gauge["what"]["rows"]["table"]["table"] == table).unwrap();
        let rate = gauge["per_year"].as_u64().unwrap();
        assert!(rate.abs_diff(rows * 36_525 / 10_000) <= 1, "{rate} {rows}");
        assert_eq!(report["capacity"]["basis"]["since"]["days"], 100);
        // A limit that this rate reaches in less than a month, and one in less than a year.
        let soon = (rows + rate / 15).to_string();
        let later = (rows + rate / 2).to_string();
        let found = findings(&fleet.json(&["check", "--capacity", "--exact", "--max-rows-per-table", &soon, "--horizon", "12mo", "--fail", "3mo"], 1));
        assert!(found[0].starts_with("failure full: "), "{found:?}");
        let found = findings(&fleet.json(&["check", "--capacity", "--exact", "--max-rows-per-table", &later, "--horizon", "12mo", "--fail", "3mo"], 0));
        assert!(found.iter().any(|found| found.starts_with("warning full_soon: ") && found.contains(&format!("{schema}.{table} is full on "))), "{found:?}");
        // The thresholds can stand in the file; a flag counts before them.
        let plain = std::fs::read_to_string(fleet.path("topology.yaml")).unwrap();
        let section = format!("check:\n  fail: 3mo\n  warn: 12mo\n  rows_per_table: {later}\n");
        std::fs::write(fleet.path("topology.yaml"), format!("{section}{plain}")).unwrap();
        let report = fleet.json(&["check", "--capacity", "--exact"], 0);
        assert_eq!(report["capacity"]["held_to"]["rows_per_table"].to_string(), later);
        assert_eq!(report["capacity"]["held_to"]["fail"], "3mo");
        let found = findings(&report);
        assert!(found.iter().any(|found| found.starts_with("warning full_soon: ")), "{found:?}");
        let found = findings(&fleet.json(&["check", "--capacity", "--exact", "--fail", "12mo"], 1));
        assert!(found[0].starts_with("failure full: "), "{found:?}");
        fleet.json(&["check", "--capacity", "--exact", "--max-rows-per-table", "5M"], 0);
        // It is no part of what is in force, and no drift.
        fleet.json(&["check", "--live", "--drift"], 0);
        std::fs::write(fleet.path("topology.yaml"), plain).unwrap();
        // What is full already is a failure whatever the growth.
        let found = findings(&fleet.json(&["check", "--capacity", "--exact", "--max-rows-per-table", "10"], 1));
        assert!(found.iter().filter(|found| found.starts_with("failure full: ")).count() >= 5, "{found:?}");
        // The second measurement is kept beside the first.
        let kept: Vec<u64> = conn.query("SELECT id FROM _shardctl.capacity_history").await.unwrap();
        assert_eq!(kept, [1, 2]);
    }

    async fn a_history_in_a_file_shows_the_shard_that_grows_unlike_the_others(engine) {
        let fleet = Fleet::created(engine).await;
        fleet.run(&["fill", "--members", "3000"], 0);
        let history = fleet.path("history.jsonl");
        fleet.run(&["check", "--capacity", "--exact", "--history", &history], 0);
        // Half a year ago every table had half of its rows, but that one, which had none.
        let mut record: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&history).unwrap()).unwrap();
        record["taken_at"] = (jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * 182)).to_string().into();
        for (_, tables) in record["tables"].as_object_mut().unwrap() {
            for (name, size) in tables.as_object_mut().unwrap() {
                let rows = size["rows"].as_u64().unwrap();
                size["rows"] = if name == "member_address_09" { 0.into() } else { (rows * 9 / 10).into() };
            }
        }
        std::fs::write(&history, format!("{record}\n")).unwrap();
        let report = fleet.json(&["check", "--capacity", "--exact", "--history", &history, "--max-bytes-per-instance", "1T"], 0);
        let unlike: Vec<String> = findings(&report).into_iter().filter(|found| found.contains("grows_unlike")).collect();
        assert_eq!(unlike.len(), 1, "{unlike:?}");
        assert!(unlike[0].contains("user_center_09.member_address_09 grows unlike the others"), "{unlike:?}");
        assert_eq!(std::fs::read_to_string(&history).unwrap().lines().count(), 2);
        // A file that holds something else is refused before the long work.
        std::fs::write(&history, "time,rows\n1,2\n").unwrap();
        let output = fleet.output(&["check", "--capacity", "--history", &history]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains("a line of the history is no measurement"), "{}", text(&output.stderr));
    }

    async fn keys_in_steps_and_a_hot_shard_are_named(engine) {
        let fleet = Fleet::created(engine).await;
        // Ids of a sequence that counts in sixteens all come to one shard.
        let rows: Vec<String> = (1..=300).map(|n| format!("({}, 'e', '', NOW())", n * 16)).collect();
        fleet.sql("rds-1", &[&format!("INSERT INTO user_center_00.email_verify_00 (memberId, email, token, sentAt) VALUES {}", rows.join(","))]).await;
        let found = findings(&fleet.json(&["check", "--live", "--capacity", "--exact"], 0));
        assert_eq!(found, [
            "warning sequence_step: all 300 keys that were looked at in `memberId` of `email_verify` lie a multiple of 16 apart: 15 of its 16 physical tables get no rows",
            "warning filled_unlike: email_verify: user_center_00.email_verify_00 is filled unlike the others: 300 rows, where the median is 0",
        ]);
    }

    async fn missing_rights_are_named_with_the_grant_that_helps(engine) {
        let fleet = Fleet::created(engine).await;
        fleet.run(&["fill", "--members", "50"], 0);
        for instance in ["rds-1", "rds-2"] {
            fleet.sql(instance, &["CREATE USER 'auditor'@'%' IDENTIFIED BY 'p-7'"]).await;
            for n in 0..16 {
                let at_home = (instance == "rds-1") == (n < 8);
                if at_home && n != 4 && n != 5 {
                    fleet.sql(instance, &[&format!("GRANT SELECT ON user_center_{n:02}.* TO 'auditor'@'%'")]).await;
                }
            }
        }
        fleet.sql("rds-1", &["GRANT SELECT ON user_center_05.member_05 TO 'auditor'@'%'"]).await;
        let file = fleet.path("auditor.cnf");
        std::fs::write(&file, "[client]\nuser=auditor\npassword=wrong\n").unwrap();
        let report = fleet.json(&["--defaults-file", &file, "check", "--live"], 3);
        let refused = &report["checks"][1]["cases"][0]["findings"][0];
        assert!(refused["message"].as_str().unwrap().contains("Access denied"), "{refused}");
        assert!(refused["next"].as_str().unwrap().starts_with("check the user"), "{refused}");
        std::fs::write(&file, "[client]\nuser=auditor\npassword=p-7\n").unwrap();
        let output = fleet.output(&["--defaults-file", &file, "check", "--exact"]);
        snapshot!(format!("{}--\n{}", stdout(&output, 3), text(&output.stderr)), @r"
        topology.yaml: 8 things could not be checked, 1 warning (3 notes: -v shows them)
          file      ok       2 instances, 16 schemas, 6 tables (96 physical)
          routing   ok       6 tables by drds_hash
          live      ERROR    2 instances reached ([server])
            ERROR    shard map and jobs on rds-1, rds-2 cannot be read with the user's rights
                     GRANT SELECT ON `_shardctl`.* TO 'auditor'@'%'
          drift     ERROR    85 of 85 physical tables agree, 11 could not be looked at
            ERROR    user_center_04 cannot be read with the user's rights (topology.yaml:20:5)
                     GRANT SELECT ON `user_center_04`.* TO 'auditor'@'%'; on rds-1
            ERROR    member_address: user_center_05.member_address_05 cannot be read with the user's rights (topology.yaml:47:3)
                     GRANT SELECT ON `user_center_05`.`member_address_05` TO 'auditor'@'%'; on rds-1
            ERROR    member_login_account: user_center_05.member_login_account_05 cannot be read with the user's rights (topology.yaml:67:3)
                     GRANT SELECT ON `user_center_05`.`member_login_account_05` TO 'auditor'@'%'; on rds-1
            ERROR    member_login_account_memberAccount: user_center_05.member_login_account_memberAccount_05 cannot be read with the user's rights (topology.yaml:87:3)
                     GRANT SELECT ON `user_center_05`.`member_login_account_memberAccount_05` TO 'auditor'@'%'; on rds-1
            ERROR    email_verify: user_center_05.email_verify_05 cannot be read with the user's rights (topology.yaml:103:3)
                     GRANT SELECT ON `user_center_05`.`email_verify_05` TO 'auditor'@'%'; on rds-1
            ERROR    member_company: user_center_05.member_company_05 cannot be read with the user's rights (topology.yaml:117:3)
                     GRANT SELECT ON `user_center_05`.`member_company_05` TO 'auditor'@'%'; on rds-1
          capacity  ERROR    fullest: [table] ([fill]); rows counted, growth unknown: the user may not read the history
            ERROR    user_center_04.email_verify_04, user_center_04.member_04, user_center_04.member_address_04 and 8 more on rds-1 cannot be measured with the user's rights
                     GRANT SELECT ON `user_center_04`.`email_verify_04` TO 'auditor'@'%', and likewise on the others
            warning  the history of capacity on rds-1 cannot be read with the user's rights
                     GRANT CREATE, SELECT, INSERT ON `_shardctl`.* TO 'auditor'@'%', or name a file with --history FILE
        --
        error: some of the fleet could not be looked at
          now:    the rest was checked, and has no failure
        ");
    }

    async fn tables_of_an_open_job_are_named_as_such(engine) {
        let mut fleet = Fleet::created(engine).await;
        fleet.run(&["fill", "--members", "50"], 0);
        fleet.sandbox.add_instance().unwrap();
        fleet.run(&["rebalance", "--add-instance", "rds-3", "--offline", "--keep-source", "--yes"], 0);
        // The file is not the one in force any more.
        let report = fleet.json(&["check", "--live", "--drift"], 1);
        let found = findings(&report);
        assert!(found.iter().any(|found| found.starts_with("failure not_in_force: the topology file is not the shard map in force")), "{found:?}");
        // With the one in force, the source's hidden tables are the job's, and no drift.
        fleet.run(&["status", "--write", "topology.yaml"], 0);
        let report = fleet.json(&["check", "--live", "--drift"], 0);
        assert_eq!(findings(&report), [""; 0]);
        let shown = fleet.run(&["check", "--drift", "-v"], 0);
        assert!(shown.contains("is a table that the open job ") || shown.contains("that the open job"), "{shown}");
        let output = fleet.output(&["job", "list", "-o", "json"]);
        let jobs = stdout(&output, 0);
        let id = serde_json::from_str::<serde_json::Value>(&jobs).unwrap();
        let id = id["jobs"][0]["id"].as_str().unwrap_or_else(|| panic!("{jobs}")).to_owned();
        fleet.run(&["job", "finish", &id, "--yes"], 0);
        let shown = fleet.run(&["check", "--drift", "-v"], 0);
        assert!(!shown.contains("open job"), "{shown}");
    }

    async fn servers_that_are_one_or_lag_behind_the_shard_map_are_named(engine) {
        let fleet = Fleet::created(engine).await;
        fleet.sql("rds-2", &["UPDATE _shardctl.shard_map SET version = 7", "SET GLOBAL read_only = 1"]).await;
        fleet.sql("rds-1", &["INSERT INTO _shardctl.fill (one, what) VALUES (1, '5 members')"]).await;
        let mut found = findings(&fleet.json(&["check", "--live"], 1));
        let fill = found.pop().unwrap();
        assert!(fill.starts_with("warning open_fill: a fill (5 members) began at 20"), "{fill}");
        assert_eq!(found, [
            "warning read_only: rds-2 refuses writes (read_only is on): is it the primary?",
            "failure shard_map_behind: rds-2 has version 7 of the shard map, and 1 is in force: routers that ask there go by another",
        ]);
        // Two servers whose names and folders say nothing are told apart by a lock all the same.
        let source = CredentialSource { defaults_file: Some(fleet.sandbox.client_file()), ..CredentialSource::default() };
        let credentials = Credentials::read(source).unwrap();
        let servers = Servers::connect(&fleet.sandbox.endpoints(), &credentials, 2).await.unwrap();
        let all: Vec<&Server> = servers.iter().collect();
        for (first, second) in [(0, 1), (1, 0), (0, 0), (1, 1)] {
            assert_eq!(are_one(all[first], all[second], "a_lock").await.unwrap(), first == second);
        }
        servers.disconnect().await;
        // Two names for one server: by another path of its socket.
        let socket = fleet.sandbox.instance("rds-1").unwrap().socket.clone();
        let link = fleet.dir.path().join("other.sock");
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        let text = std::fs::read_to_string(USER_CENTER).unwrap()
            .replace("rds-1: { host: 127.0.0.1, port: 3306 }", &format!("rds-1: {{ socket: {} }}", socket.display()))
            .replace("rds-2: { host: 127.0.0.1, port: 3307 }", &format!("rds-2: {{ socket: {} }}", link.display()));
        std::fs::write(fleet.path("topology.yaml"), text).unwrap();
        let output = Command::new(support::SHARDCTL)
            .args(["check", "--live", "--defaults-file"])
            .arg(fleet.sandbox.client_file())
            .current_dir(fleet.dir.path())
            .env_remove("SHARDCTL_SANDBOX")
            .output()
            .unwrap();
        let shown = stdout(&output, 1);
        assert!(shown.contains("FAILED   rds-1, rds-2 are one server"), "{shown}");
    }
}
