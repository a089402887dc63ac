//! Copying one fenced table from its source to its target.
//!
//! Nobody writes to the source, so plain reads along the primary key see every row. The rows are
//! streamed in the binary protocol, which loses nothing (the text protocol rounds FLOAT), and
//! written in batches; each batch and the last key in it are one transaction on the target, so a
//! copy that was killed goes on behind the last batch that is really there.
//!
//! Both sessions have the charset `binary`: text travels as the bytes it is stored as, whatever
//! the column's charset. ENUM and SET travel as numbers, for two texts of theirs may look alike.

use std::fmt::Write as _;

use futures_util::stream::{self, StreamExt};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Row, Value};

use super::control::SCHEMA;
use super::moving::{ColumnShape, Shape};
use super::server::{Flavour, Server, server_code};
use crate::error::{Error, Result};
use crate::names::{SchemaName, TableName};

/// Rows of one batch, which is one transaction on the target.
const BATCH_ROWS_MAX: usize = 5_000;
/// Bytes of values in one batch, about: bounds memory where rows are wide. A single row may pass it.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Rows that one SELECT streams. Long enough that its start costs nothing.
const SELECT_ROWS_MAX: usize = 100_000;
/// Parameters of one prepared statement (the protocol counts them in 16 bits).
const PARAMETERS_MAX: usize = 65_535;
/// Rows of one INSERT where neither faster way is there.
const INSERT_ROWS_MAX: usize = 1_000;

/// `ER_LOCK_DEADLOCK`.
const DEADLOCK: u16 = 1213;
/// Attempts to claim a table's progress.
const CLAIM_ATTEMPTS: u32 = 5;

/// `WARN_DATA_TRUNCATED`: what a strict session says to the error value of an ENUM (index 0).
const DATA_TRUNCATED: u16 = 1265;

/// Session settings for both ends of a copy, on top of those of every connection.
const COPY_SESSION: &str = "SET NAMES binary, foreign_key_checks=0";

/// A key as the literals of its columns, each of which means exactly its value to the server.
pub type Key = Vec<String>;

/// A table to copy.
#[derive(Debug, Clone)]
pub struct TableCopy {
    /// The job's id.
    pub job: String,
    /// The lease under which it is copied.
    pub epoch: u64,
    /// The schema, on both sides.
    pub schema: SchemaName,
    /// The hidden name, on both sides.
    pub hidden: TableName,
}

impl TableCopy {
    fn quoted(&self) -> String {
        format!("{}.{}", self.schema.quoted(), self.hidden.quoted())
    }
}

/// Whether a column of this type can be in a key that is copied and compared along: its values
/// have an exact literal, and the server orders by them.
pub fn can_be_key(kind: &str) -> bool {
    matches!(
        kind,
        "tinyint"
            | "smallint"
            | "mediumint"
            | "int"
            | "bigint"
            | "decimal"
            | "char"
            | "varchar"
            | "binary"
            | "varbinary"
            | "date"
            | "datetime"
            | "timestamp"
            | "time"
            | "year"
            | "uuid"
    )
}

/// The column as it is read.
pub(super) fn read_expression(column: &ColumnShape) -> String {
    match column.kind.as_str() {
        "enum" | "set" | "bit" | "year" => format!("CAST({} AS UNSIGNED)", column.quoted()),
        _ => column.quoted(),
    }
}

/// The placeholder that a value of the column is written through.
fn write_expression(column: &ColumnShape, value: &str) -> String {
    match column.kind.as_str() {
        // These take text, and would take bytes for their internal form.
        "json" | "uuid" | "inet6" | "inet4" => format!("CONVERT({value} USING utf8mb4)"),
        _ => value.to_owned(),
    }
}

/// The rows behind `after` in key order, as a condition.
pub(super) fn behind(shape: &Shape, after: &Key) -> String {
    bound(shape, after, ">", ">")
}

