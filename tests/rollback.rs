//! Going back after the switch: what was written to the target since is on the source again, whatever
//! is killed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use support::fleet::{Fleet, shown};
use support::writers::{Writers, filled, seed};
use support::{conn, on_each_engine};

const KEEP: [&str; 6] = [
    "rebalance",
    "--add-instance",
    "rds-3",
    "--yes",
    "--keep-source",
    "--no-watch",
];

/// Goes on with the newest job until it is in this phase.
fn reach(fleet: &Fleet, wanted: &str, args: &[&str]) {
    let (id, _) = fleet.job();
    for _ in 0..5 {
        if fleet.job().1 == wanted {
            return;
        }
        let mut all = vec!["job", args[0], &id];
        all.extend(&args[1..]);
        let output = fleet.run(&all);
        println!("{all:?}: {}", shown(&output));
    }
    panic!("{wanted} is not reached: {:?}", fleet.job());
}

on_each_engine! {
    async fn a_rollback_brings_back_all_that_was_written_since_the_switch(engine) {
        let fleet = filled(engine).await;
        let writers = Writers::start(&fleet.sandbox, seed());
        fleet.ok(&KEEP);
        assert_eq!(fleet.job().1, "watch");
        // Nobody applies the log meanwhile.
        tokio::time::sleep(Duration::from_millis(700)).await;
        let (id, _) = fleet.job();
        let status = fleet.ok(&["job", "status", &id]);
        assert!(status.contains("a way back needs the log of rds-3"), "{status}");
        fleet.ok(&["job", "rollback", &id, "--yes"]);
        assert_eq!(fleet.job().1, "returned");
        assert_eq!(fleet.versions().await, [Some(3), Some(3), Some(3)]);
        tokio::time::sleep(Duration::from_millis(300)).await;
        fleet.ok(&["job", "finish", &id, "--yes"]);
        assert_eq!(fleet.job().1, "rolled_back");
        writers.compare(&fleet, "home").await;
        fleet.ok(&["verify"]);
        assert_eq!(progress_left(&fleet).await, 0);
    }

    async fn a_run_that_watches_hands_the_job_over(engine) {
        let fleet = filled(engine).await;
        let writers = Writers::start(&fleet.sandbox, seed());
        let watching = fleet.start(&KEEP[..5]);
        fleet.reaches("watch").await;
        // What is written to the target appears in the source's hidden table.
        let (id, _) = fleet.job();
        let job: serde_json::Value =
            serde_json::from_str(&fleet.ok(&["-o", "json", "job", "status", &id])).unwrap();
        let hidden = job["moves"][0]["tables"]
            .as_array().unwrap().iter()
            .find(|table| table["table"] == "member_02").unwrap()["hidden"].as_str().unwrap().to_owned();
        let mut target = conn(&fleet.sandbox, "rds-3").await;
        target.query_drop("INSERT INTO shop_02.member_02 VALUES (1200002, 'back', NULL, NOW())").await.unwrap();
        let mut source = conn(&fleet.sandbox, "rds-1").await;
        let began = Instant::now();
        loop {
            let found: Option<u64> = source
                .query_first(format!("SELECT COUNT(*) FROM shop_02.{hidden} WHERE account = 'back'"))
                .await
                .unwrap();
            if found == Some(1) {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "nothing flows back");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("a row came back within {:?}", began.elapsed());
        target.query_drop("DELETE FROM shop_02.member_02 WHERE account = 'back'").await.unwrap();

        fleet.ok(&["job", "rollback", &id, "--yes"]);
        let watched = watching.wait_with_output().unwrap();
        assert!(watched.status.success(), "{}", shown(&watched));
        fleet.ok(&["job", "finish", &id, "--yes"]);
        writers.compare(&fleet, "home").await;
        fleet.ok(&["verify"]);
    }

    async fn killed_at_every_step_of_the_way_back_nothing_is_lost(engine) {
        let fleet = filled(engine).await;
        let seed = seed();
        let writers = Writers::start(&fleet.sandbox, seed);
        let mut kills = 0;
        for (there, back) in [
            ("before locate back", "before compare back"),
            ("after locate back", "within compare back 2"),
            ("before try back", "after compare back"),
            ("after try back", "before fence back"),
            ("before commit", "within fence back 1"),
            ("after commit", "after fence back"),
            ("within publish 1", "before drain back"),
            ("after publish", "after drain back"),
            ("", "before commit back"),
            ("", "after commit back"),
            ("", "before publish back"),
            ("", "within publish back 1"),
            ("", "after publish back"),
        ] {
            if there.is_empty() {
                fleet.ok(&KEEP);
            } else {
                assert!(fleet.killed_at(there, &KEEP), "{there} was not reached");
                kills += 1;
                reach(&fleet, "watch", &["resume", "--no-watch"]);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            let (id, _) = fleet.job();
            let rollback = ["job", "rollback", &id, "--yes"];
            assert!(fleet.killed_at(back, &rollback), "{back} was not reached");
            kills += 1;
            reach(&fleet, "returned", &["resume"]);
            if fleet.killed_at("within clear 1", &["job", "finish", &id, "--yes"]) {
                kills += 1;
            }
            reach(&fleet, "rolled_back", &["resume"]);
            assert_eq!(progress_left(&fleet).await, 0, "{back}");
        }
        println!("seed {seed}: {kills} kills");
        writers.compare(&fleet, "home").await;
        fleet.ok(&["verify"]);
    }

    async fn a_rollback_that_is_taken_back_leaves_the_rows_with_the_target(engine) {
        let fleet = filled(engine).await;
        let writers = Writers::start(&fleet.sandbox, seed());
        fleet.ok(&KEEP);
        let (id, _) = fleet.job();
        for point in ["after compare back", "within fence back 1", "after drain back", "before commit back"] {
            assert!(fleet.killed_at(point, &["job", "rollback", &id, "--yes"]), "{point}");
            let output = fleet.run(&["job", "cancel", &id, "--yes"]);
            assert!(output.status.success(), "{point}: {}", shown(&output));
            assert_eq!(fleet.job().1, "watch", "{point}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        fleet.ok(&["job", "finish", &id, "--yes"]);
        assert_eq!(fleet.job().1, "done");
        writers.compare(&fleet, "rds-3").await;
        fleet.ok(&["verify"]);
    }

    async fn a_source_that_was_spoilt_meanwhile_is_not_gone_back_to(engine) {
        let fleet = filled(engine).await;
        fleet.ok(&KEEP);
        let (id, _) = fleet.job();
        let mut source = conn(&fleet.sandbox, "rds-1").await;
        let mut member = String::new();
        for table in fleet.tables().await {
            let hidden = table.strip_prefix("rds-1/").filter(|name| name.contains("_shardctl_"));
            if let Some(name) = hidden && rows(&mut source, name).await > 0 {
                name.clone_into(&mut member);
            }
        }
        source.query_drop(format!("DELETE FROM {member} WHERE id = 14")).await.unwrap();
        let refused = fleet.run(&["job", "rollback", &id, "--yes"]);
        assert_eq!(refused.status.code(), Some(1), "{}", shown(&refused));
        let text = shown(&refused);
        assert!(text.contains("nothing was switched back") && text.contains("id = 14"), "{text}");
        assert_eq!(fleet.job().1, "watch");
        // The target serves on.
        let mut target = conn(&fleet.sandbox, "rds-3").await;
        target.query_drop("UPDATE shop_02.member_02 SET note = 'here'").await.unwrap();
        fleet.ok(&["job", "finish", &id, "--yes"]);
    }

    async fn a_changed_definition_closes_the_way_back_and_is_said(engine) {
        let fleet = filled(engine).await;
        fleet.ok(&KEEP);
        let (id, _) = fleet.job();
        let mut target = conn(&fleet.sandbox, "rds-3").await;
        target.query_drop("ALTER TABLE shop_02.member_02 ADD COLUMN more INT").await.unwrap();
        let refused = fleet.run(&["job", "rollback", &id, "--yes"]);
        assert_eq!(refused.status.code(), Some(4), "{}", shown(&refused));
        assert!(shown(&refused).contains("definition"), "{}", shown(&refused));
        target.query_drop("UPDATE shop_02.member_02 SET note = 'here'").await.unwrap();
        let cancelled = fleet.run(&["job", "cancel", &id, "--yes"]);
        assert!(cancelled.status.success(), "{}", shown(&cancelled));
        fleet.ok(&["job", "finish", &id, "--yes"]);
        assert_eq!(fleet.job().1, "done");
    }

    async fn where_nothing_flows_back_a_rollback_is_refused(engine) {
        let fleet = filled(engine).await;
        fleet.ok(&[&KEEP[..5], &["--offline"]].concat());
        let (id, _) = fleet.job();
        let refused = fleet.run(&["job", "rollback", &id, "--yes"]);
        assert_eq!(refused.status.code(), Some(2), "{}", shown(&refused));
        assert!(shown(&refused).contains("--offline"), "{}", shown(&refused));
        fleet.ok(&["job", "finish", &id, "--yes"]);
    }
}

async fn rows(conn: &mut mysql_async::Conn, table: &str) -> u64 {
    let count: Option<u64> = conn
        .query_first(format!("SELECT COUNT(*) FROM {table}"))
        .await
        .unwrap();
    count.unwrap()
}

/// Rows that the streams and their markers have left anywhere.
async fn progress_left(fleet: &Fleet) -> u64 {
    let mut left = fleet.progress_left().await;
    for instance in ["rds-1", "rds-2", "rds-3"] {
        let mut conn = conn(&fleet.sandbox, instance).await;
        for table in ["stream_progress", "marker", "marker_seen"] {
            left += rows(&mut conn, &format!("_shardctl.{table}")).await;
        }
    }
    left
}
