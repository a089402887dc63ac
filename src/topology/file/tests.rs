use proptest::prelude::*;

use super::*;
use crate::names::ShardId;

const GOOD: &str = "\
version: 1
cluster: user_center
instances:
  rds-1: { host: db1.example, port: 3306 }
  rds-2: { socket: /run/mysqld/mysqld.sock }
control: rds-2
schemas:
  name: user_center_{:02}
  count: 4
  on:
    rds-1: 0-1
    rds-2: 2,3
tables:
  member:
    shard_key: memberId
    function: drds_hash
    name: member_{:02}
    ddl: |
      CREATE TABLE member (
        memberId bigint NOT NULL,
        email varchar(100),
        PRIMARY KEY (memberId)
      )
  member_email:
    index_of: member
    shard_key: email
    function: crc32
    ddl: CREATE TABLE member_email (memberId bigint NOT NULL, email varchar(100) COLLATE utf8mb4_bin NOT NULL, PRIMARY KEY (email, memberId))
  orders:
    shard_key: buyer
    function: mod
    table_key: id
    table_function: range
    table_bounds: [100]
    tables_per_schema: 2
    ddl: CREATE TABLE orders (id bigint NOT NULL, buyer bigint NOT NULL, PRIMARY KEY (id, buyer))
  region:
    broadcast: true
    ddl: CREATE TABLE region (id int NOT NULL PRIMARY KEY)
";

