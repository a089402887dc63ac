//! A switch when a person says so, and commands that are run on the way.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Duration;

use mysql_async::prelude::Queryable;
use support::fleet::shown;
use support::writers::{Writers, filled, seed};
use support::{conn, on_each_engine};

const ADD: [&str; 4] = ["rebalance", "--add-instance", "rds-3", "--yes"];

on_each_engine! {
    async fn a_manual_cutover_waits_caught_up_until_it_is_told(engine) {
        let fleet = filled(engine).await;
        let writers = Writers::start(&fleet.sandbox, seed());
        let running = fleet.start(&[&ADD[..], &["--cutover", "manual"]].concat());
        fleet.reaches("ready").await;
        let (id, _) = fleet.job();
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(fleet.job().1, "ready");
        // The source serves, and who waits hands the job over.
        fleet.ok(&["job", "cutover", &id, "--yes"]);
        let waited = running.wait_with_output().unwrap();
        assert!(waited.status.success(), "{}", shown(&waited));
        assert_eq!(fleet.job().1, "done");
        writers.compare(&fleet, "rds-3").await;
        fleet.ok(&["verify"]);
        let late = fleet.run(&["job", "cutover", &id, "--yes"]);
        assert_eq!(late.status.code(), Some(2), "{}", shown(&late));
    }

    async fn killed_while_it_waits_a_job_is_caught_up_or_taken_back(engine) {
        let fleet = filled(engine).await;
        let writers = Writers::start(&fleet.sandbox, seed());
        for back in [false, true] {
            let mut running = fleet.start(&[&ADD[..], &["--cutover", "manual"]].concat());
            fleet.reaches("ready").await;
            running.kill().unwrap();
            running.wait().unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
            let (id, _) = fleet.job();
            if back {
                fleet.ok(&["job", "cancel", &id, "--yes"]);
                assert_eq!(fleet.job().1, "cancelled");
            } else {
                fleet.ok(&["job", "cutover", &id, "--yes"]);
                assert_eq!(fleet.job().1, "done");
                fleet.ok(&["rebalance", "--drain", "rds-3", "--yes"]);
            }
        }
        writers.compare(&fleet, "home").await;
        fleet.ok(&["verify"]);
    }

    async fn hooks_are_run_with_the_topologies_and_a_failing_one_refuses_nobody(engine) {
        let fleet = filled(engine).await;
        let said = fleet.dir.path().join("said");
        let tell = format!(
            "echo \"$SHARDCTL_HOOK $SHARDCTL_JOB $(grep -c rds-3: $SHARDCTL_OLD_TOPOLOGY) \
             $(grep -c rds-3: $SHARDCTL_NEW_TOPOLOGY)\" | tee -a {}",
            said.display()
        );
        let failing = [&ADD[..], &["--on-fence", "echo no router; exit 3"]].concat();
        let refused = fleet.run(&failing);
        assert_eq!(refused.status.code(), Some(4), "{}", shown(&refused));
        let text = shown(&refused);
        assert!(text.contains("on-fence: no router") && text.contains("exit status: 3"), "{text}");
        let (id, phase) = fleet.job();
        assert_eq!(phase, "live_verify");
        let mut source = conn(&fleet.sandbox, "rds-1").await;
        source.query_drop("UPDATE shop_02.member_02 SET note = NULL").await.unwrap();
        let status = fleet.ok(&["job", "status", &id]);
        assert!(status.contains("not switched: the hook --on-fence has failed"), "{status}");
        fleet.ok(&["job", "cancel", &id, "--yes"]);

        let hooks = [
            "--keep-source", "--no-watch",
            "--on-fence", &tell, "--on-switch", &tell, "--on-rollback", &tell,
        ];
        fleet.ok(&[&ADD[..], &hooks[..]].concat());
        let (id, _) = fleet.job();
        fleet.ok(&["job", "rollback", &id, "--yes"]);
        let said = std::fs::read_to_string(said).unwrap().replace(&id, "ID");
        let lines: Vec<&str> = said.lines().collect();
        let [fence, switch, fence_back, rollback] = lines[..] else { panic!("{said}") };
        assert!(fence.starts_with("on-fence ID 0 "), "{said}");
        assert!(switch.starts_with("on-switch ID 0 "), "{said}");
        assert_eq!(fence.split(' ').nth(3), switch.split(' ').nth(3));
        assert!(fence_back.starts_with("on-fence ID ") && fence_back.ends_with(" 0"), "{said}");
        assert!(rollback.starts_with("on-rollback ID ") && rollback.ends_with(" 0"), "{said}");
        fleet.ok(&["job", "finish", &id, "--yes"]);
    }
}
