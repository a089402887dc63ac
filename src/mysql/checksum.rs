//! Comparing a source table with its target by checksums that the servers compute.
//!
//! Another path than the copy: the copy's reading, encoding and writing have no part in it. Each
//! row gives a 64-bit hash of all its values; a range of keys gives the count and the sum of them
//! (a sum, for XOR hides pairs). A range that differs is looked at row by row before any row is
//! called different.

use std::collections::BTreeMap;
use std::time::Duration;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Row, Value};

use super::copy::{Key, behind, key_columns, key_literal, up_to};
use super::moving::{ColumnShape, Shape};
use super::server::{Server, server_code};
use crate::error::Result;
use crate::names::{SchemaName, TableName, quote_text};

/// Rows of one range: a statement of a tenth of a second or so.
const RANGE_ROWS: usize = 50_000;
/// Rows of one range whose writers wait for the statement.
const LOCKED_ROWS: usize = 10_000;
/// `ER_LOCK_WAIT_TIMEOUT` and `ER_LOCK_DEADLOCK`.
const BUSY: [u16; 2] = [1205, 1213];
/// Times that a range is read again because of them.
const READ_ATTEMPTS: u32 = 20;
/// Rows looked at again in one statement.
const KEYS_AT_ONCE: usize = 200;
/// Characters of a string that goes into the hash as hexadecimal; a longer one by its own hash,
/// for a row's text must stay below `max_allowed_packet`, beyond which functions answer NULL.
const HEX_CHARS_MAX: u64 = 64;

/// How the source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reads {
    /// As it is: nobody writes to it.
    Plain,
    /// It is written to. A transaction is in the log, and so on the target, before a plain read sees
    /// it: a row that was spoilt there could look like the one before it. A locking read waits for it.
    Locking,
}

/// What both sides said of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Rows of the source.
    pub rows: u64,
    /// Sum of the source's row hashes.
    pub checksum: u128,
    /// Rows that differ, named, with how they differ; the first few.
    pub differences: Vec<String>,
    /// Their keys, in the same order.
    pub keys: Vec<Key>,
    /// Whether every range was compared: `false` where the caller said to stop.
    pub complete: bool,
}

/// The 64-bit hash of a row, as an SQL expression over the table's columns.
///
/// Every value is written so that two different ones never look alike: no value holds the
/// separator, NULL is told by a flag of its own (`CONCAT_WS` leaves it out), FLOAT is widened to
/// DOUBLE, which both servers print without loss. SHA-2, for MySQL 9.6 moved `MD5` and `SHA1` out
/// into a component that is not installed by default.
pub fn row_hash(shape: &Shape) -> String {
    let mut parts: Vec<String> = shape.columns.iter().map(hashed).collect();
    let flags: Vec<String> = shape
        .columns
        .iter()
        .filter(|column| column.nullable)
        .map(|column| format!("ISNULL({})", column.quoted()))
        .collect();
    if !flags.is_empty() {
        parts.push(format!("CONCAT({})", flags.join(", ")));
    }
    format!(
        "CAST(CONV(LEFT(SHA2(CONCAT_WS('#', {}), 256), 16), 16, 10) AS UNSIGNED)",
        parts.join(", ")
    )
}

fn hashed(column: &ColumnShape) -> String {
    let name = column.quoted();
    match column.kind.as_str() {
        "tinyint" | "smallint" | "mediumint" | "int" | "bigint" | "decimal" | "date"
        | "datetime" | "timestamp" | "time" | "year" => name,
        // Times one keeps the sign of zero, which plus zero would not.
        "float" | "double" => format!("{name} * 1e0"),
        "enum" | "set" | "bit" => format!("CAST({name} AS UNSIGNED)"),
        "char" | "varchar" | "binary" | "varbinary"
            if column
                .length_max
                .is_some_and(|length| length <= HEX_CHARS_MAX) =>
        {
            format!("HEX({name})")
        }
        "uuid" | "inet6" | "inet4" => format!("HEX(CAST({name} AS CHAR))"),
        _ => format!("SHA2({name}, 256)"),
    }
}

