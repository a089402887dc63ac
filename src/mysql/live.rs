//! Copying a table that is written to, and applying its log.
//!
//! A chunk is a locking read in a short transaction of its own. The servers write a transaction to
//! their log before the engine commits it, so a change can reach us before a plain read sees it;
//! but until it can be seen its row locks are held, and a locking read waits for them. What came by
//! the log before the read began is therefore in what it reads.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Row, Value as Driver};

use super::control::SCHEMA;
use super::copy::{self, Key, TableCopy, behind, key_columns};
use super::moving::Shape;
use super::row::{parameter, value_of};
use super::server::{SESSION, Server, server_code};
use crate::error::{Error, Result};
use crate::names::{InstanceName, SchemaName, TableName};
use crate::rows::change;
use crate::rows::position::Position;
use crate::rows::shape::TableShape;
use crate::rows::touched::{RowKey, Touched};
use crate::rows::value::Value;

/// How long a chunk's locks should be held: writers of its rows wait that long.
const CHUNK_AIM: Duration = Duration::from_millis(40);
const CHUNK_ROWS: std::ops::RangeInclusive<usize> = 100..=10_000;
/// Bytes of values of a chunk, about, which bounds memory where rows are wide.
const CHUNK_BYTES_AIM: usize = 4 << 20;
/// Keys that one DELETE names.
const DELETE_KEYS_MAX: usize = 500;
/// Rows that one INSERT of the log's changes holds.
const INSERT_ROWS_MAX: usize = 500;
/// Parameters of one prepared statement (the protocol counts them in 16 bits).
const PARAMETERS_MAX: usize = 65_535;

/// `ER_LOCK_WAIT_TIMEOUT` and `ER_LOCK_DEADLOCK`.
const BUSY: [u16; 2] = [1205, 1213];
/// Times that a chunk is read again because of them.
const READ_ATTEMPTS: u32 = 20;
/// `WARN_DATA_TRUNCATED`: what a strict session says to the error value of an ENUM (index 0).
const DATA_TRUNCATED: u16 = 1265;
/// `ER_DUP_ENTRY`.
const DUPLICATE: u16 = 1062;

/// A table under copy: what its copy and its log have to agree on.
#[derive(Debug)]
pub struct LiveTable {
    /// The schema, on both sides.
    pub schema: SchemaName,
    /// Its name on the source.
    pub table: TableName,
    /// Its name on the target.
    pub hidden: TableName,
    /// The target; `None` where every target of the stream has it.
    pub target: Option<InstanceName>,
    /// Its columns as the log has them, under its name on the source.
    pub shape: Arc<TableShape>,
    /// Held by whoever writes to it on the target, until that is committed.
    pub gate: Arc<tokio::sync::Mutex<()>>,
    /// The keys that the log touches while a chunk is on its way.
    pub touched: Mutex<Touched>,
}

impl LiveTable {
    /// The keys that the log touches while a chunk is on its way.
    pub fn touched(&self) -> std::sync::MutexGuard<'_, Touched> {
        // A holder that panicked has left a set that is at most too large.
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn target_quoted(&self) -> String {
        format!("{}.{}", self.schema.quoted(), self.hidden.quoted())
    }

    fn source_quoted(&self) -> String {
        format!("{}.{}", self.schema.quoted(), self.table.quoted())
    }
}

/// Copies what the target does not have yet, chunk by chunk, while the application writes and the
/// log is applied. `chunk` hears of each committed chunk with its number of rows and says whether
/// to go on; `false` when it said no.
///
/// # Errors
/// A server refuses or is gone, or another run took over. What was committed stays, and the copy
/// can be called again.
pub async fn copy_table(
    source: &Server,
    target: &Server,
    table: &LiveTable,
    copy: &TableCopy,
    shape: &Shape,
    chunk: &(dyn Fn(u64) -> bool + Sync),
) -> Result<bool> {
    let mut reader = copy::reader(source).await?;
    let mut writer = copy::Writer::open(target, copy, shape).await?.sparing();
    let (mut after, done) = writer.claim().await?;
    if done {
        return Ok(true);
    }
    let mut rows_max = 1_000.clamp(*CHUNK_ROWS.start(), *CHUNK_ROWS.end());
    loop {
        table.touched().begin();
        let began = Instant::now();
        let mut rows = read_chunk(
            source,
            &mut reader,
            table,
            shape,
            after.as_ref(),
            &mut rows_max,
        )
        .await?;
        let took = began.elapsed();
        let is_last = rows.len() < rows_max;
        let key = copy::last_key(shape, &rows);
        let bytes: usize = rows.iter().flatten().map(copy::size).sum();

        // From here to the commit nothing of the log is applied to this table.
        let gate = table.gate.lock().await;
        let touched = table.touched().end();
        let there = existing(
            target,
            &mut writer.conn,
            table,
            shape,
            after.as_ref(),
            key.as_ref(),
            is_last,
        )
        .await?;
        rows.retain(|row| {
            let key = row_key(table, shape, row);
            !touched.contains(&key) && !there.contains(&key)
        });
        writer.write(&rows, key.as_ref(), is_last).await?;
        drop(gate);

        if !chunk(rows.len() as u64) {
            return Ok(is_last);
        }
        if is_last {
            return Ok(true);
        }
        after = key;
        rows_max = next_size(rows_max, took, bytes);
    }
}

