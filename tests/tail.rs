//! Following the logs of real servers: every value arrives as it was, and nothing is left out.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStreamRequest, Conn, Params, Row as DriverRow};
use rand::{RngExt, SeedableRng};
use shardctl::mysql::credentials::{CredentialSource, Credentials};
use shardctl::mysql::tail::{
    Start, Tail, TailOptions, current_position, executed_gtids, table_shape,
};
use shardctl::mysql::{Server, row};
use shardctl::rows::binlog::{Decoder, Event, Header, Item, Limits, Rename};
use shardctl::rows::change::{Row, RowChange};
use shardctl::rows::position::Position;
use shardctl::rows::shape::TableShape;
use support::{Engine, Sandbox, conn, fresh_schema, on_each_engine, options, servers_with, shared};

/// The session that rows are written back by.
const WRITER: &str = "SET NAMES binary, time_zone='+00:00', foreign_key_checks=0, \
    sql_mode='STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'";
/// The same for the error value of an ENUM, which no strict session takes.
const LENIENT: &str = "SET sql_mode='ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'";

async fn server(sandbox: &Sandbox, name: &str) -> Server {
    let credentials = Credentials::read(CredentialSource {
        defaults_file: Some(sandbox.client_file()),
        ..CredentialSource::default()
    })
    .unwrap();
    let instance = sandbox.instance(name).unwrap();
    Server::connect(instance.name.clone(), instance.endpoint(), &credentials, 4)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

async fn position(server: &Server) -> Position {
    let mut conn = server.conn().await.unwrap();
    current_position(server, &mut conn)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

async fn shape(server: &Server, schema: &str, table: &str) -> Arc<TableShape> {
    let mut conn = server.conn().await.unwrap();
    let shape = table_shape(server, &mut conn, schema, table).await;
    Arc::new(shape.unwrap_or_else(|error| panic!("{error}")))
}

fn to_the_end(tables: &[Arc<TableShape>]) -> TailOptions {
    TailOptions {
        tables: tables.to_vec(),
        stop_at_end: true,
        ..TailOptions::default()
    }
}

/// All items up to the log's end.
async fn read(server: &Server, start: Start, options: TailOptions) -> Result<Vec<Item>, String> {
    let text = |error: shardctl::error::Error| error.to_string();
    let mut tail = Tail::open(server, start, options).await.map_err(text)?;
    let mut items = Vec::new();
    while let Some(item) = tail.next().await.map_err(text)? {
        items.push(item);
    }
    tail.close().await;
    Ok(items)
}

fn changes(items: &[Item]) -> Vec<RowChange> {
    let changes = items.iter().filter_map(|item| match item {
        Item::Changes(changes) => Some(changes.clone()),
        _ => None,
    });
    changes.flatten().collect()
}

/// Values with all of their bits: equal numbers can be different ones (0.0 and -0.0).
fn exactly(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| format!("{row:?}")).collect()
}

async fn run(conn: &mut Conn, statements: &[String]) {
    for sql in statements {
        if let Err(error) = conn.query_drop(sql).await {
            panic!("{error}\n{}", sql.chars().take(300).collect::<String>());
        }
    }
}

/// The table's rows in key order, as a prepared SELECT reads them.
async fn select(conn: &mut Conn, shape: &TableShape) -> Vec<Row> {
    let sql = format!(
        "SELECT {} FROM {} ORDER BY id",
        row::select_list(shape),
        shape.quoted()
    );
    let rows: Vec<DriverRow> = conn.exec(sql, ()).await.unwrap();
    rows.into_iter()
        .map(|row| {
            let values = row.unwrap().into_iter();
            values
                .zip(&shape.columns)
                .map(|(value, column)| row::value_of(column, value))
                .collect()
        })
        .collect()
}

/// Applies a change as a move does: delete by key, then a plain insert.
async fn apply(conn: &mut Conn, change: &RowChange) {
    let shape = &change.table;
    let literal = |columns: &[usize], row: &Row| -> Vec<mysql_async::Value> {
        columns.iter().map(|i| row::parameter(&row[*i])).collect()
    };
    if let Some(before) = &change.before {
        let terms: Vec<String> = shape
            .key
            .iter()
            .map(|index| format!("{} = ?", shape.columns[*index].quoted()))
            .collect();
        let sql = format!(
            "DELETE FROM {} WHERE {}",
            shape.quoted(),
            terms.join(" AND ")
        );
        conn.exec_drop(sql, Params::Positional(literal(&shape.key, before)))
            .await
            .unwrap();
        assert_eq!(conn.affected_rows(), 1, "{before:?}");
    }
    if let Some(after) = &change.after {
        let written: Vec<usize> = shape.written().map(|(index, _)| index).collect();
        let names: Vec<String> = shape.written().map(|(_, column)| column.quoted()).collect();
        let marks: Vec<&str> = shape
            .written()
            .map(|(_, column)| column.placeholder())
            .collect();
        let sql = format!(
            "INSERT INTO {} ({}) VALUES ({})",
            shape.quoted(),
            names.join(", "),
            marks.join(", ")
        );
        let values = literal(&written, after);
        if let Err(error) = conn.exec_drop(&sql, values.clone()).await {
            // WARN_DATA_TRUNCATED
            assert!(error.to_string().contains("1265"), "{error}: {after:?}");
            conn.query_drop(LENIENT).await.unwrap();
            conn.exec_drop(&sql, values).await.unwrap();
            conn.query_drop(WRITER).await.unwrap();
        }
    }
}

/// A table, rows for it, and how the copy is compared.
struct Family {
    table: &'static str,
    columns: String,
    /// What stands behind VALUES, a row each, without the id.
    rows: Vec<String>,
    same: Same,
}

/// How far what was written back is what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Same {
    Bytes,
    Text,
    /// DECIMAL in JSON: its text is that of a DOUBLE then.
    Value,
}

fn family(table: &'static str, columns: impl Into<String>, rows: &[&str]) -> Family {
    Family {
        table,
        columns: columns.into(),
        rows: rows.iter().map(|row| (*row).to_owned()).collect(),
        same: Same::Bytes,
    }
}

fn times() -> Family {
    let mut columns = "a DATE, y YEAR".to_owned();
    let mut zero = "'0000-00-00', 0".to_owned();
    let mut low = "'1000-01-01', 1901".to_owned();
    let mut high = "'9999-12-31', 2155".to_owned();
    let mut odd = "'2024-02-30', '0000'".to_owned();
    let mut null = "NULL, NULL".to_owned();
    for digits in 0..=6 {
        columns.push_str(&format!(
            ", d{digits} DATETIME({digits}), s{digits} TIMESTAMP({digits}) NULL, t{digits} TIME({digits})"
        ));
        let fraction = |text: &str| match digits {
            0 => String::new(),
            _ => format!(".{}", &text[..digits]),
        };
        zero.push_str(", '0000-00-00 00:00:00', '0000-00-00 00:00:00', '00:00:00'");
        let (nine, one) = (fraction("999999"), fraction("100000"));
        low.push_str(", '1000-01-01 00:00:00', '1970-01-01 00:00:01', '-838:59:59'");
        high.push_str(&format!(
            ", '9999-12-31 23:59:59{nine}', '2038-01-19 03:14:07{nine}', '838:59:59'"
        ));
        odd.push_str(&format!(
            ", '2024-02-30 01:02:03{one}', '2001-09-09 01:46:40{one}', '-00:00:00{one}'"
        ));
        null.push_str(", NULL, NULL, NULL");
    }
    let minus = low.replace("-838:59:59", "-01:00:59.987654");
    family("times", columns, &[&zero, &low, &high, &odd, &null, &minus])
}

async fn charsets(conn: &mut Conn) -> BTreeSet<String> {
    let charsets: Vec<String> = conn
        .query("SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS")
        .await
        .unwrap();
    charsets.into_iter().filter(|c| c != "binary").collect()
}

