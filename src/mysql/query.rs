//! Reading answers: rows as the server wrote them, and what kind of columns they have.

use std::collections::HashMap;
use std::time::Duration;

use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};

use super::server::{Flavour, Server};
use crate::error::{Error, Result};
use crate::rows::cell::{Cell, Column, Kind, Row};

/// The charset number of bytes that are no text.
const BINARY: u16 = 63;

/// What a reading session is given.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// After this the server ends the statement by itself.
    pub timeout: Duration,
    /// The time of the statement in microseconds since 1970, so that all shards have one clock.
    /// It is always set: not only functions ask the time, but also TIME values made dates.
    pub clock_us: i64,
}

/// A connection that can only read, in a transaction that can only read.
///
/// # Errors
/// The server cannot be reached, or refuses a setting.
pub async fn session(server: &Server, reading: Reading) -> Result<Conn> {
    let mut conn = server.conn().await?;
    let timeout = match server.flavour() {
        Flavour::Mysql => format!("max_execution_time={}", reading.timeout.as_millis().max(1)),
        Flavour::Mariadb => {
            format!(
                "max_statement_time={:.3}",
                reading.timeout.as_secs_f64().max(0.001)
            )
        }
    };
    let clock = format!(
        "{}.{:06}",
        reading.clock_us / 1_000_000,
        reading.clock_us % 1_000_000
    );
    for sql in [
        format!("SET SESSION {timeout}, timestamp={clock}"),
        "START TRANSACTION READ ONLY".to_owned(),
    ] {
        conn.query_drop(sql)
            .await
            .map_err(|cause| server.explain("could not prepare a reading session", &cause))?;
    }
    Ok(conn)
}

/// The columns of a statement that returns no rows, with their collations told apart.
///
/// # Errors
/// The server refuses the statement.
pub async fn probe(server: &Server, conn: &mut Conn, sql: &str) -> Result<Vec<Column>> {
    let failed = |cause: mysql_async::Error| refused(server, sql, &cause);
    // Without a charset for results the columns keep their own, and with it their collation.
    conn.query_drop("SET character_set_results=NULL")
        .await
        .map_err(failed)?;
    let mut answer = conn.query_iter(sql).await.map_err(failed)?;
    let found = answer.columns();
    while answer.next().await.map_err(failed)?.is_some() {}
    drop(answer);
    let found = found.as_deref().unwrap_or_default();
    let mut columns: Vec<Column> = found.iter().map(column).collect();
    conn.query_drop("SET character_set_results=utf8mb4")
        .await
        .map_err(failed)?;
    if columns.iter().any(|column| column.kind == Kind::Text) {
        let pads = padding(server, conn).await?;
        for (column, found) in columns.iter_mut().zip(found) {
            // A collation nobody knows: with the trailing spaces cut, no two texts that are equal
            // get different weights, and those that differ in spaces only would under NO PAD; such
            // a collation is not guessed at.
            if column.kind == Kind::Text {
                column.pads = *pads.get(&found.character_set()).ok_or_else(|| {
                    Error::server("the server uses a collation that it does not list")
                        .at(server.place())
                        .cause(format!("collation number {}", found.character_set()))
                })?;
            }
        }
    }
    Ok(columns)
}

/// Whether each collation ignores trailing spaces, by the collation's number.
async fn padding(server: &Server, conn: &mut Conn) -> Result<HashMap<u16, bool>> {
    let failed = |cause| server.explain("could not read the collations", &cause);
    if server.flavour() == Flavour::Mysql {
        let rows: Vec<(u64, String)> = conn
            .query("SELECT ID, PAD_ATTRIBUTE FROM information_schema.COLLATIONS")
            .await
            .map_err(failed)?;
        return Ok(rows
            .into_iter()
            .filter_map(|(id, pad)| Some((u16::try_from(id).ok()?, pad == "PAD SPACE")))
            .collect());
    }
    // MariaDB says it in the name only. From 10.10 on the collations that serve several charsets
    // have their numbers in another view, which older servers have without the numbers.
    let sql = "SELECT ID, FULL_COLLATION_NAME FROM \
               information_schema.COLLATION_CHARACTER_SET_APPLICABILITY WHERE ID IS NOT NULL";
    let rows: Vec<(u64, String)> = match conn.query(sql).await {
        Ok(rows) => rows,
        Err(_) => conn
            .query("SELECT ID, COLLATION_NAME FROM information_schema.COLLATIONS")
            .await
            .map_err(failed)?,
    };
    Ok(rows
        .into_iter()
        .filter_map(|(id, name)| {
            let pads = !name.contains("nopad") && name != "binary";
            Some((u16::try_from(id).ok()?, pads))
        })
        .collect())
}

