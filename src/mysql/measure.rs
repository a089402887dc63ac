//! Rows, bytes and growth of a live database. Reads only.

use jiff::ToSpan;
use jiff::civil::Date;
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Row};

use super::server::{Flavour, Server};
use crate::error::{Error, Result};
use crate::names::{SchemaName, quote};
use crate::topology::measured::{AutoIncrement, Created};

/// A physical table as the server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The schema.
    pub schema: SchemaName,
    /// The table.
    pub table: String,
    /// Rows by the server's estimate.
    pub rows: u64,
    /// Bytes of the clustered index.
    pub data_bytes: u64,
    /// Bytes of the secondary indexes.
    pub index_bytes: u64,
    /// Its next id, where it counts by itself.
    pub auto_increment: Option<AutoIncrement>,
}

impl Found {
    fn quoted(&self) -> String {
        format!("{}.{}", self.schema.quoted(), quote(&self.table))
    }
}

/// The base tables of a schema, by name.
///
/// # Errors
/// The server cannot be asked; there is no such schema; the user may not use it.
pub async fn tables(server: &Server, conn: &mut Conn, schema: &SchemaName) -> Result<Vec<Found>> {
    let failed = |cause: mysql_async::Error| {
        server.explain(&format!("could not read schema `{schema}`"), &cause)
    };
    // information_schema shows nothing of a schema that the user may not see, and nothing of one
    // that is not there: this tells which.
    if let Err(cause) = conn.query_drop(format!("USE {}", schema.quoted())).await {
        let error = server.explain(&format!("could not read schema `{schema}`"), &cause);
        return Err(lacks_select(error, &cause, conn, schema).await);
    }
    if server.flavour() == Flavour::Mysql {
        // MySQL serves sizes from a cache that is up to a day old.
        conn.query_drop("SET SESSION information_schema_stats_expiry=0")
            .await
            .map_err(failed)?;
    }
    type Described = (String, u64, u64, u64, Option<u64>, Option<String>);
    let rows: Vec<Described> = conn
        .exec(
            "SELECT TABLE_NAME, COALESCE(TABLE_ROWS, 0), COALESCE(DATA_LENGTH, 0), \
             COALESCE(INDEX_LENGTH, 0), AUTO_INCREMENT, \
             CAST(DATE(CREATE_TIME) AS CHAR) \
             FROM information_schema.TABLES \
             WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA = ? ORDER BY TABLE_NAME",
            (schema.as_str(),),
        )
        .await
        .map_err(failed)?;
    Ok(rows
        .into_iter()
        .map(|(table, rows, data_bytes, index_bytes, next, made)| Found {
            schema: schema.clone(),
            table,
            rows,
            data_bytes,
            index_bytes,
            auto_increment: next.map(|next| AutoIncrement {
                next,
                made: made.and_then(|day| day.parse().ok()),
            }),
        })
        .collect())
}

/// Counts a table's rows.
///
/// # Errors
/// The server cannot be asked, or the user may not read the table.
pub async fn count(server: &Server, conn: &mut Conn, found: &Found) -> Result<u64> {
    number(
        server,
        conn,
        found,
        format!("SELECT COUNT(*) FROM {}", found.quoted()),
    )
    .await
}

/// The definition.
///
/// # Errors
/// The server cannot be asked, or the user may not read the table.
pub async fn definition(server: &Server, conn: &mut Conn, found: &Found) -> Result<String> {
    let sql = format!("SHOW CREATE TABLE {}", found.quoted());
    let row: Option<Row> = first(server, conn, found, sql).await?;
    row.and_then(|mut row| row.take(1)).ok_or_else(|| {
        Error::server(format!("the server does not show {}", found.quoted())).at(server.place())
    })
}

/// An error of reading a table, with the grant that is missing where one is.
pub(super) async fn unreadable(
    server: &Server,
    conn: &mut Conn,
    (schema, what): (&SchemaName, &str),
    cause: &mysql_async::Error,
) -> Error {
    let error = server.explain(&format!("could not read {what}"), cause);
    lacks_select(error, cause, conn, schema).await
}

/// Names the grant, where the server refused for want of one.
async fn lacks_select(
    error: Error,
    cause: &mysql_async::Error,
    conn: &mut Conn,
    schema: &SchemaName,
) -> Error {
    match super::server::server_code(cause) {
        // ER_DBACCESS_DENIED_ERROR, ER_TABLEACCESS_DENIED_ERROR, ER_COLUMNACCESS_DENIED_ERROR.
        Some(1044 | 1142 | 1143) => {
            let account = super::state::account(conn).await;
            error.next(format!(
                "grant it: GRANT SELECT ON {}.* TO {}",
                schema.quoted(),
                account.as_deref().unwrap_or("the user")
            ))
        }
        _ => error,
    }
}

/// The first row of an answer about a table.
async fn first<T: FromRow + Send + 'static>(
    server: &Server,
    conn: &mut Conn,
    found: &Found,
    sql: String,
) -> Result<Option<T>> {
    match conn.query_first(sql).await {
        Ok(row) => Ok(row),
        Err(cause) => Err(unreadable(server, conn, (&found.schema, &found.quoted()), &cause).await),
    }
}

