//! What `check` asks a server: its settings, and of each schema and table whether it is there, or
//! only not to be seen with the user's rights.
//!
//! `information_schema` leaves out what the user has no rights on, so that an absent row there
//! proves nothing. A `SHOW CREATE` tells the two apart: the servers refuse it (1044, 1142) before
//! they look whether the thing exists.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};

use super::server::{Server, server_code};
use crate::error::{Error, Result};
use crate::names::quote;
use crate::topology::PhysicalTable;

/// `ER_BAD_DB_ERROR`.
const BAD_DB: u16 = 1049;
/// `ER_NO_SUCH_TABLE`.
const NO_SUCH_TABLE: u16 = 1146;
/// `ER_DBACCESS_DENIED_ERROR`, `ER_TABLEACCESS_DENIED_ERROR`, `ER_COLUMNACCESS_DENIED_ERROR` and
/// `ER_SPECIFIC_ACCESS_DENIED_ERROR`.
pub(super) const REFUSED: [u16; 4] = [1044, 1142, 1143, 1227];

/// Settings of a server that a fleet's instances should share, and what tells it from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// 0, 1 or 2: whether names of schemas and tables keep their case.
    pub lower_case_table_names: String,
    /// Whether it refuses writes.
    pub read_only: bool,
    /// The collation of what does not name its own.
    pub collation: String,
    /// The machine, the port and the data folder, as the server sees them: of two servers with the
    /// same, [`are_one`] tells for sure.
    pub identity: String,
}

/// Reads the settings.
///
/// # Errors
/// The server cannot be asked.
pub async fn facts(server: &Server, conn: &mut Conn) -> Result<Facts> {
    let row: Option<(String, String, String, String)> = conn
        .query_first(
            "SELECT CAST(@@global.lower_case_table_names AS CHAR), \
             CAST(@@global.read_only AS CHAR), @@global.collation_server, \
             CONCAT(@@hostname, ':', @@port, ' ', @@datadir)",
        )
        .await
        .map_err(|cause| server.explain("could not read the server's settings", &cause))?;
    let (lower_case_table_names, read_only, collation, identity) =
        row.ok_or_else(|| Error::server("the server has no settings").at(server.place()))?;
    Ok(Facts {
        lower_case_table_names,
        read_only: !matches!(read_only.as_str(), "0" | "OFF"),
        collation,
        identity,
    })
}

/// Whether two instances are one server: a user lock that is taken on the one is seen on the other.
/// Host names, ports and folders prove nothing, for containers share them.
///
/// # Errors
/// A server cannot be asked.
pub async fn are_one(first: &Server, second: &Server, lock: &str) -> Result<bool> {
    let failed = |server: &Server, cause| {
        server.explain(
            "could not tell whether two instances are one server",
            &cause,
        )
    };
    let mut holder = first.conn().await?;
    let mut observer = second.conn().await?;
    let taken: Option<Option<i64>> = holder
        .exec_first("SELECT GET_LOCK(?, 0)", (lock,))
        .await
        .map_err(|cause| failed(first, cause))?;
    let seen: Option<Option<u64>> = observer
        .exec_first("SELECT IS_USED_LOCK(?)", (lock,))
        .await
        .map_err(|cause| failed(second, cause))?;
    // Given back by hand: the pool keeps the connection.
    let _: Option<Option<i64>> = holder
        .exec_first("SELECT RELEASE_LOCK(?)", (lock,))
        .await
        .map_err(|cause| failed(first, cause))?;
    Ok(taken.flatten() == Some(1) && seen.flatten().is_some())
}

/// The account that the session is logged in as, quoted for a `GRANT`; `None` where that cannot be
/// told.
pub async fn account(conn: &mut Conn) -> Option<String> {
    let account: Option<String> = conn.query_first("SELECT CURRENT_USER()").await.ok()?;
    let account = account?;
    let (user, host) = account.rsplit_once('@')?;
    Some(format!("'{user}'@'{host}'"))
}

/// Whether something is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It is: its definition as the server prints it.
    There(String),
    /// It is not.
    Missing,
    /// The user has no rights on it.
    Refused,
    /// It is there, and the server cannot print it: in its words.
    Broken(String),
}

/// Whether a schema is there.
///
/// # Errors
/// The server cannot be asked.
pub async fn schema(server: &Server, conn: &mut Conn, schema: &str) -> Result<Presence> {
    let sql = format!("SHOW CREATE DATABASE {}", quote(schema));
    presence(server, conn, &sql, &format!("the schema `{schema}`")).await
}

/// Whether a table is there.
///
/// # Errors
/// The server cannot be asked.
pub async fn table(
    server: &Server,
    conn: &mut Conn,
    schema: &str,
    table: &str,
) -> Result<Presence> {
    let name = format!("{}.{}", quote(schema), quote(table));
    presence(server, conn, &format!("SHOW CREATE TABLE {name}"), &name).await
}

async fn presence(server: &Server, conn: &mut Conn, sql: &str, what: &str) -> Result<Presence> {
    let answer: std::result::Result<Option<Row>, _> = conn.query_first(sql).await;
    let cause = match answer {
        Ok(row) => {
            let text = row.and_then(|mut row| row.take::<String, _>(1));
            return Ok(text.map_or(Presence::Missing, Presence::There));
        }
        Err(cause) => cause,
    };
    match (server_code(&cause), &cause) {
        (Some(NO_SUCH_TABLE | BAD_DB), _) => Ok(Presence::Missing),
        (Some(code), _) if REFUSED.contains(&code) => Ok(Presence::Refused),
        (Some(_), mysql_async::Error::Server(error)) => {
            Ok(Presence::Broken(error.message.to_string()))
        }
        _ => Err(server.explain(&format!("could not look at {what}"), &cause)),
    }
}

/// Counts a table's rows; `None` where the user may not read it, or it is gone.
///
/// # Errors
/// The server cannot be asked.
pub async fn rows(
    server: &Server,
    conn: &mut Conn,
    schema: &str,
    table: &str,
) -> Result<Option<u64>> {
    let name = format!("{}.{}", quote(schema), quote(table));
    let answer: std::result::Result<Option<u64>, _> = conn
        .query_first(format!("SELECT COUNT(*) FROM {name}"))
        .await;
    match answer {
        Ok(count) => Ok(count),
        Err(cause) => match server_code(&cause) {
            Some(NO_SUCH_TABLE | BAD_DB) => Ok(None),
            Some(code) if REFUSED.contains(&code) => Ok(None),
            _ => Err(server.explain(&format!("could not count the rows of {name}"), &cause)),
        },
    }
}

/// Some integers of a key column, at most `limit`, whichever the server finds first. None where
/// the table cannot be read: what is there and what may be read is another question's.
///
/// # Errors
/// The connection is lost.
pub async fn some_keys(
    server: &Server,
    conn: &mut Conn,
    table: &PhysicalTable,
    column: &str,
    limit: u32,
) -> Result<Vec<i128>> {
    let sql = format!(
        "SELECT CAST({} AS CHAR) FROM {} LIMIT {limit}",
        quote(column),
        table.quoted()
    );
    let rows: Vec<Row> = match conn.query(sql).await {
        Ok(rows) => rows,
        Err(mysql_async::Error::Server(_)) => return Ok(Vec::new()),
        Err(cause) => {
            return Err(server.explain(&format!("could not read keys of {table}"), &cause));
        }
    };
    Ok(rows
        .iter()
        .filter_map(|row| match row.as_ref(0) {
            Some(Value::Bytes(digits)) => std::str::from_utf8(digits).ok()?.parse().ok(),
            _ => None,
        })
        .collect())
}