/// Rows of the next chunk, from what this one took.
fn next_size(rows: usize, took: Duration, bytes: usize) -> usize {
    let by_time = if took > CHUNK_AIM * 2 {
        rows / 2
    } else if took < CHUNK_AIM / 2 {
        rows * 2
    } else {
        rows
    };
    let by_bytes = if bytes > CHUNK_BYTES_AIM {
        rows / 2
    } else {
        by_time
    };
    by_time.min(by_bytes).clamp(1, *CHUNK_ROWS.end())
}

async fn read_chunk(
    source: &Server,
    reader: &mut Conn,
    table: &LiveTable,
    shape: &Shape,
    after: Option<&Key>,
    rows_max: &mut usize,
) -> Result<Vec<Vec<Driver>>> {
    let failed = |cause: &mysql_async::Error| {
        source.explain(&format!("could not read {}", table.source_quoted()), cause)
    };
    let condition = after
        .map(|key| format!("WHERE {} ", behind(shape, key)))
        .unwrap_or_default();
    for attempt in 1.. {
        let sql = format!(
            "SELECT {} FROM {} {condition}ORDER BY {} LIMIT {rows_max} LOCK IN SHARE MODE",
            copy::read_list(shape),
            table.source_quoted(),
            key_columns(shape)
        );
        reader
            .query_drop("START TRANSACTION")
            .await
            .map_err(|cause| failed(&cause))?;
        let rows: std::result::Result<Vec<Row>, _> = reader.exec(&sql, ()).await;
        // The locks go with the transaction, which has nothing to keep.
        let ended = reader.query_drop("COMMIT").await;
        match rows {
            Ok(rows) => {
                ended.map_err(|cause| failed(&cause))?;
                return Ok(rows.into_iter().map(Row::unwrap).collect());
            }
            Err(cause)
                if attempt < READ_ATTEMPTS
                    && server_code(&cause).is_some_and(|code| BUSY.contains(&code)) =>
            {
                *rows_max = (*rows_max / 2).max(1);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(cause) => return Err(failed(&cause)),
        }
    }
    Ok(Vec::new())
}

/// The keys of the range that are on the target: the log brought them, and it owns them. One that
/// the chunk spells otherwise (a newer change of its spelling is still to come by the log) is left
/// to the server to tell, see [`copy::Writer::sparing`].
async fn existing(
    target: &Server,
    writer: &mut Conn,
    table: &LiveTable,
    shape: &Shape,
    after: Option<&Key>,
    until: Option<&Key>,
    is_last: bool,
) -> Result<HashSet<RowKey>> {
    let mut bounds: Vec<String> = after.map(|key| behind(shape, key)).into_iter().collect();
    if !is_last {
        bounds.extend(until.map(|key| copy::up_to(shape, key)));
    }
    let condition = if bounds.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", bounds.join(" AND "))
    };
    let sql = format!(
        "SELECT {} FROM {}{condition}",
        copy::key_read_list(shape),
        table.target_quoted()
    );
    let rows: Vec<Row> = writer.exec(sql, ()).await.map_err(|cause| {
        target.explain(
            &format!("could not look into {}", table.target_quoted()),
            &cause,
        )
    })?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let values = shape.key.iter().zip(row.unwrap());
            let values: Vec<Value> = values
                .map(|(index, value)| typed(table, &shape.columns[*index].name, value))
                .collect();
            RowKey::new(&values)
        })
        .collect())
}

fn row_key(table: &LiveTable, shape: &Shape, row: &[Driver]) -> RowKey {
    let values: Vec<Value> = shape
        .key
        .iter()
        .map(|index| typed(table, &shape.columns[*index].name, row[*index].clone()))
        .collect();
    RowKey::new(&values)
}

