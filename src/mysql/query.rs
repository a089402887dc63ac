//! Reading answers: rows as the server wrote them, and what kind of columns they have.

use std::collections::HashMap;
use std::time::Duration;

use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Value};

use super::server::{Flavour, Server};
use crate::error::{Error, Result};
use crate::rows::cell::{Cell, Column, Filling, Kind, Padding, Row};

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
    /// Names of modes that the session has where they are in the server's own `sql_mode`.
    pub modes: &'static [&'static str],
}

/// The server's own `sql_mode`, which its clients' sessions begin with.
///
/// # Errors
/// The server cannot be asked.
pub async fn modes(server: &Server, conn: &mut Conn) -> Result<String> {
    let modes: Option<String> = conn
        .query_first("SELECT @@GLOBAL.sql_mode")
        .await
        .map_err(|cause| server.explain("could not read the server's sql_mode", &cause))?;
    Ok(modes.unwrap_or_default())
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
    // Of the server's own modes a session has those that its values depend on.
    let modes: String = reading
        .modes
        .iter()
        .map(|mode| format!(", IF(FIND_IN_SET('{mode}', @@GLOBAL.sql_mode), ',{mode}', '')"))
        .collect();
    for sql in [
        // A limit of the server's own would cut each shard's part of an answer; how much of a text
        // it orders by must be known.
        format!(
            "SET SESSION sql_select_limit=18446744073709551615, max_sort_length=1024, {timeout}, timestamp={clock}, \
             sql_mode=CONCAT(@@SESSION.sql_mode{modes})"
        ),
        "START TRANSACTION READ ONLY".to_owned(),
    ] {
        conn.query_drop(sql)
            .await
            .map_err(|cause| server.explain("could not prepare a reading session", &cause))?;
    }
    Ok(conn)
}

/// A reading session that is ready to open a snapshot.
///
/// # Errors
/// The server cannot be reached, or refuses a setting.
pub async fn before_snapshot(server: &Server, reading: Reading) -> Result<Conn> {
    let mut conn = session(server, reading).await?;
    // Under any other level there is no such snapshot, and the servers only warn of it.
    for sql in [
        "COMMIT",
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    ] {
        conn.query_drop(sql)
            .await
            .map_err(|cause| server.explain("could not prepare a snapshot", &cause))?;
    }
    Ok(conn)
}

