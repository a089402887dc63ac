//! The shard functions as the servers themselves compute them: a second source for our arithmetic,
//! and the proof of the SQL that finds misplaced rows.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use mysql_async::prelude::Queryable;
use shardctl::routing::Router;
use shardctl::rows::key::KeyValue;
use shardctl::topology::file;
use support::on_each_engine;

const NUMBERS: &[&str] = &[
    "0", "1", "-1", "7", "-7", "8", "16", "17", "-17", "127", "-128", "1001", "129", "-129",
];

/// Column type, and literals of values at its edges beside the common ones.
const COLUMNS: &[(&str, &[&str])] = &[
    ("TINYINT", &["-128", "127"]),
    ("INT", &["-2147483648", "2147483647"]),
    ("INT(8) UNSIGNED ZEROFILL", &["4294967295", "4294967294"]),
    (
        "BIGINT",
        &[
            "-9223372036854775808",
            "-9223372036854775807",
            "9223372036854775807",
            "9999999999",
        ],
    ),
    (
        "BIGINT UNSIGNED",
        &[
            "18446744073709551615",
            "9223372036854775808",
            "9223372036854775807",
        ],
    ),
    (
        "DECIMAL(30,0)",
        &[
            "123456789012345678901234567890",
            "-123456789012345678901234567890",
        ],
    ),
];

const TEXT_COLUMNS: &[&str] = &[
    "VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
    "VARCHAR(40) CHARACTER SET utf16",
    "CHAR(40) CHARACTER SET utf8mb4",
    "TEXT CHARACTER SET utf8mb4",
];

const TEXTS: &[&str] = &[
    "",
    "1",
    "17",
    "Alice",
    "alice",
    "alice@example.com",
    "中文",
    "é",
    "😀a",
    "a b  ",
];

/// Schemas, tables per schema, and the function with what it needs.
const LAYOUTS: &[(u32, u32, &str)] = &[
    (1, 1, "mod"),
    (16, 8, "mod"),
    (3, 5, "mod"),
    (16, 1, "crc32"),
    (7, 3, "crc32"),
    (1, 1, "drds_hash"),
    (16, 8, "drds_hash"),
    (3, 5, "drds_hash"),
    (1, 1, "drds_uni_hash"),
    (1, 6, "drds_uni_hash"),
    (16, 8, "drds_uni_hash"),
    (3, 5, "drds_uni_hash"),
    (4, 1, "range\n    bounds: [-17, 0, 129]"),
    (
        3,
        1,
        "range\n    bounds: [-99999999999999999999999999999999, 9223372036854775808]",
    ),
    (
        4,
        3,
        "drds_uni_hash\n    table_key: second\n    table_function: mod",
    ),
    (
        4,
        3,
        "mod\n    table_key: second\n    table_function: range\n    table_bounds: [0, 20]",
    ),
];

fn topology(column: &str, schemas: u32, tables: u32, function: &str) -> String {
    format!(
        "\
version: 1
cluster: c
instances: {{a: {{host: x}}}}
schemas: {{name: 's_{{}}', count: {schemas}, on: {{a: 0-{last}}}}}
tables:
  t:
    shard_key: k
    tables_per_schema: {tables}
    assume: [global_keys, one_spelling]
    function: {function}
    ddl: CREATE TABLE t (id int NOT NULL PRIMARY KEY, k {column} NOT NULL, second int NOT NULL)
",
        last = schemas - 1
    )
}