/// The value in the form that the log's decoder gives it.
fn typed(table: &LiveTable, column: &str, value: Driver) -> Value {
    match table
        .shape
        .columns
        .iter()
        .find(|known| known.name == column)
    {
        Some(known) => value_of(known, value),
        None => Value::Null,
    }
}

/// Applies one source's log to one target, transaction by transaction, each with the position
/// behind it.
pub struct Applier {
    server: Server,
    conn: Conn,
    job: String,
    stream: String,
    epoch: u64,
    is_open: bool,
    bytes_max: usize,
}

impl Applier {
    /// Makes the stream's progress on this target this lease's own, and reads it.
    ///
    /// # Errors
    /// The server refuses, or another run took over.
    pub async fn open(
        server: &Server,
        job: &str,
        stream: &str,
        epoch: u64,
    ) -> Result<(Self, Option<Position>)> {
        let mut conn = server.conn().await?;
        let failed = |cause| server.explain("could not read the stream's progress", &cause);
        conn.query_drop(COPY_SESSION).await.map_err(failed)?;
        conn.exec_drop(
            format!(
                "INSERT INTO {SCHEMA}.stream_progress (job, stream, epoch, saves) VALUES (?, ?, ?, 0) \
                 ON DUPLICATE KEY UPDATE epoch = GREATEST(epoch, VALUES(epoch))"
            ),
            (job, stream, epoch),
        )
        .await
        .map_err(failed)?;
        let row: Option<(u64, Option<String>)> = conn
            .exec_first(
                format!(
                    "SELECT epoch, position FROM {SCHEMA}.stream_progress \
                     WHERE job = ? AND stream = ?"
                ),
                (job, stream),
            )
            .await
            .map_err(failed)?;
        let position = match row {
            Some((found, position)) if found == epoch => position,
            _ => return Err(copy::taken_over()),
        };
        let position = position
            .map(|text| text.parse::<Position>())
            .transpose()
            .map_err(|cause| {
                Error::unknown("the stream's progress cannot be read")
                    .at(server.place())
                    .cause(cause)
                    .next("cancel the job and start again")
            })?;
        let packet: Option<usize> = conn
            .query_first("SELECT @@max_allowed_packet")
            .await
            .map_err(failed)?;
        let applier = Self {
            server: server.clone(),
            conn,
            job: job.to_owned(),
            stream: stream.to_owned(),
            epoch,
            is_open: false,
            bytes_max: packet.unwrap_or(1 << 20) / 3,
        };
        Ok((applier, position))
    }

    /// Whether a transaction is open.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Deletes these keys and inserts these rows, in the transaction that [`Applier::commit`] ends.
    ///
    /// # Errors
    /// The server refuses; a row that clashes with another by a unique key is named.
    pub async fn apply(
        &mut self,
        table: &LiveTable,
        deletes: &[Vec<Value>],
        inserts: &[change::Row],
    ) -> Result<()> {
        self.begin().await?;
        for keys in deletes.chunks(DELETE_KEYS_MAX) {
            let sql = format!(
                "DELETE FROM {} WHERE {}",
                table.target_quoted(),
                any_of(&table.shape, keys)
            );
            if let Err(cause) = self.conn.query_drop(sql).await {
                return Err(self.failed(table, &cause));
            }
        }
        let columns: Vec<usize> = table.shape.written().map(|(index, _)| index).collect();
        let rows_max = (PARAMETERS_MAX / columns.len().max(1)).clamp(1, INSERT_ROWS_MAX);
        let mut from = 0;
        while from < inserts.len() {
            let mut bytes = 0;
            let rows = inserts[from..]
                .iter()
                .take(rows_max)
                .take_while(|row| {
                    let first = bytes == 0;
                    bytes += row.iter().map(bytes_of).sum::<usize>();
                    first || bytes < self.bytes_max
                })
                .count();
            self.insert(table, &columns, &inserts[from..from + rows])
                .await?;
            from += rows;
        }
        Ok(())
    }

    async fn begin(&mut self) -> Result<()> {
        if !self.is_open {
            self.conn
                .query_drop("START TRANSACTION")
                .await
                .map_err(|cause| self.server.explain("could not apply the log", &cause))?;
            self.is_open = true;
        }
        Ok(())
    }