/// The problems of the good file with `from` replaced by `to`.
fn check(from: &str, to: &str, expected: &[&str]) {
    assert!(GOOD.contains(from), "{from} is not in the good file");
    let text = GOOD.replacen(from, to, 1);
    let problems = parse(&text).expect_err("the file should be refused");
    let found: Vec<String> = problems.iter().map(Problem::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_good_file_is_read_whole() {
    let topology = parse(GOOD).unwrap();
    assert_eq!(topology.cluster, "user_center");
    assert_eq!(topology.control.as_str(), "rds-2");
    assert_eq!(topology.shard_count(), 4);
    let schema = topology.schema(ShardId(3));
    assert_eq!(schema.name.as_str(), "user_center_03");
    assert_eq!(schema.instance.as_str(), "rds-2");
    let orders = &topology.tables["orders".parse::<TableName>().as_ref().unwrap()];
    let places: Vec<String> = topology
        .places(orders)
        .map(|place| topology.physical(orders, place).to_string())
        .collect();
    assert_eq!(places[0], "rds-1/user_center_00.orders_0000");
    assert_eq!(places[7], "rds-2/user_center_03.orders_0007");
    assert_eq!(places.len(), 8);
    let region = &topology.tables["region".parse::<TableName>().as_ref().unwrap()];
    assert_eq!(region.physical[2].as_str(), "region");
}

#[test]
fn what_is_written_reads_back_the_same() {
    let scratch = GOOD.replace("schemas:\n", "query: {scratch: rds-1}\nschemas:\n");
    for text in [GOOD, &scratch] {
        let topology = parse(text).unwrap();
        let written = render(&topology);
        assert_eq!(parse(&written).unwrap(), topology, "{written}");
        assert_eq!(render(&parse(&written).unwrap()), written);
    }
    assert_eq!(parse(&scratch).unwrap().scratch.unwrap().as_str(), "rds-1");
}

#[test]
fn what_the_fleet_is_held_to_can_stand_in_the_file() {
    let with = |section: &str| GOOD.replace("schemas:\n", &format!("{section}schemas:\n"));
    let text = with(
        "check:\n  horizon: 2y\n  warn: 18mo\n  fail: 6 months\n  rows_per_table: 10M\n  \
         bytes_per_instance: 500GiB\n",
    );
    let topology = parse(&text).unwrap();
    let limits = topology.check.limits().unwrap();
    assert_eq!(limits.rows_per_table, 10_000_000);
    assert_eq!(limits.bytes_per_instance, Some(500 << 30));
    assert_eq!(
        (limits.warn.to_string(), limits.fail.to_string()),
        ("18mo".into(), "6mo".into())
    );
    let written = render(&topology);
    assert_eq!(parse(&written).unwrap(), topology, "{written}");
    // JSON is YAML: the same file as a program writes it.
    let json =
        serde_json::to_string_pretty(&serde_yaml::from_str::<serde_json::Value>(&written).unwrap())
            .unwrap();
    assert_eq!(parse(&json).unwrap(), topology, "{json}");
    // One that says nothing is written without the section.
    assert!(!render(&parse(GOOD).unwrap()).contains("check:"));

    let wrong = |section: &str| {
        let problems = parse(&with(section)).unwrap_err();
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        all.join("\n")
    };
    insta::assert_snapshot!(wrong("check:\n  horizont: 2y\n"), @"8:3: unknown key `horizont`; did you mean `horizon`?");
    insta::assert_snapshot!(
        wrong("check:\n  horizon: soon\n  warn: 0d\n  rows_per_table: 0\n  bytes_per_instance: -1\n"),
        @r"
    8:12: horizon: `soon` is not a length of time; write 12mo, 2y, 6w or 90d
    9:9: warn: `0d` is no time at all; it should be at least a day
    10:19: rows_per_table: a limit of 0 lets nothing in
    11:23: bytes_per_instance: `-1` is less than nothing; write 500G, 1.5TiB, 200MB or a number of bytes
    "
    );
    insta::assert_snapshot!(wrong("check: { fail: 6mo, warn: 90d }\n"), @"7:27: warn 90d is sooner than fail 6mo: nothing would ever be warned of");
    insta::assert_snapshot!(wrong("check: { warn: 6mo }\n"), @"7:16: warn 6mo is sooner than fail 12mo: nothing would ever be warned of");
}

#[test]
fn an_instance_without_schemas_may_be_there_to_gather_on() {
    let uneven = GOOD
        .replace("schemas:\n", "query: {scratch: rds-2}\nschemas:\n")
        .replace("    rds-1: 0-1\n    rds-2: 2,3\n", "    rds-1: 0-3\n");
    assert_eq!(parse(&uneven).unwrap().warnings(), Vec::<String>::new());
    let idle = uneven.replace("query: {scratch: rds-2}\n", "");
    assert_eq!(
        parse(&idle).unwrap().warnings(),
        ["the schemas are placed unevenly: rds-1 4, rds-2 0"]
    );
}

#[test]
fn the_shape_is_checked_with_its_place() {
    check(
        "cluster:",
        "clutser:",
        &["2:1: unknown key `clutser`; did you mean `cluster`?"],
    );
    check(
        "control: rds-2",
        "cluster: rds-2",
        &["6:1: the key `cluster` is there twice"],
    );
    check(
        "port: 3306",
        "port: 333306",
        &["4:37: this should be a whole number from 0 to 65535"],
    );
    check(
        "  rds-2: { socket",
        "  rds-1: { socket",
        &["5:3: the key `rds-1` is there twice"],
    );
    check("  count: 4\n", "", &["9:3: the key `count` is missing"]);
}

#[test]
fn a_password_is_refused_without_being_shown() {
    let text = GOOD.replace("port: 3306", "port: 3306, password: hunter2");
    let error = parse(&text)
        .unwrap_err()
        .into_error("topology.yaml", &text)
        .to_string();
    assert!(
        error.contains("credentials are never in the topology"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn the_meaning_is_checked_with_its_place() {
    check(
        "version: 1",
        "version: 2",
        &["1:10: version 2 is not known; this shardctl reads version 1"],
    );
    check(
        "control: rds-2",
        "control: rds-3",
        &["6:10: control: there is no instance `rds-3`; did you mean `rds-1`?"],
    );
    check(
        "control: rds-2",
        "query: {scratch: rds-3}",
        &["6:18: scratch: there is no instance `rds-3`; did you mean `rds-1`?"],
    );
    check(
        "{ socket: /run/mysqld/mysqld.sock }",
        "{}",
        &["5:10: instance rds-2 needs a host (and port) or a socket"],
    );
    check(
        "rds-2: 2,3",
        "rds-2: 1-3",
        &["12:12: schema 1 is placed twice, on rds-1 and on rds-2"],
    );
    check(
        "rds-2: 2,3",
        "rds-2: '3'",
        &["11:5: schema 2 is placed nowhere"],
    );
    check(
        "rds-2: 2,3",
        "rds-2: 2-4",
        &["12:12: schema 4 on rds-2 does not exist: 4 schemas are numbered 0 to 3"],
    );
    check(
        "rds-2: 2,3",
        "rds-2: 3-2",
        &[
            "11:5: schemas 2-3 are placed nowhere",
            "12:12: the range `3-2` runs backwards",
        ],
    );
    check(
        "{:02}",
        "",
        &["8:9: `user_center_` names all 4 schemas alike; put {:02} where the number goes"],
    );
}

#[test]
fn tables_are_checked_with_their_place() {
    check(
        "shard_key: memberId",
        "shard_key: membrId",
        &["15:16: shard key `membrId` is not a column of `member`; did you mean `memberId`?"],
    );
    check(
        "function: drds_hash",
        "function: hash",
        &[
            "16:15: `member`: unknown shard function `hash`; there are: mod, crc32, drds_hash, drds_uni_hash, range",
        ],
    );
    check(
        "function: drds_hash",
        "function: range",
        &["16:15: `member`: the function range needs bounds, `bounds: [100, 200]`"],
    );
    check(
        "table_bounds: [100]",
        "table_bounds: [100, 7]",
        &["34:19: `orders`: bounds must ascend, 100 comes before 7"],
    );
    check(
        "index_of: member\n",
        "index_of: membr\n",
        &[
            "25:15: `member_email` is an index table of `membr`, which is not in the topology; did you mean `member`?",
        ],
    );
    check(
        "tables_per_schema: 2",
        "tables_per_schema: 0",
        &["35:24: `orders` needs at least one table per schema"],
    );
    check(
        "tables_per_schema: 2",
        "tables_per_schema: 999999999",
        &["35:24: `orders` would have more than the 1000000 physical tables allowed"],
    );
    check(
        "    broadcast: true\n",
        "",
        &["37:3: `region` needs a shard_key and a function, or `broadcast: true`"],
    );
    check(
        "CREATE TABLE region",
        "CREATE TABLE regions",
        &["39:10: the DDL of `region` creates `regions`; it should name the logical table"],
    );
    check(
        "name: member_{:02}",
        "name: region",
        &["37:3: `member` and `region` both have a physical table `region`"],
    );
}

#[test]
fn traps_of_keys_are_refused_unless_they_are_vouched_for() {
    let lacks = "15:16: the unique key (email) of `member` lacks the shard key `memberId`: no server can keep it unique over all shards; add the shard key to it, or say `assume: [global_keys]` where the application keeps it unique";
    check(
        "PRIMARY KEY (memberId)\n",
        "PRIMARY KEY (memberId), UNIQUE (email)\n",
        &[lacks],
    );
    check(
        "memberId bigint NOT NULL,\n        email varchar(100),\n        PRIMARY KEY (memberId)",
        "memberId bigint, email text",
        &["15:16: `member` has no primary key; rows without one can be neither moved nor checked"],
    );
    check(
        " COLLATE utf8mb4_bin NOT NULL",
        " NOT NULL",
        &[
            "26:16: `Alice` and `alice` are one value of `email` to the server (the server's default collation) and two places to crc32: give the column a _bin collation, or say `assume: [one_spelling]` where the application always writes one of them",
        ],
    );
    check(
        "PRIMARY KEY (id, buyer)",
        "PRIMARY KEY (id)",
        &[
            "30:16: the unique key (id) of `orders` lacks the shard key `buyer`: no server can keep it unique over all shards; add the shard key to it, or say `assume: [global_keys]` where the application keeps it unique",
        ],
    );
    check(
        "utf8mb4_bin NOT NULL, PRIMARY KEY (email, memberId)",
        "utf8mb4_bin, PRIMARY KEY (memberId), KEY (email)",
        &[
            "26:16: the unique key (memberId) of `member_email` lacks the shard key `email`: no server can keep it unique over all shards; add the shard key to it, or say `assume: [global_keys]` where the application keeps it unique",
            "26:16: shard key `email` of `member_email` can be NULL, which has no place under crc32",
        ],
    );
    check(
        "    function: mod\n",
        "    function: mod\n    assume: [global_key]\n",
        &["32:14: `orders` cannot assume `global_key`; did you mean `global_keys`?"],
    );
    let vouched = GOOD
        .replace("PRIMARY KEY (id, buyer)", "PRIMARY KEY (id)")
        .replace(
            "    function: mod\n",
            "    function: mod\n    assume: [global_keys]\n",
        );
    let topology = parse(&vouched).unwrap();
    assert_eq!(parse(&render(&topology)).unwrap(), topology);
}

#[test]
fn a_sound_topology_can_deserve_a_warning() {
    let uneven = GOOD
        .replace("rds-1: 0-1", "rds-1: 0-2")
        .replace("rds-2: 2,3", "rds-2: 3");
    assert_eq!(
        parse(&uneven).unwrap().warnings(),
        ["the schemas are placed unevenly: rds-1 3, rds-2 1"]
    );
    let counting = GOOD.replace(
        "orders (id bigint NOT NULL",
        "orders (id bigint NOT NULL AUTO_INCREMENT",
    );
    assert_eq!(
        parse(&counting).unwrap().warnings(),
        ["`id` of `orders` is AUTO_INCREMENT: each physical table counts for itself, so ids meet"]
    );
    assert_eq!(parse(GOOD).unwrap().warnings(), [""; 0]);
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let text = GOOD
        .replace("version: 1", "version: 9")
        .replace("rds-2: 2,3", "rds-2: 1-3")
        .replace("function: mod", "function: mood")
        .replace("shard_key: email", "shard_key: emial");
    let problems = parse(&text).unwrap_err();
    assert_eq!(problems.iter().count(), 4, "{problems}");
}

#[test]
fn a_fault_in_the_ddl_points_into_the_ddl() {
    let text = GOOD.replace(
        "memberId bigint NOT NULL,\n        email",
        "memberId bigint NOT NULL,,\n        email",
    );
    let problems = parse(&text).unwrap_err();
    let first = problems.iter().next().unwrap();
    assert_eq!((first.line, first.column), (20, 34), "{problems}");
}

#[test]
fn ranges_are_written_short() {
    assert_eq!(write_ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
    assert_eq!(read_ranges("0-2, 5,7-8").unwrap(), [(0, 2), (5, 5), (7, 8)]);
    for bad in ["", "a", "1-", "-1", "1-2-3", "99999999999"] {
        assert!(read_ranges(bad).is_err(), "{bad}");
    }
}

proptest! {
    /// Whatever is done to a good file, the answer is a topology or problems with a place in it.
    #[test]
    fn no_text_makes_the_parser_panic(
        cuts in prop::collection::vec((0usize..GOOD.len(), 0usize..40, "[ -~\n\t\u{e9}\u{4e2d}]{0,6}"), 1..4)
    ) {
        let mut text = GOOD.to_owned();
        for (start, length, insert) in cuts {
            let start = (0..=start.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let end = (start + length).min(text.len());
            let end = (end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
            text.replace_range(start..end, &insert);
        }
        let lines = text.lines().count() as u64;
        match parse(&text) {
            Ok(topology) => prop_assert_eq!(parse(&render(&topology)).unwrap(), topology),
            Err(problems) => for problem in problems.iter() {
                prop_assert!(problem.line <= lines + 1, "{}", problem);
            },
        }
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }
}

#[test]
fn names_that_a_schema_can_have_once_are_refused() {
    check(
        "buyer bigint NOT NULL, PRIMARY KEY (id, buyer))",
        "buyer bigint NOT NULL, PRIMARY KEY (id, buyer), CONSTRAINT positive CHECK (id > 0))",
        &[
            "36:10: `orders` names a constraint `positive`, and a schema cannot have a name for each \
           of its 2 tables: leave the name to the server",
        ],
    );
    check(
        "        email varchar(100),\n",
        "        email varchar(100),\n        CONSTRAINT k FOREIGN KEY (memberId) REFERENCES orders (id), \
         FOREIGN KEY (memberId) REFERENCES region (id), FOREIGN KEY (email) REFERENCES other (id),\n",
        &[
            "19:7: a foreign key of `member` refers to `orders`, whose physical tables have other \
             names: leave it out",
            "19:7: a foreign key of `member` refers to `other`, which is no table of the topology: \
             leave it out",
        ],
    );
}