/// The rows up to and with `until` in key order, as a condition.
pub(super) fn up_to(shape: &Shape, until: &Key) -> String {
    bound(shape, until, "<", "<=")
}

/// `(a > 1) OR (a = 1 AND b > 2)`: both servers read this as a range of the index, which they do
/// not with `(a, b) > (1, 2)`.
fn bound(shape: &Shape, key: &Key, strict: &str, last: &str) -> String {
    let names: Vec<String> = shape
        .key
        .iter()
        .map(|index| shape.columns[*index].quoted())
        .collect();
    let mut alternatives = Vec::new();
    for position in 0..names.len() {
        let mut terms: Vec<String> = (0..position)
            .map(|earlier| format!("{} = {}", names[earlier], key[earlier]))
            .collect();
        let operator = if position + 1 == names.len() {
            last
        } else {
            strict
        };
        terms.push(format!("{} {operator} {}", names[position], key[position]));
        alternatives.push(format!("({})", terms.join(" AND ")));
    }
    format!("({})", alternatives.join(" OR "))
}

/// The key's columns, listed.
pub(super) fn key_columns(shape: &Shape) -> String {
    let names: Vec<String> = shape
        .key
        .iter()
        .map(|index| shape.columns[*index].quoted())
        .collect();
    names.join(", ")
}

/// A key column's value as a literal that means exactly it.
pub(super) fn key_literal(column: &ColumnShape, value: &Value) -> String {
    match value {
        Value::NULL => "NULL".to_owned(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(number) => format!("{number:e}"),
        Value::Double(number) => format!("{number:e}"),
        Value::Date(..) | Value::Time(..) => format!("'{}'", temporal(&column.kind, value)),
        // A decimal's text is its literal.
        Value::Bytes(bytes) if column.kind == "decimal" => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        Value::Bytes(bytes) => {
            let mut hex = String::with_capacity(bytes.len() * 2 + 3);
            hex.push_str("X'");
            for byte in bytes {
                let _ = write!(hex, "{byte:02X}");
            }
            hex.push('\'');
            match &column.collation {
                Some((charset, collation)) => format!("_{charset} {hex} COLLATE {collation}"),
                None if column.kind == "uuid" => format!("CONVERT({hex} USING utf8mb4)"),
                None => hex,
            }
        }
    }
}

/// A date or time as the servers write it.
fn temporal(kind: &str, value: &Value) -> String {
    match value {
        Value::Date(year, month, day, ..) if kind == "date" => {
            format!("{year:04}-{month:02}-{day:02}")
        }
        Value::Date(year, month, day, hour, minute, second, micros) => {
            format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}")
        }
        Value::Time(negative, days, hours, minutes, seconds, micros) => format!(
            "{}{:02}:{minutes:02}:{seconds:02}.{micros:06}",
            if *negative { "-" } else { "" },
            days * 24 + u32::from(*hours)
        ),
        _ => String::new(),
    }
}

/// How a batch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    BulkProtocol,
    LoadData,
    Inserts,
}