/// Runs a statement; `columns` hears of its columns, then `row` of each row until it says stop.
///
/// # Errors
/// The server refuses the statement, or the connection breaks.
pub async fn stream<F>(
    server: &Server,
    conn: &mut Conn,
    sql: &str,
    columns: impl FnOnce(Vec<Column>) + Send,
    mut row: impl FnMut(Row) -> F + Send,
) -> Result<()>
where
    F: Future<Output = bool> + Send,
{
    let failed = |cause: mysql_async::Error| refused(server, sql, &cause);
    let mut answer = conn.query_iter(sql).await.map_err(failed)?;
    let found = answer.columns();
    columns(
        found
            .as_deref()
            .unwrap_or_default()
            .iter()
            .map(column)
            .collect(),
    );
    while let Some(next) = answer.next().await.map_err(failed)? {
        if !row(cells(next)).await {
            break;
        }
    }
    Ok(())
}

fn cells(row: mysql_async::Row) -> Row {
    row.unwrap_raw()
        .into_iter()
        .map(|value| match value {
            // Text answers have nothing but bytes and NULL in them.
            Some(Value::Bytes(bytes)) => Some(bytes),
            _ => None,
        })
        .collect::<Vec<Cell>>()
}

fn refused(server: &Server, sql: &str, cause: &mysql_async::Error) -> Error {
    let error = server.explain("a statement was refused", cause);
    // 3024 is MySQL's, 1969 MariaDB's word for a statement that ran too long.
    match super::server::server_code(cause) {
        Some(3024 | 1969) => error.next("give it longer with --timeout"),
        _ => error.now(format!("the statement was: {sql}")),
    }
}

/// Ends a statement on the server, on a connection of its own.
pub async fn kill(server: &Server, connection: u32) {
    // If the server cannot be reached, its own timeout ends the statement.
    if let Ok(mut conn) = server.conn().await {
        let _ = conn.query_drop(format!("KILL QUERY {connection}")).await;
    }
}

fn column(column: &mysql_async::Column) -> Column {
    use ColumnType as T;
    let flags = column.flags();
    let kind = match column.column_type() {
        T::MYSQL_TYPE_TINY
        | T::MYSQL_TYPE_SHORT
        | T::MYSQL_TYPE_LONG
        | T::MYSQL_TYPE_INT24
        | T::MYSQL_TYPE_LONGLONG
        | T::MYSQL_TYPE_YEAR => Kind::Integer,
        T::MYSQL_TYPE_DECIMAL | T::MYSQL_TYPE_NEWDECIMAL => Kind::Decimal,
        T::MYSQL_TYPE_FLOAT => Kind::Float,
        T::MYSQL_TYPE_DOUBLE => Kind::Double,
        T::MYSQL_TYPE_BIT => Kind::Bit,
        T::MYSQL_TYPE_DATE
        | T::MYSQL_TYPE_NEWDATE
        | T::MYSQL_TYPE_DATETIME
        | T::MYSQL_TYPE_DATETIME2
        | T::MYSQL_TYPE_TIMESTAMP
        | T::MYSQL_TYPE_TIMESTAMP2 => Kind::Date,
        T::MYSQL_TYPE_TIME | T::MYSQL_TYPE_TIME2 => Kind::Time,
        T::MYSQL_TYPE_ENUM | T::MYSQL_TYPE_SET => Kind::Enum,
        T::MYSQL_TYPE_JSON => Kind::Json,
        T::MYSQL_TYPE_NULL => Kind::Null,
        T::MYSQL_TYPE_VARCHAR
        | T::MYSQL_TYPE_VAR_STRING
        | T::MYSQL_TYPE_STRING
        | T::MYSQL_TYPE_TINY_BLOB
        | T::MYSQL_TYPE_BLOB
        | T::MYSQL_TYPE_MEDIUM_BLOB
        | T::MYSQL_TYPE_LONG_BLOB => {
            if flags.intersects(ColumnFlags::ENUM_FLAG | ColumnFlags::SET_FLAG) {
                Kind::Enum
            } else if column.character_set() == BINARY {
                Kind::Binary
            } else {
                Kind::Text
            }
        }
        _ => Kind::Other,
    };
    Column {
        name: column.name_str().into_owned(),
        kind,
        scale: column.decimals(),
        pads: false,
    }
}