fn texts<'a>(charsets: impl Iterator<Item = &'a String>) -> Family {
    let charsets: Vec<&String> = charsets.collect();
    assert!(charsets.len() > 30, "{charsets:?}");
    let columns: Vec<String> = charsets
        .iter()
        .map(|c| {
            format!(
                "v_{c} VARCHAR(40) CHARACTER SET {c}, c_{c} CHAR(20) CHARACTER SET {c}, \
                 t_{c} TEXT CHARACTER SET {c}"
            )
        })
        .collect();
    let row = |text: &str| vec![text; charsets.len() * 3].join(", ");
    // The third has characters whose second byte in sjis and gbk is a backslash.
    let rows = [
        row("'a ''quote'' \\\\ back'"),
        row("'äöü ж 中文 é€  '"),
        row("'表ソ能 誠'"),
        row("'😀 end\t\n\0'"),
        row("''"),
        row("NULL"),
    ];
    Family {
        table: "texts",
        columns: columns.join(", "),
        rows: rows.to_vec(),
        same: Same::Bytes,
    }
}

fn members() -> Family {
    let many: Vec<String> = (1..=300).map(|n| format!("'m{n}'")).collect();
    let bits: Vec<String> = (1..=64).map(|n| format!("'b{n}'")).collect();
    family(
        "members",
        format!(
            "a ENUM('x', 'ä', ''), b ENUM({}), c SET('p', 'q', 'r'), d SET({}), \
             e ENUM('x', 'y') CHARACTER SET ucs2",
            many.join(", "),
            bits.join(", ")
        ),
        &[
            "'x', 'm1', 'p', 'b1', 'y'",
            "'ä', 'm300', 'p,r', 'b1,b64', 'x'",
            "'', 'm256', '', '', 'x'",
            // Not in the list: the error value.
            "'nope', 'nope', 'p', 'b33', 'nope'",
            "NULL, NULL, NULL, 18446744073709551615, NULL",
        ],
    )
}

fn families(engine: Engine) -> Vec<Family> {
    let mut families = vec![
        family(
            "numbers",
            "a TINYINT, au TINYINT UNSIGNED, b SMALLINT, bu SMALLINT UNSIGNED, c MEDIUMINT, \
             cu MEDIUMINT UNSIGNED, d INT, du INT UNSIGNED, e BIGINT, eu BIGINT UNSIGNED, f FLOAT, g DOUBLE, \
             h DECIMAL(65,30), i DECIMAL(10,0), j DECIMAL(5,5), k DECIMAL(18,9) UNSIGNED, l BIT(1), m BIT(64), \
             n BIT(9), o BOOL, p INT(5) ZEROFILL",
            &[
                "-128, 0, -32768, 0, -8388608, 0, -2147483648, 0, -9223372036854775808, 0, -3.402823e38, \
                 -1.7976931348623157e308, -99999999999999999999999999999999999.999999999999999999999999999999, \
                 -9999999999, -0.99999, 0.000000001, 0, 0, 0, 0, 1",
                "127, 255, 32767, 65535, 8388607, 16777215, 2147483647, 4294967295, 9223372036854775807, \
                 18446744073709551615, 3.402823e38, 1.7976931348623157e308, \
                 99999999999999999999999999999999999.999999999999999999999999999999, 9999999999, 0.99999, \
                 999999999.999999999, 1, 18446744073709551615, 511, 1, 99999",
                "-1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -0e0, -0e0, -0.000000000000000000000000000001, -1, -0.00001, 1, \
                 b'1', b'1010', b'100000001', TRUE, 0",
                "0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1.4e-45, 4.9e-324, 0, 0, 0, 0, 0, 1, 255, 0, 0",
                "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
                 NULL, NULL, NULL, NULL",
                "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0.1, 0.1, 123456789.123456789, 5, 0.5, 0.000000010, 1, 2, 3, 4, 5",
            ],
        ),
        times(),
        members(),
        family(
            "bytes",
            "a BINARY(1), b BINARY(16), c BINARY(255), d VARBINARY(10), e VARBINARY(300), f TINYBLOB, g BLOB, \
             h MEDIUMBLOB, i LONGBLOB, j TINYTEXT, k MEDIUMTEXT, l LONGTEXT, m VARCHAR(300), n CHAR(255)",
            &[
                "'', '', '', '', '', '', '', '', '', '', '', '', '', ''",
                "0x00, 0x0001000000, 0xff00, 0x000000, 0x0100, 0x00, REPEAT(0x5c27220a, 10000), \
                 REPEAT(0x00, 70000), REPEAT(0xff, 2000000), 'é', REPEAT('é', 40000), REPEAT('x', 100000), \
                 REPEAT('😀', 300), REPEAT('中', 255)",
                "0x20, 0x2020, REPEAT(0x41, 255), 0x5c30, 0x27, 0x22, 0x0d0a1a, 'x', 'y', ' ', '  ', '\\t', 'x ', 'x '",
                "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
            ],
        ),
        family(
            "places",
            "a GEOMETRY, b POINT, c LINESTRING, d POLYGON, e MULTIPOINT, f MULTILINESTRING, g MULTIPOLYGON, \
             h GEOMETRYCOLLECTION",
            &[
                "ST_GeomFromText('POINT(1 2)', 4326), ST_GeomFromText('POINT(-1.5 2.25)'), \
                 ST_GeomFromText('LINESTRING(0 0, 1 1, 2 2)'), \
                 ST_GeomFromText('POLYGON((0 0, 4 0, 4 4, 0 4, 0 0), (1 1, 2 1, 2 2, 1 2, 1 1))'), \
                 ST_GeomFromText('MULTIPOINT(0 0, 1 1)'), ST_GeomFromText('MULTILINESTRING((0 0, 1 1), (2 2, 3 3))'), \
                 ST_GeomFromText('MULTIPOLYGON(((0 0, 1 0, 1 1, 0 0)))'), \
                 ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1), LINESTRING(0 0, 1 1))')",
                "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
            ],
        ),
        family(
            "computed",
            "a INT, b INT GENERATED ALWAYS AS (a + 1) VIRTUAL, c INT GENERATED ALWAYS AS (a * 2) STORED, \
             d VARCHAR(20) GENERATED ALWAYS AS (CONCAT('x', a)) VIRTUAL, e INT INVISIBLE DEFAULT 7, KEY (b)",
            &[
                "5, DEFAULT, DEFAULT, DEFAULT, 9",
                "NULL, DEFAULT, DEFAULT, DEFAULT, NULL",
            ],
        ),
    ];
    match engine {
        Engine::Mysql => {
            families.push(family(
                "json",
                "a JSON, b JSON NOT NULL",
                &[
                    r#"'{"b": [1, -2, 3.5, 1e100, true, false, null], "a": {"ä \\" \\\\ \\n": "中 😀 /"}}', '[]'"#,
                    "'[-32768, 32767, 65535, 65536, -32769, 2147483647, -2147483648, 4294967295, 4294967296, \
                      9223372036854775807, -9223372036854775808, 18446744073709551615]', '{}'",
                    "'[0.1, -0.0, 1e-7, 123456789012345680, 1.7976931348623157e308, 4.9e-324, 5e-1, 100.0]', '\"x\"'",
                    // Beyond 64 KiB the offsets are wider.
                    r#"CONCAT('{"k": [', REPEAT('[1, "abc", {"z": 5}], ', 9000), '2, 70000]}'), 'null'"#,
                    r#"CONCAT('"', REPEAT('long ', 30000), '"'), '1'"#,
                    "NULL, 'true'",
                ],
            ));
            families.push(Family {
                same: Same::Value,
                ..family(
                    "decimals",
                    "a JSON",
                    &["JSON_ARRAY(CAST(1.5000 AS DECIMAL(10,4)), CAST(-123.45 AS DECIMAL(65,30)))"],
                )
            });
            families.push(Family {
                same: Same::Text,
                ..family(
                    "opaque",
                    "a JSON",
                    &[
                        "JSON_ARRAY(CAST(1.25 AS DECIMAL(10,2)), CAST(5 AS UNSIGNED))",
                        "JSON_OBJECT('d', DATE'2024-02-29', 'dt', TIMESTAMP'2024-02-29 01:02:03.456789', \
                         't', TIME'-12:34:56.7', 't2', TIME'838:59:59')",
                        "JSON_ARRAY(CAST(x'00ff41' AS BINARY), b'101')",
                    ],
                )
            });
            families.push(family(
                "vectors",
                "a VECTOR(3), b VECTOR(3)",
                &["TO_VECTOR('[1, -2.5, 3e10]'), NULL"],
            ));
        }
        Engine::Mariadb => {
            families.push(family(
                "own_types",
                "a UUID, b INET6, c INET4, d JSON",
                &[
                    "'6ccd780c-baba-1026-9564-5b8c656024db', '::1', '127.0.0.1', '{\"a\": [1, 2.50]}'",
                    "'f47ac10b-58cc-4372-a567-0e02b2c3d479', '::ffff:192.0.2.1', '0.0.0.0', '[]'",
                    "'017f22e2-79b0-7cc3-98c4-dc0c0c07398f', '2001:db8::', '255.255.255.255', '1'",
                    "'00000000-0000-0000-0000-000000000000', '::', '10.0.0.0', 'null'",
                    "'ffffffff-ffff-ffff-ffff-ffffffffffff', '1:0:0:2:0:0:0:3', '1.2.3.4', '\"x\"'",
                    "NULL, NULL, NULL, NULL",
                ],
            ));
            families.push(family(
                "compressed",
                "a VARCHAR(2000) COMPRESSED, b TEXT COMPRESSED, c LONGBLOB COMPRESSED, d VARBINARY(5000) COMPRESSED",
                &[
                    "REPEAT('ab', 900), REPEAT('long text ', 5000), REPEAT(0x00ff, 90000), REPEAT(0x01, 4000)",
                    "'', 'short', '', 0x00",
                    "NULL, NULL, NULL, NULL",
                ],
            ));
        }
    }
    families
}