/// Copies what the target does not have yet, batch by batch. `batch` hears of each committed batch
/// with its number of rows and says whether to go on; `false` when it said no.
///
/// # Errors
/// A server refuses or is gone, a row was not taken as it was read, or another run took over. What
/// was committed stays, and the copy can be called again.
pub async fn copy_table(
    source: &Server,
    target: &Server,
    copy: &TableCopy,
    shape: &Shape,
    batch: &(dyn Fn(u64) -> bool + Sync),
) -> Result<bool> {
    let mut reader = reader(source).await?;
    let mut writer = Writer::open(target, copy, shape).await?;
    let (mut after, done) = writer.claim().await?;
    if done {
        return Ok(true);
    }
    let mut pending: Vec<Vec<Value>> = Vec::new();
    let mut bytes = 0;
    loop {
        let condition = after
            .as_ref()
            .map(|key| format!("WHERE {} ", behind(shape, key)))
            .unwrap_or_default();
        let sql = format!(
            "SELECT {} FROM {} {condition}ORDER BY {} LIMIT {SELECT_ROWS_MAX}",
            read_list(shape),
            copy.quoted(),
            key_columns(shape)
        );
        let read_failed =
            |cause| source.explain(&format!("could not read {}", copy.quoted()), &cause);
        let mut rows_read = 0;
        let mut result = reader.exec_iter(&sql, ()).await.map_err(read_failed)?;
        while let Some(row) = result.next().await.map_err(read_failed)? {
            let row: Row = row;
            rows_read += 1;
            let values = row.unwrap();
            bytes += values.iter().map(size).sum::<usize>();
            pending.push(values);
            if pending.len() >= BATCH_ROWS_MAX || bytes >= writer.limits.batch_bytes {
                after = writer.write_all(&mut pending).await?;
                bytes = 0;
                if !batch(writer.written) {
                    return Ok(false);
                }
            }
        }
        drop(result);
        if !pending.is_empty() {
            after = writer.write_all(&mut pending).await?;
            bytes = 0;
            if !batch(writer.written) {
                return Ok(false);
            }
        }
        if rows_read < SELECT_ROWS_MAX {
            break;
        }
    }
    writer.write(&[], None, true).await?;
    Ok(true)
}

/// A connection that reads rows to copy.
///
/// # Errors
/// The source cannot be reached, or refuses a setting.
pub(super) async fn reader(source: &Server) -> Result<Conn> {
    let mut reader = source.conn().await?;
    reader
        .query_drop(format!("{COPY_SESSION}, net_write_timeout=600"))
        .await
        .map_err(|cause| source.explain("could not prepare to read", &cause))?;
    Ok(reader)
}

/// The columns as they are read.
pub(super) fn read_list(shape: &Shape) -> String {
    let columns: Vec<String> = shape.columns.iter().map(read_expression).collect();
    columns.join(", ")
}

/// The key's columns as they are read.
pub(super) fn key_read_list(shape: &Shape) -> String {
    let columns: Vec<String> = shape
        .key
        .iter()
        .map(|index| read_expression(&shape.columns[*index]))
        .collect();
    columns.join(", ")
}

/// The writing end of a table's copy: each batch and the last key in it are one transaction.
pub(super) struct Writer<'a> {
    pub(super) conn: Conn,
    target: &'a Server,
    copy: &'a TableCopy,
    shape: &'a Shape,
    limits: Limits,
    /// Whether rows may be there already, brought by the log: those stay as they are.
    spares: bool,
    /// Rows of the last batch.
    written: u64,
}

impl<'a> Writer<'a> {
    pub(super) async fn open(
        target: &'a Server,
        copy: &'a TableCopy,
        shape: &'a Shape,
    ) -> Result<Self> {
        let mut conn = target.conn().await?;
        conn.query_drop(COPY_SESSION)
            .await
            .map_err(|cause| target.explain("could not prepare to write", &cause))?;
        let limits = limits(target, &mut conn).await?;
        Ok(Self {
            conn,
            target,
            copy,
            shape,
            limits,
            spares: false,
            written: 0,
        })
    }

    /// Leaves rows alone that are there already, by the server's own rules of which keys are equal.
    pub(super) fn sparing(mut self) -> Self {
        self.spares = true;
        self
    }

    /// Makes the table's progress this lease's own: the last key written, and whether all is.
    pub(super) async fn claim(&mut self) -> Result<(Option<Key>, bool)> {
        claim_progress(self.target, &mut self.conn, self.copy).await
    }

    async fn write_all(&mut self, pending: &mut Vec<Vec<Value>>) -> Result<Option<Key>> {
        let key = last_key(self.shape, pending);
        self.write(pending, key.as_ref(), false).await?;
        self.written = pending.len() as u64;
        pending.clear();
        Ok(key)
    }

