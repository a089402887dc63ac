//! Row sizes computed from definitions against what real servers report of generated rows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashMap;

use mysql_async::prelude::Queryable;
use shardctl::schema::Column;
use shardctl::schema::size::{Filled, Pages, RANDOM_FILL, row_size};
use shardctl::topology::file::{parse, render};
use shardctl::topology::{LogicalTable, Spread, Topology};
use support::{Sandbox, conn, on_each_engine, servers, shardctl};

/// A topology's split tables in one schema, each as one physical table: the more rows in a table, the less the page that is not full and
/// the extent that has just been taken count.
fn in_one_schema(text: &str) -> Topology {
    let mut topology = parse(text).unwrap();
    topology.schemas.truncate(1);
    topology.instances.truncate(1);
    topology
        .tables
        .retain(|_, table| !matches!(table.spread, Spread::Broadcast));
    for table in topology.tables.values_mut() {
        table.tables_per_schema = 1;
        table.physical.truncate(1);
    }
    topology
}

/// Of each column of varying length: the average length and the share of NULLs.
async fn filled(
    conn: &mut mysql_async::Conn,
    table: &LogicalTable,
    schema: &str,
) -> HashMap<String, Filled> {
    let mut filled = HashMap::new();
    let from = format!("{schema}.{}", table.physical[0].quoted());
    for column in &table.def.columns {
        let name = column.name.quoted();
        let (bytes, nulls): (Option<f64>, Option<f64>) = conn
            .query_first(format!(
                "SELECT CAST(AVG(LENGTH({name})) AS DOUBLE), \
                 CAST(AVG({name} IS NULL) AS DOUBLE) FROM {from}"
            ))
            .await
            .unwrap()
            .unwrap();
        filled.insert(
            column.name.as_str().to_owned(),
            Filled {
                bytes: bytes.unwrap_or(0.0),
                nulls: nulls.unwrap_or(0.0),
            },
        );
    }
    filled
}

/// `DATA_LENGTH` and `INDEX_LENGTH`, as of now.
async fn bytes_on_disk(conn: &mut mysql_async::Conn, schema: &str, table: &str) -> u64 {
    let _: Vec<mysql_async::Row> = conn
        .query(format!("ANALYZE TABLE {schema}.{table}"))
        .await
        .unwrap();
    // MySQL shows figures of a day ago otherwise; MariaDB has no such setting.
    let _ = conn
        .query_drop("SET SESSION information_schema_stats_expiry = 0")
        .await;
    conn.query_first(format!(
        "SELECT DATA_LENGTH + INDEX_LENGTH FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = '{schema}' AND TABLE_NAME = '{table}'"
    ))
    .await
    .unwrap()
    .unwrap()
}