/// What a server says of a table's rows: a checksum, and each column's bytes.
async fn fingerprint(conn: &mut Conn, shape: &TableShape, same: Same) -> Vec<String> {
    let mut prints = Vec::new();
    if same == Same::Bytes {
        let checksum: Option<(String, u64)> = conn
            .query_first(format!("CHECKSUM TABLE {}", shape.quoted()))
            .await
            .unwrap();
        prints.push(checksum.unwrap().1.to_string());
    }
    for column in &shape.columns {
        let name = column.quoted();
        if same == Same::Value && column.kind == "json" {
            continue;
        }
        let text = match column.kind.as_str() {
            "json" | "uuid" | "inet6" | "inet4" => format!("CAST({name} AS CHAR)"),
            "float" | "double" => format!("CONCAT({name} * 1e0)"),
            "enum" | "set" | "bit" | "year" => format!("CONCAT({name} + 0)"),
            kind if kind.ends_with("int") && kind != "point" && kind != "multipoint"
                || kind == "decimal" =>
            {
                format!("CONCAT({name})")
            }
            _ => format!("HEX({name})"),
        };
        let hashes: Vec<Option<String>> = conn
            .query(format!(
                "SELECT SHA2({text}, 256) FROM {} ORDER BY id",
                shape.quoted()
            ))
            .await
            .unwrap();
        prints.push(format!("{name} {hashes:?}"));
    }
    prints
}

/// Writes every type on one server, reads it from the log, writes that to another. The types of the
/// events that came.
async fn round_trip(engine: Engine, to: Engine, args: &[&str], session: &[&str]) -> BTreeSet<u8> {
    let mut kinds = BTreeSet::new();
    let mut options = options(engine, 2);
    options.server_args = args.iter().map(|arg| (*arg).to_owned()).collect();
    let sandbox = servers_with(options).await;
    let schema = "trip";
    let source = server(&sandbox, "rds-1").await;
    // Another family of servers has other types and charsets, and other checksums.
    let elsewhere = match to == engine {
        true => None,
        false => Some(servers_with(support::options(to, 1)).await),
    };
    let mut a = conn(&sandbox, "rds-1").await;
    let mut b = match &elsewhere {
        None => conn(&sandbox, "rds-2").await,
        Some(elsewhere) => conn(elsewhere, "rds-1").await,
    };
    let mut all = families(engine);
    if elsewhere.is_some() {
        let theirs: Vec<&str> = families(to).iter().map(|family| family.table).collect();
        all.retain(|family| theirs.contains(&family.table));
        assert!(all.len() >= 6);
    }
    let charsets = charsets(&mut a).await;
    let theirs = self::charsets(&mut b).await;
    all.push(texts(charsets.intersection(&theirs)));
    for conn in [&mut a, &mut b] {
        run(
            conn,
            &[format!("CREATE DATABASE {schema}"), format!("USE {schema}")],
        )
        .await;
        for family in &all {
            let sql = format!(
                "CREATE TABLE {} (id INT NOT NULL PRIMARY KEY, {}) ENGINE=InnoDB CHARSET=utf8mb4",
                family.table, family.columns
            );
            run(
                conn,
                &["SET sql_mode='ALLOW_INVALID_DATES'".to_owned(), sql],
            )
            .await;
        }
    }
    b.query_drop(WRITER).await.unwrap();
    a.query_drop("SET NAMES utf8mb4, time_zone='+00:00', sql_mode='ALLOW_INVALID_DATES'")
        .await
        .unwrap();
    for sql in session {
        a.query_drop(*sql).await.unwrap();
    }
    // Reads as the copy does.
    let mut reader = conn(&sandbox, "rds-1").await;
    reader.query_drop(WRITER).await.unwrap();
    for family in &all {
        let shape = shape(&source, schema, family.table).await;
        let names: Vec<String> = shape.columns.iter().map(|column| column.quoted()).collect();
        let start = position(&source).await;
        let inserts: Vec<String> = family
            .rows
            .iter()
            .enumerate()
            .map(|(id, row)| {
                format!(
                    "INSERT IGNORE INTO {} ({}) VALUES ({id}, {row})",
                    family.table,
                    names.join(", ")
                )
            })
            .collect();
        run(&mut a, &inserts).await;
        let first = select(&mut reader, &shape).await;
        run(
            &mut a,
            &[format!("UPDATE {} SET id = id + 1000", family.table)],
        )
        .await;
        let second = select(&mut reader, &shape).await;
        run(
            &mut a,
            &[format!("DELETE FROM {} WHERE id % 2 = 1", family.table)],
        )
        .await;
        let third = select(&mut reader, &shape).await;
        let items = read(
            &source,
            Start::Position(start.clone()),
            to_the_end(&[Arc::clone(&shape)]),
        )
        .await;
        let changes = changes(&items.unwrap_or_else(|error| panic!("{}: {error}", family.table)));
        let count = family.rows.len();
        assert_eq!(first.len(), count, "{}", family.table);
        let images = |range: std::ops::Range<usize>, after: bool| -> Vec<Row> {
            let images = changes[range].iter().map(|change| match after {
                true => change.after.clone().unwrap(),
                false => change.before.clone().unwrap(),
            });
            images.collect()
        };
        assert!(
            changes[..count]
                .iter()
                .all(|change| change.before.is_none())
        );
        let said = |rows: &[Row], what: &str| {
            for (log, select) in exactly(rows).iter().zip(exactly(match what {
                "inserted" | "before" => &first,
                _ => &second,
            })) {
                // The one number that the server prints with another text, which reads back the same.
                let select = select.replace("0.0000001", "1e-7");
                let differ = log.bytes().zip(select.bytes()).position(|(a, b)| a != b);
                let near = |text: &str| -> String {
                    let at = differ.unwrap_or(text.len().min(select.len()));
                    text.chars().skip(at.saturating_sub(60)).take(200).collect()
                };
                assert!(
                    *log == select,
                    "{} {what}:\nlog:    ..{}\nselect: ..{}",
                    family.table,
                    near(log),
                    near(&select)
                );
            }
        };
        said(&images(0..count, true), "inserted");
        said(&images(count..2 * count, false), "before");
        said(&images(count..2 * count, true), "after");
        let deleted = &changes[2 * count..];
        assert_eq!(deleted.len() + third.len(), count, "{}", family.table);
        assert!(deleted.iter().all(|change| change.after.is_none()));
        for change in &changes[..2 * count] {
            apply(&mut b, change).await;
        }
        for change in deleted {
            apply(&mut b, change).await;
        }
        let written = select(&mut b, &shape).await;
        if family.same != Same::Value {
            let mut wanted = exactly(&third);
            if (engine, to) == (Engine::Mysql, Engine::Mariadb) {
                // MariaDB stores zero for a negative zero, which it takes for equal.
                for row in &mut wanted {
                    *row = row.replace("Double(-0.0)", "Double(0.0)");
                }
            }
            assert_eq!(wanted, exactly(&written), "{}", family.table);
        }
        // The two families print doubles in different ways and have checksums of their own.
        if elsewhere.is_some() {
            continue;
        }
        assert_eq!(
            fingerprint(&mut reader, &shape, family.same).await,
            fingerprint(&mut b, &shape, family.same).await,
            "{}",
            family.table
        );
        kinds.append(&mut mutate(&sandbox, &start, &shape).await);
    }
    kinds
}