    /// Writes rows, the last key read and whether it was the last batch, in one transaction. Without
    /// a key the last one stays.
    pub(super) async fn write(
        &mut self,
        rows: &[Vec<Value>],
        key: Option<&Key>,
        is_last: bool,
    ) -> Result<()> {
        let (target, copy, shape) = (self.target, self.copy, self.shape);
        write_batch(
            target,
            &mut self.conn,
            copy,
            shape,
            &self.limits,
            self.spares,
            rows,
            key,
            is_last,
        )
        .await
    }
}

pub(super) fn taken_over() -> Error {
    Error::stopped("another run of shardctl has taken this job over")
        .now("nothing that this run had open was committed")
        .next("see `shardctl job list` for who runs it")
}

/// Makes a table's progress this lease's own before its log is followed: a run that lost the lease
/// could otherwise commit a chunk that it read long ago, with rows that the log has deleted since.
///
/// # Errors
/// The server refuses or is gone, or another run took over.
pub async fn claim(target: &Server, copy: &TableCopy) -> Result<()> {
    let mut conn = target.conn().await?;
    claim_progress(target, &mut conn, copy).await.map(drop)
}

/// Makes the table's progress this lease's own, and reads it: a run that lost the lease can commit
/// no batch any more.
async fn claim_progress(
    target: &Server,
    writer: &mut Conn,
    copy: &TableCopy,
) -> Result<(Option<Key>, bool)> {
    let failed = |cause| target.explain("could not read the copy's progress", &cause);
    let sql = format!(
        "INSERT INTO {SCHEMA}.copy_progress (hidden, job, epoch, copied, done) \
         VALUES (?, ?, ?, 0, 0) \
         ON DUPLICATE KEY UPDATE epoch = GREATEST(epoch, VALUES(epoch))"
    );
    for attempt in 1.. {
        let claimed = writer
            .exec_drop(&sql, (copy.hidden.as_str(), &copy.job, copy.epoch))
            .await;
        match claimed {
            Ok(()) => break,
            // The workers insert side by side, and neighbouring gaps can deadlock.
            Err(cause) if server_code(&cause) == Some(DEADLOCK) && attempt < CLAIM_ATTEMPTS => {}
            Err(cause) => return Err(failed(cause)),
        }
    }
    let row: Option<(u64, Option<String>, bool)> = writer
        .exec_first(
            format!("SELECT epoch, last_key, done FROM {SCHEMA}.copy_progress WHERE hidden = ?"),
            (copy.hidden.as_str(),),
        )
        .await
        .map_err(failed)?;
    match row {
        Some((epoch, key, done)) if epoch == copy.epoch => {
            let key = key.map(|text| serde_json::from_str(&text)).transpose();
            let key = key.map_err(|cause| {
                Error::unknown("the copy's progress cannot be read")
                    .at(target.place())
                    .cause(cause)
                    .next("cancel the job and start again")
            })?;
            Ok((key, done))
        }
        _ => Err(taken_over()),
    }
}

struct Limits {
    way: Way,
    batch_bytes: usize,
}

async fn limits(target: &Server, writer: &mut Conn) -> Result<Limits> {
    let row: Option<(usize, u8)> = writer
        .query_first("SELECT @@max_allowed_packet, @@GLOBAL.local_infile")
        .await
        .map_err(|cause| target.explain("could not read the server's limits", &cause))?;
    let (packet, local_infile) = row.unwrap_or((1 << 20, 0));
    Ok(Limits {
        way: match (target.flavour(), local_infile) {
            (Flavour::Mariadb, _) => Way::BulkProtocol,
            (Flavour::Mysql, 1) => Way::LoadData,
            (Flavour::Mysql, _) => Way::Inserts,
        },
        // The driver would split a batch that passes one packet, and tells the parameters' types
        // with the first part only; so a batch stays well below.
        batch_bytes: BATCH_BYTES_MAX.min(packet / 3),
    })
}

