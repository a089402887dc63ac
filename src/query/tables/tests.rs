use crate::query::plan::{Way, plan};
use crate::topology::file::parse;

const TOPOLOGY: &str = "\
version: 1
cluster: c
instances: {a: {host: x}, b: {host: y}}
schemas: {name: 's_{}', count: 16, on: {a: 0-7, b: 8-15}}
tables:
  a: {shard_key: id, function: drds_hash, ddl: 'CREATE TABLE a (id bigint NOT NULL PRIMARY KEY, n int)'}
  b: {shard_key: bid, function: drds_hash, ddl: 'CREATE TABLE b (bid int unsigned NOT NULL, no int NOT NULL, n int, PRIMARY KEY (bid, no))'}
  m: {shard_key: id, function: mod, ddl: 'CREATE TABLE m (id bigint NOT NULL PRIMARY KEY, n int)'}
  four: {shard_key: id, function: drds_hash, tables_per_schema: 4, ddl: 'CREATE TABLE four (id bigint NOT NULL PRIMARY KEY, n int)'}
  x: {shard_key: k, function: drds_hash, ddl: 'CREATE TABLE x (k varchar(9) COLLATE utf8mb4_0900_bin NOT NULL PRIMARY KEY, n int)'}
  y: {shard_key: k, function: drds_hash, ddl: 'CREATE TABLE y (k varchar(9) COLLATE utf8mb4_0900_bin NOT NULL PRIMARY KEY, n int)'}
  ci: {shard_key: k, function: drds_hash, assume: [one_spelling], ddl: 'CREATE TABLE ci (k varchar(9) COLLATE utf8mb4_general_ci NOT NULL PRIMARY KEY, n int)'}
  pads: {shard_key: k, function: drds_hash, ddl: 'CREATE TABLE pads (k varchar(9) COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, n int)'}
  sure: {shard_key: k, function: drds_hash, assume: [no_trailing_spaces], ddl: 'CREATE TABLE sure (k varchar(9) COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, n int)'}
  p: {shard_key: a, function: mod, table_key: b, table_function: mod, tables_per_schema: 2, ddl: 'CREATE TABLE p (a int NOT NULL, b int NOT NULL, n int, PRIMARY KEY (a, b))'}
  q: {shard_key: a, function: mod, table_key: b, table_function: mod, tables_per_schema: 2, ddl: 'CREATE TABLE q (a int NOT NULL, b int NOT NULL, n int, PRIMARY KEY (a, b))'}
  bc: {broadcast: true, ddl: 'CREATE TABLE bc (code int NOT NULL PRIMARY KEY, label varchar(9))'}
";

/// The way and the number of places, or why there is none.
fn way(sql: &str) -> String {
    let topology = parse(TOPOLOGY).unwrap_or_else(|problems| panic!("{problems}"));
    match plan(sql, &topology) {
        Err(refusal) => format!("refused: {refusal}"),
        Ok(planned) => match planned.way {
            Way::One { .. } => format!("one of {}", planned.places.len()),
            Way::Scatter(_) => format!("scatter over {}", planned.places.len()),
            Way::Union(_) => "union".to_owned(),
            Way::Apart(refusal) => format!("apart: {refusal}"),
        },
    }
}

fn check(sql: &str, expected: &str) {
    assert_eq!(way(sql), expected, "{sql}");
}

#[test]
fn tables_are_joined_where_their_rows_meet() {
    check("SELECT a.n FROM a JOIN b ON id = bid", "scatter over 16");
    check(
        "SELECT a.n FROM a JOIN b ON a.id = b.bid AND a.n = b.n",
        "scatter over 16",
    );
    check("SELECT x.n FROM x JOIN y USING (k)", "scatter over 16");
    check("SELECT x.n FROM x JOIN y ON x.k = y.k", "scatter over 16");
    check(
        "SELECT s.n FROM sure s JOIN sure t ON s.k = t.k",
        "scatter over 16",
    );
    check(
        "SELECT p.n FROM p JOIN q ON p.a = q.a AND q.b = p.b",
        "scatter over 32",
    );
    check("SELECT p.n FROM p JOIN q USING (a, b)", "scatter over 32");
    check(
        "SELECT p.n FROM p JOIN q USING (a, b) WHERE a = 3",
        "scatter over 2",
    );
    check(
        "SELECT a.n FROM a, b, a c WHERE a.id = c.id AND c.id = b.bid",
        "scatter over 16",
    );
    for apart in [
        // Equal for the server, and not for the shard function; or split in other ways.
        "SELECT a.n FROM ci a JOIN ci b ON a.k = b.k",
        "SELECT a.n FROM pads a JOIN pads b ON a.k = b.k",
        "SELECT a.n FROM sure a JOIN pads b ON a.k = b.k",
        "SELECT a.n FROM a JOIN m ON a.id = m.id",
        "SELECT a.n FROM a JOIN four ON a.id = four.id",
        "SELECT p.n FROM p JOIN q ON p.a = q.a",
        "SELECT p.n FROM p JOIN q ON p.a = q.b AND p.b = q.a",
        "SELECT p.n FROM p JOIN q ON p.b = q.b",
        "SELECT a.n FROM a NATURAL JOIN m",
        "SELECT s.n FROM a s, a S WHERE s.id = S.id",
        "SELECT a.n FROM a JOIN b ON a.id = b.bid OR 1",
        "SELECT a.n FROM a JOIN b ON a.id <=> b.bid",
        // The condition is of the second outer join, and not of the first.
        "SELECT a.n FROM a LEFT JOIN b ON a.n = b.n LEFT JOIN a c ON c.id = a.id AND c.id = b.bid",
    ] {
        assert!(
            way(apart).contains("not joined on shard keys"),
            "{apart}: {}",
            way(apart)
        );
    }
}

