//! `verify` on real servers: silent where all is well, and every planted fault named.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use mysql_async::prelude::Queryable;
use support::fleet::{Fleet, shown};
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
  count: 4
  on:
    rds-1: 0-1
    rds-2: 2-3
tables:
  member:
    shard_key: id
    function: mod
    name: member_{:02}
    tables_per_schema: 2
    ddl: |
      CREATE TABLE member (
        id BIGINT NOT NULL,
        account VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
        PRIMARY KEY (id)
      ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  member_account:
    index_of: member
    shard_key: account
    function: crc32
    name: member_account_{:02}
    ddl: |
      CREATE TABLE member_account (
        account VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
        id BIGINT NOT NULL,
        PRIMARY KEY (account, id)
      ) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  visit:
    shard_key: member
    function: mod
    assume: [global_keys]
    name: visit_{:02}
    ddl: CREATE TABLE visit (id BIGINT NOT NULL PRIMARY KEY, member BIGINT NOT NULL) ENGINE=InnoDB
  region:
    broadcast: true
    name: region
    ddl: CREATE TABLE region (id INT NOT NULL PRIMARY KEY, name VARCHAR(20)) ENGINE=InnoDB
";

/// 400 members, one in ten without an account, placed by the rules written out anew here.
async fn filled(engine: Engine) -> Fleet {
    let fleet = Fleet::new(engine, 2, TOPOLOGY).await;
    for shard in 0..4u32 {
        sql(
            &fleet,
            shard,
            &format!("INSERT INTO shop_{shard:02}.region VALUES (1, 'north'), (2, NULL)"),
        )
        .await;
    }
    for shard in 0..4u32 {
        sql(
            &fleet,
            shard,
            &format!("INSERT INTO shop_{shard:02}.visit_{shard:02} VALUES ({shard}, {shard})"),
        )
        .await;
    }
    for id in 1..=400i64 {
        let account = (id % 10 != 0).then(|| format!("账户{id}"));
        // mod over all physical tables, two in each schema.
        let number = (id % 8) as u32;
        let value = account
            .as_ref()
            .map_or("NULL".to_owned(), |text| format!("'{text}'"));
        sql(
            &fleet,
            number / 2,
            &format!(
                "INSERT INTO shop_{:02}.member_{number:02} VALUES ({id}, {value})",
                number / 2
            ),
        )
        .await;
        if let Some(account) = account {
            let shard = crc32fast::hash(account.as_bytes()) % 4;
            sql(&fleet, shard, &format!("INSERT INTO shop_{shard:02}.member_account_{shard:02} VALUES ('{account}', {id})"))
                .await;
        }
    }
    fleet
}

async fn sql(fleet: &Fleet, shard: u32, sql: &str) {
    let mut conn = conn(&fleet.sandbox, if shard < 2 { "rds-1" } else { "rds-2" }).await;
    conn.query_drop("SET NAMES utf8mb4").await.unwrap();
    conn.query_drop(sql).await.unwrap();
}

/// The faults that `verify` names, and its exit code.
fn faults_of(fleet: &Fleet) -> (Option<i32>, String) {
    let output = fleet.run(&["verify"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.stderr.is_empty(), "{}", shown(&output));
    let faults: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("FAULT: "))
        .collect();
    (output.status.code(), faults.join("\n"))
}

on_each_engine! {
    async fn a_sound_fleet_passes_and_every_fault_is_named(engine) {
        let fleet = filled(engine).await;
        assert_eq!(faults_of(&fleet), (Some(0), String::new()));

        for (shard, harm, mend, named) in [
            (
                1,
                "INSERT INTO shop_01.member_02 VALUES (1001, NULL)",
                "DELETE FROM shop_01.member_02 WHERE id = 1001",
                "rds-1/shop_01.member_02: the row id = 1001 belongs into rds-1/shop_00.member_01",
            ),
            // The same primary key in its place and in another one.
            (
                3,
                "INSERT INTO shop_03.member_06 VALUES (10, NULL)",
                "DELETE FROM shop_03.member_06 WHERE id = 10",
                "rds-2/shop_03.member_06: the row id = 10 belongs into rds-1/shop_01.member_02",
            ),
            // Both are in their places: nothing but the comparison over all shards can tell.
            (
                3,
                "INSERT INTO shop_03.visit_03 VALUES (0, 7)",
                "DELETE FROM shop_03.visit_03 WHERE id = 0",
                "the primary key id = 0 is in more than one place: \
                 rds-1/shop_00.visit_00, rds-2/shop_03.visit_03",
            ),
            (
                2,
                "UPDATE shop_02.member_04 SET account = 'new' WHERE id = 4",
                "UPDATE shop_02.member_04 SET account = '账户4' WHERE id = 4",
                "is not so in `member`",
            ),
            (
                2,
                "UPDATE shop_02.member_04 SET account = NULL WHERE id = 4",
                "UPDATE shop_02.member_04 SET account = '账户4' WHERE id = 4",
                "is not so in `member`",
            ),
            (
                2,
                "INSERT INTO shop_02.member_04 VALUES (1004, 'fresh')",
                "DELETE FROM shop_02.member_04 WHERE id = 1004",
                "is not so in the index table `member_account`",
            ),
            (
                3,
                "UPDATE shop_03.region SET name = '' WHERE id = 2",
                "UPDATE shop_03.region SET name = NULL WHERE id = 2",
                "rds-2/shop_03.region with 2 rows is not equal to rds-1/shop_00.region with 2",
            ),
        ] {
            sql(&fleet, shard, harm).await;
            let (code, faults) = faults_of(&fleet);
            assert_eq!(code, Some(1), "{harm}");
            assert!(faults.contains(named), "{harm}: {faults}");
            sql(&fleet, shard, mend).await;
            assert_eq!(faults_of(&fleet), (Some(0), String::new()), "{mend}");
        }
    }

    async fn a_shard_key_of_another_type_is_a_fault_and_its_rows_are_not_trusted(engine) {
        let fleet = filled(engine).await;
        sql(&fleet, 2, "ALTER TABLE shop_02.visit_02 MODIFY member VARCHAR(20) NOT NULL")
            .await;
        let output = fleet.run(&["verify", "--table", "visit"]);
        assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("the shard key `member` is"), "{text}");
        assert!(text.contains("its rows were not looked at"), "{text}");
    }

    async fn a_file_of_another_cluster_is_not_verified_against(engine) {
        let fleet = filled(engine).await;
        let other = std::fs::read_to_string(fleet.file()).unwrap().replace("cluster: shop", "cluster: mall");
        std::fs::write(fleet.file(), other).unwrap();
        let output = fleet.run(&["verify"]);
        assert_eq!(output.status.code(), Some(2), "{}", shown(&output));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains("the shard map of the cluster `shop`"), "{error}");
    }
}