pub(super) fn last_key(shape: &Shape, rows: &[Vec<Value>]) -> Option<Key> {
    let row = rows.last()?;
    Some(
        shape
            .key
            .iter()
            .map(|index| key_literal(&shape.columns[*index], &row[*index]))
            .collect(),
    )
}

pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::Bytes(bytes) => bytes.len() + 10,
        _ => 14,
    }
}

/// Writes the rows and the last key in one transaction.
#[expect(
    clippy::too_many_arguments,
    reason = "called in one place, by what holds them all"
)]
async fn write_batch(
    target: &Server,
    writer: &mut Conn,
    copy: &TableCopy,
    shape: &Shape,
    limits: &Limits,
    spares: bool,
    rows: &[Vec<Value>],
    key: Option<&Key>,
    is_last: bool,
) -> Result<()> {
    let failed = |cause: &mysql_async::Error| {
        target.explain(&format!("could not write {}", copy.quoted()), cause)
    };
    let has_enum = shape.columns.iter().any(|column| column.kind == "enum");
    let mut attempt = limits.way;
    let mut strict = true;
    loop {
        writer
            .query_drop("START TRANSACTION")
            .await
            .map_err(|cause| failed(&cause))?;
        if rows.is_empty() {
            break;
        }
        let sent = match attempt {
            Way::BulkProtocol => send_bulk(writer, copy, shape, spares, rows).await,
            Way::LoadData => send_load_data(writer, copy, shape, rows).await,
            Way::Inserts => send_inserts(writer, copy, shape, spares, rows).await,
        };
        let taken = match sent {
            Ok(taken) => taken,
            Err(cause) if server_code(&cause) == Some(DATA_TRUNCATED) && has_enum && strict => None,
            Err(cause) => {
                let _ = writer.query_drop("ROLLBACK").await;
                return Err(failed(&cause));
            }
        };
        if taken == Some(rows.len() as u64)
            || (spares && attempt != Way::LoadData && taken.is_some())
        {
            break;
        }
        writer
            .query_drop("ROLLBACK")
            .await
            .map_err(|cause| failed(&cause))?;
        if spares && attempt == Way::LoadData {
            // It cannot tell a row that is there from any other trouble.
            attempt = Way::Inserts;
            continue;
        }
        if !(has_enum && strict) {
            return Err(Error::server(format!(
                "rows were not taken as they were read into {}",
                copy.quoted()
            ))
            .at(target.place())
            .cause(format!(
                "{} of {} taken",
                taken.map_or_else(|| "not all".to_owned(), |count| count.to_string()),
                rows.len()
            )));
        }
        // An ENUM can hold the error value, index 0, which no strict session takes. These rows are
        // written without strictness; the comparison looks at every value again.
        strict = false;
        if attempt == Way::LoadData {
            attempt = Way::Inserts;
        }
        writer
            .query_drop(
                "SET SESSION sql_mode='ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION'",
            )
            .await
            .map_err(|cause| failed(&cause))?;
    }
    let key = key
        .map(serde_json::to_string)
        .transpose()
        .map_err(|cause| Error::unknown("a key has no text").cause(cause))?;
    writer
        .exec_drop(
            format!(
                "UPDATE {SCHEMA}.copy_progress SET last_key = COALESCE(?, last_key), \
                 copied = copied + ?, done = ?, saves = saves + 1 WHERE hidden = ? AND epoch = ?"
            ),
            (
                key,
                rows.len() as u64,
                is_last,
                copy.hidden.as_str(),
                copy.epoch,
            ),
        )
        .await
        .map_err(|cause| failed(&cause))?;
    if writer.affected_rows() != 1 {
        let _ = writer.query_drop("ROLLBACK").await;
        return Err(taken_over());
    }
    writer
        .query_drop("COMMIT")
        .await
        .map_err(|cause| failed(&cause))?;
    if !strict {
        writer
            .query_drop(format!(
                "{}, {}",
                super::server::SESSION,
                "foreign_key_checks=0"
            ))
            .await
            .map_err(|cause| failed(&cause))?;
        writer
            .query_drop(COPY_SESSION)
            .await
            .map_err(|cause| failed(&cause))?;
    }
    Ok(())
}