/// Creates a topology's tables and runs one more command on them.
fn create(sandbox: &Sandbox, topology: &Topology, more: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("topology.yaml");
    std::fs::write(&file, render(topology)).unwrap();
    for args in [&["create"][..], more]
        .iter()
        .filter(|args| !args.is_empty())
    {
        let args: Vec<&str> = ["-t", file.to_str().unwrap()]
            .iter()
            .chain(*args)
            .copied()
            .collect();
        let done = shardctl(sandbox, &args);
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

/// Compares what is computed of each table with what its server reports. With 15/16 of each page
/// it must be within 15 % of the rebuilt table; as the rows arrived the table must lie between that
/// and the worst case.
async fn compare(conn: &mut mysql_async::Conn, topology: &Topology, at_least: usize) {
    let schema = topology.schemas[0].name.as_str();
    let (mut wrong, mut measured) = (Vec::new(), 0);
    for table in topology.tables.values() {
        let physical = table.physical[0].as_str();
        let filled = filled(conn, table, schema).await;
        let known = |column: &Column| filled.get(column.name.as_str()).copied();
        let size = |pages| {
            let size = row_size(&table.def, &known, pages);
            size.data + size.indexes
        };
        let (full, half) = (size(Pages::Full), size(Pages::Half));
        let random = size(Pages::Percent(RANDOM_FILL));
        let rows: u64 = conn
            .query_first(format!("SELECT COUNT(*) FROM {schema}.{physical}"))
            .await
            .unwrap()
            .unwrap();
        let arrived = bytes_on_disk(conn, schema, physical).await;
        conn.query_drop(format!("ALTER TABLE {schema}.{physical} FORCE"))
            .await
            .unwrap();
        let rebuilt = bytes_on_disk(conn, schema, physical).await;
        let (a_row, rebuilt_row) = (arrived as f64 / rows as f64, rebuilt as f64 / rows as f64);
        let off = full / rebuilt_row - 1.0;
        eprintln!(
            "{physical}: {rows} rows; {full:.0} to {half:.0} bytes computed, {random:.0} in random \
             order; {a_row:.0} as they arrived, {rebuilt_row:.0} rebuilt: {:+.1} %",
            off * 100.0
        );
        // A small table is made of whole extents: there is nothing to measure by.
        if rebuilt < 8 << 20 {
            continue;
        }
        measured += 1;
        if off.abs() > 0.15 || !(full * 0.85..half * 1.15).contains(&a_row) {
            wrong.push(physical.to_owned());
        }
    }
    assert!(
        measured >= at_least,
        "only {measured} tables are large enough to measure by"
    );
    assert!(wrong.is_empty(), "{wrong:?} differ, see above");
}

/// Rows of the order center, computed by the server itself: `n` counts from 0.
const ORDERS: [(&str, &str); 4] = [
    (
        "orders",
        "1000000 + n, 1 + FLOOR(RAND(1) * 40000), 1 + FLOOR(RAND(2) * 2000), \
         ELT(1 + FLOOR(RAND(3) * 5), 'new', 'paid', 'shipped', 'done', 'refunded'), \
         ROUND(RAND(4) * 900, 2), 'CNY', \
         IF(RAND(5) < 0.7, NULL, REPEAT('请送到', 1 + FLOOR(RAND(6) * 12))), \
         '2025-01-01' + INTERVAL n * 3 SECOND, \
         IF(RAND(7) < 0.2, NULL, '2025-01-02' + INTERVAL n * 3 SECOND)",
    ),
    (
        "order_item",
        "1 + FLOOR(RAND(1) * 40000), 1000000 + n DIV 3, n % 3, \
         CONCAT('SKU-', LPAD(FLOOR(RAND(2) * 1e9), 9, '0')), \
         REPEAT('x', 10 + FLOOR(RAND(3) * 60)), 1 + n % 4, ROUND(RAND(4) * 300, 2)",
    ),
    (
        "payment",
        "1 + FLOOR(RAND(1) * 40000), 1000000 + n, 7000000 + n, \
         ELT(1 + FLOOR(RAND(2) * 3), 'card', 'wechat', 'alipay'), ROUND(RAND(3) * 900, 2), \
         '2025-01-02' + INTERVAL n * 3 SECOND",
    ),
    (
        "orders_sellerId",
        "1 + FLOOR(RAND(1) * 2000), 1000000 + n, 1 + FLOOR(RAND(2) * 40000), \
         ROUND(RAND(3) * 900, 2), '2025-01-01' + INTERVAL n * 3 SECOND",
    ),
];

const ORDER_ROWS: u32 = 200_000;

on_each_engine! {
    async fn a_row_takes_what_its_definition_says(engine) {
        let sandbox = servers(engine, 1).await;
        let topology = in_one_schema(include_str!("../topology.yaml"));
        create(&sandbox, &topology, &["fill", "--members", "120000"]);
        let mut conn = conn(&sandbox, "rds-1").await;
        // Few members have a company: too few rows to measure by, until they are doubled.
        let companies = format!("{}.member_company_00", topology.schemas[0].name.quoted());
        for times in 0..4 {
            conn.query_drop(format!(
                "INSERT INTO {companies} SELECT memberId + {}, companyName, taxNumber, industry, \
                 employees, verified, createdAt FROM {companies} ORDER BY memberId",
                1_000_000_000u64 << times
            ))
            .await
            .unwrap();
        }
        compare(&mut conn, &topology, topology.tables.len()).await;
    }

    async fn an_order_takes_what_its_definition_says(engine) {
        let sandbox = servers(engine, 1).await;
        let topology = in_one_schema(include_str!("data/order_center.yaml"));
        create(&sandbox, &topology, &[]);
        let schema = topology.schemas[0].name.as_str();
        let mut conn = conn(&sandbox, "rds-1").await;
        conn.query_drop(format!("USE {schema}")).await.unwrap();
        conn.query_drop("CREATE TABLE digits (d INT PRIMARY KEY)").await.unwrap();
        conn.query_drop("INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)")
            .await
            .unwrap();
        assert_eq!(topology.tables.len(), ORDERS.len());
        for (table, values) in ORDERS {
            let table = topology.tables.values().find(|t| t.name.as_str() == table).unwrap();
            conn.query_drop(format!(
                "INSERT INTO {} SELECT {values} FROM (SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d \
                 + 10000 * f.d + 100000 * g.d AS n FROM digits a, digits b, digits c, digits e, \
                 digits f, digits g) numbers WHERE n < {ORDER_ROWS} ORDER BY n",
                table.physical[0].quoted()
            ))
            .await
            .unwrap();
        }
        compare(&mut conn, &topology, topology.tables.len()).await;
    }
}
