//! Writing many rows into one table by the fastest way the server has.
//!
//! Measured over 2M rows of about 150 bytes: MariaDB is fastest by its bulk protocol
//! (`COM_STMT_BULK_EXECUTE`), MySQL by `LOAD DATA LOCAL` streamed from memory, and where
//! `local_infile` is off by inserts of many rows.
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
use crate::rows::value::Value;
use crate::topology::PhysicalTable;

/// Rows that one insert statement holds, where rows are inserted by statements. Beyond about a
/// thousand the servers gain nothing, and the parameters of a statement are limited to 65,535.
const INSERT_ROWS_MAX: usize = 1_000;

/// Bytes of one piece of a `LOAD DATA` stream.
const PIECE_BYTES: usize = 1 << 18;

/// A column to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkColumn {
    /// Its name.
    pub name: ColumnName,
    /// Whether its values are bytes rather than text.
    pub binary: bool,
}

/// How the rows are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkWay {
    /// MariaDB's bulk protocol.
    BulkProtocol,
    /// `LOAD DATA LOCAL` streamed from memory.
    LoadData,
    /// Inserts of many rows.
    Inserts,
}

/// The fastest way this server has.
///
/// # Errors
/// The server cannot be asked.
pub async fn way(server: &Server, conn: &mut Conn) -> Result<BulkWay> {
    if server.flavour() == Flavour::Mariadb {
        return Ok(BulkWay::BulkProtocol);
    }
    let local_infile: Option<u8> = conn
        .query_first("SELECT @@GLOBAL.local_infile")
        .await
        .map_err(|cause| server.explain("could not read local_infile", &cause))?;
    Ok(match local_infile {
        Some(1) => BulkWay::LoadData,
        _ => BulkWay::Inserts,
    })
}

/// Writes rows into a table, all of them or none, in one transaction.
///
/// # Errors
/// The server refused a row, or took fewer rows than were sent; the transaction is rolled back.
pub async fn write_rows(
    server: &Server,
    conn: &mut Conn,
    way: BulkWay,
    table: &PhysicalTable,
    columns: &[BulkColumn],
    rows: Vec<Vec<Value>>,
) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let failed = |cause: &mysql_async::Error| {
        server.explain(&format!("could not write rows into {table}"), cause)
    };
    conn.query_drop("START TRANSACTION")
        .await
        .map_err(|cause| failed(&cause))?;
    let sent = match way {
        BulkWay::BulkProtocol => bulk(conn, table, columns, rows).await,
        BulkWay::LoadData => load(conn, table, columns, &rows).await,
        BulkWay::Inserts => insert(conn, table, columns, rows).await,
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

fn column_list(columns: &[BulkColumn]) -> String {
    let names: Vec<String> = columns.iter().map(|column| column.name.quoted()).collect();
    names.join(", ")
}

async fn bulk(
    conn: &mut Conn,
    table: &PhysicalTable,
    columns: &[BulkColumn],
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
    columns: &[BulkColumn],
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
    columns: &[BulkColumn],
    rows: &[Vec<Value>],
) -> Sent {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    let mut piece = Vec::with_capacity(PIECE_BYTES + 4096);
    for row in rows {
        load_line(&mut piece, columns, row);
        if piece.len() >= PIECE_BYTES {
            let next = Vec::with_capacity(PIECE_BYTES + 4096);
            pieces.push(std::mem::replace(&mut piece, next));
        }
    }
    pieces.push(piece);
    conn.set_infile_handler(async move {
        let pieces = stream::iter(pieces.into_iter().map(|piece| Ok(piece.into())));
        Ok(pieces.boxed())
    });
    let mut targets = Vec::new();
    let mut unhex = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        if column.binary {
            targets.push(format!("@b{index}"));
            unhex.push(format!("{} = UNHEX(@b{index})", column.name.quoted()));
        } else {
            targets.push(column.name.quoted());
        }
    }
    let set = match unhex.is_empty() {
        true => String::new(),
        false => format!(" SET {}", unhex.join(", ")),
    };
    conn.query_drop(format!(
        "LOAD DATA LOCAL INFILE 'rows' INTO TABLE {} CHARACTER SET utf8mb4 \
         FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ({}){set}",
        table.quoted(),
        targets.join(", ")
    ))
    .await?;
    let (sent, taken) = (rows.len() as u64, conn.affected_rows());
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

/// One line of a `LOAD DATA` text: fields split by tabs, `\N` for NULL.
fn load_line(out: &mut Vec<u8>, columns: &[BulkColumn], row: &[Value]) {
    use std::io::Write;
    for (index, value) in row.iter().enumerate() {
        if index > 0 {
            out.push(b'\t');
        }
        match value {
            Value::Null => out.extend_from_slice(b"\\N"),
            // Writing into a Vec cannot fail.
            Value::Int(number) => drop(write!(out, "{number}")),
            Value::UInt(number) => drop(write!(out, "{number}")),
            Value::Double(number) => drop(write!(out, "{number:e}")),
            Value::Text(text) if columns.get(index).is_some_and(|column| column.binary) => {
                hex(out, text.as_bytes());
            }
            Value::Bytes(bytes) if columns.get(index).is_some_and(|column| column.binary) => {
                hex(out, bytes);
            }
            Value::Text(text) => escape(out, text.as_bytes()),
            Value::Bytes(bytes) => escape(out, bytes),
        }
    }
    out.push(b'\n');
}

fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

fn escape(out: &mut Vec<u8>, bytes: &[u8]) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_load_data_escapes_what_would_split_it() {
        let columns: Vec<BulkColumn> = [("a", false), ("b", true), ("c", false), ("d", false)]
            .into_iter()
            .map(|(name, binary)| BulkColumn {
                name: name.parse().unwrap(),
                binary,
            })
            .collect();
        let mut line = Vec::new();
        let row = [
            Value::Text("x\ty\\z\n\0中".to_owned()),
            Value::Bytes(vec![0, 255]),
            Value::Null,
            Value::Int(-5),
        ];
        load_line(&mut line, &columns, &row);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "x\\ty\\\\z\\n\\0中\t00ff\t\\N\t-5\n"
        );
    }
}