/// Compares a table on both sides, range by range. `range` hears of each range compared with its
/// number of rows and says whether to go on. At most `differences_max` rows are named.
///
/// # Errors
/// A server cannot be asked.
pub async fn compare(
    source: (&Server, &TableName),
    target: (&Server, &TableName),
    schema: &SchemaName,
    shape: &Shape,
    differences_max: usize,
    reads: Reads,
    range: &(dyn Fn(u64) -> bool + Sync),
) -> Result<Comparison> {
    let mut source = Side::open(source.0, schema, source.1, reads).await?;
    let mut target = Side::open(target.0, schema, target.1, Reads::Plain).await?;
    let mut comparison = Comparison {
        rows: 0,
        checksum: 0,
        differences: Vec::new(),
        keys: Vec::new(),
        complete: true,
    };
    let mut after: Option<Key> = None;
    loop {
        let until = source.range_end(shape, after.as_ref()).await?;
        // The last range has no end: what the target has behind the source's last key is seen.
        let condition = condition(shape, after.as_ref(), until.as_ref());
        let (ours, theirs) = futures_util::future::try_join(
            source.sum(shape, &condition),
            target.sum(shape, &condition),
        )
        .await?;
        if ours != theirs {
            let (ours, theirs) = futures_util::future::try_join(
                source.hashes(shape, &condition),
                target.hashes(shape, &condition),
            )
            .await?;
            name_differences(shape, &ours, &theirs, differences_max, &mut comparison);
        }
        comparison.rows += ours.0;
        comparison.checksum += ours.1;
        if !range(ours.0) {
            comparison.complete = false;
            return Ok(comparison);
        }
        match until {
            Some(key) => after = Some(key),
            None => return Ok(comparison),
        }
    }
}

/// Looks again at rows that differed: those that still do, named, with their keys.
///
/// # Errors
/// A server cannot be asked.
pub async fn compare_again(
    source: (&Server, &TableName),
    target: (&Server, &TableName),
    schema: &SchemaName,
    shape: &Shape,
    keys: &[Key],
    reads: Reads,
) -> Result<Vec<(Key, String)>> {
    let mut source = Side::open(source.0, schema, source.1, reads).await?;
    let mut target = Side::open(target.0, schema, target.1, Reads::Plain).await?;
    let mut comparison = Comparison {
        rows: 0,
        checksum: 0,
        differences: Vec::new(),
        keys: Vec::new(),
        complete: true,
    };
    for part in keys.chunks(KEYS_AT_ONCE) {
        let rows: Vec<String> = part.iter().map(|key| is_row(shape, key)).collect();
        let condition = format!(" WHERE {}", rows.join(" OR "));
        let (ours, theirs) = futures_util::future::try_join(
            source.hashes(shape, &condition),
            target.hashes(shape, &condition),
        )
        .await?;
        name_differences(shape, &ours, &theirs, usize::MAX, &mut comparison);
    }
    Ok(comparison
        .keys
        .into_iter()
        .zip(comparison.differences)
        .collect())
}

/// The row of this key, as a condition.
fn is_row(shape: &Shape, key: &Key) -> String {
    let terms: Vec<String> = shape
        .key
        .iter()
        .zip(key)
        .map(|(index, literal)| format!("{} = {literal}", shape.columns[*index].quoted()))
        .collect();
    format!("({})", terms.join(" AND "))
}