/// Damaged events of this table: read as something else or refused, and never a panic.
async fn mutate(sandbox: &Sandbox, start: &Position, shape: &Arc<TableShape>) -> BTreeSet<u8> {
    let mut dump = conn(sandbox, "rds-1").await;
    dump.query_drop("SET @mariadb_slave_capability=4")
        .await
        .unwrap();
    let request = BinlogStreamRequest::new(rand::random::<u32>() | 1 << 30)
        .with_filename(start.file.as_bytes())
        .with_pos(start.offset)
        .with_non_blocking();
    let mut stream = dump.get_binlog_stream(request).await.unwrap();
    let mut decoder = Decoder::new([Arc::clone(shape)]);
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let (mut seen, mut damaged, mut kinds) = (0, 0, BTreeSet::new());
    while let Some(Ok(event)) = stream.next().await {
        let header = Header {
            kind: event.header().event_type_raw(),
            flags: 0,
            timestamp_s: 0,
            server_id: 1,
            size: event.header().event_size(),
            end: event.header().log_pos(),
        };
        let body = event.data();
        kinds.insert(header.kind);
        let Ok(read) = decoder.decode(&header, body) else {
            panic!("an event of type {} is refused", header.kind);
        };
        // Of rows, those of the table alone; of what has no rows, a few.
        let is_wanted = matches!(read, Event::Rows(_)) || (seen < 40 && body.len() < 10_000);
        if !is_wanted || body.len() > 50_000 {
            continue;
        }
        seen += 1;
        for _ in 0..60 {
            let mut bad = body.to_vec();
            // Near the end, where lengths are short of bytes, as often as anywhere.
            for _ in 0..rng.random_range(1..4) {
                if !bad.is_empty() {
                    let at = rng.random_range(0..bad.len());
                    bad[at] = rng.random();
                }
            }
            if rng.random_bool(0.3) {
                bad.truncate(rng.random_range(0..=bad.len()));
            }
            let mut decoder_of_bad;
            let decoder = match header.kind {
                // A damaged table map would stay known.
                19 => {
                    decoder_of_bad = Decoder::new([Arc::clone(shape)]);
                    &mut decoder_of_bad
                }
                _ => &mut decoder,
            };
            damaged += usize::from(decoder.decode(&header, &bad).is_err());
        }
    }
    assert!(seen > 0 && damaged > 0, "{seen} {damaged}");
    kinds
}

on_each_engine! {
    async fn every_type_arrives_as_it_was(engine) {
        round_trip(engine, engine, &[], &[]).await;
    }

    async fn every_type_arrives_compressed_and_described(engine) {
        match engine {
            Engine::Mysql => {
                let kinds = round_trip(
                    engine,
                    engine,
                    &["--binlog-row-metadata=FULL"],
                    &["SET binlog_transaction_compression=ON"],
                )
                .await;
                assert!(kinds.contains(&40), "{kinds:?}");
            }
            Engine::Mariadb => {
                let kinds = round_trip(
                    engine,
                    engine,
                    &["--log-bin-compress=ON", "--log-bin-compress-min-len=10", "--binlog-row-metadata=FULL"],
                    &[],
                )
                .await;
                assert!(kinds.is_superset(&BTreeSet::from([166, 167, 168])), "{kinds:?}");
            }
        }
    }

    async fn every_type_that_both_have_arrives_at_the_other_family(engine) {
        let other = match engine {
            Engine::Mysql => Engine::Mariadb,
            Engine::Mariadb => Engine::Mysql,
        };
        if support::is_installed(other) {
            round_trip(engine, other, &[], &[]).await;
        }
    }

    async fn every_type_arrives_without_checksums(engine) {
        round_trip(engine, engine, &["--binlog-checksum=NONE"], &[]).await;
    }
}

/// A schema of the test's own with two tables, on a server that other tests use too.
struct Shop {
    sandbox: Sandbox,
    schema: String,
    server: Server,
    conn: Conn,
}

impl Shop {
    async fn new(engine: Engine) -> Self {
        Self::on(shared(engine, 1).await).await
    }

    async fn on(sandbox: Sandbox) -> Self {
        let schema = fresh_schema("tail");
        let mut shop = Self {
            server: server(&sandbox, "rds-1").await,
            conn: conn(&sandbox, "rds-1").await,
            sandbox,
            schema,
        };
        let schema = &shop.schema;
        let statements = [
            format!("CREATE DATABASE {schema}"),
            format!("USE {schema}"),
            "CREATE TABLE member (id INT PRIMARY KEY, name VARCHAR(40), note TEXT)".to_owned(),
            "CREATE TABLE login (id INT, account VARCHAR(20), PRIMARY KEY (id, account))"
                .to_owned(),
            "CREATE TABLE other (id INT PRIMARY KEY, name VARCHAR(40))".to_owned(),
            "CREATE TABLE plain (id INT PRIMARY KEY) ENGINE=MyISAM".to_owned(),
        ];
        run(&mut shop.conn, &statements).await;
        shop
    }

    async fn sql(&mut self, statements: &[&str]) {
        let statements: Vec<String> = statements.iter().map(|s| (*s).to_owned()).collect();
        run(&mut self.conn, &statements).await;
    }

    async fn tables(&self) -> Vec<Arc<TableShape>> {
        vec![
            shape(&self.server, &self.schema, "member").await,
            shape(&self.server, &self.schema, "login").await,
        ]
    }

    /// What the log says of these statements: the items, or the error with the names that change
    /// from run to run taken out.
    async fn log_of(&mut self, statements: &[&str]) -> Result<Vec<Item>, String> {
        let options = to_the_end(&self.tables().await);
        self.log_with(options, statements).await
    }

    async fn log_with(
        &mut self,
        options: TailOptions,
        statements: &[&str],
    ) -> Result<Vec<Item>, String> {
        let start = position(&self.server).await;
        self.sql(statements).await;
        let items = read(&self.server, Start::Position(start), options).await;
        items.map_err(|error| self.plain(&error))
    }