/// Opens the snapshot that everything in this session is read in from now on.
///
/// # Errors
/// The server refuses.
pub async fn open_snapshot(server: &Server, conn: &mut Conn) -> Result<()> {
    conn.query_drop("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await
        .map_err(|cause| server.explain("could not open a snapshot", &cause))
}

/// The columns of a statement that returns no rows.
///
/// # Errors
/// The server refuses the statement.
pub async fn probe(server: &Server, conn: &mut Conn, sql: &str) -> Result<Vec<Column>> {
    let failed = |cause: mysql_async::Error| refused(server, sql, &cause);
    // Without a charset for results bytes are told from text by the columns' own.
    conn.query_drop("SET character_set_results=NULL")
        .await
        .map_err(failed)?;
    tracing::debug!(instance = %server.name(), sql, "asks for columns");
    let mut answer = conn.query_iter(sql).await.map_err(failed)?;
    let columns = answer.columns();
    while answer.next().await.map_err(failed)?.is_some() {}
    drop(answer);
    conn.query_drop("SET character_set_results=utf8mb4")
        .await
        .map_err(failed)?;
    Ok(columns
        .as_deref()
        .unwrap_or_default()
        .iter()
        .map(|found| Column {
            cast: cast(found),
            ..column(found)
        })
        .collect())
}

/// A small answer, with its columns.
///
/// # Errors
/// The server refuses the statement.
pub async fn ask(server: &Server, conn: &mut Conn, sql: &str) -> Result<(Vec<Column>, Vec<Row>)> {
    let failed = |cause: mysql_async::Error| refused(server, sql, &cause);
    let mut answer = conn.query_iter(sql).await.map_err(failed)?;
    let columns = answer.columns();
    let mut rows = Vec::new();
    while let Some(row) = answer.next().await.map_err(failed)? {
        rows.push(cells(row));
    }
    let columns = columns.as_deref().unwrap_or_default();
    Ok((columns.iter().map(column).collect(), rows))
}

/// The server's own plan for a statement: the names of EXPLAIN's columns, and its lines.
///
/// # Errors
/// The server refuses the statement.
pub async fn explain(
    server: &Server,
    conn: &mut Conn,
    sql: &str,
) -> Result<(Vec<Column>, Vec<Row>)> {
    // What MySQL shows without a format is a setting of its own.
    let explain = match server.flavour() {
        Flavour::Mysql => "EXPLAIN FORMAT=TRADITIONAL",
        Flavour::Mariadb => "EXPLAIN",
    };
    ask(server, conn, &format!("{explain} {sql}")).await
}

/// What each collation of a row of their names does with the shorter of two texts.
///
/// The names are asked for, for a column's own number of its collation is not to be trusted:
/// MariaDB calls all its uca1400 collations unicode_ci there, NO PAD or not.
///
/// # Errors
/// The server does not know a collation of its own.
pub async fn paddings(server: &Server, conn: &mut Conn, names: &Row) -> Result<Vec<Padding>> {
    let mut known: HashMap<String, Padding> = HashMap::new();
    let mut paddings = Vec::with_capacity(names.len());
    for name in names {
        let name = match name {
            Some(name) => String::from_utf8_lossy(name).into_owned(),
            None => "binary".to_owned(),
        };
        let found = match known.get(&name) {
            Some(found) => *found,
            None => padding(server, conn, &name).await?,
        };
        known.insert(name, found);
        paddings.push(found);
    }
    Ok(paddings)
}

/// Charsets whose characters have one byte or several; a weight of theirs can end in that of a
/// space.
const MIXED_WIDTHS: [&str; 9] = [
    "big5", "cp932", "eucjpms", "euckr", "gb18030", "gb2312", "gbk", "sjis", "ujis",
];

async fn padding(server: &Server, conn: &mut Conn, collation: &str) -> Result<Padding> {
    if collation == "binary" {
        return Ok(Padding::No);
    }
    let failed = |cause| server.explain("could not read a collation's weights", &cause);
    let charset = collation.split('_').next().unwrap_or(collation);
    let pads = match server.flavour() {
        Flavour::Mysql => {
            let attribute: Option<String> = conn
                .query_first(format!(
                    "SELECT PAD_ATTRIBUTE FROM information_schema.COLLATIONS \
                     WHERE COLLATION_NAME = '{collation}'"
                ))
                .await
                .map_err(failed)?;
            let attribute = attribute.ok_or_else(|| {
                Error::server("the server uses a collation that it does not list")
                    .at(server.place())
                    .cause(collation)
            })?;
            attribute == "PAD SPACE"
        }
        // It says so in the name only.
        Flavour::Mariadb => !collation.contains("nopad"),
    };
    let weight =
        |text: &str| format!("WEIGHT_STRING(CONVERT({text} USING {charset}) COLLATE {collation})");
    let sql = format!(
        "SELECT {}, {}, {}, {}",
        weight("' '"),
        weight("'a'"),
        weight("'a '"),
        weight("_latin1 0x00")
    );
    type Weights = (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>);
    let weights: Option<Weights> = conn.query_first(sql).await.map_err(failed)?;
    let (space, letter, both, nul) = weights.unwrap_or_default();
    let by_chance = MIXED_WIDTHS.contains(&charset);
    Ok(match (pads, server.flavour()) {
        (false, Flavour::Mysql) => Padding::No,
        // It fills the keys it sorts with zero bytes and so takes a NUL for nothing, but not where
        // it compares.
        (false, Flavour::Mariadb) => {
            Filling::of(&nul, by_chance).map_or(Padding::No, Padding::Sorted)
        }
        (true, _) if both.strip_prefix(letter.as_slice()) == Some(space.as_slice()) => {
            Filling::of(&space, by_chance).map_or(Padding::Levels, Padding::Space)
        }
        (true, _) => Padding::Levels,
    })
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
    tracing::debug!(instance = %server.name(), sql, "asks for rows");
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
    with_statement(server.explain("a statement was refused", cause), sql, cause)
}

/// An error of a reading session with what it was asked, or what to do where that ran too long.
pub(super) fn with_statement(error: Error, sql: &str, cause: &mysql_async::Error) -> Error {
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
        // Of a text it says nothing, and MariaDB says it differently of an empty table.
        scale: match kind {
            Kind::Text | Kind::Binary | Kind::Integer | Kind::Null | Kind::Enum => 0,
            _ => column.decimals(),
        },
        cast: None,
        padding: Padding::No,
    }
}

/// The type that CAST gives a text so that it becomes a value of the column's type.
fn cast(column: &mysql_async::Column) -> Option<String> {
    use ColumnType as T;
    let unsigned = column.flags().contains(ColumnFlags::UNSIGNED_FLAG);
    let fraction = column.decimals();
    Some(match column.column_type() {
        T::MYSQL_TYPE_TINY
        | T::MYSQL_TYPE_SHORT
        | T::MYSQL_TYPE_LONG
        | T::MYSQL_TYPE_INT24
        | T::MYSQL_TYPE_LONGLONG
            if !column.flags().contains(ColumnFlags::ZEROFILL_FLAG) =>
        {
            match unsigned {
                true => "UNSIGNED".to_owned(),
                false => "SIGNED".to_owned(),
            }
        }
        // Its length counts the point and the sign as well.
        T::MYSQL_TYPE_NEWDECIMAL => {
            let beside = u32::from(fraction > 0) + u32::from(!unsigned);
            let digits = column.column_length().checked_sub(beside)?.clamp(1, 65);
            format!("DECIMAL({digits},{fraction})")
        }
        T::MYSQL_TYPE_DATE | T::MYSQL_TYPE_NEWDATE => "DATE".to_owned(),
        T::MYSQL_TYPE_DATETIME
        | T::MYSQL_TYPE_DATETIME2
        | T::MYSQL_TYPE_TIMESTAMP
        | T::MYSQL_TYPE_TIMESTAMP2
            if fraction <= 6 =>
        {
            format!("DATETIME({fraction})")
        }
        T::MYSQL_TYPE_TIME | T::MYSQL_TYPE_TIME2 if fraction <= 6 => format!("TIME({fraction})"),
        _ => return None,
    })
}