fn name_differences(
    shape: &Shape,
    ours: &BTreeMap<Key, u64>,
    theirs: &BTreeMap<Key, u64>,
    differences_max: usize,
    comparison: &mut Comparison,
) {
    let missing = ours.keys().filter(|key| !theirs.contains_key(*key));
    let extra = theirs.keys().filter(|key| !ours.contains_key(*key));
    let other = ours
        .iter()
        .filter(|(key, hash)| theirs.get(*key).is_some_and(|their| their != *hash));
    let named = missing
        .map(|key| (key, "is missing on the target"))
        .chain(extra.map(|key| (key, "is on the target only")))
        .chain(other.map(|(key, _)| (key, "has other values on the target")));
    for (key, how) in named {
        if comparison.differences.len() >= differences_max {
            return;
        }
        comparison
            .differences
            .push(format!("{} {how}", shown(shape, key)));
        comparison.keys.push(key.clone());
    }
}

/// A row named by its primary key: `id = 5, name = 'x'`.
pub fn shown(shape: &Shape, key: &Key) -> String {
    let parts: Vec<String> = shape
        .key
        .iter()
        .zip(key)
        .map(|(index, literal)| {
            let column = &shape.columns[*index];
            let text = readable(column, literal).unwrap_or_else(|| literal.clone());
            format!("{} = {text}", column.name)
        })
        .collect();
    parts.join(", ")
}

/// A text's literal as people write it. Bytes that are no plain UTF-8 stay hexadecimal, for a
/// binary key printed raw helps nobody.
fn readable(column: &ColumnShape, literal: &str) -> Option<String> {
    column.collation.as_ref()?;
    let (_, rest) = literal.split_once("X'")?;
    let (digits, _) = rest.split_once('\'')?;
    let bytes: Option<Vec<u8>> = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let text = String::from_utf8(bytes?).ok()?;
    let plain = text.chars().all(|c| !c.is_control());
    plain.then(|| quote_text(&text))
}

fn condition(shape: &Shape, after: Option<&Key>, until: Option<&Key>) -> String {
    let bounds: Vec<String> = after
        .map(|key| behind(shape, key))
        .into_iter()
        .chain(until.map(|key| up_to(shape, key)))
        .collect();
    if bounds.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", bounds.join(" AND "))
    }
}

/// One side of the comparison.
struct Side {
    server: Server,
    conn: Conn,
    table: String,
    reads: Reads,
}

impl Side {
    async fn open(
        server: &Server,
        schema: &SchemaName,
        table: &TableName,
        reads: Reads,
    ) -> Result<Self> {
        let mut conn = server.conn().await?;
        // Keys come as the bytes they are stored as, which is what their literals are made of.
        conn.query_drop("SET NAMES binary")
            .await
            .map_err(|cause| server.explain("could not prepare to compare", &cause))?;
        Ok(Self {
            server: server.clone(),
            conn,
            table: format!("{}.{}", schema.quoted(), table.quoted()),
            reads,
        })
    }

    fn failed(&self, cause: &mysql_async::Error) -> crate::error::Error {
        self.server
            .explain(&format!("could not compare {}", self.table), cause)
    }

    /// The key of the last row of the range that begins behind `after`; `None` in the last one.
    async fn range_end(&mut self, shape: &Shape, after: Option<&Key>) -> Result<Option<Key>> {
        let sql = format!(
            "SELECT {0} FROM {1}{2} ORDER BY {0} LIMIT 1 OFFSET {3}",
            key_columns(shape),
            self.table,
            condition(shape, after, None),
            match self.reads {
                Reads::Plain => RANGE_ROWS,
                Reads::Locking => LOCKED_ROWS,
            } - 1
        );
        let row: Option<Row> = match self.conn.exec_first(sql, ()).await {
            Ok(row) => row,
            Err(cause) => return Err(self.failed(&cause)),
        };
        Ok(row.map(|row| key_of(shape, row.unwrap())))
    }