    fn plain(&self, error: &str) -> String {
        let socket = self.server.endpoint().to_string();
        let mut text = error
            .replace(&self.schema, "shop")
            .replace(&socket, "SOCKET");
        // binlog.000001:1234
        while let Some(at) = text.find("binlog.0") {
            let end = text[at..]
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != ':')
                .map_or(text.len(), |end| at + end);
            text.replace_range(at..end, "PLACE");
        }
        text
    }
}

/// The changes in short: table, before, after.
fn told(items: &[Item]) -> Vec<String> {
    let mut told = Vec::new();
    for item in items {
        match item {
            Item::Begin { .. } => told.push("begin".to_owned()),
            Item::Changes(changes) => {
                for change in changes {
                    let id = |row: &Option<Row>| {
                        row.as_ref().map(|row| format!("{:?}", row[..2].to_vec()))
                    };
                    told.push(format!(
                        "{} {} -> {}",
                        change.table.table,
                        id(&change.before).unwrap_or_default(),
                        id(&change.after).unwrap_or_default()
                    ));
                }
            }
            Item::Commit { .. } => told.push("commit".to_owned()),
            Item::Renamed { renames, .. } => told.push(format!("renamed {}", renames.len())),
            Item::Passed { .. } | Item::Idle { .. } => {}
        }
    }
    told
}

fn positions(items: &[Item]) -> Vec<(usize, Position)> {
    let found = items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| match item {
            Item::Commit { position, .. }
            | Item::Passed { position }
            | Item::Renamed { position, .. } => Some((index, position.clone())),
            _ => None,
        });
    found.collect()
}

