//! Writing many rows into one table by the fastest way the server has.
//!
//! That is `LOAD DATA LOCAL` streamed from memory, on both servers: rows are put into lines as they
//! come, so that a batch is one piece of memory and the client has the least to do. Where
//! `local_infile` is off, or a column would read the lines otherwise than they are meant, MariaDB
//! has its bulk protocol (`COM_STMT_BULK_EXECUTE`), and MySQL inserts of many rows.
//!
//! `LOAD DATA LOCAL` turns errors into warnings and leaves rows out (MySQL reference manual, "LOAD
//! DATA Statement": with LOCAL, duplicate keys and bad values are handled as with IGNORE). So each
//! batch is a transaction that commits only if the server took every row without a warning.

use futures_util::stream::{self, StreamExt};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::server::{Flavour, Server};
use crate::error::{Error, Result};
use crate::names::ColumnName;
use crate::rows::lines::Lines;
use crate::rows::value::Value;
use crate::schema::{Column, ColumnType};
use crate::topology::PhysicalTable;

/// Rows that one insert statement holds, where rows are inserted by statements. Beyond about a
/// thousand the servers gain nothing, and the parameters of a statement are limited to 65,535.
const INSERT_ROWS_MAX: usize = 1_000;

/// How the rows are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkWay {
    /// `LOAD DATA LOCAL` streamed from memory.
    LoadData,
    /// MariaDB's bulk protocol.
    BulkProtocol,
    /// Inserts of many rows.
    Inserts,
}

impl BulkWay {
    /// The way for a table with these columns, where this one is the fastest the server has.
    pub fn for_columns<'a>(
        self,
        flavour: Flavour,
        columns: impl IntoIterator<Item = &'a Column>,
    ) -> Self {
        match self {
            BulkWay::LoadData if !columns.into_iter().all(reads_lines) => without_lines(flavour),
            way => way,
        }
    }
}

/// Whether a column takes the bytes of a line as they are meant: text in UTF-8, which the server
/// does not convert, and bytes.
fn reads_lines(column: &Column) -> bool {
    match &column.kind {
        ColumnType::Integer { .. }
        | ColumnType::Decimal { .. }
        | ColumnType::Float { .. }
        | ColumnType::Double { .. }
        | ColumnType::Binary { .. }
        | ColumnType::Varbinary { .. }
        | ColumnType::Blob { .. }
        | ColumnType::Date
        | ColumnType::Time { .. }
        | ColumnType::Datetime { .. }
        | ColumnType::Timestamp { .. }
        | ColumnType::Year => true,
        ColumnType::Char { collation, .. }
        | ColumnType::Varchar { collation, .. }
        | ColumnType::Text { collation, .. } => {
            matches!(collation.charset.as_deref(), Some("utf8mb4" | "utf8mb3"))
        }
        ColumnType::Bit { .. }
        | ColumnType::Enum { .. }
        | ColumnType::Set { .. }
        | ColumnType::Json
        | ColumnType::Other(_) => false,
    }
}

fn without_lines(flavour: Flavour) -> BulkWay {
    match flavour {
        Flavour::Mariadb => BulkWay::BulkProtocol,
        Flavour::Mysql => BulkWay::Inserts,
    }
}

/// The fastest way this server has.
///
/// # Errors
/// The server cannot be asked.
pub async fn way(server: &Server, conn: &mut Conn) -> Result<BulkWay> {
    let local_infile: Option<u8> = conn
        .query_first("SELECT @@GLOBAL.local_infile")
        .await
        .map_err(|cause| server.explain("could not read local_infile", &cause))?;
    Ok(match local_infile {
        Some(1) => BulkWay::LoadData,
        _ => without_lines(server.flavour()),
    })
}

/// Rows on their way to one table, held as they will be sent.
#[derive(Debug)]
pub enum Batch {
    /// As lines of `LOAD DATA`.
    Lines(Lines),
    /// As parameters of this way.
    Rows(BulkWay, Vec<Vec<Value>>),
}

impl Batch {
    /// An empty one, to be sent by this way.
    pub fn new(way: BulkWay) -> Self {
        match way {
            BulkWay::LoadData => Batch::Lines(Lines::default()),
            way => Batch::Rows(way, Vec::new()),
        }
    }

