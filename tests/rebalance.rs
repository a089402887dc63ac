//! Moving schemas between real servers: everything arrives, whatever is killed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable;

use serde_json::Value as Json;
use support::fleet::{Fleet, Rows, shown};
use support::{Engine, conn, on_each_engine};

const TOPOLOGY: &str = "\
version: 1
cluster: shop
instances:
  rds-1: { host: 127.0.0.1, port: 1 }
  rds-2: { host: 127.0.0.1, port: 2 }
control: rds-1
schemas:
  name: shop_{:02}
  count: 6
  on:
    rds-1: 0-2
    rds-2: 3-5
tables:
  member:
    shard_key: id
    function: mod
    name: member_{:02}
    ddl: |
      CREATE TABLE member (
        id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
        name VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL,
        note VARCHAR(300) DEFAULT NULL,
        PRIMARY KEY (id), KEY by_name (name)
      ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  login:
    shard_key: id
    function: mod
    name: login_{:02}
    ddl: |
      CREATE TABLE login (
        id BIGINT NOT NULL,
        account VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_swedish_ci NOT NULL,
        at DATETIME(3) NOT NULL,
        PRIMARY KEY (id, account, at)
      ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
";

/// Two instances with six schemas and some rows, and a third with nothing; one table has enough for several batches.
async fn filled(engine: Engine) -> Fleet {
    let fleet = Fleet::new(engine, 3, TOPOLOGY).await;
    for shard in 0..6 {
        let mut conn = conn(&fleet.sandbox, if shard < 3 { "rds-1" } else { "rds-2" }).await;
        let rows = if shard == 2 { 12_000 } else { 150 };
        conn.query_drop(format!("USE shop_{shard:02}"))
            .await
            .unwrap();
        for part in (0..rows).collect::<Vec<u32>>().chunks(3_000) {
            let values: Vec<String> = part
                .iter()
                .map(|n| {
                    let id = n * 6 + shard + 6;
                    let note = if n % 3 == 0 {
                        "NULL".to_owned()
                    } else {
                        format!("'n\\n\\t\\\\{n}'")
                    };
                    format!("({id}, '名前 {n}', {note})")
                })
                .collect();
            conn.query_drop(format!(
                "INSERT INTO member_{shard:02} VALUES {}",
                values.join(",")
            ))
            .await
            .unwrap();
        }
        let values: Vec<String> = (0..100)
            .map(|n| {
                let id = (n % 7) * 6 + shard;
                format!(
                    "({id}, 'Zo\u{eb} {}', '2024-01-{:02} 10:00:00.{n:03}')",
                    n % 9,
                    n % 28 + 1
                )
            })
            .collect();
        conn.query_drop(format!(
            "INSERT INTO login_{shard:02} VALUES {}",
            values.join(",")
        ))
        .await
        .unwrap();
        // A gap above the highest id, which AUTO_INCREMENT must keep.
        conn.query_drop(format!(
            "ALTER TABLE member_{shard:02} AUTO_INCREMENT = 200000"
        ))
        .await
        .unwrap();
    }
    fleet
}

fn same(before: &Rows, after: &Rows, when: &str) {
    assert_eq!(
        before.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>(),
        "{when}"
    );
    for (name, rows) in before {
        let other = &after[name];
        assert_eq!(rows.len(), other.len(), "{when}: rows of {name}");
        for (row, other) in rows.iter().zip(other) {
            assert_eq!(row, other, "{when}: {name}");
        }
    }
}

const ADD: [&str; 5] = ["rebalance", "--add-instance", "rds-3", "--offline", "--yes"];
const DRAIN: [&str; 5] = ["rebalance", "--drain", "rds-3", "--offline", "--yes"];

/// Where the schemas lie once rds-3 was added.
fn moved() -> BTreeSet<String> {
    placed(&[(0, 1), (1, 1), (2, 3), (3, 2), (4, 2), (5, 3)])
}

fn unmoved() -> BTreeSet<String> {
    placed(&[(0, 1), (1, 1), (2, 1), (3, 2), (4, 2), (5, 2)])
}

fn placed(shards: &[(u32, u32)]) -> BTreeSet<String> {
    shards
        .iter()
        .flat_map(|(shard, instance)| {
            ["login", "member"]
                .map(|table| format!("rds-{instance}/shop_{shard:02}.{table}_{shard:02}"))
        })
        .collect()
}

on_each_engine! {
    async fn a_move_brings_every_row_and_leaves_nothing_behind(engine) {
        let fleet = filled(engine).await;
        let before = fleet.rows().await;

        let dry = fleet.ok(&["rebalance", "--add-instance", "rds-3", "--dry-run"]);
        assert!(dry.contains("shop_02") && dry.contains("shop_05"), "{dry}");
        assert_eq!(fleet.tables().await, unmoved());

        let written = fleet.dir.path().join("new.yaml");
        let write = ["--write", written.to_str().unwrap()];
        let said = fleet.ok(&[&ADD[..], &write[..]].concat());
        assert!(said.contains("phase done"), "{said}");
        same(&before, &fleet.rows().await, "after the move");
        assert_eq!(fleet.tables().await, moved());
        assert_eq!(fleet.progress_left().await, 0);
        assert_eq!(fleet.versions().await, [Some(2), Some(2), Some(2)]);

        // The new file says the same as the shard map: nothing is left to move.
        let again = fleet.ok(&["rebalance", "--to", written.to_str().unwrap(), "--offline"]);
        assert!(again.contains("nothing moves"), "{again}");

        fleet.ok(&DRAIN);
        same(&before, &fleet.rows().await, "after the way back");
        assert_eq!(fleet.tables().await, unmoved());
        fleet.ok(&["rebalance", "--to", written.to_str().unwrap(), "--offline", "--yes"]);
        same(&before, &fleet.rows().await, "after the move by file");
        assert_eq!(fleet.tables().await, moved());
        assert_eq!(fleet.versions().await, [Some(4), Some(4), Some(4)]);
    }

    async fn a_fence_that_cannot_close_is_taken_away_again(engine) {
        let fleet = filled(engine).await;
        let before = fleet.rows().await;
        // The second schema of the move is in use for good; the first one is fenced by then.
        let mut holder = conn(&fleet.sandbox, "rds-2").await;
        holder.query_drop("START TRANSACTION").await.unwrap();
        holder.query_drop("SELECT * FROM shop_05.login_05 LIMIT 1").await.unwrap();
        let output = fleet.run(&ADD);
        assert_eq!(output.status.code(), Some(4), "{}", shown(&output));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("could not fence `shop_05`"), "{said}");
        assert!(said.contains("open transactions: connection"), "{said}");
        same(&before, &fleet.rows().await, "while nothing is fenced");

        holder.query_drop("COMMIT").await.unwrap();
        fleet.ok(&["job", "resume", &fleet.job().0]);
        assert_eq!(fleet.tables().await, moved());
        same(&before, &fleet.rows().await, "after the resume");
    }

    async fn a_kept_source_is_dropped_by_finish_only(engine) {
        let fleet = filled(engine).await;
        fleet.ok(&[&ADD[..], &["--keep-source"][..]].concat());
        let (id, phase) = fleet.job();
        assert_eq!(phase, "watch");
        let kept: Vec<String> = fleet.tables().await.difference(&moved()).cloned().collect();
        assert_eq!(kept.len(), 4, "{kept:?}");
        assert!(kept.iter().all(|name| name.contains(&format!("_shardctl_{id}_"))), "{kept:?}");

        let other = fleet.run(&DRAIN);
        assert_eq!(other.status.code(), Some(4), "{}", shown(&other));
        let cancel = fleet.run(&["job", "cancel", &id, "--yes"]);
        assert_eq!(cancel.status.code(), Some(2), "{}", shown(&cancel));

        fleet.ok(&["job", "finish", &id, "--yes"]);
        assert_eq!(fleet.tables().await, moved());
        assert_eq!(fleet.job(), (id, "done".to_owned()));
    }

    async fn a_run_killed_at_any_point_is_resumed_to_the_same_end(engine) {
        let fleet = filled(engine).await;
        let before = fleet.rows().await;
        let mut points: Vec<String> = ["prepare", "fence", "copy", "compare", "commit", "publish", "drop"]
            .iter()
            .flat_map(|effect| [format!("before {effect}"), format!("after {effect}")])
            .collect();
        for within in ["prepare 1", "fence 1", "copy 1", "copy 2", "copy 4", "compare 1",
                       "compare 3", "publish 1", "drop 1"] {
            points.push(format!("within {within}"));
        }
        for point in &points {
            assert!(fleet.killed_at(point, &ADD), "{point} was not reached");
            let (id, _) = fleet.job();
            // And once more, in the middle of the resumed copy, where there is one.
            fleet.killed_at("within copy 2", &["job", "resume", &id]);
            fleet.ok(&["job", "resume", &id]);
            assert_eq!(fleet.job(), (id, "done".to_owned()), "{point}");
            same(&before, &fleet.rows().await, point);
            assert_eq!(fleet.tables().await, moved(), "{point}");
            assert_eq!(fleet.progress_left().await, 0, "{point}");
            fleet.ok(&DRAIN);
        }
        same(&before, &fleet.rows().await, "at the end");
    }

    async fn a_job_cancelled_before_the_switch_leaves_the_source_as_it_was(engine) {
        let fleet = filled(engine).await;
        let before = fleet.rows().await;
        let points = ["before prepare", "after prepare", "before fence", "within fence 1",
                      "after fence", "within copy 2", "after copy", "after compare",
                      "before commit"];
        for point in points {
            assert!(fleet.killed_at(point, &ADD), "{point} was not reached");
            let (id, _) = fleet.job();
            // The cancel itself is killed on its way, too.
            for within in [
                "before unfence", "within unfence 1", "after unfence",
                "before clear", "within clear 1", "after clear",
            ] {
                assert!(
                    fleet.killed_at(within, &["job", "cancel", &id, "--yes"]),
                    "{point}: {within} was not reached"
                );
            }
            fleet.ok(&["job", "resume", &id]);
            assert_eq!(fleet.job(), (id, "cancelled".to_owned()), "{point}");
            same(&before, &fleet.rows().await, point);
            assert_eq!(fleet.tables().await, unmoved(), "{point}");
            assert_eq!(fleet.progress_left().await, 0, "{point}");
        }
        for point in ["after commit", "before publish", "within publish 1", "before drop"] {
            // `after commit` is before the commit is saved: the only one that can be cancelled.
            assert!(fleet.killed_at(point, &ADD), "{point} was not reached");
            let (id, _) = fleet.job();
            let cancel = fleet.run(&["job", "cancel", &id, "--yes"]);
            if point == "after commit" {
                assert!(cancel.status.success(), "{}", shown(&cancel));
                assert_eq!(fleet.tables().await, unmoved(), "{point}");
                continue;
            }
            assert_eq!(cancel.status.code(), Some(2), "{point}: {}", shown(&cancel));
            fleet.ok(&["job", "resume", &id]);
            assert_eq!(fleet.tables().await, moved(), "{point}");
            fleet.ok(&DRAIN);
        }
        same(&before, &fleet.rows().await, "at the end");
    }

    async fn a_wrong_copy_is_found_and_named_and_never_switched(engine) {
        let fleet = filled(engine).await;
        let before = fleet.rows().await;
        for (harm, named) in [
            ("UPDATE {m} SET note = 'x' WHERE id = 6014", "id = 6014 has other values"),
            ("UPDATE {m} SET note = '' WHERE id = 8", "id = 8 has other values"),
            ("DELETE FROM {m} WHERE id = 72002", "id = 72002 is missing on the target"),
            ("INSERT INTO {m} (id, name) VALUES (199999, 'y')", "id = 199999 is on the target only"),
            ("UPDATE {m} SET name = CONCAT(name, ' ') WHERE id = 14", "id = 14 has other values"),
            ("CREATE TABLE shop_02.extra (id INT PRIMARY KEY)", "`shop_02`.`extra` on rds-3 appeared"),
        ] {
            assert!(fleet.killed_at("before compare", &ADD));
            let (id, _) = fleet.job();
            let mut target = conn(&fleet.sandbox, "rds-3").await;
            let hidden: Option<String> = target
                .query_first(
                    "SELECT MAX(hidden) FROM _shardctl.copy_progress p JOIN information_schema.TABLES t \
                     ON t.TABLE_NAME = p.hidden AND t.TABLE_SCHEMA = 'shop_02' WHERE p.copied > 1000",
                )
                .await
                .unwrap();
            let table = format!("shop_02.{}", hidden.unwrap());
            target.query_drop(harm.replace("{m}", &table)).await.unwrap();
            assert_eq!(target.affected_rows(), u64::from(!harm.starts_with("CREATE")), "{harm}");

            let resumed = fleet.run(&["job", "resume", &id]);
            assert_eq!(resumed.status.code(), Some(1), "{harm}: {}", shown(&resumed));
            let said = String::from_utf8_lossy(&resumed.stdout).into_owned();
            assert!(said.contains(named), "{harm}: {said}");
            assert_eq!(fleet.job(), (id.clone(), "verify".to_owned()));
            fleet.ok(&["job", "cancel", &id, "--yes"]);
            if harm.starts_with("CREATE") {
                // Not the job's: a cancel leaves it.
                target.query_drop("DROP SCHEMA shop_02").await.unwrap();
            }
            same(&before, &fleet.rows().await, harm);
        }
    }

    async fn what_cannot_move_is_refused_all_at_once(engine) {
        let fleet = Fleet::new(engine, 3, TOPOLOGY).await;
        let mut source = conn(&fleet.sandbox, "rds-1").await;
        for sql in [
            "USE shop_02",
            "CREATE TABLE stray (id INT PRIMARY KEY) ENGINE=InnoDB",
            "CREATE VIEW v AS SELECT id FROM member_02",
            "CREATE TRIGGER tr BEFORE INSERT ON member_02 FOR EACH ROW SET NEW.note = 'x'",
            "CREATE TABLE child (id INT PRIMARY KEY, p BIGINT UNSIGNED, CONSTRAINT fk FOREIGN KEY (p) REFERENCES member_02 (id)) ENGINE=InnoDB",
            "CREATE TABLE keyless (id INT) ENGINE=InnoDB",
            "CREATE TABLE other (id INT PRIMARY KEY) ENGINE=MyISAM",
            "DROP TABLE login_02",
        ] {
            source.query_drop(sql).await.unwrap();
        }
        let mut target = conn(&fleet.sandbox, "rds-3").await;
        target.query_drop("CREATE SCHEMA shop_05").await.unwrap();
        target.query_drop("CREATE TABLE shop_05.x (id INT PRIMARY KEY)").await.unwrap();
        let tables = fleet.tables().await;

        let refused = fleet.run(&ADD);
        assert_eq!(refused.status.code(), Some(1), "{}", shown(&refused));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        for problem in [
            "`shop_02`.`stray` is not in the topology",
            "view `v`",
            "trigger `tr`",
            "foreign key `fk`",
            "`shop_02`.`keyless` cannot be copied: it has no primary key",
            "`shop_02`.`other` has the engine MyISAM",
            "`shop_02`.`login_02` is not there",
            "`shop_05` exists on the target rds-3",
        ] {
            assert!(said.contains(problem), "{problem} is not in\n{said}");
        }
        assert_eq!(fleet.tables().await, tables);
        assert!(fleet.jobs().is_empty());
    }

    async fn a_second_operator_is_told_who_runs_and_ctrl_c_stops_safely(engine) {
        let fleet = filled(engine).await;
        let before = fleet.rows().await;
        // An open transaction holds the fence up.
        let mut holder = conn(&fleet.sandbox, "rds-1").await;
        holder.query_drop("START TRANSACTION").await.unwrap();
        holder.query_drop("SELECT * FROM shop_02.member_02 LIMIT 1").await.unwrap();
        let first = fleet.start(&ADD);
        while fleet.jobs().first().is_none_or(|job| job["phase"] != "fence") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }

        let second = fleet.run(&ADD);
        assert_eq!(second.status.code(), Some(4), "{}", shown(&second));
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert!(said.contains(&format!("process {}", first.id())), "{said}");
        let (id, _) = fleet.job();
        let second = fleet.run(&["job", "cancel", &id, "--yes"]);
        assert_eq!(second.status.code(), Some(4), "{}", shown(&second));

        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(first.id() as i32),
            nix::sys::signal::Signal::SIGINT,
        )
        .unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        holder.query_drop("COMMIT").await.unwrap();
        let first = first.wait_with_output().unwrap();
        assert_eq!(first.status.code(), Some(4), "{}", shown(&first));
        let said = String::from_utf8_lossy(&first.stderr).into_owned();
        assert!(said.contains(&format!("shardctl job resume {id}")), "{said}");
        fleet.ok(&["job", "resume", &id]);
        same(&before, &fleet.rows().await, "after Ctrl-C");
        assert_eq!(fleet.tables().await, moved());
    }

    async fn a_run_that_slept_through_its_lease_can_do_no_harm(engine) {
        let fleet = filled(engine).await;
        let before = fleet.rows().await;
        let mut holder = conn(&fleet.sandbox, "rds-1").await;
        holder.query_drop("START TRANSACTION").await.unwrap();
        holder.query_drop("SELECT * FROM shop_02.member_02 LIMIT 1").await.unwrap();
        let first = fleet.start(&ADD);
        while fleet.jobs().first().is_none_or(|job| job["phase"] != "fence") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let pid = nix::unistd::Pid::from_raw(first.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).unwrap();

        let (id, _) = fleet.job();
        let mut waited = 0;
        loop {
            let cancel = fleet.run(&["job", "cancel", &id, "--yes"]);
            if cancel.status.success() {
                break;
            }
            assert_eq!(cancel.status.code(), Some(4), "{}", shown(&cancel));
            waited += 1;
            assert!(waited < 60, "the lease does not expire");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(waited > 10, "a lease was taken from a living process");
        holder.query_drop("COMMIT").await.unwrap();
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).unwrap();
        let first = first.wait_with_output().unwrap();
        assert_eq!(first.status.code(), Some(4), "{}", shown(&first));
        assert_eq!(fleet.job(), (id, "cancelled".to_owned()));
        same(&before, &fleet.rows().await, "after the sleeper woke");
        assert_eq!(fleet.tables().await, unmoved());
    }

    async fn a_killed_server_stops_the_run_and_it_is_resumed(engine) {
        let fleet = filled(engine).await;
        let before = fleet.rows().await;
        for victim in ["rds-3", "rds-2"] {
            let mut holder = conn(&fleet.sandbox, "rds-1").await;
            holder.query_drop("START TRANSACTION").await.unwrap();
            holder.query_drop("SELECT * FROM shop_02.member_02 LIMIT 1").await.unwrap();
            let first = fleet.start(&ADD);
            while fleet.jobs().first().is_none_or(|job| job["phase"] != "fence") {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            fleet.sandbox.kill(victim).unwrap();
            holder.query_drop("COMMIT").await.unwrap();
            let first = first.wait_with_output().unwrap();
            assert_eq!(first.status.code(), Some(4), "{victim}: {}", shown(&first));
            fleet.sandbox.start(victim).unwrap();
            let (id, _) = fleet.job();
            fleet.ok(&["job", "resume", &id]);
            same(&before, &fleet.rows().await, victim);
            assert_eq!(fleet.tables().await, moved());
            fleet.ok(&DRAIN);
        }
    }

    async fn an_application_that_keeps_writing_loses_nothing(engine) {
        let fleet = filled(engine).await;
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = [(2u32, "rds-1"), (5, "rds-2")]
            .into_iter()
            .map(|(shard, source)| {
                let stop = stop.clone();
                let sandbox = support::Sandbox::clone(&fleet.sandbox);
                tokio::spawn(async move {
                    let mut sides = [conn(&sandbox, source).await, conn(&sandbox, "rds-3").await];
                    let mut acknowledged = Vec::new();
                    let (mut refused, mut id) = (0, 600_000 + u64::from(shard));
                    while !stop.load(Ordering::Relaxed) {
                        let mut written = false;
                        for side in &mut sides {
                            let answer = side
                                .query_drop(format!(
                                    "INSERT INTO shop_{shard:02}.member_{shard:02} (id, name) VALUES ({id}, 'w')"
                                ))
                                .await;
                            if answer.is_ok() {
                                written = true;
                                break;
                            }
                        }
                        if written {
                            acknowledged.push(id);
                            id += 6;
                        } else {
                            refused += 1;
                        }
                    }
                    (shard, acknowledged, refused)
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(300)).await;
        for _ in 0..2 {
            fleet.ok(&ADD);
            tokio::time::sleep(Duration::from_millis(200)).await;
            fleet.ok(&DRAIN);
        }
        fleet.killed_at("within copy 2", &ADD);
        fleet.ok(&["job", "resume", &fleet.job().0]);
        tokio::time::sleep(Duration::from_millis(200)).await;
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            let (shard, acknowledged, refused) = writer.await.unwrap();
            assert!(refused > 0, "the fence was never met");
            let mut target = conn(&fleet.sandbox, "rds-3").await;
            let there: Vec<u64> = target
                .query(format!(
                    "SELECT id FROM shop_{shard:02}.member_{shard:02} WHERE name = 'w' ORDER BY id"
                ))
                .await
                .unwrap();
            println!("shop_{shard:02}: {} written, {refused} refused", acknowledged.len());
            assert_eq!(there, acknowledged, "shop_{shard:02}");
        }
        assert_eq!(fleet.tables().await, moved());
    }

    async fn every_column_type_arrives_exactly(engine) {
        let own = match engine {
            Engine::Mysql => "j JSON, g GEOMETRY SRID 4326, v VARCHAR(20) CHARACTER SET gb18030,
        hid INT INVISIBLE,",
            Engine::Mariadb => "j JSON, g GEOMETRY, v VARCHAR(20) CHARACTER SET ucs2,
        hid INT INVISIBLE, u UUID, i6 INET6,",
        };
        let everything = format!("  everything:
    shard_key: id
    function: mod
    name: everything_{{:02}}
    ddl: |
      CREATE TABLE everything (
        id INT NOT NULL, k VARCHAR(30) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci NOT NULL, kb VARBINARY(20) NOT NULL, kd DECIMAL(20,5) NOT NULL,
        ti TINYINT, tu TINYINT UNSIGNED, si SMALLINT, mi MEDIUMINT, mu MEDIUMINT UNSIGNED,
        bi BIGINT, bu BIGINT UNSIGNED, de DECIMAL(65,30), fl FLOAT, dou DOUBLE, bt BIT(13), b64 BIT(64),
        ch CHAR(10), vl VARCHAR(50) CHARACTER SET latin1, sj VARCHAR(20) CHARACTER SET sjis,
        u16 VARCHAR(20) CHARACTER SET utf16, tx MEDIUMTEXT, bn BINARY(8), vb VARBINARY(300), bl LONGBLOB,
        en ENUM('1','2','a b'), st SET('x','y','z'), d DATE, t TIME(6), dt DATETIME(6), ts TIMESTAMP(3) NULL,
        y YEAR, {own}
        gv INT GENERATED ALWAYS AS (id + 1) VIRTUAL, gs INT GENERATED ALWAYS AS (id + 2) STORED,
        PRIMARY KEY (k, id, kb, kd)
      ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
");
        let fleet = Fleet::new(engine, 3, &format!("{TOPOLOGY}{everything}")).await;
        let mut source = conn(&fleet.sandbox, "rds-1").await;
        source
            .query_drop("SET NAMES utf8mb4, time_zone='+00:00', sql_mode='ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'")
            .await
            .unwrap();
        let (columns, values) = match engine {
            Engine::Mysql => (
                "j, g, v, hid",
                [
                    "'{\"b\": [1, 2.5, null, \"\\\\u00e9\\\\\"x\"], \"a\": {}}', ST_GeomFromText('POINT(1 2)', 4326), '龙', 7",
                    "NULL, NULL, NULL, NULL",
                    "'null', ST_GeomFromText('LINESTRING(0 0, 1 1)', 4326), '', -1",
                ],
            ),
            Engine::Mariadb => (
                "j, g, v, hid, u, i6",
                [
                    "'{\"b\": [1, 2.5]}', ST_GeomFromText('POINT(1 2)'), '龙', 7, '123e4567-e89b-12d3-a456-426655440000', '2001:db8::1:2345'",
                    "NULL, NULL, NULL, NULL, NULL, NULL",
                    "'null', ST_GeomFromText('LINESTRING(0 0, 1 1)'), '', -1, '00000000-0000-0000-0000-000000000000', '::'",
                ],
            ),
        };
        let rows = [
            "2, 'Ä', X'00', 1.5, -128, 255, -32768, -8388608, 16777215, -9223372036854775808, 18446744073709551615, \
             -12345678901234567890123456789012345.123456789012345678901234567890, 16777217, 1.7976931348623157e308, \
             b'1000000000001', X'FFFFFFFFFFFFFFFF', 'a', 'é\\\\\\t\\n\\0', '表ソ', '龍😀', 'tab\\tnl\\nq''\\\\', X'0100000000000000', \
             X'000102FF5C090A0D00', X'0041420D0A5C5C4E', '2', 'x,z', '0000-00-00', '-838:59:59.000000', '0000-00-00 00:00:00', \
             '2038-01-19 03:14:07.999', 0",
            "2, 'Ä', X'0001', 1.5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
            "8, 'b\\'', X'', -99999999999999.99999, 0, 0, 0, -1, 0, 0, 0, 0, -0.0, 4.9406564584124654e-320, \
             b'0', 0, '', '', '', '', '', X'', X'', X'', 3, '', '2024-02-31', '-00:00:00.5', '9999-12-31 23:59:59.999999', \
             '1970-01-01 00:00:01', 2155",
        ];
        for (row, own) in rows.iter().zip(values) {
            source
                .query_drop(format!(
                    "INSERT INTO shop_02.everything_02 (id, k, kb, kd, ti, tu, si, mi, mu, bi, bu, de, fl, dou, bt, b64, ch, vl, sj, u16, tx, bn, vb, bl, en, st, d, t, dt, ts, y, {columns}) VALUES ({row}, {own})"
                ))
                .await
                .unwrap();
        }
        // The error value of an ENUM, index 0, is refused by any strict session. It lies in another
        // schema, for the batch that holds it is written in another way.
        let mut other = conn(&fleet.sandbox, "rds-2").await;
        other
            .query_drop("SET sql_mode=''")
            .await
            .unwrap();
        other
            .query_drop("INSERT INTO shop_05.everything_05 (id, k, kb, kd, en) VALUES (5, 'a', '', 0, 99), (11, 'b', '', 0, 'a b')")
            .await
            .unwrap();
        if engine == Engine::Mysql {
            // There is a fast way where the server allows it: into rds-3 by it, back without.
            let mut target = conn(&fleet.sandbox, "rds-3").await;
            target.query_drop("SET GLOBAL local_infile = 1").await.unwrap();
            source.query_drop("SET GLOBAL local_infile = 0").await.unwrap();
        }
        source
            .query_drop("UPDATE shop_02.everything_02 SET bl = REPEAT(X'5C00', 3000000) WHERE id = 8")
            .await
            .unwrap();
        let before = fleet.rows().await;
        fleet.ok(&ADD);
        let after = fleet.rows().await;
        same(&before, &after, "after the move");
        assert!(fleet.tables().await.contains("rds-3/shop_02.everything_02"));
        // The comparison above reads as text, which rounds FLOAT and leaves invisible columns out.
        let mut target = conn(&fleet.sandbox, "rds-3").await;
        let exact: Vec<(Option<f64>, Option<i32>)> = target
            .query("SELECT fl * 1e0, hid FROM shop_02.everything_02 ORDER BY k, id, kb, kd")
            .await
            .unwrap();
        assert_eq!(exact[0], (Some(16_777_216.0), Some(7)));
        assert_eq!(exact[2].1, Some(-1));
        fleet.ok(&DRAIN);
        same(&before, &fleet.rows().await, "after the way back");
    }

    async fn a_lost_target_keeps_no_source_fenced(engine) {
        let fleet = filled(engine).await;
        let before = fleet.rows().await;
        for abandon in [false, true] {
            assert!(fleet.killed_at("within copy 2", &ADD));
            let (id, phase) = fleet.job();
            assert_eq!(phase, "copy");
            fleet.sandbox.kill("rds-3").unwrap();

            let resumed = fleet.run(&["job", "resume", &id]);
            assert_eq!(resumed.status.code(), Some(4), "{}", shown(&resumed));
            let said = String::from_utf8_lossy(&resumed.stderr).into_owned();
            assert!(said.contains("rds-3") && said.contains(&format!("job cancel {id}")), "{said}");

            let cancelled = fleet.run(&["job", "cancel", &id, "--yes"]);
            assert_eq!(cancelled.status.code(), Some(4), "{}", shown(&cancelled));
            let said = String::from_utf8_lossy(&cancelled.stderr).into_owned();
            assert!(said.contains("takes writes as before"), "{said}");
            assert_eq!(fleet.job(), (id.clone(), "clear".to_owned()));
            // What the application waits for does not wait for the target.
            for (instance, shard) in [("rds-1", 2), ("rds-2", 5)] {
                let mut source = conn(&fleet.sandbox, instance).await;
                source
                    .query_drop(format!("UPDATE shop_{shard:02}.member_{shard:02} SET note = note"))
                    .await
                    .unwrap();
            }
            let other = fleet.run(&["job", "cancel", &id, "--abandon", "rds-1", "--yes"]);
            assert_eq!(other.status.code(), Some(2), "{}", shown(&other));

            if abandon {
                fleet.ok(&["job", "cancel", &id, "--abandon", "rds-3", "--yes"]);
                let status = fleet.ok(&["job", "status", &id]);
                assert!(status.contains("abandoned: rds-3"), "{status}");
                fleet.sandbox.start("rds-3").unwrap();
                let left = fleet.tables().await;
                assert!(left.iter().any(|table| table.starts_with("rds-3/shop_")), "{left:?}");
                // Hidden tables of an abandoned target are in nobody's way but the next job's,
                // which says so.
                let next = fleet.run(&ADD);
                assert_eq!(next.status.code(), Some(1), "{}", shown(&next));
                let mut target = conn(&fleet.sandbox, "rds-3").await;
                target.query_drop("DROP DATABASE IF EXISTS shop_02").await.unwrap();
                target.query_drop("DROP DATABASE IF EXISTS shop_05").await.unwrap();
            } else {
                fleet.sandbox.start("rds-3").unwrap();
                fleet.ok(&["job", "resume", &id]);
            }
            assert_eq!(fleet.job(), (id, "cancelled".to_owned()));
            assert_eq!(fleet.tables().await, unmoved());
            same(&before, &fleet.rows().await, "after the cancel");
        }
        fleet.ok(&ADD);
        same(&before, &fleet.rows().await, "after the move");
    }

    async fn an_open_job_is_named_by_all_that_it_is_in_the_way_of(engine) {
        let fleet = filled(engine).await;
        assert!(fleet.killed_at("within copy 2", &ADD));
        let (id, _) = fleet.job();
        let tables = fleet.tables().await;
        for (args, code) in [
            (&["create"][..], 4),
            (&["fill"], 4),
            (&["verify"], 4),
            (&["query", "SELECT COUNT(*) FROM member"], 3),
            (&["rebalance", "--drain", "rds-2", "--offline", "--yes"], 4),
        ] {
            let refused = fleet.run(args);
            assert_eq!(refused.status.code(), Some(code), "{args:?}: {}", shown(&refused));
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(said.contains(&format!("job resume {id}")), "{args:?}: {said}");
        }
        assert!(fleet.ok(&["status"]).contains(&format!("job {id} is open")));
        // Schemas that do not move are served.
        assert!(fleet.ok(&["query", "SELECT name FROM member WHERE id = 6"]).contains("名前"));
        assert_eq!(fleet.tables().await, tables);
        fleet.ok(&["job", "resume", &id]);
        fleet.ok(&["verify"]);
    }

    async fn a_status_without_the_control_instance_says_what_it_does_not_know(engine) {
        let fleet = filled(engine).await;
        fleet.sandbox.kill("rds-1").unwrap();
        let output = fleet.run(&["-o", "json", "status"]);
        assert_eq!(output.status.code(), Some(3), "{}", shown(&output));
        let status: Json = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(status["control_reached"], false);
        assert_eq!(status["open_jobs"], Json::Null);
        assert_eq!(status["instances"][0]["rows"], Json::Null);
        assert!(status["instances"][1]["rows"].as_u64().unwrap() > 0);
        assert_eq!(status["schemas"][0]["fullest_rows"], Json::Null);
        let text = String::from_utf8(fleet.run(&["status"]).stdout).unwrap();
        assert!(text.contains("the shard map in force and the jobs are unknown"), "{text}");
        assert!(!text.contains("no shard map yet"), "{text}");
    }

    async fn a_sigterm_stops_a_run_as_safely_as_ctrl_c(engine) {
        let fleet = filled(engine).await;
        let mut holder = conn(&fleet.sandbox, "rds-1").await;
        holder.query_drop("START TRANSACTION").await.unwrap();
        holder.query_drop("SELECT * FROM shop_02.member_02 LIMIT 1").await.unwrap();
        let first = fleet.start(&ADD);
        while fleet.jobs().first().is_none_or(|job| job["phase"] != "fence") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(first.id() as i32),
            nix::sys::signal::Signal::SIGTERM,
        )
        .unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        holder.query_drop("COMMIT").await.unwrap();
        let first = first.wait_with_output().unwrap();
        assert_eq!(first.status.code(), Some(4), "{}", shown(&first));
        let said = String::from_utf8_lossy(&first.stderr).into_owned();
        assert!(said.contains("stopped by SIGTERM"), "{said}");
        fleet.ok(&["job", "resume", &fleet.job().0]);
        assert_eq!(fleet.tables().await, moved());
    }
}