on_each_engine! {
    async fn a_transaction_over_several_tables_comes_whole_and_in_order(engine) {
        let mut shop = Shop::new(engine).await;
        let items = shop.log_of(&[
            "BEGIN",
            "INSERT INTO member VALUES (1, 'a', NULL), (2, 'b', NULL)",
            "INSERT INTO other VALUES (1, 'x')",
            "UPDATE member SET id = 3 WHERE id = 1",
            "SAVEPOINT s",
            "INSERT INTO member VALUES (9, 'gone', NULL)",
            "ROLLBACK TO s",
            "INSERT INTO login VALUES (3, 'c')",
            "DELETE FROM member WHERE id = 2",
            "COMMIT",
            "BEGIN",
            "INSERT INTO member VALUES (10, 'never', NULL)",
            "ROLLBACK",
            "INSERT INTO other VALUES (2, 'y')",
        ]).await.unwrap();
        let bytes = |text: &str| format!("{:?}", text.as_bytes());
        let member = |id: i32, name: &str| format!("[Int({id}), Bytes({})]", bytes(name));
        assert_eq!(told(&items), [
            "begin".to_owned(),
            format!("member  -> {}", member(1, "a")),
            format!("member  -> {}", member(2, "b")),
            format!("member {} -> {}", member(1, "a"), member(3, "a")),
            format!("login  -> {}", member(3, "c")),
            format!("member {} -> ", member(2, "b")),
            "commit".to_owned(),
        ]);
        assert!(matches!(items.last(), Some(Item::Passed { .. })), "{:?}", items.last());
    }

    async fn reading_goes_on_from_every_commit_with_the_same_rest(engine) {
        // Servers of its own, for it starts by what they have executed.
        let sandbox = servers_with(options(engine, 1)).await;
        let mut shop = Shop::on((*sandbox).clone()).await;
        let mut conn = shop.server.conn().await.unwrap();
        let gtids = executed_gtids(&shop.server, &mut conn).await.unwrap();
        let start = position(&shop.server).await;
        for round in 0..6 {
            let own = [
                format!("INSERT INTO member VALUES ({round}, 'm', NULL)"),
                "BEGIN".to_owned(),
                format!("UPDATE member SET name = 'n' WHERE id = {round}"),
                format!("INSERT INTO login VALUES ({round}, 'a'), ({round}, 'b')"),
                "COMMIT".to_owned(),
                format!("CREATE TABLE extra_{round} (id INT)"),
                format!("INSERT INTO other VALUES ({round}, 'o')"),
                format!("DELETE FROM login WHERE id = {round} AND account = 'b'"),
                if round % 2 == 1 { "FLUSH BINARY LOGS".to_owned() } else { "DO 0".to_owned() },
            ];
            run(&mut shop.conn, &own).await;
        }
        let options = to_the_end(&shop.tables().await);
        let all = read(&shop.server, Start::Position(start.clone()), options.clone()).await.unwrap();
        assert_eq!(told(&all).iter().filter(|line| *line == "commit").count(), 18);
        let ends = positions(&all);
        assert_eq!(ends.len(), 30);
        for pair in ends.windows(2) {
            assert!(pair[1].1.is_at_least(&pair[0].1) && !pair[0].1.is_at_least(&pair[1].1));
        }
        for (index, end) in &ends {
            let text: Position = end.to_string().parse().unwrap();
            let rest = read(&shop.server, Start::Position(text), options.clone()).await.unwrap();
            assert_eq!(rest, all[index + 1..], "from {end}");
        }
        // By GTIDs the same comes, and its positions have exact GTIDs to go on from.
        let by_gtids = read(&shop.server, Start::Gtids(gtids), options.clone()).await.unwrap();
        assert_eq!(told(&by_gtids), told(&all));
        for (index, end) in positions(&by_gtids) {
            let gtids = end.gtids.clone().unwrap();
            let rest = read(&shop.server, Start::Gtids(gtids), options.clone()).await.unwrap();
            assert_eq!(rest, by_gtids[index + 1..], "from {end}");
        }
        let last = positions(&by_gtids).pop().unwrap().1.gtids.unwrap();
        let mut conn = shop.server.conn().await.unwrap();
        let executed = executed_gtids(&shop.server, &mut conn).await.unwrap();
        assert_eq!(last.to_string(), executed.to_string());
    }

    async fn a_stream_that_is_killed_goes_on_without_loss_or_repeat(engine) {
        let mut shop = Shop::new(engine).await;
        let start = position(&shop.server).await;
        let mut options = to_the_end(&shop.tables().await);
        options.stop_at_end = false;
        // Small pieces, so that it is killed in the middle of transactions too.
        options.limits = Limits { rows_max: 7, bytes_max: 1 << 20 };
        options.heartbeat = Duration::from_millis(200);
        let mut tail = Tail::open(&shop.server, Start::Position(start.clone()), options.clone()).await.unwrap();
        for id in 0..40 {
            let rows: Vec<String> = (0..500).map(|n| format!("({}, 'x', REPEAT('y', 300))", id * 1000 + n)).collect();
            let sql = format!("INSERT INTO member VALUES {}", rows.join(", "));
            shop.sql(&["BEGIN", &sql, "DELETE FROM member WHERE id % 10 = 3", "COMMIT"]).await;
        }
        shop.sql(&["INSERT INTO login VALUES (1, 'end')"]).await;
        let mut killer = conn(&shop.sandbox, "rds-1").await;
        let mut items = Vec::new();
        loop {
            let item = tail.next().await.unwrap_or_else(|error| panic!("{error}")).unwrap();
            let is_end = matches!(&item, Item::Changes(changes) if changes[0].table.table == "login");
            items.push(item);
            if is_end {
                break;
            }
            if items.len() % 97 == 50 {
                // It may be gone already, if the last one was a moment ago.
                let _ = killer.query_drop(format!("KILL {}", tail.connection_id())).await;
            }
        }
        let connections = tail.counts().connections;
        assert!(connections > 5, "{connections}");
        tail.close().await;
        let told_items = told(&items);
        options.stop_at_end = true;
        let whole = read(&shop.server, Start::Position(start), options).await.unwrap();
        let mut whole = told(&whole);
        whole.pop();
        assert_eq!(told_items.len(), whole.len());
        assert_eq!(told_items, whole);
    }

    async fn a_large_transaction_comes_in_small_pieces(engine) {
        let mut shop = Shop::new(engine).await;
        let start = position(&shop.server).await;
        shop.sql(&[match engine {
            Engine::Mysql => "SET SESSION cte_max_recursion_depth = 1000000",
            Engine::Mariadb => "SET SESSION max_recursive_iterations = 1000000",
        }]).await;
        let recursion = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 200000) \
            SELECT i, 'name', REPEAT('x', 60) FROM n";
        shop.sql(&[
            "BEGIN",
            &format!("INSERT INTO member {recursion}"),
            "COMMIT",
        ]).await;
        let mut options = to_the_end(&shop.tables().await);
        options.limits = Limits { rows_max: 500, bytes_max: 1 << 18 };
        let mut tail = Tail::open(&shop.server, Start::Position(start), options).await.unwrap();
        let (mut rows, mut pieces, mut commits, mut largest) = (0, 0, 0, 0);
        while let Some(item) = tail.next().await.unwrap_or_else(|error| panic!("{error}")) {
            match item {
                Item::Changes(changes) => {
                    rows += changes.len();
                    pieces += 1;
                    largest = largest.max(changes.iter().map(RowChange::size).sum());
                    assert_eq!(commits, 0);
                }
                Item::Commit { .. } => commits += 1,
                _ => {}
            }
        }
        assert_eq!((rows, commits), (200_000, 1));
        assert!(pieces >= 200, "{pieces}");
        // A piece is the limit, and an event of at most 8 KiB beyond it.
        assert!(largest < (1 << 18) + 65_536, "{largest}");
    }

    async fn a_fence_is_told_and_every_other_definition_stops(engine) {
        let mut shop = Shop::new(engine).await;
        let rename = |from: &str, to: &str| Rename {
            schema: shop.schema.clone(),
            from: from.to_owned(),
            to: to.to_owned(),
        };
        let renames = vec![rename("member", "_m"), rename("login", "_l")];
        let mut options = to_the_end(&shop.tables().await);
        options.renames = renames.clone();
        let both = format!("RENAME TABLE `{0}`.`member` TO `{0}`.`_m`, {0}.login TO {0}._l", shop.schema);
        let items = shop.log_with(options.clone(), &[
            "INSERT INTO member VALUES (1, 'a', NULL)",
            &both,
            "RENAME TABLE _m TO member, _l TO login",
            "INSERT INTO member VALUES (2, 'b', NULL)",
        ]).await.unwrap();
        assert!(items.iter().any(|item| matches!(item, Item::Renamed { renames: told, .. } if *told == renames)));
        let told = told(&items);
        assert_eq!(told.len(), 8, "{told:?}");
        assert_eq!((told[3].as_str(), told[4].as_str()), ("renamed 2", "renamed 2"));
        for (statements, wanted) in [
            (&["RENAME TABLE member TO elsewhere", "RENAME TABLE elsewhere TO member"][..], "RENAME TABLE member TO elsewhere"),
            (&["ALTER TABLE member ADD COLUMN x INT", "ALTER TABLE member DROP COLUMN x"], "ALTER TABLE member ADD COLUMN ..."),
            (&["TRUNCATE TABLE login"], "TRUNCATE TABLE login"),
            (&["CREATE INDEX by_name ON member (name)"], "CREATE INDEX by_name ON member ..."),
            (&["DROP INDEX by_name ON member"], "DROP INDEX by_name ON member"),
            (&["DROP TABLE login", "CREATE TABLE login (id INT, account VARCHAR(20), PRIMARY KEY (id, account))"], "DROP TABLE `login`"),
        ] {
            let error = shop.log_with(options.clone(), statements).await.unwrap_err();
            assert!(error.contains("the definition of `shop`.") && error.contains(wanted), "{error}");
        }
        let error = shop.log_of(&["ALTER TABLE member COMMENT 'x'"]).await.unwrap_err();
        insta::allow_duplicates! {
            insta::assert_snapshot!(error, @"
            the log cannot be followed any further
              where:  instance rds-1 (SOCKET), log PLACE
              cause:  the definition of `shop`.`member` was changed: ALTER TABLE member COMMENT 'x'
              now:    changes were read up to PLACE; none was left out
              next:   finish the change of the tables, then begin again
            ");
        }
        // Others may do what they like.
        shop.log_of(&["ALTER TABLE other ADD COLUMN member INT", "CREATE TABLE more LIKE member", "DROP TABLE more",
            "ANALYZE TABLE member", "CREATE VIEW v AS SELECT * FROM member", "DROP VIEW v", "TRUNCATE other"]).await.unwrap();
        let error = shop.log_of(&[
            &format!("DROP DATABASE {}", shop.schema.clone()), &format!("CREATE DATABASE {}", shop.schema.clone())
        ]).await.unwrap_err();
        assert!(error.contains("DROP DATABASE shop"), "{error}");
    }

    async fn incomplete_images_and_statements_stop(engine) {
        let mut shop = Shop::new(engine).await;
        shop.sql(&["INSERT INTO member VALUES (1, 'a', 'b')"]).await;
        for image in ["MINIMAL", "NOBLOB"] {
            let set = format!("SET binlog_row_image={image}");
            let error = shop.log_of(&[&set, "UPDATE member SET name = CONCAT(name, 'x')", "SET binlog_row_image=FULL"]).await.unwrap_err();
            assert!(error.contains("rows of `shop`.`member` came without all of their columns (UPDATE_ROWS;"), "{error}");
        }
        let error = shop.log_of(&["SET binlog_format=STATEMENT", "DELETE FROM member WHERE id = 99", "SET binlog_format=ROW"]).await.unwrap_err();
        assert!(error.contains("came as a statement: DELETE FROM member WHERE id ... (in schema `shop`)"), "{error}");
        // From another schema, by the schema's name.
        let delete = format!("DELETE FROM {}.member WHERE id = 99", shop.schema);
        let back = format!("USE {}", shop.schema);
        let error = shop.log_of(&["SET binlog_format=STATEMENT", "USE mysql", &delete, &back, "SET binlog_format=ROW"]).await.unwrap_err();
        assert!(error.contains("came as a statement"), "{error}");
        // Statements elsewhere are no matter of ours.
        let away = fresh_schema("away");
        shop.log_of(&["SET binlog_format=STATEMENT", &format!("CREATE DATABASE {away}"), &format!("USE {away}"), "CREATE TABLE member (id INT)",
            "INSERT INTO member VALUES (1)", &back, "SET binlog_format=ROW"]).await.unwrap();
        if engine == Engine::Mariadb {
            let error = shop.log_of(&["SET binlog_format=STATEMENT", "SET STATEMENT max_statement_time=50 FOR DELETE FROM member WHERE id = 99", "SET binlog_format=ROW"]).await.unwrap_err();
            assert!(error.contains("came as a statement: SET STATEMENT max_statement_time=50 FOR DELETE"), "{error}");
            let error = shop.log_of(&["SET STATEMENT lock_wait_timeout=50 FOR ALTER TABLE member ADD COLUMN x INT", "ALTER TABLE member DROP COLUMN x"]).await.unwrap_err();
            assert!(error.contains("the definition of `shop`.`member` was changed: SET STATEMENT"), "{error}");
        }
        if engine == Engine::Mysql {
            shop.sql(&["CREATE TABLE docs (id INT PRIMARY KEY, doc JSON)", "INSERT INTO docs VALUES (1, '{\"a\": \"long long long\", \"b\": \"more more\"}')"]).await;
            let options = to_the_end(&[shape(&shop.server, &shop.schema, "docs").await]);
            let error = shop.log_with(options, &["SET binlog_row_value_options=PARTIAL_JSON",
                "UPDATE docs SET doc = JSON_SET(doc, '$.a', 'x')", "SET binlog_row_value_options=''"]).await.unwrap_err();
            assert!(error.contains("update of `shop`.`docs` came with parts of JSON documents"), "{error}");
            // A view of another schema, which MySQL looks through.
            let view = fresh_schema("views");
            let error = shop.log_of(&[&format!("CREATE DATABASE {view}"), &format!("CREATE VIEW {view}.v AS SELECT * FROM {}.member", shop.schema.clone()),
                "SET binlog_format=STATEMENT", &format!("USE {view}"), "UPDATE v SET name = 'y'", &back, "SET binlog_format=ROW"]).await.unwrap_err();
            assert!(error.contains("came as a statement"), "{error}");
        }
    }

    async fn transactions_whose_rows_may_not_count_stop(engine) {
        // With GTIDs MySQL refuses the last of them; without, transactions are anonymous.
        let mut options = options(engine, 1);
        if engine == Engine::Mysql {
            options.server_args = vec!["--gtid-mode=OFF".to_owned(), "--enforce-gtid-consistency=OFF".to_owned()];
        }
        let sandbox = servers_with(options).await;
        let mut shop = Shop::on((*sandbox).clone()).await;
        let error = shop.log_of(&["XA START 'a'", "INSERT INTO member VALUES (5, 'xa', NULL)", "XA END 'a'", "XA PREPARE 'a'", "XA COMMIT 'a'"]).await.unwrap_err();
        assert!(error.contains("an XA transaction with rows of watched tables was prepared"), "{error}");
        // In one phase it is a transaction like any other, and elsewhere it is no matter of ours.
        let items = shop.log_of(&["XA START 'b'", "INSERT INTO member VALUES (6, 'xa', NULL)", "XA END 'b'", "XA COMMIT 'b' ONE PHASE",
            "XA START 'c'", "INSERT INTO other VALUES (6, 'xa')", "XA END 'c'", "XA PREPARE 'c'", "XA ROLLBACK 'c'",
            "INSERT INTO member VALUES (7, 'after', NULL)"]).await.unwrap();
        assert_eq!(told(&items).len(), 6, "{:?}", told(&items));
        let error = shop.log_of(&["SET SESSION binlog_direct_non_transactional_updates=OFF", "BEGIN", "INSERT INTO member VALUES (8, 'gone', NULL)", "INSERT INTO plain VALUES (1)", "ROLLBACK"]).await;
        // MySQL logs the write to the MyISAM table by itself and forgets the rest.
        match error {
            Err(error) => assert!(error.contains("were taken back in the log"), "{error}"),
            Ok(items) => assert_eq!(told(&items), Vec::<String>::new()),
        }
    }

    async fn a_position_that_is_none_is_refused(engine) {
        let sandbox = servers_with(options(engine, 1)).await;
        let mut shop = Shop::on((*sandbox).clone()).await;
        let start = position(&shop.server).await;
        let gtids = {
            let mut conn = shop.server.conn().await.unwrap();
            executed_gtids(&shop.server, &mut conn).await.unwrap()
        };
        shop.sql(&["INSERT INTO member VALUES (1, 'a', NULL)"]).await;
        let options = to_the_end(&shop.tables().await);
        let failure = async |start: Start, options: TailOptions| {
            let error = read(&shop.server, start, options).await.unwrap_err();
            shop.plain(&error)
        };
        let inside = Position::new(&start.file, start.offset + 7);
        let error = failure(Start::Position(inside), options.clone()).await;
        assert!(error.contains("is not the end of an event"), "{error}");
        let beyond = Position::new(&start.file, start.offset + 1_000_000);
        let error = failure(Start::Position(beyond), options.clone()).await;
        assert!(error.contains("is not the end of an event"), "{error}");
        let gone = Position::new("binlog.999999", 4);
        let error = failure(Start::Position(gone), options.clone()).await;
        assert!(error.contains("no longer has its log"), "{error}");
        let elsewhere = TailOptions { identity: Some("server_uuid x".to_owned()), ..options.clone() };
        let error = failure(Start::Position(start.clone()), elsewhere).await;
        assert!(error.contains("this is not the server whose log was followed"), "{error}");
        let mut other = conn(&sandbox, "rds-1").await;
        let purge = "PURGE BINARY LOGS TO";
        other.query_drop("FLUSH BINARY LOGS").await.unwrap();
        let now = position(&shop.server).await;
        // MariaDB keeps a file until InnoDB has written what is in it.
        for _ in 0..200 {
            other.query_drop(format!("{purge} '{}'", now.file)).await.unwrap();
            let files: Vec<DriverRow> = other.query("SHOW BINARY LOGS").await.unwrap();
            if files.len() == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let error = failure(Start::Position(start), options.clone()).await;
        assert!(error.contains("no longer has its log"), "{error}");
        let error = failure(Start::Gtids(gtids), options.clone()).await;
        assert!(error.contains("no longer has its log"), "{error}");
        // In the middle of a transaction, behind its BEGIN: its rows would look like one's own.
        let rows_at = middle_of_a_transaction(&sandbox, &mut other, &shop.schema).await;
        let error = failure(Start::Position(rows_at), options).await;
        assert!(error.contains("rows came outside a transaction"), "{error}");
    }

    async fn a_tail_waits_at_the_end_and_says_so(engine) {
        let mut shop = Shop::new(engine).await;
        let options = TailOptions {
            stop_at_end: false,
            heartbeat: Duration::from_millis(200),
            ..to_the_end(&shop.tables().await)
        };
        let start = position(&shop.server).await;
        let mut tail = Tail::open(&shop.server, Start::Position(start), options).await.unwrap();
        let item = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let item = tail.next().await.unwrap().unwrap();
                if matches!(item, Item::Idle { .. }) {
                    return item;
                }
            }
        }).await.unwrap();
        assert!(matches!(item, Item::Idle { position: Some(_) }));
        shop.sql(&["INSERT INTO member VALUES (1, 'now', NULL)"]).await;
        let began = std::time::Instant::now();
        loop {
            if matches!(tail.next().await.unwrap().unwrap(), Item::Commit { .. }) {
                break;
            }
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        tail.close().await;
    }
}

