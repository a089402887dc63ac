//! Moving schemas between real servers while applications write to them: every acknowledged write
//! arrives, once, whatever is killed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::Value;
use mysql_async::prelude::Queryable;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use shardctl::mysql::checksum::{self, Reads};
use shardctl::mysql::credentials::{CredentialSource, Credentials};
use shardctl::mysql::live::{LiveTable, copy_table};
use shardctl::mysql::{Servers, control, copy::TableCopy, moving, tail};
use shardctl::rows::touched::Touched;
use support::writers::{Writers, filled, seed};
use support::{Engine, conn, on_each_engine, servers};

const ADD: [&str; 4] = ["rebalance", "--add-instance", "rds-3", "--yes"];
const DRAIN: [&str; 4] = ["rebalance", "--drain", "rds-3", "--yes"];

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
                target: Some("rds-2".parse().unwrap()),
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

            // A row that is deleted in the log, and was applied, and is there again by some harm: a
            // plain read of the source has it too.
            source.query_drop(format!("{on} 0")).await.unwrap();
            source.query_drop(format!("{on} 1")).await.unwrap();
            let mut writer = support::conn(&sandbox, "rds-1").await;
            let delete = format!("DELETE FROM {schema}.t WHERE id = {id}");
            let before = tail::current_position(from, &mut looker).await.unwrap();
            let stalled = tokio::spawn(async move { writer.query_drop(delete).await.unwrap() });
            while tail::current_position(from, &mut looker).await.unwrap() == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let (here, there) = ("t".parse().unwrap(), "hidden_t".parse().unwrap());
            let sides = ((from, &here), (to, &there));
            let name = copy.schema.clone();
            let plain = checksum::compare(sides.0, sides.1, &name, &shape, 9, Reads::Plain, &|_| true);
            assert_eq!(plain.await.unwrap().keys.len(), 0, "a plain comparison sees no harm");
            assert!(!stalled.is_finished(), "the commit did not stall");
            let locking = checksum::compare(sides.0, sides.1, &name, &shape, 9, Reads::Locking, &|_| true);
            assert_eq!(locking.await.unwrap().keys, [vec![id.to_string()]]);
            stalled.await.unwrap();
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
        assert!(lines.any(|line| line.unwrap().contains(": cutover")));
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
