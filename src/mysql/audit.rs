//! Reading what `verify` needs: every row's keys, and sums of row hashes over whole tables.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value};

use super::checksum::row_hash;
use super::copy::{Key, key_columns, key_literal};
use super::moving::Shape;
use super::server::Server;
use crate::error::{Error, Result};
use crate::names::ColumnName;
use crate::rows::key::{KeyType, KeyValue};
use crate::topology::PhysicalTable;

/// A shard key column with its type.
pub type KeyColumn = (ColumnName, KeyType);

/// Hears of each row: the shard key's values, and a way to name the row by its primary key.
pub type EachRow<'a> = dyn FnMut(&[KeyValue], &dyn Fn() -> Key) + Send + 'a;

/// Reads the shard key and the primary key of every row, as a stream.
///
/// # Errors
/// The server cannot be asked, or sends a key that is none of its type.
pub async fn each_key(
    server: &Server,
    table: &PhysicalTable,
    shape: &Shape,
    columns: &[KeyColumn],
    row: &mut EachRow<'_>,
) -> Result<u64> {
    let failed = |cause| server.explain(&format!("could not read the keys of {table}"), &cause);
    let mut conn = server.conn().await?;
    // Primary keys come as the bytes they are stored as, text shard keys as UTF-8.
    conn.query_drop("SET NAMES binary").await.map_err(failed)?;
    let keys: Vec<String> = columns
        .iter()
        .map(|(name, kind)| match kind {
            KeyType::Text { .. } => format!("CONVERT({} USING utf8mb4)", name.quoted()),
            KeyType::Integer { .. } | KeyType::Binary { .. } => name.quoted(),
        })
        .collect();
    let sql = format!(
        "SELECT {}, {} FROM {}",
        keys.join(", "),
        key_columns(shape),
        table.quoted()
    );
    let mut rows = 0;
    let mut result = conn.exec_iter(sql, ()).await.map_err(failed)?;
    let mut values = Vec::with_capacity(columns.len());
    while let Some(found) = result.next().await.map_err(failed)? {
        let found: Row = found;
        rows += 1;
        values.clear();
        for (index, (name, kind)) in columns.iter().enumerate() {
            let value = found.as_ref(index).unwrap_or(&Value::NULL);
            values.push(key_value(kind, value).ok_or_else(|| {
                Error::server(format!(
                    "a value of `{name}` in {table} cannot be routed by"
                ))
                .at(server.place())
                .cause(value.as_sql(true))
            })?);
        }
        let name_row = || {
            shape
                .key
                .iter()
                .enumerate()
                .map(|(position, column)| {
                    let value = found.as_ref(columns.len() + position);
                    key_literal(&shape.columns[*column], value.unwrap_or(&Value::NULL))
                })
                .collect()
        };
        row(&values, &name_row);
    }
    Ok(rows)
}

/// Rows of a table, and how many of them belong into another one: for which `table_sql`, an
/// expression over the row, does not give `number`.
///
/// # Errors
/// The server cannot be asked.
pub async fn count_misplaced(
    server: &Server,
    table: &PhysicalTable,
    table_sql: &str,
    number: u32,
) -> Result<(u64, u64)> {
    let mut conn = server.conn().await?;
    // A key without a place gives NULL, which is not the number either.
    let counts: Option<(u64, u64)> = conn
        .query_first(format!(
            "SELECT COUNT(*), COUNT(IF(({table_sql}) <=> {number}, NULL, 1)) FROM {}",
            table.quoted()
        ))
        .await
        .map_err(|cause| server.explain(&format!("could not audit {table}"), &cause))?;
    Ok(counts.unwrap_or_default())
}

fn key_value(kind: &KeyType, value: &Value) -> Option<KeyValue> {
    Some(match (kind, value) {
        (_, Value::NULL) => KeyValue::Null,
        (KeyType::Integer { .. }, Value::Int(number)) => KeyValue::Integer(i128::from(*number)),
        (KeyType::Integer { .. }, Value::UInt(number)) => KeyValue::Integer(i128::from(*number)),
        // A DECIMAL without a fraction comes as its text.
        (KeyType::Integer { .. }, Value::Bytes(text)) => {
            KeyValue::Integer(std::str::from_utf8(text).ok()?.parse().ok()?)
        }
        (KeyType::Text { .. }, Value::Bytes(text)) => {
            KeyValue::Text(String::from_utf8(text.clone()).ok()?)
        }
        (KeyType::Binary { .. }, Value::Bytes(bytes)) => kind.binary(bytes.clone()).ok()?,
        _ => return None,
    })
}

/// Rows of a table and the sum of their hashes over these columns, of the rows for which
/// `condition` (SQL, or empty for all) holds.
///
/// # Errors
/// The server cannot be asked.
pub async fn sum(
    server: &Server,
    table: &PhysicalTable,
    shape: &Shape,
    condition: &str,
) -> Result<(u64, u128)> {
    let mut conn = binary_conn(server).await?;
    let row: Option<(u64, String)> = conn
        .query_first(format!(
            "SELECT COUNT(*), CAST(COALESCE(SUM({}), 0) AS CHAR) FROM {}{}",
            row_hash(shape),
            table.quoted(),
            where_clause(condition)
        ))
        .await
        .map_err(|cause| server.explain(&format!("could not compare {table}"), &cause))?;
    let (count, sum) = row.unwrap_or_default();
    let sum = sum.parse().map_err(|_| {
        Error::server(format!("the checksum of {table} is no number"))
            .at(server.place())
            .cause(&sum)
    })?;
    Ok((count, sum))
}

/// Key and hash of each row, of the part `part` out of `parts` that the rows' hashes are dealt
/// into: for looking closer where sums differ, in bounded memory.
///
/// # Errors
/// The server cannot be asked.
pub async fn hashes(
    server: &Server,
    table: &PhysicalTable,
    shape: &Shape,
    condition: &str,
    (part, parts): (u32, u32),
) -> Result<Vec<(Key, u64)>> {
    let failed = |cause| server.explain(&format!("could not compare {table}"), &cause);
    let mut conn = binary_conn(server).await?;
    let hash = row_hash(shape);
    let dealt = format!("MOD({hash}, {parts}) = {part}");
    let condition = if condition.is_empty() {
        dealt
    } else {
        format!("{condition} AND {dealt}")
    };
    let rows: Vec<Row> = conn
        .exec(
            format!(
                "SELECT {}, {hash} FROM {}{}",
                key_columns(shape),
                table.quoted(),
                where_clause(&condition)
            ),
            (),
        )
        .await
        .map_err(failed)?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let mut values = row.unwrap();
            let hash = match values.pop() {
                Some(Value::UInt(hash)) => hash,
                Some(Value::Int(hash)) => hash.cast_unsigned(),
                _ => 0,
            };
            let key = shape
                .key
                .iter()
                .zip(&values)
                .map(|(column, value)| key_literal(&shape.columns[*column], value))
                .collect();
            (key, hash)
        })
        .collect())
}

fn where_clause(condition: &str) -> String {
    if condition.is_empty() {
        String::new()
    } else {
        format!(" WHERE {condition}")
    }
}

async fn binary_conn(server: &Server) -> Result<Conn> {
    let mut conn = server.conn().await?;
    conn.query_drop("SET NAMES binary")
        .await
        .map_err(|cause| server.explain("could not prepare to compare", &cause))?;
    Ok(conn)
}