async fn number(server: &Server, conn: &mut Conn, found: &Found, sql: String) -> Result<u64> {
    let number: Option<Option<u64>> = first(server, conn, found, sql).await?;
    Ok(number.flatten().unwrap_or(0))
}

/// Dates before this are stand-ins for none, such as 0000-00-00 and 1970-01-01.
const FIRST_DAY: &str = "1970-01-03";

/// The days that a year ends and starts with, seen from this day: now, a year ago, two years ago.
fn years(as_of: Date) -> Result<[Date; 3]> {
    let before = |years: i32| {
        as_of.checked_sub(years.years()).map_err(|cause| {
            Error::usage(format!("{as_of} is too early to measure back from")).cause(cause)
        })
    };
    // Of the day itself all rows count.
    let end = as_of
        .checked_add(1.day())
        .map_err(|cause| Error::usage(format!("{as_of} is beyond the calendar")).cause(cause))?;
    Ok([end, before(1)?, before(2)?])
}

/// Counts the rows of the last two years by the column that says when they came to be. Reads an
/// index that starts with the column where there is one, and the whole table otherwise.
///
/// # Errors
/// The server cannot be asked, or the user may not read the table.
pub async fn created(
    server: &Server,
    conn: &mut Conn,
    found: &Found,
    column: &str,
    as_of: Date,
) -> Result<Created> {
    let [end, year, two_years] = years(as_of)?;
    let (name, quoted) = (found.quoted(), quote(column));
    let between = |from: Date, to: Date| {
        format!(
            "SELECT COUNT(*) FROM {name} WHERE {quoted} > '{from} 23:59:59.999999' AND {quoted} < '{to}'"
        )
    };
    let sql = format!(
        "SELECT CAST(DATE(MIN({quoted})) AS CHAR) FROM {name} WHERE {quoted} >= '{FIRST_DAY}'"
    );
    let oldest: Option<Option<String>> = first(server, conn, found, sql).await?;
    let after = |day: Date| day.checked_add(1.day()).unwrap_or(day);
    Ok(Created {
        column: column.to_owned(),
        oldest: oldest.flatten().and_then(|day| day.parse().ok()),
        last_year: number(server, conn, found, between(year, end)).await?,
        year_before: number(server, conn, found, between(two_years, after(year))).await?,
        by_ids: false,
    })
}

/// The same without reading the table: the first ids of each year are looked up by halving, for
/// ids that count by themselves come in the order of time.
///
/// # Errors
/// The server cannot be asked, or the user may not read the table.
pub async fn created_by_ids(
    server: &Server,
    conn: &mut Conn,
    found: &Found,
    column: &str,
    id: &str,
    as_of: Date,
) -> Result<Created> {
    let [end, year, two_years] = years(as_of)?;
    let (name, date, key) = (found.quoted(), quote(column), quote(id));
    type Ends = (Option<i128>, Option<i128>);
    let sql = format!("SELECT CAST(MIN({key}) AS CHAR), CAST(MAX({key}) AS CHAR) FROM {name}");
    let ends: Option<(Option<String>, Option<String>)> = first(server, conn, found, sql).await?;
    let parse = |text: Option<String>| text.and_then(|text| text.parse().ok());
    let ends: Ends = ends.map_or((None, None), |(least, most)| (parse(least), parse(most)));
    let (Some(least), Some(most)) = ends else {
        return Ok(Created {
            column: column.to_owned(),
            by_ids: true,
            ..Created::default()
        });
    };
    let sql = format!(
        "SELECT CAST(DATE({date}) AS CHAR) FROM {name} WHERE {date} >= '{FIRST_DAY}' \
         ORDER BY {key} LIMIT 1"
    );
    let oldest: Option<Option<String>> = first(server, conn, found, sql).await?;
    let mut starts = Vec::new();
    for day in [two_years, year, end] {
        // The first id of a row of this day or a later one, or one past the last.
        let limit = match day == end {
            true => day,
            false => day.checked_add(1.day()).unwrap_or(day),
        };
        let (mut low, mut high) = (least, most + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let sql = format!(
                "SELECT CAST({key} AS CHAR), {date} >= '{limit}' FROM {name} \
                 WHERE {key} >= {middle} AND {date} IS NOT NULL ORDER BY {key} LIMIT 1"
            );
            let row: Option<(String, Option<i64>)> = first(server, conn, found, sql).await?;
            match row {
                Some((at, Some(0))) => low = at.parse::<i128>().unwrap_or(middle) + 1,
                Some(_) => high = middle,
                None => high = middle,
            }
        }
        starts.push(low);
    }
    // Rows by ids, for some ids are missing.
    let density = found.rows as f64 / ((most - least + 1) as f64);
    let rows = |ids: i128| (ids.max(0) as f64 * density.min(1.0)).round() as u64;
    Ok(Created {
        column: column.to_owned(),
        oldest: oldest.flatten().and_then(|day| day.parse().ok()),
        last_year: rows(starts[2] - starts[1]),
        year_before: rows(starts[1] - starts[0]),
        by_ids: true,
    })
}
