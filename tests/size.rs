//! Row sizes computed from definitions against what real servers report of generated rows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::HashMap;

use mysql_async::prelude::Queryable;
use shardctl::schema::Column;
use shardctl::schema::size::{Filled, Pages, row_size};
use shardctl::topology::LogicalTable;
use shardctl::topology::file::{parse, render};
use shardctl::topology::{ShardFunction, Spread};
use support::{conn, on_each_engine, servers, shardctl};

/// The user center in one schema: the more rows in a table, the less the page that is not full and
/// the extent that has just been taken count.
fn user_center() -> shardctl::topology::Topology {
    let mut topology = parse(include_str!("../topology.yaml")).unwrap();
    topology.schemas.truncate(1);
    topology.instances.truncate(1);
    for table in topology.tables.values_mut() {
        assert!(!matches!(table.spread, Spread::Broadcast));
        let function = &table.spread.split().unwrap().schema.function;
        assert_eq!(*function, ShardFunction::DrdsHash);
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

on_each_engine! {
    async fn a_row_takes_what_its_definition_says(engine) {
        let sandbox = servers(engine, 1).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("topology.yaml");
        let topology = user_center();
        std::fs::write(&file, render(&topology)).unwrap();
        for args in [&["create"][..], &["fill", "--members", "120000"]] {
            let args: Vec<&str> = ["-t", file.to_str().unwrap()].iter().chain(args).copied().collect();
            let done = shardctl(&sandbox, &args);
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }
        let schema = topology.schemas[0].name.as_str();
        let mut conn = conn(&sandbox, "rds-1").await;
        let (mut wrong, mut measured) = (Vec::new(), 0);
        for table in topology.tables.values() {
            let physical = table.physical[0].as_str();
            let filled = filled(&mut conn, table, schema).await;
            let known = |column: &Column| filled.get(column.name.as_str()).copied();
            let size = |pages| {
                let size = row_size(&table.def, &known, pages);
                size.data + size.indexes
            };
            let (full, half) = (size(Pages::Full), size(Pages::Half));
            let rows: u64 = conn
                .query_first(format!("SELECT COUNT(*) FROM {schema}.{physical}"))
                .await
                .unwrap()
                .unwrap();
            let arrived = bytes_on_disk(&mut conn, schema, physical).await;
            conn.query_drop(format!("ALTER TABLE {schema}.{physical} FORCE")).await.unwrap();
            let rebuilt = bytes_on_disk(&mut conn, schema, physical).await;
            let (a_row, rebuilt_row) = (arrived as f64 / rows as f64, rebuilt as f64 / rows as f64);
            let off = full / rebuilt_row - 1.0;
            eprintln!(
                "{physical}: {rows} rows; {full:.0} to {half:.0} bytes computed; {a_row:.0} as they \
                 arrived, {rebuilt_row:.0} rebuilt: {:+.1} %",
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
        assert!(measured >= 5, "only {measured} tables are large enough to measure by");
        assert!(wrong.is_empty(), "{wrong:?} differ, see above");
    }
}