    async fn insert(
        &mut self,
        table: &LiveTable,
        columns: &[usize],
        rows: &[change::Row],
    ) -> Result<()> {
        let of = |index: &usize| &table.shape.columns[*index];
        let names: Vec<String> = columns.iter().map(|index| of(index).quoted()).collect();
        let marks: Vec<&str> = columns
            .iter()
            .map(|index| of(index).placeholder())
            .collect();
        let one = format!("({})", marks.join(", "));
        let sql = format!(
            "INSERT INTO {} ({}) VALUES {}",
            table.target_quoted(),
            names.join(", "),
            vec![one.as_str(); rows.len()].join(", ")
        );
        let values: Vec<Driver> = rows
            .iter()
            .flat_map(|row| columns.iter().map(|index| parameter(&row[*index])))
            .collect();
        let Err(mut cause) = self.conn.exec_drop(&sql, values.clone()).await else {
            return Ok(());
        };
        let has_enum = table
            .shape
            .columns
            .iter()
            .any(|column| column.kind == "enum");
        if server_code(&cause) == Some(DATA_TRUNCATED) && has_enum {
            // The error value of an ENUM, which no strict session takes. The comparison looks at
            // every value again.
            let lenient = "SET SESSION sql_mode='ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION'";
            let retried = async {
                self.conn.query_drop(lenient).await?;
                self.conn.exec_drop(&sql, values).await?;
                self.conn.query_drop(SESSION).await?;
                self.conn.query_drop(COPY_SESSION).await
            };
            match retried.await {
                Ok(()) => return Ok(()),
                Err(other) => cause = other,
            }
        }
        Err(self.failed(table, &cause))
    }

    fn failed(&self, table: &LiveTable, cause: &mysql_async::Error) -> Error {
        let error = self.server.explain(
            &format!("could not apply the log to {}", table.target_quoted()),
            cause,
        );
        match server_code(cause) {
            Some(DUPLICATE) => error.next(
                "rows that the source holds clash on the target: see whether its keys differ",
            ),
            _ => error,
        }
    }

    /// Saves the position with what was applied and commits both.
    ///
    /// # Errors
    /// The server refuses, or another run took over: nothing of it is kept then.
    pub async fn commit(&mut self, position: &Position) -> Result<()> {
        self.begin().await?;
        let failed = |server: &Server, cause: &mysql_async::Error| {
            server.explain("could not save the stream's progress", cause)
        };
        // The count makes every save a change, so that a row of ours always counts as affected.
        let saved = self
            .conn
            .exec_drop(
                format!(
                    "UPDATE {SCHEMA}.stream_progress SET position = ?, saves = saves + 1 \
                     WHERE job = ? AND stream = ? AND epoch = ?"
                ),
                (position.to_string(), &self.job, &self.stream, self.epoch),
            )
            .await;
        saved.map_err(|cause| failed(&self.server, &cause))?;
        if self.conn.affected_rows() != 1 {
            let _ = self.conn.query_drop("ROLLBACK").await;
            return Err(copy::taken_over());
        }
        self.conn
            .query_drop("COMMIT")
            .await
            .map_err(|cause| failed(&self.server, &cause))?;
        self.is_open = false;
        Ok(())
    }
}

/// Session settings of the writing end, on top of those of every connection.
const COPY_SESSION: &str = "SET NAMES binary, foreign_key_checks=0";

fn bytes_of(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len() + 10,
        Value::Bytes(bytes) => bytes.len() + 10,
        _ => 14,
    }
}

/// The rows of these keys, as a condition that both servers answer by the index.
fn any_of(shape: &TableShape, keys: &[Vec<Value>]) -> String {
    let columns: Vec<_> = shape
        .key
        .iter()
        .map(|index| &shape.columns[*index])
        .collect();
    if let [column] = columns[..] {
        let literals: Vec<String> = keys.iter().map(|key| column.literal(&key[0])).collect();
        return format!("{} IN ({})", column.quoted(), literals.join(", "));
    }
    let rows: Vec<String> = keys
        .iter()
        .map(|key| {
            let terms: Vec<String> = columns
                .iter()
                .zip(key)
                .map(|(column, value)| format!("{} = {}", column.quoted(), column.literal(value)))
                .collect();
            format!("({})", terms.join(" AND "))
        })
        .collect();
    rows.join(" OR ")
}

/// Keeps a target's stream progress in its control tables; there on every instance.
pub(super) const PROGRESS_TABLE: &str = "stream_progress (\
     job VARCHAR(32) NOT NULL, \
     stream VARCHAR(160) NOT NULL, \
     epoch BIGINT UNSIGNED NOT NULL, \
     position LONGTEXT NULL, \
     saves BIGINT UNSIGNED NOT NULL, \
     PRIMARY KEY (job, stream)) \
     ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin";