on_each_engine! {
    async fn a_damaged_event_is_noticed_by_its_checksum(engine) {
        let sandbox = servers_with(options(engine, 1)).await;
        let mut shop = Shop::on((*sandbox).clone()).await;
        let start = position(&shop.server).await;
        shop.sql(&["INSERT INTO member VALUES (1, 'marked-value', NULL)", "FLUSH BINARY LOGS"]).await;
        let options = to_the_end(&shop.tables().await);
        read(&shop.server, Start::Position(start.clone()), options.clone()).await.unwrap();
        let path = sandbox.instance("rds-1").unwrap().datadir.join(&start.file);
        let mut log = std::fs::read(&path).unwrap();
        let at = log.windows(12).rposition(|bytes| bytes == b"marked-value").unwrap();
        log[at] ^= 1;
        std::fs::write(&path, log).unwrap();
        let error = read(&shop.server, Start::Position(start), options).await.unwrap_err();
        assert!(error.contains("is damaged: its checksum is wrong"), "{error}");
    }

    async fn a_server_that_dies_and_comes_back_is_followed_on(engine) {
        let sandbox = servers_with(options(engine, 1)).await;
        let mut shop = Shop::on((*sandbox).clone()).await;
        let start = position(&shop.server).await;
        let options = TailOptions {
            stop_at_end: false,
            heartbeat: Duration::from_millis(500),
            reconnects_max: 30,
            ..to_the_end(&shop.tables().await)
        };
        let mut tail = Tail::open(&shop.server, Start::Position(start), options).await.unwrap();
        shop.sql(&["INSERT INTO member VALUES (1, 'before', NULL)"]).await;
        let mut commits = 0;
        while commits < 1 {
            commits += usize::from(matches!(tail.next().await.unwrap(), Some(Item::Commit { .. })));
        }
        let restarted = tokio::task::spawn_blocking({
            let sandbox = Sandbox::clone(&sandbox);
            move || {
                sandbox.kill("rds-1").unwrap();
                sandbox.start("rds-1").unwrap();
            }
        });
        let (restarted, more) = tokio::join!(
            async {
                restarted.await.unwrap();
                let mut conn = conn(&sandbox, "rds-1").await;
                conn.query_drop(format!("INSERT INTO {}.member VALUES (2, 'after', NULL)", shop.schema)).await.unwrap();
            },
            async {
                let mut items = Vec::new();
                while !matches!(items.last(), Some(Item::Commit { .. })) {
                    items.push(tail.next().await.unwrap_or_else(|error| panic!("{error}")).unwrap());
                }
                items
            }
        );
        let () = restarted;
        assert_eq!(told(&more), [
            "begin".to_owned(),
            format!("member  -> [Int(2), Bytes({:?})]", b"after"),
            "commit".to_owned(),
        ]);
        tail.close().await;
    }

    async fn a_table_that_was_another_is_noticed(engine) {
        let mut shop = Shop::new(engine).await;
        let tables = shop.tables().await;
        for (change, wanted) in [
            ("ALTER TABLE member ADD COLUMN more INT", "`member` has 3 columns now and 4 in the log"),
            ("ALTER TABLE member DROP COLUMN more, MODIFY id BIGINT", "column `id` cannot be read: it is int"),
        ] {
            // The change itself is before the position.
            shop.sql(&[change, "DELETE FROM member"]).await;
            let error = shop.log_with(to_the_end(&tables), &["INSERT INTO member (id) VALUES (1)"]).await.unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    async fn tables_that_cannot_be_followed_are_refused_by_name(engine) {
        let mut shop = Shop::new(engine).await;
        shop.sql(&["CREATE VIEW v AS SELECT * FROM member", "CREATE TABLE prefix (a VARCHAR(100), PRIMARY KEY (a(10)))"]).await;
        let mut wanted = vec![
            ("v", "it is no base table"),
            ("prefix", "its primary key holds a prefix of `a` only"),
            ("missing", "there is no such table"),
        ];
        if engine == Engine::Mariadb {
            shop.sql(&["CREATE TABLE versions (id INT PRIMARY KEY) WITH SYSTEM VERSIONING"]).await;
            wanted.push(("versions", "it is system-versioned"));
        }
        let mut conn = shop.server.conn().await.unwrap();
        for (table, wanted) in wanted {
            let error = table_shape(&shop.server, &mut conn, &shop.schema, table).await.unwrap_err().to_string();
            assert!(error.contains(wanted), "{table}: {error}");
        }
    }
}

#[test]
fn times_of_an_old_mariadb_arrive_or_are_refused_by_name() {
    support::run(Engine::Mariadb, async |engine| {
        let mut options = options(engine, 1);
        options.server_args = vec!["--mysql56-temporal-format=OFF".to_owned()];
        let sandbox = servers_with(options).await;
        let mut shop = Shop::on((*sandbox).clone()).await;
        shop.sql(&[
            "SET time_zone='+00:00', sql_mode='ALLOW_INVALID_DATES'",
            "CREATE TABLE old (id INT PRIMARY KEY, a DATETIME, b TIMESTAMP NULL, c TIME, d DATE)",
            "CREATE TABLE older (id INT PRIMARY KEY, a TIME(3))",
        ])
        .await;
        let old = shape(&shop.server, &shop.schema, "old").await;
        assert!(old.columns[1].declared.contains("mariadb-5.3"), "{old:?}");
        let rows = [
            "INSERT INTO old VALUES (1, '2024-02-30 23:59:58', '2038-01-19 03:14:07', '-838:59:59', '2024-02-29')",
            "INSERT INTO old VALUES (2, 0, 0, '-00:00:01', 0), (3, '9999-12-31 00:00:00', NULL, '838:59:59', NULL)",
        ];
        let items = shop
            .log_with(to_the_end(&[Arc::clone(&old)]), &rows)
            .await
            .unwrap();
        let images: Vec<Row> = changes(&items)
            .into_iter()
            .map(|c| c.after.unwrap())
            .collect();
        let mut reader = conn(&shop.sandbox, "rds-1").await;
        reader.query_drop(WRITER).await.unwrap();
        assert_eq!(exactly(&images), exactly(&select(&mut reader, &old).await));
        let older = shape(&shop.server, &shop.schema, "older").await;
        let insert = ["INSERT INTO older VALUES (1, '01:02:03.456')"];
        let error = shop
            .log_with(to_the_end(&[older]), &insert)
            .await
            .unwrap_err();
        assert!(
            error.contains(
                "`older`, column `a` cannot be read: time(3) /* mariadb-5.3 */ has the old format"
            ),
            "{error}"
        );
    });
}

#[test]
fn transactions_with_tags_and_columns_added_in_place_arrive() {
    support::run(Engine::Mysql, async |engine| {
        let sandbox = servers_with(options(engine, 1)).await;
        let mut shop = Shop::on((*sandbox).clone()).await;
        shop.sql(&[
            "INSERT INTO member VALUES (1, 'a', NULL)",
            "ALTER TABLE member ADD COLUMN late INT DEFAULT 5, ALGORITHM=INSTANT",
            "ALTER TABLE member DROP COLUMN note, ALGORITHM=INSTANT",
            "CREATE INDEX computed ON member ((id + 1))",
        ])
        .await;
        let tables = shop.tables().await;
        let mut conn = shop.server.conn().await.unwrap();
        let gtids = executed_gtids(&shop.server, &mut conn).await.unwrap();
        shop.sql(&[
            "SET gtid_next='AUTOMATIC:billing'",
            "UPDATE member SET name = 'b'",
            "INSERT INTO member VALUES (2, 'c', 6)",
            "SET gtid_next='AUTOMATIC'",
            "DELETE FROM member WHERE id = 1",
        ])
        .await;
        let items = read(&shop.server, Start::Gtids(gtids), to_the_end(&tables))
            .await
            .unwrap();
        assert_eq!(told(&items).len(), 9);
        let first = changes(&items).remove(0);
        assert_eq!(format!("{:?}", first.before.unwrap()[2]), "Int(5)");
        let ends = positions(&items);
        let executed = executed_gtids(&shop.server, &mut conn).await.unwrap();
        let last = ends.last().unwrap().1.gtids.clone().unwrap();
        assert_eq!(last, executed);
        assert!(last.to_string().contains(":billing:1-2"), "{last}");
        // And from in between.
        let between = ends[0].1.gtids.clone().unwrap();
        let rest = read(&shop.server, Start::Gtids(between), to_the_end(&tables))
            .await
            .unwrap();
        assert_eq!(told(&rest), told(&items)[3..]);
    });
}

/// A position behind the table map of a transaction: an event's end, but not a transaction's.
async fn middle_of_a_transaction(sandbox: &Sandbox, other: &mut Conn, schema: &str) -> Position {
    let file: DriverRow = match other.query_first("SHOW BINARY LOG STATUS").await {
        Ok(row) => row.unwrap(),
        Err(_) => other
            .query_first("SHOW MASTER STATUS")
            .await
            .unwrap()
            .unwrap(),
    };
    let file: String = file.get(0).unwrap();
    other
        .query_drop(format!(
            "INSERT INTO {schema}.member VALUES (77, 'x', NULL)"
        ))
        .await
        .unwrap();
    let mut dump = conn(sandbox, "rds-1").await;
    dump.query_drop("SET @mariadb_slave_capability=4")
        .await
        .unwrap();
    let request = BinlogStreamRequest::new(rand::random::<u32>() | 1 << 30)
        .with_filename(file.as_bytes())
        .with_pos(4)
        .with_non_blocking();
    let mut stream = dump.get_binlog_stream(request).await.unwrap();
    let mut end = 0;
    while let Some(Ok(event)) = stream.next().await {
        // The event before the table map: a BEGIN, or a GTID.
        if event.header().event_type_raw() == 19 {
            break;
        }
        end = event.header().log_pos();
    }
    Position::new(file, end.into())
}