on_each_engine! {
    async fn the_server_computes_the_same_places(engine) {
        let sandbox = support::shared(engine, 1).await;
        let mut conn = support::conn(&sandbox, "rds-1").await;
        let schema = support::fresh_schema("routing");
        conn.query_drop(format!("CREATE DATABASE {schema}")).await.unwrap();
        conn.query_drop(format!("USE {schema}")).await.unwrap();
        conn.query_drop("SET NAMES utf8mb4").await.unwrap();
        let texts: Vec<String> = TEXTS.iter().map(|text| format!("'{text}'")).collect();
        let bytes: Vec<String> = ["", "00", "41", "4100", "80ff"].iter().map(|hex| format!("x'{hex}'")).collect();
        let columns = COLUMNS
            .iter()
            .map(|(column, edges)| {
                let unsigned = column.contains("UNSIGNED");
                let tiny = *column == "TINYINT";
                let common = NUMBERS
                    .iter()
                    .filter(|n| !(unsigned && n.starts_with('-')))
                    .filter(|n| !(tiny && n.trim_start_matches('-').len() > 2));
                let values: Vec<String> = common.chain(*edges).map(|n| (*n).to_owned()).collect();
                (*column, values)
            })
            .chain(TEXT_COLUMNS.iter().map(|column| (*column, texts.clone())))
            .chain(["VARBINARY(9)", "BINARY(4)"].map(|column| (column, bytes.clone())));
        let mut compared = 0;
        for (index, (column, values)) in columns.enumerate() {
            let nulls = (0..2).map(|_| "NULL");
            let rows: Vec<String> = values
                .iter()
                .map(String::as_str)
                .chain(nulls)
                .enumerate()
                .map(|(row, value)| format!("({row}, {value}, {})", row as i32 * 11 - 40))
                .collect();
            let table = format!("t_{index}");
            conn.query_drop(format!(
                "CREATE TABLE {table} (id int NOT NULL PRIMARY KEY, k {column}, second int NOT NULL)"
            )).await.unwrap();
            conn.query_drop(format!("INSERT INTO {table} VALUES {}", rows.join(", "))).await.unwrap();
            for (schemas, tables, function) in LAYOUTS {
                let topology = topology(column, *schemas, *tables, function);
                let nullable = topology.replace(&format!("k {column} NOT NULL"), &format!("k {column}"));
                let parsed = match function.starts_with("drds_hash") {
                    true => file::parse(&nullable),
                    false => file::parse(&topology),
                };
                let topology = parsed.unwrap_or_else(|problems| panic!("{column} {function}: {problems:?}"));
                // A type that the function is not defined for.
                let Ok(router) = Router::new(&topology, &topology.tables[0]) else { continue };
                let Some(sql) = router.table_sql() else { continue };
                let shown = match column.contains("BINARY") {
                    true => "CONCAT('0x', HEX(k))",
                    false if column.contains("CHARACTER SET") => "CONVERT(k USING utf8mb4)",
                    false => "CAST(k + 0 AS CHAR)",
                };
                for sql_mode in ["DEFAULT", "'PAD_CHAR_TO_FULL_LENGTH'", "'ANSI,NO_UNSIGNED_SUBTRACTION'"] {
                    conn.query_drop(format!("SET sql_mode = {sql_mode}")).await.unwrap();
                    let rows: Vec<(Option<String>, i64, Option<String>)> = conn
                        .query(format!("SELECT {shown}, second, CAST({sql} AS CHAR) FROM {table} ORDER BY id"))
                        .await
                        .unwrap_or_else(|error| panic!("{column}: {sql}: {error}"));
                    assert_eq!(rows.len(), values.len() + 2);
                    for (key, second, found) in rows {
                        let value = match &key {
                            None => KeyValue::Null,
                            Some(key) => router.schema_key_type().parse(key).unwrap(),
                        };
                        let second = KeyValue::Integer(second.into());
                        let expected = router.place(&value, Some(&second)).ok().map(|place| place.table.to_string());
                        assert_eq!(found, expected, "{engine} {column} {key:?} {second:?} under {sql_mode}: {sql}");
                        compared += 1;
                    }
                }
                conn.query_drop("SET sql_mode = DEFAULT").await.unwrap();
            }
        }
        assert!(compared > 4_000, "{compared}");
        conn.query_drop(format!("DROP DATABASE {schema}")).await.unwrap();
    }
}
