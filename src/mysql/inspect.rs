//! What is on a server: schemas, tables, their sizes and definitions. Reads only.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row};

use super::server::{Flavour, Server, server_code};
use crate::error::Result;
use crate::names::{SchemaName, TableName, quote};

/// Error number of `SHOW CREATE TABLE` and others for a table that is not there
/// (`ER_NO_SUCH_TABLE`).
const NO_SUCH_TABLE: u16 = 1146;
/// Error number for a schema that is not there (`ER_BAD_DB_ERROR`).
const BAD_DB: u16 = 1049;

/// A table's size as the server estimates it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableSize {
    /// Rows; an estimate from sampled pages unless counted.
    pub rows: u64,
    /// Bytes of the clustered index.
    pub data_bytes: u64,
    /// Bytes of the secondary indexes.
    pub index_bytes: u64,
}

/// Every base table of these schemas with its size, by schema and table name.
///
/// # Errors
/// The server cannot be asked.
pub async fn table_sizes(
    server: &Server,
    schemas: &[SchemaName],
) -> Result<BTreeMap<(String, String), TableSize>> {
    let failed = |cause| server.explain("could not read the tables' sizes", &cause);
    let mut conn = server.conn().await?;
    if server.flavour() == Flavour::Mysql {
        // MySQL serves sizes from a cache that is up to a day old (reference manual,
        // `information_schema_stats_expiry`); MariaDB has neither the cache nor the variable.
        conn.query_drop("SET SESSION information_schema_stats_expiry=0")
            .await
            .map_err(failed)?;
    }
    let mut sizes = BTreeMap::new();
    // One statement a batch of schemas keeps the list of parameters bounded.
    for batch in schemas.chunks(500) {
        let marks = vec!["?"; batch.len()].join(",");
        let names: Vec<&str> = batch.iter().map(SchemaName::as_str).collect();
        let rows: Vec<(String, String, u64, u64, u64)> = conn
            .exec(
                format!(
                    "SELECT TABLE_SCHEMA, TABLE_NAME, COALESCE(TABLE_ROWS, 0), \
                     COALESCE(DATA_LENGTH, 0), COALESCE(INDEX_LENGTH, 0) \
                     FROM information_schema.TABLES \
                     WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA IN ({marks})"
                ),
                names,
            )
            .await
            .map_err(failed)?;
        for (schema, table, rows, data_bytes, index_bytes) in rows {
            sizes.insert(
                (schema, table),
                TableSize {
                    rows,
                    data_bytes,
                    index_bytes,
                },
            );
        }
    }
    Ok(sizes)
}

/// Counts a table's rows.
///
/// # Errors
/// The server cannot be asked, or the table is not there.
pub async fn count_rows(
    server: &Server,
    conn: &mut Conn,
    schema: &SchemaName,
    table: &TableName,
) -> Result<u64> {
    let name = format!("{}.{}", schema.quoted(), table.quoted());
    let count: Option<u64> = conn
        .query_first(format!("SELECT COUNT(*) FROM {name}"))
        .await
        .map_err(|cause| server.explain(&format!("could not count the rows of {name}"), &cause))?;
    Ok(count.unwrap_or_default())
}

/// The table's definition as `SHOW CREATE TABLE` prints it; `None` where there is no such table.
///
/// # Errors
/// The server cannot be asked, or what has the name is a view.
pub async fn show_create_table(
    server: &Server,
    conn: &mut Conn,
    schema: &str,
    table: &str,
) -> Result<Option<String>> {
    let name = format!("{}.{}", quote(schema), quote(table));
    let answer: std::result::Result<Option<Row>, _> =
        conn.query_first(format!("SHOW CREATE TABLE {name}")).await;
    match answer {
        Ok(row) => Ok(row.and_then(|mut row| row.take(1))),
        Err(cause) if matches!(server_code(&cause), Some(NO_SUCH_TABLE | BAD_DB)) => Ok(None),
        Err(cause) => {
            Err(server.explain(&format!("could not read the definition of {name}"), &cause))
        }
    }
}

/// The schemas that are on the server, system schemas included.
///
/// # Errors
/// The server cannot be asked.
pub async fn schemas(server: &Server, conn: &mut Conn) -> Result<Vec<String>> {
    conn.query("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA")
        .await
        .map_err(|cause| server.explain("could not list the schemas", &cause))
}

/// The tables and views of these schemas, in order of their names.
///
/// # Errors
/// The server cannot be asked.
pub async fn tables_and_views(
    server: &Server,
    conn: &mut Conn,
    schemas: &[SchemaName],
) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for batch in schemas.chunks(500) {
        let marks = vec!["?"; batch.len()].join(",");
        let names: Vec<&str> = batch.iter().map(SchemaName::as_str).collect();
        let rows: Vec<(String, String)> = conn
            .exec(
                format!(
                    "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
                     WHERE TABLE_SCHEMA IN ({marks}) ORDER BY TABLE_SCHEMA, TABLE_NAME"
                ),
                names,
            )
            .await
            .map_err(|cause| server.explain("could not list the tables", &cause))?;
        found.extend(rows);
    }
    Ok(found)
}

/// Seconds the server lags behind the one it replicates from; `None` where it replicates from
/// none. `Some(None)` where it does but the lag is not known: replication stands.
///
/// # Errors
/// The server cannot be asked, or the user may not.
pub async fn replica_lag_s(server: &Server, conn: &mut Conn) -> Result<Option<Option<u64>>> {
    // `SHOW SLAVE STATUS` is gone from MySQL 8.4 on, and MariaDB knows both from 10.5.1 on.
    let row: Option<Row> = conn
        .query_first("SHOW REPLICA STATUS")
        .await
        .map_err(|cause| server.explain("could not read the replica status", &cause))?;
    Ok(row.map(|row| {
        let lag = row
            .columns_ref()
            .iter()
            .position(|column| {
                matches!(
                    column.name_str().as_ref(),
                    "Seconds_Behind_Source" | "Seconds_Behind_Master"
                )
            })
            .and_then(|index| row.get_opt::<u64, _>(index));
        lag.and_then(std::result::Result::ok)
    }))
}