/// Rows taken; `None` where the server had something to say about them.
type Sent = std::result::Result<Option<u64>, mysql_async::Error>;

/// Ends an INSERT that leaves a row of the same key as it is. Unlike `INSERT IGNORE` it turns no
/// other error into a warning; and while a table is copied its primary key is its only unique one.
fn sparing_clause(shape: &Shape, spares: bool) -> String {
    match shape.key.first() {
        Some(index) if spares => {
            let column = shape.columns[*index].quoted();
            format!(" ON DUPLICATE KEY UPDATE {column} = {column}")
        }
        _ => String::new(),
    }
}

fn insert_into(copy: &TableCopy, shape: &Shape) -> String {
    let names: Vec<String> = shape.columns.iter().map(ColumnShape::quoted).collect();
    format!(
        "INSERT INTO {} ({}) VALUES ",
        copy.quoted(),
        names.join(", ")
    )
}

fn marks(shape: &Shape) -> String {
    let marks: Vec<String> = shape
        .columns
        .iter()
        .map(|column| write_expression(column, "?"))
        .collect();
    format!("({})", marks.join(", "))
}

pub(super) async fn send_bulk(
    writer: &mut Conn,
    copy: &TableCopy,
    shape: &Shape,
    spares: bool,
    rows: &[Vec<Value>],
) -> Sent {
    writer
        .exec_batch(
            format!(
                "{}{}{}",
                insert_into(copy, shape),
                marks(shape),
                sparing_clause(shape, spares)
            ),
            rows.iter().map(|row| Params::Positional(row.clone())),
        )
        .await?;
    Ok(Some(writer.affected_rows()))
}

pub(super) async fn send_inserts(
    writer: &mut Conn,
    copy: &TableCopy,
    shape: &Shape,
    spares: bool,
    rows: &[Vec<Value>],
) -> Sent {
    let per_statement = (PARAMETERS_MAX / shape.columns.len()).clamp(1, INSERT_ROWS_MAX);
    let (head, one) = (insert_into(copy, shape), marks(shape));
    let tail = sparing_clause(shape, spares);
    let mut taken = 0;
    for part in rows.chunks(per_statement) {
        let values: Vec<Value> = part.iter().flatten().cloned().collect();
        let all = vec![one.as_str(); part.len()].join(", ");
        writer
            .exec_drop(format!("{head}{all}{tail}"), values)
            .await?;
        taken += writer.affected_rows();
    }
    Ok(Some(taken))
}

pub(super) async fn send_load_data(
    writer: &mut Conn,
    copy: &TableCopy,
    shape: &Shape,
    rows: &[Vec<Value>],
) -> Sent {
    let mut text = Vec::with_capacity(rows.len() * 64);
    for row in rows {
        load_line(&mut text, &shape.columns, row);
    }
    writer.set_infile_handler(
        async move { Ok(stream::once(async move { Ok(text.into()) }).boxed()) },
    );
    let mut fields = Vec::new();
    let mut settings = Vec::new();
    for (index, column) in shape.columns.iter().enumerate() {
        let variable = format!("@f{index}");
        let expression = match column.kind.as_str() {
            // A number given as text would be taken for a member's name, or for bytes.
            "enum" | "set" | "bit" | "year" => format!("CAST({variable} AS UNSIGNED)"),
            _ => write_expression(column, &variable),
        };
        if expression == variable {
            fields.push(column.quoted());
        } else {
            settings.push(format!("{} = {expression}", column.quoted()));
            fields.push(variable);
        }
    }
    let set = if settings.is_empty() {
        String::new()
    } else {
        format!(" SET {}", settings.join(", "))
    };
    writer
        .query_drop(format!(
            "LOAD DATA LOCAL INFILE 'rows' INTO TABLE {} CHARACTER SET binary \
             FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ({}){set}",
            copy.quoted(),
            fields.join(", ")
        ))
        .await?;
    let taken = writer.affected_rows();
    // LOCAL turns errors into warnings: one is enough to not believe the batch.
    Ok((writer.get_warnings() == 0).then_some(taken))
}