    /// Adds a row.
    pub fn push(&mut self, row: Vec<Value>) {
        match self {
            Batch::Lines(lines) => lines.push(&row),
            Batch::Rows(_, rows) => rows.push(row),
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        match self {
            Batch::Lines(lines) => lines.rows(),
            Batch::Rows(_, rows) => rows.len() as u64,
        }
    }

    /// Takes the rows out, and leaves an empty one to be sent the same way.
    pub fn take(&mut self) -> Self {
        let empty = match self {
            Batch::Lines(_) => Batch::Lines(Lines::default()),
            Batch::Rows(way, _) => Batch::new(*way),
        };
        std::mem::replace(self, empty)
    }
}

/// Writes rows into a table, all of them or none, in one transaction.
///
/// # Errors
/// The server refused a row, or took fewer rows than were sent; the transaction is rolled back.
pub async fn write_rows(
    server: &Server,
    conn: &mut Conn,
    table: &PhysicalTable,
    columns: &[ColumnName],
    batch: Batch,
) -> Result<()> {
    if batch.rows() == 0 {
        return Ok(());
    }
    let failed = |cause: &mysql_async::Error| {
        server.explain(&format!("could not write rows into {table}"), cause)
    };
    conn.query_drop("START TRANSACTION")
        .await
        .map_err(|cause| failed(&cause))?;
    let sent = match batch {
        Batch::Lines(lines) => load(conn, table, columns, lines).await,
        Batch::Rows(BulkWay::BulkProtocol, rows) => bulk(conn, table, columns, rows).await,
        Batch::Rows(_, rows) => insert(conn, table, columns, rows).await,
    };
    let outcome = match sent {
        Ok(None) => Ok(()),
        Ok(Some(loss)) => Err(loss.error(table)),
        Err(cause) => Err(failed(&cause)),
    };
    if let Err(error) = outcome {
        // The connection may be gone; then the server rolls back by itself.
        let _ = conn.query_drop("ROLLBACK").await;
        return Err(error.now("nothing of this batch was written"));
    }
    conn.query_drop("COMMIT")
        .await
        .map_err(|cause| failed(&cause))
}

/// Rows that the server did not take as they were sent.
struct Loss {
    sent: u64,
    taken: u64,
    warning: Option<String>,
}

impl Loss {
    fn error(&self, table: &PhysicalTable) -> Error {
        let error = Error::server(format!(
            "rows were not taken as they were sent into {table}"
        ));
        error.cause(match &self.warning {
            Some(warning) => format!("{} of {} taken; {warning}", self.taken, self.sent),
            None => format!("{} of {} taken", self.taken, self.sent),
        })
    }
}

type Sent = std::result::Result<Option<Loss>, mysql_async::Error>;

fn column_list(columns: &[ColumnName]) -> String {
    let names: Vec<String> = columns.iter().map(ColumnName::quoted).collect();
    names.join(", ")
}

async fn bulk(
    conn: &mut Conn,
    table: &PhysicalTable,
    columns: &[ColumnName],
    rows: Vec<Vec<Value>>,
) -> Sent {
    let marks = vec!["?"; columns.len()].join(", ");
    conn.exec_batch(
        format!(
            "INSERT INTO {} ({}) VALUES ({marks})",
            table.quoted(),
            column_list(columns)
        ),
        rows.into_iter().map(params),
    )
    .await?;
    // A refused row fails the whole statement here, so there is nothing more to compare.
    Ok(None)
}

async fn insert(
    conn: &mut Conn,
    table: &PhysicalTable,
    columns: &[ColumnName],
    rows: Vec<Vec<Value>>,
) -> Sent {
    let rows_max = INSERT_ROWS_MAX.min(65_535 / columns.len().max(1)).max(1);
    let one = format!("({})", vec!["?"; columns.len()].join(", "));
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let batch: Vec<Vec<Value>> = rows.by_ref().take(rows_max).collect();
        let marks = vec![one.as_str(); batch.len()].join(", ");
        let values: Vec<mysql_async::Value> =
            batch.into_iter().flatten().map(driver_value).collect();
        conn.exec_drop(
            format!(
                "INSERT INTO {} ({}) VALUES {marks}",
                table.quoted(),
                column_list(columns)
            ),
            values,
        )
        .await?;
    }
    Ok(None)
}

async fn load(
    conn: &mut Conn,
    table: &PhysicalTable,
    columns: &[ColumnName],
    lines: Lines,
) -> Sent {
    let sent = lines.rows();
    let text = lines.into_text();
    conn.set_infile_handler(async move { Ok(stream::once(async { Ok(text.into()) }).boxed()) });
    conn.query_drop(format!(
        "LOAD DATA LOCAL INFILE 'rows' INTO TABLE {} CHARACTER SET binary \
         FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ({})",
        table.quoted(),
        column_list(columns)
    ))
    .await?;
    let taken = conn.affected_rows();
    if taken == sent && conn.get_warnings() == 0 {
        return Ok(None);
    }
    let warning: Option<(String, u32, String)> = conn.query_first("SHOW WARNINGS").await?;
    Ok(Some(Loss {
        sent,
        taken,
        warning: warning.map(|(_, code, text)| format!("{text} (error {code})")),
    }))
}

fn params(row: Vec<Value>) -> mysql_async::Params {
    mysql_async::Params::Positional(row.into_iter().map(driver_value).collect())
}

fn driver_value(value: Value) -> mysql_async::Value {
    match value {
        Value::Null => mysql_async::Value::NULL,
        Value::Int(number) => mysql_async::Value::Int(number),
        Value::UInt(number) => mysql_async::Value::UInt(number),
        Value::Double(number) => mysql_async::Value::Double(number),
        Value::Text(text) => mysql_async::Value::Bytes(text.into_bytes()),
        Value::Bytes(bytes) => mysql_async::Value::Bytes(bytes),
    }
}