    async fn sum(&mut self, shape: &Shape, condition: &str) -> Result<(u64, u128)> {
        let sql = format!(
            "SELECT COUNT(*), CAST(COALESCE(SUM({}), 0) AS CHAR) FROM {}{condition}",
            row_hash(shape),
            self.table
        );
        let mut rows = self.read::<(u64, String)>(&sql).await?;
        let (count, sum) = rows.pop().unwrap_or_default();
        // At most 50,000 values of 64 bits: far below 128 bits.
        let sum = sum.parse().map_err(|_| {
            crate::error::Error::server(format!("the checksum of {} is no number", self.table))
                .at(self.server.place())
                .cause(&sum)
        })?;
        Ok((count, sum))
    }

    /// Reads, with locks that go with the statement where that is wanted.
    async fn read<T: FromRow + Send + 'static>(&mut self, sql: &str) -> Result<Vec<T>> {
        let sql = match self.reads {
            Reads::Plain => sql.to_owned(),
            Reads::Locking => format!("{sql} LOCK IN SHARE MODE"),
        };
        for attempt in 1.. {
            let rows: std::result::Result<Vec<T>, _> = self.conn.exec(&sql, ()).await;
            match rows {
                Ok(rows) => return Ok(rows),
                Err(cause)
                    if attempt < READ_ATTEMPTS
                        && server_code(&cause).is_some_and(|code| BUSY.contains(&code)) =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(cause) => return Err(self.failed(&cause)),
            }
        }
        Ok(Vec::new())
    }

    async fn hashes(&mut self, shape: &Shape, condition: &str) -> Result<BTreeMap<Key, u64>> {
        let sql = format!(
            "SELECT {}, {} FROM {}{condition}",
            key_columns(shape),
            row_hash(shape),
            self.table
        );
        let rows = self.read::<Row>(&sql).await?;
        Ok(rows
            .into_iter()
            .map(|row| {
                let mut values = row.unwrap();
                let hash = match values.pop() {
                    Some(Value::UInt(hash)) => hash,
                    Some(Value::Int(hash)) => hash as u64,
                    _ => 0,
                };
                (key_of(shape, values), hash)
            })
            .collect())
    }
}

fn key_of(shape: &Shape, values: Vec<Value>) -> Key {
    shape
        .key
        .iter()
        .zip(values)
        .map(|(index, value)| key_literal(&shape.columns[*index], &value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: &str, length_max: Option<u64>, nullable: bool) -> ColumnShape {
        ColumnShape {
            name: name.to_owned(),
            kind: kind.to_owned(),
            nullable,
            collation: (kind == "varchar")
                .then(|| ("utf8mb4".to_owned(), "utf8mb4_bin".to_owned())),
            length_max,
        }
    }

    fn shape() -> Shape {
        Shape {
            columns: vec![
                column("id", "bigint", None, false),
                column("name", "varchar", Some(40), false),
                column("note", "varchar", Some(300), true),
                column("rate", "float", None, true),
            ],
            key: vec![0, 1],
        }
    }

    #[test]
    fn a_rows_hash_tells_null_from_empty_and_keeps_every_bit() {
        insta::assert_snapshot!(row_hash(&shape()), @"CAST(CONV(LEFT(SHA2(CONCAT_WS('#', `id`, HEX(`name`), SHA2(`note`, 256), `rate` * 1e0, CONCAT(ISNULL(`note`), ISNULL(`rate`))), 256), 16), 16, 10) AS UNSIGNED)");
    }

    #[test]
    fn a_row_is_named_as_people_write_it() {
        let key = |literal: &str| vec!["5".to_owned(), literal.to_owned()];
        assert_eq!(
            shown(
                &shape(),
                &key("_utf8mb4 X'6974277320E4B8AD' COLLATE utf8mb4_bin")
            ),
            "id = 5, name = 'it''s 中'"
        );
        assert_eq!(
            shown(&shape(), &key("_utf8mb4 X'FF00' COLLATE utf8mb4_bin")),
            "id = 5, name = _utf8mb4 X'FF00' COLLATE utf8mb4_bin"
        );
    }
}