/// One line of a `LOAD DATA` text.
fn load_line(out: &mut Vec<u8>, columns: &[ColumnShape], row: &[Value]) {
    use std::io::Write;
    for (index, (value, column)) in row.iter().zip(columns).enumerate() {
        if index > 0 {
            out.push(b'\t');
        }
        // Writing into a Vec cannot fail.
        match value {
            Value::NULL => out.extend_from_slice(b"\\N"),
            Value::Int(number) => drop(write!(out, "{number}")),
            Value::UInt(number) => drop(write!(out, "{number}")),
            // As a double, which it is exactly: the server's own rounding gives the float back.
            Value::Float(number) => drop(write!(out, "{:e}", f64::from(*number))),
            Value::Double(number) => drop(write!(out, "{number:e}")),
            Value::Date(..) | Value::Time(..) => {
                out.extend_from_slice(temporal(&column.kind, value).as_bytes());
            }
            Value::Bytes(bytes) => {
                for byte in bytes {
                    match byte {
                        b'\\' => out.extend_from_slice(b"\\\\"),
                        b'\t' => out.extend_from_slice(b"\\t"),
                        b'\n' => out.extend_from_slice(b"\\n"),
                        b'\r' => out.extend_from_slice(b"\\r"),
                        0 => out.extend_from_slice(b"\\0"),
                        other => out.push(*other),
                    }
                }
            }
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: &str, collation: Option<(&str, &str)>) -> ColumnShape {
        ColumnShape {
            name: name.to_owned(),
            kind: kind.to_owned(),
            nullable: false,
            collation: collation.map(|(a, b)| (a.to_owned(), b.to_owned())),
            length_max: None,
        }
    }

    #[test]
    fn a_bound_over_several_columns_is_a_range_of_the_index() {
        let shape = Shape {
            columns: vec![
                column("x", "int", None),
                column("a", "bigint", None),
                column("b", "varchar", Some(("latin1", "latin1_bin"))),
            ],
            key: vec![1, 2],
        };
        let key = last_key(
            &shape,
            &[vec![
                Value::Int(0),
                Value::UInt(u64::MAX),
                Value::Bytes(b"a'\xe9".to_vec()),
            ]],
        )
        .unwrap();
        assert_eq!(
            behind(&shape, &key),
            "((`a` > 18446744073709551615) OR (`a` = 18446744073709551615 \
             AND `b` > _latin1 X'6127E9' COLLATE latin1_bin))"
        );
        assert_eq!(
            up_to(&shape, &vec!["1".to_owned(), "X''".to_owned()]),
            "((`a` < 1) OR (`a` = 1 AND `b` <= X''))"
        );
    }

    #[test]
    fn dates_and_times_are_written_as_the_servers_write_them() {
        for (kind, value, text) in [
            ("date", Value::Date(0, 0, 0, 0, 0, 0, 0), "0000-00-00"),
            (
                "datetime",
                Value::Date(2024, 2, 30, 23, 59, 59, 5),
                "2024-02-30 23:59:59.000005",
            ),
            (
                "time",
                Value::Time(true, 34, 22, 59, 59, 0),
                "-838:59:59.000000",
            ),
            (
                "time",
                Value::Time(false, 0, 1, 2, 3, 400_000),
                "01:02:03.400000",
            ),
        ] {
            assert_eq!(temporal(kind, &value), text);
        }
    }
}