#[test]
fn one_place_has_all_where_each_table_is_pinned() {
    check(
        "SELECT * FROM a JOIN b ON id = bid WHERE id = 17",
        "one of 1",
    );
    check(
        "SELECT * FROM a LEFT JOIN b ON id = bid WHERE bid = 17",
        "one of 1",
    );
    check(
        "SELECT * FROM a JOIN b ON id = bid AND bid IN (17, 33)",
        "one of 1",
    );
    check(
        "SELECT * FROM a LEFT JOIN b ON id = bid AND id = 17",
        "scatter over 16",
    );
    check("SELECT k FROM x JOIN y USING (k) WHERE k = 'v'", "one of 1");
    check(
        "SELECT k FROM x LEFT JOIN y USING (k) WHERE k = 'v'",
        "one of 1",
    );
    check(
        "SELECT k FROM x RIGHT JOIN y USING (k) WHERE k = 'v'",
        "one of 1",
    );
    // 1 and 2 are on one instance, 1 and 9 are not.
    check("SELECT * FROM a, m WHERE a.id = 1 AND m.id = 2", "one of 1");
    let far = way("SELECT * FROM a, m WHERE a.id = 1 AND m.id = 9");
    assert!(far.contains("not joined"), "{far}");
    check(
        "SELECT id FROM a WHERE id = 1 UNION SELECT id FROM m WHERE id = 2",
        "one of 1",
    );
    check(
        "SELECT n FROM a WHERE id = 1 AND EXISTS (SELECT 1 FROM b WHERE bid = id)",
        "one of 1",
    );
    check(
        "SELECT n FROM a WHERE id = 1 AND n IN (SELECT n FROM b WHERE bid = 1)",
        "one of 1",
    );
    check(
        "WITH w AS (SELECT * FROM a WHERE id = 1) SELECT COUNT(*) FROM w, w v",
        "one of 1",
    );
    check(
        "SELECT * FROM (SELECT * FROM a WHERE id = 1) d WHERE d.id = 2",
        "one of 1",
    );
    let outside = way("SELECT * FROM (SELECT * FROM a) d WHERE d.id = 1");
    assert!(outside.contains("derived tables"), "{outside}");
    // A name that hides a table is none.
    let hidden = way("WITH a AS (SELECT 1 AS id) SELECT * FROM a WHERE id = 1");
    assert!(hidden.contains("names no table"), "{hidden}");
}

#[test]
fn groups_are_whole_where_they_name_the_shard_key() {
    let whole = |sql: &str| check(sql, "scatter over 16");
    whole("SELECT bid, GROUP_CONCAT(n) FROM b GROUP BY bid");
    whole("SELECT n, GROUP_CONCAT(no) FROM b GROUP BY n, bid");
    whole("SELECT bid AS g, GROUP_CONCAT(no) FROM b GROUP BY g");
    whole("SELECT k, BIT_OR(n) FROM x GROUP BY k");
    whole("SELECT k, BIT_OR(x.n) FROM x JOIN y USING (k) GROUP BY k");
    whole("SELECT k, BIT_OR(n) FROM sure GROUP BY k");
    check("SELECT BIT_OR(n) FROM p GROUP BY a, b", "scatter over 32");
    for apart in [
        "SELECT k, BIT_OR(n) FROM ci GROUP BY k",
        "SELECT k, BIT_OR(n) FROM pads GROUP BY k",
        "SELECT BIT_OR(n) FROM p GROUP BY a",
        "SELECT BIT_OR(no) FROM b GROUP BY bid + 0",
        "SELECT BIT_OR(a.n) FROM a LEFT JOIN b ON id = bid GROUP BY bid",
        // The alias is not the key that it is named like, and the column comes before it.
        "SELECT n AS bid2, BIT_OR(no) FROM b GROUP BY bid2",
    ] {
        assert!(
            way(apart).contains("bit_or() over shards"),
            "{apart}: {}",
            way(apart)
        );
    }
}
