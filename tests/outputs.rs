//! What people see of the commands that need servers: one story on each engine, and both engines
//! tell the same.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use support::{Sandbox, on_each_engine};

fn run(sandbox: &Sandbox, dir: &Path, args: &[&str]) -> Output {
    Command::new(support::SHARDCTL)
        .args(["--sandbox", sandbox.name(), "--topology", "topology.yaml"])
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap()
}

/// Exit code, stdout and stderr without what differs from run to run: widths, times, sizes, ids.
fn shown(output: &Output) -> String {
    let mut shown = format!("exit code {}\n", output.status.code().unwrap());
    for (name, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        if !bytes.is_empty() {
            shown.push_str(&format!("-- {name}\n{}", String::from_utf8_lossy(bytes)));
        }
    }
    shown
}

macro_rules! snapshot {
    ($shown:expr, @$expected:literal) => {
        let shown = $shown;
        insta::with_settings!({filters => vec![
            (r"\+[-+]+\+\n", ""),
            (r"\|=+\|?\n", ""),
            (r"\+=+\+\n", ""),
            (r"cause: .* \(error (1146|1049)\)", "cause: [no such table]"),
            (r"in '(SELECT|field list)'", "in [clause]"),
            (r" +", " "),
            (r" (MySQL|MariaDB) [0-9.]+", " [server]"),
            (r"[^ (]*/rds-(\d)\.sock", "[rds-$1.sock]"),
            (r"[0-9.]+ (KiB|MiB|B) ", "[size] "),
            (r"~[0-9,]+", "[estimate]"),
            (r"in [0-9.]+ (s|ms)\b", "in [time]"),
            (r"[0-9,]+ rows a second", "[rate] rows a second"),
            (r"job [0-9a-f]{6}", "job [id]"),
            (r"\| [0-9a-f]{6} \|", "| [id] |"),
            (r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", "[when]"),
        ]}, {
            // Both engines come by here, and must say the same.
            insta::allow_duplicates! { insta::assert_snapshot!(shown, @$expected) };
        });
    };
}

on_each_engine! {
    async fn the_story_is_told_alike(engine) {
        let mut sandbox = support::servers(engine, 2).await;
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/topology.yaml"), dir.path().join("topology.yaml")).unwrap();
        let dir = dir.path();
        std::fs::copy(dir.join("topology.yaml"), dir.join("before.yaml")).unwrap();
        snapshot!(shown(&run(&sandbox, dir, &["create"])), @r#"
        exit code 0
        -- stdout
        created: 16 schemas, 96 tables; there already and as wanted: 0 tables; shard map version 1 is in force
        "#);
        snapshot!(shown(&run(&sandbox, dir, &["fill", "--members", "300"])), @r#"
        exit code 0
        -- stdout
        | table | rows |
        | member | 300 |
        | member_address | 418 |
        | member_login_account | 854 |
        | member_login_account_memberAccount | 854 |
        | email_verify | 268 |
        | member_company | 29 |
        2,723 rows in [time], [rate] rows a second; every table was counted
        "#);
        snapshot!(shown(&run(&sandbox, dir, &["status", "--exact"])), @r#"
        exit code 0
        -- stdout
        user_center: shard map version 1 is in force
        | instance | address | server | schemas | tables | rows | size |
        | rds-1 | [rds-1.sock] | [server] | 8 | 48 | 1,374 | [size] |
        | rds-2 | [rds-2.sock] | [server] | 8 | 48 | 1,349 | [size] |
        | shard | schema | instance | tables | rows | size | fullest table | fill |
        | 0 | user_center_00 | rds-1 | 6 | 177 | [size] | member_login_account_memberAccount_00 | 0.00 % |
        | 1 | user_center_01 | rds-1 | 6 | 166 | [size] | member_login_account_01 | 0.00 % |
        | 2 | user_center_02 | rds-1 | 6 | 162 | [size] | member_login_account_02 | 0.00 % |
        | 3 | user_center_03 | rds-1 | 6 | 174 | [size] | member_login_account_memberAccount_03 | 0.00 % |
        | 4 | user_center_04 | rds-1 | 6 | 182 | [size] | member_login_account_memberAccount_04 | 0.00 % |
        | 5 | user_center_05 | rds-1 | 6 | 164 | [size] | member_login_account_05 | 0.00 % |
        | 6 | user_center_06 | rds-1 | 6 | 179 | [size] | member_login_account_memberAccount_06 | 0.00 % |
        | 7 | user_center_07 | rds-1 | 6 | 170 | [size] | member_login_account_memberAccount_07 | 0.00 % |
        | 8 | user_center_08 | rds-2 | 6 | 171 | [size] | member_login_account_08 | 0.00 % |
        | 9 | user_center_09 | rds-2 | 6 | 161 | [size] | member_login_account_09 | 0.00 % |
        | 10 | user_center_10 | rds-2 | 6 | 186 | [size] | member_login_account_memberAccount_10 | 0.00 % |
        | 11 | user_center_11 | rds-2 | 6 | 172 | [size] | member_login_account_11 | 0.00 % |
        | 12 | user_center_12 | rds-2 | 6 | 176 | [size] | member_login_account_12 | 0.00 % |
        | 13 | user_center_13 | rds-2 | 6 | 163 | [size] | member_login_account_13 | 0.00 % |
        | 14 | user_center_14 | rds-2 | 6 | 159 | [size] | member_login_account_14 | 0.00 % |
        | 15 | user_center_15 | rds-2 | 6 | 161 | [size] | member_login_account_15 | 0.00 % |
        fill: rows of the fullest table against 5,000,000 per table
        "#);
        snapshot!(shown(&run(&sandbox, dir, &["query", "SELECT memberAccount, memberId, accountType FROM member_login_account_memberAccount WHERE memberAccount = 'chloe.jensen1'"])), @r#"
        exit code 0
        -- stdout
        | memberAccount | memberId | accountType |
        | chloe.jensen1 | 100000002 | 1 |
        -- stderr
        1 row in [time]
        "#);
        snapshot!(shown(&run(&sandbox, dir, &["query", "SELECT status, COUNT(*) AS members, AVG(balance) FROM member GROUP BY status ORDER BY status"])), @r#"
        exit code 0
        -- stdout
        | status | members | AVG(balance) |
        | 1 | 259 | 2601.410425 |
        | 2 | 23 | 2817.356522 |
        | 3 | 18 | 2550.540556 |
        -- stderr
        asking 16 tables on 2 instances (no condition on the shard key `memberId`)
        3 rows in [time]
        "#);
        snapshot!(shown(&run(&sandbox, dir, &["query", "-o", "vertical", "SELECT memberId, realName, email, balance FROM member ORDER BY memberId LIMIT 1, 2"])), @r#"
        exit code 0
        -- stdout
        *************************** 1. row ***************************
        memberId: 100000002
        realName: NULL
         email: chloe.jensen1@mail.example
         balance: 1019.98
        *************************** 2. row ***************************
        memberId: 100000003
        realName: NULL
         email: chloe.sun2@example.com
         balance: 2052.27
        -- stderr
        asking 16 tables on 2 instances (no condition on the shard key `memberId`)
        2 rows in [time]
        "#);
        snapshot!(shown(&run(&sandbox, dir, &["query", "-q", "--by-shard", "-o", "csv", "SELECT COUNT(DISTINCT city) AS cities FROM member_address"])), @r#"
        exit code 0
        -- stdout
        instance,schema,table,cities
        rds-1,user_center_00,member_address_00,10
        rds-1,user_center_01,member_address_01,10
        rds-1,user_center_02,member_address_02,10
        rds-1,user_center_03,member_address_03,12
        rds-1,user_center_04,member_address_04,12
        rds-1,user_center_05,member_address_05,12
        rds-1,user_center_06,member_address_06,11
        rds-1,user_center_07,member_address_07,9
        rds-2,user_center_08,member_address_08,9
        rds-2,user_center_09,member_address_09,12
        rds-2,user_center_10,member_address_10,11
        rds-2,user_center_11,member_address_11,12
        rds-2,user_center_12,member_address_12,11
        rds-2,user_center_13,member_address_13,10
        rds-2,user_center_14,member_address_14,10
        rds-2,user_center_15,member_address_15,11
        "#);
        snapshot!(shown(&run(&sandbox, dir, &["query", "SELECT nosuch FROM member"])), @r#"
        exit code 3
        -- stderr
        asking 16 tables on 2 instances (no condition on the shard key `memberId`)
        error: a statement was refused
         where: instance rds-1 ([rds-1.sock])
         cause: Unknown column 'nosuch' in [clause] (error 1054)
         now: the statement was: SELECT nosuch FROM `user_center_00`.`member_00` AS `member` LIMIT 0
        "#);
        assert_eq!(sandbox.add_instance().unwrap().as_str(), "rds-3");
        snapshot!(shown(&run(&sandbox, dir, &["rebalance", "--add-instance", "rds-3", "--dry-run"])), @r#"
        exit code 0
        -- stdout
        | shard | schema | from | to | tables | rows | size |
        | 6 | user_center_06 | rds-1 | rds-3 | 6 | [estimate] | [size] |
        | 7 | user_center_07 | rds-1 | rds-3 | 6 | [estimate] | [size] |
        | 13 | user_center_13 | rds-2 | rds-3 | 6 | [estimate] | [size] |
        | 14 | user_center_14 | rds-2 | rds-3 | 6 | [estimate] | [size] |
        | 15 | user_center_15 | rds-2 | rds-3 | 6 | [estimate] | [size] |
        schemas on each instance: rds-1 8 -> 6 rds-2 8 -> 5 rds-3 0 -> 5
        "#);
        snapshot!(shown(&run(&sandbox, dir, &["rebalance", "--add-instance", "rds-3"])), @r#"
        exit code 2
        -- stderr
        | shard | schema | from | to | tables | rows | size |
        | 6 | user_center_06 | rds-1 | rds-3 | 6 | [estimate] | [size] |
        | 7 | user_center_07 | rds-1 | rds-3 | 6 | [estimate] | [size] |
        | 13 | user_center_13 | rds-2 | rds-3 | 6 | [estimate] | [size] |
        | 14 | user_center_14 | rds-2 | rds-3 | 6 | [estimate] | [size] |
        | 15 | user_center_15 | rds-2 | rds-3 | 6 | [estimate] | [size] |
        schemas on each instance: rds-1 8 -> 6 rds-2 8 -> 5 rds-3 0 -> 5
        error: Move 5 schemas? Writes to what moves are refused for a moment, once all is copied.
         cause: there is no terminal to ask on
         next: say --yes to go on without asking
        "#);
        snapshot!(shown(&run(&sandbox, dir, &["rebalance", "--add-instance", "rds-3", "--offline"])), @r#"
        exit code 2
        -- stderr
        | shard | schema | from | to | tables | rows | size |
        | 6 | user_center_06 | rds-1 | rds-3 | 6 | [estimate] | [size] |
        | 7 | user_center_07 | rds-1 | rds-3 | 6 | [estimate] | [size] |
        | 13 | user_center_13 | rds-2 | rds-3 | 6 | [estimate] | [size] |
        | 14 | user_center_14 | rds-2 | rds-3 | 6 | [estimate] | [size] |
        | 15 | user_center_15 | rds-2 | rds-3 | 6 | [estimate] | [size] |
        schemas on each instance: rds-1 8 -> 6 rds-2 8 -> 5 rds-3 0 -> 5
        error: Move 5 schemas? Writes to what moves are refused from before the copy until the switch.
         cause: there is no terminal to ask on
         next: say --yes to go on without asking
        "#);
        snapshot!(shown(&run(&sandbox, dir, &["rebalance", "--add-instance", "rds-3", "--offline", "--yes", "--write", "topology.yaml"])), @r#"
        exit code 0
        -- stdout
        job [id]: offline rebalance, phase done
        now: the target owns every row; nothing of the source is left
        moves 5 schemas with 30 tables; 832 rows were compared on both servers and are equal
         user_center_06: rds-1 -> rds-3
         user_center_07: rds-1 -> rds-3
         user_center_13: rds-2 -> rds-3
         user_center_14: rds-2 -> rds-3
         user_center_15: rds-2 -> rds-3
        -- stderr
        | shard | schema | from | to | tables | rows | size |
        | 6 | user_center_06 | rds-1 | rds-3 | 6 | [estimate] | [size] |
        | 7 | user_center_07 | rds-1 | rds-3 | 6 | [estimate] | [size] |
        | 13 | user_center_13 | rds-2 | rds-3 | 6 | [estimate] | [size] |
        | 14 | user_center_14 | rds-2 | rds-3 | 6 | [estimate] | [size] |
        | 15 | user_center_15 | rds-2 | rds-3 | 6 | [estimate] | [size] |
        schemas on each instance: rds-1 8 -> 6 rds-2 8 -> 5 rds-3 0 -> 5
        job [id]
        job [id]: prepare
        job [id]: fence
        job [id]: copy
        job [id]: verify
        job [id]: switch
        job [id]: publish
        job [id]: finish
        "#);
        snapshot!(shown(&run(&sandbox, dir, &["job", "list"])), @r#"
        exit code 0
        -- stdout
        | job | kind | phase | owner | schemas | saved (UTC) |
        | [id] | offline rebalance | done | target | 5 | [when] |
        "#);
        snapshot!(shown(&run(&sandbox, dir, &["verify"])), @r#"
        exit code 0
        -- stdout
        | table | checked | rows | faults |
        | member | placement | 300 | 0 |
        | member_address | placement | 418 | 0 |
        | member_login_account | placement | 854 | 0 |
        | member_login_account_memberAccount | placement, same rows as member_login_account | 854 | 0 |
        | email_verify | placement | 268 | 0 |
        | member_company | placement | 29 | 0 |
        all 2,723 rows are where they belong
        "#);
        std::fs::copy(dir.join("before.yaml"), dir.join("topology.yaml")).unwrap();
        snapshot!(shown(&run(&sandbox, dir, &["create"])), @r#"
        exit code 2
        -- stderr
        error: the topology file is not the shard map in force
         where: version 2 on rds-1
         cause: user_center_06 lies on rds-3, and the file has user_center_06 on rds-1
         now: nothing was changed
         next: write the one in force with `shardctl status --write FILE`, or move to the file's with `shardctl rebalance --to FILE`
        "#);
        snapshot!(shown(&run(&sandbox, dir, &["query", "-q", "SELECT COUNT(*) FROM member WHERE memberId = 100000006"])), @r#"
        exit code 2
        -- stderr
        error: the topology file is not the shard map in force
         where: version 2 on rds-1
         cause: user_center_06 lies on rds-3, and the file has user_center_06 on rds-1
         now: nothing was changed
         next: write the one in force with `shardctl status --write FILE`, or move to the file's with `shardctl rebalance --to FILE`
        "#);
        snapshot!(shown(&run(&sandbox, dir, &["status", "--write", "topology.yaml"])), @r#"
        exit code 0
        -- stderr
        wrote version 2 of the shard map to topology.yaml
        "#);
        snapshot!(shown(&run(&sandbox, dir, &["rebalance", "--drain", "rds-3", "--offline", "--yes", "-q"])), @r#"
        exit code 0
        -- stdout
        job [id]: offline rebalance, phase done
        now: the target owns every row; nothing of the source is left
        moves 5 schemas with 30 tables; 832 rows were compared on both servers and are equal
         user_center_06: rds-3 -> rds-1
         user_center_07: rds-3 -> rds-1
         user_center_13: rds-3 -> rds-2
         user_center_14: rds-3 -> rds-2
         user_center_15: rds-3 -> rds-2
        "#);
    }
}
